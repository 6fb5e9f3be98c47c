//! The objects of the cloud: typed records in one transactional database.
//!
//! [`Catalogue`] is the only door; nothing else in the crate names a redb type except
//! [`Catalogue::open`]'s backend, so another database can take its place. A record is a serde struct
//! with a table, an id and secondary index keys ([`Record`]). Reads see one consistent state;
//! [`Catalogue::write`] is one durable transaction, and writers are serialised, so that what a
//! writer has checked still holds when it commits.
//!
//! Calls block. Async code goes through [`crate::server::Services::blocking`]. Keep closures short:
//! an open read transaction holds back the reuse of pages.

mod db;
mod dump;
mod error;
mod follow;
mod key;
mod record;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub use db::{Catalogue, Options};
pub use dump::{Restored, dump_folder, rebuild};
pub use error::{Error, ErrorKind, Result};
pub use follow::Follower;
pub use key::Key;
pub use record::{Index, Record, RecordId};
pub use view::{Query, Reader, View};
pub use writer::Writer;
