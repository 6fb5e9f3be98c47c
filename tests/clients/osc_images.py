"""openstackclient on images, and on volumes made of them."""
import hashlib
import os
import subprocess
import tempfile

from command import check

MIB = 1 << 20


def _disk(folder):
    """A raw disk with something in it, and its path."""
    path = os.path.join(folder, 'disk.raw')
    with open(path, 'wb') as file:
        file.write(b'a boot sector, more or less\n' * 4096)
        file.truncate(8 * MIB)
    return path


def _sum(path, length=None):
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read(length)).hexdigest()


def images(osc):
    with tempfile.TemporaryDirectory() as folder:
        disk, back = _disk(folder), os.path.join(folder, 'back.raw')
        made = osc.json(f'image create --file {disk} --disk-format raw --property os_distro=debian --tag t small')
        check(made['properties'].get('os_distro') == 'debian' and made['tags'] == ['t'], made)
        shown = osc.until('image show small', 'status', 'active')
        check(shown['size'] == 8 * MIB and shown['disk_format'] == 'raw', shown)
        osc('image set --min-disk 1 --property os_version=13 --name smaller small')
        osc('image unset --property os_distro smaller')
        shown = osc.json('image show smaller')
        check(shown['min_disk'] == 1 and shown['properties'].get('os_version') == '13', shown)
        check('os_distro' not in shown['properties'], shown)
        check(osc.names('image list --property os_version=13') == ['smaller'], 'list by a property')
        osc(f'image save --file {back} smaller')
        check(_sum(back) == _sum(disk), 'what was saved is another')
        osc('image set --protected smaller')
        osc.refused('image delete smaller', 'protected')
        osc('image set --unprotected smaller')
        osc('image delete smaller')
        osc.gone('image show smaller', 'No Image found for smaller')


def volumes_of_images(osc):
    with tempfile.TemporaryDirectory() as folder:
        disk = _disk(folder)
        packed, back = os.path.join(folder, 'disk.qcow2'), os.path.join(folder, 'back.raw')
        subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', disk, packed], check=True)
        for name, path, form in (('plain', disk, 'raw'), ('packed', packed, 'qcow2')):
            osc(f'image create --file {path} --disk-format {form} --property os_distro=debian i-{name}')
            osc.until(f'image show i-{name}', 'status', 'active')
            osc(f'volume create --image i-{name} --size 1 v-{name}')
            shown = osc.until(f'volume show v-{name}', 'status', 'available')
            check(shown['bootable'] is True, shown)
            about = shown['volume_image_metadata']
            check(about['image_name'] == f'i-{name}' and about['os_distro'] == 'debian', about)
            # And back: the whole volume is the image now.
            osc(f'image create --volume v-{name} --disk-format raw o-{name}')
            check(osc.until(f'image show o-{name}', 'status', 'active')['size'] == 1 << 30, 'size of a volume')
            osc.until(f'volume show v-{name}', 'status', 'available')
            osc(f'image save --file {back} o-{name}')
            check(_sum(back, 8 * MIB) == _sum(disk), name)
        osc.refused('volume create --image i-none --size 1 none', 'No Image found')
        for name in ('plain', 'packed'):
            osc(f'volume delete v-{name}')
            osc(f'image delete i-{name} o-{name}')


STEPS = [images, volumes_of_images]
