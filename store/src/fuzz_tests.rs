//! Bytes from the disk that are not what the engine wrote, at every parser of them.
//!
//! A target has a corpus, made by the engine itself, and a parser. Mutants of the corpus are parsed: they
//! must be refused or read, without a panic and in bounded time. Checksums would refuse nearly every
//! mutant at once, so that most have theirs mended first: what lies behind is looked at by somebody who
//! writes what he likes. A mutant that gets an answer no other got joins the corpus, so that later
//! ones start where it came to.
//!
//! The last target is a pool: a mutant of one of its files is opened and read whole, which reaches what
//! has no parser by itself: a segment's run of batches, the pool and key files, redb.
//!
//! `CINDERBLOCK_FUZZ_SECONDS` runs each target for longer than a moment.

mod metadata;
mod targets;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::disk::sim::SplitMix64;
use crate::model::number_from;

/// Corpus entries kept, at most.
const CORPUS_MAX: usize = 2_000;
/// Mutants of the ordinary test run.
const MUTANTS: u64 = 3_000;

/// What the thread has had of a processor: a busy machine makes no parser slow.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Parses bytes and says what came of it.
type Parse = Box<dyn Fn(&[u8]) -> String>;

/// A parser and what it is fed with.
struct Target {
    name: &'static str,
    corpus: Vec<Vec<u8>>,
    /// The answer in words, so that new ones are known.
    parse: Parse,
    /// Makes the checksums right.
    mend: fn(&mut Vec<u8>),
    /// How many times more expensive than others a run is.
    cost: u64,
}

/// Changes bytes in one of the ways that formats are broken by.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut SplitMix64) {
    const NUMBERS: [u64; 9] = [
        0,
        1,
        127,
        128,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        u64::MAX >> 1,
        u64::MAX,
    ];
    if bytes.is_empty() {
        bytes.extend_from_slice(other);
        return;
    }
    // Most of what is parsed lies at the start of something.
    let span = if rng.coin() {
        bytes.len()
    } else {
        bytes.len().min(128)
    };
    let at = rng.below(span as u64) as usize;
    match rng.below(16) {
        0..5 => bytes[at] ^= 1 << rng.below(8),
        5..8 => bytes[at] = rng.next_u64() as u8,
        8..12 => {
            let number = NUMBERS[rng.below(NUMBERS.len() as u64) as usize];
            let number = number.wrapping_add(rng.below(3)).to_le_bytes();
            let width = (1 << rng.below(4)).min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        12 => {
            let len = rng.below(64).min((bytes.len() - at) as u64) as usize;
            let from = rng.below((bytes.len() - len) as u64 + 1) as usize;
            bytes.copy_within(from..from + len, at);
        }
        13 if !other.is_empty() => {
            let from = rng.below(other.len() as u64) as usize;
            let len = (other.len() - from).min(bytes.len() - at).min(256);
            bytes[at..at + len].copy_from_slice(&other[from..from + len]);
        }
        14 => bytes.truncate(at),
        _ => {
            let len = rng.below(64) as usize;
            bytes.resize(bytes.len() + len, rng.next_u64() as u8);
        }
    }
}

/// The answer without its numbers: those differ for every mutant.
fn shape(answer: &str) -> String {
    answer
        .chars()
        .filter(|char| !char.is_ascii_digit())
        .collect()
}

fn fuzz(mut target: Target, seconds: Option<u64>) {
    let mut rng = SplitMix64::new(0xf022);
    let mut answers = HashSet::new();
    for entry in &target.corpus {
        answers.insert(shape(&(target.parse)(entry)));
    }
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut mutants = 0;
    while end.map_or(mutants < MUTANTS / target.cost, |end| Instant::now() < end) {
        mutants += 1;
        let pick = |rng: &mut SplitMix64| rng.below(target.corpus.len() as u64) as usize;
        let mut bytes = target.corpus[pick(&mut rng)].clone();
        let other = &target.corpus[pick(&mut rng)];
        for _ in 0..1 + rng.below(4) {
            mutate(&mut bytes, other, &mut rng);
        }
        if rng.below(8) > 0 {
            (target.mend)(&mut bytes);
        }
        let began = processor_time();
        let parsed = catch_unwind(AssertUnwindSafe(|| (target.parse)(&bytes)));
        let Ok(answer) = parsed else {
            let path = std::env::temp_dir().join(format!("fuzz-{}-{mutants}", target.name));
            std::fs::write(&path, &bytes).unwrap();
            panic!(
                "{}: mutant {mutants} panics: {}",
                target.name,
                path.display()
            );
        };
        assert!(
            processor_time() - began < Duration::from_secs(20),
            "{}: too slow",
            target.name
        );
        if answers.insert(shape(&answer)) && target.corpus.len() < CORPUS_MAX {
            target.corpus.push(bytes);
        }
    }
    println!(
        "{}: {mutants} mutants, {} answers",
        target.name,
        answers.len()
    );
    // A target of which nothing gets further than the first check has lost its corpus.
    assert!(answers.len() > 1, "{}: {answers:?}", target.name);
}

#[test]
fn no_bytes_from_the_disk_make_a_parser_panic() {
    let seconds = number_from("CINDERBLOCK_FUZZ_SECONDS");
    for target in targets::all() {
        fuzz(target, seconds);
    }
}
