"""Reads and writes at their edges, and requests that must be refused."""
import random
import socket

from wire import (C_CACHE, C_READ, C_TRIM, C_WRITE, C_ZERO, Conn, EINVAL, ENOMEM, ENOSPC, ENOTSUP,
    EOVERFLOW, F_NOHOLE, Gone, TF)
from harness import A, ARGS, Skip, T, Warn, alive, check, each, must, need, pat


@check('io.write-read')
@each
def _(kw):
    c = Conn(T).go(**kw)
    for i, n in enumerate((512, 4096, 65536, 1 << 20)):
        n = max(n, ARGS.min)
        d = pat(n, i)
        c.write(1 << 20, d)
        must(c.read(1 << 20, n) == d, 'differs at %d' % n)
    c.disc()


@check('io.cookie-echo')
@each
def _(kw):
    c = Conn(T).go(**kw)
    for k in (0, 1, (1 << 64) - 1, 0x1122334455667788):
        c.req(C_READ, 0, 4096, cookie=k)
        c.finish(k, C_READ, 0, 4096)
    c.disc()


@check('io.last-block')
@each
def _(kw):
    c = Conn(T).go(**kw)
    n = max(512, ARGS.min)
    d = pat(n, 77)
    o = A(c.size) - n
    c.write(o, d)
    must(c.read(o, n) == d, 'differs')
    c.disc()


@check('io.zero-length-does-not-hang')
@each
def _(kw):
    c = Conn(T).go(**kw)
    res = []
    for cmd, fl in ((C_READ, 0), (C_WRITE, 0), (C_TRIM, TF['TRIM']), (C_ZERO, TF['ZEROES']),
                    (C_CACHE, TF['CACHE'])):
        if c.flags & fl == fl:
            k = c.req(cmd, 4096, 0)
            try:
                # A zero-length structured read may be answered by NONE or a zero-length DATA chunk.
                while True:
                    ck, done, kind, p = c.chunk()
                    must(ck == k, 'cookie')
                    if done:
                        break
            except (socket.timeout, TimeoutError):
                raise AssertionError('hang at command %d' % cmd)
            res.append(p.get('err', 0))
    c.read(0, 4096)
    c.disc()


@check('io.unaligned-read')
@each
def _(kw):
    c = Conn(T).go(**kw)
    d = pat(300000, 5)
    b = 3 << 20
    n = A(300000)
    c.write(b, d[:n])
    if ARGS.min > 1:
        e = c.err(C_READ, b + 1, 10)
        must(e in (0, EINVAL), 'errno %d' % e)
        c.disc()
        raise Skip('minimum block %d' % ARGS.min)
    for o, l in ((1, 1), (511, 2), (4095, 2), (65535, 2), (100, 200001), (0, 299999), (131071, 131074)):
        must(c.read(b + o, l) == d[o:o + l], 'differs at %d+%d' % (o, l))
    c.disc()


@check('io.unaligned-write-keeps-neighbours')
@each
def _(kw):
    if ARGS.min > 1:
        raise Skip('minimum block %d' % ARGS.min)
    c = Conn(T).go(**kw)
    b, n = 5 << 20, 1 << 20
    sh = bytearray(pat(n, 6))
    c.write(b, bytes(sh))
    r = random.Random(9)
    for i in range(200):
        o = r.choice((r.randrange(n), r.randrange(0, n, 4096) - 1, r.randrange(0, n, 65536) - 3)) % n
        l = min(r.choice((1, 2, 3, 5, 511, 513, 4097, 65537)), n - o)
        d = r.randbytes(l)
        c.write(b + o, d)
        sh[o:o + l] = d
    must(c.read(b, n) == bytes(sh), 'differs')
    c.disc()


@check('io.unaligned-zero-keeps-neighbours')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'ZEROES')
    if ARGS.min > 1:
        raise Skip('minimum block %d' % ARGS.min)
    b, n = 7 << 20, 1 << 20
    sh = bytearray(pat(n, 7))
    c.write(b, bytes(sh))
    r = random.Random(10)
    for i in range(60):
        o = r.randrange(n)
        l = min(r.choice((1, 3, 511, 4097, 65537)), n - o)
        c.cmd(C_ZERO, b + o, l, flags=r.choice((0, F_NOHOLE)))
        sh[o:o + l] = bytes(l)
    must(c.read(b, n) == bytes(sh), 'differs')
    c.disc()


