"""openstackclient on what administrators run: types, QoS, groups, quotas, services, backends."""
from command import check


def types(osc):
    made = osc.json('volume type create --description d --property k=v --private gold')
    check(made['properties'] == {'k': 'v'} and made['is_public'] is False, made)
    osc('volume type set --name silver --property l=w gold')
    osc('volume type unset --property k silver')
    check(osc.json('volume type show silver')['properties'] == {'l': 'w'}, 'properties')
    project = osc.json('project create tenants')['id']
    osc('volume type set --project tenants silver')
    check(osc.json('volume type show silver')['access_project_ids'] == [project], 'access')
    osc('volume type unset --project tenants silver')
    # The client sends a property that the service's schema has under another name.
    osc.refused('volume type set --public silver', "'os-volume-type-access:is_public' was unexpected")
    check('silver' in osc.names('volume type list --private'), 'list')
    cipher = '--encryption-provider luks --encryption-cipher aes-xts-plain64 --encryption-key-size 256'
    osc(f'volume type create {cipher} --encryption-control-location front-end sealed')
    listed = {row['Name']: row for row in osc.json('volume type list --encryption-type')}
    check("'luks'" in str(listed['sealed']['Encryption']), listed['sealed'])
    osc('volume type set --encryption-key-size 128 sealed')
    shown = osc.json('volume type show --encryption-type sealed')
    check('128' in str(shown['encryption']), shown)
    osc('volume create --size 1 --type sealed secret')
    check(osc.until('volume show secret', 'status', 'available')['encrypted'] is True, 'encrypted')
    osc.refused('volume type unset --encryption-type sealed', 'in use')
    osc('volume delete secret')
    osc.gone('volume show secret', 'No Volume found')
    osc('volume type unset --encryption-type sealed')
    osc('volume type delete sealed silver')
    check(not {'sealed', 'silver'} & set(osc.names('volume type list')), 'deleted')


def qos(osc):
    osc('volume qos create --consumer back-end --property read_iops_sec=100 slow')
    osc('volume qos set --property write_iops_sec=50 slow')
    osc('volume qos unset --property read_iops_sec slow')
    osc('volume type create slowly')
    osc('volume qos associate slow slowly')
    shown = osc.json('volume qos show slow')
    check(shown['properties'] == {'write_iops_sec': '50'} and shown['associations'] == ['slowly'], shown)
    check(osc.names('volume qos list') == ['slow'], 'list')
    osc('volume qos disassociate --all slow')
    check(not osc.json('volume qos show slow').get('associations'), 'disassociated')
    osc('volume qos delete slow')
    osc('volume type delete slowly')
    check(osc.names('volume qos list') == [], 'deleted')


def retype_and_migrate(osc):
    for backend in ('fast', 'slow'):
        osc(f'volume type create --property volume_backend_name={backend} on-{backend}')
    osc('volume create --size 1 --type on-fast moved')
    shown = osc.until('volume show moved', 'status', 'available')
    check('@fast#' in shown['os-vol-host-attr:host'], shown)
    osc('volume set --type on-slow --retype-policy on-demand moved')
    shown = osc.until('volume show moved', 'status', 'available')
    check('@slow#' in shown['os-vol-host-attr:host'] and shown['type'] == 'on-slow', shown)
    pools = {row['Name'] for row in osc.json('volume backend pool list --long')}
    check(len(pools) == 2 and shown['os-vol-host-attr:host'] in pools, pools)
    osc('volume type create anywhere')
    osc('volume create --size 1 --type anywhere roaming')
    here = osc.until('volume show roaming', 'status', 'available')['os-vol-host-attr:host']
    there = (pools - {here}).pop()
    osc(f'volume migrate --host {there} --lock-volume roaming')
    shown = osc.until('volume show roaming', 'os-vol-mig-status-attr:migstat', 'success')
    check((shown['os-vol-host-attr:host'], shown['status']) == (there, 'available'), shown)


