//! Snapshots, clones and deletes of a large volume, and opening it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use store::{Durability, SnapshotId};
use uuid::Uuid;

use crate::tools::{
    CHUNK, MIB, Numbers, Outcome, Pool, median_and_p99, millis, row, spec, timed, volume_id,
};

const SIZE: u64 = 64 << 40;
const ROUNDS: u128 = 51;
/// Chunks written all over the volume before, and between two snapshots.
const SPREAD: usize = 20_000;
const BETWEEN: usize = 100;

#[derive(Default)]
struct Times {
    snapshot: Vec<Duration>,
    clone: Vec<Duration>,
    open: Vec<Duration>,
    delete_volume: Vec<Duration>,
    delete_snapshot: Vec<Duration>,
}

pub(crate) fn measure(dir: &Path) -> Outcome {
    let pool = Pool::open(dir, true)?;
    let store = &pool.store;
    let source = volume_id(1);
    store.create_volume(source, spec(SIZE))?;
    let volume = store.volume(source)?;
    let mut numbers = Numbers::new(1);
    let mut chunk = vec![0; CHUNK];
    let mut scatter = |count: usize| -> Outcome {
        for _ in 0..count {
            numbers.fill(&mut chunk);
            let at = numbers.below(SIZE / CHUNK as u64) * CHUNK as u64;
            volume.write(at, &chunk, Durability::Buffered)?;
        }
        Ok(volume.flush()?)
    };
    scatter(SPREAD)?;
    let mut times = Times::default();
    let mut first = vec![0; CHUNK];
    for round in 0..ROUNDS {
        scatter(BETWEEN)?;
        let snapshot = SnapshotId(Uuid::from_u128(1000 + round));
        let clone = volume_id(2000 + round);
        let (made, time) = timed(|| store.create_snapshots(&[(snapshot, source)]));
        times.snapshot.push(time);
        made?;
        let (made, time) = timed(|| store.clone_snapshot(clone, snapshot, spec(SIZE)));
        times.clone.push(time);
        made?;
        let (read, time) = timed(|| store.volume(clone)?.read(SIZE / 2, &mut first));
        times.open.push(time);
        read?;
        let (gone, time) = timed(|| store.delete_volume(clone));
        times.delete_volume.push(time);
        gone?;
        let (gone, time) = timed(|| store.delete_snapshot(snapshot));
        times.delete_snapshot.push(time);
        gone?;
    }
    report(times);
    raw(dir)
}

fn report(times: Times) {
    let middle = |times| millis(median_and_p99(times).0);
    row(
        "snapshot of a volume of 64 TiB",
        &middle(times.snapshot),
        "< 10 ms",
    );
    row("clone of it", &middle(times.clone), "< 10 ms");
    row(
        "opening the clone and a first read",
        &middle(times.open),
        "< 100 ms",
    );
    row(
        "deleting the clone",
        &middle(times.delete_volume),
        "< 50 ms",
    );
    row(
        "deleting the snapshot",
        &middle(times.delete_snapshot),
        "< 50 ms",
    );
}

/// The same disk without us.
fn raw(dir: &Path) -> Outcome {
    let mut file = File::create(dir.join("raw"))?;
    let mut syncs = Vec::new();
    for _ in 0..ROUNDS {
        file.write_all(&[7; CHUNK])?;
        let (synced, time) = timed(|| file.sync_data());
        syncs.push(time);
        synced?;
    }
    row(
        "(fdatasync of an appended block)",
        &millis(median_and_p99(syncs).0),
        "",
    );
    let data = vec![7; MIB];
    for _ in 0..256 {
        file.write_all(&data)?;
    }
    file.sync_data()?;
    let (read, time) = timed(|| std::fs::read(dir.join("raw")));
    let rate = read?.len() as f64 / 1e6 / time.as_secs_f64();
    row(
        "(sequential read of a file)",
        &format!("{rate:.0} MB/s"),
        "",
    );
    Ok(())
}
