//! What the sections share: pools, data, clocks.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::disk::{RealIo, RecordingIo};
use store::{DomainId, Encryption, OpenOptions, Packing, Store, VolumeId, VolumeSpec};
use uuid::Uuid;

/// What a section comes to.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

pub(crate) const CHUNK: usize = 4096;
pub(crate) const MIB: usize = 1 << 20;

/// A pool on the real disk, and what it asks of it.
pub(crate) struct Pool {
    pub(crate) store: Store,
    pub(crate) io: Arc<RecordingIo>,
}

impl Pool {
    /// Opens the pool in a folder, which is made if it is missing.
    pub(crate) fn open(dir: &Path, background: bool) -> Outcome<Self> {
        Self::with_raw_tier(dir, background, 16 << 30)
    }

    /// The same with another quota of the raw tier.
    pub(crate) fn with_raw_tier(dir: &Path, background: bool, bytes: u64) -> Outcome<Self> {
        fs::create_dir_all(dir)?;
        let io = Arc::new(RecordingIo::new(Arc::new(RealIo::new())));
        let options = OpenOptions {
            raw_tier_bytes: Some(bytes),
            background,
            ..OpenOptions::default()
        };
        let store = Store::open(io.clone(), &dir.join("pool"), options)?;
        Ok(Self { store, io })
    }

    /// Bytes it has written to its files so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.io.counts().written_bytes
    }
}

pub(crate) fn volume_id(number: u128) -> VolumeId {
    VolumeId(Uuid::from_u128(number))
}

pub(crate) fn spec(size_bytes: u64) -> VolumeSpec {
    VolumeSpec {
        size_bytes,
        domain: DomainId(Uuid::from_u128(1)),
        packing: Packing::default(),
        encryption: Encryption::default(),
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Chunks of which no two are equal and half compresses away, as real data does.
    pub(crate) fn fill(&mut self, data: &mut [u8]) {
        for chunk in data.chunks_mut(CHUNK) {
            let (noise, quiet) = chunk.split_at_mut(CHUNK / 2);
            for word in noise.chunks_exact_mut(8) {
                word.copy_from_slice(&self.next().to_le_bytes());
            }
            quiet.fill(b'.');
        }
    }
}

/// The value in the middle, and the one that one in a hundred exceeds.
pub(crate) fn median_and_p99(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    (at(0.5), at(0.99))
}

pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let outcome = work();
    (outcome, begin.elapsed())
}

/// Processor time of this thread so far.
pub(crate) fn own_cpu() -> Outcome<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next().unwrap_or("0");
    Ok(Duration::from_nanos(first.parse()?))
}

pub(crate) fn row(what: &str, measured: &str, aim: &str) {
    println!("| {what} | {measured} | {aim} |");
}

pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

pub(crate) fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}
