//! Grace periods: waiting until every read that could still use an old place has ended.
//!
//! Readers enter one of two counters; a waiter turns new readers to the other and waits for the
//! first to drain, twice, as sleepable RCU does. Entering costs two atomic operations.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use crate::journal::poisoned;

/// Counts reads under way.
#[derive(Default)]
pub(crate) struct Epochs {
    phase: AtomicUsize,
    readers: [AtomicUsize; 2],
    /// Held by the one who waits: another would turn the phase back under it.
    turn: Mutex<()>,
    waiter: Mutex<()>,
    drained: Condvar,
}

/// A read under way.
pub(crate) struct ReadGuard<'a> {
    epochs: &'a Epochs,
    slot: usize,
}

impl Epochs {
    /// Enters; addresses looked up afterwards stay readable until the guard goes.
    pub(crate) fn enter(&self) -> ReadGuard<'_> {
        let slot = self.phase.load(Ordering::SeqCst) & 1;
        self.readers[slot].fetch_add(1, Ordering::SeqCst);
        ReadGuard { epochs: self, slot }
    }

    /// Waits until all reads that had entered before the call have ended.
    pub(crate) fn wait(&self) {
        let _turn = self.turn.lock().expect(poisoned!());
        let mut waiting = self.waiter.lock().expect(poisoned!());
        // A reader may load the phase, be overtaken by one flip, and only then count itself; the
        // second round catches it.
        for _ in 0..2 {
            let old = self.phase.fetch_add(1, Ordering::SeqCst) & 1;
            while self.readers[old].load(Ordering::SeqCst) != 0 {
                waiting = self.drained.wait(waiting).expect(poisoned!());
            }
        }
    }
}

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        let last = self.epochs.readers[self.slot].fetch_sub(1, Ordering::SeqCst) == 1;
        // Only when the phase has moved on can somebody be waiting for this counter.
        if last && self.epochs.phase.load(Ordering::SeqCst) & 1 != self.slot {
            drop(self.epochs.waiter.lock().expect(poisoned!()));
            self.epochs.drained.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn a_wait_outlasts_earlier_reads_and_not_later_ones() {
        let epochs = Arc::new(Epochs::default());
        let early = epochs.enter();
        let done = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (epochs, done) = (Arc::clone(&epochs), Arc::clone(&done));
            thread::spawn(move || {
                epochs.wait();
                done.store(true, Ordering::SeqCst);
            })
        };
        while epochs.phase.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        let late = epochs.enter();
        assert!(!done.load(Ordering::SeqCst));
        drop(early);
        drop(late);
        waiter.join().unwrap();
        assert!(done.load(Ordering::SeqCst));
    }

    #[test]
    fn waits_of_many_threads_end_and_none_misses_a_read() {
        let epochs = Epochs::default();
        // What is freed, as the newest number; readers must not see an older one than they found.
        let (current, freed) = (AtomicUsize::new(1), AtomicUsize::new(0));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let _guard = epochs.enter();
                        let found = current.load(Ordering::SeqCst);
                        thread::yield_now();
                        assert!(freed.load(Ordering::SeqCst) < found);
                    }
                });
            }
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..300 {
                            let old = current.fetch_add(1, Ordering::SeqCst);
                            epochs.wait();
                            freed.fetch_max(old, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            for waiter in waiters {
                waiter.join().unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
    }
}
