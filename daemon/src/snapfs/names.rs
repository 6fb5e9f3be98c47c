//! The tree that is shown now, kept up to date from the API by one thread.
//!
//! Whoever misses a name may ask for news and waits a bounded time. While the API is away, the last
//! tree stays. A new tree is shown before the kernel is told what to forget: telling it first would
//! wait for requests that wait for the tree.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::tree::{Ino, Serials, Tree, VolumeRecord};

/// How old the tree gets when nobody asks.
const REFRESH_EVERY: Duration = Duration::from_secs(5);
/// A tree younger than this is news.
const FRESH: Duration = Duration::from_millis(200);
/// How long whoever asks for news waits.
const WAIT_LIMIT: Duration = Duration::from_secs(2);

/// What the source of names says.
pub(crate) enum News {
    /// Nothing has changed since the last time.
    Same,
    /// These are the volumes.
    Changed(Vec<VolumeRecord>),
}

/// Where names come from.
pub(crate) trait NameSource: Send {
    /// Asks for the volumes; takes a bounded time.
    fn fetch(&mut self) -> anyhow::Result<News>;
}

/// Told of names that mean nothing any more.
pub(crate) type Forget = Box<dyn Fn(&[(Ino, String)]) + Send>;

#[derive(Default)]
struct State {
    tree: Arc<Tree>,
    /// Numbers of fetches asked for and ended.
    asked: u64,
    ended: u64,
    /// When the last fetch that ended began.
    fetched: Option<Instant>,
    stopped: bool,
}

/// The present tree.
#[derive(Default)]
pub(crate) struct Names {
    state: Mutex<State>,
    /// Signalled when a fetch is asked for, and to stop.
    asked: Condvar,
    /// Signalled when a fetch ended.
    ended: Condvar,
}

impl Names {
    /// The tree as it was last seen.
    pub(crate) fn tree(&self) -> Arc<Tree> {
        self.lock().tree.clone()
    }

    /// The tree as it is now, if the API answers in time; else as it was last seen.
    pub(crate) fn fresh_tree(&self) -> Arc<Tree> {
        let mut state = self.lock();
        if state
            .fetched
            .is_some_and(|fetched| fetched.elapsed() < FRESH)
        {
            return state.tree.clone();
        }
        // A fetch under way may have begun before what is looked for was there.
        state.asked = state.asked.max(state.ended) + 1;
        let number = state.asked;
        self.asked.notify_all();
        let waiting = |state: &mut State| state.ended < number && !state.stopped;
        let waited = self.ended.wait_timeout_while(state, WAIT_LIMIT, waiting);
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .tree
            .clone()
    }

    /// Fetches until told to stop; `forget` may come later than the first tree.
    fn keep(&self, source: &mut dyn NameSource, forget: &mpsc::Receiver<Forget>) {
        let mut serials = Serials::default();
        let mut told: Option<Forget> = None;
        let mut was_well = true;
        while let Some(number) = self.next_fetch() {
            let began = Instant::now();
            let fetched = source.fetch();
            if let Err(error) = &fetched
                && was_well
            {
                tracing::warn!("names cannot be read, the last ones stay: {error:#}");
            }
            was_well = fetched.is_ok();
            let next = match fetched {
                Ok(News::Changed(volumes)) => Some(Arc::new(Tree::build(&mut serials, volumes))),
                Ok(News::Same) | Err(_) => None,
            };
            let outdated = self.publish(next, number, began);
            told = forget.try_recv().ok().or(told);
            if let Some(forget) = told.as_ref().filter(|_| !outdated.is_empty()) {
                forget(&outdated);
            }
        }
    }

    /// Waits until a fetch is due; its number, or `None` to stop.
    fn next_fetch(&self) -> Option<u64> {
        let state = self.lock();
        let idle = |state: &mut State| {
            state.asked <= state.ended && state.fetched.is_some() && !state.stopped
        };
        let waited = self.asked.wait_timeout_while(state, REFRESH_EVERY, idle);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        (!state.stopped).then(|| state.asked.max(state.ended))
    }

    fn publish(&self, next: Option<Arc<Tree>>, number: u64, began: Instant) -> Vec<(Ino, String)> {
        let mut state = self.lock();
        let last = state.tree.clone();
        if let Some(next) = &next {
            state.tree = next.clone();
        }
        state.ended = number;
        state.fetched = Some(began);
        drop(state);
        self.ended.notify_all();
        next.map_or_else(Vec::new, |next| last.outdated(&next))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code can panic while holding it, so poison carries no news.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that keeps [`Names`] up to date.
pub(crate) struct Keeper {
    names: Arc<Names>,
    forget: mpsc::Sender<Forget>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it.
    pub(crate) fn start(mut source: Box<dyn NameSource>) -> std::io::Result<Self> {
        let names = Arc::new(Names::default());
        let (forget, receiver) = mpsc::channel();
        let kept = names.clone();
        let thread = thread::Builder::new()
            .name("names".to_owned())
            .spawn(move || kept.keep(source.as_mut(), &receiver))?;
        Ok(Self {
            names,
            forget,
            thread,
        })
    }

    /// What it keeps.
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Says whom to tell of outdated names.
    pub(crate) fn tell(&self, forget: Forget) {
        // The thread ends only with this object.
        let _ = self.forget.send(forget);
    }

    /// Stops it and waits.
    pub(crate) fn stop(self) {
        self.names.lock().stopped = true;
        self.names.asked.notify_all();
        self.names.ended.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the names' thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use uuid::Uuid;

    use super::super::tree::{ROOT, VolumeRecord};
    use super::{Keeper, NameSource, News};

    /// Answers with what the test put there; an error while it is empty.
    struct Source(Arc<Mutex<Option<Vec<&'static str>>>>);

    impl NameSource for Source {
        fn fetch(&mut self) -> anyhow::Result<News> {
            let names = self.0.lock().unwrap().clone();
            let names = names.ok_or_else(|| anyhow::anyhow!("away"))?;
            let volume = |name: &&str| VolumeRecord {
                id: Uuid::new_v5(&Uuid::nil(), name.as_bytes()),
                name: (*name).to_owned(),
                created_us: 0,
                snapshots: Vec::new(),
            };
            Ok(News::Changed(names.iter().map(volume).collect()))
        }
    }

    #[test]
    fn who_asks_sees_what_is_there_and_the_last_tree_stays() {
        let list = Arc::new(Mutex::new(Some(vec!["a"])));
        let keeper = Keeper::start(Box::new(Source(list.clone()))).unwrap();
        let (sender, told) = mpsc::channel();
        keeper.tell(Box::new(move |outdated| {
            let names = outdated.iter().map(|(_, name)| name.clone());
            sender.send(names.collect::<Vec<_>>()).unwrap();
        }));
        // Answers may be as old as the last fetch, so that a change is seen within a bounded time.
        let shows = |name: &str, gone: &str| {
            let deadline = Instant::now() + Duration::from_secs(20);
            let has = |name| {
                let tree = keeper.names().fresh_tree();
                tree.lookup(tree.lookup(ROOT, "volumes").unwrap(), name)
                    .is_some()
            };
            while !has(name) || has(gone) {
                assert!(Instant::now() < deadline, "{name} is not seen");
                std::thread::yield_now();
            }
        };
        shows("a", "b");
        *list.lock().unwrap() = Some(vec!["b"]);
        shows("b", "a");
        assert!(told.recv().unwrap().contains(&"a".to_owned()));
        *list.lock().unwrap() = None;
        shows("b", "a");
        keeper.stop();
    }
}
