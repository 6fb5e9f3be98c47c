//! OpenStack Block Storage, Identity and native API.
pub mod types;
