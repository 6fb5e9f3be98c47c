"""Load on the control plane, bounded in number and time, over loopback.

Creation is measured on a disk. Lists are measured among many volumes, all of them really created through the API,
but by a daemon whose data is in memory: there creating costs processor time only, and lists read no disk anyway.
Beside wall time goes the processor time of the daemon, which says more on a busy machine.
"""
import argparse
import json
import multiprocessing
import os
import re
import signal
import socket
import statistics
import subprocess
import threading
import time

PASSWORD = 'bench'
# Real Cinder 29 with Keystone 30, MariaDB and RabbitMQ, NFS driver, two processes a service, on two cores shared with
# other work (load about 4); lists among 10,000 volumes. Medians in ms, requests a second, MiB of Cinder's and
# Keystone's processes, database and queue (sum of proportional set sizes).
REAL = {'create': '412.7 ms', 'detail 1000': '678.5 ms', 'page': '78.7 ms', 'types': '80 /s', 'rss': '1306 MiB'}
DOMAIN = {'id': 'default'}
TOKENS = '/identity/v3/auth/tokens'
LOGIN = {'auth': {'identity': {'methods': ['password'],
                               'password': {'user': {'name': 'admin', 'domain': DOMAIN, 'password': PASSWORD}}},
                  'scope': {'project': {'name': 'admin', 'domain': DOMAIN}}}}
TARGETS = {'create': '< 10 ms', 'detail 1000': '< 15 ms', 'page': '< 5 ms', 'types': '>= 3000 /s',
           'show': '>= 3000 /s', 'rss': '< 100 MiB'}
SORTS = ['created_at', 'updated_at', 'id', 'name', 'size', 'status', 'bootable', 'availability_zone', 'host', 'user_id',
         'project_id', 'volume_type_id']
FILTERS = ['', 'status=available', 'status=error', 'size=7', 'name~=77', 'metadata=%7B%27rack%27:%273%27%7D',
           'created_at=gt:2020-01-01T00:00:00', 'all_tenants=1&with_count=1']
FILL_THREADS = 4


class Client:
    """One connection; requests one after another."""

    def __init__(self, address, token=None):
        host, port = address.rsplit(':', 1)
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = 'Host: %s\r\nOpenStack-API-Version: volume 3.71\r\n' % address
        if token:
            self.head += 'X-Auth-Token: %s\r\n' % token

    def ask(self, method, path, body=None):
        """Status, headers as they came, body and seconds."""
        text = json.dumps(body).encode() if body is not None else b''
        head = '%s %s HTTP/1.1\r\n%s' % (method, path, self.head)
        if text:
            head += 'Content-Type: application/json\r\nContent-Length: %d\r\n' % len(text)
        begun = time.perf_counter()
        self.socket.sendall((head + '\r\n').encode() + text)
        data = b''
        while b'\r\n\r\n' not in data:
            data += self.read()
        head, data = data.split(b'\r\n\r\n', 1)
        length = re.search(rb'(?i)\r\ncontent-length: *(\d+)', head)
        parts, missing = [data], int(length[1]) - len(data) if length else 0
        while missing > 0:
            parts.append(self.read())
            missing -= len(parts[-1])
        seconds = time.perf_counter() - begun
        return int(head[9:12]), head.decode(), b''.join(parts), seconds

    def read(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError('closed by the daemon')
        return data


class Daemon:
    """A running daemon on a directory of its own, and an administrator's token."""

    def __init__(self, binary, path):
        env = dict(os.environ, CINDERBLOCK_ADMIN_PASSWORD=PASSWORD)
        command = [binary, 'serve', '--data', path + '/data', '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0']
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=open(path + '/log', 'w'))
        info, end = path + '/data/run.json', time.time() + 60
        while not os.path.exists(info):
            if time.time() > end or self.process.poll() is not None:
                raise SystemExit('the daemon did not start: ' + open(path + '/log').read()[-500:])
            time.sleep(0.05)
        with open(info) as file:
            self.address = json.load(file)['http']
        status, head, body, _ = Client(self.address).ask('POST', TOKENS, LOGIN)
        assert status == 201, body
        self.token = re.search(r'(?i)x-subject-token: *(\S+)', head)[1]
        self.project = json.loads(body)['token']['project']['id']
        quotas = {'quota_set': {'volumes': -1, 'gigabytes': -1}}
        status, _, body, _ = self.client().ask('PUT', '/volume/v3/os-quota-sets/' + self.project, quotas)
        assert status == 200, body

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def client(self):
        return Client(self.address, self.token)

    def cpu_ms(self):
        """Processor time so far."""
        total = 0
        for task in os.listdir('/proc/%d/task' % self.process.pid):
            with open('/proc/%d/task/%s/schedstat' % (self.process.pid, task)) as file:
                total += int(file.read().split()[0])
        return total / 1e6

    def resident_mib(self):
        with open('/proc/%d/status' % self.process.pid) as file:
            return int(re.search(r'VmRSS:\s+(\d+)', file.read())[1]) / 1024


