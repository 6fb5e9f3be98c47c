//! Encrypted volumes: no guest's bytes reach the disk, nothing opens without its key, and keys go
//! with the last volume that needs them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::addr::CHUNK_BYTES;
use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, File, Io};
use crate::engine::Place;
use crate::journal::poisoned;
use crate::model::{open, sealed, spec};
use crate::{DomainId, Durability, Encryption, ErrorKind, SnapshotId, Store, VolumeId, VolumeSpec};

const SECRET: VolumeId = VolumeId(Uuid::from_u128(0x5ec));
const PLAIN: VolumeId = VolumeId(Uuid::from_u128(0x9a1));
const FROZEN: SnapshotId = SnapshotId(Uuid::from_u128(0xf0));
const COPY: VolumeId = VolumeId(Uuid::from_u128(0xc0));
const CHUNKS: usize = 64;
const SIZE: u64 = (CHUNKS * CHUNK_BYTES) as u64;
/// Shorter than what any codec leaves unchanged of a text.
const MARK_BYTES: usize = 12;

/// Text that is found again however it is cut, moved or compressed.
fn text(word: &str, len: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line| format!("{word} {line:08x}\n").into_bytes());
    lines.take(len).collect()
}

fn files(io: &dyn Io, dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in io.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        match entry.is_dir {
            true => files(io, &path, found),
            false => found.push(path),
        }
    }
}

fn file(io: &dyn Io, path: &Path) -> Arc<dyn File> {
    io.open(path, Create::Never, Caching::Buffered).unwrap()
}

/// The files in which a word lies.
fn files_with(io: &SimIo, word: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    files(io, Path::new("/"), &mut paths);
    assert!(paths.len() > 4, "{paths:?}");
    let holds = |path: &PathBuf| {
        let file = file(io, path);
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        let mark = word.as_bytes();
        bytes.windows(mark.len()).any(|part| part == mark)
    };
    paths.retain(holds);
    paths
}

fn secret_spec() -> VolumeSpec {
    sealed(spec(SIZE), SECRET)
}

fn read(store: &Store, id: VolumeId) -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    store.volume(id).unwrap().read(0, &mut bytes).unwrap();
    bytes
}

/// A pool with an encrypted volume and one that is not, both full of text.
fn pool(io: &SimIo) -> Store {
    io.set_space_bytes(1 << 30);
    let store = open(io).unwrap();
    io.forget_history();
    store.create_volume(SECRET, secret_spec()).unwrap();
    store.create_volume(PLAIN, spec(SIZE)).unwrap();
    for (id, word) in [(SECRET, "clandestine"), (PLAIN, "overt-words")] {
        let volume = store.volume(id).unwrap();
        let written = volume.write(0, &text(word, SIZE as usize), Durability::Durable);
        written.unwrap();
    }
    store
}

fn ends_with(io: &SimIo, word: &str, extension: &str) -> bool {
    let ends = |path: &PathBuf| path.extension().is_some_and(|end| end == extension);
    files_with(io, word).iter().any(ends)
}

#[test]
fn no_byte_of_an_encrypted_volume_reaches_the_disk_readable() {
    let secret = "clandestine";
    assert_eq!(secret.len() + 1, MARK_BYTES);
    let io = SimIo::new(11);
    let store = pool(&io);
    let volume = store.volume(SECRET).unwrap();
    // Unaligned writes read and write again what surrounds them.
    let part = text(secret, 5000);
    volume.write(1234, &part, Durability::Buffered).unwrap();
    store.create_snapshots(&[(FROZEN, SECRET)]).unwrap();
    store.clone_snapshot(COPY, FROZEN, secret_spec()).unwrap();
    let copy = store.volume(COPY).unwrap();
    copy.write(9999, &part, Durability::Durable).unwrap();
    let mut want = text(secret, SIZE as usize);
    want[1234..6234].copy_from_slice(&part);
    let mut want_copy = want.clone();
    want_copy[9999..14999].copy_from_slice(&part);
    let check = |store: &Store, io: &SimIo| {
        assert!(read(store, SECRET) == want && read(store, COPY) == want_copy);
        assert_eq!(files_with(io, secret), Vec::<PathBuf>::new());
    };
    check(&store, &io);
    // The search finds what is not encrypted, in the journal now and in packs later.
    assert!(ends_with(&io, "overt-words", "wal"));
    let mut rng = SplitMix64::new(1);
    let crashed = io.crash(io.op_count(), &Crash::new(Survive::Nothing), &mut rng);
    check(&open(&crashed).unwrap(), &crashed);
    store.reclaim_now().unwrap();
    check(&store, &io);
    assert!(ends_with(&io, "overt-words", "pack"));
    let crashed = io.crash(io.op_count(), &Crash::new(Survive::Nothing), &mut rng);
    check(&open(&crashed).unwrap(), &crashed);
    // Programs that know nothing of encryption refuse the pool.
    let listed = files_with(&io, "features = [\"metadata-sums\", \"encryption\"]");
    assert!(
        listed.contains(&PathBuf::from("/pool/pool.toml")),
        "{listed:?}"
    );
}

