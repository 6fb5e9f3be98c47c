//! Containers that move while they are read, while the disk is full, and while the power fails.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::addr::{Address, CHUNK_BYTES, ContainerId};
use crate::compact::Effort;
use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::disk::{Io, RealIo};
use crate::engine::Engine;
use crate::model::{open, options, sealed, spec};
use crate::pack::reader::{Manner, Reader};
use crate::{Durability, ErrorKind, OpenOptions, Store, Volume, VolumeId};

const PLAIN: VolumeId = VolumeId(Uuid::from_u128(1));
const SEALED: VolumeId = VolumeId(Uuid::from_u128(2));
/// Chunks of each volume: two containers and a bit.
const CHUNKS: u64 = 2200;
const CHUNK: u64 = CHUNK_BYTES as u64;
/// Long enough for anything that happens at all.
const LIMIT: Duration = Duration::from_secs(60);

/// A chunk of its own that does not compress.
fn noise(stamp: u64) -> Vec<u8> {
    let mut bytes = vec![0; CHUNK_BYTES];
    SplitMix64::new(stamp).fill(&mut bytes);
    bytes
}

/// A pool with a plain and an encrypted volume, and which chunks of them hold noise.
struct Pool {
    io: SimIo,
    store: Store,
    engine: Arc<Engine>,
    kept: Vec<(VolumeId, u64)>,
    trimmed: Vec<(VolumeId, u64)>,
}

fn stamp(id: VolumeId, chunk: u64) -> u64 {
    id.0.as_u128() as u64 * 1_000_000 + chunk
}

impl Pool {
    /// Everything is packed.
    fn full() -> Self {
        let io = SimIo::new(1);
        io.set_space_bytes(1 << 30);
        let store = open(&io).unwrap();
        let mut kept = Vec::new();
        for (id, spec) in [
            (PLAIN, spec(CHUNKS * CHUNK)),
            (SEALED, sealed(spec(CHUNKS * CHUNK), SEALED)),
        ] {
            store.create_volume(id, spec).unwrap();
            let volume = store.volume(id).unwrap();
            for chunk in 0..CHUNKS {
                write(&volume, id, chunk, chunk);
                kept.push((id, chunk));
            }
        }
        store.reclaim_now().unwrap();
        let engine = store.engine_for_tests();
        Self {
            io,
            store,
            engine,
            kept,
            trimmed: Vec::new(),
        }
    }

    /// Discards chunks here and there, so that about one of `share` stays.
    fn thinned(share: u64) -> Self {
        let mut pool = Self::full();
        let mut rng = SplitMix64::new(7);
        let chunks = std::mem::take(&mut pool.kept).into_iter();
        (pool.kept, pool.trimmed) = chunks.partition(|_| rng.below(share) == 0);
        for (id, chunk) in &pool.trimmed {
            let volume = pool.store.volume(*id).unwrap();
            let trimmed = volume.trim(chunk * CHUNK, CHUNK, Durability::Buffered);
            trimmed.unwrap();
        }
        pool
    }

    /// As after [`Self::thinned`], with a mark that has gone to its end.
    fn swept(share: u64, effort: Effort) -> Self {
        let pool = Self::thinned(share);
        let mut maintenance = pool.engine.maintenance().unwrap();
        pool.engine.checkpoint(&mut maintenance).unwrap();
        maintenance.effort = effort;
        pool.engine.start_mark(&mut maintenance);
        while maintenance.mark.is_some() {
            pool.engine.mark_step(&mut maintenance).unwrap();
        }
        assert!(!maintenance.compaction.is_empty());
        drop(maintenance);
        pool
    }

    fn compact_all(&self) {
        let mut maintenance = self.engine.maintenance().unwrap();
        while self.engine.compact_step(&mut maintenance).unwrap() {}
    }

    fn check(&self) {
        self.check_in(&self.store).unwrap();
    }

