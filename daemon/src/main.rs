//! The cinderblock program.

fn main() {}
