"""Greeting, options and the properties of an export."""
import os
import socket
import struct
import time

from wire import (Conn, E, ERR, Gone, O_ABORT, O_EXPORT, O_EXT, O_GO, O_INFO, O_LIST, O_LMETA,
    O_SMETA, O_SR, O_STARTTLS, R_ACK, R_SERVER, TF)
from harness import ARGS, Skip, T, Warn, alive, check, must


@check('hs.greeting-newstyle')
def _():
    Conn(T, cflags=None).close()


@check('hs.flag-fixed-newstyle')
def _():
    must(Conn(T, cflags=None).hflags & 1, 'not fixed newstyle')


@check('hs.flag-no-zeroes')
def _():
    if not Conn(T, cflags=None).hflags & 2:
        raise Warn('NO_ZEROES not offered')


@check('hs.no-unknown-server-flags')
def _():
    f = Conn(T, cflags=None).hflags
    must(f & ~3 == 0, 'flags %x' % f)


@check('hs.unknown-client-flag-drops')
def _():
    c = Conn(T, cflags=None)
    try:
        c.send(struct.pack('>I', 3 | 1 << 9))
        c.opt(O_LIST)
    except Gone:
        return
    if not c.closed(3):
        raise Warn('kept the connection after an unknown client flag (spec: MUST drop)')


@check('hs.client-flags-0-refused-or-oldstyle-haggle')
def _():
    c = Conn(T, cflags=0)
    n = T.export.encode()
    try:
        c.opt(O_EXPORT, n)
        d = c.recv(10 + 124)
        must(d[10:] == bytes(124), 'reserved bytes not zero')
    except Gone:
        raise Warn('closes on client flags 0 (a server may require fixed newstyle)')
    c.close()


@check('hs.export-name-no-zeroes')
def _():
    c = Conn(T)
    c.opt(O_EXPORT, T.export.encode())
    size, fl = struct.unpack('>QH', c.recv(10))
    must(size == ARGS.size, 'size %d, GO says %d' % (size, ARGS.size))
    c.size, c.flags = size, fl
    must(len(c.read(0, max(512, ARGS.min))) >= 512, 'short')
    c.disc()


@check('hs.export-name-with-zeroes')
def _():
    c = Conn(T, cflags=1)
    c.opt(O_EXPORT, T.export.encode())
    d = c.recv(134)
    must(d[10:] == bytes(124), 'pad not zero')
    c.size, c.flags = struct.unpack('>QH', d[:10])
    c.read(0, max(512, ARGS.min))
    c.disc()


@check('hs.export-name-unknown-closes')
def _():
    if ARGS.any_name:
        raise Skip('this server accepts any name')
    c = Conn(T)
    c.opt(O_EXPORT, b'no-such-export-zz9')
    must(c.closed(), 'not closed')


@check('opt.list')
def _():
    c = Conn(T)
    c.opt(O_LIST)
    rs, fin = c.reps(O_LIST)
    if fin != R_ACK:
        raise Warn('LIST answered ' + ERR.get(fin, hex(fin)))
    names = []
    for t, d in rs:
        must(t == R_SERVER, 'reply type %d' % t)
        n = struct.unpack('>I', d[:4])[0]
        must(4 + n <= len(d), 'bad name length')
        names.append(d[4:4 + n].decode())
    if T.export not in names:
        raise Warn('export %r not among %r' % (T.export, names[:5]))
    must(c.infogo(O_GO) == R_ACK, 'GO after LIST')
    c.disc()


@check('opt.list-with-payload-invalid')
def _():
    c = Conn(T)
    r = c.simple(O_LIST, b'junk')
    must(r in (E(3), E(1), E(2)), 'answered %s' % ERR.get(r, r))
    must(c.infogo(O_GO) == R_ACK, 'GO after the error')
    c.disc()


@check('opt.info')
def _():
    c = Conn(T)
    r = c.infogo(O_INFO)
    if r == E(1):
        raise Warn('INFO unsupported')
    must(r == R_ACK and c.size == ARGS.size, ERR.get(r, r))
    must(c.infogo(O_INFO, infos=()) == R_ACK, 'INFO without info requests')
    must(c.infogo(O_INFO, infos=(1, 2, 3, 999)) == R_ACK, 'INFO with an unknown info type')
    must(c.infogo(O_GO) == R_ACK, 'GO after INFO')
    c.disc()


@check('opt.info-unknown-export')
def _():
    if ARGS.any_name:
        raise Skip('this server accepts any name')
    c = Conn(T)
    r = c.infogo(O_INFO, 'no-such-export-zz9')
    must(r == E(6), 'answered %s, not UNKNOWN' % ERR.get(r, r))
    must(c.infogo(O_GO) == R_ACK, 'GO after the error')
    c.disc()