    /// Whether a store holds what this one should.
    fn check_in(&self, store: &Store) -> crate::Result<()> {
        let (mut found, zeroes) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        let kept = self
            .kept
            .iter()
            .map(|one| (one, noise(stamp(one.0, one.1))));
        let trimmed = self.trimmed.iter().map(|one| (one, zeroes.clone()));
        for ((id, chunk), wanted) in kept.chain(trimmed) {
            store.volume(*id)?.read(chunk * CHUNK, &mut found)?;
            assert!(found == wanted, "chunk {chunk} of {id:?}");
        }
        Ok(())
    }

    fn address(&self, id: VolumeId, chunk: u64) -> Address {
        let state = self.engine.state.read().unwrap();
        let chain = state.volume(id).unwrap().chain();
        let mut found = [Address::HOLE];
        self.engine.resolve(&chain, chunk, &mut found).unwrap();
        found[0]
    }

    fn row(&self, container: ContainerId) -> crate::index::ContainerRow {
        self.engine.places.read().unwrap().get(container).unwrap()
    }
}

fn write(volume: &Volume, id: VolumeId, at: u64, chunk: u64) {
    let data = noise(stamp(id, chunk));
    volume
        .write(at * CHUNK, &data, Durability::Buffered)
        .unwrap();
}

#[test]
fn what_dies_in_small_pieces_is_given_back() {
    // From nearly everything to next to nothing.
    for share in [10, 2] {
        let pool = Pool::thinned(share);
        let before = pool.store.stats();
        let dead = pool.trimmed.len() as u64 * CHUNK;
        pool.store.reclaim_now().unwrap();
        let after = pool.store.stats();
        let less = before.stored_bytes - after.stored_bytes;
        assert!(less * 100 >= dead * 95, "{less} of {dead} bytes");
        assert_eq!(after.unique_bytes, pool.kept.len() as u64 * CHUNK);
        assert!(after.dead_bytes * 20 <= dead);
        pool.check();
        // Not a second time for what cannot give more.
        assert_eq!(pool.store.reclaim_now().unwrap(), 0);
        pool.store.close().unwrap();
        let (io, everything) = (&pool.io, Crash::new(Survive::Everything));
        let image = io.crash(io.op_count(), &everything, &mut SplitMix64::new(1));
        pool.check_in(&open(&image).unwrap()).unwrap();
    }
}

/// Blocks that the files below a folder take.
fn allocated_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let taken = entries.map(|entry| match entry.metadata().unwrap() {
        folder if folder.is_dir() => allocated_bytes(&entry.path()),
        file => file.blocks() * 512,
    });
    taken.sum()
}

#[test]
fn blocks_return_to_the_file_system_while_a_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        background: true,
        ..options()
    };
    let store = Store::open(Arc::new(RealIo::new()), dir.path(), options).unwrap();
    for (id, mib) in [(PLAIN, 32), (SEALED, 4)] {
        store.create_volume(id, spec(mib << 20)).unwrap();
    }
    let volume = store.volume(PLAIN).unwrap();
    (0..8192).for_each(|chunk| write(&volume, PLAIN, chunk, chunk));
    store.reclaim_now().unwrap();
    let before = allocated_bytes(&dir.path().join("pack"));
    let mut rng = SplitMix64::new(5);
    let trimmed: Vec<u64> = (0..8192).filter(|_| rng.below(4) == 0).collect();
    for chunk in &trimmed {
        let trimmed = volume.trim(chunk * CHUNK, CHUNK, Durability::Buffered);
        trimmed.unwrap();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Equal chunks: they take no space worth mentioning, and all the other work.
            let (other, data) = (store.volume(SEALED).unwrap(), [7; CHUNK_BYTES]);
            let mut at = 0;
            while !done.load(Ordering::Relaxed) {
                let written = other.write(at % 1024 * CHUNK, &data, Durability::Buffered);
                written.unwrap();
                at += 1;
            }
        });
        store.reclaim_now().unwrap();
        done.store(true, Ordering::Relaxed);
    });
    let back = before - allocated_bytes(&dir.path().join("pack"));
    let dead = trimmed.len() as u64 * CHUNK;
    assert!(back * 100 >= dead * 95, "{back} of {dead} bytes");
}

