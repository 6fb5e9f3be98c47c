//! Transfers: handing a volume to another project, `/os-volume-transfer` and `/volume-transfers`.
//!
//! The donor makes one and tells the receiver its key by other means; whoever knows id and key may
//! accept. The key is shown once and kept as a salted hash. A transfer is there as long as it waits:
//! accepting it or taking it back removes it, in the transaction that gives the volume its owner and
//! status.

mod accept;
mod calls;
mod list;
mod rows;
#[cfg(test)]
mod tests;

pub(super) use calls::routes;
pub(super) use rows::forget;
