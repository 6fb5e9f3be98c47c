//! `journal/commit.rs`: appenders that flush, a thread that writes behind them, a disk that may fail.

use super::explorer::{Model, Turn, explore, step};

/// Appends and flushes of each appender.
const ROUNDS: u8 = 2;

/// How the code could be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Mistake {
    None,
    /// What is durable is looked up when the turn ends, not when it took the queue.
    CountsAtTheEnd,
    /// The open batch counts as taken.
    CountsTheOpenBatch,
    /// Nobody is told that a turn has ended.
    TellsNobody,
    /// A turn that failed leaves no trace.
    ForgetsFailure,
}

/// Where a thread is. `Option<u8>` is the sequence that a flush must cover: none for the writer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Begins,
    /// `append`: its record is in the batch of this sequence.
    Appended(u8),
    /// `flush`: holds the lock, about to look.
    Looks(u8),
    /// `flush`: waits for a turn to end.
    Sleeps(u8),
    Woken(u8),
    /// `carry_out`: steps taken, the lock let go; what it took, up to where, and whether it syncs.
    Writes {
        flush: Option<u8>,
        upto: u8,
        sync: bool,
    },
    Syncs {
        flush: Option<u8>,
        upto: u8,
    },
    /// `carry_out`: about to take the lock and publish.
    Ends {
        flush: Option<u8>,
        upto: u8,
        sync: bool,
        good: bool,
    },
    Done,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Commit {
    mistake: Mistake,
    /// Sequence of the next batch to be closed, and whether it is open.
    next_sequence: u8,
    open: bool,
    /// Closed batches not taken, by the last sequence among them; equal to `taken` when there are none.
    closed: u8,
    taken: u8,
    /// What the file and the disk have.
    written: u8,
    durable_on_disk: u8,
    durable_sequence: u8,
    busy: bool,
    failed: bool,
    flushers: u8,
    /// Whether the disk may still fail once.
    may_fail: bool,
    threads: [(At, u8); 3],
}

/// The thread that writes behind the appenders.
const WRITER: usize = 2;

impl Commit {
    fn new(mistake: Mistake, may_fail: bool) -> Self {
        Self {
            mistake,
            next_sequence: 1,
            open: false,
            closed: 0,
            taken: 0,
            written: 0,
            durable_on_disk: 0,
            durable_sequence: 0,
            busy: false,
            failed: false,
            flushers: 0,
            may_fail,
            threads: [(At::Begins, ROUNDS); 3],
        }
    }

    fn last_sequence(&self) -> u8 {
        self.next_sequence - 1 + u8::from(self.open)
    }

    fn close_batch(&mut self) {
        if self.open {
            self.closed = self.next_sequence;
            self.next_sequence += 1;
            self.open = false;
        }
    }

    /// `carry_out` up to letting go of the lock.
    fn take(&mut self, thread: usize, flush: Option<u8>) {
        let sync = flush.is_some() || self.flushers > 0;
        self.busy = true;
        self.taken = self.closed;
        let upto = match self.mistake {
            Mistake::CountsTheOpenBatch => self.last_sequence(),
            _ => self.next_sequence - 1,
        };
        self.threads[thread].0 = At::Writes { flush, upto, sync };
    }

    fn append(&self, thread: usize) -> Turn<Self> {
        let mut next = self.clone();
        let left = self.threads[thread].1;
        if left == 0 || self.failed {
            next.threads[thread].0 = At::Done;
            return step("ends", next);
        }
        next.open = true;
        next.threads[thread] = (At::Appended(next.last_sequence()), left - 1);
        let mut full = next.clone();
        full.close_batch();
        Turn::Steps(vec![
            ("append", Ok(next)),
            ("append: fills the batch", Ok(full)),
        ])
    }

    /// The loop of `flush`, from having the lock to letting it go.
    fn look(&self, thread: usize, own: u8, target: u8) -> Turn<Self> {
        let mut next = self.clone();
        if self.durable_sequence >= target {
            next.threads[thread].0 = match self.failed {
                true => At::Done,
                false => At::Begins,
            };
            // The answer to the guest.
            let lost = !self.failed && self.durable_on_disk < own;
            let outcome = match lost {
                true => Err(format!("flush answered, batch {own} is not on the disk")),
                false => Ok(next),
            };
            return Turn::Steps(vec![("flush: returns", outcome)]);
        }
        if self.failed {
            next.threads[thread].0 = At::Done;
            return step("flush: refuses", next);
        }
        next.close_batch();
        if self.busy {
            next.flushers += 1;
            next.threads[thread].0 = At::Sleeps(target);
            return step("flush: waits", next);
        }
        next.take(thread, Some(target));
        step("flush: carries out", next)
    }

