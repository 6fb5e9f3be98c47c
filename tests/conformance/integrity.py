"""Random operations over several connections, compared with a shadow of the disk."""
import random
import threading

from wire import C_FLUSH, C_TRIM, C_ZERO, Conn, F_FUA, F_NOHOLE, TF
from harness import ARGS, Skip, T, alive, check, modes, must
from commands import fullmap


@check('integrity.random-ops')
def _():
    n, k = ARGS.ops, ARGS.conns
    base, total = 64 << 20, min(ARGS.size - (64 << 20), ARGS.span)
    if total < 8 << 20:
        raise Skip('export too small')
    per = total // k // 65536 * 65536
    probs, counts, lock = [], {}, threading.Lock()
    shadows = [None] * k
    kws = list(dict(modes()).values())

    def work(w):
        try:
            r = random.Random(ARGS.seed * 1000 + w)
            c = Conn(T).go(**kws[w % len(kws)])
            lo = base + w * per
            sh = bytearray()
            while len(sh) < per:
                sh += c.read(lo + len(sh), min(1 << 20, per - len(sh)))
            q = []
            for i in range(n // k):
                o = r.randrange(per)
                l = r.choice((512, 4096, 4096, 4096, 16384, 65536, 262144, r.randrange(1, 100000)))
                if ARGS.min > 1 or r.random() < 0.7:
                    g = max(ARGS.min, 4096 if r.random() < 0.6 else 512)
                    o, l = o // g * g, max(l // g * g, g)
                l = min(l, per - o)
                if l <= 0:
                    continue
                x = r.random()
                if x < 0.35:
                    op = 'read'
                    if c.read(lo + o, l) != bytes(sh[o:o + l]):
                        raise AssertionError('worker %d op %d: read %d+%d differs' % (w, i, lo + o, l))
                elif x < 0.75:
                    op = 'write'
                    d = r.randbytes(l) if r.random() < 0.7 else bytes([r.randrange(256)]) * l
                    fl = F_FUA if r.random() < 0.1 and c.flags & TF['FUA'] else 0
                    c.write(lo + o, d, fl)
                    sh[o:o + l] = d
                elif x < 0.85 and c.flags & TF['ZEROES']:
                    op = 'zero'
                    c.cmd(C_ZERO, lo + o, l, flags=r.choice((0, F_NOHOLE)))
                    sh[o:o + l] = bytes(l)
                elif x < 0.95 and c.flags & TF['TRIM']:
                    op = 'trim'
                    c.cmd(C_TRIM, lo + o, l)
                    sh[o:o + l] = c.read(lo + o, l)   # contents undefined, but stable
                elif c.flags & TF['FLUSH']:
                    op = 'flush'
                    c.cmd(C_FLUSH)
                else:
                    continue
                with lock:
                    counts[op] = counts.get(op, 0) + 1
            if c.flags & TF['FLUSH']:
                c.cmd(C_FLUSH)
            c.disc()
            shadows[w] = sh
        except Exception as e:
            probs.append('%s: %s' % (type(e).__name__, e))

    ths = [threading.Thread(target=work, args=(w,)) for w in range(k)]
    for t in ths:
        t.start()
    for t in ths:
        t.join()
    must(not probs, '; '.join(probs[:3]))
    c = Conn(T).go(sr=ARGS.has_sr, meta=['base:allocation'] if ARGS.has_meta else ())
    for w in range(k):
        for o in range(0, per, 1 << 20):
            l = min(1 << 20, per - o)
            must(c.read(base + w * per + o, l) == bytes(shadows[w][o:o + l]), 'final compare %d' % w)
        if c.ctx:
            for p, l, f in fullmap(c, base + w * per, per):
                if f & 2:
                    s = shadows[w][p - base - w * per:p - base - w * per + l]
                    must(not any(s), 'ZERO extent over data at %d' % p)
    c.disc()
    ARGS.note = ' '.join('%s=%d' % x for x in sorted(counts.items()))


@check('end.server-still-serves')
def _():
    alive()
