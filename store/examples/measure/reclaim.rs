//! What an operator's reclaim takes, alone and beside guests who write all the time, and what it gives back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use store::{Durability, Volume, VolumeId};

use crate::tools::{CHUNK, MIB, Numbers, Outcome, Pool, row, spec, timed, volume_id};

const BYTES: usize = 2 << 30;
const LOAD_BYTES: u64 = 1 << 30;
/// So small that guests fill it faster than it can be packed.
const RAW_TIER_BYTES: u64 = 1 << 30;
/// How long guests write before the reclaim begins, so that it finds them at full speed.
const AHEAD: Duration = Duration::from_secs(2);

/// What guests do meanwhile.
struct Load {
    what: &'static str,
    write_bytes: usize,
    /// Writes behind which there is a flush.
    flush_every: u64,
}

const LOADS: [Load; 2] = [
    Load {
        what: "random 4 KiB writes, flush every 32",
        write_bytes: CHUNK,
        flush_every: 32,
    },
    Load {
        what: "random 64 KiB writes, more than can be packed",
        write_bytes: 16 * CHUNK,
        flush_every: u64::MAX,
    },
];

pub(crate) fn measure(dir: &Path) -> Outcome {
    let pool = Pool::with_raw_tier(dir, true, RAW_TIER_BYTES)?;
    half_dead(&pool, volume_id(1), 1)?;
    let (alone, freed) = reclaim(&pool)?;
    let told = |time: Duration, share: f64| {
        format!("{:.1} s, {share:.0} % of it back", time.as_secs_f64())
    };
    let what = "reclaim of a volume of 2 GiB of which half is dead";
    row(what, &told(alone, freed), ">= 95 %");
    for (number, load) in (2..).step_by(2).zip(&LOADS) {
        half_dead(&pool, volume_id(number), number as u64)?;
        let (beside, freed, rate) = beside(&pool, volume_id(number + 1), load)?;
        let times = beside.as_secs_f64() / alone.as_secs_f64();
        row(
            &format!("the same beside {}, {rate:.0} MB/s of them", load.what),
            &format!("{}: {times:.1} times", told(beside, freed)),
            ">= 95 %",
        );
    }
    Ok(())
}

/// Time and share of a reclaim beside a load, and the rate of the load meanwhile.
fn beside(pool: &Pool, id: VolumeId, load: &Load) -> Outcome<(Duration, f64, f64)> {
    pool.store.create_volume(id, spec(LOAD_BYTES))?;
    let volume = pool.store.volume(id)?;
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&volume, load, &written, &done));
        thread::sleep(AHEAD);
        let before = written.load(Ordering::Relaxed);
        let reclaimed = reclaim(pool);
        let written = written.load(Ordering::Relaxed) - before;
        done.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| "the writer broke off")??;
        let (time, freed) = reclaimed?;
        Ok((time, freed, written as f64 / 1e6 / time.as_secs_f64()))
    })
}

/// A packed volume of which every other chunk, on average, is trimmed.
fn half_dead(pool: &Pool, id: VolumeId, seed: u64) -> Outcome {
    pool.store.create_volume(id, spec(BYTES as u64))?;
    let volume = pool.store.volume(id)?;
    let mut numbers = Numbers::new(seed);
    let mut data = vec![0; MIB];
    for at in (0..BYTES).step_by(MIB) {
        numbers.fill(&mut data);
        volume.write(at as u64, &data, Durability::Buffered)?;
    }
    volume.flush()?;
    pool.store.reclaim_now()?;
    for at in (0..BYTES).step_by(CHUNK) {
        if numbers.below(2) == 0 {
            volume.trim(at as u64, CHUNK as u64, Durability::Buffered)?;
        }
    }
    Ok(volume.flush()?)
}

/// How long it took, and per cent of the dead bytes that came back: half of what half a volume took.
/// What guests have overwritten meanwhile may come on top.
fn reclaim(pool: &Pool) -> Outcome<(Duration, f64)> {
    let (freed, time) = timed(|| pool.store.reclaim_now());
    // Of each chunk half compresses away.
    let dead = (BYTES / 4) as f64;
    Ok((time, freed? as f64 * 100.0 / dead))
}

fn write_until(
    volume: &Volume,
    load: &Load,
    written: &AtomicU64,
    done: &AtomicBool,
) -> Result<(), store::Error> {
    let mut numbers = Numbers::new(9);
    let mut data = vec![0; load.write_bytes];
    let places = LOAD_BYTES / load.write_bytes as u64;
    for count in 1_u64.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        numbers.fill(&mut data);
        let at = numbers.below(places) * load.write_bytes as u64;
        volume.write(at, &data, Durability::Buffered)?;
        if count.is_multiple_of(load.flush_every) {
            volume.flush()?;
        }
        written.fetch_add(load.write_bytes as u64, Ordering::Relaxed);
    }
    Ok(())
}
