"""What schemathesis cannot know of a cloud: a token, and ids of objects that there are.

Loaded by scripts/schemathesis, which tells the address and the password of a daemon made for the run. Of the ids that
schemathesis makes up nearly all are unknown and end at 404, so most are replaced by those of real objects; what a test
deletes is made anew.
"""
import os
import random
import re

import requests
import schemathesis

BASE = os.environ['CINDERBLOCK_URL']
PASSWORD = os.environ['CINDERBLOCK_ADMIN_PASSWORD']
VOLUME = BASE + '/volume/v3'
TIMEOUT_S = 30
# Of ten ids, so many are real.
REAL_OF_TEN = 8
# Apart from the generator of schemathesis, whose choices it must not change.
CHANCE = random.Random(1)


def login():
    """Token and project of the administrator."""
    user = {'name': 'admin', 'domain': {'id': 'default'}, 'password': PASSWORD}
    scope = {'project': {'name': 'admin', 'domain': {'id': 'default'}}}
    identity = {'methods': ['password'], 'password': {'user': user}}
    answer = requests.post(BASE + '/identity/v3/auth/tokens', timeout=TIMEOUT_S,
                           json={'auth': {'identity': identity, 'scope': scope}})
    answer.raise_for_status()
    return answer.headers['X-Subject-Token'], answer.json()['token']['project']['id']


TOKEN, PROJECT = login()
session = requests.Session()
session.headers.update({'X-Auth-Token': TOKEN, 'OpenStack-API-Version': 'volume latest'})


def make(path, kind, fields):
    answer = session.post(VOLUME + path, json={kind: fields}, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return answer.json()[kind]['id']


def new_name():
    return 'n%d' % CHANCE.getrandbits(64)


def new_group():
    wanted = {'group_type': real('group_types'), 'volume_types': [real('types')]}
    return make('/groups', 'group', wanted)


MAKERS = {
    'volumes': lambda: make('/volumes', 'volume', {'size': 1}),
    'snapshots': lambda: make('/snapshots', 'snapshot', {'volume_id': real('volumes'), 'force': True}),
    'backups': lambda: make('/backups', 'backup', {'volume_id': real('volumes'), 'force': True}),
    'types': lambda: make('/types', 'volume_type', {'name': new_name()}),
    'group_types': lambda: make('/group_types', 'group_type', {'name': new_name()}),
    'groups': new_group,
    'qos-specs': lambda: make('/qos-specs', 'qos_specs', {'name': new_name()}),
    'attachments': lambda: make('/attachments', 'attachment',
                                {'volume_uuid': make('/volumes', 'volume', {'size': 1})}),
}
# Kinds that paths call otherwise, and names that are no ids.
ALIASES = {'consistencygroups': 'groups'}
NAMES = {
    '/os-quota-sets/{project_id}': PROJECT,
    '/os-quota-class-sets/{class_name}': 'default',
    '/default-types/{project_id}': PROJECT,
    '/os-hosts/{host}': 'cinderblock@pool',
    '/capabilities/{host}': 'cinderblock@pool',
}
known = {}


def real(kind):
    """The id of an object that there is."""
    found = known.get(kind)
    if found and session.get('%s/%s/%s' % (VOLUME, kind, found), timeout=TIMEOUT_S).ok:
        return found
    for attempt in range(2):
        try:
            known[kind] = MAKERS[kind]()
            return known[kind]
        except requests.HTTPError:
            # Made of something that a test has left in a state of no use.
            known.clear()
    return None


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    path = context.operation.path.removeprefix('/volume/v3')
    if not path_parameters or path == context.operation.path or CHANCE.randrange(10) >= REAL_OF_TEN:
        return path_parameters
    place = re.match(r'/([^/]+)/\{([^}]+)\}', path)
    for prefix, name in NAMES.items():
        if path.startswith(prefix):
            return {**path_parameters, place[2]: name}
    kind = place and ALIASES.get(place[1], place[1])
    found = kind in MAKERS and real(kind)
    return {**path_parameters, place[2]: found} if found else path_parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers = {**(case.headers or {}), 'X-Auth-Token': TOKEN}


session.put(VOLUME + '/os-quota-sets/' + PROJECT, timeout=TIMEOUT_S, json={'quota_set': dict.fromkeys(
    ['volumes', 'snapshots', 'gigabytes', 'backups', 'backup_gigabytes', 'groups'], -1)}).raise_for_status()
