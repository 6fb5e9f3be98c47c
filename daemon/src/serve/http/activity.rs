//! Whether anything goes on in a connection.
//!
//! A connection of HTTP/2 is kept alive by pings alone, and its other side may ask for answers which it
//! then never lets us send. So it is looked at what moves: requests, work on them, and bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes that do not count: pings and their answers within a limit's time are some hundred.
const IDLE_BYTES: u64 = 1024;

/// What has moved so far.
#[derive(Default)]
pub(super) struct Activity {
    requests: AtomicU64,
    working: AtomicU64,
    bytes: AtomicU64,
}

/// A request that is being worked on, until it is dropped.
pub(super) struct Work<'a>(&'a Activity);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    /// Notes a request, and work on it until its answer begins.
    pub(super) fn begin(&self) -> Work<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.working.fetch_add(1, Ordering::Relaxed);
        Work(self)
    }

    /// Notes bytes that came or went.
    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether there ever was a request.
    pub(super) fn has_begun(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Ends when no request came for `limit`.
    pub(super) async fn without_requests(&self, limit: Duration) {
        let mut seen = self.requests.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(limit).await;
            let now = self.requests.load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }

    /// Ends when nothing was worked on and no bytes to speak of moved for `limit`.
    pub(super) async fn stillness(&self, limit: Duration) {
        let mut seen = self.bytes.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(limit).await;
            let now = self.bytes.load(Ordering::Relaxed);
            let works = self.working.load(Ordering::Relaxed) > 0;
            if !works && now - seen < IDLE_BYTES {
                return;
            }
            seen = now;
        }
    }
}
