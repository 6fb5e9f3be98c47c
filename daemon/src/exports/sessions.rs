//! What is given out now: one session a connection, and one stop token an attachment.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::server::Connection;
use nbd::StopToken;

use super::device::Traffic;

/// A session to begin.
pub(super) struct NewSession {
    /// How it is listed, before it has an id and any traffic.
    pub(super) connection: Connection,
    /// The secret name of the attachment's export, if it came in by one.
    pub(super) token: Option<String>,
    /// Its counters.
    pub(super) traffic: Arc<Traffic>,
}

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    live: BTreeMap<u64, NewSession>,
    /// By secret name; the map's hash is keyed, so that timing tells nothing of the names in it.
    tokens: HashMap<String, StopToken>,
}

/// Ends its session when dropped.
pub(super) struct Guard {
    sessions: Arc<Sessions>,
    id: u64,
}

impl Sessions {
    /// Takes the export's token out: later sessions get a new one.
    pub(super) fn withdraw(&self, name: &str) -> Option<StopToken> {
        self.lock().tokens.remove(name)
    }

    /// Begins a session that lasts as long as the guard. The stop token is that of all sessions of
    /// the same secret name, or of this one alone.
    pub(super) fn add(self: &Arc<Self>, session: NewSession) -> (Guard, StopToken) {
        let mut state = self.lock();
        let stop = match &session.token {
            Some(name) => state.tokens.entry(name.clone()).or_default().clone(),
            None => StopToken::new(),
        };
        state.last_id += 1;
        let id = state.last_id;
        state.live.insert(id, session);
        drop(state);
        let sessions = self.clone();
        (Guard { sessions, id }, stop)
    }

    /// The sessions, oldest first.
    pub(super) fn list(&self) -> Vec<Connection> {
        let listed = |(id, session): (&u64, &NewSession)| {
            let mut connection = session.connection.clone();
            connection.id = *id;
            connection.read_bytes = session.traffic.read_bytes.load(Ordering::Relaxed);
            connection.written_bytes = session.traffic.written_bytes.load(Ordering::Relaxed);
            connection
        };
        self.lock().live.iter().map(listed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code can panic while holding it, so poison carries no news.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_unused(&mut self, name: &str) {
        let uses = |session: &NewSession| session.token.as_deref() == Some(name);
        if !self.live.values().any(uses) {
            self.tokens.remove(name);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.sessions.lock();
        let ended = state.live.remove(&self.id);
        if let Some(token) = ended.and_then(|session| session.token) {
            state.forget_unused(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::server::{Connection, Transport};
    use uuid::Uuid;

    use super::{NewSession, Sessions};

    fn session(token: Option<&str>) -> NewSession {
        NewSession {
            connection: Connection {
                id: 0,
                object: Uuid::nil(),
                attachment: None,
                transport: Transport::Tcp,
                peer: "peer".to_owned(),
                read_only: false,
                opened_us: 0,
                read_bytes: 0,
                written_bytes: 0,
            },
            token: token.map(str::to_owned),
            traffic: Arc::default(),
        }
    }

    #[test]
    fn sessions_of_a_name_stop_together_and_later_ones_live() {
        let sessions = Arc::new(Sessions::default());
        let (_one, stop_one) = sessions.add(session(Some("a")));
        let (two, stop_two) = sessions.add(session(Some("a")));
        let (_other, stop_other) = sessions.add(session(None));
        drop(two);
        sessions.withdraw("a").unwrap().stop();
        assert!(stop_one.is_stopped() && stop_two.is_stopped() && !stop_other.is_stopped());
        let (_later, stop_later) = sessions.add(session(Some("a")));
        assert!(!stop_later.is_stopped());
        assert_eq!(sessions.list().len(), 3);
    }

    #[test]
    fn nothing_is_kept_of_what_ended() {
        let sessions = Arc::new(Sessions::default());
        let (guard, _) = sessions.add(session(Some("a")));
        drop(guard);
        assert!(sessions.list().is_empty());
        assert!(sessions.withdraw("a").is_none());
    }
}
