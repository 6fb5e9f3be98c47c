//! OpenStack Block Storage, Identity, Image and native REST API.
//!
//! `types` (wire structs) and `client` stand alone. With the feature `server` the crate also holds
//! the services: plain functions from requests over a [`catalogue::Catalogue`] of objects and a
//! [`store::Store`] of bytes. It opens no socket: the daemon serves what [`server::router`] returns.

#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod auth;
#[cfg(feature = "server")]
pub mod backup;
#[cfg(feature = "server")]
pub mod body;
#[cfg(feature = "server")]
pub mod catalogue;
#[cfg(feature = "server")]
pub mod cinder;
pub mod client;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod convert;
#[cfg(feature = "server")]
pub mod events;
#[cfg(feature = "server")]
pub mod external;
#[cfg(feature = "server")]
pub mod fault;
#[cfg(feature = "server")]
pub(crate) mod glance;
#[cfg(feature = "server")]
pub mod jobs;
#[cfg(feature = "server")]
pub mod keystone;
#[cfg(feature = "server")]
pub mod log_levels;
#[cfg(feature = "server")]
pub mod microversion;
#[cfg(feature = "server")]
pub mod native;
#[cfg(feature = "server")]
pub mod openapi;
#[cfg(feature = "server")]
pub mod page;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
#[cfg(test)]
mod testing;
pub mod types;
