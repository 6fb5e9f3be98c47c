"""The NBD protocol by raw sockets: one connection, its options and its requests, strict about the
server's answers. Knows no NBD library and no server."""
import random
import socket
import struct
import time
from urllib.parse import parse_qs, unquote, urlsplit

NBDMAGIC, IHAVEOPT, REPMAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x0003E889045565A9
REQ, SREP, STRUCT, XREQ, XREP = 0x25609513, 0x67446698, 0x668E33EF, 0x21E41C71, 0x6E8A278C
(O_EXPORT, O_ABORT, O_LIST, O_STARTTLS, O_INFO, O_GO, O_SR, O_LMETA, O_SMETA, O_EXT) = (
    1, 2, 3, 5, 6, 7, 8, 9, 10, 11)
R_ACK, R_SERVER, R_INFO, R_META = 1, 2, 3, 4
E = lambda n: 0x80000000 | n
ERR = {E(1): 'UNSUP', E(2): 'POLICY', E(3): 'INVALID', E(4): 'PLATFORM', E(5): 'TLS_REQD',
       E(6): 'UNKNOWN', E(7): 'SHUTDOWN', E(8): 'BLOCK_SIZE_REQD', E(9): 'TOO_BIG',
       E(10): 'EXT_HEADER_REQD'}
(C_READ, C_WRITE, C_DISC, C_FLUSH, C_TRIM, C_CACHE, C_ZERO, C_BSTAT, C_RESIZE) = range(9)
F_FUA, F_NOHOLE, F_DF, F_ONE, F_FAST, F_PAYLOAD = 1, 2, 4, 8, 16, 32
TF = dict(HAS_FLAGS=1, READ_ONLY=2, FLUSH=4, FUA=8, ROTATIONAL=16, TRIM=32, ZEROES=64, DF=128,
          MULTI_CONN=256, RESIZE=512, CACHE=1024, FAST_ZERO=2048, BLOCK_STAT_PAYLOAD=4096)
EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108
TIMEOUT = 20.0


class Gone(Exception):
    "the server closed the connection"


class Proto(Exception):
    "the server's answer is malformed"


class NbdErr(Exception):
    def __init__(self, e):
        super().__init__('errno %d' % e)
        self.e = e


class Target:
    def __init__(self, uri=None):
        if uri:
            self.set(uri)

    def set(self, uri):
        self.uri = uri
        s = urlsplit(uri)
        self.export = unquote(s.path[1:])
        q = parse_qs(s.query)
        if s.scheme.endswith('+unix'):
            self.addr = q['socket'][0]
        else:
            self.addr = (s.hostname or 'localhost', s.port or 10809)

    def sock(self):
        if isinstance(self.addr, str):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(TIMEOUT)
            s.connect(self.addr)
        else:
            s = socket.create_connection(self.addr, timeout=TIMEOUT)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s


