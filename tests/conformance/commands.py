"""Every command with its flags, and what block status says."""
import random
import time

from wire import (C_BSTAT, C_CACHE, C_FLUSH, C_READ, C_TRIM, C_ZERO, Conn, EINVAL, ENOMEM, ENOSPC,
    ENOTSUP, EOVERFLOW, F_DF, F_FAST, F_FUA, F_NOHOLE, F_ONE, NbdErr, TF, TIMEOUT)
from harness import A, ARGS, Skip, T, Warn, check, each, modes, must, need, pat


@check('cmd.flush')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'FLUSH')
    c.write(0, pat(4096, 1))
    c.cmd(C_FLUSH)
    c.disc()


@check('cmd.fua-write')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'FUA')
    d = pat(8192, 2)
    c.write(8192, d, F_FUA)
    must(c.read(8192, 8192) == d, 'differs')
    c.disc()


@check('cmd.fua-on-every-command')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'FUA')
    for cmd, fl, l in ((C_READ, 'HAS_FLAGS', 4096), (C_FLUSH, 'FLUSH', 0), (C_TRIM, 'TRIM', 4096),
                       (C_ZERO, 'ZEROES', 4096), (C_CACHE, 'CACHE', 4096)):
        if c.flags & TF[fl]:
            e = c.err(cmd, 0, l, flags=F_FUA)
            if e:
                raise Warn('FUA on command %d gives errno %d (spec: valid on all)' % (cmd, e))
    c.disc()


@check('cmd.write-zeroes')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'ZEROES')
    o = 11 << 20
    for fl in (0, F_NOHOLE, F_FUA if c.flags & TF['FUA'] else 0):
        c.write(o, pat(1 << 20, 12))
        c.cmd(C_ZERO, o + 4096, 524288, flags=fl)
        must(c.read(o + 4096, 524288) == bytes(524288), 'not zero, flags %d' % fl)
        must(c.read(o, 4096) == pat(1 << 20, 12)[:4096], 'neighbour changed')
    c.disc()


@check('cmd.fast-zero')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'FAST_ZERO')
    o = 12 << 20
    for fl in (0, F_NOHOLE):
        c.write(o, pat(65536, 13))
        e = c.err(C_ZERO, o, 65536, flags=F_FAST | fl)
        must(e in (0, ENOTSUP), 'errno %d' % e)
        if not e:
            must(c.read(o, 65536) == bytes(65536), 'not zero')
    c.disc()


@check('cmd.write-zeroes-whole-export')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'ZEROES')
    t = time.time()
    n = min(A(c.size), (1 << 63) if c.ext else 0xFFFFF000)
    e = c.err(C_ZERO, 0, n)
    if e:
        raise Warn('errno %d for %d bytes' % (e, n))
    must(c.read(4096, 65536) == bytes(65536), 'not zero')
    c.disc()
    if time.time() - t > 5:
        raise Warn('%.1f s' % (time.time() - t))


@check('cmd.trim')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'TRIM')
    o = 13 << 20
    c.write(o, pat(1 << 20, 14))
    c.cmd(C_TRIM, o, 1 << 20)
    g = c.read(o, 1 << 20)
    must(c.read(o, 1 << 20) == g, 'two reads of a trimmed range differ')
    c.disc()
    if g != bytes(1 << 20):
        raise Warn('trimmed range does not read as zeroes (allowed)')


@check('cmd.trim-whole-export')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'TRIM')
    n = min(A(c.size), 0xFFFFF000)
    t = time.time()
    e = c.err(C_TRIM, 0, n)
    c.disc()
    must(time.time() - t < TIMEOUT, 'slow')
    if e:
        raise Warn('errno %d' % e)


@check('cmd.cache')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'CACHE')
    c.cmd(C_CACHE, 0, 1 << 20)
    c.disc()


@check('cmd.df-read')
def _():
    if not ARGS.has_sr:
        raise Skip('no structured replies')
    c = Conn(T).go(sr=True)
    need(c, 'DF')
    o = 14 << 20
    c.write(o, pat(1 << 20, 15))
    if c.flags & TF['ZEROES']:
        c.cmd(C_ZERO, o + 131072, 131072)
    for n in (512, 65536, 1 << 20):
        try:
            c.read(o, max(n, ARGS.min), F_DF)
            must(c.nchunks <= 2, 'split into %d chunks' % c.nchunks)
        except NbdErr as e:
            must(e.e == EOVERFLOW and n > 65536, 'errno %d for %d' % (e.e, n))
    c.disc()


