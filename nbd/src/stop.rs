//! Ending connections from outside.
//!
//! A [`StopToken`] is shared between whoever may withdraw an export and the connections which use
//! it. Stopping is final, and reaches connections which are only just being made: whoever binds
//! to a stopped token learns of it at once. It does not decide who is stopped.

use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::Socket;

/// Ends every connection bound to it. Clones are the same token.
#[derive(Clone, Default)]
pub struct StopToken {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when a connection unbinds.
    unbound: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    next: u64,
    bound: Vec<(u64, Arc<Socket>)>,
}

impl StopToken {
    /// A token which stops nothing yet.
    pub fn new() -> Self {
        StopToken::default()
    }

    /// Ends all connections bound now or later. Requests already handed to the device finish.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        for (_, socket) in &state.bound {
            // A socket whose peer is gone already has nothing left to shut down.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Whether [`StopToken::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// How many connections are bound.
    pub fn connections(&self) -> usize {
        self.lock().bound.len()
    }

    /// Waits until no connection is bound, so that no request of theirs is running any more;
    /// false when `timeout` passed first.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        while !state.bound.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            let woken = self.shared.unbound.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Ties a connection's socket to this token until the binding is dropped; `None` if the token
    /// is stopped already.
    pub(crate) fn bind(&self, socket: Arc<Socket>) -> Option<Binding> {
        let mut state = self.lock();
        if state.stopped {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.bound.push((id, socket));
        Some(Binding {
            token: self.clone(),
            id,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code can panic while holding it, so poison carries no news.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's tie to a token.
pub(crate) struct Binding {
    token: StopToken,
    id: u64,
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.token.lock().bound.retain(|(id, _)| *id != self.id);
        self.token.shared.unbound.notify_all();
    }
}
