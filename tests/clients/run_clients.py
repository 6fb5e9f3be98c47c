"""Runs the OpenStack clients against the built daemon: openstackclient, cinderclient, openstacksdk, and
keystonemiddleware as services use it.

Each step is a story that a person could live through with the client; what comes back is looked at,
not only that the client is content. Every Block Storage subcommand that the pinned clients have must
have worked in some step, or be refused as it should, or stand in UNUSED with the reason.
"""
import argparse
import importlib.metadata
import os
import re
import sys
import time
import traceback

import cinderclient.shell
import openstackclient.shell

import cinder_admin
import cinder_volumes
import middleware
import osc_admin
import osc_images
import osc_volumes
import sdk_calls
from command import Cinder, Openstack
from daemon import PASSWORD, Daemon

# The rest is of members, tasks, stores and metadata definitions.
IMAGE_COMMANDS = ('image_create', 'image_delete', 'image_list', 'image_save', 'image_set', 'image_show', 'image_unset')
UNUSED = {
    'openstack': {
        'cloud cache delete': 'speaks to no service',
        'extension show': 'asks the network service',
        'volume attachment create': 'asks Compute for the server first',
    },
    'cinder': {
        'bash-completion': 'speaks to no service',
        'help': 'speaks to no service',
    },
}


def openstack_commands():
    """What openstackclient calls a command of Block Storage, of images themselves, or of all services."""
    points = importlib.metadata.entry_points()
    all_of = [*points.select(group='openstack.volume.v3'), *points.select(group='openstack.common'),
              *(point for point in points.select(group='openstack.image.v2') if point.name in IMAGE_COMMANDS)]
    for point in all_of:
        # Imported here, once, instead of in every forked process.
        point.load()
    return [point.name.replace('_', ' ') for point in all_of]


def cinder_commands():
    """The subcommands of cinderclient."""
    shell = cinderclient.shell.OpenStackCinderShell()
    shell.extensions = []
    version = cinderclient.api_versions.APIVersion('3.71')
    shell.get_subcommand_parser(version, input_args=[])
    return [name for name in shell.subcommands if not name.startswith('bash_')]


def clients(daemon):
    openstack = {**daemon.environment(), 'OS_VOLUME_API_VERSION': '3.71'}
    cinder = {
        'OS_AUTH_URL': daemon.auth_url, 'OS_USERNAME': 'admin', 'OS_PASSWORD': PASSWORD,
        'OS_PROJECT_NAME': 'admin', 'OS_USER_DOMAIN_NAME': 'Default', 'OS_PROJECT_DOMAIN_NAME': 'Default',
        'OS_VOLUME_API_VERSION': '3.71', 'CINDER_ENDPOINT_TYPE': 'publicURL',
    }
    osc = Openstack('openstack', openstackclient.shell.main, openstack_commands(), openstack)
    cin = Cinder('cinder', lambda _: cinderclient.shell.main(),
                 cinder_commands(), cinder)
    return osc, cin


def run(step, subject, only):
    """Runs one step, and says how it went; whether it went well."""
    name = f'{step.__module__}.{step.__name__}'
    if only and not re.search(only, name):
        return True
    begin = time.monotonic()
    try:
        step(subject)
    except Exception:
        print(f'FAIL {name}')
        # This function and the line of the step; what is below says nothing new.
        traceback.print_exc(limit=2, file=sys.stdout)
        return False
    print(f'ok   {name} {time.monotonic() - begin:.1f} s', flush=True)
    return True


def uncovered(client):
    """How many commands have no step, or a reason too many."""
    idle, stale = client.never_ran(UNUSED[client.name])
    for name in idle:
        print(f'FAIL no step runs: {client.name} {name}')
    for name in stale:
        print(f'FAIL runs, or is none, but stands in UNUSED: {client.name} {name}')
    return len(idle) + len(stale)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('program', help='the cinderblock to test')
    parser.add_argument('--only', help='regular expression: just these steps')
    given = parser.parse_args()
    begin = time.monotonic()
    with Daemon(given.program) as daemon:
        os.environ.update(HOME=daemon.home.name, PYTHONWARNINGS='ignore', **daemon.environment())
        sdk_calls.make_room()
        osc, cin = clients(daemon)
        steps = [*((step, osc) for step in osc_volumes.STEPS + osc_images.STEPS + osc_admin.STEPS),
                 *((step, cin) for step in cinder_volumes.STEPS + cinder_admin.STEPS),
                 *((step, daemon) for step in sdk_calls.STEPS + middleware.STEPS)]
        failed = sum(not run(step, subject, given.only) for step, subject in steps)
        if not given.only:
            failed += uncovered(osc) + uncovered(cin)
        bad_end = daemon.stop()
    if bad_end:
        print(bad_end)
    print(f'{len(osc.ran)} commands of openstack and {len(cin.ran)} of cinder, {failed} failed, '
          f'in {time.monotonic() - begin:.0f} s')
    return 1 if failed or bad_end else 0


if __name__ == '__main__':
    sys.exit(main())
