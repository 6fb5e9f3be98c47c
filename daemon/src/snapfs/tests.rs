//! The mount against a real kernel and a real NBD server, with names made up here.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nbd::{
    Device, DeviceError, Errno, ExportEntry, Exports, Extent, Fua, OpenError, Opened, Principal,
    Server, ServerOptions, StopToken, Timeouts, ZeroFlags,
};
use rustix::fs::SeekFrom;
use uuid::Uuid;

use super::disks::{Disks, TIMEOUTS};
use super::fuse::{Owner, SnapshotFs};
use super::names::{Keeper, NameSource, News};
use super::session::Mounted;
use super::tree::{Record, VolumeRecord};

const PATIENCE: Duration = Duration::from_secs(30);
const SIZE: u64 = 8 << 20;
/// The disk's only data: from 1 MiB, 3 MiB long.
const DATA: std::ops::Range<u64> = 1 << 20..4 << 20;

/// The byte at `at` of the disk.
fn byte(at: u64) -> u8 {
    if DATA.contains(&at) {
        (at / 512 % 251) as u8 + 1
    } else {
        0
    }
}

/// Whether the server answers reads; where it does not, they wait.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let shut = self.shut.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(shut, PATIENCE, |shut| *shut);
        drop(waited.unwrap());
    }
}

struct Disk(Arc<Gate>);

impl Device for Disk {
    fn size_bytes(&self) -> u64 {
        SIZE
    }
    fn read_only(&self) -> bool {
        true
    }
    fn can_multi_conn(&self) -> bool {
        true
    }
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.0.pass();
        for (slot, at) in buffer.iter_mut().zip(offset..) {
            *slot = byte(at);
        }
        Ok(())
    }
    fn write(&self, _: u64, _: &[u8], _: Fua) -> Result<(), DeviceError> {
        Err(DeviceError::new(Errno::Perm, "read-only"))
    }
    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
    fn trim(&self, _: u64, _: u64, _: Fua) -> Result<(), DeviceError> {
        Err(DeviceError::new(Errno::Perm, "read-only"))
    }
    fn zero(&self, _: u64, _: u64, _: ZeroFlags, _: Fua) -> Result<(), DeviceError> {
        Err(DeviceError::new(Errno::Perm, "read-only"))
    }
    fn cache(&self, _: u64, _: u64) -> Result<(), DeviceError> {
        Ok(())
    }
    fn status(&self, offset: u64, length: u64, _: usize) -> Result<Vec<Extent>, DeviceError> {
        let data = DATA.contains(&offset);
        let ends = [DATA.start, DATA.end, offset + length];
        let end = ends
            .into_iter()
            .filter(|end| *end > offset)
            .min()
            .unwrap_or(SIZE);
        let length = end.min(offset + length) - offset;
        Ok(vec![Extent {
            length,
            hole: !data,
            zero: !data,
        }])
    }
}

/// Knows the snapshot `ID` alone.
struct OneDisk(Arc<Gate>);

const ID: Uuid = Uuid::from_u128(0x1234);

impl Exports for OneDisk {
    fn open(&self, _: &Principal, name: &str) -> Result<Opened, OpenError> {
        if name != ID.to_string() {
            return Err(OpenError::Unknown);
        }
        Ok(Opened {
            device: Arc::new(Disk(self.0.clone())),
            description: String::new(),
            log_name: name.to_owned(),
            stop: StopToken::new(),
            guard: None,
        })
    }
    fn list(&self, _: &Principal) -> Vec<ExportEntry> {
        Vec::new()
    }
}

fn server(socket: &Path) -> Server {
    server_behind(Arc::default(), socket)
}

fn server_behind(gate: Arc<Gate>, socket: &Path) -> Server {
    let mut server = Server::new(Arc::new(OneDisk(gate)), ServerOptions::default());
    server.listen_unix(socket, 0o600).unwrap();
    server
}

type Shared = Arc<Mutex<Vec<VolumeRecord>>>;

struct Source(Shared);

impl NameSource for Source {
    fn fetch(&mut self) -> anyhow::Result<News> {
        Ok(News::Changed(self.0.lock().unwrap().clone()))
    }
}

fn volume(snapshots: &[(Uuid, &str)]) -> VolumeRecord {
    let id = Uuid::from_u128(1);
    let record = |(at, (snapshot, name)): (usize, &(Uuid, &str))| Record {
        id: *snapshot,
        name: (*name).to_owned(),
        volume_id: id,
        volume_name: "vol".to_owned(),
        project_id: "p".to_owned(),
        size_bytes: SIZE,
        created_us: (at as u64 + 1) * 1_000_000,
    };
    VolumeRecord {
        id,
        name: "vol".to_owned(),
        created_us: 0,
        snapshots: snapshots.iter().enumerate().map(record).collect(),
    }
}

struct Fixture {
    mounted: Mounted,
    keeper: Keeper,
    volumes: Shared,
    at: PathBuf,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

fn mount() -> Fixture {
    mount_within(TIMEOUTS)
}

fn mount_within(timeouts: Timeouts) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let socket = dir.path().join("s");
    let volumes: Shared = Arc::new(Mutex::new(vec![volume(&[(ID, "mon")])]));
    let keeper = Keeper::start(Box::new(Source(volumes.clone()))).unwrap();
    let disks = Arc::new(Disks::new(socket.clone(), timeouts));
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        others: false,
    };
    let filesystem = SnapshotFs::new(keeper.names().clone(), disks, owner);
    let mounted = Mounted::new(filesystem, &at, false).unwrap();
    keeper.tell(mounted.forgetter());
    Fixture {
        mounted,
        keeper,
        volumes,
        at,
        socket,
        _dir: dir,
    }
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::yield_now();
    }
}

