//! Whole backups on a directory: what comes back, and what damage does.

mod mutants;
mod sealed;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::disk::RealIo;
use store::{Durability, OpenOptions, Packing, SnapshotId, Store, VolumeId, VolumeSpec};
use tempfile::TempDir;
use uuid::Uuid;

use super::pack::UNIT_BYTES;
use super::{
    Ancestor, Error, ErrorKind, Method, Onto, Result, Target, VolumeFacts, Wanted, Watch, Written,
    forget, remove, repository_path, restore, write,
};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;

struct Silent;

impl Watch for Silent {
    fn progress(&self, _done: u64, _all: u64) -> Result<()> {
        Ok(())
    }
}

/// Stops the work after some calls.
struct StopsAfter(Cell<u32>);

impl Watch for StopsAfter {
    fn progress(&self, _done: u64, _all: u64) -> Result<()> {
        match self.0.get() {
            0 => Err(Error::interrupted()),
            left => {
                self.0.set(left - 1);
                Ok(())
            }
        }
    }
}

/// A pool and a target.
struct Fixture {
    dir: TempDir,
    store: Store,
    target: Target,
    volume: VolumeId,
    next: Cell<u128>,
}

fn spec() -> VolumeSpec {
    VolumeSpec {
        size_bytes: SIZE,
        domain: store::DomainId(Uuid::from_u128(1)),
        packing: Packing::Background,
        encryption: store::Encryption::None,
    }
}

/// Bytes that neither compress nor repeat, from a seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            memory_bytes: 64 * MIB,
            ..OpenOptions::default()
        };
        let io = Arc::new(RealIo::new());
        let store = Store::open(io, &dir.path().join("pool"), options).unwrap();
        let volume = VolumeId(Uuid::from_u128(2));
        store.create_volume(volume, spec()).unwrap();
        Self {
            target: Target::directory(&dir.path().join("target")).unwrap(),
            dir,
            store,
            volume,
            next: Cell::new(100),
        }
    }

    fn fresh(&self) -> Uuid {
        self.next.set(self.next.get() + 1);
        Uuid::from_u128(self.next.get())
    }

    fn put(&self, offset: u64, bytes: &[u8]) {
        let volume = self.store.volume(self.volume).unwrap();
        volume.write(offset, bytes, Durability::Buffered).unwrap();
    }

    fn freeze(&self) -> SnapshotId {
        let id = SnapshotId(self.fresh());
        self.store.create_snapshots(&[(id, self.volume)]).unwrap();
        id
    }

    fn content(&self, snapshot: SnapshotId) -> Vec<u8> {
        let mut bytes = vec![0; SIZE as usize];
        self.store
            .snapshot(snapshot)
            .unwrap()
            .read(0, &mut bytes)
            .unwrap();
        bytes
    }

    fn try_write(
        &self,
        id: Uuid,
        frozen: SnapshotId,
        since: Option<(&Ancestor, Option<SnapshotId>)>,
        watch: &dyn Watch,
    ) -> Result<Written> {
        let differences = since
            .and_then(|(_, older)| older)
            .map(|older| self.store.differences(frozen, Some(older)).unwrap());
        let encryption = self.store.snapshot_info(frozen).unwrap().encryption;
        write(
            &self.target,
            Wanted {
                keys: (encryption == store::Encryption::DomainKey).then_some(&self.store),
                id,
                repository: &repository_path("box", "project"),
                source: &self.store.snapshot(frozen).unwrap(),
                differences,
                parent: since.map(|(parent, _)| parent.clone()),
                created_us: self.next.get() as u64,
                volume: VolumeFacts {
                    id: self.volume.0,
                    metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
                    ..VolumeFacts::default()
                },
            },
            watch,
        )
    }

    fn back_up(
        &self,
        frozen: SnapshotId,
        since: Option<(&Ancestor, Option<SnapshotId>)>,
    ) -> (Ancestor, Written) {
        let id = self.fresh();
        let written = self.try_write(id, frozen, since, &Silent).unwrap();
        (ancestor(id, &written), written)
    }

    /// What a restore onto a new volume gives.
    fn restored(&self, backup: &Ancestor) -> Result<Vec<u8>> {
        let id = VolumeId(self.fresh());
        self.store.create_volume(id, spec()).unwrap();
        let volume = self.store.volume(id).unwrap();
        let place = (&self.store, &volume);
        restore(&self.target, backup, place, Onto::New, &Silent)?;
        let mut bytes = vec![0; SIZE as usize];
        volume.read(0, &mut bytes).unwrap();
        Ok(bytes)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.dir.path().join("target"), &mut found);
        found.sort();
        found
    }

    fn count(&self, folder: &str) -> usize {
        let inside = |path: &&PathBuf| path.components().any(|part| part.as_os_str() == folder);
        self.files().iter().filter(inside).count()
    }
}