class Conn:
    """One connection; options first, then requests."""

    def __init__(self, t, cflags=3, hello=True):
        self.t, self.s, self.cookie = t, t.sock(), random.getrandbits(63)
        self.structured = self.ext = False
        self.size = self.flags = None
        self.ctx = {}
        self.blk = None
        if hello:
            m, o, self.hflags = struct.unpack('>QQH', self.recv(18))
            if m != NBDMAGIC or o != IHAVEOPT:
                raise Proto('bad greeting %x %x' % (m, o))
            if cflags is not None:
                self.send(struct.pack('>I', cflags))

    def send(self, b):
        try:
            self.s.sendall(b)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Gone(str(e))

    def recv(self, n):
        buf = bytearray(n)
        mv, got = memoryview(buf), 0
        while got < n:
            try:
                k = self.s.recv_into(mv[got:], n - got)
            except (ConnectionResetError, BrokenPipeError) as e:
                raise Gone(str(e))
            if k == 0:
                raise Gone('closed after %d of %d bytes' % (got, n))
            got += k
        return bytes(buf)

    def closed(self, wait=5.0):
        "True when the server closes (drains what it still sends)."
        end = time.time() + wait
        while time.time() < end:
            self.s.settimeout(max(0.05, end - time.time()))
            try:
                if not self.s.recv(65536):
                    return True
            except (ConnectionResetError, BrokenPipeError):
                return True
            except (socket.timeout, TimeoutError):
                return False
        return False

    def close(self):
        try:
            self.s.close()
        except OSError:
            pass

    # ---- options
    def opt(self, o, data=b'', length=None, magic=IHAVEOPT):
        self.send(struct.pack('>QII', magic, o, len(data) if length is None else length) + data)

    def rep(self):
        m, o, t, n = struct.unpack('>QIII', self.recv(20))
        if m != REPMAGIC:
            raise Proto('bad option reply magic %x' % m)
        if n > 1 << 20:
            raise Proto('option reply of %d bytes' % n)
        return o, t, self.recv(n)

    def reps(self, o):
        "replies up to ACK or error: (list of (type, data), final type)"
        out = []
        while True:
            ro, t, d = self.rep()
            if ro != o:
                raise Proto('reply names option %d, not %d' % (ro, o))
            if t == R_ACK or t & 0x80000000:
                if t == R_ACK and d:
                    raise Proto('ACK with a payload')
                return out, t
            out.append((t, d))
            if len(out) > 10000:
                raise Proto('endless replies')

    def infogo(self, o, name=None, infos=(3,)):
        n = (self.t.export if name is None else name)
        n = n if isinstance(n, bytes) else n.encode()
        self.opt(o, struct.pack('>I', len(n)) + n + struct.pack('>H', len(infos)) +
                 b''.join(struct.pack('>H', i) for i in infos))
        rs, fin = self.reps(o)
        seen = False
        for t, d in rs:
            if t != R_INFO:
                raise Proto('reply %d to INFO/GO' % t)
            (k,) = struct.unpack('>H', d[:2])
            if k == 0:
                if len(d) != 12:
                    raise Proto('INFO_EXPORT of %d bytes' % len(d))
                self.size, self.flags = struct.unpack('>QH', d[2:])
                seen = True
            elif k == 3:
                self.blk = struct.unpack('>III', d[2:])
        if fin == R_ACK and not seen:
            raise Proto('ACK without INFO_EXPORT')
        return fin

    def meta(self, o, queries, name=None):
        n = (self.t.export if name is None else name).encode()
        b = struct.pack('>I', len(n)) + n + struct.pack('>I', len(queries))
        for q in queries:
            q = q.encode()
            b += struct.pack('>I', len(q)) + q
        self.opt(o, b)
        rs, fin = self.reps(o)
        got = {}
        for t, d in rs:
            if t != R_META:
                raise Proto('reply %d to meta context' % t)
            got[d[4:].decode()] = struct.unpack('>I', d[:4])[0]
        return got, fin

    def simple(self, o, data=b''):
        self.opt(o, data)
        return self.reps(o)[1]

    def go(self, name=None, sr=False, ext=False, meta=()):
        if ext and self.simple(O_EXT) == R_ACK:
            self.ext = self.structured = True
        elif sr and self.simple(O_SR) == R_ACK:
            self.structured = True
        if meta and self.structured:
            self.ctx, _ = self.meta(O_SMETA, list(meta), name)
        fin = self.infogo(O_GO, name)
        if fin != R_ACK:
            raise NbdErr(fin)
        return self

    # ---- requests
    def req(self, cmd, off=0, length=0, data=b'', flags=0, cookie=None, magic=None):
        if cookie is None:
            self.cookie = (self.cookie + 0x9E3779B97F4A7C15) & (1 << 64) - 1
            cookie = self.cookie
        if self.ext:
            if cmd == C_WRITE:
                flags |= F_PAYLOAD
            h = struct.pack('>IHHQQQ', magic or XREQ, flags, cmd, cookie, off, length)
        else:
            h = struct.pack('>IHHQQI', magic or REQ, flags, cmd, cookie, off, length)
        self.send(h + data)
        return cookie

    def chunk(self):
        """One reply message: (cookie, done, kind, payload-dict).  kind: simple, none, data, hole,
        status, error."""
        (m,) = struct.unpack('>I', self.recv(4))
        if m == SREP:
            if self.ext:
                raise Proto('simple reply under extended headers')
            e, c = struct.unpack('>IQ', self.recv(12))
            return c, True, 'simple', dict(err=e)
        if m == STRUCT:
            if self.ext or not self.structured:
                raise Proto('structured reply not negotiated')
            f, t, c, n = struct.unpack('>HHQI', self.recv(16))
            off = None
        elif m == XREP:
            if not self.ext:
                raise Proto('extended reply not negotiated')
            f, t, c, off, n = struct.unpack('>HHQQQ', self.recv(28))
        else:
            raise Proto('bad reply magic %08x' % m)
        if n > 80 << 20:
            raise Proto('chunk of %d bytes' % n)
        d = self.recv(n)
        done = bool(f & 1)
        if t == 0:
            if n or not done:
                raise Proto('NONE chunk malformed')
            return c, done, 'none', {}
        if t == 1:
            return c, done, 'data', dict(off=struct.unpack('>Q', d[:8])[0], data=d[8:])
        if t == 2:
            o, l = struct.unpack('>QI', d)
            return c, done, 'hole', dict(off=o, len=l)
        if t == 5:
            ctx = struct.unpack('>I', d[:4])[0]
            b = d[4:]
            if len(b) % 8 or not b:
                raise Proto('BLOCK_STATUS of %d bytes' % n)
            return c, done, 'status', dict(ctx=ctx, ext=[struct.unpack('>II', b[i:i + 8])
                                                         for i in range(0, len(b), 8)])
        if t == 6:
            ctx, cnt = struct.unpack('>II', d[:8])
            b = d[8:]
            if len(b) != 16 * cnt:
                raise Proto('BLOCK_STATUS_EXT count %d, %d bytes' % (cnt, len(b)))
            return c, done, 'status', dict(ctx=ctx, ext=[struct.unpack('>QQ', b[i:i + 16])
                                                         for i in range(0, len(b), 16)])
        if t & 0x8000:
            e, ml = struct.unpack('>IH', d[:6])
            if 6 + ml > n or ml > 4096:
                raise Proto('error chunk string of %d in %d' % (ml, n))
            if e == 0:
                raise Proto('error chunk with errno 0')
            return c, done, 'error', dict(err=e, msg=d[6:6 + ml])
        raise Proto('unknown chunk type %d' % t)

    def finish(self, cookie, cmd, off=0, length=0):
        "collect the reply to the only outstanding request"
        buf = bytearray(length) if cmd == C_READ else None
        cover = [] if cmd == C_READ else None
        stat, err = {}, 0
        self.nchunks = 0
        while True:
            c, done, k, p = self.chunk()
            if c != cookie:
                raise Proto('reply to cookie %x, expected %x' % (c, cookie))
            self.nchunks += 1
            if k == 'simple':
                if cmd == C_READ and self.structured:
                    raise Proto('simple reply to READ under structured replies')
                if p['err']:
                    raise NbdErr(p['err'])
                if cmd == C_READ:
                    return self.recv(length)
                return None
            if k == 'error':
                err = err or p['err']
            elif k in ('data', 'hole'):
                if cmd != C_READ:
                    raise Proto('%s chunk to command %d' % (k, cmd))
                l = len(p['data']) if k == 'data' else p['len']
                o = p['off'] - off
                if l == 0 or o < 0 or o + l > length:
                    raise Proto('chunk outside of the request')
                if any(o < b and a < o + l for a, b in cover):
                    raise Proto('overlapping chunks')
                cover.append((o, o + l))
                if k == 'data':
                    buf[o:o + l] = p['data']
            elif k == 'status':
                if p['ctx'] in stat:
                    raise Proto('two status chunks for a context')
                stat[p['ctx']] = p['ext']
            if done:
                break
        if err:
            raise NbdErr(err)
        if cmd == C_READ:
            if sum(b - a for a, b in cover) != length:
                raise Proto('read covers %d of %d' % (sum(b - a for a, b in cover), length))
            return bytes(buf)
        return stat

    def cmd(self, cmd, off=0, length=0, data=b'', flags=0):
        if cmd == C_WRITE and not length:
            length = len(data)
        c = self.req(cmd, off, length, data, flags)
        return self.finish(c, cmd, off, length)

    def read(self, off, n, flags=0):
        return self.cmd(C_READ, off, n, flags=flags)

    def write(self, off, data, flags=0):
        return self.cmd(C_WRITE, off, len(data), data, flags)

    def err(self, *a, **k):
        "errno of a command, 0 when it succeeded"
        try:
            self.cmd(*a, **k)
            return 0
        except NbdErr as e:
            return e.e

    def disc(self):
        try:
            self.req(C_DISC)
        except Gone:
            pass
        self.close()
