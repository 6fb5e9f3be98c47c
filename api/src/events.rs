//! What happened lately: a bounded ring of events with rising ids, for polling.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Events kept; the console polls every second and shows a few dozen.
const EVENTS_MAX: usize = 1024;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rises with every event, also over restarts.
    pub id: u64,
    /// Microseconds since 1970.
    pub at_us: u64,
    /// What happened, such as `volume.created`.
    pub kind: String,
    /// Id of the object it happened to.
    pub object: String,
    /// Project of the object, if it has one.
    pub project: Option<String>,
    /// One line for people.
    pub message: String,
    /// The request that caused it, if one did.
    pub request_id: Option<String>,
}

/// An event that has no id yet; the fields are those of [`Event`].
#[derive(Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) at_us: u64,
    pub(crate) kind: &'a str,
    pub(crate) object: &'a str,
    pub(crate) project: Option<&'a str>,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
}

/// The ring. Cheap to record into: one short lock.
#[derive(Debug)]
pub struct Events {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    next_id: u64,
    ring: VecDeque<Event>,
}

impl Events {
    /// An empty ring. Ids start at `now_us`, above those of any earlier run.
    pub fn new(now_us: u64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                next_id: now_us,
                ring: VecDeque::with_capacity(EVENTS_MAX),
            }),
        }
    }

    /// Adds an event, dropping the oldest when the ring is full.
    pub(crate) fn record(&self, new: NewEvent<'_>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.ring.len() == EVENTS_MAX {
            inner.ring.pop_front();
        }
        let event = Event {
            id: inner.next_id,
            at_us: new.at_us,
            kind: new.kind.to_owned(),
            object: new.object.to_owned(),
            project: new.project.map(str::to_owned),
            message: new.message,
            request_id: new.request_id,
        };
        inner.next_id += 1;
        inner.ring.push_back(event);
    }

    /// At most `limit` events with an id above `after`, the oldest first; without `after` the
    /// newest `limit`.
    pub fn list(&self, after: Option<u64>, limit: usize) -> Vec<Event> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let start = match after {
            Some(after) => inner.ring.partition_point(|event| event.id <= after),
            None => inner.ring.len().saturating_sub(limit),
        };
        inner.ring.iter().skip(start).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{EVENTS_MAX, Events, NewEvent};

    #[test]
    fn polling_sees_each_event_once_and_the_ring_is_bounded() {
        let events = Events::new(100);
        for _ in 0..EVENTS_MAX + 5 {
            events.record(NewEvent {
                at_us: 1,
                kind: "volume.created",
                object: "v",
                project: None,
                message: String::new(),
                request_id: None,
            });
        }
        assert_eq!(events.list(Some(0), usize::MAX).len(), EVENTS_MAX);
        let newest = events.list(None, 2);
        assert_eq!(newest.len(), 2);
        assert!(events.list(Some(newest[1].id), 10).is_empty());
    }
}