def groups(osc):
    osc('volume group type create --description d plain')
    osc('volume group type set --property a=b plain')
    check(osc.json('volume group type show plain')['Properties'] == {'a': 'b'}, 'group type')
    osc('volume group type create consistent')
    osc("volume group type set --property consistent_group_snapshot_enabled='<is> True' consistent")
    check(set(osc.names('volume group type list')) >= {'plain', 'consistent'}, 'group types')
    osc('volume group create --volume-group-type consistent --volume-type __DEFAULT__ --name pair')
    osc.until('volume group show pair', 'Status', 'available')
    for name in ('one', 'two'):
        osc(f'volume create --size 1 --type __DEFAULT__ {name}')
        osc.until(f'volume show {name}', 'status', 'available')
    osc('volume group add volume pair one two')
    osc.until('volume group show pair', 'Status', 'available')
    check(osc.json('volume show one')['group_id'] == osc.json('volume group show pair')['ID'], 'member')
    osc('volume group remove volume pair two')
    osc.until('volume group show pair', 'Status', 'available')
    osc('volume group set --name couple --description e pair')
    osc('volume group snapshot create --name cut couple')
    osc.until('volume group snapshot show cut', 'Status', 'available')
    check(osc.names('volume group snapshot list') == ['cut'], 'group snapshots')
    # The client names a source group that is null beside it, which the service's schema has no room for.
    osc.refused('volume group create --group-snapshot cut --name again', "None is not of type 'string'")
    check(osc.names('volume group list') == ['couple'], 'groups')
    # The client sends an action of a name that no service knows.
    osc.refused('volume group failover couple', 'There is no such action')
    osc('volume group snapshot delete cut')
    osc.gone('volume group snapshot show cut', 'No')
    osc('volume group delete --force couple')
    osc.gone('volume group show couple', 'No')
    osc('volume group type delete plain')


def consistency_groups(osc):
    osc('consistency group create --volume-type __DEFAULT__ --description d old')
    osc.until('consistency group show old', 'status', 'available')
    osc('volume create --size 1 --type __DEFAULT__ member')
    osc.until('volume show member', 'status', 'available')
    osc('consistency group add volume old member')
    osc.until('consistency group show old', 'status', 'available')
    osc('consistency group set --name older --description e old')
    # Without a description the client sends null, which this schema has no room for.
    osc('consistency group snapshot create --consistency-group older --description s shot')
    osc.until('consistency group snapshot show shot', 'status', 'available')
    # The client asks for all, and shows none, since it looks for properties that they have not got.
    check(osc.json('consistency group snapshot list') == [], 'list')
    osc('consistency group snapshot delete shot')
    osc.gone('consistency group snapshot show shot', 'No')
    osc('consistency group remove volume older member')
    shown = osc.until('consistency group show older', 'status', 'available')
    check(shown['description'] == 'e' and osc.names('consistency group list') == ['older'], shown)
    # The client misspells the key of the body.
    osc.refused('consistency group delete older', 'is not valid under any of the given schemas')


def quotas(osc):
    osc('project create small')
    osc('quota set --volumes 1 --gigabytes 5 --per-volume-gigabytes 4 small')
    shown = {row['Resource']: row['Limit'] for row in osc.json('quota show --volume small')}
    check((shown['volumes'], shown['gigabytes'], shown['per-volume-gigabytes']) == (1, 5, 4), shown)
    osc('role add --user admin --project small member')
    small = {'OS_PROJECT_NAME': 'small'}
    osc.refused('volume create --size 5 big', 'larger than maximum allowed limit 4G', **small)
    osc('volume create --size 1 only', **small)
    osc.refused('volume create --size 1 second', 'quota', **small)
    used = {row['Resource']: row['In Use'] for row in osc.json('quota show --volume --usage small')}
    check(used['volumes'] == 1 and used['gigabytes'] == 1, used)
    limits = {row['Name']: row['Value'] for row in osc.json('limits show --absolute', **small)}
    check(limits['max_total_volumes'] == 1 and limits['total_volumes_used'] == 1, limits)
    check(1 in osc.names('quota list --volume', 'Volumes'), 'list')
    osc('quota delete --volume small')
    shown = {row['Resource']: row['Limit'] for row in osc.json('quota show --volume small')}
    check(shown['volumes'] == 10, shown)


