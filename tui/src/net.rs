//! Asks the daemon, on a thread of its own, and hands the answers on as events.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use api::client::{Client, Reach};

use crate::app::Event;

/// Answers that wait to be drawn; a console that hangs stops asking.
const ANSWERS_MAX: usize = 16;
/// Lists are longer than the pool's counters and change less.
const LISTS_EVERY: Duration = Duration::from_secs(3);
const EVENTS_MAX: usize = 100;

/// The asking thread. It ends by itself once this is dropped; nobody waits for a request that hangs.
pub(crate) struct Net {
    pub(crate) events: Receiver<Event>,
    refresh: Sender<()>,
}

impl Net {
    pub(crate) fn start(client: Client, interval: Duration) -> Result<Self> {
        let (answers, events) = sync_channel(ANSWERS_MAX);
        let (refresh, wakes) = channel();
        let mut poll = Poll {
            client,
            answers,
            last_event: None,
            lists_at: None,
        };
        thread::Builder::new()
            .name("console net".to_owned())
            .spawn(
                move || while poll.look().is_some() && poll.rest(&wakes, interval).is_some() {},
            )?;
        Ok(Self { events, refresh })
    }

    /// Asks at once.
    pub(crate) fn refresh(&self) {
        // Without the thread there is nothing to ask; its last event has said why.
        let _ = self.refresh.send(());
    }
}

struct Poll {
    client: Client,
    answers: SyncSender<Event>,
    last_event: Option<u64>,
    lists_at: Option<Instant>,
}

/// `None` once nobody listens any more.
type Heard = Option<()>;

impl Poll {
    fn look(&mut self) -> Heard {
        let event = self.ask().unwrap_or_else(|error| {
            // The lists are asked for again with the first answer.
            self.lists_at = None;
            Event::Offline(error.to_string())
        });
        self.answers.send(event).ok()
    }

    /// Sends on what it learns and returns the last piece of it.
    fn ask(&mut self) -> api::client::Result<Event> {
        let stats = self.client.stats()?;
        let news = self.client.events(self.last_event, EVENTS_MAX)?;
        if let Some(newest) = news.last() {
            self.last_event = Some(newest.id);
            self.lists_at = None;
            self.forward(Event::Happened(news));
        }
        if self.lists_at.is_none_or(|at| at.elapsed() >= LISTS_EVERY) {
            let lists = Event::Volumes {
                volumes: self.client.volumes(Reach::All)?,
                stats: self.client.all_volume_stats()?,
                snapshots: self.client.snapshots(Reach::All, None)?,
            };
            self.lists_at = Some(Instant::now());
            self.forward(lists);
        }
        Ok(Event::Stats(Box::new(stats)))
    }

    fn forward(&self, event: Event) {
        // The end of the listener shows with the event that is sent last.
        let _ = self.answers.send(event);
    }

    fn rest(&mut self, wakes: &Receiver<()>, interval: Duration) -> Heard {
        match wakes.recv_timeout(interval) {
            Ok(()) => {
                self.lists_at = None;
                Some(())
            }
            Err(RecvTimeoutError::Timeout) => Some(()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}
