"""Ages disk images, and plays the changes into volumes as a guest would.

A generation upgrades some of the packages of a mounted image in place and churns other files. What it
changed of the raw image is kept as a delta: records of a block number (8 bytes, little endian) and 4 KiB;
where the highest bit of the number is set the block became zeroes, and no data follows. All is drawn from
a seed.
"""
import hashlib
import json
import os
import random
import re
import struct
import subprocess
import sys
import urllib.request

BLOCK = 4096
PIECE = 4 << 20
ZERO = 1 << 63
NAME = struct.Struct('<Q')
# Of the packages, so many per cent are upgraded in a generation; of their programs and other files so many
# change, and the rest is written again as it was, as dpkg does.
UPGRADED, PROGRAMS_CHANGED, OTHERS_CHANGED = 8, 60, 10
OTHERS = '/usr/share/doc/', '/usr/share/locale/', '/usr/share/man/', '/usr/share/zoneinfo/', '/usr/share/i18n/'
WORDS = 'started stopped session user root unit service failed closed accepted device network timeout cron'.split()


def within(root, path):
    """The place of a regular file of the image; None where it is none, or leads out of it."""
    place = root + path
    inside = os.path.realpath(os.path.dirname(place)).startswith(root)
    return place if inside and os.path.isfile(place) and not os.path.islink(place) else None


def replace(place, data):
    """Writes a file as dpkg does: beside the old one, and over its name."""
    new, mode = place + '.dpkg-new', os.stat(place).st_mode
    with open(new, 'wb') as file:
        file.write(data)
    os.chmod(new, mode)
    os.rename(new, place)


def newer(data, dice):
    """The next version: eight bytes in 16 KiB differ, and what lies behind one place has moved."""
    data = bytearray(data)
    for _ in range(len(data) // 16384 + 1):
        at = dice.randrange(len(data) + 1)
        data[at:at + 8] = dice.randbytes(min(8, len(data) - at))
    at = dice.randrange(len(data) + 1)
    data[at:at] = dice.randbytes(dice.randrange(16, 2048))
    return bytes(data)


def upgrade(root, package, dice):
    """Writes all files of a package anew; the bytes written."""
    written = 0
    with open('%s/var/lib/dpkg/info/%s.list' % (root, package)) as names:
        for name in names.read().splitlines():
            place = within(root, name)
            if not place:
                continue
            with open(place, 'rb') as file:
                data = file.read()
            changed = OTHERS_CHANGED if name.startswith(OTHERS) else PROGRAMS_CHANGED
            replace(place, newer(data, dice) if dice.randrange(100) < changed else data)
            written += len(data)
    return written


def lines(dice, count):
    stamps = ('%s host %s[%d]: %s\n' % (day, dice.choice(WORDS), dice.randrange(99999), ' '.join(dice.choices(WORDS, k=9)))
              for day in range(count))
    return ''.join(stamps).encode()


def put(place, data, mode='wb'):
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, mode) as file:
        file.write(data)