fn ancestor(id: Uuid, written: &Written) -> Ancestor {
    Ancestor {
        repository: repository_path("box", "project"),
        id,
        digest: written.digest.clone(),
    }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A full backup and an increment on it, with what the volume held each time.
fn full_and_increment(fixture: &Fixture) -> [(Ancestor, Vec<u8>); 2] {
    fixture.put(0, &noise(1, 3 << 20));
    fixture.put(40 * MIB, &noise(2, 100_000));
    let first = fixture.freeze();
    let (full, written) = fixture.back_up(first, None);
    assert_eq!(written.method, Method::Full);
    fixture.put(MIB + 5, b"changed");
    fixture.put(50 * MIB, &noise(3, 70_000));
    let volume = fixture.store.volume(fixture.volume).unwrap();
    volume.trim(2 * MIB, MIB / 2, Durability::Buffered).unwrap();
    let second = fixture.freeze();
    let (increment, written) = fixture.back_up(second, Some((&full, Some(first))));
    assert_eq!(written.method, Method::Map);
    [
        (full, fixture.content(first)),
        (increment, fixture.content(second)),
    ]
}

#[test]
fn what_was_backed_up_comes_back() {
    let fixture = Fixture::new();
    for (backup, content) in full_and_increment(&fixture) {
        assert!(fixture.restored(&backup).unwrap() == content);
    }
}

#[test]
fn a_used_volume_holds_nothing_of_what_it_had() {
    let fixture = Fixture::new();
    let [_, (increment, content)] = full_and_increment(&fixture);
    let id = VolumeId(fixture.fresh());
    fixture.store.create_volume(id, spec()).unwrap();
    let volume = fixture.store.volume(id).unwrap();
    volume
        .write(0, &noise(9, SIZE as usize), Durability::Buffered)
        .unwrap();
    let place = (&fixture.store, &volume);
    restore(&fixture.target, &increment, place, Onto::Used, &Silent).unwrap();
    let mut bytes = vec![0; SIZE as usize];
    volume.read(0, &mut bytes).unwrap();
    assert!(bytes == content);
}

#[test]
fn without_maps_an_increment_is_found_by_hash() {
    let fixture = Fixture::new();
    let [(full, _), _] = full_and_increment(&fixture);
    let now = fixture.freeze();
    let packs = fixture.count("packs");
    let (increment, written) = fixture.back_up(now, Some((&full, None)));
    assert_eq!(written.method, Method::Fingerprint);
    // The other increment brought the same chunks: nothing new but a page and a manifest.
    assert_eq!((fixture.count("packs"), written.objects), (packs, 2));
    assert!(fixture.restored(&increment).unwrap() == fixture.content(now));
}

#[test]
fn equal_data_is_stored_once() {
    let fixture = Fixture::new();
    let data = noise(1, UNIT_BYTES * 16);
    for copy in 0..8 {
        fixture.put(copy * data.len() as u64, &data);
    }
    let frozen = fixture.freeze();
    fixture.back_up(frozen, None);
    let (second, _) = fixture.back_up(frozen, None);
    let stored = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let all: u64 = fixture.files().iter().map(stored).sum();
    assert!(all < data.len() as u64 * 5 / 4, "{all} bytes");
    assert!(fixture.restored(&second).unwrap() == fixture.content(frozen));
}

#[test]
fn what_a_removed_backup_shared_stays() {
    let fixture = Fixture::new();
    fixture.put(0, &noise(1, 3 << 20));
    let frozen = fixture.freeze();
    let (first, _) = fixture.back_up(frozen, None);
    fixture.put(MIB, &noise(2, 1 << 20));
    let changed = fixture.freeze();
    let (second, _) = fixture.back_up(changed, None);
    remove(&fixture.target, &first).unwrap();
    assert!(fixture.restored(&second).unwrap() == fixture.content(changed));
    let gone = fixture.restored(&first).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Missing);
    remove(&fixture.target, &second).unwrap();
    remove(&fixture.target, &second).unwrap();
    let left = fixture.files();
    assert_eq!(
        left.len(),
        1,
        "only the repository's header is left: {left:?}"
    );
}

