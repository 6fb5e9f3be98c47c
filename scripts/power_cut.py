"""Copies of a busy store's disk, as of random moments, each opened and verified.

A daemon serves two volumes from ext4 on a loop device. Three connections write, zero, trim and flush blocks of one
volume; each block written says its place and the number of the operation, and the operations are noted in memory before
they are sent. The other volume has a guest's ext4 in it, mounted through nbdfuse, where files are written, synced and
renamed. Snapshots and reclaim go on beside it. The disk's image is then cloned (FICLONE) at a random moment: the copy
has what the kernel had sent to the disk until then. What a disk loses of its own cache is not in it; the crash explorer
of the store does that.

Of each copy holds: it mounts and the daemon serves it; each connection's blocks are what they were after one of its
operations, not before the last that was flushed when cloning began and not after the last that was sent when it
ended; the snapshot taken before shows the same for its moment; the guest's file system is clean once its journal
has been replayed, and every file in it that had been synced is there with its bytes.
"""
import argparse
import ctypes
import fcntl
import hashlib
import json
import mmap
import multiprocessing
import os
import random
import struct
import subprocess
import sys
import threading
import time
import traceback

import nbd

BLOCK = 4096
LANES = 3
LANE_BLOCKS = 4096
GUEST_FILES = 97
VICTIM_GIB = 1
GUEST_GIB = 1
GUEST_BYTES = 96 << 20
DISK_BYTES = 2 << 30
FICLONE = 0x40049409
PATIENCE_S = 120
# An operation in memory: its first block, how many, and whether it wrote.
ENTRY = struct.Struct('<III')
ENTRIES_MAX = 1 << 22
WRITE, ZERO, TRIM = range(3)


# Processes that must not outlive this one.
STARTED = []


class Failed(Exception):
    """A promise was broken."""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, **options)
    if done.returncode != 0:
        raise Failed('%s: %d\n%s%s' % (' '.join(command), done.returncode, done.stdout, done.stderr))
    return done.stdout


