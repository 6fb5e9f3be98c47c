//! Scrub on pools of all kinds, whole and damaged.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::disk::sim::{Crash, Effect, Fault, OpKind, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, Io};
use crate::model::{Model, Run, open, spec};
use crate::scrub::{Affected, Damage, Round, ScrubFile, Stage};
use crate::{Durability, SnapshotId, Store, VolumeId};

const ONE: VolumeId = VolumeId(Uuid::from_u128(1));
const TWO: VolumeId = VolumeId(Uuid::from_u128(2));
const SNAPSHOT: SnapshotId = SnapshotId(Uuid::from_u128(3));
const CHUNK: usize = 4096;

fn noise(seed: u64, chunks: usize) -> Vec<u8> {
    let mut bytes = vec![0; chunks * CHUNK];
    SplitMix64::new(seed).fill(&mut bytes);
    bytes
}

fn through(store: &Store) -> Vec<Damage> {
    let mut round = Round::new();
    store.engine().scrub_through(&mut round).unwrap()
}

/// A store with a packed volume that has a snapshot, and something in the journal.
fn packed(io: &SimIo) -> Store {
    let store = open(io).unwrap();
    store.create_volume(ONE, spec(1 << 20)).unwrap();
    let volume = store.volume(ONE).unwrap();
    volume.write(0, &noise(1, 64), Durability::Durable).unwrap();
    store.create_snapshots(&[(SNAPSHOT, ONE)]).unwrap();
    store.reclaim_now().unwrap();
    volume.write(0, &noise(2, 1), Durability::Durable).unwrap();
    store
}

/// The one file below `dir` whose name ends so.
fn find(io: &SimIo, dir: &str, end: &str) -> PathBuf {
    for entry in io.list(Path::new(dir)).unwrap() {
        let path = format!("{dir}/{}", entry.name);
        if entry.is_dir {
            let below = find(io, &path, end);
            if !below.as_os_str().is_empty() {
                return below;
            }
        } else if entry.name.ends_with(end) {
            return path.into();
        }
    }
    PathBuf::new()
}

fn flip(io: &SimIo, path: &Path, at: u64) {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn whole_pools_are_found_to_be_whole() {
    for seed in 0..20 {
        let mut run = Run::new(seed, true);
        for _ in 0..60 {
            run.step();
        }
        let found = through(&run.store);
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        run.store.reclaim_now().unwrap();
        let mut round = Round::new();
        let found = run.engine().scrub_through(&mut round).unwrap();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        assert!(round.verified().metadata_pages > 0);
    }
}

#[test]
fn a_damaged_container_is_named_with_the_ranges_that_need_it() {
    let io = SimIo::new(1);
    let store = packed(&io);
    let pack = find(&io, "/pool/pack", ".pack");
    // In the first frame: chunks 0 to 3, of which the volume shows its own chunk 0.
    flip(&io, &pack, 4096 + 80 + 10);
    let found = through(&store);
    assert_eq!(found.len(), 1, "{found:#?}");
    let [damage] = &found[..] else { unreachable!() };
    assert!(damage.message.contains("container"), "{}", damage.message);
    let part = |snapshot, offset: usize, len: usize| Affected {
        volume: ONE,
        snapshot,
        offset: offset as u64,
        len: len as u64,
    };
    let expected = [
        part(None, CHUNK, 3 * CHUNK),
        part(Some(SNAPSHOT), 0, 4 * CHUNK),
    ];
    assert_eq!(damage.affected, expected);
    assert!(!damage.repaired && !damage.more);
    let snapshot = store.snapshot(SNAPSHOT).unwrap();
    let mut out = vec![0; CHUNK];
    assert!(snapshot.read(0, &mut out).is_err());
    snapshot.read(4 * CHUNK as u64, &mut out).unwrap();
}

#[test]
fn damage_with_an_equal_elsewhere_is_repaired_and_is_no_ones_duplicate_before() {
    let io = SimIo::new(1);
    let store = packed(&io);
    let pack = find(&io, "/pool/pack", ".pack");
    flip(&io, &pack, 4096 + 80 + 10);
    assert_eq!(through(&store).len(), 1);
    // The same content again: it is stored anew, not found in what is damaged.
    store.create_volume(TWO, spec(1 << 20)).unwrap();
    let volume = store.volume(TWO).unwrap();
    volume.write(0, &noise(1, 64), Durability::Durable).unwrap();
    store.reclaim_now().unwrap();
    let mut out = vec![0; 64 * CHUNK];
    volume.read(0, &mut out).unwrap();
    assert!(out == noise(1, 64));
    let found = through(&store);
    assert!(found.iter().all(|damage| damage.repaired), "{found:#?}");
    assert_eq!(found.len(), 1);
    store.snapshot(SNAPSHOT).unwrap().read(0, &mut out).unwrap();
    assert!(out == noise(1, 64));
    drop((volume, store));
    let store = open(&io).unwrap();
    store.snapshot(SNAPSHOT).unwrap().read(0, &mut out).unwrap();
    assert!(out == noise(1, 64));
}

#[test]
fn a_damaged_block_of_the_journal_is_named() {
    let io = SimIo::new(1);
    let store = packed(&io);
    let journal = find(&io, "/pool/journal", ".wal");
    let file = io.open(&journal, Create::Never, Caching::Buffered).unwrap();
    let data = noise(2, 1);
    let mut block = vec![0; CHUNK];
    let at = (0..file.len().unwrap() / CHUNK as u64)
        .map(|block| block * CHUNK as u64)
        .find(|at| file.read_at(&mut block, *at).is_ok() && block == data)
        .unwrap();
    flip(&io, &journal, at);
    let found = through(&store);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].message.starts_with("journal/"),
        "{}",
        found[0].message
    );
    let expected = Affected {
        volume: ONE,
        snapshot: None,
        offset: 0,
        len: CHUNK as u64,
    };
    assert_eq!(found[0].affected, [expected]);
}

