//! The model keeps its own promises.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::{Crash, Effect, Fault, OpKind, SimIo, SplitMix64, Survive};
use crate::disk::{AlignedBuf, BLOCK_BYTES, Caching, Create, File, Io};

const ALL: [Survive; 4] = [
    Survive::Nothing,
    Survive::Everything,
    Survive::Subset,
    Survive::Prefix,
];

fn open(sim: &SimIo, path: &str, create: Create) -> Arc<dyn File> {
    sim.open(Path::new(path), create, Caching::Buffered)
        .unwrap()
}

/// A disk with a durable, empty `/f`.
fn with_file() -> (SimIo, Arc<dyn File>) {
    let sim = SimIo::new(1);
    let file = open(&sim, "/f", Create::New);
    sim.sync_dir(Path::new("/")).unwrap();
    (sim, file)
}

fn content(sim: &SimIo, path: &str) -> Option<Vec<u8>> {
    let file = sim
        .open(Path::new(path), Create::Never, Caching::Buffered)
        .ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

fn crash(sim: &SimIo, survive: Survive, seed: u64) -> SimIo {
    sim.crash(
        sim.op_count(),
        &Crash::new(survive),
        &mut SplitMix64::new(seed),
    )
}

/// The contents of `/f` after many crashes here.
fn outcomes(sim: &SimIo, survive: Survive) -> BTreeSet<Option<Vec<u8>>> {
    (0..300)
        .map(|seed| content(&crash(sim, survive, seed), "/f"))
        .collect()
}

#[test]
fn synced_bytes_stay_and_others_may_vanish() {
    let (sim, file) = with_file();
    file.write_at(&[1; 512], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[2; 512], 0).unwrap();
    let one = |byte: u8| Some(vec![byte; 512]);
    assert_eq!(outcomes(&sim, Survive::Nothing), BTreeSet::from([one(1)]));
    assert_eq!(
        outcomes(&sim, Survive::Everything),
        BTreeSet::from([one(2)])
    );
    assert_eq!(
        outcomes(&sim, Survive::Subset),
        BTreeSet::from([one(1), one(2)])
    );
    file.sync_data().unwrap();
    for survive in ALL {
        assert_eq!(outcomes(&sim, survive), BTreeSet::from([one(2)]));
    }
}

#[test]
fn any_sector_of_a_write_survives_alone() {
    let (sim, file) = with_file();
    file.write_at(&[1; 1536], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[2; 1024], 256).unwrap();
    let seen: BTreeSet<Vec<bool>> = outcomes(&sim, Survive::Subset)
        .into_iter()
        .map(|bytes| {
            let bytes = bytes.unwrap();
            assert!(
                bytes[..256]
                    .iter()
                    .chain(&bytes[1280..])
                    .all(|&byte| byte == 1)
            );
            let parts = [&bytes[256..512], &bytes[512..1024], &bytes[1024..1280]];
            assert!(
                parts
                    .iter()
                    .all(|part| part.iter().all(|byte| *byte == part[0]))
            );
            parts.map(|part| part[0] == 2).to_vec()
        })
        .collect();
    assert_eq!(seen.len(), 8);
    let prefixes = outcomes(&sim, Survive::Prefix);
    assert!(
        prefixes
            .iter()
            .flatten()
            .all(|bytes| bytes[256..].is_sorted_by(|a, b| a >= b))
    );
    assert_eq!(prefixes.len(), 4);
}

#[test]
fn a_prefix_keeps_the_order_of_writes() {
    let (sim, file) = with_file();
    file.allocate(0, 8 * 512).unwrap();
    file.sync_data().unwrap();
    for sector in 0..8 {
        file.write_at(&[9; 512], sector * 512).unwrap();
    }
    let found = outcomes(&sim, Survive::Prefix);
    assert!(
        found
            .iter()
            .flatten()
            .all(|bytes| bytes.is_sorted_by(|a, b| a >= b))
    );
    assert_eq!(found.len(), 9);
}

#[test]
fn lengths_change_or_do_not() {
    let (sim, file) = with_file();
    file.write_at(&[1; 4096], 0).unwrap();
    file.sync_data().unwrap();
    file.set_len(100).unwrap();
    file.allocate(0, 8192).unwrap();
    let lens: BTreeSet<usize> = outcomes(&sim, Survive::Subset)
        .into_iter()
        .map(|bytes| bytes.unwrap().len())
        .collect();
    assert_eq!(lens, BTreeSet::from([100, 4096, 8192]));
    file.sync_data().unwrap();
    let bytes = content(&crash(&sim, Survive::Nothing, 0), "/f").unwrap();
    assert!(bytes.len() == 8192 && bytes[..100] == [1; 100] && bytes[100..] == [0; 8092]);
}

#[test]
fn names_are_durable_with_their_folder_and_in_its_order() {
    let sim = SimIo::new(1);
    let root = Path::new("/");
    open(&sim, "/a", Create::New).sync_data().unwrap();
    assert_eq!(crash(&sim, Survive::Nothing, 0).list(root).unwrap(), []);
    sim.sync_dir(root).unwrap();
    sim.rename(Path::new("/a"), Path::new("/b")).unwrap();
    open(&sim, "/c", Create::New);
    sim.remove(Path::new("/b")).unwrap();
    let states: BTreeSet<String> = (0..300)
        .map(|seed| {
            let after = crash(&sim, Survive::Subset, seed);
            after
                .list(root)
                .unwrap()
                .into_iter()
                .map(|entry| entry.name)
                .collect()
        })
        .collect();
    let expected = ["a", "b", "bc", "c"].map(String::from);
    assert_eq!(states, BTreeSet::from(expected));
    sim.sync_dir(root).unwrap();
    let names: Vec<_> = crash(&sim, Survive::Nothing, 0).list(root).unwrap();
    assert_eq!(
        names
            .iter()
            .map(|entry| entry.name.as_str())
            .collect::<Vec<_>>(),
        ["c"]
    );
}

#[test]
fn a_replaced_file_keeps_its_bytes_until_the_folder_is_synced() {
    let (sim, file) = with_file();
    file.write_at(b"old", 0).unwrap();
    file.sync_data().unwrap();
    let new = open(&sim, "/new", Create::New);
    new.write_at(b"new", 0).unwrap();
    new.sync_data().unwrap();
    sim.rename(Path::new("/new"), Path::new("/f")).unwrap();
    assert_eq!(
        content(&crash(&sim, Survive::Nothing, 0), "/f").unwrap(),
        b"old"
    );
    assert_eq!(
        content(&crash(&sim, Survive::Everything, 0), "/f").unwrap(),
        b"new"
    );
    sim.sync_dir(Path::new("/")).unwrap();
    assert_eq!(
        content(&crash(&sim, Survive::Nothing, 0), "/f").unwrap(),
        b"new"
    );
    let mut still_open = [0; 3];
    file.read_at(&mut still_open, 0).unwrap();
    assert_eq!(&still_open, b"old");
}

#[test]
fn a_folder_without_a_durable_name_takes_its_files_along() {
    let sim = SimIo::new(1);
    sim.create_dir(Path::new("/pool/packs")).unwrap();
    let file = open(&sim, "/pool/packs/1", Create::New);
    file.write_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    sim.sync_dir(Path::new("/pool/packs")).unwrap();
    let after = crash(&sim, Survive::Nothing, 0);
    assert_eq!(
        after.list(Path::new("/pool")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    sim.sync_dir(Path::new("/pool")).unwrap();
    sim.sync_dir(Path::new("/")).unwrap();
    let after = crash(&sim, Survive::Nothing, 0);
    assert_eq!(content(&after, "/pool/packs/1").unwrap(), b"x");
}

#[test]
fn damage_stays_within_one_block_of_the_write_in_flight() {
    let (sim, file) = with_file();
    file.write_at(&vec![1; 4 * BLOCK_BYTES], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[2; 512], BLOCK_BYTES as u64 + 512).unwrap();
    let mode = Crash::new(Survive::Nothing).damaging(|path| path == Path::new("/f"));
    let mut damaged = 0;
    for seed in 0..100 {
        let after = sim.crash(sim.op_count(), &mode, &mut SplitMix64::new(seed));
        let bytes = content(&after, "/f").unwrap();
        let (head, rest) = bytes.split_at(BLOCK_BYTES);
        let (block, tail) = rest.split_at(BLOCK_BYTES);
        assert!(head.iter().chain(tail).all(|&byte| byte == 1));
        damaged += u32::from(block.iter().any(|&byte| byte != 1));
    }
    assert!((20..80).contains(&damaged), "{damaged}");
    file.sync_data().unwrap();
    let after = sim.crash(sim.op_count(), &mode, &mut SplitMix64::new(1));
    assert_eq!(content(&after, "/f").unwrap()[BLOCK_BYTES], 1);
}

#[test]
fn crashes_at_earlier_operations_know_nothing_of_later_ones() {
    let (sim, file) = with_file();
    let mut lens = Vec::new();
    for i in 0..5u8 {
        file.write_at(&[i], u64::from(i)).unwrap();
        file.sync_data().unwrap();
    }
    for at in 0..=sim.op_count() {
        let after = sim.crash(at, &Crash::new(Survive::Nothing), &mut SplitMix64::new(0));
        lens.push(content(&after, "/f").map(|bytes| bytes.len()));
    }
    let some = |len| Some(len);
    let expected = [
        None,
        None,
        some(0),
        some(0),
        some(1),
        some(1),
        some(2),
        some(2),
    ];
    assert_eq!(lens[..8], expected);
    assert_eq!(lens.last().unwrap(), &Some(5));
}

#[test]
fn faults_strike_where_told() {
    let (sim, file) = with_file();
    sim.inject(Fault::once(Some(OpKind::Write), 1, Effect::Eio));
    file.write_at(&[1; 4], 0).unwrap();
    assert_eq!(
        file.write_at(&[2; 4], 0).unwrap_err().raw_os_error(),
        Some(5)
    );
    file.write_at(&[3; 4], 0).unwrap();
    sim.inject(Fault::once(None, 0, Effect::NoSpace));
    assert_eq!(
        file.allocate(0, 9).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    sim.inject(Fault::once(Some(OpKind::Write), 0, Effect::ShortWrite));
    file.write_at(&[4; 4], 0).unwrap_err();
    assert_eq!(content(&sim, "/f").unwrap(), [4, 4, 3, 3]);
    sim.inject(Fault::always(Some(OpKind::Read), Effect::Eio));
    file.read_at(&mut [0], 0).unwrap_err();
    sim.heal();
    file.read_at(&mut [0], 0).unwrap();
}

#[test]
fn a_lying_sync_saves_nothing() {
    let (sim, file) = with_file();
    sim.inject(Fault::always(Some(OpKind::SyncData), Effect::Lie));
    file.write_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        content(&crash(&sim, Survive::Nothing, 0), "/f").unwrap(),
        b""
    );
    assert!(sim.ops().last().unwrap().ends_with("(a lie)"));
}

#[test]
fn a_sync_after_a_failed_one_does_not_save_what_was_lost() {
    let (sim, file) = with_file();
    file.write_at(&[1; 512], 0).unwrap();
    sim.inject(Fault::once(Some(OpKind::SyncData), 0, Effect::Eio));
    file.sync_data().unwrap_err();
    file.write_at(&[2; 512], 512).unwrap();
    file.sync_data().unwrap();
    let bytes = content(&crash(&sim, Survive::Everything, 0), "/f").unwrap();
    assert!(bytes[..512] == [0; 512] && bytes[512..] == [2; 512]);
}

#[test]
fn space_ends_and_returns() {
    let (sim, file) = with_file();
    sim.set_space_bytes(3 * 4096);
    file.write_at(&[1; 8192], 0).unwrap();
    file.write_at(&[2; 8192], 0).unwrap();
    assert_eq!(
        file.write_at(&[1; 8192], 8192).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    assert_eq!(
        file.allocate(0, 16384).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    file.set_len(1 << 30).unwrap();
    file.punch(0, 4096).unwrap();
    assert_eq!(sim.space(Path::new("/")).unwrap().free_bytes, 2 * 4096);
    sim.remove(Path::new("/f")).unwrap();
    assert_eq!(sim.space(Path::new("/")).unwrap().free_bytes, 2 * 4096);
    drop(file);
    assert_eq!(sim.space(Path::new("/")).unwrap().free_bytes, 3 * 4096);
}

#[test]
fn locks_alignment_and_open_modes_are_as_on_a_real_disk() {
    let (sim, file) = with_file();
    file.lock().unwrap();
    let other = open(&sim, "/f", Create::IfMissing);
    assert_eq!(other.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(file);
    other.lock().unwrap();
    let path = Path::new("/f");
    let open = |create| sim.open(path, create, Caching::Direct);
    assert_eq!(
        open(Create::New).err().unwrap().kind(),
        ErrorKind::AlreadyExists
    );
    let direct = open(Create::Never).unwrap();
    assert_eq!(
        direct.write_at(&[0; 512], 0).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    direct.write_at(&AlignedBuf::zeroed(4096), 4096).unwrap();
    assert_eq!(
        direct
            .read_at(&mut AlignedBuf::zeroed(4096), 8192)
            .unwrap_err()
            .kind(),
        ErrorKind::UnexpectedEof
    );
    assert!(sim.now_us() < sim.now_us());
}

/// Not a benchmark; it keeps crash images from becoming copies of the whole disk.
#[test]
fn images_share_what_they_do_not_change() {
    let (sim, file) = with_file();
    file.write_at(&vec![7; 16 << 20], 0).unwrap();
    file.sync_data().unwrap();
    sim.forget_history();
    for i in 0..200 {
        file.write_at(&[i as u8; 4096], i * 8192).unwrap();
        if i % 4 == 3 {
            file.sync_data().unwrap();
        }
    }
    let started = std::time::Instant::now();
    let mut rng = SplitMix64::new(3);
    let images = 20_000;
    for i in 0..images {
        let at = i % (sim.op_count() + 1);
        let after = sim.crash(at, &Crash::new(Survive::Subset), &mut rng);
        assert_eq!(after.op_count(), 0);
    }
    let elapsed = started.elapsed();
    println!("{:.0} images/s", images as f64 / elapsed.as_secs_f64());
    assert!(elapsed.as_secs() < 20, "{elapsed:?} for {images} images");
}
