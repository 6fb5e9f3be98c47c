//! Image files of foreign formats: what they are, and their content as a raw disk.
//!
//! An image is hostile until shown otherwise. [`inspect`] reads its headers here, in bounded steps, and
//! refuses whatever would make a reader of it open something else. [`Converter`] then has `qemu-img` do
//! the conversion, told the format, in a `sandbox` that holds nothing but the image and the target,
//! both as exports of a socket in its own directory. Nothing here probes for a format.

mod bytes;
mod converter;
mod disks;
mod error;
mod format;
mod inspect;
mod sandbox;
#[cfg(test)]
mod tests;

pub use bytes::{Bytes, Stored};
pub use converter::{Converter, Watch};
pub use error::{Error, Refusal, Unavailable};
pub use format::Format;
pub use inspect::{Inspected, inspect};
pub use sandbox::check;
