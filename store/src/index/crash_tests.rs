//! The index on a simulated disk: power losses after every operation, and failing operations.

use std::path::Path;

use super::{CheckpointRow, Index, IndexRead, LayerId, MetaFiles, Run};
use crate::addr::{Address, ContainerId};
use crate::disk::Io;
use crate::disk::sim::{Crash, Effect, Fault, OpKind, SimIo, SplitMix64, Survive};
use crate::{ErrorKind, Result};

const PATH: &str = "/meta.redb";
const CACHE_BYTES: u64 = 1 << 20;
const RUNS: u32 = 40;

fn open(sim: &SimIo) -> Result<Index> {
    let files = MetaFiles::open(sim, Path::new(PATH), true).unwrap();
    Index::open(files, CACHE_BYTES, std::sync::Arc::new(|| false))
}

/// What every run holds once checkpoint `sequence` is committed.
fn run_of(sequence: u64) -> Run {
    let mut run = Run::holes();
    for i in 0..128 {
        run.set(
            i,
            Address::new(ContainerId(sequence * 128 + i as u64 + 1), 9),
        );
    }
    run
}

fn commit(index: &Index, sequence: u64) -> Result<()> {
    let writer = index.write()?;
    for run in 0..RUNS {
        writer.put_run(LayerId(1), run, &run_of(sequence))?;
    }
    let applied_sequence = sequence;
    writer.put_checkpoint(&CheckpointRow {
        applied_sequence,
        ..CheckpointRow::default()
    })?;
    writer.commit()
}

/// Opens what a crash left and returns its sequence, having checked that all of it is there.
fn recovered_sequence(sim: &SimIo) -> u64 {
    let index = open(sim).unwrap();
    let reader = index.read().unwrap();
    let sequence = reader
        .checkpoint()
        .unwrap()
        .map_or(0, |row| row.applied_sequence);
    let runs = reader.layer_runs(LayerId(1), 0, 1000).unwrap();
    assert_eq!(runs.len(), if sequence == 0 { 0 } else { RUNS as usize });
    assert!(runs.iter().all(|(_, run)| *run == run_of(sequence)));
    drop(reader);
    commit(&index, sequence + 1).unwrap();
    sequence
}

#[test]
fn every_power_loss_leaves_the_last_commit_or_the_one_in_flight() {
    let sim = SimIo::new(1);
    let mut committed = Vec::new();
    let index = open(&sim).unwrap();
    for sequence in 1..=4 {
        commit(&index, sequence).unwrap();
        committed.push(sim.op_count());
    }
    drop(index);
    let ops = sim.op_count();
    for (survive, rounds) in [
        (Survive::Nothing, 1),
        (Survive::Everything, 1),
        (Survive::Subset, 4),
        (Survive::Prefix, 2),
    ] {
        for at in 0..=ops {
            for seed in 0..rounds {
                let mut rng = SplitMix64::new(seed << 32 | at as u64);
                let after = sim.crash(at, &Crash::new(survive), &mut rng);
                let found = recovered_sequence(&after);
                let acknowledged = committed.iter().filter(|&&end| end <= at).count() as u64;
                assert!(
                    found == acknowledged || found == acknowledged + 1,
                    "{found} after {acknowledged} at {at} of {ops}, {survive:?}, seed {seed}"
                );
            }
        }
    }
}

/// Changes one row.
fn touch(index: &Index, sequence: u64) {
    let writer = index.write().unwrap();
    let row = CheckpointRow {
        applied_sequence: sequence,
        ..CheckpointRow::default()
    };
    writer.put_checkpoint(&row).unwrap();
    writer.commit().unwrap();
}

#[test]
fn small_commits_sync_no_more_than_redb_does() {
    let sim = SimIo::new(1);
    let index = open(&sim).unwrap();
    commit(&index, 1).unwrap();
    let syncs = |file: &str| {
        let wanted = format!("SyncData {file}");
        sim.ops()
            .iter()
            .filter(|op| op.starts_with(&wanted))
            .count()
    };
    let before = (syncs("/meta.redb"), syncs("/meta.sums"));
    (0..200).for_each(|sequence| touch(&index, sequence));
    assert_eq!(syncs("/meta.redb") - before.0, 400);
    assert!(syncs("/meta.sums") - before.1 <= 20);
}

#[test]
fn sums_in_the_list_and_in_the_file_are_found_again() {
    let mut sim = SimIo::new(1);
    let mut rng = SplitMix64::new(1);
    let rows = |index: &Index| {
        let reader = index.read().unwrap();
        reader.layer_runs(LayerId(9), 0, 10_000).unwrap().len()
    };
    let mut written = 0;
    for round in 0..20_u32 {
        let index = open(&sim).unwrap();
        assert!(index.notes().is_empty());
        assert_eq!(rows(&index), written);
        let writer = index.write().unwrap();
        for run in 0..round * 20 {
            let first = written as u32;
            writer.put_run(LayerId(9), first + run, &run_of(7)).unwrap();
        }
        written += round as usize * 20;
        writer.commit().unwrap();
        touch(&index, 3);
        // As after a kill.
        let killed = Crash::new(Survive::Everything);
        sim = sim.crash(sim.op_count(), &killed, &mut rng);
    }
}

#[test]
fn a_failed_sync_stops_the_index_until_it_is_opened_again() {
    let sim = SimIo::new(1);
    let index = open(&sim).unwrap();
    commit(&index, 1).unwrap();
    sim.inject(Fault::once(Some(OpKind::SyncData), 0, Effect::Eio));
    assert_eq!(commit(&index, 2).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(commit(&index, 2).unwrap_err().kind(), ErrorKind::Failed);
    drop(index);
    let index = open(&sim).unwrap();
    let sequence = index
        .read()
        .unwrap()
        .checkpoint()
        .unwrap()
        .unwrap()
        .applied_sequence;
    commit(&index, sequence + 1).unwrap();
}

#[test]
fn a_full_disk_is_told_apart() {
    let sim = SimIo::new(1);
    let index = open(&sim).unwrap();
    commit(&index, 1).unwrap();
    let space = sim.space(Path::new("/")).unwrap();
    sim.set_space_bytes(space.total_bytes - space.free_bytes);
    let writer = index.write().unwrap();
    let full = (0..100_000).find_map(|run| writer.put_run(LayerId(2), run, &run_of(9)).err());
    assert_eq!(full.unwrap().kind(), ErrorKind::NoSpace);
}
