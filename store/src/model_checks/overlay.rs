//! `layer.rs`, `checkpoint.rs` and the run cache of `read.rs`: one chunk that is written, checkpointed
//! and read at the same time. Its content is the number of the write.

use super::explorer::{Model, Turn, explore, step};

const WRITES: u8 = 2;
const CHECKPOINTS: u8 = 2;
const READS: u8 = 2;

/// How the code could be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Mistake {
    None,
    /// The overlay is dropped before the index has what was in it.
    ThawsEarly,
    /// A run looked up before a commit gets into the cache after it.
    CachesWithoutLooking,
    /// A commit leaves the cache as it is.
    KeepsTheCache,
    /// `thaw` says that nothing is left, though more was written since the cut.
    ForgetsWhatCameSince,
    /// A layer is counted as awoken before it is touched.
    AwakesEarly,
    /// A layer that was quiet and is changed is not counted.
    AwakesSilently,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Checkpoint {
    Rests,
    /// `take_cut` is done: this is being written.
    Cut(Option<u8>),
    /// `commit_runs`: committed, the cache as yet untouched.
    Committed,
    /// `commit_runs` is done.
    Published,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    Rests,
    /// What had been answered when the read began.
    Begins(u8),
    /// `restless`: how often a layer had been awoken.
    Counted(u8, u8),
    /// `restless`: nothing is known of that count.
    Looks(u8, u8),
    /// `restless`: the layer was quiet.
    Quiet(u8, u8),
    /// `pieces`: the overlay may hold something.
    Touched(u8),
    /// `seen_run`: the overlay had nothing.
    Below(u8),
    /// `seen_run`: not in the cache; the version of the cache before the index was read.
    Missed(u8, u8),
    /// `seen_run`: read from the index.
    Found(u8, u8, u8),
    /// What the guest gets.
    Answers(u8, u8),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Overlay {
    mistake: Mistake,
    active: Option<u8>,
    frozen: Option<u8>,
    touched: bool,
    /// Its lock is held by a write that has awoken it, or is about to.
    awaking: bool,
    awoken: u8,
    /// The count at which the chain's layer was found quiet.
    quiet: Option<u8>,
    index: u8,
    cached: Option<u8>,
    version: u8,
    written: u8,
    checkpoint: (Checkpoint, u8),
    readers: [(Reader, u8); 2],
}

impl Overlay {
    fn new(mistake: Mistake) -> Self {
        Self {
            mistake,
            active: None,
            frozen: None,
            touched: false,
            awaking: false,
            awoken: 0,
            quiet: None,
            index: 0,
            cached: None,
            version: 0,
            written: 0,
            checkpoint: (Checkpoint::Rests, CHECKPOINTS),
            readers: [(Reader::Rests, READS); 2],
        }
    }

    fn write(&self) -> Turn<Self> {
        if self.written == WRITES {
            return Turn::Done;
        }
        let mut next = self.clone();
        // Two steps under the lock where the layer was quiet: it is changed and touched, and then counted.
        let early = self.mistake == Mistake::AwakesEarly;
        let awakes = !self.touched && !self.awaking;
        if awakes == early && (awakes || self.awaking) {
            next.awoken += u8::from(self.mistake != Mistake::AwakesSilently);
        } else {
            next.active = Some(self.written + 1);
            next.touched = true;
        }
        next.awaking = awakes;
        next.written += u8::from(!awakes);
        step("change", next)
    }

    fn thaw(&mut self) {
        self.frozen = None;
        self.touched = self.active.is_some() && self.mistake != Mistake::ForgetsWhatCameSince;
    }

    fn checkpoint(&self) -> Turn<Self> {
        let mut next = self.clone();
        let (at, left) = self.checkpoint;
        match at {
            Checkpoint::Rests if left == 0 => return Turn::Done,
            Checkpoint::Rests | Checkpoint::Published if self.awaking => return Turn::Waits,
            Checkpoint::Rests => {
                next.checkpoint = (Checkpoint::Cut(self.active), left - 1);
                (next.frozen, next.active) = (self.active, None);
                if self.mistake == Mistake::ThawsEarly {
                    next.thaw();
                }
                return step("take_cut", next);
            }
            Checkpoint::Cut(cut) => {
                next.checkpoint.0 = Checkpoint::Committed;
                next.index = cut.unwrap_or(self.index);
            }
            Checkpoint::Committed => {
                // The version and the removal are one step as seen by those who insert.
                next.checkpoint.0 = Checkpoint::Published;
                next.version += 1;
                if self.mistake != Mistake::KeepsTheCache {
                    next.cached = None;
                }
                return step("commit_runs: the cache", next);
            }
            Checkpoint::Published => {
                next.checkpoint.0 = Checkpoint::Rests;
                next.thaw();
                return step("thaw", next);
            }
        }
        step("commit_runs: the index", next)
    }

    fn read(&self, at: usize) -> Turn<Self> {
        let (reader, left) = self.readers[at];
        let go = |name, to| {
            let mut next = self.clone();
            next.readers[at].0 = to;
            step(name, next)
        };
        match reader {
            Reader::Rests if left == 0 => Turn::Done,
            Reader::Rests => {
                let mut next = self.clone();
                next.readers[at] = (Reader::Begins(self.written), left - 1);
                step("read begins", next)
            }
            Reader::Begins(oldest) => {
                go("restless: the count", Reader::Counted(oldest, self.awoken))
            }
            Reader::Counted(oldest, awoken) => {
                let to = match self.quiet == Some(awoken) {
                    true => Reader::Below(oldest),
                    false => Reader::Looks(oldest, awoken),
                };
                go("restless: what is known", to)
            }
            Reader::Looks(oldest, awoken) => {
                let to = match self.touched {
                    true => Reader::Touched(oldest),
                    false => Reader::Quiet(oldest, awoken),
                };
                go("restless: touched", to)
            }
            Reader::Quiet(oldest, awoken) => {
                let mut next = self.clone();
                next.readers[at].0 = Reader::Below(oldest);
                next.quiet = Some(awoken);
                step("restless: notes it", next)
            }
            Reader::Touched(_) if self.awaking => Turn::Waits,
            Reader::Touched(oldest) => {
                let to = match self.active.or(self.frozen) {
                    Some(found) => Reader::Answers(oldest, found),
                    None => Reader::Below(oldest),
                };
                go("pieces: the overlay", to)
            }
            Reader::Below(oldest) => {
                let to = match self.cached {
                    Some(found) => Reader::Answers(oldest, found),
                    None => Reader::Missed(oldest, self.version),
                };
                go("seen_run: the cache, the version", to)
            }
            Reader::Missed(oldest, version) => go(
                "seen_run: the index",
                Reader::Found(oldest, version, self.index),
            ),
            Reader::Found(oldest, version, found) => {
                let mut next = self.clone();
                next.readers[at].0 = Reader::Answers(oldest, found);
                if version == self.version || self.mistake == Mistake::CachesWithoutLooking {
                    next.cached = Some(found);
                }
                step("seen_run: inserts", next)
            }
            Reader::Answers(oldest, found) => {
                let mut next = self.clone();
                next.readers[at].0 = Reader::Rests;
                let outcome = match found < oldest {
                    true => Err(format!("write {found} is read, {oldest} had been answered")),
                    false => Ok(next),
                };
                Turn::Steps(vec![("read answers", outcome)])
            }
        }
    }
}

impl Model for Overlay {
    fn threads(&self) -> usize {
        2 + self.readers.len()
    }

    fn turn(&self, thread: usize) -> Turn<Self> {
        match thread {
            0 => self.write(),
            1 => self.checkpoint(),
            reader => self.read(reader - 2),
        }
    }
}

#[test]
fn no_read_is_older_than_what_had_been_answered() {
    let states = explore(&Overlay::new(Mistake::None)).unwrap();
    println!("{states} states");
    assert!(states > 5_000);
}

#[test]
fn mistakes_in_publishing_the_overlay_are_found() {
    for mistake in [
        Mistake::ThawsEarly,
        Mistake::CachesWithoutLooking,
        Mistake::KeepsTheCache,
        Mistake::ForgetsWhatCameSince,
        Mistake::AwakesEarly,
        Mistake::AwakesSilently,
    ] {
        let broken = explore(&Overlay::new(mistake)).unwrap_err();
        assert!(broken.contains("had been answered"), "{broken}");
    }
}