#[test]
fn what_only_the_disk_has_wrong_is_written_again_from_the_page_cache() {
    let io = SimIo::new(1);
    let store = packed(&io);
    // The reads past the cache that find it, and none after: as if the cache were right.
    for skip in 0..20 {
        io.inject(Fault::once(Some(OpKind::Read), skip, Effect::Lie));
        let found = through(&store);
        io.heal();
        assert!(found.iter().all(|damage| damage.repaired), "{found:#?}");
    }
    assert!(through(&store).is_empty());
}

#[test]
fn sectors_that_do_not_read_are_damage_and_not_the_end_of_the_round() {
    let io = SimIo::new(1);
    let store = packed(&io);
    let mut struck = 0;
    for skip in 0..12 {
        io.inject(Fault::once(Some(OpKind::Read), skip, Effect::Eio));
        let mut round = Round::looking_only();
        struck += store
            .engine()
            .scrub_through(&mut round)
            .map_or(1, |found| found.len());
        io.heal();
    }
    assert!(struck > 0);
    assert!(through(&store).is_empty());
}

#[test]
fn a_round_goes_on_after_a_restart_and_says_when_it_ended() {
    let io = SimIo::new(1);
    let store = packed(&io);
    let engine = store.engine_for_tests();
    store.start_scrub();
    engine.scrub_turn().unwrap();
    let cursor = || {
        engine
            .scrub
            .round
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .cursor()
    };
    while cursor().unwrap().0 != Stage::Journal {
        engine.scrub_turn().unwrap();
    }
    let (stage, position) = cursor().unwrap();
    drop((engine, store));
    let (file, damaged) = ScrubFile::load(&io, Path::new("/pool"));
    assert!(!damaged);
    assert_eq!(file.stage, Some((stage, position)));
    let store = open(&io).unwrap();
    assert!(store.scrub_status().running);
    let engine = store.engine_for_tests();
    for _ in 0..1000 {
        if store.scrub_status().rounds == 1 {
            break;
        }
        engine.scrub_turn().unwrap();
    }
    let status = store.scrub_status();
    assert_eq!((status.rounds, status.running), (1, false));
    assert!(status.finished_us > status.begun_us && status.verified.metadata_pages == 0);
    assert_eq!(status.findings, []);
}

#[test]
fn rounds_begin_when_they_are_due() {
    let io = SimIo::new(1);
    let store = packed(&io);
    let engine = store.engine_for_tests();
    io.set_now_us(1_000_000);
    engine.scrub_turn().unwrap();
    assert!(!store.scrub_status().running);
    io.set_now_us(31 * 24 * 3600 * 1_000_000);
    engine.scrub_turn().unwrap();
    assert!(store.scrub_status().running);
}