def services(osc):
    listed = osc.json('volume service list')
    hosts = {row['Host'] for row in listed if row['Binary'] == 'cinder-volume'}
    check(len(hosts) == 2 and all(row['State'] == 'up' for row in listed), listed)
    slow = next(host for host in hosts if host.endswith('@slow'))
    osc(f'volume service set --disable --disable-reason repair {slow} cinder-volume')
    row = osc.json(f'volume service list --long --host {slow} --service cinder-volume')[0]
    check((row['Status'], row['Disabled Reason']) == ('disabled', 'repair'), row)
    osc(f'volume service set --enable {slow} cinder-volume')
    osc(f'volume host set --disable {slow}')
    osc(f'volume host set --enable {slow}')
    osc.refused(f'volume host failover --volume-backend other {slow}', '')
    capabilities = osc.json(f'volume backend capability show {slow}')
    check(isinstance(capabilities, list), capabilities)
    osc('block storage log level set --service cinder-volume INFO')
    levels = osc.json('block storage log level list --service cinder-volume')
    check(levels and all(row['Level'] for row in levels), levels)
    filters = {row['Resource']: row['Filters'] for row in osc.json('block storage resource filter list')}
    check('status' in filters['volume'], filters)
    check('status' in osc.json('block storage resource filter show volume')['Filters'], 'filters')
    # The client puts what the service wants to be posted.
    osc.refused(f'block storage cleanup --binary cinder-volume --host {slow} --cluster none', '404')
    check(osc.json('block storage cluster list') == [], 'clusters')
    osc.refused('block storage cluster show none', 'could not be found')
    osc.refused('block storage cluster set --enable none', 'could not be found')


def manage(osc):
    osc('volume type create --property volume_backend_name=slow handed-over')
    osc('volume create --size 1 --type handed-over wild')
    shown = osc.until('volume show wild', 'status', 'available')
    osc('volume delete --remote wild')
    osc.gone('volume show wild', 'No Volume found for wild')
    host = shown['os-vol-host-attr:host']
    rows = osc.json(f'block storage volume manageable list --long {host}')
    name = f'volume-{shown["id"]}'
    free = [row for row in rows if name in str(row['reference']) and row['safe_to_manage']]
    check(len(free) == 1, rows)
    wanted = f'--host {host} --remote-source source-name={name} --type handed-over tame'
    # Unless told, the client sends null, which is no boolean.
    osc.refused(f'volume create {wanted}', "not of type 'boolean'")
    osc(f'volume create --non-bootable {wanted}')
    tame = osc.until('volume show tame', 'status', 'available')
    osc('volume snapshot create --volume tame wild-shot')
    shot = osc.until('volume snapshot show wild-shot', 'status', 'available')
    osc('volume snapshot delete --remote wild-shot')
    osc.gone('volume snapshot show wild-shot', 'No Snapshot found')
    rows = osc.json(f'block storage snapshot manageable list --long {host}')
    check(any(shot['id'] in str(row['reference']) for row in rows), rows)
    source = f'--remote-source source-name=snapshot-{shot["id"]}'
    osc(f'volume snapshot create --volume tame {source} tame-shot')
    managed = osc.until('volume snapshot show tame-shot', 'status', 'available')
    check(managed['volume_id'] == tame['id'], managed)


def common(osc):
    check(osc.json('availability zone list --volume')[0]['Zone Name'] == 'nova', 'zones')
    aliases = osc.names('extension list --volume', 'Alias')
    check('os-types-manage' in aliases, aliases)
    shown = [row for row in osc.json('versions show') if row['Service Type'] == 'block-storage']
    check(any(row['Max Microversion'] == '3.71' for row in shown), shown)
    osc('project create doomed')
    osc('role add --user admin --project doomed member')
    doomed = {'OS_PROJECT_NAME': 'doomed'}
    osc('volume create --size 1 remains', **doomed)
    osc('project cleanup --auth-project --auto-approve', **doomed)
    check(osc.names('volume list', **doomed) == [], 'cleaned')
    check(osc.json('configuration show')['region_name'] == 'RegionOne', 'configuration')


STEPS = [types, qos, retype_and_migrate, groups, consistency_groups, quotas, services, manage, common]
