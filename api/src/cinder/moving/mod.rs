//! Data that goes from one backend to another: clones of what lies elsewhere, and whole volumes.

mod actions;
mod clone;
mod copy;
#[cfg(test)]
mod tests;
mod work;

pub(super) use actions::{begin, complete, host_in, migrate, revert};
pub(super) use clone::{create_from_snapshot, create_from_volume, fill_from_snapshot};
pub(super) use work::{register, retyping};
