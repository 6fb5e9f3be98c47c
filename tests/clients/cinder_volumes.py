"""cinderclient on what projects have: volumes, snapshots, backups, attachments, transfers, messages."""
from command import check


def volumes(cinder):
    made = cinder.properties('create --name c-base --description d --metadata a=b --poll 1')
    check(made['status'] == 'available' and "'a': 'b'" in made['metadata'], made)
    cinder('rename --description new c-base c-root')
    cinder('metadata c-root set c=d')
    cinder('metadata c-root unset a')
    shown = cinder.properties('metadata-show c-root')
    check(shown == {'c': 'd'}, shown)
    cinder('metadata-update-all c-root e=f')
    check(cinder.properties('metadata-show c-root') == {'e': 'f'}, 'all metadata')
    cinder('extend c-root 2')
    check(cinder.until('show c-root', 'status', 'available')['size'] == '2', 'extend')
    cinder('readonly-mode-update c-root True')
    cinder('set-bootable c-root True')
    shown = cinder.properties('show c-root')
    check((shown['bootable'], shown['readonly']) == ('true', 'True'), shown)
    cinder('image-metadata c-root set os_distro=debian')
    check(cinder.properties('image-metadata-show c-root') == {'os_distro': 'debian'}, 'image metadata')
    cinder('image-metadata c-root unset os_distro')
    cinder('readonly-mode-update c-root False')
    cinder('reset-state --state error c-root')
    check([row['Name'] for row in cinder.rows('list --status error --name c-root')] == ['c-root'], 'list')
    cinder('reset-state --state available c-root')
    check([row['Name'] for row in cinder.rows('list --filters name~=c-ro')] == ['c-root'], 'list by a part')
    row = cinder.rows('list --sort name:asc --limit 1 --fields name,size')
    check(len(row) == 1 and set(row[0]) >= {'Name', 'Size'}, row)
    check(int(cinder.properties('summary')['total_count']) >= 1, 'summary')
    cinder('delete c-root')
    cinder.gone('show c-root', 'No volume with a name or ID')
    cinder('create --name c-forced 1')
    cinder.until('show c-forced', 'status', 'available')
    cinder('force-delete c-forced')
    cinder.gone('show c-forced', 'No volume with a name or ID')


def snapshots(cinder):
    source = cinder.properties('create --name c-source --poll 1')['id']
    cinder('snapshot-create --name c-monday --metadata a=b c-source')
    shown = cinder.until('snapshot-show c-monday', 'status', 'available')
    check(shown['volume_id'] == source, shown)
    cinder('snapshot-rename --description e c-monday c-tuesday')
    cinder('snapshot-metadata c-tuesday set c=d')
    cinder('snapshot-metadata c-tuesday unset a')
    check(cinder.properties('snapshot-metadata-show c-tuesday') == {'c': 'd'}, 'metadata')
    cinder('snapshot-metadata-update-all c-tuesday e=f')
    check(cinder.properties('snapshot-metadata-show c-tuesday') == {'e': 'f'}, 'all metadata')
    cinder('snapshot-reset-state --state error c-tuesday')
    rows = cinder.rows(f'snapshot-list --status error --volume-id {source}')
    check([row['Name'] for row in rows] == ['c-tuesday'], rows)
    cinder('snapshot-reset-state c-tuesday')
    clone = cinder.properties(f'create --name c-clone --snapshot-id {shown["id"]} --poll')
    check((clone['snapshot_id'], clone['size']) == (shown['id'], '1'), clone)
    cinder('revert-to-snapshot c-tuesday')
    cinder.until('show c-source', 'status', 'available')
    cinder('snapshot-delete c-tuesday')
    cinder.gone('snapshot-show c-tuesday', 'No snapshot with a name or ID')
    copy = cinder.properties(f'create --name c-copy --source-volid {source} --poll 2')
    check((copy['source_volid'], copy['size']) == (source, '2'), copy)


