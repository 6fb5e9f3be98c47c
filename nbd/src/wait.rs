//! Waiting for a client's next request.
//!
//! A client with one request in flight sends the next a few microseconds after the reply. Going to
//! sleep in between costs more than that, and on a virtual machine, where an idle processor is given
//! back to the host, many times more. So a connection looks again for a moment before it sleeps, as
//! long as that has been worth it lately.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::Socket;

/// How long to look before going to sleep.
const LOOK: Duration = Duration::from_micros(50);
/// Waits that are slept through at most before it is tried again whether looking is worth it.
const PAUSE_MAX: u32 = 63;

/// Connections that are looking now: they may not take the processors from those who work.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// A connection's socket, which is looked at before it is waited for.
pub(crate) struct Patient<'a> {
    socket: &'a Socket,
    /// How many connections may look at once.
    most: usize,
    /// Waits to sleep through before the next look.
    pause: u32,
    /// What `pause` was set to after the last look that was in vain.
    last_pause: u32,
}

impl<'a> Patient<'a> {
    pub(crate) fn new(socket: &'a Socket) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            socket,
            most: processors / 2,
            pause: 0,
            last_pause: 0,
        }
    }

    /// Receives what comes within a moment; `None` when nothing does.
    fn look(&mut self, into: &mut [u8]) -> Option<io::Result<usize>> {
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let _turn = Turn::take(self.most)?;
        let begin = Instant::now();
        loop {
            match recv(self.socket, &mut *into, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) if begin.elapsed() < LOOK => thread::yield_now(),
                Err(Errno::AGAIN) => break,
                received => {
                    self.last_pause = 0;
                    return Some(received.map(|(bytes, _)| bytes).map_err(io::Error::from));
                }
            }
        }
        self.last_pause = (self.last_pause * 2 + 1).min(PAUSE_MAX);
        self.pause = self.last_pause;
        None
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.look(into) {
            Some(received) => received,
            None => (&mut &*self.socket).read(into),
        }
    }
}

/// The right to look, for one connection.
struct Turn;

impl Turn {
    fn take(most: usize) -> Option<Self> {
        let free = |looking| (looking < most).then_some(looking + 1);
        let taken = LOOKING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        taken.ok().map(|_| Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use socket2::Socket;

    use super::{PAUSE_MAX, Patient};

    fn pair() -> (UnixStream, Socket) {
        let (client, server) = UnixStream::pair().unwrap();
        (client, Socket::from(OwnedFd::from(server)))
    }

    #[test]
    fn what_came_is_received_whether_looked_for_or_waited_for() {
        let (mut client, server) = pair();
        let mut patient = Patient::new(&server);
        let mut byte = [0];
        for value in 0..200 {
            client.write_all(&[value]).unwrap();
            assert_eq!(patient.read(&mut byte).unwrap(), 1);
            assert_eq!(byte, [value]);
        }
        drop(client);
        assert_eq!(patient.read(&mut byte).unwrap(), 0);
    }

    #[test]
    fn a_quiet_connection_is_hardly_looked_at() {
        let (mut client, server) = pair();
        let mut patient = Patient::new(&server);
        patient.most = usize::MAX;
        let mut byte = [0];
        for _ in 0..20 {
            // Nothing comes within the moment, as nothing was sent.
            patient.pause = 0;
            assert!(patient.look(&mut byte).is_none());
        }
        assert_eq!(patient.pause, PAUSE_MAX);
        let late = thread::spawn(move || client.write_all(&[7]));
        assert_eq!(patient.read(&mut byte).unwrap(), 1);
        late.join().unwrap().unwrap();
        assert_eq!(patient.pause, PAUSE_MAX - 1);
    }
}
