"""openstacksdk: the daily calls of a program that manages volumes."""
import openstack

from command import check

# Seconds between looks, and before giving up.
PACE = {'interval': 0.05, 'wait': 60}


def connect(**options):
    """A connection as the cloud's administrator, at the newest microversion."""
    return openstack.connect(cloud='cinderblock', block_storage_default_microversion='3.71', **options)


def make_room():
    """Lets the administrator's project have the volumes that all steps together leave behind."""
    cloud = connect()
    cloud.block_storage.update_quota_set(cloud.current_project_id, volumes=200)


def ready(storage, thing, status='available'):
    """Waits until the service is done with it."""
    # Asked anew first: waiting looks at what is known already before it asks.
    return storage.wait_for_status(thing.fetch(storage), status, failures=['error'], **PACE)


def volumes(_daemon):
    storage = connect().block_storage
    volume = ready(storage, storage.create_volume(name='s-base', size=1, metadata={'a': 'b'}))
    check(volume.metadata == {'a': 'b'} and volume.size == 1, volume)
    storage.update_volume(volume, name='s-root', description='new')
    storage.set_volume_metadata(volume, c='d')
    storage.delete_volume_metadata(volume.id, ['a'])
    found = storage.find_volume('s-root')
    check((found.id, found.description, found.metadata) == (volume.id, 'new', {'c': 'd'}), found)
    storage.extend_volume(volume, 2)
    check(ready(storage, volume).size == 2, 'extend')
    storage.set_volume_bootable_status(volume, True)
    storage.set_volume_readonly(volume, True)
    check(storage.get_volume(volume).is_bootable, 'bootable')
    check([item.id for item in storage.volumes(name='s-root')] == [volume.id], 'list')
    check(volume.id in [item.id for item in storage.volumes(limit=1)], 'pages')
    storage.delete_volume(volume)
    storage.wait_for_delete(volume, **PACE)


def snapshots_and_backups(_daemon):
    storage = connect().block_storage
    volume = ready(storage, storage.create_volume(name='s-kept', size=1))
    snapshot = ready(storage, storage.create_snapshot(volume_id=volume.id, name='s-monday'))
    storage.set_snapshot_metadata(snapshot, a='b')
    check(storage.get_snapshot(snapshot).metadata == {'a': 'b'}, 'metadata')
    clone = ready(storage, storage.create_volume(name='s-clone', snapshot_id=snapshot.id))
    check((clone.size, clone.snapshot_id) == (1, snapshot.id), clone)
    storage.revert_volume_to_snapshot(volume, snapshot)
    ready(storage, volume)
    backup = ready(storage, storage.create_backup(volume_id=volume.id, name='s-full'))
    more = ready(storage, storage.create_backup(volume_id=volume.id, name='s-more', is_incremental=True))
    check(more.is_incremental and storage.get_backup(backup).has_dependent_backups, more)
    restored = storage.restore_backup(more, name='s-restored')
    ready(storage, storage.get_volume(restored.volume_id))
    for made in (more, backup):
        storage.delete_backup(made)
        storage.wait_for_delete(made, **PACE)
    storage.delete_snapshot(snapshot)
    storage.wait_for_delete(snapshot, **PACE)


def attachments_and_transfers(_daemon):
    storage = connect().block_storage
    volume = ready(storage, storage.create_volume(name='s-disk', size=1))
    connector = {'host': 'h', 'ip': '127.0.0.1', 'initiator': 'iqn', 'mountpoint': '/dev/vdb'}
    made = storage.create_attachment(volume.id, connector=connector)
    check(made.connection_info['driver_volume_type'] == 'nbd', made)
    storage.complete_attachment(made)
    check(storage.get_volume(volume).status == 'in-use', 'in use')
    check([item.id for item in storage.attachments(volume_id=volume.id)] == [made.id], 'list')
    storage.delete_attachment(made)
    ready(storage, volume)
    transfer = storage.create_transfer(volume_id=volume.id, name='s-gift')
    check(storage.get_volume(volume).status == 'awaiting-transfer', 'transfer')
    taken = storage.accept_transfer(transfer.id, transfer.auth_key)
    check(taken.volume_id == volume.id and ready(storage, volume), taken)


def administration(_daemon):
    cloud = connect()
    storage, project = cloud.block_storage, cloud.current_project_id
    kinds = {name: storage.create_type(name=f's-{name}', extra_specs={'volume_backend_name': name})
             for name in ('fast', 'slow')}
    volume = ready(storage, storage.create_volume(name='s-moved', size=1, volume_type=kinds['fast'].id))
    storage.retype_volume(volume, kinds['slow'].name, migration_policy='on-demand')
    storage.wait_for_status(volume, kinds['slow'].name, attribute='volume_type', **PACE)
    check('@slow#' in ready(storage, volume).host, volume)
    target = next(pool.name for pool in storage.backend_pools() if '@fast#' in pool.name)
    kind = storage.create_type(name='s-any')
    roaming = ready(storage, storage.create_volume(name='s-roaming', size=1, volume_type=kind.id))
    if roaming.host != target:
        storage.migrate_volume(roaming, host=target)
        storage.wait_for_status(roaming, 'success', attribute='migration_status', **PACE)
    check(storage.get_volume(roaming).host == target, roaming)
    before = storage.get_quota_set(project)
    storage.update_quota_set(project, snapshots=7)
    check(storage.get_quota_set(project).snapshots == 7, 'quota')
    storage.update_quota_set(project, snapshots=before.snapshots)
    specs = storage.create_qos_spec(name='s-slow', consumer='back-end', read_iops_sec='9')
    check(storage.find_qos_spec('s-slow').specs == {'read_iops_sec': '9'}, specs)
    storage.delete_qos_spec(specs)
    check({item.state for item in storage.services()} == {'up'}, 'services')


def groups(_daemon):
    storage = connect().block_storage
    kind = storage.create_group_type(name='s-plain')
    volume_type = storage.create_type(name='s-grouped')
    group = storage.create_group(name='s-pair', group_type=kind.id, volume_types=[volume_type.id])
    ready(storage, group)
    volume = ready(storage, storage.create_volume(name='s-one', size=1, group_id=group.id,
                                                  volume_type=volume_type.id))
    cut = ready(storage, storage.create_group_snapshot(name='s-cut', group_id=group.id))
    check([item.id for item in storage.group_snapshots()].count(cut.id) == 1, 'list')
    storage.delete_group_snapshot(cut)
    storage.wait_for_delete(cut, **PACE)
    storage.delete_group(group, delete_volumes=True)
    storage.wait_for_delete(group, **PACE)
    check(storage.find_volume(volume.id) is None, 'its volumes go with it')


STEPS = [volumes, snapshots_and_backups, attachments_and_transfers, administration, groups]
