//! The real `qemu-img` in its sandbox, between volumes of a real pool.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use store::disk::RealIo;
use store::{
    DomainId, Durability, Encryption, ExtentKind, OpenOptions, Packing, Store, Volume, VolumeId,
    VolumeSpec,
};
use uuid::Uuid;

use super::images::{made, qcow2_on};
use crate::convert::sandbox::{Limits, Sandbox};
use crate::convert::{Converter, Error, Format, Stored, check};
use crate::jobs::JobError;

const MIB: usize = 1 << 20;
const DISK_BYTES: usize = 12 * MIB;

/// A pool, and a place to convert in.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("scratch")).unwrap();
        let options = OpenOptions {
            memory_bytes: 64 << 20,
            ..OpenOptions::default()
        };
        let pool = dir.path().join("pool");
        Self {
            store: Store::open(Arc::new(RealIo::new()), &pool, options).unwrap(),
            dir,
        }
    }

    fn converter(&self) -> Converter {
        Converter::new(&self.dir.path().join("scratch"))
    }

    fn volume(&self, size: u64) -> Volume {
        let id = VolumeId(Uuid::new_v4());
        let spec = VolumeSpec {
            size_bytes: size.next_multiple_of(4096),
            domain: DomainId(Uuid::nil()),
            packing: Packing::Background,
            encryption: Encryption::None,
        };
        self.store.create_volume(id, spec).unwrap();
        self.store.volume(id).unwrap()
    }

    fn stored(&self, image: &[u8]) -> Stored {
        let volume = self.volume(image.len() as u64);
        volume.write(0, image, Durability::Buffered).unwrap();
        let len = image.len() as u64;
        Stored { volume, len }
    }
}

/// A disk with something in it, and nothing in most of it.
fn disk(dir: &Path) -> (Vec<u8>, std::path::PathBuf) {
    let mut disk = vec![0; DISK_BYTES];
    for (at, byte) in disk[5 * MIB..6 * MIB].iter_mut().enumerate() {
        *byte = (at % 251) as u8 + 1;
    }
    let path = dir.join("disk.raw");
    fs::write(&path, &disk).unwrap();
    (disk, path)
}

fn content(volume: &Volume) -> Vec<u8> {
    let mut found = vec![0; usize::try_from(volume.size_bytes()).unwrap()];
    volume.read(0, &mut found).unwrap();
    found
}