def backups(cinder):
    cinder('create --name c-kept --poll 1')
    cinder('backup-create --name c-full --container box --metadata a=b c-kept')
    full = cinder.until('backup-show c-full', 'status', 'available')
    check(full['container'] == 'box' and full['size'] == '1', full)
    cinder('backup-create --name c-more --incremental c-kept')
    more = cinder.until('backup-show c-more', 'status', 'available')
    check(more['is_incremental'] == 'True', more)
    cinder('backup-update --name c-whole --metadata c=d c-full')
    check("'c': 'd'" in cinder.properties('backup-show c-whole')['metadata'], 'metadata')
    rows = cinder.rows(f'backup-list --volume-id {full["volume_id"]}')
    check({row['Name'] for row in rows} == {'c-whole', 'c-more'}, rows)
    restored = cinder.properties('backup-restore --name c-restored c-more')
    cinder.until(f'show {restored["volume_id"]}', 'status', 'available')
    cinder.until('backup-show c-more', 'status', 'available')
    record = cinder.properties(f'backup-export {full["id"]}')
    check(record['backup_service'] and record['backup_url'], record)
    cinder.refused(f'backup-import {record["backup_service"]} {record["backup_url"]}', 'Invalid backup')
    cinder('backup-delete c-more')
    cinder.gone('backup-show c-more', 'No volumebackup with a name or ID')
    cinder('backup-reset-state --state error c-whole')
    cinder('backup-delete --force c-whole')
    cinder.gone('backup-show c-whole', 'No volumebackup with a name or ID')


def attachments(cinder):
    disk = cinder.properties('create --name c-disk --poll 1')['id']
    server = 'a8098c1a-f86e-41da-bd1a-00112444be1e'
    made = cinder.properties(f'attachment-create c-disk {server}')
    check(made['volume_id'] == disk and made['status'] == 'reserved', made)
    host = '--host h --ip 127.0.0.1 --initiator iqn --platform x86_64 --ostype linux --mountpoint /dev/vdb'
    cinder(f'attachment-update {host} {made["id"]}')
    cinder(f'attachment-complete {made["id"]}')
    said = cinder(f'attachment-show {made["id"]}')
    check('attached' in said and 'nbd' in said and server in said, said)
    rows = cinder.rows(f'attachment-list --volume-id {disk}')
    check([(row['ID'], row['Server ID']) for row in rows] == [(made['id'], server)], rows)
    check(cinder.properties('show c-disk')['status'] == 'in-use', 'in use')
    cinder('extend c-disk 2')
    check(cinder.until('show c-disk', 'size', '2')['size'] == '2', 'extended while attached')
    cinder(f'attachment-delete {made["id"]}')
    cinder.until('show c-disk', 'status', 'available')


def transfers(cinder):
    cinder('create --name c-gift --poll 1')
    made = cinder.properties('transfer-create --name c-t c-gift')
    check(made['auth_key'] and cinder.properties('show c-gift')['status'] == 'awaiting-transfer', made)
    check('c-t' in [row['Name'] for row in cinder.rows('transfer-list')], 'list')
    check('auth_key' not in cinder.properties('transfer-show c-t'), 'a key is told once')
    taken = cinder.properties(f'transfer-accept {made["id"]} {made["auth_key"]}')
    check(taken['volume_id'] == made['volume_id'], taken)
    check(cinder.properties('show c-gift')['status'] == 'available', 'taken')
    cinder('transfer-create --name c-u c-gift')
    cinder('transfer-delete c-u')
    cinder.until('show c-gift', 'status', 'available')


def messages(cinder):
    cinder('type-create c-nowhere')
    cinder('type-key c-nowhere set volume_backend_name=nowhere')
    lost = cinder.properties('create --name c-lost --volume-type c-nowhere 1')['id']
    cinder.until('show c-lost', 'status', 'error')
    rows = cinder.rows(f'message-list --resource_uuid {lost}')
    check(len(rows) == 1 and rows[0]['Event ID'].startswith('VOLUME_'), rows)
    check(cinder.properties(f'message-show {rows[0]["ID"]}')['resource_uuid'] == lost, 'message')
    cinder(f'message-delete {rows[0]["ID"]}')
    check(cinder.rows(f'message-list --resource_uuid {lost}') == [], 'deleted')


def images(cinder):
    cinder('create --name c-origin 1')
    cinder.until('show c-origin', 'status', 'available')
    image = cinder.properties('upload-to-image c-origin c-image')['image_id']
    cinder.until('show c-origin', 'status', 'available')
    cinder(f'create --name c-booted --image-id {image} 1')
    made = cinder.until('show c-booted', 'status', 'available')
    check(made['bootable'] == 'true', made)
    cinder(f'reimage c-origin {image}')
    check(cinder.until('show c-origin', 'status', 'available')['bootable'] == 'true', 'reimage')


STEPS = [volumes, snapshots, backups, attachments, transfers, messages, images]
