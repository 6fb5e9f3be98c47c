//! Lives of a pool: random work in random weather, one after the other, all decided by one seed.
//!
//! A life is some spells. In each the disk behaves in one way (it fails now and then, is full, slow, or
//! lies about syncs) and random operations go on over several plain and encrypted volumes; then the
//! pool is closed, the process is killed, or the power fails, perhaps again while the pool is being
//! opened. What is found after it is held against the model of `model.rs`, and the life goes on from
//! there. Between the spells a copy of the disk rots.
//!
//! What holds: nothing panics; what an operation answered is so; one that failed has happened, or not,
//! or up to one of its journal records; a pool that stopped acknowledges nothing; and what is found
//! after an ending is a prefix of what was done, not shorter than what had been acknowledged as
//! durable. A disk that lied and then lost power may be refused, but no chunk reads as what it never
//! was. The same is true of rot.
//!
//! `CINDERBLOCK_SEEDS` asks for more lives than the default, `CINDERBLOCK_SEED` for a single one, which
//! is printed step by step.

mod endings;
mod life;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use life::{Life, Tally};

use crate::model::{number_from, on_all_cores};

const SEEDS: u64 = 120;

/// Lives through a seed. A failure tells all that happened.
fn lives(seed: u64) -> Result<Tally, String> {
    let log = Mutex::new(Vec::new());
    let life = AssertUnwindSafe(|| Life::new(seed, &log).live());
    let ended = catch_unwind(life).unwrap_or_else(|_| Err("a panic".to_owned()));
    let log = log.into_inner().unwrap_or_else(PoisonError::into_inner);
    ended.map_err(|error| {
        let steps = log.join("\n  ");
        format!("CINDERBLOCK_SEED={seed} replays this:\n  {steps}\n{error}")
    })
}

#[test]
fn whatever_the_disk_does_pools_keep_their_promises() {
    let (first, count) = match number_from("CINDERBLOCK_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number_from("CINDERBLOCK_SEEDS").unwrap_or(SEEDS)),
    };
    let total = Mutex::new(Tally::default());
    let failures = Mutex::new(Vec::new());
    on_all_cores(first..first + count, |seed| match lives(seed) {
        Ok(tally) => total.lock().unwrap().add(&tally),
        Err(text) => failures.lock().unwrap().push((seed, text)),
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let seeds: Vec<u64> = failures.iter().map(|(seed, _)| *seed).collect();
    if let Some((_, text)) = failures.first() {
        panic!("{text}\n{} of {count} seeds failed: {seeds:?}", seeds.len());
    }
    let total = total.into_inner().unwrap();
    println!("{count} seeds: {total:?}");
    // A life that meets nothing proves nothing.
    assert!(count < SEEDS || total.met_everything(), "{total:?}");
}
