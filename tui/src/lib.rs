//! The operator's console.

pub mod units;
