//! Holding the requests of a volume's exports to the limits of its type.
//!
//! All connections by attachments of a volume share one [`Throttle`]; requests beyond the limits
//! wait on the thread of their own connection, which has no other work, so that no other export is
//! held up. A wait ends early when limits change, when the export is withdrawn and when the server
//! stops. The operators' socket is not held to limits.

mod device;
mod meters;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use api::cinder::IoLimits;
use nbd::StopToken;
use uuid::Uuid;

pub(super) use device::ThrottledDevice;
use meters::{Meters, Operation};

/// A waiting request looks this often whether its export was withdrawn, which nobody tells it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Microseconds on a clock that never goes back.
pub(super) type NowUs = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The share of all connections of a volume.
pub(super) struct Throttle {
    now_us: NowUs,
    state: Mutex<State>,
    /// Signalled when limits change and when all are let go.
    changed: Condvar,
    /// Held while limits are read and set, so that older ones never replace newer ones.
    refreshing: Mutex<()>,
}

#[derive(Default)]
struct State {
    meters: Meters,
    released: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code can panic while holding one of these, so poison carries no news.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Throttle {
    fn new(now_us: NowUs) -> Self {
        Self {
            now_us,
            state: Mutex::default(),
            changed: Condvar::new(),
            refreshing: Mutex::new(()),
        }
    }

    /// Sets the limits that `read` finds.
    fn refresh(&self, read: impl FnOnce() -> IoLimits) {
        let _one_at_a_time = lock(&self.refreshing);
        let limits = read();
        let mut state = lock(&self.state);
        state.meters.set(limits, (self.now_us)());
        self.changed.notify_all();
    }

    fn release(&self) {
        lock(&self.state).released = true;
        self.changed.notify_all();
    }

    /// Waits until the operation is within the limits and counts it; false when `stop` came first.
    fn pass(&self, operation: Operation, stop: &StopToken) -> bool {
        let mut state = lock(&self.state);
        while let Err(wait) = state.meters.take(operation, (self.now_us)()) {
            if state.released || stop.is_stopped() {
                return false;
            }
            let woken = self.changed.wait_timeout(state, wait.min(LOOK_EVERY));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// The throttles of all volumes that are exported now.
pub(super) struct Throttles {
    now_us: NowUs,
    live: Mutex<HashMap<Uuid, Weak<Throttle>>>,
}

impl Throttles {
    /// None yet.
    pub(super) fn new(now_us: NowUs) -> Self {
        Self {
            now_us,
            live: Mutex::default(),
        }
    }

    /// The throttle of a volume with the limits that `read` finds.
    pub(super) fn of(&self, volume: Uuid, read: impl FnOnce() -> IoLimits) -> Arc<Throttle> {
        let mut live = lock(&self.live);
        live.retain(|_, throttle| throttle.strong_count() > 0);
        let known = live.get(&volume).and_then(Weak::upgrade);
        let throttle = known.unwrap_or_else(|| Arc::new(Throttle::new(self.now_us.clone())));
        live.insert(volume, Arc::downgrade(&throttle));
        drop(live);
        // Found by whoever changes limits from here on: what is read now is the newest.
        throttle.refresh(read);
        throttle
    }

    /// Reads all limits again.
    pub(super) fn refresh(&self, read: impl Fn(Uuid) -> IoLimits) {
        for (volume, throttle) in self.all() {
            throttle.refresh(|| read(volume));
        }
    }

    /// Turns away what waits now and later.
    pub(super) fn release(&self) {
        for (_, throttle) in self.all() {
            throttle.release();
        }
    }

    fn all(&self) -> Vec<(Uuid, Arc<Throttle>)> {
        let live = lock(&self.live);
        let strong = |(id, weak): (&Uuid, &Weak<Throttle>)| Some((*id, weak.upgrade()?));
        live.iter().filter_map(strong).collect()
    }
}

#[cfg(test)]
mod tests;