def until(what, condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise Failed('waited in vain for ' + what)
        time.sleep(0.02)


def content(block, number):
    """What operation `number` writes to a block; 0 never wrote."""
    if number == 0:
        return bytes(BLOCK)
    head = struct.pack('<QQ', block, number)
    return head * (BLOCK // 16) if number % 2 else head + hashlib.shake_128(head).digest(BLOCK - 16)


class Daemon:
    """`cinderblock serve` on a data directory."""

    def __init__(self, program, data):
        self.program, self.data = program, data
        run_file = os.path.join(data, 'run.json')
        if os.path.exists(run_file):
            os.remove(run_file)
        os.makedirs(data, exist_ok=True)
        with open(data + '.log', 'w') as log:
            self.process = subprocess.Popen(
                [program, 'serve', '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0', '--data', data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        STARTED.append(self.process)
        until('the daemon', lambda: self.process.poll() is not None or self.answers(run_file))
        if self.process.poll() is not None:
            raise Failed('the daemon ended at its start:\n' + self.log())

    def answers(self, run_file):
        try:
            with open(run_file) as text:
                if json.load(text)['pid'] != self.process.pid:
                    return False
            self.cli('volume', 'list')
            return True
        except (OSError, ValueError, KeyError, Failed):
            return False

    def log(self):
        with open(self.data + '.log') as log:
            return log.read()

    def cli(self, *arguments):
        environment = dict(os.environ, OS_CLIENT_CONFIG_FILE=os.path.join(self.data, 'clouds.yaml'),
                           OS_CLOUD='cinderblock')
        return run(self.program, *arguments, env=environment)

    def uri(self, volume):
        return 'nbd+unix:///%s?socket=%s' % (volume, os.path.join(self.data, 'nbd.sock'))

    def connect(self, volume):
        handle = nbd.NBD()
        handle.connect_uri(self.uri(volume))
        return handle

    def stop(self):
        self.process.terminate()
        if self.process.wait(PATIENCE_S) != 0 or 'panicked' in self.log():
            raise Failed('the daemon ended badly:\n' + self.log())


class Lane:
    """A connection's operations, in memory that its process and this one share."""

    def __init__(self, number):
        self.number = number
        self.first_block = number * LANE_BLOCKS
        self.entries = mmap.mmap(-1, ENTRY.size * ENTRIES_MAX)
        # Numbers of operations: sent, answered, known to be durable.
        self.sent, self.answered, self.flushed = (multiprocessing.RawValue(ctypes.c_uint64) for _ in range(3))
        # What the blocks were after an operation that every later look begins with.
        self.base_number, self.base = 0, [0] * LANE_BLOCKS

    def load(self, daemon, stop, seed):
        """Works until told to stop."""
        dice = random.Random(seed)
        handle = daemon.connect('victim')
        number = 0
        while not stop.is_set() and number + 1 < ENTRIES_MAX:
            number += 1
            count = dice.choice((1, 1, 1, 2, 4, 8, 32))
            first = dice.randrange(LANE_BLOCKS - count)
            kind = dice.choices((WRITE, ZERO, TRIM), (14, 1, 1))[0]
            ENTRY.pack_into(self.entries, number * ENTRY.size, first, count, kind)
            self.sent.value = number
            offset = (self.first_block + first) * BLOCK
            durable = dice.random() < 0.05
            flags = nbd.CMD_FLAG_FUA if durable else 0
            if kind == WRITE:
                blocks = range(self.first_block + first, self.first_block + first + count)
                handle.pwrite(b''.join(content(block, number) for block in blocks), offset, flags)
            elif kind == ZERO:
                handle.zero(count * BLOCK, offset, flags)
            else:
                handle.trim(count * BLOCK, offset, flags)
            self.answered.value = number
            if not durable and dice.random() < 0.1:
                handle.flush()
                durable = True
            if durable:
                self.flushed.value = number
        handle.shutdown()

    def apply(self, state, number):
        """What operation `number` makes of the blocks; says which it changes."""
        first, count, kind = ENTRY.unpack_from(self.entries, number * ENTRY.size)
        for block in range(first, first + count):
            state[block] = number if kind == WRITE else 0
        return range(first, first + count)

    def check(self, handle, oldest, newest):
        """Compares with every state from one operation to another; says which it is."""
        found = []
        for start in range(0, LANE_BLOCKS, 256):
            data = handle.pread(256 * BLOCK, (self.first_block + start) * BLOCK)
            found += [bytes(data[at:at + BLOCK]) for at in range(0, len(data), BLOCK)]
        state = list(self.base)
        for number in range(self.base_number + 1, oldest + 1):
            self.apply(state, number)
        self.base_number, self.base = oldest, list(state)

        def is_right(block):
            return found[block] == content(self.first_block + block, state[block])

        wrong = {block for block in range(LANE_BLOCKS) if not is_right(block)}
        for number in range(oldest, newest + 1):
            if number > oldest:
                for block in self.apply(state, number):
                    (wrong.discard if is_right(block) else wrong.add)(block)
            if not wrong:
                return number
        block = min(wrong)
        raise Failed('connection %d: no state from %d to %d; at the end block %d is wrong, found %r, expected %d'
                     % (self.number, oldest, newest, block, struct.unpack_from('<QQ', found[block]), state[block]))


class Guest:
    """Files in a file system in a volume, written by a process of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.begun, self.synced = (multiprocessing.RawValue(ctypes.c_uint64) for _ in range(2))

    @staticmethod
    def data(number):
        head = struct.pack('<Q', number)
        return head + hashlib.shake_128(head).digest(number * 7919 % 60000)

    def load(self, stop):
        number = 0
        folder = os.open(self.folder, os.O_DIRECTORY)
        while not stop.is_set():
            number += 1
            self.begun.value = number
            name = '%s/%d' % (self.folder, number % GUEST_FILES)
            with open(name + '.new', 'wb') as file:
                file.write(self.data(number))
                file.flush()
                os.fsync(file.fileno())
            os.rename(name + '.new', name)
            os.fsync(folder)
            self.synced.value = number
        os.close(folder)

    def check(self, folder, oldest, newest):
        for slot in range(GUEST_FILES):
            # The last file of this name that had been synced, or one of those after it.
            least = oldest - (oldest - slot) % GUEST_FILES
            path = '%s/%d' % (folder, slot)
            if least <= 0 and not os.path.exists(path):
                continue
            with open(path, 'rb') as file:
                found = file.read()
            number = struct.unpack_from('<Q', found)[0]
            if not max(least, 1) <= number <= newest or found != self.data(number):
                raise Failed('file %d is of version %d, of %d to %d, or torn' % (slot, number, least, newest))


def unmount(folder):
    # What has just ended may hold it for a moment.
    until('the end of use of ' + folder,
          lambda: subprocess.run(['umount', folder], capture_output=True).returncode == 0)


class Mount:
    """A file system in a file, mounted; or a device."""

    def __init__(self, image, folder, *options):
        os.makedirs(folder, exist_ok=True)
        run('mount', *options, image, folder)
        self.folder = folder

    def __enter__(self):
        return self

    def __exit__(self, *_):
        unmount(self.folder)


class Bench:
    """The disk, the daemon and the load on it."""

    def __init__(self, program, folder, dice):
        self.program, self.folder, self.dice = program, folder, dice
        self.image = folder + '/disk.img'
        self.stop = multiprocessing.Event()
        self.lanes = [Lane(number) for number in range(LANES)]
        self.guest = Guest(folder + '/guest')
        self.snapshot = None
        self.taken = 0
        self.make_disk()
        self.daemon = Daemon(program, folder + '/pool/data')
        self.daemon.cli('volume', 'create', 'victim', '--size', str(VICTIM_GIB))
        self.daemon.cli('volume', 'create', 'guest', '--size', str(GUEST_GIB))
        self.make_guest()
        self.workers = [multiprocessing.Process(target=lane.load, args=(self.daemon, self.stop, dice.random()))
                        for lane in self.lanes]
        self.workers.append(multiprocessing.Process(target=self.guest.load, args=(self.stop,)))
        for worker in self.workers:
            worker.start()
        self.reclaimer = threading.Thread(target=self.reclaim, daemon=True)
        self.reclaimer.start()

    def make_disk(self):
        run('fallocate', '-l', str(DISK_BYTES), self.image)
        run('mkfs.ext4', '-q', '-F', self.image)
        device = run('losetup', '--find', '--show', '--direct-io=on', self.image).strip()
        if run('losetup', '--noheadings', '--output', 'DIO', device).strip() != '1':
            raise Failed('the loop device goes through the page cache: a copy would prove nothing')
        os.makedirs(self.folder + '/pool')
        run('mount', device, self.folder + '/pool')

    def make_guest(self):
        """The volume as a file, the file as a disk, and a file system on it."""
        behind = self.folder + '/nbd'
        os.makedirs(behind)
        with open(self.folder + '/nbdfuse.log', 'w') as log:
            command = ['nbdfuse', behind + '/disk', self.daemon.uri('guest')]
            self.fuse = subprocess.Popen(command, stdout=log, stderr=log)
        STARTED.append(self.fuse)
        until('nbdfuse', lambda: os.path.exists(behind + '/disk'))
        self.guest_device = run('losetup', '--find', '--show', behind + '/disk').strip()
        run('mkfs.ext4', '-q', self.guest_device, '%dk' % (GUEST_BYTES >> 10))
        os.makedirs(self.guest.folder)
        run('mount', self.guest_device, self.guest.folder)

    def reclaim(self):
        while not self.stop.wait(3):
            try:
                self.daemon.cli('reclaim')
            except Failed as error:
                print(error, file=sys.stderr)

    def check_alive(self):
        for worker in self.workers:
            if not worker.is_alive():
                raise Failed('the load ended by itself:\n' + self.daemon.log())

    def take_snapshot(self):
        """A snapshot, and between which operations of each connection it lies."""
        if self.snapshot:
            self.daemon.cli('snapshot', 'delete', self.snapshot[0])
        self.taken += 1
        name = 'moment-%d' % self.taken
        oldest = [lane.answered.value for lane in self.lanes]
        # The client takes a moment, the snapshot does not: all that is sent meanwhile is allowed in it.
        self.daemon.cli('snapshot', 'create', 'victim', '--name', name)
        newest = [lane.sent.value for lane in self.lanes]
        self.snapshot = (name, oldest, newest)

    def cut(self, number):
        """Copies the disk at a random moment and verifies the copy."""
        if self.dice.random() < 0.4:
            self.take_snapshot()
        time.sleep(self.dice.uniform(0.05, 0.8))
        self.check_alive()
        copy = '%s/copy-%d.img' % (self.folder, number)
        limits = Limits(self.lanes, self.guest)
        with open(self.image, 'rb') as source, open(copy, 'wb') as target:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        limits.end()
        try:
            with Mount(copy, self.folder + '/copied', '-o', 'loop'):
                self.verify(limits)
        except Exception:
            kept = '/var/tmp/power-cut-failed-%d.img' % os.getpid()
            run('cp', '--sparse=always', copy, kept)
            print('the copy is kept as ' + kept, file=sys.stderr)
            raise
        finally:
            os.remove(copy)

    def verify(self, limits):
        daemon = Daemon(self.program, self.folder + '/copied/data')
        try:
            if self.snapshot:
                self.verify_snapshot(daemon)
            handle = daemon.connect('victim')
            for lane, oldest, newest in zip(self.lanes, limits.oldest, limits.newest):
                lane.check(handle, oldest, newest)
            handle.shutdown()
            self.verify_guest(daemon, limits)
            daemon.stop()
        except Exception:
            daemon.process.kill()
            daemon.process.wait()
            raise

    def verify_snapshot(self, daemon):
        """Once: later looks begin where this one does, and those may be later."""
        name, oldest, newest = self.snapshot
        daemon.cli('volume', 'create', 'of-snapshot', '--size', str(VICTIM_GIB), '--snapshot', name)
        handle = daemon.connect('of-snapshot')
        for lane, first, last in zip(self.lanes, oldest, newest):
            if lane.base_number <= first:
                lane.check(handle, first, last)
        handle.shutdown()

    def verify_guest(self, daemon, limits):
        dump = self.folder + '/guest.img'
        handle = daemon.connect('guest')
        with open(dump, 'wb') as file:
            for offset in range(0, GUEST_BYTES, 4 << 20):
                file.write(handle.pread(4 << 20, offset))
        handle.shutdown()
        # 1: the journal was replayed. Anything else had to be mended.
        replayed = subprocess.run(['e2fsck', '-E', 'journal_only', '-y', dump], capture_output=True, text=True)
        if replayed.returncode not in (0, 1):
            raise Failed('replaying the guest\'s journal: ' + replayed.stdout + replayed.stderr)
        run('e2fsck', '-fn', dump)
        with Mount(dump, self.folder + '/guest-copied', '-o', 'loop,ro'):
            self.guest.check(self.folder + '/guest-copied', limits.synced, limits.begun)
        os.remove(dump)

    def end(self):
        self.stop.set()
        for worker in self.workers:
            worker.join(PATIENCE_S)
            if worker.exitcode != 0:
                raise Failed('a worker ended with %s' % worker.exitcode)
        self.reclaimer.join(PATIENCE_S)
        run('umount', self.guest.folder)
        run('losetup', '--detach', self.guest_device)
        unmount(self.folder + '/nbd')
        self.fuse.wait(PATIENCE_S)
        self.daemon.stop()
        return sum(lane.answered.value for lane in self.lanes), self.guest.synced.value


class Limits:
    """Between which operations the moment of a copy lies."""

    def __init__(self, lanes, guest):
        self.lanes, self.guest = lanes, guest
        self.oldest = [lane.flushed.value for lane in lanes]
        self.synced = guest.synced.value

    def end(self):
        self.newest = [lane.sent.value for lane in self.lanes]
        self.begun = self.guest.begun.value


def cut_often(arguments):
    bench = Bench(arguments.program, arguments.folder, random.Random(arguments.seed))
    began = time.monotonic()
    for number in range(1, arguments.rounds + 1):
        bench.cut(number)
        if number % 10 == 0:
            print('%d copies verified, %.0f s' % (number, time.monotonic() - began), flush=True)
    return bench.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, required=True)
    parser.add_argument('--program', required=True)
    parser.add_argument('--folder', required=True, help='an empty one, on a file system that can clone files')
    parser.add_argument('--seed', type=int, default=random.getrandbits(32),
                        help='of the load and the moments; not of the machine')
    arguments = parser.parse_args()
    print('seed %d' % arguments.seed, flush=True)
    try:
        operations, files = cut_often(arguments)
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        for process in multiprocessing.active_children() + STARTED:
            process.kill()
    print('%d power cuts under %d operations and %d synced files: every copy opened, was clean, and missed nothing'
          % (arguments.rounds, operations, files))
    return 0


if __name__ == '__main__':
    sys.exit(main())
