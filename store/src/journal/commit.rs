//! Group commit: bringing batches to the disk, and reading those that are not there yet.
//!
//! Whoever wants durability joins [`Journal::flush`]: the first to come writes and syncs for all who
//! wait, the others wait for a turn that covers them; nothing newer than the durable sequence costs
//! nothing. All file operations happen in `carry_out`, by one thread at a time (the `busy` token),
//! never under the lock.

use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crate::Result;
use crate::journal::batch::{ClosedBatch, Inner, Step};
use crate::journal::recent::copy_blocks;
use crate::journal::segment::Segment;
use crate::journal::{Journal, poisoned};

/// Unwritten bytes beyond which appenders write before they go on.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// A turn that writes less than this is worth preparing the file for those that follow; the zeroes
/// ahead of larger ones would double what the disk has to write.
const SMALL_BYTES: usize = 64 << 10;

impl Journal {
    /// Makes everything appended before the call durable.
    ///
    /// # Errors
    /// `Failed` when this or an earlier write or sync failed; nothing is acknowledged after that.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut inner = self.lock();
        let target = inner.last_sequence();
        while inner.durable_sequence < target {
            if inner.failed {
                return Err(Self::failed());
            }
            inner.close_batch();
            if inner.busy {
                inner.flushers += 1;
                inner = self.changed.wait(inner).expect(poisoned!());
                inner.flushers -= 1;
                continue;
            }
            inner = self.carry_out(inner, Sync::Yes)?;
        }
        if inner.failed {
            Err(Self::failed())
        } else {
            Ok(())
        }
    }

    /// Writes what has piled up when it is more than memory should hold. Called by appenders without
    /// any lock or gate; a writer already at work is waited for only beyond the limit.
    pub(crate) fn relieve(&self) -> Result<()> {
        let piled_up = || self.queue_bytes.load(Ordering::Relaxed) > QUEUE_BYTES_MAX;
        if !piled_up() {
            return Ok(());
        }
        let mut inner = self.lock();
        while piled_up() && !inner.failed {
            if inner.busy {
                inner = self.changed.wait(inner).expect(poisoned!());
            } else {
                inner = self.carry_out(inner, Sync::No)?;
            }
        }
        if inner.failed {
            Err(Self::failed())
        } else {
            Ok(())
        }
    }

    /// Waits until closed batches are there to be written, at most `nap`.
    pub(crate) fn wait_for_writing(&self, nap: Duration) {
        let inner = self.lock();
        let idle = |inner: &mut Inner| {
            !inner.closing && (inner.queue.is_empty() || inner.busy || inner.failed)
        };
        drop(
            self.pending
                .wait_timeout_while(inner, nap, idle)
                .expect(poisoned!()),
        );
    }

    /// Writes closed batches, for the thread that writes them behind the appenders.
    pub(crate) fn write_behind(&self) -> Result<bool> {
        let inner = self.lock();
        if inner.busy || inner.failed || inner.queue.is_empty() {
            return Ok(false);
        }
        drop(self.carry_out(inner, Sync::No)?);
        Ok(true)
    }

    /// Takes the token, performs all queued steps without the lock, and publishes the outcome.
    fn carry_out<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        sync: Sync,
    ) -> Result<MutexGuard<'a, Inner>> {
        debug_assert!(!inner.busy);
        let sync = if inner.flushers > 0 { Sync::Yes } else { sync };
        inner.busy = true;
        let steps: Vec<Step> = mem::take(&mut inner.queue).into();
        let upto = inner.next_sequence - 1;
        let last = Arc::clone(&inner.current);
        drop(inner);
        let outcome = self.perform(&steps, sync, &last);
        let mut inner = self.lock();
        inner.busy = false;
        match &outcome {
            Ok(()) if sync == Sync::Yes => {
                inner.durable_sequence = inner.durable_sequence.max(upto);
            }
            Ok(()) => {}
            Err(_) => {
                inner.failed = true;
                self.recent.give_up_unwritten();
            }
        }
        self.changed.notify_all();
        outcome?;
        drop(inner);
        // Copies some; appenders and those who wait for this turn go on meanwhile.
        self.keep_written(steps);
        Ok(self.lock())
    }

    /// Keeps what was written for reading.
    fn keep_written(&self, steps: Vec<Step>) {
        let batches = steps.into_iter().filter_map(|step| match step {
            Step::Batch(batch) => Some(batch),
            Step::Begin(..) | Step::End(..) => None,
        });
        let written: Vec<Arc<ClosedBatch>> = batches.collect();
        for batch in &written {
            self.queue_bytes
                .fetch_sub(batch.bytes.len(), Ordering::Relaxed);
        }
        self.recent.written(&written);
    }

    fn perform(&self, steps: &[Step], sync: Sync, last: &Segment) -> Result<()> {
        let mut bytes = 0;
        for step in steps {
            match step {
                Step::Begin(segment, spare) => self.begin_segment(segment, spare)?,
                Step::Batch(batch) => {
                    batch.segment.write(batch.start_block, &batch.bytes)?;
                    batch.segment.set_written(batch.start_block + batch.blocks);
                    bytes += batch.bytes.len();
                }
                Step::End(segment, used) => {
                    segment.write_trailer(*used)?;
                    segment.sync()?;
                }
            }
        }
        if sync == Sync::No {
            return Ok(());
        }
        if self.prefill && bytes < SMALL_BYTES {
            last.fill_ahead();
        }
        last.sync()
    }

    /// Copies chunks that have not reached the file from memory. `false` when they are not there,
    /// because they have been written meanwhile.
    pub(crate) fn read_unwritten(
        &self,
        segment: &Segment,
        first_block: u32,
        out: &mut [u8],
    ) -> bool {
        let number = segment.header.number;
        let inner = self.lock();
        if let Some(open) = &inner.open
            && open.segment.header.number == number
            && copy_blocks(&open.bytes, open.start_block, first_block, out)
        {
            return true;
        }
        // Closed after the first look, perhaps.
        self.recent.read(number, first_block, out)
    }
}

/// Whether a turn ends with a sync.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Yes,
    No,
}
