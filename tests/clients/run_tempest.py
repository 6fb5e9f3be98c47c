"""Runs Tempest against the built daemon and holds the outcome against tempest.tsv.

That list has every test of tempest.api.volume, tempest.api.identity and tempest.api.image, and of the
plugin's api, rbac and concurrency, at the pinned versions. A `pass` must pass; a `no` cannot run, for the
reason that stands there. A test that must pass and fails, is skipped or does not run at all, fails the
run.
"""
import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import subunit
import testtools

import sdk_calls
from daemon import BACKENDS, PASSWORD, Daemon

HERE = os.path.dirname(os.path.abspath(__file__))
# Tempest's clean-up looks for the network service that [service_available] had to promise it.
NO_NETWORK = 'No matching service found in the catalog'

CONFIG = """\
[DEFAULT]
log_dir = {work}
log_file = tempest.log
[oslo_concurrency]
lock_path = {work}/lock
[auth]
use_dynamic_credentials = true
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
create_isolated_networks = false
[identity]
auth_version = v3
uri_v3 = {auth_url}
region = RegionOne
v3_endpoint_type = public
[identity-feature-enabled]
api_v2 = false
api_v3 = true
trust = true
access_rules = true
security_compliance = false
[enforce_scope]
# Readers read, instead of whoever wrote.
cinder = true
[service_available]
cinder = true
glance = true
nova = false
# Some classes of volume tests are skipped without it, though they use none.
neutron = true
swift = false
[compute]
build_interval = 0
image_ref = {image}
image_ref_alt = {image_alt}
[compute-feature-enabled]
volume_multiattach = true
[image]
build_interval = 0
image_path = {image_file}
# Nothing answers there; the tests that would ask are not chosen.
http_image = http://127.0.0.1:1/unused
[scenario]
img_file = {image_file}
[volume]
catalog_type = {catalog_type}
region = RegionOne
endpoint_type = public
# Seconds between looks at a status. Nothing here takes as long as one.
build_interval = 0
build_timeout = 60
backup_driver = posix
storage_protocol = nbd
vendor_name = cinderblock
max_microversion = latest
backend_names = {backends}
manage_volume_ref = source-name,volume-%s
manage_snapshot_ref = source-name,snapshot-%s
[volume-feature-enabled]
backup = true
snapshot = true
clone = true
manage_volume = true
manage_snapshot = true
multi_backend = true
volume_revert = true
consistency_group = true
extend_volume_with_snapshot = true
concurrency_tests = true
"""


def expectations():
    """Each test's kind, by its name without the tags in brackets."""
    kinds = {}
    with open(os.path.join(HERE, 'tempest.tsv')) as file:
        for line in file:
            if line.startswith('#') or not line.strip():
                continue
            name, kind, reason = (line.rstrip('\n').split('\t') + ['', ''])[:3]
            if kind not in ('pass', 'no') or (kind == 'pass') == bool(reason):
                sys.exit(f'tempest.tsv: {line!r}')
            kinds[name] = kind
    return kinds


def plain(name):
    return name.partition('[')[0]


def why(test):
    """The one line of a result that says most."""
    details = {name: part.as_text().strip() for name, part in test['details'].items()}
    if 'reason' in details:
        return details['reason']
    for name, text in details.items():
        if name.startswith('traceback') and text:
            lines = text.splitlines()
            detail = next((line for line in reversed(lines) if 'Details:' in line), '')
            return f'{lines[-1].strip()} {detail.strip()}'[:600]
    return ''


class Results:
    """Takes in results as they come, and tells of those that are not as they should be."""

    def __init__(self):
        self.status = {}
        self.seconds = collections.Counter()
        self.wrong = []

    def take(self, test):
        name, status = plain(test['id'] or ''), test['status']
        if not name or status in ('exists', 'inprogress'):
            return
        begin, end = test['timestamps']
        self.seconds[name] = (end - begin).total_seconds() if begin and end else 0
        texts = ''.join(part.as_text() for name_, part in test['details'].items() if name_.startswith('traceback'))
        if name.startswith('tearDownClass') and NO_NETWORK in texts:
            return
        self.status[name] = status
        if status != 'success':
            self.wrong.append(name)
            print(f'{status.upper():8} {name}\n         {why(test)}', flush=True)


