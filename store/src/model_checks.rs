//! Small models of the engine's concurrent parts, of which every interleaving is looked at.
//!
//! A model is a handful of threads whose steps are those of the code: what happens under one hold of a
//! lock, or one atomic operation, is one step and bears the name of the function that takes it. All
//! orders of steps are explored from one state that a few threads begin in; a promise that is broken in
//! one of them, or threads that all wait for ever, end the search with the steps that lead there. Each
//! model can be built with a mistake in it, which must be found: so the search is able to find one.
//!
//! What is modelled: `epoch.rs` (readers, waiters, the flip and the wake-up), `journal/commit.rs`
//! (group commit with a writer behind, a failing sync), `layer.rs` with `read.rs` and `checkpoint.rs`
//! (a chunk on its way from the overlay into the index, past the run cache), and `mark.rs` with
//! `packer.rs` and `cleanup.rs` (a mark in steps, dedup hits, copies and merges of runs between them).
//! Atomics are taken to be sequentially consistent, as those of `epoch.rs` are. What is not: the
//! formats, space, compaction and recompression, and more threads than each model says; the seeded
//! simulation and `race_tests.rs` run the code itself.

mod barrier;
mod commit;
mod epochs;
mod explorer;
mod overlay;