#[test]
fn a_read_of_the_old_place_goes_on() {
    let pool = Pool::swept(3, Effort::Usual);
    let (_, chunk) = pool.kept[0];
    let address = pool.address(PLAIN, chunk);
    let old = pool.row(address.container());
    let engine = &pool.engine;
    let guard = engine.epochs.enter();
    thread::scope(|scope| {
        scope.spawn(|| pool.compact_all());
        let end = Instant::now() + LIMIT;
        while pool.row(address.container()) == old && Instant::now() < end {
            thread::yield_now();
        }
        // The row is committed, and the old place must stay for as long as this read takes.
        let new = pool.row(address.container());
        assert_ne!(new.location, old.location);
        let end = Instant::now() + Duration::from_millis(100);
        let mut found = vec![0; CHUNK_BYTES];
        while Instant::now() < end {
            for row in [old, new] {
                let reader = Reader::new(Arc::clone(&engine.packs), &engine.buffers, 0, 0);
                let place = row.location.local();
                let read = reader.read(
                    address.container(),
                    place,
                    None,
                    Manner::Usual,
                    address.slot(),
                    &mut found,
                );
                read.unwrap();
                assert!(found == noise(stamp(PLAIN, chunk)));
            }
        }
        // So do reads of many pieces that were on their way.
        let plain = pool.kept.iter().filter(|(id, _)| *id == PLAIN);
        let chunks: Vec<u64> = plain.map(|(_, chunk)| *chunk).collect();
        let pieces: Vec<Address> = chunks.iter().map(|at| pool.address(PLAIN, *at)).collect();
        for (chunks, pieces) in chunks.chunks(32).zip(pieces.chunks(32)) {
            let mut found = vec![0; pieces.len() * CHUNK_BYTES];
            let read = engine.read_addresses(None, Manner::Usual, pieces, &mut found);
            read.unwrap();
            for (chunk, found) in chunks.iter().zip(found.chunks(CHUNK_BYTES)) {
                assert!(found == noise(stamp(PLAIN, *chunk)));
            }
        }
        drop(guard);
    });
    // Then it goes.
    let place = old.location;
    assert!(
        engine
            .packs
            .read_directory(place.local(), address.container())
            .is_err()
    );
    pool.check();
}

#[test]
fn a_duplicate_of_a_dead_chunk_keeps_it_or_is_stored_again() {
    let mut pool = Pool::swept(3, Effort::Usual);
    let dead: Vec<u64> = pool
        .trimmed
        .iter()
        .filter(|(id, chunk)| *id == PLAIN && *chunk < 1000)
        .map(|(_, chunk)| *chunk)
        .collect();
    let (early, late) = dead.split_at(dead.len() / 2);
    let hits = |pool: &Pool| pool.store.stats().dedup_hit_bytes / CHUNK;
    let pack = |pool: &mut Pool, chunks: &[u64]| {
        let volume = pool.store.volume(PLAIN).unwrap();
        for chunk in chunks {
            write(&volume, PLAIN, *chunk, *chunk);
            pool.trimmed.retain(|one| *one != (PLAIN, *chunk));
            pool.kept.push((PLAIN, *chunk));
        }
        let engine = &pool.engine;
        engine.journal.roll_now().unwrap();
        let mut maintenance = engine.maintenance().unwrap();
        engine.checkpoint(&mut maintenance).unwrap();
        while engine.pack_round(&mut maintenance).unwrap() {}
    };
    let before = hits(&pool);
    pack(&mut pool, early);
    assert_eq!(
        hits(&pool) - before,
        early.len() as u64,
        "claimed, not gone"
    );
    pool.compact_all();
    pool.check();
    let before = hits(&pool);
    pack(&mut pool, late);
    assert_eq!(hits(&pool), before, "dropped");
    pool.check();
    // What was stored again is found again.
    pool.store.reclaim_now().unwrap();
    pool.check();
}

