//! A socket that is used up to a point in time: what a handshake runs on.
//!
//! A limit for each read would let a server that sends a byte now and then keep its client for ever.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::error::Error;

/// A point in time, and how long it was ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

/// A shorter wait is none, and to the kernel "none" means "for ever".
const LIMIT_MIN: Duration = Duration::from_millis(1);
/// A longer wait is for ever, but can be added to the present time.
const LIMIT_MAX: Duration = Duration::from_secs(24 * 3600);

impl Deadline {
    /// The deadline that is `limit` ahead.
    pub(crate) fn after(limit: Duration) -> Self {
        let limit = limit.clamp(LIMIT_MIN, LIMIT_MAX);
        let at = Instant::now() + limit;
        Self { at, limit }
    }

    /// How long it is ahead, which is never nothing.
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        (left >= LIMIT_MIN).then_some(left)
    }

    /// That it has passed while `operation` was not done.
    pub(crate) fn passed(self, operation: &'static str) -> Error {
        Error::TimedOut {
            operation,
            limit: self.limit,
        }
    }

    /// `error`, unless it says that time was up.
    pub(crate) fn judge(self, operation: &'static str, error: Error) -> Error {
        match &error {
            Error::Socket(source) | Error::Connect { source, .. } if is_timeout(source) => {
                self.passed(operation)
            }
            _ => error,
        }
    }
}

/// Whether a wait that the kernel limits has ended without its event.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// A socket with a deadline.
pub(crate) struct Timed {
    pub(crate) socket: Socket,
    pub(crate) deadline: Deadline,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        self.deadline
            .left()
            .ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

impl Read for &Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        (&mut &self.socket).read(buffer)
    }
}

impl Write for &Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        (&mut &self.socket).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
