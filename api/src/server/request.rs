//! The request that the present code works for.
//!
//! Events and jobs tell which request caused them. Its id is around for as long as the request is
//! handled, on the task, on the pool thread the task waits for and in the jobs it queued, so that
//! nothing in between has to pass it on.

use std::future::Future;

tokio::task_local! {
    static ID: String;
}

/// The id of the request, if there is one.
pub(crate) fn current() -> Option<String> {
    ID.try_with(String::clone).ok()
}

/// Handles a request, whose id is known until the future ends.
pub(super) async fn handle<F: Future>(id: String, handler: F) -> F::Output {
    ID.scope(id, handler).await
}

/// Runs blocking work on behalf of a request, if there is one.
pub(crate) fn within<T>(id: Option<&str>, work: impl FnOnce() -> T) -> T {
    match id {
        Some(id) => ID.sync_scope(id.to_owned(), work),
        None => work(),
    }
}
