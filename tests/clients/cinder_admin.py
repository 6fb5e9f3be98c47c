"""cinderclient on what administrators run: types, QoS, groups, quotas, services, backends."""
from command import check
from sdk_calls import make_room


def types(cinder):
    made = cinder.rows('type-create --description d --is-public False c-gold')[0]
    cinder('type-key c-gold set k=v l=w')
    cinder('type-key c-gold unset k')
    shown = cinder.properties('type-show c-gold')
    check(shown['extra_specs'] == 'l : w' or "'l': 'w'" in shown['extra_specs'], shown)
    check(any(row['Name'] == 'c-gold' for row in cinder.rows('extra-specs-list')), 'extra specs')
    project = cinder.properties('create --name c-typed --poll 1')['os-vol-tenant-attr:tenant_id']
    cinder(f'type-access-add --volume-type c-gold --project-id {project}')
    rows = cinder.rows('type-access-list --volume-type c-gold')
    check([row['Project_ID'] for row in rows] == [project], rows)
    cinder(f'type-access-remove --volume-type c-gold --project-id {project}')
    cinder(f'type-update --name c-silver --is-public True {made["ID"]}')
    check('c-silver' in [row['Name'] for row in cinder.rows('type-list')], 'list')
    check(cinder.rows('type-default')[0]['Name'] == '__DEFAULT__', 'default')
    cinder(f'default-type-set c-silver {project}')
    said = cinder(f'default-type-list --project-id {project}')
    check(made['ID'] in said, said)
    cinder(f'default-type-unset {project}')
    cinder('encryption-type-create --cipher aes-xts-plain64 --key-size 256 --control-location front-end '
           'c-silver luks')
    cinder('encryption-type-update --key-size 128 c-silver')
    row = cinder.rows('encryption-type-show c-silver')[0]
    check((row['Provider'], row['Key Size']) == ('luks', '128'), row)
    check(len(cinder.rows('encryption-type-list')) == 1, 'encryption types')
    cinder('encryption-type-delete c-silver')
    cinder('type-delete c-silver')
    check('c-silver' not in [row['Name'] for row in cinder.rows('type-list')], 'deleted')


def qos(cinder):
    made = cinder.rows('qos-create c-slow consumer=back-end read_iops_sec=100')
    specs = {row['Name']: row for row in cinder.rows('qos-list')}['c-slow']['ID']
    check(specs in str(made), made)
    cinder(f'qos-key {specs} set write_iops_sec=50')
    cinder(f'qos-key {specs} unset read_iops_sec')
    said = cinder(f'qos-show {specs}')
    check('write_iops_sec' in said and 'read_iops_sec' not in said, said)
    kind = cinder.rows('type-create c-slowly')[0]['ID']
    cinder(f'qos-associate {specs} {kind}')
    check([row['ID'] for row in cinder.rows(f'qos-get-association {specs}')] == [kind], 'association')
    cinder(f'qos-disassociate {specs} {kind}')
    cinder(f'qos-associate {specs} {kind}')
    cinder(f'qos-disassociate-all {specs}')
    check(cinder.rows(f'qos-get-association {specs}') == [], 'disassociated')
    cinder(f'qos-delete {specs}')
    check(specs not in cinder('qos-list'), 'deleted')


def retype_and_migrate(cinder):
    for backend in ('fast', 'slow'):
        cinder(f'type-create c-on-{backend}')
        cinder(f'type-key c-on-{backend} set volume_backend_name={backend}')
    made = cinder.properties('create --name c-moved --volume-type c-on-fast --poll 1')
    check('@fast#' in made['os-vol-host-attr:host'], made)
    cinder('retype --migration-policy on-demand c-moved c-on-slow')
    shown = cinder.until('show c-moved', 'volume_type', 'c-on-slow')
    check('@slow#' in cinder.until('show c-moved', 'status', 'available')['os-vol-host-attr:host'], shown)
    pools = {row['Value'] for row in cinder.rows('get-pools') if row['Property'] == 'name'}
    check(len(pools) == 2, pools)
    cinder('type-create c-anywhere')
    here = cinder.properties('create --name c-roaming --volume-type c-anywhere --poll 1')['os-vol-host-attr:host']
    there = (pools - {here}).pop()
    cinder(f'migrate c-roaming {there}')
    shown = cinder.until('show c-roaming', 'migration_status', 'success')
    check(shown['os-vol-host-attr:host'] == there, shown)


