//! Opening a pool whose process was killed with much of the journal not in the index.

use std::env;
use std::path::Path;
use std::process::{self, Command};

use store::Durability;

use crate::tools::{CHUNK, MIB, Numbers, Outcome, Pool, row, spec, timed, volume_id};

/// The argument that makes this program the one that is killed.
pub(crate) const FILL: &str = "fill-and-die";
const LOG_BYTES: usize = 4 << 30;
const SIZE: u64 = 8 << 30;

pub(crate) fn measure(dir: &Path) -> Outcome {
    std::fs::create_dir_all(dir)?;
    for (what, bytes) in [("streams", MIB), ("random 4 KiB writes", CHUNK)] {
        let own = dir.join(format!("of-{bytes}"));
        let filled = Command::new(env::current_exe()?)
            .args([own.as_os_str(), FILL.as_ref(), bytes.to_string().as_ref()])
            .status()?;
        if own.join("failed").exists() {
            return Err(format!("filling the journal: {filled}").into());
        }
        let (pool, time) = timed(|| Pool::open(&own, true));
        let pool = pool?;
        let mut chunk = vec![0; CHUNK];
        pool.store.volume(volume_id(1))?.read(0, &mut chunk)?;
        let what = format!("restart after kill -9 with 4 GiB of journal, {what}");
        row(&what, &format!("{:.2} s", time.as_secs_f64()), "< 5 s");
        drop(pool);
        std::fs::remove_dir_all(&own)?;
    }
    Ok(())
}

/// Writes the journal full and dies; nothing of it gets into the index before.
pub(crate) fn fill(dir: &Path, bytes: &str) -> ! {
    if let Err(error) = fill_journal(dir, bytes) {
        let _ = std::fs::write(dir.join("failed"), error.to_string());
    }
    process::abort();
}

fn fill_journal(dir: &Path, bytes: &str) -> Outcome {
    let pool = Pool::open(dir, false)?;
    let id = volume_id(1);
    pool.store.create_volume(id, spec(SIZE))?;
    let volume = pool.store.volume(id)?;
    let mut data = vec![0; bytes.parse()?];
    let mut numbers = Numbers::new(3);
    for _ in 0..LOG_BYTES / data.len() {
        numbers.fill(&mut data);
        let at = numbers.below(SIZE / data.len() as u64) * data.len() as u64;
        volume.write(at, &data, Durability::Buffered)?;
    }
    Ok(volume.flush()?)
}