#[test]
fn sealed_containers_never_use_a_nonce_twice() {
    let mut pool = Pool::thinned(2);
    let container = pool
        .address(SEALED, pool.kept.last().unwrap().1)
        .container();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let row = pool.row(container);
        let directory = pool
            .engine
            .packs
            .read_directory(row.location.local(), container);
        seen.push(directory.unwrap().header.nonce(0));
        pool.store.reclaim_now().unwrap();
        let (id, chunk) = pool.kept.remove(pool.kept.len() - 40);
        let volume = pool.store.volume(id).unwrap();
        for chunk in chunk..chunk + 20 {
            pool.kept.retain(|one| *one != (id, chunk));
            volume
                .trim(chunk * CHUNK, CHUNK, Durability::Buffered)
                .unwrap();
        }
    }
    pool.check();
    assert_ne!(seen[0], seen[1]);
    assert_ne!(seen[1], seen[2]);
    assert_ne!(seen[0], seen[2]);
}

#[test]
fn a_full_disk_is_compacted_out_of_the_reserve_and_not_beyond_it() {
    let pool = Pool::swept(3, Effort::Usual);
    let (io, engine) = (&pool.io, &pool.engine);
    let dir = Path::new("/pool");
    let leave_free = |bytes: u64| {
        let space = io.space(dir).unwrap();
        io.set_space_bytes(space.total_bytes - space.free_bytes + bytes);
    };
    let all = io.space(dir).unwrap().total_bytes;
    let before = pool.store.stats().stored_bytes;
    leave_free(4096);
    assert!(engine.reserve.give_up());
    leave_free(4096);
    let mut maintenance = engine.maintenance().unwrap();
    let refused = engine.compact_step(&mut maintenance).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoSpace, "{refused}");
    assert!(!maintenance.compaction.is_empty());
    drop(maintenance);
    assert_eq!(pool.store.stats().stored_bytes, before);
    pool.check();
    io.set_space_bytes(all);
    engine.reserve.adjust();
    leave_free(0);
    pool.compact_all();
    assert!(pool.store.stats().stored_bytes < before);
    assert!(!pool.store.stats().failed);
    pool.check();
}

/// The power fails after every operation of `work`: what is there must not have changed.
fn survives_power_loss(pool: &Pool, work: impl FnOnce(&Pool)) {
    pool.store.close().unwrap();
    pool.io.forget_history();
    let stored = pool.store.stats().stored_bytes;
    work(pool);
    assert!(pool.store.stats().stored_bytes < stored);
    let mut rng = SplitMix64::new(3);
    let ops = pool.io.op_count();
    for at in 0..=ops {
        for survive in [
            Survive::Nothing,
            Survive::Everything,
            Survive::Subset,
            Survive::Prefix,
        ] {
            let image = pool.io.crash(at, &Crash::new(survive), &mut rng);
            let store = open(&image).unwrap();
            let checked = pool.check_in(&store);
            checked.unwrap_or_else(|error| panic!("after {at} of {ops}, {survive:?}: {error}"));
            assert!(store.stats().stored_bytes <= stored);
        }
    }
}

#[test]
fn no_power_loss_during_compaction_loses_a_chunk() {
    let pool = Pool::swept(3, Effort::Usual);
    survives_power_loss(&pool, Pool::compact_all);
}

#[test]
fn a_damaged_container_stays_where_it_is() {
    let pool = Pool::swept(3, Effort::Usual);
    let (_, chunk) = pool.kept[0];
    let container = pool.address(PLAIN, chunk).container();
    let row = pool.row(container);
    let place = *row.location.local();
    let path = format!(
        "/pool/pack/{:02x}/{:016x}.pack",
        place.pack & 0xff,
        place.pack
    );
    let file = pool.io.open(
        Path::new(&path),
        crate::disk::Create::Never,
        crate::disk::Caching::Buffered,
    );
    file.unwrap()
        .write_at(&[0x5a; 4], place.offset + 200)
        .unwrap();
    pool.compact_all();
    assert_eq!(pool.row(container), row);
    assert!(!pool.store.stats().failed);
    let last = pool
        .address(SEALED, pool.kept.last().unwrap().1)
        .container();
    assert!(pool.row(last).plain_bytes < 4 << 20);
}
