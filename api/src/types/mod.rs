//! Wire structs: serde only, no behaviour, shared by the services, the client and the console.

pub mod cinder;
pub mod identity;
pub mod native;
