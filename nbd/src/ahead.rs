//! Looking at the reads that wait behind one another.
//!
//! A connection answers its requests in turn. While they come from memory that is the fastest way,
//! but when they come from a disk each would wait for the one before it. So once a read has taken as
//! long as a disk takes, the device is told of those that wait behind, and fetches them side by side
//! while the first is answered. Devices that know which of their reads had to wait for a disk say so;
//! of the others the clock does.

use std::time::Duration;

use crate::export::Device;
use crate::proto::Request;
use crate::proto::constants::NBD_CMD_READ;

/// A read that takes longer, and half a nanosecond for each byte besides, did not come from memory.
const SLOW: Duration = Duration::from_micros(50);
/// Requests after a slow read for which the device is told what comes.
const REQUESTS_AFTER: u32 = 64;
/// Longer reads keep a disk busy by themselves.
const LONG_BYTES: u64 = 1 << 20;

/// What one connection knows of the reads to come.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Requests for which it is worth looking ahead still.
    left: u32,
    /// Bytes of the input whose requests the device has been told of.
    told: usize,
    /// What the device said last of its reads from a disk.
    disk_reads: Option<u64>,
}

impl Ahead {
    /// Tells the device of reads behind the first request that it was not told of.
    pub(crate) fn look(&mut self, input: &[u8], device: &dyn Device) {
        while self.left > 0
            && let Some((request, length)) =
                Request::complete(input.get(self.told..).unwrap_or_default())
        {
            let end = request.offset.checked_add(request.length);
            let inside = end.is_some_and(|end| end <= device.size_bytes());
            let worth = request.command == NBD_CMD_READ && request.length <= LONG_BYTES;
            // The one at the front is read at once.
            if self.told > 0 && worth && inside && request.length > 0 {
                // An advice: the read itself tells what is wrong.
                let _ = device.cache(request.offset, request.length);
            }
            self.told += length;
            self.left -= 1;
        }
    }

    /// Whether reads have been slow lately.
    pub(crate) fn is_slow(&self) -> bool {
        self.left > 0
    }

    /// So many bytes of the input have been answered.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.told = self.told.saturating_sub(bytes);
    }

    /// Notes how long a read took, and how many the device says have waited for a disk by now.
    pub(crate) fn note(&mut self, length: u64, took: Duration, disk_reads: Option<u64>) {
        let slow = match disk_reads {
            Some(now) => self.disk_reads.replace(now).is_some_and(|then| then != now),
            None => took > SLOW + Duration::from_nanos(length / 2),
        };
        if slow {
            self.left = REQUESTS_AFTER;
        }
    }
}