@check('cmd.block-status-without-context')
def _():
    c = Conn(T).go(sr=ARGS.has_sr)
    e = c.err(C_BSTAT, 0, 65536)
    must(e in (EINVAL, ENOTSUP), 'errno %d' % e)
    c.read(0, 4096)
    c.disc()


def bstat(c, off, n, flags=0):
    st = c.cmd(C_BSTAT, off, n, flags=flags)
    must(len(st) == 1, '%d contexts' % len(st))
    return list(st.values())[0]


def fullmap(c, off, n):
    pos, out = off, []
    while pos < off + n:
        e = bstat(c, pos, min(off + n - pos, 1 << 30))
        for i, (l, f) in enumerate(e):
            must(l > 0, 'empty extent')
            out.append((pos, l, f))
            pos += l
            must(i == len(e) - 1 or pos < off + n, 'extents beyond the request, not only the last')
    return out


def metamodes():
    for n, kw in modes():
        if kw:
            yield n, dict(kw, meta=['base:allocation'])


@check('cmd.block-status-truth')
def _():
    if not ARGS.has_meta:
        raise Skip('no base:allocation')
    for n, kw in metamodes():
        c = Conn(T).go(**kw)
        o, ln = 16 << 20, 8 << 20
        if c.flags & TF['ZEROES']:
            c.cmd(C_ZERO, o, ln)
        r = random.Random(4)
        for i in range(20):
            p = r.randrange(0, ln, 65536)
            c.write(o + p, r.randbytes(65536))
        data = c.read(o, ln)
        m = fullmap(c, o, ln)
        for p, l, f in m:
            must(f & ~3 == 0, '%s: unknown status bits %x' % (n, f))
            if f & 2:
                s = data[p - o:p - o + l]
                must(s == bytes(len(s)), '%s: range %d+%d flagged ZERO holds data' % (n, p, l))
        c.disc()


@check('cmd.block-status-sees-holes')
def _():
    if not ARGS.has_meta:
        raise Skip('no base:allocation')
    c = Conn(T).go(sr=True, meta=['base:allocation'])
    need(c, 'ZEROES')
    c.cmd(C_ZERO, 16 << 20, 8 << 20)
    m = fullmap(c, 16 << 20, 8 << 20)
    c.disc()
    if not any(f & 2 for _, _, f in m):
        raise Warn('zeroed range not reported as ZERO')


@check('cmd.block-status-req-one')
def _():
    if not ARGS.has_meta:
        raise Skip('no base:allocation')
    for n, kw in metamodes():
        c = Conn(T).go(**kw)
        e = bstat(c, 16 << 20, 1 << 20, F_ONE)
        must(len(e) == 1 and 0 < e[0][0] <= 1 << 20, '%s: %r' % (n, e))
        c.disc()


@check('cmd.block-status-past-end')
def _():
    if not ARGS.has_meta:
        raise Skip('no base:allocation')
    c = Conn(T).go(sr=True, meta=['base:allocation'])
    e = c.err(C_BSTAT, A(c.size) - 4096, 8192)
    must(e == EINVAL, 'errno %d' % e)
    c.disc()


@check('ext.64bit-lengths')
def _():
    if not ARGS.has_ext:
        raise Skip('no extended headers')
    c = Conn(T).go(ext=True, meta=['base:allocation'])
    n = A(c.size)
    if c.ctx:
        e = c.cmd(C_BSTAT, 0, n)
        must(e and list(e.values())[0][0][0] > 0, 'no extents')
    e = c.err(C_READ, 0, 1 << 33)
    must(e in (EINVAL, EOVERFLOW, ENOMEM), '8 GiB read: errno %d' % e)
    c.read(0, 4096)
    e = c.err(C_ZERO, 0, 1 << 40)
    must(e in (EINVAL, ENOSPC), '1 TiB zero: errno %d' % e)
    c.read(0, 4096)
    c.disc()
