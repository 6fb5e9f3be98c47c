//! End-to-end tests: see the test binary of this crate.
