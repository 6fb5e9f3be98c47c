//! What packing costs in processor time, and how many bytes of the disk a byte of the host takes.

use std::path::Path;
use std::time::Duration;

use store::{Durability, Volume};

use crate::tools::{CHUNK, MIB, Numbers, Outcome, Pool, own_cpu, row, spec, timed, volume_id};

const BYTES: usize = 1 << 30;
const GIB: f64 = (1_u64 << 30) as f64;

pub(crate) fn measure(dir: &Path) -> Outcome {
    let pool = Pool::open(dir, false)?;
    for (number, what, aim) in [
        (1, "unique data", "<= 4 s/GiB"),
        (2, "the same again", "<= 1 s/GiB"),
    ] {
        let device = pool.written_bytes();
        let volume = stream(&pool, number)?;
        let log = pool.written_bytes() - device;
        let (cpu, wall) = pack(&pool)?;
        let all = pool.written_bytes() - device;
        let rate = BYTES as f64 / 1e6 / wall.as_secs_f64();
        row(
            &format!("packing {what}"),
            &format!(
                "{:.2} s/GiB, {rate:.0} MB/s",
                cpu.as_secs_f64() * GIB / BYTES as f64
            ),
            aim,
        );
        let per_byte = |bytes: u64| format!("{:.2}", bytes as f64 / BYTES as f64);
        row(
            &format!("device bytes per byte, stream of {what}, journal alone"),
            &per_byte(log),
            "<= 1.1",
        );
        row("and with packing", &per_byte(all), "<= 1.6");
        drop(volume);
    }
    zeroes(&pool)?;
    drop(pool);
    random(&dir.join("random"))
}

/// Packs everything; processor and wall time. The engine works in the caller's thread.
fn pack(pool: &Pool) -> Outcome<(Duration, Duration)> {
    let before = own_cpu()?;
    let (packed, wall) = timed(|| pool.store.reclaim_now());
    packed?;
    Ok((own_cpu()? - before, wall))
}

/// The same bytes into a volume of its own each time.
fn stream(pool: &Pool, number: u128) -> Outcome<Volume> {
    let id = volume_id(number);
    pool.store.create_volume(id, spec(BYTES as u64))?;
    let volume = pool.store.volume(id)?;
    let mut numbers = Numbers::new(5);
    let mut data = vec![0; MIB];
    for at in (0..BYTES).step_by(MIB) {
        numbers.fill(&mut data);
        volume.write(at as u64, &data, Durability::Buffered)?;
    }
    volume.flush()?;
    Ok(volume)
}

fn zeroes(pool: &Pool) -> Outcome {
    let id = volume_id(3);
    pool.store.create_volume(id, spec(BYTES as u64))?;
    let volume = pool.store.volume(id)?;
    let data = vec![0; MIB];
    for at in (0..BYTES).step_by(MIB) {
        volume.write(at as u64, &data, Durability::Buffered)?;
    }
    volume.flush()?;
    let (cpu, _) = pack(pool)?;
    let measured = format!("{:.2} s/GiB", cpu.as_secs_f64() * GIB / BYTES as f64);
    row("packing zeroes", &measured, "<= 0.25 s/GiB");
    Ok(())
}

/// Random chunks, a flush behind every 32.
fn random(dir: &Path) -> Outcome {
    let pool = Pool::open(dir, false)?;
    let id = volume_id(1);
    pool.store.create_volume(id, spec(4 * BYTES as u64))?;
    let volume = pool.store.volume(id)?;
    let before = pool.written_bytes();
    let mut numbers = Numbers::new(7);
    let mut chunk = vec![0; CHUNK];
    let count = BYTES / 4 / CHUNK;
    for index in 0..count {
        numbers.fill(&mut chunk);
        let at = numbers.below((4 * BYTES / CHUNK) as u64) * CHUNK as u64;
        volume.write(at, &chunk, Durability::Buffered)?;
        if index % 32 == 31 {
            volume.flush()?;
        }
    }
    let host = (count * CHUNK) as f64;
    let log = (pool.written_bytes() - before) as f64 / host;
    let (cpu, _) = pack(&pool)?;
    let all = (pool.written_bytes() - before) as f64 / host;
    let what = "device bytes per byte, random 4 KiB, flush every 32, journal alone";
    row(what, &format!("{log:.2}"), "<= 1.2");
    row("and with packing", &format!("{all:.2}"), "<= 2.2");
    let measured = format!("{:.2} s/GiB", cpu.as_secs_f64() * GIB / host);
    row("packing random chunks", &measured, "<= 4 s/GiB");
    Ok(())
}
