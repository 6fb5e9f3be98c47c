"""Throughput and latency of NBD servers side by side, with fio's nbd engine.

In every round each workload runs on every target in turn, in rotated order, so that ratios mean
something on a machine whose speed drifts. Prints Markdown tables of medians: the figures, and in brackets
the first target's over the other's, the median of the rounds. Threads of the first target whose names
are given as background are counted apart. Reads are measured as the other workloads left the data; with
--pack behind that command and one pass over everything, which is packed then and in the page cache; and right
behind a sequential write of everything. With --pack, writing everything until it is packed comes last. Without
reads among --only none of these. DESTROYS what is on the targets.
"""
import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import time

WORKLOADS = {
    'sequential write 1 MiB': ('seqw', '--rw=write --bs=1m --iodepth=4', 'MB/s'),
    'sequential write 1 MiB, flush every 64': ('seqwf', '--rw=write --bs=1m --iodepth=4 --fsync=64', 'MB/s'),
    'sequential read 1 MiB': ('seqr', '--rw=read --bs=1m --iodepth=4', 'MB/s'),
    'random read 4 KiB, 1 at a time': ('randr1', '--rw=randread --bs=4k --iodepth=1', 'IOPS'),
    'random read 4 KiB, 32 at a time': ('randr32', '--rw=randread --bs=4k --iodepth=32', 'IOPS'),
    'random write 4 KiB, 1 at a time': ('randw1', '--rw=randwrite --bs=4k --iodepth=1', 'IOPS'),
    'random write 4 KiB, 32 at a time': ('randw32', '--rw=randwrite --bs=4k --iodepth=32', 'IOPS'),
    'random write 4 KiB, flush each': ('sync1', '--rw=randwrite --bs=4k --iodepth=1 --fsync=1', 'IOPS'),
    'random write 4 KiB, flush every 32': ('sync32', '--rw=randwrite --bs=4k --iodepth=32 --fsync=32', 'IOPS'),
    'mixed 64 KiB, 70 % reads': ('mix', '--rw=randrw --rwmixread=70 --bs=64k --iodepth=8', 'MB/s'),
}


READS = [work for work in WORKLOADS if ' read ' in work]
BACKGROUND = ('store-backgroun', 'store-dump', 'store-scrub', 'store-idle')


def cpu_seconds(pid):
    """Of the whole process, and of those of its threads that work in the background."""
    def of(path):
        with open(path) as stat:
            name, fields = stat.read().split('(', 1)[1].rsplit(') ', 1)
        return name, sum(map(int, fields.split()[11:13])) / os.sysconf('SC_CLK_TCK')
    background = 0
    for thread in os.listdir('/proc/%d/task' % pid):
        try:
            name, seconds = of('/proc/%d/task/%s/stat' % (pid, thread))
        except OSError:   # It has ended: a connection's, perhaps.
            continue
        background += seconds if name in BACKGROUND else 0
    return of('/proc/%d/stat' % pid)[1], background


def fio(uri, arguments, size):
    # Half of every 4 KiB compresses away, as real data does; no two blocks are equal.
    command = ['fio', '--name=bench', '--ioengine=nbd', '--uri=' + uri, '--size=%d' % size, '--output-format=json',
               '--randrepeat=0', '--norandommap', '--randseed=%d' % random.getrandbits(30), '--refill_buffers',
               '--buffer_compress_percentage=50', '--buffer_compress_chunk=4k'] + arguments
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if run.returncode:
        sys.exit('fio on %s: %s' % (uri, (run.stderr + run.stdout)[-500:]))
    return json.loads(run.stdout[run.stdout.index('{'):])['jobs'][0]


def fill(target, options):
    fio(target['uri'], ['--rw=write', '--bs=1m', '--iodepth=4', '--end_fsync=1'], options.size << 20)


def measure(target, workload, options):
    _, arguments, unit = WORKLOADS[workload]
    all_before, behind_before = cpu_seconds(target['pid'])
    job = fio(target['uri'], arguments.split() + ['--time_based', '--runtime=%d' % options.secs], options.size << 20)
    all_after, behind_after = cpu_seconds(target['pid'])
    sides = job['read'], job['write']
    moved = sum(side['io_bytes'] for side in sides) / 2**30 or float('inf')
    figure = sum(side['bw_bytes'] for side in sides) / 1e6 if unit == 'MB/s' else sum(side['iops'] for side in sides)
    behind = behind_after - behind_before
    return figure, (all_after - all_before - behind) / moved, behind / moved


