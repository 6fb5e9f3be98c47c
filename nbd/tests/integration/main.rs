//! The server and the client together, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap fails its test, also outside of #[test] functions"
)]

mod client;
mod fixture;
mod gated;
mod hostile;
mod lifecycle;
mod silence;