def upload(path):
    """Makes two images that tests may use, and returns their ids."""
    with open(path, 'wb') as file:
        file.write(b'something to start from\n')
        file.truncate(1 << 20)
    images = sdk_calls.connect().image
    made = [images.create_image(name, filename=path, disk_format='raw', container_format='bare', visibility='public')
            for name in ('first', 'second')]
    return [image.id for image in made]


def run(work, names, jobs):
    """Runs the tests of these names and returns what came of them."""
    chosen = os.path.join(work, 'chosen')
    with open(chosen, 'w') as file:
        file.writelines(f'^{re.escape(name)}(\\[|$)\n' for name in sorted(names))
    tempest = os.path.join(os.path.dirname(sys.executable), 'tempest')
    arguments = [tempest, 'run', '--config-file', os.path.join(work, 'tempest.conf'), '--include-list', chosen,
                 '--concurrency', str(jobs), '--subunit']
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    environment = {**os.environ, 'PATH': path, 'HOME': work, 'PYTHONWARNINGS': 'ignore'}
    results = Results()
    with open(os.path.join(work, 'stderr'), 'w') as errors:
        child = subprocess.Popen(arguments, cwd=work, env=environment, stdout=subprocess.PIPE,
                                 stdin=subprocess.DEVNULL, stderr=errors)
        into = testtools.StreamToDict(results.take)
        into.startTestRun()
        subunit.ByteStreamToStreamResult(child.stdout, non_subunit_name='stdout').run(into)
        into.stopTestRun()
        child.wait()
    if not results.status:
        with open(os.path.join(work, 'stderr')) as errors:
            sys.exit(f'Tempest ran nothing:\n{errors.read()[-4000:]}')
    return results


def keep(folder, work, daemon, results):
    """Leaves logs and times where somebody can read them later."""
    os.makedirs(folder, exist_ok=True)
    for name in ('tempest.log', 'stderr', 'tempest.conf'):
        if os.path.exists(os.path.join(work, name)):
            shutil.copy(os.path.join(work, name), os.path.join(folder, name))
    with open(os.path.join(folder, 'daemon.log'), 'w') as file:
        file.write(daemon.log())
    with open(os.path.join(folder, 'results.tsv'), 'w') as file:
        for name in sorted(results.status):
            file.write(f'{name}\t{results.status[name]}\t{results.seconds[name]:.2f}\n')


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('program', help='the cinderblock to test')
    parser.add_argument('--catalog-type', default='block-storage', help='under which type to look the service up')
    parser.add_argument('--only', help='regular expression: just these of the list, whatever their kind')
    parser.add_argument('--jobs', type=int, default=min(os.cpu_count(), 4), help='how many tests at a time')
    parser.add_argument('--keep', metavar='DIR', help='put logs and results.tsv there')
    return parser.parse_args()


def main():
    given = arguments()
    kinds = expectations()
    wanted = {name for name, kind in kinds.items() if kind == 'pass'}
    if given.only:
        wanted = {name for name in kinds if re.search(given.only, name)}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='tempest-') as work, Daemon(given.program) as daemon:
        os.environ.update(daemon.environment())
        image_file = os.path.join(work, 'image.raw')
        image, image_alt = upload(image_file)
        with open(os.path.join(work, 'tempest.conf'), 'w') as file:
            file.write(CONFIG.format(work=work, password=PASSWORD, auth_url=daemon.auth_url,
                                     catalog_type=given.catalog_type, backends=','.join(BACKENDS),
                                     image=image, image_alt=image_alt, image_file=image_file))
        results = run(work, wanted, given.jobs)
        bad_end = daemon.stop()
        if given.keep:
            keep(given.keep, work, daemon, results)
    missing = sorted(wanted - results.status.keys())
    for name in missing:
        print(f'MISSING  {name}')
    if bad_end:
        print(bad_end)
    passed = sum(status == 'success' for status in results.status.values())
    print(f'{passed} passed, {len(results.wrong)} did not, {len(missing)} missing, '
          f'in {time.monotonic() - begin:.0f} s')
    return 1 if results.wrong or missing or bad_end else 0


if __name__ == '__main__':
    sys.exit(main())