#[test]
fn every_format_comes_out_as_it_went_in() {
    let bench = Bench::new();
    let (disk, raw) = disk(bench.dir.path());
    for (word, driver, options) in [
        ("qcow2", "qcow2", &[][..]),
        ("qcow2", "qcow2", &["-c", "-o", "compat=0.10"][..]),
        ("vmdk", "vmdk", &["-o", "subformat=monolithicSparse"][..]),
        ("vmdk", "vmdk", &["-o", "subformat=streamOptimized"][..]),
        ("vdi", "vdi", &[][..]),
        ("vhd", "vpc", &["-o", "force_size=on"][..]),
        ("vhd", "vpc", &["-o", "force_size=on,subformat=fixed"][..]),
        ("vhdx", "vhdx", &[][..]),
    ] {
        let image = bench.stored(&made(bench.dir.path(), &raw, driver, options));
        let mut target = None;
        let make = |size| {
            target = Some(bench.volume(size));
            Ok(target.clone().unwrap())
        };
        let converted = bench
            .converter()
            .to_volume(image, word, make, &|_, _| Ok(()));
        let found = converted.unwrap_or_else(|error| panic!("{word} {options:?}: {error}"));
        assert_eq!(found.virtual_size_bytes, DISK_BYTES as u64, "{word}");
        let target = target.unwrap();
        assert!(content(&target) == disk, "{word} {options:?}");
        // Nothing stays nothing.
        let extents = target.extents(0, DISK_BYTES as u64, 64).unwrap();
        let data = extents.iter().filter(|one| one.kind == ExtentKind::Data);
        assert!(
            data.map(|one| one.len).sum::<u64>() <= 2 * MIB as u64,
            "{word}"
        );
    }
    let left = fs::read_dir(bench.dir.path().join("scratch")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_volume_becomes_an_image_of_every_format() {
    let bench = Bench::new();
    let (disk, _) = disk(bench.dir.path());
    let volume = bench.volume(DISK_BYTES as u64);
    volume.write(0, &disk, Durability::Buffered).unwrap();
    for format in [
        Format::Qcow2,
        Format::Vmdk,
        Format::Vdi,
        Format::Vhd,
        Format::Vhdx,
    ] {
        let mut image = None;
        let make = |len| {
            image = Some(bench.volume(len));
            Ok(image.clone().unwrap())
        };
        let len = bench
            .converter()
            .from_volume(volume.clone(), format, make, &|_, _| Ok(()))
            .unwrap();
        let stored = Stored {
            volume: image.unwrap(),
            len,
        };
        let back = bench.volume(DISK_BYTES as u64);
        let again = back.clone();
        bench
            .converter()
            .to_volume(stored, format.name(), |_| Ok(again), &|_, _| Ok(()))
            .unwrap();
        assert!(content(&back) == disk, "{format:?}");
    }
}

#[test]
fn a_crafted_image_writes_nothing() {
    let bench = Bench::new();
    let image = bench.stored(&qcow2_on("/etc/shadow"));
    let make = |_| -> Result<Volume, JobError> { panic!("nothing is made for it") };
    let refused = bench
        .converter()
        .to_volume(image, "qcow2", make, &|_, _| Ok(()));
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
}

/// Runs `qemu-img` as conversions do; `-f raw` of a path is what no conversion ever says.
fn run(bench: &Bench, arguments: &[&str], file_bytes: u64) -> Result<(), Error> {
    let scratch = bench.dir.path().join("scratch");
    let (sandbox, ()) = Sandbox::new(&scratch, |_| Ok(())).unwrap();
    let limits = Limits {
        seconds: 20,
        file_bytes,
    };
    sandbox.run(arguments, limits, &mut || Ok(()))
}

fn failure(result: Result<(), Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_process_reaches_nothing() {
    let bench = Bench::new();
    let secret = bench.dir.path().join("secret");
    fs::write(&secret, [7; 4096]).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = secret.to_str().unwrap();
    // A daemon that is not root cannot take its own files away from the process.
    if rustix::process::geteuid().is_root() {
        for path in [secret, "/etc/shadow"] {
            let told = failure(run(
                &bench,
                &["convert", "-f", "raw", "-O", "raw", path, "out"],
                1 << 20,
            ));
            assert!(told.contains("Permission denied"), "{told}");
        }
    }
    // Files of its own are bounded.
    let told = failure(run(
        &bench,
        &[
            "create",
            "-q",
            "-f",
            "raw",
            "-o",
            "preallocation=full",
            "out",
            "4M",
        ],
        1 << 20,
    ));
    assert!(
        told.contains("too large") || told.contains("signal"),
        "{told}"
    );
    // There is a listener, and no way to it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = format!("nbd://127.0.0.1:{port}/x");
    let told = failure(run(&bench, &["info", "-f", "raw", &address], 0));
    assert!(told.contains("Network is unreachable"), "{told}");
}

#[test]
fn a_run_ends_when_its_time_is_up_or_nobody_wants_it() {
    let bench = Bench::new();
    let scratch = bench.dir.path().join("scratch");
    // The socket is there and never answers: the process waits for its greeting.
    let prepare = |dir: &Path| Ok(std::os::unix::net::UnixListener::bind(dir.join("nbd")).unwrap());
    let (sandbox, _listener) = Sandbox::new(&scratch, prepare).unwrap();
    let waits = "nbd+unix:///x?socket=nbd";
    fs::set_permissions(
        sandbox.path().join("nbd"),
        fs::Permissions::from_mode(0o666),
    )
    .unwrap();
    let mut limits = Limits {
        seconds: 1,
        file_bytes: 0,
    };
    let slow = sandbox.run(&["info", "-f", "raw", waits], limits, &mut || Ok(()));
    assert!(matches!(slow, Err(Error::TooSlow(1))), "{slow:?}");
    limits.seconds = 60;
    let mut looks = 0;
    let ended = sandbox.run(&["info", "-f", "raw", waits], limits, &mut || {
        looks += 1;
        match looks {
            1..5 => Ok(()),
            _ => Err(JobError::interrupted()),
        }
    });
    let ended: JobError = ended.unwrap_err().into();
    assert!(ended.is_interruption());
}

#[test]
fn the_machine_can_convert() {
    let dir = tempfile::tempdir().unwrap();
    let told = check(dir.path()).unwrap();
    assert!(told.contains("without network"), "{told}");
}