def groups(cinder):
    kind = cinder.rows('group-type-create --description d c-plain')[0]['ID']
    cinder("group-type-key c-plain set consistent_group_snapshot_enabled='<is> True'")
    cinder(f'group-type-update --name c-pairs {kind}')
    check('consistent' in str(cinder.rows('group-specs-list')), 'specs')
    check('c-pairs' in [row['Name'] for row in cinder.rows('group-type-list')], 'group types')
    check(cinder.properties('group-type-show c-pairs')['id'] == kind, 'group type')
    # The real service has no default either unless one is configured.
    cinder.refused('group-type-default', 'Default group type can not be found')
    group = cinder.properties('group-create --name c-pair c-pairs __DEFAULT__')['id']
    cinder.until('group-show c-pair', 'status', 'available')
    volume = cinder.properties(f'create --name c-one --group-id {group} --volume-type __DEFAULT__ --poll 1')['id']
    other = cinder.properties('create --name c-two --volume-type __DEFAULT__ --poll 1')['id']
    cinder(f'group-update --name c-couple --add-volumes {other} c-pair')
    cinder.until('group-show c-couple', 'status', 'available')
    said = cinder('group-show --list-volume True c-couple')
    check(volume in said and other in said, said)
    cinder(f'group-update --remove-volumes {other} c-couple')
    cinder.until('group-show c-couple', 'status', 'available')
    cut = cinder.properties('group-snapshot-create --name c-cut c-couple')['id']
    cinder.until('group-snapshot-show c-cut', 'status', 'available')
    check(cut in [row['ID'] for row in cinder.rows('group-snapshot-list')], 'group snapshots')
    cinder(f'group-create-from-src --name c-again --group-snapshot {cut}')
    cinder.until('group-show c-again', 'status', 'available')
    check({row['Name'] for row in cinder.rows('group-list')} >= {'c-couple', 'c-again'}, 'groups')
    for verb in ('enable', 'disable', 'failover'):
        cinder.refused(f'group-{verb}-replication c-couple', 'replication')
    cinder.refused('group-list-replication-targets c-couple', 'replication')
    cinder('group-snapshot-delete c-cut')
    cinder.gone('group-snapshot-show c-cut', 'with a name or ID')
    cinder('group-delete --delete-volumes c-couple c-again')
    for name in ('c-couple', 'c-again'):
        cinder.gone(f'group-show {name}', 'with a name or ID')
    cinder('group-type-delete c-pairs')


def consistency_groups(cinder):
    group = cinder.properties('consisgroup-create --name c-old --description d __DEFAULT__')['id']
    cinder.until('consisgroup-show c-old', 'status', 'available')
    volume = cinder.properties('create --name c-member --volume-type __DEFAULT__ --poll 1')['id']
    cinder(f'consisgroup-update --name c-older --add-volumes {volume} c-old')
    cinder.until('consisgroup-show c-older', 'status', 'available')
    # Without a description the client sends null, which this schema has no room for.
    shot = cinder.properties('cgsnapshot-create --name c-shot --description s c-older')
    check(shot['consistencygroup_id'] == group, shot)
    cinder.until('cgsnapshot-show c-shot', 'status', 'available')
    check(shot['id'] in [row['ID'] for row in cinder.rows('cgsnapshot-list')], 'list')
    # The client names a source group that is null beside it.
    cinder.refused('consisgroup-create-from-src --name c-from --cgsnapshot c-shot', "None is not of type 'string'")
    check(group in [row['ID'] for row in cinder.rows('consisgroup-list')], 'groups')
    cinder('cgsnapshot-delete c-shot')
    cinder.gone('cgsnapshot-show c-shot', 'with a name or ID')
    cinder('consisgroup-delete --force c-older')
    cinder.gone('consisgroup-show c-older', 'with a name or ID')


