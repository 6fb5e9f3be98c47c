//! The daemon is killed under load, again and again: nothing that was flushed may be lost, no block
//! may be torn, and what one recovery showed the next may not take back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::pattern::{self, Dice};

const BLOCK: usize = 4096;
/// Connections, each writing blocks of its own, so that who wrote what is never a race.
const WRITERS: u64 = 4;
/// Small enough that rounds overwrite what earlier rounds wrote.
const BLOCKS_PER_WRITER: u64 = 8192;

/// What one block may hold: the content that is known to be durable, then all that was written to
/// it after that and may or may not have survived. A version of 0 means zeroes.
#[derive(Clone, Debug)]
struct History(Vec<u64>);

impl History {
    fn flushed(&mut self, upto: usize) {
        self.0.drain(..upto);
    }
}

/// One writer's blocks, by number.
struct Shadow {
    writer: u64,
    blocks: BTreeMap<u64, History>,
    version: u64,
    dice: Dice,
}

fn content(block: u64, version: u64) -> Vec<u8> {
    if version == 0 {
        return vec![0; BLOCK];
    }
    let mut bytes = pattern::block(block << 32 ^ version, BLOCK);
    bytes[..8].copy_from_slice(&block.to_le_bytes());
    bytes[8..16].copy_from_slice(&version.to_le_bytes());
    bytes
}

impl Shadow {
    fn new(writer: u64, seed: u64) -> Self {
        Self {
            writer,
            blocks: BTreeMap::new(),
            version: 0,
            dice: Dice::new(seed ^ (writer << 40)),
        }
    }

    /// Writes until the connection breaks, which is how a killed server looks.
    fn load(&mut self, disk: &mut Disk, stop: &AtomicBool) -> u64 {
        let mut flushes = 0;
        while !stop.load(Ordering::Relaxed) {
            let burst = 1 + self.dice.below(24);
            if (0..burst).any(|_| self.write_some(disk).is_err()) || disk.flush().is_err() {
                break;
            }
            flushes += 1;
            for history in self.blocks.values_mut() {
                let last = history.0.len() - 1;
                history.flushed(last);
            }
        }
        flushes
    }

    fn write_some(&mut self, disk: &mut Disk) -> Result<()> {
        let count = 1 + self.dice.below(8);
        let first = self.dice.below(BLOCKS_PER_WRITER - count);
        let zeroes = self.dice.below(10) == 0;
        let durable = !zeroes && self.dice.below(20) == 0;
        let mut bytes = Vec::with_capacity(count as usize * BLOCK);
        self.version += 1;
        let version = if zeroes { 0 } else { self.version };
        let base = self.writer * BLOCKS_PER_WRITER;
        for block in first..first + count {
            bytes.extend(content(base + block, version));
            // Noted before it is sent: an unanswered write may have happened.
            let history = self.blocks.entry(block).or_insert_with(|| History(vec![0]));
            history.0.push(version);
        }
        let offset = (base + first) * BLOCK as u64;
        match (zeroes, durable) {
            (true, _) => disk.write_zeroes(offset, bytes.len() as u64)?,
            (_, false) => disk.write(offset, &bytes)?,
            (_, true) => {
                disk.write_durable(offset, &bytes)?;
                for block in first..first + count {
                    let history = self.blocks.get_mut(&block).context("just written")?;
                    history.flushed(history.0.len() - 1);
                }
            }
        }
        Ok(())
    }

    /// Compares every block ever written with what it may hold, and makes what is found the truth.
    fn verify(&mut self, disk: &mut Disk) -> Result<()> {
        let base = self.writer * BLOCKS_PER_WRITER;
        let span = 256;
        for start in (0..BLOCKS_PER_WRITER).step_by(span) {
            let bytes = disk.read((base + start) * BLOCK as u64, span * BLOCK)?;
            for (found, block) in bytes.chunks_exact(BLOCK).zip(start..) {
                let history = self.blocks.get(&block).map_or(&[0][..], |h| &h.0);
                let seen = history
                    .iter()
                    .rev()
                    .find(|version| content(base + block, **version) == found);
                let Some(seen) = seen.copied() else {
                    let stamp = u64::from_le_bytes(found[8..16].try_into()?);
                    anyhow::bail!(
                        "block {} holds version {stamp}, may hold {history:?} (first is flushed)",
                        base + block
                    );
                };
                self.blocks.insert(block, History(vec![seen]));
            }
        }
        Ok(())
    }
}

fn rounds() -> u64 {
    let wish = std::env::var("CINDERBLOCK_KILL_ROUNDS").ok();
    wish.and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// One life of the daemon under load, ended by kill -9 at a moment the dice choose.
fn round(daemon: &mut Daemon, shadows: &mut [Shadow], life_ms: u64) -> Result<u64> {
    let uri = daemon.uri("victim");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = shadows
            .iter_mut()
            .map(|shadow| {
                let disk = Disk::open(&uri);
                let stop = &stop;
                scope.spawn(move || -> Result<u64> { Ok(shadow.load(&mut disk?, stop)) })
            })
            .collect();
        // The one pause here is the life itself: the kill is to come at any moment of the load.
        thread::sleep(Duration::from_millis(life_ms));
        let killed = daemon.kill9();
        stop.store(true, Ordering::Relaxed);
        let mut flushes = 0;
        for writer in writers {
            flushes += writer.join().expect("a writer does not panic")?;
        }
        killed.map(|()| flushes)
    })
}

#[test]
fn kill_9_under_load_loses_nothing_flushed() -> Result<()> {
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let mut daemon = Daemon::start()?;
    daemon.cli(&["volume", "create", "victim", "--size", "1"])?;
    let mut shadows: Vec<_> = (0..WRITERS)
        .map(|writer| Shadow::new(writer, seed))
        .collect();
    let mut flushes = 0;
    for number in 0..rounds() {
        let life_ms = 50 + dice.below(400);
        flushes += round(&mut daemon, &mut shadows, life_ms)?;
        daemon.up()?;
        let mut disk = Disk::open(&daemon.uri("victim"))?;
        for shadow in &mut shadows {
            shadow
                .verify(&mut disk)
                .with_context(|| format!("round {number}, seed {seed}"))?;
        }
    }
    println!("{} rounds, {flushes} flushes, nothing lost", rounds());
    ensure!(flushes > 0, "the load never reached a flush");
    daemon.stop()
}
