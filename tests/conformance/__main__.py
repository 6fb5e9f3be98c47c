#!/usr/bin/python3
"""Black-box conformance of an NBD server, to the NBD project's doc/proto.md. DESTROYS the export.

Each check prints one line: `ok|FAIL|warn|skip NAME[: detail]`. FAIL is a broken MUST, lost data, a hang
or a dead server; warn is a SHOULD not followed, or a legal but unusual answer. The exit status is 1
when anything FAILed.
"""
import argparse
import re
import sys
import traceback

# Importing registers the checks, in the order in which they run.
import handshake, transfers, commands, parallel, integrity

from wire import Conn, ERR, O_EXT, O_GO, O_SMETA, O_SR, R_ACK, TF
from harness import ARGS, ORDER, Skip, T, Warn, must, wait_up


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('uri')
    p.add_argument('--ro', help='URI of a read-only export of the same server')
    p.add_argument('--any-name', action='store_true', help='the server accepts every export name')
    p.add_argument('--ops', type=int, default=4000)
    p.add_argument('--conns', type=int, default=4)
    p.add_argument('--span', type=int, default=64 << 20, help='bytes of the export that random ops use')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--only', help='regular expression of check names')
    p.add_argument('--trace', action='store_true')
    p.parse_args(namespace=ARGS)
    T.set(ARGS.uri)
    c = Conn(T)
    ARGS.has_sr = c.simple(O_SR) == R_ACK
    ARGS.has_meta = False
    if ARGS.has_sr:
        g, r = c.meta(O_SMETA, ['base:allocation'])
        ARGS.has_meta = r == R_ACK and 'base:allocation' in g
    r = c.infogo(O_GO)
    if r != R_ACK:
        sys.exit('cannot GO to %r: %s' % (T.export, ERR.get(r, r)))
    ARGS.size, ARGS.min = c.size, (c.blk[0] if c.blk else 1)
    fl = [n for n, b in TF.items() if c.flags & b]
    blk = c.blk
    c.disc()
    c = Conn(T)
    ARGS.has_ext = c.simple(O_EXT) == R_ACK
    c.close()
    print('# size=%d block=%s structured=%d meta=%d extended=%d flags=%s' % (
        ARGS.size, blk, ARGS.has_sr, ARGS.has_meta, ARGS.has_ext, ','.join(fl)))
    if ARGS.size < 160 << 20:
        sys.exit('the export is smaller than 160 MiB')
    n = dict(ok=0, FAIL=0, warn=0, skip=0)
    for name, f in ORDER:
        if ARGS.only and not re.search(ARGS.only, name):
            continue
        up = wait_up()
        try:
            must(up, 'the server is not there')
            f()
            st, why = 'ok', ''
        except Skip as e:
            st, why = 'skip', str(e)
        except Warn as e:
            st, why = 'warn', str(e)
        except Exception as e:
            st, why = 'FAIL', '%s: %s' % (type(e).__name__, e) if not isinstance(e, AssertionError) else str(e)
            if ARGS.trace:
                traceback.print_exc()
        if ARGS.note and st == 'ok':
            why, ARGS.note = ARGS.note, ''
        n[st] += 1
        print(st + ' ' + name + (': ' + why if why else ''), flush=True)
    print('# warnings: %d' % n['warn'])
    print('%d passed, %d failed, %d skipped' % (n['ok'] + n['warn'], n['FAIL'], n['skip']))
    return 1 if n['FAIL'] else 0


if __name__ == '__main__':
    sys.exit(main())
