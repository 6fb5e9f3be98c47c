"""What the checks share: the registry, outcomes other than success, and the modes of replies."""
import argparse
import random
import time

from wire import Conn, Gone, TF, Target


def wait_up(limit=3.0):
    "until the server greets, at most limit seconds (a crashed one may be restarted by its keeper)"
    end = time.time() + limit
    while time.time() < end:
        try:
            Conn(T, cflags=None).close()
            return True
        except (OSError, Gone):
            time.sleep(0.05)
    return False


class Skip(Exception):
    pass


class Warn(Exception):
    pass


RES, ORDER = {}, []
ARGS = argparse.Namespace(note='')   # the command line and what the server offers, set by main
T = Target()                          # the export under test, set by main


def check(name):
    def deco(f):
        ORDER.append((name, f))
        return f
    return deco


def need(c, flag):
    if not c.flags & TF[flag]:
        raise Skip('no ' + flag)


def must(cond, msg):
    if not cond:
        raise AssertionError(msg)


def alive():
    c = Conn(T).go()
    c.read(0, max(512, ARGS.min))
    c.disc()


def pat(n, seed):
    return random.Random(seed).randbytes(n)


def A(n):
    "round down to the server's minimum block"
    return n // ARGS.min * ARGS.min


def modes():
    yield 'simple', {}
    if ARGS.has_sr:
        yield 'structured', dict(sr=True)
    if ARGS.has_ext:
        yield 'extended', dict(ext=True)


def each(f):
    def g():
        notes = []
        for n, kw in modes():
            try:
                f(kw)
            except Warn as w:
                notes.append('%s: %s' % (n, w))
            except Skip:
                raise
            except Exception as e:
                raise AssertionError('[%s] %s: %s' % (n, type(e).__name__, e))
        if notes:
            raise Warn('; '.join(notes))
    return g
