//! Data that goes from one backend to another, or from one key to another: clones of what lies
//! elsewhere, and whole volumes.

mod actions;
mod clone;
mod copy;
mod reseal;
#[cfg(test)]
mod tests;
mod work;

pub(super) use actions::{begin, complete, host_in, migrate, revert};
pub(super) use clone::{create_from_snapshot, create_from_volume, fill_from_snapshot, filled};
pub(super) use work::{fresh, is_awaited, register, retyping};
