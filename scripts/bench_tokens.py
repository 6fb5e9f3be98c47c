"""Tokens issued and validated, over four connections for some seconds each, over loopback.

Beside wall time goes the processor time of the daemon, which says more on a busy machine: issuing by password is
hashing, and nothing else.
"""
import argparse
import os

from bench_api import LOGIN, TOKENS, Daemon, rate, write

# Real Keystone 30 under two uwsgi processes with bcrypt at 4 rounds, the least there is, where 12 are the default; two
# cores shared with other work (load about 4).
REAL = {'issue': '16.6 /s', 'validate': '18.0 /s'}


def exchange(daemon):
    """A request for a token by the administrator's token."""
    identity = {'methods': ['token'], 'token': {'id': daemon.token}}
    return {'auth': {'identity': identity, 'scope': LOGIN['auth']['scope']}}


def measure(options):
    lines = []

    def line(what, figure, real=''):
        lines.append('| %s, 4 connections | %.0f /s | %.2f | %s |' % (what, *figure, real))
        print(lines[-1], flush=True)

    with Daemon(options.binary, options.directory) as daemon:
        def issue(body):
            return rate(daemon, TOKENS, options.secs, method='POST', body=body)

        line('issue by password', issue(LOGIN), REAL['issue'])
        line('issue by token', issue(exchange(daemon)))
        subject = 'X-Subject-Token: %s\r\n' % daemon.token
        line('validate', rate(daemon, TOKENS, options.secs, headers=subject), REAL['validate'])
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--secs', type=float, default=10)
    parser.add_argument('--write', action='store_true')
    parser.add_argument('binary')
    parser.add_argument('directory')
    options = parser.parse_args()
    load = os.getloadavg()[0]
    head = ['| what | cinderblock | CPU ms each | real Keystone |', '|---|---:|---:|---:|']
    print('\n'.join(head))
    lines = measure(options)
    if options.write:
        text = ('\nA release build, the processor time of the daemon for one request, and what a real Keystone 30 with the\n'
                'cheapest hashes it has did on a machine like this under a load of about 4. The load here was %.1f.\n\n'
                '    scripts/bench-tokens --write\n\n' % load)
        write(text + '\n'.join(head + lines) + '\n', '## Tokens\n')


if __name__ == '__main__':
    main()