def churn(root, generation, downloaded, dice):
    """Logs that grow and are rotated, caches that come and go, small edits, a database."""
    for log in 'syslog', 'auth.log', 'daemon.log', 'messages':
        place = '%s/var/log/%s' % (root, log)
        if generation % 4 == 0 and os.path.exists(place):
            os.rename(place, place + '.1')
        put(place, lines(dice, dice.randrange(2000, 20000)), 'ab')
    # The packages as they came, compressed; those of the last time are cleaned away.
    put('%s/var/cache/apt/archives/%d.deb' % (root, generation), dice.randbytes(min(downloaded // 4, 16 << 20)))
    for name in range(20):
        put('%s/var/cache/app/%d/%d' % (root, generation, name), dice.randbytes(dice.randrange(20000)) + lines(dice, 200))
    for gone in 'apt/archives/%d.deb' % (generation - 1), 'app/%d' % (generation - 2):
        subprocess.run(['rm', '-rf', '%s/var/cache/%s' % (root, gone)], check=True)
    for name in range(40):
        put('%s/home/user/notes/%d.txt' % (root, dice.randrange(400)), lines(dice, 1 + name), 'ab')
    put('%s/var/lib/dpkg/status' % root, b'\n', 'ab')
    database = '%s/var/lib/app/database' % root
    if not os.path.exists(database):
        put(database, lines(dice, 100000)[:8 << 20])
    with open(database, 'r+b') as file:
        for _ in range(200):
            file.seek(dice.randrange(os.path.getsize(database) // BLOCK) * BLOCK)
            file.write(dice.randbytes(BLOCK // 2))


def live_through(image, root, generation, dice):
    """One generation of a mounted image, and what its owner does then: trim free space."""
    subprocess.run(['mount', '-o', 'loop', image, root], check=True)
    try:
        info = os.listdir(root + '/var/lib/dpkg/info')
        packages = sorted(name[:-5] for name in info if name.endswith('.list'))
        some = dice.sample(packages, max(1, len(packages) * UPGRADED // 100))
        written = sum(upgrade(root, package, dice) for package in some)
        churn(root, generation, written, dice)
        subprocess.run(['fstrim', root], check=True)
    finally:
        subprocess.run(['umount', root], check=True)


def pieces(path):
    with open(path, 'rb') as file:
        while piece := file.read(PIECE):
            yield piece


def differences(old, new):
    """Number and content of every block that differs."""
    for at, (before, after) in enumerate(zip(pieces(old), pieces(new), strict=True)):
        if before == after:
            continue
        for skip in range(0, len(after), BLOCK):
            if before[skip:skip + BLOCK] != after[skip:skip + BLOCK]:
                yield at * (PIECE // BLOCK) + skip // BLOCK, after[skip:skip + BLOCK]


def read_delta(path):
    """Number and content of each block; None for zeroes."""
    with open(path, 'rb') as file:
        while name := file.read(NAME.size):
            number = NAME.unpack(name)[0]
            yield (number ^ ZERO, None) if number & ZERO else (number, file.read(BLOCK))


def extents(delta):
    """Blocks that follow one another, data or zeroes, up to 1 MiB of data: as a guest writes them."""
    first, data, count = 0, [], 0
    for number, block in delta:
        same = count and number == first + count and (block is None) == (not data) and len(data) < 256
        if count and not same:
            yield first, data, count
        if not same:
            first, data, count = number, [], 0
        count += 1
        if block is not None:
            data.append(block)
    if count:
        yield first, data, count


def digest(path):
    sha = hashlib.sha256()
    for piece in pieces(path):
        sha.update(piece)
    return sha.hexdigest()


def age(image, folder, seed, generations):
    """Ages a copy of an image: a delta for each generation, and the digest of the whole image after it."""
    name = os.path.basename(image).removesuffix('.raw')
    old, new, root = ('%s/%s' % (folder, part) for part in ('old', 'new', 'root'))
    os.mkdir(root)
    for copy in old, new:
        subprocess.run(['cp', '--sparse=always', image, copy], check=True)
    for generation in range(int(generations) + 1):
        if generation:
            live_through(new, root, generation, random.Random('%s %s %d' % (seed, name, generation)))
        path, blocks = '%s/%s.%02d' % (folder, name, generation), 0
        with open(path, 'wb') as delta:
            for number, block in differences(old, new):
                empty = not block.strip(b'\0')
                delta.write(NAME.pack(number | ZERO) if empty else NAME.pack(number) + block)
                blocks += 1
        apply(old, path)
        with open(path + '.sha256', 'w') as file:
            file.write(digest(new))
        print('%s, generation %d: %.1f MiB changed' % (name, generation, blocks / 256), flush=True)
    os.unlink(old)
    os.unlink(new)
    os.rmdir(root)


def apply(image, delta):
    """Changes a raw image as a delta says; zeroes become holes."""
    with open(image, 'r+b') as file:
        for first, data, count in extents(read_delta(delta)):
            if data:
                file.seek(first * BLOCK)
                file.write(b''.join(data))
                continue
            file.flush()
            place = ['--offset', str(first * BLOCK), '--length', str(count * BLOCK)]
            subprocess.run(['fallocate', '--punch-hole', *place, image], check=True)


def write(uri, delta):
    """Changes a volume as a guest does whose file system changed like that."""
    import nbd
    disk = nbd.NBD()
    disk.connect_uri(uri)
    for first, data, count in extents(read_delta(delta)):
        if data:
            disk.pwrite(b''.join(data), first * BLOCK)
        else:
            disk.trim(count * BLOCK, first * BLOCK)
    disk.flush()
    disk.shutdown()


def unlimited(clouds):
    """Lifts the quotas of the project that a clouds.yaml of the daemon names."""
    with open(clouds) as file:
        said = dict(re.findall(r'^ *(\w+): *"?([^"\n]+)"?$', file.read(), re.MULTILINE))
    domain = {'name': said['user_domain_name']}
    user = {'name': said['username'], 'domain': domain, 'password': said['password']}
    scope = {'project': {'name': said['project_name'], 'domain': domain}}
    login = {'auth': {'identity': {'methods': ['password'], 'password': {'user': user}}, 'scope': scope}}
    with ask('POST', said['auth_url'].rstrip('/') + '/auth/tokens', login) as answer:
        token, project = answer.headers['X-Subject-Token'], json.load(answer)['token']['project']['id']
    service = said['auth_url'].split('/identity')[0] + '/volume/v3/os-quota-sets/' + project
    ask('PUT', service, {'quota_set': dict.fromkeys(('volumes', 'snapshots', 'gigabytes'), -1)}, token).close()


def ask(method, url, body, token=''):
    head = {'Content-Type': 'application/json', 'X-Auth-Token': token}
    request = urllib.request.Request(url, json.dumps(body).encode(), head, method=method)
    return urllib.request.urlopen(request, timeout=60)


def cpu(pid):
    """Processor seconds of a daemon's threads of the store so far: packing and the like, recompression."""
    seconds = dict.fromkeys(('store-backgroun', 'store-idle'), 0.0)
    for task in os.listdir('/proc/%s/task' % pid):
        with open('/proc/%s/task/%s/stat' % (pid, task)) as stat:
            name, fields = stat.read().split('(', 1)[1].rsplit(') ', 1)
        if name in seconds:
            seconds[name] += sum(map(int, fields.split()[11:13])) / os.sysconf('SC_CLK_TCK')
    print('%.1f %.1f' % tuple(seconds.values()))


if __name__ == '__main__':
    {'age': age, 'unlimited': unlimited, 'apply': apply, 'write': write, 'cpu': cpu}[sys.argv[1]](*sys.argv[2:])