def quotas(cinder):
    project = cinder.properties('create --name c-counted --poll 1')['os-vol-tenant-attr:tenant_id']
    shown = cinder.properties(f'quota-update --snapshots 7 {project}')
    check(shown['snapshots'] == '7', shown)
    usage = {row['Type']: row for row in cinder.rows(f'quota-usage {project}')}
    check(int(usage['volumes']['In_use']) >= 1 and usage['snapshots']['Limit'] == '7', usage)
    defaults = cinder.properties(f'quota-defaults {project}')
    check(defaults['snapshots'] == '10', defaults)
    limits = {row['Name']: row['Value'] for row in cinder.rows('absolute-limits')}
    check(limits['maxTotalSnapshots'] == '7', limits)
    cinder('rate-limits')
    cinder('quota-class-update --backups 11 default')
    check(cinder.properties('quota-class-show default')['backups'] == '11', 'class')
    cinder('quota-class-update --backups 10 default')
    cinder(f'quota-delete {project}')
    check(cinder.properties(f'quota-show {project}')['snapshots'] == '10', 'deleted')
    make_room()


def services(cinder):
    rows = cinder.rows('service-list --binary cinder-volume')
    check(len(rows) == 2 and all(row['State'] == 'up' for row in rows), rows)
    slow = next(row['Host'] for row in rows if row['Host'].endswith('@slow'))
    cinder(f'service-disable --reason repair {slow} cinder-volume')
    row = cinder.rows(f'service-list --host {slow} --binary cinder-volume')[0]
    check((row['Status'], row['Disabled Reason']) == ('disabled', 'repair'), row)
    cinder(f'service-enable {slow} cinder-volume')
    cinder(f'freeze-host {slow}')
    cinder(f'thaw-host {slow}')
    cinder.refused(f'failover-host {slow}', 'No service could be changed')
    check('vendor_name' in cinder(f'get-capabilities {slow}'), 'capabilities')
    cinder('service-set-log --binary cinder-volume INFO')
    check(cinder.rows('service-get-log --binary cinder-volume'), 'levels')
    cinder('work-cleanup')
    check(cinder.rows('cluster-list') == [], 'clusters')
    for line in ('cluster-show none', 'cluster-enable none', 'cluster-disable none'):
        cinder.refused(line, 'could not be found')
    check('volume' in cinder('list-filters'), 'filters')
    check(cinder.rows('availability-zone-list')[0]['Name'] == 'nova', 'zones')
    check('3.71' in cinder('version-list') and '3.71' in cinder('api-version'), 'versions')


def manage(cinder):
    made = cinder.properties('create --name c-wild --volume-type c-on-slow --poll 1')
    host, name = made['os-vol-host-attr:host'], f'volume-{made["id"]}'
    cinder('unmanage c-wild')
    cinder.gone('show c-wild', 'No volume with a name or ID')
    rows = cinder.rows(f'manageable-list {host}')
    check(any(name in row['reference'] and row['safe_to_manage'] == 'True' for row in rows), rows)
    tame = cinder.properties(f'manage --name c-tame --volume-type c-on-slow {host} {name}')['id']
    cinder.until('show c-tame', 'status', 'available')
    cinder('snapshot-create --name c-wild-shot c-tame')
    shot = cinder.until('snapshot-show c-wild-shot', 'status', 'available')['id']
    cinder('snapshot-unmanage c-wild-shot')
    cinder.gone('snapshot-show c-wild-shot', 'No snapshot with a name or ID')
    rows = cinder.rows(f'snapshot-manageable-list {host}')
    check(any(shot in row['reference'] for row in rows), rows)
    cinder(f'snapshot-manage --name c-tame-shot c-tame snapshot-{shot}')
    check(cinder.until('snapshot-show c-tame-shot', 'status', 'available')['volume_id'] == tame, 'managed')


STEPS = [types, qos, retype_and_migrate, groups, consistency_groups, quotas, services, manage]