fn check_disk(path: &Path) {
    let mut file = File::open(path).unwrap();
    let found = file.metadata().unwrap();
    assert_eq!(
        (found.len(), found.blocks()),
        (SIZE, (DATA.end - DATA.start) / 512)
    );
    assert_eq!(found.permissions().mode() & 0o777, 0o400);
    let seek = |from| rustix::fs::seek(&file, from);
    assert_eq!(seek(SeekFrom::Data(0)), Ok(DATA.start));
    assert_eq!(seek(SeekFrom::Hole(DATA.start)), Ok(DATA.end));
    assert_eq!(seek(SeekFrom::Data(DATA.end)), Err(rustix::io::Errno::NXIO));
    assert_eq!(seek(SeekFrom::Start(0)), Ok(0));
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content.len() as u64, SIZE);
    let wrong = content
        .iter()
        .zip(0..)
        .find(|(found, at)| **found != byte(*at));
    assert_eq!(wrong, None);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn snapshots_read_as_sparse_files_by_many_and_change_nothing() {
    let fixture = mount();
    let server = server(&fixture.socket);
    assert_eq!(names(&fixture.at), ["by-id", "volumes"]);
    assert_eq!(
        names(&fixture.at.join("volumes/vol")),
        ["by-time", "latest", "mon"]
    );
    let paths = [
        fixture.at.join("volumes/vol/mon/disk.raw"),
        fixture.at.join("volumes/vol/latest/disk.raw"),
        fixture
            .at
            .join("volumes/vol/by-time/1970-01-01T00:00:01Z/disk.raw"),
        fixture.at.join(format!("by-id/{ID}/disk.raw")),
    ];
    std::thread::scope(|scope| {
        for path in &paths {
            scope.spawn(|| check_disk(path));
        }
    });
    let info = fs::read(fixture.at.join("volumes/vol/mon/info.json")).unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
    assert_eq!(info["snapshot"]["id"], ID.to_string());
    let refused = fs::write(fixture.at.join("volumes/x"), "x").unwrap_err();
    assert_eq!(
        refused.raw_os_error(),
        Some(rustix::io::Errno::ROFS.raw_os_error())
    );
    let again = Mounted::new(
        SnapshotFs::new(
            Arc::default(),
            Arc::new(Disks::new("/s".into(), TIMEOUTS)),
            Owner {
                uid: 0,
                gid: 0,
                others: false,
            },
        ),
        &fixture.at,
        false,
    );
    assert!(
        again
            .err()
            .unwrap()
            .to_string()
            .contains("not an empty folder")
    );
    end(fixture);
    server.shutdown(PATIENCE);
}

#[test]
fn names_come_and_go_and_a_server_that_is_away_is_an_error() {
    let fixture = mount();
    let disk = fixture.at.join("volumes/vol/mon/disk.raw");
    let file = File::open(&disk).unwrap();
    let mut page = [0; 4096];
    let away = file.read_at(&mut page, DATA.start).unwrap_err();
    assert_eq!(
        away.raw_os_error(),
        Some(rustix::io::Errno::IO.raw_os_error())
    );
    let first = server(&fixture.socket);
    file.read_at(&mut page, DATA.start).unwrap();
    assert_eq!(page[0], byte(DATA.start));
    first.shutdown(PATIENCE);
    let second = server(&fixture.socket);
    // Beyond what the kernel has read ahead.
    file.read_at(&mut page, DATA.end - 4096).unwrap();
    assert_eq!(page[0], byte(DATA.end - 4096));

    let dir = fixture.at.join("volumes/vol");
    let other = Uuid::from_u128(0x5678);
    *fixture.volumes.lock().unwrap() = vec![volume(&[(ID, "mon"), (other, "tue")])];
    until("the new snapshot", || dir.join("tue").is_dir());
    assert_eq!(fs::read_link(dir.join("latest")).unwrap(), Path::new("tue"));
    *fixture.volumes.lock().unwrap() = vec![volume(&[(other, "tue")])];
    until("the old snapshot's end", || !dir.join("mon").exists());
    assert!(names(&dir).contains(&"tue".to_owned()));
    end(fixture);
    second.shutdown(PATIENCE);
}

#[test]
fn a_server_that_does_not_answer_is_an_error_until_it_does() {
    let limit = Duration::from_millis(200);
    let fixture = mount_within(Timeouts {
        handshake: limit,
        request: limit,
    });
    let gate = Arc::<Gate>::default();
    let hangs = server_behind(gate.clone(), &fixture.socket);
    let file = File::open(fixture.at.join("volumes/vol/mon/disk.raw")).unwrap();
    let mut page = [0; 4096];
    gate.set(true);
    let began = Instant::now();
    let late = file.read_at(&mut page, DATA.start).unwrap_err();
    assert_eq!(
        late.raw_os_error(),
        Some(rustix::io::Errno::IO.raw_os_error())
    );
    assert!(began.elapsed() < PATIENCE);
    gate.set(false);
    file.read_at(&mut page, DATA.start).unwrap();
    assert_eq!(page[0], byte(DATA.start));
    drop(file);
    end(fixture);
    hangs.shutdown(PATIENCE);
}

/// Unmounts and sees that nothing is left.
fn end(fixture: Fixture) {
    fixture.keeper.stop();
    fixture.mounted.end().unwrap();
    assert!(names(&fixture.at).is_empty());
    let mut file = File::create(fixture.at.join("writable")).unwrap();
    file.write_all(b"x").unwrap();
}
