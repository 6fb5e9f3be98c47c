"""Throughput and latency of NBD servers side by side, with fio's nbd engine.

In every round each workload runs on every target in turn, in rotated order, so that ratios mean
something on a machine whose speed drifts. Prints a Markdown table of medians, each with its ratio to
the first target. DESTROYS what is on the targets.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys

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


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid) as stat:
        fields = stat.read().rsplit(') ', 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf('SC_CLK_TCK')


def fio(uri, arguments, size):
    # Half of every 4 KiB compresses away, as real data does; no two blocks are equal.
    command = ['fio', '--name=bench', '--ioengine=nbd', '--uri=' + uri, '--size=%d' % size, '--output-format=json',
               '--randrepeat=0', '--norandommap', '--randseed=%d' % random.getrandbits(30), '--refill_buffers',
               '--buffer_compress_percentage=50', '--buffer_compress_chunk=4k'] + arguments
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if run.returncode:
        sys.exit('fio on %s: %s' % (uri, (run.stderr + run.stdout)[-500:]))
    return json.loads(run.stdout[run.stdout.index('{'):])['jobs'][0]


def measure(target, workload, options):
    _, arguments, unit = WORKLOADS[workload]
    before = cpu_seconds(target['pid'])
    job = fio(target['uri'], arguments.split() + ['--time_based', '--runtime=%g' % options.secs], options.size << 20)
    sides = job['read'], job['write']
    moved = sum(side['io_bytes'] for side in sides) / 2**30
    figure = sum(side['bw_bytes'] for side in sides) / 1e6 if unit == 'MB/s' else sum(side['iops'] for side in sides)
    return figure, (cpu_seconds(target['pid']) - before) / moved if moved else 0


def print_table(results, names, works):
    print('| workload | unit | ' + ' | '.join(names) + ' |')
    print('|---|---|' + '---:|' * len(names))
    for work in works:
        base = statistics.median(figure for figure, _ in results[work, names[0]])
        cells = []
        for name in names:
            middle = statistics.median(figure for figure, _ in results[work, name])
            cells.append('%.0f' % middle if name == names[0] else '%.0f (x%.2f)' % (middle, middle / base))
        print('| %s | %s | %s |' % (work, WORKLOADS[work][2], ' | '.join(cells)))
    print('\nCPU seconds of the server per GiB moved:\n')
    print('| workload | ' + ' | '.join(names) + ' |')
    print('|---|' + '---:|' * len(names))
    for work in works:
        cells = ['%.2f' % statistics.median(cpu for _, cpu in results[work, name]) for name in names]
        print('| %s | %s |' % (work, ' | '.join(cells)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('targets', nargs='+', help='NAME=URI@PID')
    parser.add_argument('--size', type=int, default=768, help='MiB of each export that are used')
    parser.add_argument('--secs', type=float, default=2)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--only', default='', help='of: ' + ' '.join(short for short, _, _ in WORKLOADS.values()))
    options = parser.parse_args()
    targets = []
    for text in options.targets:
        name, rest = text.split('=', 1)
        uri, pid = rest.rsplit('@', 1)
        targets.append(dict(name=name, uri=uri, pid=int(pid)))
    works = [work for work, (short, _, _) in WORKLOADS.items() if not options.only or short in options.only.split(',')]
    for target in targets:   # Data everywhere, so that reads are not of holes.
        fio(target['uri'], ['--rw=write', '--bs=1m', '--iodepth=4', '--end_fsync=1'], options.size << 20)
        print('filled ' + target['name'], file=sys.stderr, flush=True)
    results = {}
    for number in range(options.rounds):
        for position, work in enumerate(works):
            turn = (number * 3 + position) % len(targets)
            for target in targets[turn:] + targets[:turn]:
                results.setdefault((work, target['name']), []).append(measure(target, work, options))
        print('round %d of %d done' % (number + 1, options.rounds), file=sys.stderr, flush=True)
    print_table(results, [target['name'] for target in targets], works)


main()