@check('opt.go-unknown-export-then-good')
def _():
    if ARGS.any_name:
        raise Skip('this server accepts any name')
    c = Conn(T)
    r = c.infogo(O_GO, 'no-such-export-zz9')
    must(r == E(6), 'answered %s, not UNKNOWN' % ERR.get(r, r))
    must(c.infogo(O_GO) == R_ACK, 'GO after the error')
    c.read(0, max(512, ARGS.min))
    c.disc()


@check('opt.go-path-traversal-names')
def _():
    if ARGS.any_name:
        raise Skip('this server accepts any name')
    for n in (b'../../etc/passwd', b'/etc/passwd', b'a\x00b', b'\xff\xfe', b'a\nb', T.export.encode() + b'/',
              b'%2e%2e', b'.', b'..'):
        c = Conn(T)
        r = c.infogo(O_GO, n)
        must(r != R_ACK, 'accepted %r' % n)
        c.close()
    alive()


@check('opt.name-4096-and-longer')
def _():
    for n in (256, 4096, 4097, 60000):
        c = Conn(T)
        try:
            r = c.infogo(O_GO, b'x' * n)
            must(ARGS.any_name or r & 0x80000000, 'accepted a %d-byte name' % n)
        except Gone:
            if n <= 4096:
                raise Warn('drops the connection at a name of %d bytes' % n)
        c.close()
    alive()


@check('opt.unknown-unsup')
def _():
    c = Conn(T)
    for o in (0x7E, 99, 0x12345678):
        r = c.simple(o)
        must(r == E(1), 'option %d answered %s' % (o, ERR.get(r, r)))
    must(c.infogo(O_GO) == R_ACK, 'GO after')
    c.disc()


@check('opt.unknown-with-payload-skipped')
def _():
    c = Conn(T)
    try:
        r = c.simple(0x7E, bytes(60000))
    except Gone:
        raise Warn('drops the connection at a 60000-byte unknown option')
    must(r & 0x80000000, 'not an error')
    must(c.infogo(O_GO) == R_ACK, 'GO after')
    c.disc()


@check('opt.huge-length')
def _():
    c = Conn(T)
    c.opt(O_GO, b'abc', length=0xFFFFFFF0)
    c.s.settimeout(2)
    try:
        c.rep()
    except (Gone, socket.timeout, TimeoutError):
        pass
    c.close()
    alive()


@check('opt.go-malformed')
def _():
    for b in (b'', b'\0\0', struct.pack('>I', 1000) + b'abc', struct.pack('>I', 0xFFFFFFFF) + b'\0\0',
              struct.pack('>I', 0) + struct.pack('>H', 5), struct.pack('>IH', 0, 0) + b'zz'):
        c = Conn(T)
        c.opt(O_GO, b)
        try:
            r = c.reps(O_GO)[1]
            must(r in (E(3), E(6), E(9)), 'answered %s to %r' % (ERR.get(r, r), b[:8]))
        except Gone:
            raise Warn('drops the connection at %r' % b[:8])
        c.close()
    alive()


@check('opt.bad-magic-drops')
def _():
    c = Conn(T)
    c.opt(O_LIST, magic=0x1122334455667788)
    must(c.closed(), 'kept the connection')
    alive()


@check('opt.abort')
def _():
    c = Conn(T)
    try:
        r = c.simple(O_ABORT)
        must(r == R_ACK, 'answered %s' % ERR.get(r, r))
    except Gone:
        raise Warn('closes without ACK')
    must(c.closed(), 'not closed after ABORT')


@check('opt.starttls-plain-server')
def _():
    c = Conn(T)
    c.opt(O_STARTTLS)
    r = c.reps(O_STARTTLS)[1]
    if r == R_ACK:
        raise Skip('server offers TLS')
    must(r in (E(1), E(2), E(4)), ERR.get(r, r))
    must(c.infogo(O_GO) == R_ACK, 'GO after')
    c.disc()


@check('opt.structured-reply')
def _():
    c = Conn(T)
    r = c.simple(O_SR)
    if r == E(1):
        raise Skip('unsupported')
    must(r == R_ACK, ERR.get(r, r))
    r = c.simple(O_SR)
    must(r in (R_ACK, E(3)), 'repeat: %s' % ERR.get(r, r))
    c.structured = True
    must(c.infogo(O_GO) == R_ACK, 'GO')
    c.read(0, max(512, ARGS.min))
    c.disc()


@check('opt.structured-reply-with-payload-invalid')
def _():
    c = Conn(T)
    r = c.simple(O_SR, b'x')
    must(r in (E(3), E(1)), ERR.get(r, r))
    c.close()


@check('opt.extended-headers')
def _():
    c = Conn(T)
    r = c.simple(O_EXT)
    if r == E(1):
        raise Skip('unsupported')
    must(r == R_ACK, ERR.get(r, r))
    c.ext = c.structured = True
    must(c.infogo(O_GO) == R_ACK, 'GO')
    c.read(0, max(512, ARGS.min))
    c.disc()


