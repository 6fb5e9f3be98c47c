//! Network Block Device protocol: a pure codec, a server for any [`Device`], and a client.
//!
//! The crate knows nothing of volumes: whoever embeds the server implements [`Exports`], which
//! opens a [`Device`] by principal and name. Data paths run on plain threads.

mod ahead;
mod buffer;
mod client;
mod connection;
mod connections;
mod error;
mod export;
mod handshake;
mod memory;
pub mod proto;
mod server;
mod stop;
mod transmission;
mod wait;

pub use client::{Address, Client, Pending, Timeouts, Uri};
pub use connections::{ConnectionInfo, Connections, Counts};
pub use error::Error;
pub use export::{
    BlockSizes, Device, DeviceError, Errno, ExportEntry, Exports, Extent, Fua, OpenError, Opened,
    Principal, Transfer, ZeroFlags,
};
pub use memory::MemoryDevice;
pub use server::{Server, ServerOptions, ShutdownReport};
pub use stop::StopToken;

/// The largest payload of one request or reply, in bytes: what every client may assume.
pub const MAX_PAYLOAD: u32 = 32 << 20;
