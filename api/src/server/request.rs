//! The request that the present code works for.
//!
//! Events and jobs tell which request caused them, and its audit record tells what the code found
//! out. Both are around for as long as the request is handled, on the task and on the pool thread the
//! task waits for, so that nothing in between has to pass them on; in the jobs it queued there is the
//! id alone.

use std::future::Future;

use crate::audit::Notes;

tokio::task_local! {
    static CURRENT: Current;
}

/// A request, for as long as it is handled.
#[derive(Clone)]
pub(crate) struct Current {
    id: String,
    /// Nothing once it has been answered.
    notes: Option<Notes>,
}

/// The id of the request, if there is one.
pub(crate) fn current() -> Option<String> {
    CURRENT.try_with(|current| current.id.clone()).ok()
}

/// What is noted for its audit record.
pub(crate) fn notes() -> Option<Notes> {
    CURRENT.try_with(|current| current.notes.clone()).ok()?
}

/// The request as a whole, to go on with on another thread.
pub(super) fn taken() -> Option<Current> {
    CURRENT.try_with(Current::clone).ok()
}

/// Handles a request, which is known until the future ends.
pub(super) async fn handle<F: Future>(id: String, notes: Notes, handler: F) -> F::Output {
    let notes = Some(notes);
    CURRENT.scope(Current { id, notes }, handler).await
}

/// Goes on with a request on another thread, if there is one.
pub(super) fn go_on<T>(current: Option<Current>, work: impl FnOnce() -> T) -> T {
    match current {
        Some(current) => CURRENT.sync_scope(current, work),
        None => work(),
    }
}

/// Goes on with a request in another task, if there is one.
pub(super) async fn go_on_with<F: Future>(current: Option<Current>, work: F) -> F::Output {
    match current {
        Some(current) => CURRENT.scope(current, work).await,
        None => work.await,
    }
}

/// Runs blocking work on behalf of a request that has been answered, if there is one.
pub(crate) fn within<T>(id: Option<&str>, work: impl FnOnce() -> T) -> T {
    let current = id.map(|id| Current {
        id: id.to_owned(),
        notes: None,
    });
    go_on(current, work)
}