@check('opt.meta-before-structured-invalid')
def _():
    c = Conn(T)
    g, r = c.meta(O_SMETA, ['base:allocation'])
    must(r in (E(3), E(1)), 'answered %s' % ERR.get(r, r))
    c.close()


@check('opt.meta-list')
def _():
    c = Conn(T)
    if c.simple(O_SR) != R_ACK:
        raise Skip('no structured replies')
    g, r = c.meta(O_LMETA, [])
    if r == E(1):
        raise Skip('unsupported')
    must(r == R_ACK and 'base:allocation' in g, '%s %r' % (ERR.get(r, r), g))
    g, r = c.meta(O_LMETA, ['base:'])
    must(r == R_ACK and 'base:allocation' in g, 'wildcard base: %r' % g)
    g, r = c.meta(O_LMETA, ['x-nowhere:thing'])
    must(r == R_ACK and not g, 'unknown namespace: %r' % g)
    c.close()


@check('opt.meta-set')
def _():
    c = Conn(T)
    if c.simple(O_SR) != R_ACK:
        raise Skip('no structured replies')
    g, r = c.meta(O_SMETA, ['base:allocation', 'x-nowhere:thing'])
    if r == E(1):
        raise Skip('unsupported')
    must(r == R_ACK and list(g) == ['base:allocation'], '%s %r' % (ERR.get(r, r), g))
    g, r = c.meta(O_SMETA, ['x-nowhere:thing'])
    must(r == R_ACK and not g, 'unknown context: %s %r' % (ERR.get(r, r), g))
    g, r = c.meta(O_SMETA, [])
    must(r == R_ACK and not g, 'empty set: %s %r' % (ERR.get(r, r), g))
    c.close()


@check('opt.meta-set-unknown-export')
def _():
    if ARGS.any_name:
        raise Skip('this server accepts any name')
    c = Conn(T)
    if c.simple(O_SR) != R_ACK:
        raise Skip('no structured replies')
    g, r = c.meta(O_SMETA, ['base:allocation'], 'no-such-export-zz9')
    if r == E(1):
        raise Skip('unsupported')
    must(r == E(6), ERR.get(r, r))
    c.close()


@check('opt.haggle-200-options')
def _():
    c = Conn(T)
    try:
        for i in range(200):
            must(c.simple(0x7E) == E(1), 'option %d' % i)
    except Gone:
        raise Warn('dropped after %d options' % i)
    must(c.infogo(O_GO) == R_ACK, 'GO after')
    c.disc()


@check('hs.garbage-http')
def _():
    c = Conn(T, cflags=None)
    c.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' + os.urandom(200))
    must(c.closed(5), 'still open')
    alive()


@check('hs.connect-close-x100')
def _():
    for i in range(100):
        s = T.sock()
        if i % 2:
            s.recv(18)
        s.close()
    alive()


@check('hs.idle-handshake-does-not-block-others')
def _():
    cs = [Conn(T, cflags=None) for _ in range(8)]
    t = time.time()
    alive()
    must(time.time() - t < 5, 'took %.1f s' % (time.time() - t))
    for c in cs:
        c.close()


@check('hs.abrupt-rst')
def _():
    for i in range(20):
        c = Conn(T)
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        c.opt(O_LIST)
        c.close()
    alive()


@check('prop.flags')
def _():
    c = Conn(T).go()
    must(c.flags & 1, 'HAS_FLAGS not set')
    must(not (c.flags & ~0x1FFF), 'unknown flags %x' % c.flags)
    if c.flags & TF['FAST_ZERO']:
        must(c.flags & TF['ZEROES'], 'FAST_ZERO without WRITE_ZEROES')
    c.disc()


@check('prop.df-only-with-structured')
def _():
    c = Conn(T).go()
    a = c.flags & TF['DF']
    c.disc()
    if a:
        raise Warn('DF advertised without structured replies')


@check('prop.block-size')
def _():
    c = Conn(T).go()
    if not c.blk:
        raise Warn('no INFO_BLOCK_SIZE')
    lo, pref, hi = c.blk
    p2 = lambda x: x and not x & (x - 1)
    must(p2(lo) and lo <= 65536, 'minimum %d' % lo)
    must(p2(pref) and pref >= lo, 'preferred %d' % pref)
    must(hi == 0xFFFFFFFF or hi % lo == 0, 'maximum %d' % hi)
    must(hi >= min(pref, c.size), 'maximum < preferred')
    if pref < 512:
        raise Warn('preferred %d < 512' % pref)
    c.disc()


@check('prop.size-multiple-of-min')
def _():
    c = Conn(T).go()
    if c.size % ARGS.min:
        raise Warn('size %d' % c.size)
    c.disc()
