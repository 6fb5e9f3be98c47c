//! Backups: the format on the target, writing, restoring, removing.
//!
//! Promises: a backup exists from its manifest on and is whole then; every byte that is restored was
//! checked against the hash it was stored under; what is removed takes nothing from other backups,
//! whoever writes them at the time. ARCHITECTURE.md has the format and the argument. Knows the pool
//! by the public interface of `store` only, and nothing of the API's objects.

mod error;
mod index;
mod key;
mod manifest;
mod map;
mod pack;
mod reader;
mod repository;
mod restore;
mod seal;
mod sweep;
mod target;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{Error, ErrorKind, Result};
pub use manifest::{Ancestor, Description, Method, VolumeFacts};
pub use repository::{path_of as repository_path, sealed_path_of as sealed_repository_path};
pub use restore::{Onto, check, restore};
pub use sweep::{forget, remove};
pub use target::{BucketSettings, Target};
pub use writer::{Wanted, Watch, Written, write};
