//! Data that goes from one backend to another: clones of what lies elsewhere, and whole volumes.

mod clone;
mod copy;

pub(super) use clone::{create_from_snapshot, create_from_volume, fill_from_snapshot};