#[test]
fn scrub_beside_work_finds_nothing_and_changes_nothing() {
    for seed in 0..10 {
        let mut run = Run::new(seed, true);
        let mut round = Round::new();
        for _ in 0..150 {
            run.step();
            if !run.engine().scrub_step(&mut round).unwrap() {
                round = Round::new();
            }
            let found = round.take_found();
            assert!(found.is_empty(), "seed {seed}: {found:#?}");
        }
        let found = Model::of(&run.store).unwrap();
        assert_eq!(run.model.difference(&found), None, "seed {seed}");
        let all = Crash::new(Survive::Everything);
        let _ = run.io.crash(usize::MAX, &all, &mut SplitMix64::new(seed));
    }
}

/// A pool with a metadata dump, and much that was logged behind it.
fn dumped(io: &SimIo) -> Store {
    let store = packed(io);
    store.dump_metadata().unwrap();
    let volume = store.volume(ONE).unwrap();
    for change in 0..4 {
        volume
            .write(0, &noise(change, 8), Durability::Durable)
            .unwrap();
        store.reclaim_now().unwrap();
    }
    store
}

#[test]
fn a_damaged_or_missing_dump_is_told_and_made_anew() {
    for (name, at) in [("1.full", Some(100)), ("1.log", Some(100)), ("1.log", None)] {
        let io = SimIo::new(1);
        let store = dumped(&io);
        let mut round = Round::new();
        assert_eq!(store.engine().scrub_through(&mut round).unwrap(), []);
        assert_eq!(round.verified().dumps, 2);
        let path = find(&io, "/pool/dump", name);
        match at {
            Some(at) => flip(&io, &path, at),
            None => io.remove(&path).unwrap(),
        }
        let found = through(&store);
        let told = format!("dump/0000000{name}");
        assert!(
            matches!(&found[..], [one] if one.repaired && one.message.starts_with(&told)),
            "{name}: {found:#?}"
        );
        assert_ne!(find(&io, "/pool/dump", "2.full"), PathBuf::new(), "{name}");
        // The damaged one goes with the next.
        store.dump_metadata().unwrap();
        assert_eq!(through(&store), [], "{name}");
    }
}

#[test]
fn damage_to_a_dump_stays_told_where_no_new_one_can_be_made() {
    let io = SimIo::new(1);
    let store = dumped(&io);
    flip(&io, &find(&io, "/pool/dump", "1.full"), 70);
    io.inject(Fault::once(Some(OpKind::Write), 0, Effect::Eio));
    let found = through(&store);
    assert!(matches!(&found[..], [one] if !one.repaired), "{found:#?}");
}

fn length(io: &SimIo, path: &Path) -> u64 {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    file.len().unwrap()
}

fn cut(io: &SimIo, path: &Path, len: u64) {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    file.set_len(len).unwrap();
}

#[test]
fn damage_to_the_end_of_the_log_that_is_being_written_is_told() {
    let harms: [fn(&SimIo, &Path, u64); 3] = [
        |io, path, len| flip(io, path, len - 1),
        |io, path, len| cut(io, path, len - 1),
        |io, path, _| cut(io, path, 64),
    ];
    for harm in harms {
        let io = SimIo::new(1);
        let store = dumped(&io);
        let path = find(&io, "/pool/dump", "1.log");
        harm(&io, &path, length(&io, &path));
        let found = through(&store);
        assert!(
            matches!(&found[..], [one] if one.repaired && one.message.starts_with("dump/00000001.log")),
            "{found:#?}"
        );
    }
}

#[test]
fn the_end_of_an_earlier_lifes_log_is_in_doubt_only_if_it_was_when_this_one_began() {
    for torn_before in [false, true] {
        let io = SimIo::new(1);
        drop(dumped(&io));
        let path = find(&io, "/pool/dump", "1.log");
        if torn_before {
            flip(&io, &path, length(&io, &path) - 1);
        }
        let store = open(&io).unwrap();
        assert_eq!(through(&store), [], "nobody knows better");
        store.dump_metadata().unwrap();
        assert_eq!(through(&store), []);
        flip(&io, &path, length(&io, &path) - 2);
        let found = through(&store);
        assert_eq!(found.len(), usize::from(!torn_before), "{found:#?}");
    }
}
