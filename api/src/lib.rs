//! OpenStack Block Storage, Identity and native API.
pub mod client;
pub mod types;
