//! Blocking client of the public REST APIs, for the command line, the console and the mount.
//!
//! [`Cloud`] says where a cloud is and who is asking, read from the same files and variables as the
//! `openstack` client reads. [`Client`] logs in with it, finds the services in the catalogue, logs in
//! again once when its token has expired, and turns every fault into one sentence. It retries
//! nothing else. Passwords and tokens are wiped from memory when dropped and never shown.

mod agent;
mod attachments;
mod cloud;
mod error;
mod identity;
mod native;
mod secret;
mod session;
mod settings;
mod snapshots;
mod volumes;
mod written;

pub use cloud::{Cloud, Scope, Source};
pub use error::{Error, ErrorKind, Result};
pub use identity::{OwnToken, ProjectSpec, Target, UserSpec};
pub use session::{Client, Service};
pub use volumes::{Reach, is_passing};
pub use written::Secrets;

#[cfg(test)]
mod tests;