#[test]
fn nothing_is_swept_while_a_backup_is_written() {
    let fixture = Fixture::new();
    fixture.put(0, &noise(1, 40 << 20));
    let frozen = fixture.freeze();
    let (first, _) = fixture.back_up(frozen, None);
    let id = fixture.fresh();
    let stop = StopsAfter(Cell::new(30));
    let stopped = fixture.try_write(id, frozen, None, &stop).unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Interrupted);
    let packs = fixture.count("packs");
    remove(&fixture.target, &first).unwrap();
    assert_eq!(fixture.count("packs"), packs);
    // The attempt that goes on writes what it can no longer share, and sweeps at its end.
    let written = fixture.try_write(id, frozen, None, &Silent).unwrap();
    assert!(fixture.restored(&ancestor(id, &written)).unwrap() == fixture.content(frozen));
    remove(&fixture.target, &ancestor(id, &written)).unwrap();
    assert_eq!(fixture.count("packs"), 0);
}

#[test]
fn an_attempt_goes_on_with_the_packs_of_the_one_before() {
    let fixture = Fixture::new();
    fixture.put(0, &noise(1, 60 << 20));
    let (frozen, id) = (fixture.freeze(), fixture.fresh());
    let stop = StopsAfter(Cell::new(45));
    fixture.try_write(id, frozen, None, &stop).unwrap_err();
    let before: Vec<PathBuf> = fixture.files();
    assert!(before.iter().all(|path| !path.ends_with("manifest")));
    let changed = |path: &PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
    let packs = |files: &[PathBuf]| -> Vec<_> {
        let packs = files
            .iter()
            .filter(|path| path.to_string_lossy().contains("packs"));
        packs.map(|path| (path.clone(), changed(path))).collect()
    };
    let old = packs(&before);
    assert!(!old.is_empty());
    let written = fixture.try_write(id, frozen, None, &Silent).unwrap();
    let new = packs(&fixture.files());
    assert!(old.iter().all(|pack| new.contains(pack)));
    assert!(fixture.restored(&ancestor(id, &written)).unwrap() == fixture.content(frozen));
    // Once more is nothing more, as after a crash between the manifest and the catalogue.
    let again = fixture.try_write(id, frozen, None, &Silent).unwrap();
    assert_eq!(again, written);
}

#[test]
fn a_given_up_attempt_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.put(0, &noise(1, 60 << 20));
    let (frozen, id) = (fixture.freeze(), fixture.fresh());
    let stop = StopsAfter(Cell::new(45));
    fixture.try_write(id, frozen, None, &stop).unwrap_err();
    forget(&fixture.target, &repository_path("box", "project"), id).unwrap();
    assert_eq!(fixture.files().len(), 1);
}

/// Every object, damaged in each way: a restore fails and says so, or was not touched by it at all.
#[test]
fn damage_is_found_before_it_is_restored() {
    let fixture = Fixture::new();
    let [_, (increment, content)] = full_and_increment(&fixture);
    for path in fixture.files() {
        let whole = std::fs::read(&path).unwrap();
        let mut damaged: Vec<Vec<u8>> = vec![
            Vec::new(),
            whole[..whole.len() / 2].to_vec(),
            whole[..whole.len() - 1].to_vec(),
        ];
        for at in [
            0,
            9,
            12,
            30,
            whole.len() / 2,
            whole.len() - 40,
            whole.len() - 1,
        ] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            damaged.push(bytes);
        }
        for bytes in damaged {
            std::fs::write(&path, bytes).unwrap();
            match fixture.restored(&increment) {
                Ok(found) => assert!(found == content, "{path:?} was restored wrongly"),
                Err(error) => {
                    let kinds = [ErrorKind::Corrupt, ErrorKind::Unsupported];
                    assert!(kinds.contains(&error.kind()), "{path:?}: {error}");
                }
            }
        }
        std::fs::remove_file(&path).unwrap();
        let error = fixture.restored(&increment).unwrap_err();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(error.kind(), ErrorKind::Missing, "{path:?}: {error}");
        assert!(error.to_string().contains(&name), "{error}");
        std::fs::write(&path, whole).unwrap();
    }
    assert!(fixture.restored(&increment).unwrap() == content);
}

#[test]
fn another_manifest_in_the_place_of_the_recorded_one_is_refused() {
    let fixture = Fixture::new();
    let [(full, _), (increment, _)] = full_and_increment(&fixture);
    let other = Ancestor {
        digest: full.digest,
        ..increment
    };
    let error = fixture.restored(&other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn names_of_containers_stay_within_the_target() {
    for name in ["..", "a/../../b", "/etc", "\u{0}", "ä ö", &"x".repeat(255)] {
        let path = repository_path(name, "project");
        assert_eq!(path.split('/').count(), 2, "{path}");
        assert!(
            !path.split('/').any(|part| part == ".." || part.len() > 200),
            "{path}"
        );
    }
    assert_ne!(
        repository_path(&"x".repeat(254), "p"),
        repository_path(&"x".repeat(255), "p")
    );
}