def volume(number):
    metadata = {'rack': str(number % 10)} if number % 3 == 0 else {}
    return {'volume': {'size': number % 20 + 1, 'name': 'bench-%06d' % (number * 7919 % 1000003), 'metadata': metadata}}


def create(client, number):
    status, _, body, _ = client.ask('POST', '/volume/v3/volumes', volume(number))
    assert status == 202, body
    return json.loads(body)['volume']['id']


def create_until_available(daemon, count):
    """Milliseconds of each creation, and processor time of one."""
    client, times, cpu = daemon.client(), [], daemon.cpu_ms()
    for number in range(count):
        begun = time.perf_counter()
        path = '/volume/v3/volumes/' + create(client, number)
        while True:
            found = json.loads(client.ask('GET', path)[2])['volume']['status']
            if found != 'creating':
                break
            time.sleep(0.0005)
        assert found == 'available', found
        times.append((time.perf_counter() - begun) * 1000)
    return times, (daemon.cpu_ms() - cpu) / count


def fill(daemon, first, last):
    """Creates volumes until there are `last`."""
    numbers, lock = iter(range(first, last)), threading.Lock()

    def work():
        client = daemon.client()
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            create(client, number)

    threads = [threading.Thread(target=work) for _ in range(FILL_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client, end = daemon.client(), time.time() + 120
    while json.loads(client.ask('GET', '/volume/v3/volumes?limit=1&status=creating')[2])['volumes']:
        assert time.time() < end, 'volumes are still being created'
        time.sleep(0.1)
    count = json.loads(client.ask('GET', '/volume/v3/volumes?limit=1&with_count=1&status=available')[2])['count']
    assert count == last, '%d volumes of %d are available' % (count, last)


def get(daemon, path, count):
    """Median milliseconds and processor time of a GET."""
    client = daemon.client()
    status, _, body, _ = client.ask('GET', path)
    assert status == 200, body
    cpu = daemon.cpu_ms()
    times = [client.ask('GET', path)[3] * 1000 for _ in range(count)]
    return statistics.median(times), (daemon.cpu_ms() - cpu) / count


def hammer(address, token, request, headers, seconds, results):
    client, count, end = Client(address, token), 0, time.perf_counter() + seconds
    client.head += headers
    while time.perf_counter() < end:
        assert client.ask(*request)[0] in (200, 201)
        count += 1
    results.put(count)


def rate(daemon, path, seconds, connections=4, method='GET', body=None, headers=''):
    """Requests a second over some connections, and processor time of one."""
    results, cpu = multiprocessing.Queue(), daemon.cpu_ms()
    arguments = (daemon.address, daemon.token, (method, path, body), headers, seconds, results)
    clients = [multiprocessing.Process(target=hammer, args=arguments) for _ in range(connections)]
    for client in clients:
        client.start()
    count = sum(results.get(timeout=seconds + 60) for _ in clients)
    for client in clients:
        client.join()
    return count / seconds, (daemon.cpu_ms() - cpu) / count


def measure(options):
    lines = []

    def line(what, key, figure, cpu=None):
        row = [what, figure, '%.2f' % cpu if cpu is not None else '', TARGETS.get(key, ''), REAL.get(key, '')]
        lines.append('| ' + ' | '.join(row) + ' |')
        print(lines[-1], flush=True)

    with Daemon(options.binary, options.disk) as daemon:
        times, cpu = create_until_available(daemon, options.creates)
        line('create until `available`, one at a time', 'create', '%.1f ms' % statistics.median(times), cpu)
    with Daemon(options.binary, options.memory) as daemon:
        before = 0
        for rows in options.rows:
            fill(daemon, before, rows)
            if not before:
                line('resident memory with %d volumes' % rows, 'rss', '%.0f MiB' % daemon.resident_mib())
                one = json.loads(daemon.client().ask('GET', '/volume/v3/volumes?limit=1')[2])['volumes'][0]['id']
                for what, key, path in [('types', 'types', 'types'), ('one volume', 'show', 'volumes/' + one)]:
                    figure, cpu = rate(daemon, '/volume/v3/' + path, options.secs)
                    line('GET %s, 4 connections' % what, key, '%.0f /s' % figure, cpu)
            figure, cpu = get(daemon, '/volume/v3/volumes/detail?limit=1000', 20)
            line('1000 in detail among %d' % rows, 'detail 1000', '%.1f ms' % figure, cpu)
            worst = 0, 0, ''
            for sort in SORTS:
                for narrow in FILTERS:
                    query = 'sort=%s:asc&%s' % (sort, narrow)
                    figure, cpu = get(daemon, '/volume/v3/volumes/detail?limit=100&' + query, options.pages)
                    worst = max(worst, (figure, cpu, query))
            usual = 'sort=name:asc&status=available'
            figure, cpu = get(daemon, '/volume/v3/volumes/detail?limit=100&' + usual, 20)
            line('page of 100 among %d by name, `status=available`' % rows, 'page', '%.1f ms' % figure, cpu)
            what = 'the slowest of %d pages of 100 among %d: `%s`' % (len(SORTS) * len(FILTERS), rows, worst[2])
            line(what, 'page', '%.1f ms' % worst[0], worst[1])
            figure, cpu = get(daemon, '/volume/v3/volumes/summary', 10)
            line('summary of %d' % rows, '', '%.1f ms' % figure, cpu)
            before = rows
    return lines


def write(table, heading='## Control plane\n'):
    """Puts the table into BENCHMARKS.md in the place of the one before."""
    with open('BENCHMARKS.md') as file:
        text = file.read()
    begin = text.find(heading)
    end = text.find('\n## ', begin + 1) if begin >= 0 else -1
    before = text if begin < 0 else text[:begin]
    after = text[end:] if end >= 0 else ''
    with open('BENCHMARKS.md', 'w') as file:
        file.write(before.rstrip('\n') + '\n\n' + heading + table + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', default='10000,100000', type=lambda text: [int(part) for part in text.split(',')])
    parser.add_argument('--creates', type=int, default=100)
    parser.add_argument('--pages', type=int, default=5, help='requests for each sort key and filter')
    parser.add_argument('--secs', type=float, default=3)
    parser.add_argument('--write', action='store_true')
    parser.add_argument('binary')
    parser.add_argument('disk')
    parser.add_argument('memory')
    options = parser.parse_args()
    load = os.getloadavg()[0]
    head = ['| what | cinderblock | CPU ms each | aim | real Cinder |', '|---|---:|---:|---:|---:|']
    print('\n'.join(head))
    lines = measure(options)
    if options.write:
        text = ('\nA release build; medians of wall time, the processor time of the daemon for one request, and what a real\n'
                'Cinder 29 took on a machine like this under a load of about 4. The load here was %.1f.\n\n'
                '    scripts/bench-api --write\n\n' % load)
        write(text + '\n'.join(head + lines) + '\n')


if __name__ == '__main__':
    main()
