//! What reads of 4 KiB take: beside a busy packer, and below many snapshots.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use store::{Durability, SnapshotId, Volume};
use uuid::Uuid;

use crate::tools::{
    CHUNK, MIB, Numbers, Outcome, Pool, median_and_p99, micros, row, spec, timed, volume_id,
};

const SIZE: usize = 256 << 20;
const READS: usize = 20_000;
const SNAPSHOTS: u128 = 256;
/// Chunks written between two snapshots.
const BETWEEN: usize = 200;

pub(crate) fn measure(dir: &Path) -> Outcome {
    let pool = Pool::open(dir, false)?;
    let volume = filled(&pool, 1, SIZE)?;
    pool.store.reclaim_now()?;
    let mut numbers = Numbers::new(13);
    read_all_over(&volume, &mut numbers)?;
    let (median, idle) = read_all_over(&volume, &mut numbers)?;
    row("read of 4 KiB, packed, in memory", &micros(median), "");
    beside_the_packer(&pool, &volume, idle)?;
    drop(volume);
    below_snapshots(&pool)
}

fn filled(pool: &Pool, number: u128, bytes: usize) -> Outcome<Volume> {
    let id = volume_id(number);
    pool.store.create_volume(id, spec(bytes as u64))?;
    let volume = pool.store.volume(id)?;
    let mut numbers = Numbers::new(number as u64);
    let mut data = vec![0; MIB];
    for at in (0..bytes).step_by(MIB) {
        numbers.fill(&mut data);
        volume.write(at as u64, &data, Durability::Buffered)?;
    }
    volume.flush()?;
    Ok(volume)
}

fn read_one(volume: &Volume, numbers: &mut Numbers, chunk: &mut [u8]) -> Outcome<Duration> {
    let at = numbers.below((SIZE / CHUNK) as u64) * CHUNK as u64;
    let (read, time) = timed(|| volume.read(at, chunk));
    read?;
    Ok(time)
}

fn read_all_over(volume: &Volume, numbers: &mut Numbers) -> Outcome<(Duration, Duration)> {
    let mut chunk = vec![0; CHUNK];
    let times: Outcome<Vec<Duration>> = (0..READS)
        .map(|_| read_one(volume, numbers, &mut chunk))
        .collect();
    Ok(median_and_p99(times?))
}

fn beside_the_packer(pool: &Pool, volume: &Volume, idle: Duration) -> Outcome {
    let other = filled(pool, 2, 4 * SIZE)?;
    let (busy, mut times) = (AtomicBool::new(true), Vec::new());
    let (mut numbers, mut chunk) = (Numbers::new(17), vec![0; CHUNK]);
    thread::scope(|scope| -> Outcome {
        let packer = scope.spawn(|| {
            let packed = pool.store.reclaim_now();
            busy.store(false, Ordering::Release);
            packed
        });
        while busy.load(Ordering::Acquire) {
            times.push(read_one(volume, &mut numbers, &mut chunk)?);
        }
        packer.join().map_err(|_| "the packer broke off")??;
        Ok(())
    })?;
    drop(other);
    let (_, p99) = median_and_p99(times);
    let ratio = p99.as_secs_f64() / idle.as_secs_f64();
    let measured = format!("{} and {}: {ratio:.1} times", micros(idle), micros(p99));
    row(
        "p99 of such reads, idle and beside the packer flat out",
        &measured,
        "<= 3 times",
    );
    Ok(())
}

/// The same changes with snapshots between them and without: only the depth differs.
fn below_snapshots(pool: &Pool) -> Outcome {
    let flat = changed(pool, 3, false)?;
    let deep = changed(pool, 4, true)?;
    pool.store.reclaim_now()?;
    let mut numbers = Numbers::new(23);
    let mut median = |volume: &Volume| -> Outcome<f64> {
        read_all_over(volume, &mut numbers)?;
        Ok(read_all_over(volume, &mut numbers)?.0.as_secs_f64() * 1e6)
    };
    let (flat, deep) = (median(&flat)?, median(&deep)?);
    let measured = format!("{flat:.1} us and {deep:.1} us: {:.2} times", deep / flat);
    let what = "read of 4 KiB after many changes, and with 256 snapshots between them";
    row(what, &measured, "<= 1.5 times");
    Ok(())
}

fn changed(pool: &Pool, number: u128, snapshots: bool) -> Outcome<Volume> {
    let volume = filled(pool, number, SIZE)?;
    let (mut numbers, mut chunk) = (Numbers::new(19), vec![0; CHUNK]);
    for turn in 0..SNAPSHOTS {
        for _ in 0..BETWEEN {
            numbers.fill(&mut chunk);
            let at = numbers.below((SIZE / CHUNK) as u64) * CHUNK as u64;
            volume.write(at, &chunk, Durability::Buffered)?;
        }
        if snapshots {
            let snapshot = SnapshotId(Uuid::from_u128(100 + turn));
            let pair = (snapshot, volume_id(number));
            pool.store.create_snapshots(&[pair])?;
        }
    }
    Ok(volume)
}