@check('io.unaligned-trim-keeps-neighbours')
@each
def _(kw):
    c = Conn(T).go(**kw)
    need(c, 'TRIM')
    if ARGS.min > 1:
        raise Skip('minimum block %d' % ARGS.min)
    b, n = 9 << 20, 1 << 20
    d = pat(n, 8)
    c.write(b, d)
    o, l = 100001, 300003
    c.cmd(C_TRIM, b + o, l)
    g = c.read(b, n)
    must(g[:o] == d[:o] and g[o + l:] == d[o + l:], 'bytes outside of the trim changed')
    c.disc()


@check('err.read-past-end')
@each
def _(kw):
    c = Conn(T).go(**kw)
    for o, l in ((c.size, 4096), (A(c.size) - 4096, 8192), (c.size + (1 << 30), 4096), ((1 << 63), 4096),
                 ((1 << 64) - 4096, 8192)):
        e = c.err(C_READ, o, l)
        must(e == EINVAL, 'errno %d at %d' % (e, o))
    c.read(0, 4096)
    c.disc()


@check('err.write-past-end')
@each
def _(kw):
    c = Conn(T).go(**kw)
    odd = set()
    for o in (c.size, A(c.size) - 4096, (1 << 64) - 4096):
        e = c.err(C_WRITE, o, 8192, data=bytes(8192))
        must(e in (ENOSPC, EINVAL), 'errno %d' % e)
        odd.add(e)
        c.read(0, 4096)          # the payload has been consumed
    c.disc()
    if EINVAL in odd:
        raise Warn('EINVAL where the spec says SHOULD ENOSPC')


@check('err.trim-zero-past-end')
@each
def _(kw):
    c = Conn(T).go(**kw)
    for cmd, fl in ((C_TRIM, 'TRIM'), (C_ZERO, 'ZEROES'), (C_CACHE, 'CACHE')):
        if c.flags & TF[fl]:
            e = c.err(cmd, A(c.size) - 4096, 8192)
            must(e in (EINVAL, ENOSPC), '%s errno %d' % (fl, e))
    c.read(0, 4096)
    c.disc()


@check('err.unknown-command')
@each
def _(kw):
    c = Conn(T).go(**kw)
    e = c.err(0x7F, 0, 0)
    must(e in (EINVAL, ENOTSUP), 'errno %d' % e)
    c.read(0, 4096)
    c.disc()


@check('err.unknown-command-flag')
@each
def _(kw):
    c = Conn(T).go(**kw)
    e = c.err(C_READ, 0, 4096, flags=1 << 12)
    c.read(0, 4096)
    c.disc()
    if e != EINVAL:
        raise Warn('errno %d, SHOULD be EINVAL' % e)


@check('err.bad-request-magic-drops')
def _():
    c = Conn(T).go()
    c.req(C_READ, 0, 4096, magic=0xDEADBEEF)
    must(c.closed(), 'kept the connection')
    alive()


@check('io.max-request')
@each
def _(kw):
    c = Conn(T).go(**kw)
    hi = min(c.blk[2] if c.blk else 32 << 20, 32 << 20, A(c.size))
    d = pat(hi, 11)
    c.write(0, d)
    must(c.read(0, hi) == d, 'differs at %d' % hi)
    c.disc()
    if hi < min(32 << 20, A(ARGS.size)):
        raise Warn('maximum block %d' % hi)


@check('err.oversized-read')
@each
def _(kw):
    c = Conn(T).go(**kw)
    hi = c.blk[2] if c.blk else 32 << 20
    n = max(64 << 20, 0 if hi == 0xFFFFFFFF else hi + (1 << 20))
    if n > c.size:
        raise Skip('export too small')
    try:
        e = c.err(C_READ, 0, n)
        must(e in (0, EINVAL, EOVERFLOW, ENOMEM), 'errno %d' % e)
        c.read(0, 4096)
    except Gone:
        raise Warn('drops the connection (allowed)')
    finally:
        c.close()
        alive()


@check('err.oversized-write')
@each
def _(kw):
    c = Conn(T).go(**kw)
    try:
        k = c.req(C_WRITE, 0, 0xFFFFF000)
        c.s.settimeout(1.5)
        try:
            c.chunk()
        except (socket.timeout, TimeoutError):
            pass
    except Gone:
        pass
    c.close()
    alive()
