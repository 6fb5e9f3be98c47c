//! The index on a simulated disk: power losses after every operation, and failing operations.

use std::path::Path;

use super::{CheckpointRow, Index, IndexRead, LayerId, Run};
use crate::addr::{Address, ContainerId};
use crate::disk::sim::{Crash, Effect, Fault, OpKind, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, Io};
use crate::{ErrorKind, Result};

const PATH: &str = "/meta.redb";
const CACHE_BYTES: u64 = 1 << 20;
const RUNS: u32 = 40;

fn open(sim: &SimIo) -> Result<Index> {
    let file = sim
        .open(Path::new(PATH), Create::IfMissing, Caching::Buffered)
        .unwrap();
    sim.sync_dir(Path::new("/")).unwrap();
    Index::open(file, CACHE_BYTES, std::sync::Arc::new(|| false))
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