    fn perform(&self, thread: usize) -> Turn<Self> {
        let at = self.threads[thread].0;
        let go = |name, to: At, change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            next.threads[thread].0 = to;
            change(&mut next);
            (name, Ok(next))
        };
        let mut steps = Vec::new();
        match at {
            At::Writes { flush, upto, sync } => {
                let taken = self.taken;
                let to = match sync {
                    true => At::Syncs { flush, upto },
                    false => At::Ends {
                        flush,
                        upto,
                        sync,
                        good: true,
                    },
                };
                steps.push(go("perform: writes", to, &|next| next.written = taken));
            }
            At::Syncs { flush, upto } => {
                let ends = |good| At::Ends {
                    flush,
                    upto,
                    sync: true,
                    good,
                };
                let written = self.written;
                steps.push(go("perform: syncs", ends(true), &|next| {
                    next.durable_on_disk = written;
                }));
                if self.may_fail {
                    steps.push(go("perform: fails to sync", ends(false), &|next| {
                        next.may_fail = false;
                    }));
                }
            }
            _ => return Turn::Waits,
        }
        Turn::Steps(steps)
    }

    /// `carry_out` from taking the lock again.
    fn publish(&self, thread: usize) -> Turn<Self> {
        let At::Ends {
            flush,
            upto,
            sync,
            good,
        } = self.threads[thread].0
        else {
            return Turn::Waits;
        };
        let mut next = self.clone();
        next.busy = false;
        if !good {
            next.failed = self.mistake != Mistake::ForgetsFailure;
        }
        if sync && (good || self.mistake == Mistake::ForgetsFailure) {
            let upto = match self.mistake {
                Mistake::CountsAtTheEnd => self.next_sequence - 1,
                _ => upto,
            };
            next.durable_sequence = next.durable_sequence.max(upto);
        }
        if self.mistake != Mistake::TellsNobody {
            for (at, _) in &mut next.threads {
                if let At::Sleeps(target) = *at {
                    *at = At::Woken(target);
                }
            }
        }
        next.threads[thread].0 = match flush {
            Some(target) => At::Looks(target),
            None => At::Begins,
        };
        step("carry_out: publishes", next)
    }

    /// `write_behind`, as often as there is something.
    fn write_behind(&self) -> Turn<Self> {
        let mut next = self.clone();
        let others_done = self.threads[..WRITER].iter().all(|(at, _)| *at == At::Done);
        if others_done || self.failed {
            next.threads[WRITER].0 = At::Done;
            return step("ends", next);
        }
        if self.busy || next.closed == next.taken {
            return Turn::Waits;
        }
        next.take(WRITER, None);
        step("write_behind: carries out", next)
    }
}

impl Model for Commit {
    fn threads(&self) -> usize {
        self.threads.len()
    }

    fn turn(&self, thread: usize) -> Turn<Self> {
        match self.threads[thread].0 {
            At::Begins if thread == WRITER => self.write_behind(),
            At::Begins => self.append(thread),
            // The target is what had been appended by anybody when the lock was taken.
            At::Appended(own) => self.look(thread, own, self.last_sequence()),
            At::Looks(target) => self.look(thread, target, target),
            At::Woken(target) => {
                let mut next = self.clone();
                next.flushers -= 1;
                next.threads[thread].0 = At::Looks(target);
                step("flush: wakes up", next)
            }
            At::Sleeps(_) => Turn::Waits,
            At::Writes { .. } | At::Syncs { .. } => self.perform(thread),
            At::Ends { .. } => self.publish(thread),
            At::Done => Turn::Done,
        }
    }
}

#[test]
fn a_flush_that_returns_is_on_the_disk_and_every_flush_returns() {
    for may_fail in [false, true] {
        let states = explore(&Commit::new(Mistake::None, may_fail)).unwrap();
        println!("{states} states");
        assert!(states > 500);
    }
}

#[test]
fn mistakes_in_group_commit_are_found() {
    let lost = "is not on the disk";
    for (mistake, may_fail, what) in [
        (Mistake::CountsAtTheEnd, false, lost),
        (Mistake::CountsTheOpenBatch, false, lost),
        (Mistake::TellsNobody, false, "wait for ever"),
        (Mistake::ForgetsFailure, true, lost),
    ] {
        let broken = explore(&Commit::new(mistake, may_fail)).unwrap_err();
        assert!(broken.contains(what), "{broken}");
    }
}
