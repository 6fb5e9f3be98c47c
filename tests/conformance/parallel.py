"""Many requests and many connections at once, slow ones and broken ones among them."""
import random
import socket
import struct
import threading
import time

from wire import (C_DISC, C_FLUSH, C_READ, C_TRIM, C_WRITE, C_ZERO, Conn, EINVAL, EPERM, F_FUA,
    NbdErr, REQ, TF, Target)
from harness import ARGS, Skip, T, Warn, alive, check, each, must, need, pat


def inflight(c, cmds):
    "cmds: list of (cmd, off, len, data). Sends all, then collects all. Returns data by index."
    want, out = {}, {}
    def tx():
        for i, (cmd, off, n, data) in enumerate(cmds):
            c.req(cmd, off, n, data, cookie=1000 + i)
    th = threading.Thread(target=tx, daemon=True)
    th.start()
    for i in range(len(cmds)):
        want[1000 + i] = i
    bufs = {}
    while want:
        k, done, kind, p = c.chunk()
        must(k in want, 'reply to an unknown or answered cookie %d' % k)
        i = want[k]
        cmd, off, n, _ = cmds[i]
        if kind == 'simple':
            if p['err']:
                raise NbdErr(p['err'])
            if cmd == C_READ:
                out[i] = c.recv(n)
        elif kind == 'error':
            raise NbdErr(p['err'])
        elif kind in ('data', 'hole'):
            b = bufs.setdefault(i, bytearray(n))
            if kind == 'data':
                b[p['off'] - off:p['off'] - off + len(p['data'])] = p['data']
            out[i] = b
        if done:
            del want[k]
    th.join()
    return out


@check('par.128-reads-in-flight')
@each
def _(kw):
    c = Conn(T).go(**kw)
    d = pat(128 * 4096, 21)
    c.write(24 << 20, d)
    out = inflight(c, [(C_READ, (24 << 20) + i * 4096, 4096, b'') for i in range(128)])
    must(all(bytes(out[i]) == d[i * 4096:(i + 1) * 4096] for i in range(128)), 'wrong data')
    c.disc()


@check('par.128-writes-in-flight')
@each
def _(kw):
    c = Conn(T).go(**kw)
    d = pat(128 * 4096, random.random())
    order = list(range(128))
    random.shuffle(order)
    inflight(c, [(C_WRITE, (25 << 20) + i * 4096, 4096, d[i * 4096:(i + 1) * 4096]) for i in order])
    must(c.read(25 << 20, len(d)) == d, 'wrong data')
    c.disc()


@check('par.mixed-2000-in-flight')
@each
def _(kw):
    c = Conn(T).go(**kw)
    cm = []
    for i in range(2000):
        o = (26 << 20) + (i % 1000) * 4096
        cm.append((C_WRITE, o, 4096, pat(4096, i % 1000)) if i % 2 else (C_READ, 0, 4096, b''))
    inflight(c, cm)
    for i in range(1, 1000, 2):
        must(c.read((26 << 20) + i * 4096, 4096) == pat(4096, i), 'block %d' % i)
    c.disc()


@check('par.client-that-does-not-read')
def _():
    c = Conn(T).go()
    c.s.settimeout(2)
    try:
        for i in range(512):
            c.req(C_READ, 0, 1 << 20)
    except (socket.timeout, TimeoutError):
        pass
    t = time.time()
    alive()
    dt = time.time() - t
    c.close()
    alive()
    must(dt < 5, 'another client waited %.1f s' % dt)


@check('par.slow-sender')
def _():
    c = Conn(T).go()
    h = struct.pack('>IHHQQI', REQ, 0, C_WRITE, 42, 30 << 20, 4096) + pat(4096, 31)
    for i in range(0, 40):
        c.send(h[i:i + 1])
        time.sleep(0.005)
    alive()
    c.send(h[40:])
    c.finish(42, C_WRITE)
    must(c.read(30 << 20, 4096) == pat(4096, 31), 'differs')
    c.disc()


@check('par.disconnect-mid-payload')
def _():
    for i in range(10):
        c = Conn(T).go()
        c.write(31 << 20, bytes(65536))
        c.send(struct.pack('>IHHQQI', REQ, 0, C_WRITE, 42, 31 << 20, 65536) + b'\xAA' * 30000)
        c.close()
    time.sleep(0.1)
    c = Conn(T).go()
    d = c.read(31 << 20, 65536)
    must(all(x in (0, 0xAA) for x in set(d)), 'foreign bytes')
    must(d[30000:].count(0xAA) == 0, 'bytes that were never sent')
    c.disc()
    if d.count(0xAA):
        raise Warn('a part of an unfinished write was stored')


@check('par.write-then-disc-is-kept')
def _():
    d = pat(65536, time.time())
    c = Conn(T).go()
    c.req(C_WRITE, 32 << 20, 65536, d)
    c.req(C_DISC)
    must(c.closed(10), 'DISC does not close')
    c = Conn(T).go()
    ok = c.read(32 << 20, 65536) == d
    c.disc()
    must(ok, 'write before DISC lost')


@check('par.multi-conn-coherent')
def _():
    a = Conn(T).go()
    need(a, 'MULTI_CONN')
    b = Conn(T).go()
    for i in range(50):
        d = pat(8192, i)
        a.write(33 << 20, d)
        a.cmd(C_FLUSH)
        must(b.read(33 << 20, 8192) == d, 'round %d' % i)
        b.write((33 << 20) + 4096, d[:4096], F_FUA if b.flags & TF['FUA'] else 0)
        must(a.read((33 << 20) + 4096, 4096) == d[:4096], 'back, round %d' % i)
    a.disc()
    b.disc()


@check('par.64-connections')
def _():
    cs = []
    try:
        for i in range(64):
            cs.append(Conn(T).go())
    except Exception as e:
        for c in cs:
            c.close()
        raise Warn('only %d: %s' % (len(cs), e))
    for c in cs:
        c.read(0, 4096)
    for c in cs:
        c.disc()


@check('ro.export')
def _():
    if not ARGS.ro:
        raise Skip('no --ro URI given')
    t = Target(ARGS.ro)
    for kw in ({}, dict(sr=True)):
        c = Conn(t).go(**kw)
        must(c.flags & TF['READ_ONLY'], 'READ_ONLY flag not set')
        b = c.read(0, 4096)
        e = c.err(C_WRITE, 0, 4096, data=bytes(4096))
        must(e, 'write was accepted')
        odd = e != EPERM and 'write errno %d, SHOULD be EPERM' % e
        for cmd in (C_TRIM, C_ZERO):
            e = c.err(cmd, 0, 4096)
            must(e in (EPERM, EINVAL), 'command %d errno %d' % (cmd, e))
        must(c.read(0, 4096) == b, 'changed')
        c.disc()
    if odd:
        raise Warn(odd)