#[test]
fn blocks_of_the_journal_open_where_they_were_written_and_unchanged() {
    let io = SimIo::new(12);
    let store = pool(&io);
    let engine = store.engine_for_tests();
    let state = engine.state.read().unwrap();
    let chain = state.volumes[&SECRET].chain();
    drop(state);
    let mut found = [crate::addr::Address::HOLE; 2];
    engine.resolve(&chain, 0, &mut found).unwrap();
    let Place::Journal(segment) = engine.place(found[0].container()).unwrap() else {
        panic!("nothing was packed");
    };
    let key = engine.key_of(&chain).unwrap().unwrap();
    let [here, there] = found.map(|address| segment.block_of(address).unwrap());
    let mut stored = [0; CHUNK_BYTES];
    segment.read(here, &mut stored).unwrap();
    let unsealed = |block, stored: &[u8; CHUNK_BYTES]| {
        let mut data = *stored;
        segment.unseal(key, block, &mut data).map(|()| data)
    };
    assert_eq!(
        unsealed(here, &stored).unwrap()[..],
        text("clandestine", CHUNK_BYTES)
    );
    assert_eq!(
        unsealed(there, &stored).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    let mut flipped = stored;
    flipped[77] ^= 4;
    assert_eq!(
        unsealed(here, &flipped).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    // On the disk the checksum already tells.
    let path = Path::new("/pool/journal").join(format!("{:08}.wal", segment.header.number));
    let offset = u64::from(here) * CHUNK_BYTES as u64 + 77;
    file(&io, &path).write_at(&flipped[77..78], offset).unwrap();
    let refused = segment.read(here, &mut stored);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn segments_closed_by_an_earlier_opening_are_read_with_their_seals() {
    let io = SimIo::new(13);
    let store = pool(&io);
    let engine = store.engine_for_tests();
    engine.journal.roll_now().unwrap();
    store.close().unwrap();
    drop((engine, store));
    let store = open(&io).unwrap();
    assert!(read(&store, SECRET) == text("clandestine", SIZE as usize));
    store.reclaim_now().unwrap();
    assert!(read(&store, SECRET) == text("clandestine", SIZE as usize));
}

fn move_file(io: &SimIo, from: &str, to: &str) {
    io.rename(Path::new(from), Path::new(to)).unwrap();
}

/// Puts another pool's master key where there is none.
fn put_foreign_key(io: &SimIo) {
    let (foreign, path) = (SimIo::new(99), Path::new("/pool/master.key"));
    drop(pool(&foreign));
    let mut line = vec![0; 90];
    file(&foreign, path).read_at(&mut line, 0).unwrap();
    let wrong = io.open(path, Create::New, Caching::Buffered);
    wrong.unwrap().write_at(&line, 0).unwrap();
}

#[test]
fn without_its_key_a_volume_does_not_open_and_nothing_else_suffers() {
    let io = SimIo::new(14);
    let store = pool(&io);
    store.close().unwrap();
    drop(store);
    move_file(&io, "/pool/master.key", "/elsewhere");
    let store = open(&io).unwrap();
    let refused = |store: &Store| {
        let error = store.volume(SECRET).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{error}");
        assert!(error.to_string().contains("master.key"), "{error}");
    };
    refused(&store);
    // A new master key would be the end of the old one.
    let other = VolumeId(Uuid::from_u128(1));
    let made = store.create_volume(other, sealed(spec(SIZE), other));
    assert_eq!(made.unwrap_err().kind(), ErrorKind::KeyUnavailable);
    assert!(
        io.open(
            Path::new("/pool/master.key"),
            Create::Never,
            Caching::Buffered
        )
        .is_err()
    );
    // Others are written and packed, and the encrypted one's chunks stay in the journal.
    let plain = store.volume(PLAIN).unwrap();
    plain
        .write(0, &text("fresh-news", 9000), Durability::Durable)
        .unwrap();
    store.create_snapshots(&[(FROZEN, SECRET)]).unwrap();
    store.reclaim_now().unwrap();
    assert!(ends_with(&io, "fresh-news", "pack"));
    assert_eq!(store.engine_for_tests().journal.ended_segments().len(), 1);
    refused(&store);
    // Another pool's master key is not this one's.
    put_foreign_key(&io);
    drop(store.close());
    drop((plain, store));
    let store = open(&io).unwrap();
    refused(&store);
    drop(store);
    // With the right one, what stayed in the journal is there, and is packed.
    move_file(&io, "/elsewhere", "/pool/master.key");
    let store = open(&io).unwrap();
    assert!(read(&store, SECRET) == text("clandestine", SIZE as usize));
    store.reclaim_now().unwrap();
    assert!(store.engine_for_tests().journal.ended_segments().is_empty());
    assert!(read(&store, SECRET) == text("clandestine", SIZE as usize));
}

#[test]
fn a_master_key_put_back_is_found_without_opening_the_pool_again() {
    for is_wrong in [false, true] {
        let io = SimIo::new(15);
        drop(pool(&io));
        move_file(&io, "/pool/master.key", "/elsewhere");
        if is_wrong {
            put_foreign_key(&io);
        }
        let store = open(&io).unwrap();
        let refused = store.probe_key().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::KeyUnavailable);
        store.reclaim_now().unwrap();
        assert_eq!(store.engine_for_tests().journal.ended_segments().len(), 1);
        move_file(&io, "/elsewhere", "/pool/master.key");
        store.probe_key().unwrap();
        assert!(read(&store, SECRET) == text("clandestine", SIZE as usize));
        store.reclaim_now().unwrap();
        assert!(store.engine_for_tests().journal.ended_segments().is_empty());
        assert!(read(&store, SECRET) == text("clandestine", SIZE as usize));
    }
}

fn key_files(io: &SimIo) -> usize {
    io.list(Path::new("/pool/keys")).unwrap().len()
}

#[test]
fn the_key_goes_with_the_last_volume_and_snapshot_that_need_it() {
    let io = SimIo::new(16);
    let store = pool(&io);
    store.create_snapshots(&[(FROZEN, SECRET)]).unwrap();
    store.clone_snapshot(COPY, FROZEN, secret_spec()).unwrap();
    for delete in [
        |store: &Store| store.delete_volume(SECRET),
        |store: &Store| store.delete_snapshot(FROZEN),
    ] {
        delete(&store).unwrap();
        store.reclaim_now().unwrap();
        assert_eq!(key_files(&io), 1);
        assert!(read(&store, COPY) == text("clandestine", SIZE as usize));
    }
    store.delete_volume(COPY).unwrap();
    store.reclaim_now().unwrap();
    assert_eq!(key_files(&io), 0);
    let engine = store.engine_for_tests();
    let state = engine.state.read().expect(poisoned!());
    assert!(!state.domains.contains_key(&DomainId(SECRET.0)));
    drop(state);
    // The same again has another key, and survives opening again.
    store.create_volume(SECRET, secret_spec()).unwrap();
    assert_eq!(key_files(&io), 1);
    store.close().unwrap();
    drop((engine, store));
    let store = open(&io).unwrap();
    assert!(read(&store, SECRET).iter().all(|byte| *byte == 0));
}

#[test]
fn nothing_crosses_the_border_of_an_encrypted_domain() {
    let store = pool(&SimIo::new(17));
    store.create_snapshots(&[(FROZEN, SECRET)]).unwrap();
    let other = sealed(spec(SIZE), COPY);
    let unsealed = VolumeSpec {
        encryption: Encryption::None,
        ..secret_spec()
    };
    for wrong in [other, unsealed, spec(SIZE)] {
        for made in [
            store.clone_volume(COPY, SECRET, wrong),
            store.clone_snapshot(COPY, FROZEN, wrong),
        ] {
            assert_eq!(
                made.unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{wrong:?}"
            );
        }
    }
    for wrong in [other, secret_spec()] {
        let made = store.clone_volume(COPY, PLAIN, wrong);
        assert_eq!(
            made.unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{wrong:?}"
        );
    }
    assert!(store.create_volume(COPY, unsealed).is_err());
    assert_eq!(
        store.volume_info(SECRET).unwrap().encryption,
        Encryption::DomainKey
    );
    assert_eq!(
        store.snapshot_info(FROZEN).unwrap().domain,
        DomainId(SECRET.0)
    );
    assert_eq!(
        store.volume_info(PLAIN).unwrap().encryption,
        Encryption::None
    );
}
