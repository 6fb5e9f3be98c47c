//! User messages: why an asynchronous operation failed, told to those who asked for it.
//!
//! A job's failure writes its message in the transaction that closes the job ([`record`]), so that
//! there is one for each failure and none without. Codes and texts are those of the real service;
//! the cause itself is for operators and stays in the log. Messages go after thirty days.

mod calls;
mod fields;
mod rows;
#[cfg(test)]
mod tests;

pub(super) use calls::routes;
pub(super) use fields::{Action, Detail, Resource};
pub(super) use rows::{Failure, purge, record, record_of};