def pack(options):
    subprocess.run(shlex.split(options.pack), check=True, stdout=subprocess.DEVNULL)


def run_rounds(targets, works, options, anew=False):
    """Measures each workload on each target, with `anew` right behind a write of everything."""
    results = {}
    for number in range(options.rounds):
        for position, work in enumerate(works):
            turn = (number + position) % len(targets)
            for target in targets[turn:] + targets[:turn]:
                if anew:
                    fill(target, options)
                results.setdefault((work, target['name']), []).append(measure(target, work, options))
                # Or it would be done beside the others' turns.
                if anew and options.pack and target is targets[0]:
                    pack(options)
        print('round %d of %d done' % (number + 1, options.rounds), file=sys.stderr, flush=True)
    return results


def middle(results, work, name, which):
    return statistics.median(row[which] for row in results[work, name])


def print_tables(results, names, works):
    print('| workload | unit | ' + ' | '.join(names) + ' |')
    print('|---|---|' + '---:|' * len(names))
    for work in works:
        ours = results[work, names[0]]
        cells = ['%.0f' % middle(results, work, names[0], 0)]
        for name in names[1:]:
            ratio = statistics.median(our[0] / their[0] for our, their in zip(ours, results[work, name]))
            cells.append('%.0f (x%.2f)' % (middle(results, work, name, 0), ratio))
        print('| %s | %s | %s |' % (work, WORKLOADS[work][2], ' | '.join(cells)))
    print('\nCPU seconds of the server per GiB moved; what %s does in the background apart:\n' % names[0])
    print('| workload | %s, background | ' % names[0] + ' | '.join(names) + ' |')
    print('|---|---:|' + '---:|' * len(names))
    for work in works:
        cells = ['%.2f' % middle(results, work, names[0], 2)]
        cells += ['%.2f' % middle(results, work, name, 1) for name in names]
        print('| %s | %s |' % (work, ' | '.join(cells)))


def run_whole(targets, options):
    """Everything written anew and, by the first target, packed: MB/s from fio's start to the end."""
    rates = {target['name']: [] for target in targets}
    pack(options)
    for number in range(options.rounds):
        turn = number % len(targets)
        for target in targets[turn:] + targets[:turn]:
            begin = time.monotonic()
            fill(target, options)
            if target is targets[0]:
                pack(options)
            rates[target['name']].append((options.size << 20) / 1e6 / (time.monotonic() - begin))
    names = list(rates)
    cells = ['%.0f' % statistics.median(rates[names[0]])]
    for name in names[1:]:
        ratio = statistics.median(our / their for our, their in zip(rates[names[0]], rates[name]))
        cells.append('%.0f (x%.2f)' % (statistics.median(rates[name]), ratio))
    print('| whole run | unit | ' + ' | '.join(names) + ' |')
    print('|---|---|' + '---:|' * len(names))
    print('| %d MiB written and flushed, and packed by %s | MB/s | %s |' % (options.size, names[0], ' | '.join(cells)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('targets', nargs='+', help='NAME=URI@PID')
    parser.add_argument('--size', type=int, default=768, help='MiB of each export that are used')
    parser.add_argument('--secs', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--only', default='', help='of: ' + ' '.join(short for short, _, _ in WORKLOADS.values()))
    parser.add_argument('--pack', default='', help='the command that makes the first target pack everything')
    options = parser.parse_args()
    targets = []
    for text in options.targets:
        name, rest = text.split('=', 1)
        uri, pid = rest.rsplit('@', 1)
        targets.append(dict(name=name, uri=uri, pid=int(pid)))
    works = [work for work, (short, _, _) in WORKLOADS.items() if not options.only or short in options.only.split(',')]
    for target in targets:   # Data everywhere, so that reads are not of holes.
        fill(target, options)
        print('filled ' + target['name'], file=sys.stderr, flush=True)
    names = [target['name'] for target in targets]
    print_tables(run_rounds(targets, works, options), names, works)
    works = [work for work in works if work in READS]
    if not works:
        return
    if options.pack:
        pack(options)
        for target in targets:
            fio(target['uri'], ['--rw=read', '--bs=1m', '--iodepth=4'], options.size << 20)
        print('\nReads when all is packed, and in the page cache:\n')
        print_tables(run_rounds(targets, works, options), names, works)
    print('\nReads right behind a sequential write of everything, which is not packed yet:\n')
    print_tables(run_rounds(targets, works, options, anew=True), names, works)
    if options.pack:
        print('\nEverything written once more, until it is packed:\n')
        run_whole(targets, options)


main()
