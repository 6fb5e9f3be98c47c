//! `epoch.rs`: two waiters replace what two readers look up, and free the old after a grace period.

use super::explorer::{Model, Turn, explore, step};

/// Places in all: the first, and one for each replacement.
const READS: u8 = 2;

/// Where a reader is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    Outside,
    /// `enter`: the phase was loaded.
    LoadedPhase(usize),
    /// `enter`: counted in a slot.
    Entered(usize),
    /// Holds an address looked up under the guard.
    Holds(usize, u8),
    /// `drop`: was the last of its slot and looks at the phase.
    WasLast(usize),
    /// `drop`: takes the waiter's lock and wakes it.
    Wakes,
}

/// Where a waiter is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Waiter {
    Begins,
    /// What it replaced is to be freed after the wait.
    Replaced(u8),
    HasTurn(u8),
    /// Holds its lock; rounds still to do.
    Flips(u8, u8),
    /// Looks at the counter of a slot.
    Looks(u8, u8, usize),
    Sleeps(u8, u8, usize),
    Woken(u8, u8, usize),
    Frees(u8),
    Done,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Epochs {
    rounds: u8,
    phase: usize,
    counts: [u8; 2],
    turn_taken: bool,
    lock_taken: bool,
    /// What new reads find, and the newest that is freed.
    current: u8,
    freed: Vec<u8>,
    readers: [(Reader, u8); 2],
    waiters: [Waiter; 2],
}

impl Epochs {
    fn new(rounds: u8) -> Self {
        Self {
            rounds,
            phase: 0,
            counts: [0; 2],
            turn_taken: false,
            lock_taken: false,
            current: 0,
            freed: Vec::new(),
            readers: [(Reader::Outside, READS); 2],
            waiters: [Waiter::Begins; 2],
        }
    }

    fn reader(&self, at: usize) -> Turn<Self> {
        let (reader, left) = self.readers[at];
        let mut next = self.clone();
        let to = &mut next.readers[at];
        match reader {
            Reader::Outside if left == 0 => Turn::Done,
            Reader::Outside => {
                *to = (Reader::LoadedPhase(self.phase & 1), left - 1);
                step("enter: loads the phase", next)
            }
            Reader::LoadedPhase(slot) => {
                *to = (Reader::Entered(slot), left);
                next.counts[slot] += 1;
                step("enter: counts itself", next)
            }
            Reader::Entered(slot) => {
                *to = (Reader::Holds(slot, self.current), left);
                step("looks up a place", next)
            }
            Reader::Holds(_, place) if self.freed.contains(&place) => {
                let broken = Err(format!("place {place} is freed under a reader"));
                Turn::Steps(vec![("reads", broken)])
            }
            Reader::Holds(slot, _) => {
                next.counts[slot] -= 1;
                let last = next.counts[slot] == 0;
                let then = if last {
                    Reader::WasLast(slot)
                } else {
                    Reader::Outside
                };
                next.readers[at] = (then, left);
                step("drop: counts itself out", next)
            }
            Reader::WasLast(slot) => {
                let waited_for = self.phase & 1 != slot;
                *to = (
                    if waited_for {
                        Reader::Wakes
                    } else {
                        Reader::Outside
                    },
                    left,
                );
                step("drop: loads the phase", next)
            }
            Reader::Wakes if self.lock_taken => Turn::Waits,
            Reader::Wakes => {
                *to = (Reader::Outside, left);
                for waiter in &mut next.waiters {
                    if let Waiter::Sleeps(old, left, slot) = *waiter {
                        *waiter = Waiter::Woken(old, left, slot);
                    }
                }
                step("drop: locks and notifies", next)
            }
        }
    }

    fn waiter(&self, at: usize) -> Turn<Self> {
        let mut next = self.clone();
        let to = &mut next.waiters[at];
        match self.waiters[at] {
            Waiter::Begins => {
                *to = Waiter::Replaced(self.current);
                next.current += 1;
                step("replaces a place", next)
            }
            Waiter::Replaced(_) if self.turn_taken => Turn::Waits,
            Waiter::Replaced(old) => {
                *to = Waiter::HasTurn(old);
                next.turn_taken = true;
                step("wait: takes the turn", next)
            }
            Waiter::HasTurn(_) if self.lock_taken => Turn::Waits,
            Waiter::HasTurn(old) => {
                *to = Waiter::Flips(old, self.rounds);
                next.lock_taken = true;
                step("wait: takes its lock", next)
            }
            Waiter::Flips(old, 0) => {
                *to = Waiter::Frees(old);
                (next.lock_taken, next.turn_taken) = (false, false);
                step("wait: returns", next)
            }
            Waiter::Flips(old, left) => {
                *to = Waiter::Looks(old, left - 1, self.phase & 1);
                next.phase = (self.phase + 1) & 1;
                step("wait: flips the phase", next)
            }
            Waiter::Looks(old, left, slot) => {
                let drained = self.counts[slot] == 0;
                *to = match drained {
                    true => Waiter::Flips(old, left),
                    false => Waiter::Sleeps(old, left, slot),
                };
                next.lock_taken = drained;
                step("wait: looks at the counter", next)
            }
            Waiter::Sleeps(..) => Turn::Waits,
            Waiter::Woken(..) if self.lock_taken => Turn::Waits,
            Waiter::Woken(old, left, slot) => {
                *to = Waiter::Looks(old, left, slot);
                next.lock_taken = true;
                step("wait: wakes up", next)
            }
            Waiter::Frees(old) => {
                *to = Waiter::Done;
                next.freed.push(old);
                next.freed.sort_unstable();
                step("frees what it replaced", next)
            }
            Waiter::Done => Turn::Done,
        }
    }
}

impl Model for Epochs {
    fn threads(&self) -> usize {
        self.readers.len() + self.waiters.len()
    }

    fn turn(&self, thread: usize) -> Turn<Self> {
        match thread.checked_sub(self.readers.len()) {
            None => self.reader(thread),
            Some(waiter) => self.waiter(waiter),
        }
    }
}

#[test]
fn nothing_is_freed_under_a_reader_and_nobody_waits_for_ever() {
    let states = explore(&Epochs::new(2)).unwrap();
    println!("{states} states");
    assert!(states > 10_000);
}

#[test]
fn turning_the_phase_once_would_not_do() {
    let broken = explore(&Epochs::new(1)).unwrap_err();
    assert!(broken.contains("freed under a reader"), "{broken}");
}
