//! The connections which live now: who they are, what they did, and ending them.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::export::Principal;

/// One connection's counters. Only its own thread writes them.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) reads: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) trims: AtomicU64,
    pub(crate) zeroes: AtomicU64,
    pub(crate) others: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
}

impl Stats {
    /// A single writer needs no locked addition.
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        let sum = counter.load(Ordering::Relaxed).wrapping_add(amount);
        counter.store(sum, Ordering::Relaxed);
    }

    fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            reads: get(&self.reads),
            writes: get(&self.writes),
            flushes: get(&self.flushes),
            trims: get(&self.trims),
            zeroes: get(&self.zeroes),
            others: get(&self.others),
            errors: get(&self.errors),
            bytes_read: get(&self.bytes_read),
            bytes_written: get(&self.bytes_written),
        }
    }
}

/// Requests and bytes, of one connection or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Read requests.
    pub reads: u64,
    /// Write requests.
    pub writes: u64,
    /// Flush requests.
    pub flushes: u64,
    /// Trim requests.
    pub trims: u64,
    /// Write-zeroes requests.
    pub zeroes: u64,
    /// Cache and block status requests.
    pub others: u64,
    /// Requests answered with an error.
    pub errors: u64,
    /// Bytes of data read.
    pub bytes_read: u64,
    /// Bytes of data written.
    pub bytes_written: u64,
}

impl Counts {
    /// All requests.
    pub fn operations(&self) -> u64 {
        self.reads + self.writes + self.flushes + self.trims + self.zeroes + self.others
    }

    fn add(&mut self, other: Counts) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.flushes += other.flushes;
        self.trims += other.trims;
        self.zeroes += other.zeroes;
        self.others += other.others;
        self.errors += other.errors;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
    }
}

/// A live connection, as listings show it.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its number, unique in this server's life.
    pub id: u64,
    /// Who is at the other end.
    pub peer: Principal,
    /// The export, masked where its name is a secret; `None` during the handshake.
    pub export: Option<String>,
    /// How long it has lived.
    pub age: Duration,
    /// What it did so far.
    pub counts: Counts,
}

/// The table of live connections.
#[derive(Default)]
pub struct Connections {
    state: Mutex<State>,
    /// Signalled when a connection ends.
    ended: Condvar,
    stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    last_id: u64,
    live: BTreeMap<u64, Arc<Connection>>,
    /// What ended connections did.
    past: Counts,
}

/// One live connection.
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) peer: Principal,
    pub(crate) socket: Arc<Socket>,
    pub(crate) export: OnceLock<String>,
    pub(crate) stats: Stats,
    since: Instant,
}

impl Connections {
    /// All live connections, oldest first.
    pub fn list(&self) -> Vec<ConnectionInfo> {
        let info = |connection: &Arc<Connection>| ConnectionInfo {
            id: connection.id,
            peer: connection.peer.clone(),
            export: connection.export.get().cloned(),
            age: connection.since.elapsed(),
            counts: connection.stats.counts(),
        };
        self.lock().live.values().map(info).collect()
    }

    /// What all connections did since the server started.
    pub fn totals(&self) -> Counts {
        let state = self.lock();
        let mut totals = state.past;
        for connection in state.live.values() {
            totals.add(connection.stats.counts());
        }
        totals
    }

    /// Ends a connection; false if there is none of that number.
    pub fn close(&self, id: u64) -> bool {
        let state = self.lock();
        let found = state.live.get(&id);
        if let Some(connection) = found {
            // A peer which is gone already leaves nothing to shut down.
            let _ = connection.socket.shutdown(Shutdown::Both);
        }
        found.is_some()
    }

    /// Registers a connection; `None` if the server is stopping.
    pub(crate) fn register(
        self: &Arc<Self>,
        peer: Principal,
        socket: Arc<Socket>,
    ) -> Option<Registered> {
        let mut state = self.lock();
        // Looked at under the lock which `stop` takes, so that no connection slips in between.
        if self.is_stopping() {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        let connection = Arc::new(Connection {
            id,
            peer,
            socket,
            export: OnceLock::new(),
            stats: Stats::default(),
            since: Instant::now(),
        });
        state.live.insert(id, Arc::clone(&connection));
        Some(Registered {
            connection,
            connections: Arc::clone(self),
        })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Lets connections answer what they have received, and take in nothing more.
    pub(crate) fn stop(&self) {
        let state = self.lock();
        self.stopping.store(true, Ordering::Release);
        for connection in state.live.values() {
            let in_handshake = connection.export.get().is_none();
            let how = if in_handshake {
                Shutdown::Both
            } else {
                Shutdown::Read
            };
            let _ = connection.socket.shutdown(how);
        }
    }

    /// Ends all connections at once.
    pub(crate) fn cut(&self) {
        for connection in self.lock().live.values() {
            let _ = connection.socket.shutdown(Shutdown::Both);
        }
    }

    /// Waits until no connection lives; how many still do at the deadline.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> usize {
        let mut state = self.lock();
        while !state.live.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                break;
            };
            let woken = self.ended.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.live.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code can panic while holding it, so poison carries no news.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the table; dropping it takes the connection out.
pub(crate) struct Registered {
    pub(crate) connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        state.past.add(self.connection.stats.counts());
        state.live.remove(&self.connection.id);
        drop(state);
        self.connections.ended.notify_all();
    }
}
