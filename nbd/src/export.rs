//! What the server serves: block devices, and the door through which they are opened.
//!
//! This is the whole of what the protocol knows of a volume. It promises that a [`Device`] is only
//! asked for ranges inside its size, that a read-only device is never asked to change, and that
//! [`Opened`] is dropped once its connection has ended. It does no I/O and knows no sockets.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::stop::StopToken;

/// Whether an operation must be on stable storage before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fua {
    /// The next flush makes it stable.
    No,
    /// It is stable once answered.
    Yes,
}

/// How a range is to be zeroed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZeroFlags {
    /// The range must stay allocated, so that later writes to it cannot run out of space.
    pub no_hole: bool,
    /// Fail with [`Errno::NotSup`] at once if zeroing is no faster than writing zeroes.
    pub fast: bool,
}

/// Block size constraints, in bytes, told to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// Offsets and lengths are multiples of this; a power of two between 1 and 64 KiB.
    pub minimum: u32,
    /// Requests aligned to this avoid read-modify-write; a power of two, 512 bytes at least.
    pub preferred: u32,
    /// The largest payload of one request; a multiple of `minimum`.
    pub maximum: u32,
}

impl Default for BlockSizes {
    fn default() -> Self {
        BlockSizes {
            minimum: 1,
            preferred: 4096,
            maximum: crate::MAX_PAYLOAD,
        }
    }
}

/// A range with one allocation status, for `base:allocation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes, never 0.
    pub length: u64,
    /// Nothing is allocated for it.
    pub hole: bool,
    /// It reads as zeroes.
    pub zero: bool,
}

/// The errors a device can answer with: the protocol's own list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errno {
    /// `NBD_EPERM`: not permitted, as a write to a read-only export.
    Perm,
    /// `NBD_EIO`: the storage failed.
    Io,
    /// `NBD_ENOMEM`: no memory for it now.
    NoMem,
    /// `NBD_EINVAL`: the request makes no sense.
    Inval,
    /// `NBD_ENOSPC`: the store is full, or a write goes past the end.
    NoSpc,
    /// `NBD_EOVERFLOW`: the reply cannot be given in the form asked for.
    Overflow,
    /// `NBD_ENOTSUP`: not supported, as a fast zeroing that would be slow.
    NotSup,
    /// `NBD_ESHUTDOWN`: the server is going away.
    Shutdown,
}

/// Which way a request's data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// To the client.
    Read,
    /// To the device.
    Write,
}

/// A failed device operation.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message} ({errno})")]
pub struct DeviceError {
    /// What the client is told.
    pub errno: Errno,
    /// What happened, for the log. Clients with structured replies see it too, so it names no
    /// secrets and no paths.
    pub message: String,
}

impl DeviceError {
    /// An error of a kind with its story.
    pub fn new(errno: Errno, message: impl Into<String>) -> Self {
        DeviceError {
            errno,
            message: message.into(),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Errno::Perm => "EPERM",
            Errno::Io => "EIO",
            Errno::NoMem => "ENOMEM",
            Errno::Inval => "EINVAL",
            Errno::NoSpc => "ENOSPC",
            Errno::Overflow => "EOVERFLOW",
            Errno::NotSup => "ENOTSUP",
            Errno::Shutdown => "ESHUTDOWN",
        })
    }
}

/// A block device.
///
/// Calls come from many threads at once, one for each connection. Ranges lie inside
/// [`Device::size_bytes`] as it was when the request was checked, and are never empty. A flush
/// answered on one connection covers what was answered on every other before it was sent, if
/// [`Device::can_multi_conn`] says so.
pub trait Device: Send + Sync {
    /// The present size.
    fn size_bytes(&self) -> u64;

    /// Whether every change is refused.
    fn read_only(&self) -> bool;

    /// Block size constraints.
    fn block_sizes(&self) -> BlockSizes {
        BlockSizes::default()
    }

    /// Whether several connections see one another's flushes and writes.
    fn can_multi_conn(&self) -> bool;

    /// Called once before a request's data is read or written, which may take several calls. It may
    /// wait, as where requests are held to a rate, and refuse.
    fn admit(&self, _transfer: Transfer, _length: u64) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Fills `buffer` from `offset`.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError>;

    /// How many reads have had to wait for a disk so far, also those of others, if the device knows.
    fn disk_reads(&self) -> Option<u64> {
        None
    }

    /// Writes `data` at `offset`.
    fn write(&self, offset: u64, data: &[u8], fua: Fua) -> Result<(), DeviceError>;

    /// Makes stable all that was answered before this call.
    fn flush(&self) -> Result<(), DeviceError>;

    /// Gives the range back; its content is undefined afterwards.
    fn trim(&self, offset: u64, length: u64, fua: Fua) -> Result<(), DeviceError>;

    /// Makes the range read as zeroes.
    fn zero(&self, offset: u64, length: u64, flags: ZeroFlags, fua: Fua)
    -> Result<(), DeviceError>;

    /// Advises that the range will be read soon.
    fn cache(&self, offset: u64, length: u64) -> Result<(), DeviceError>;

    /// Tells the allocation of the range: between one and `max_extents` extents, in order, from
    /// `offset` on without gaps. They may cover less than `length`.
    fn status(
        &self,
        offset: u64,
        length: u64,
        max_extents: usize,
    ) -> Result<Vec<Extent>, DeviceError>;
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A process on this machine, as the kernel vouches for it.
    Unix {
        /// Effective user id.
        uid: u32,
        /// Effective group id.
        gid: u32,
        /// Process id when it connected.
        pid: i32,
    },
    /// A network address; proves nothing.
    Tcp(SocketAddr),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Unix { uid, pid, .. } => write!(f, "uid {uid} pid {pid}"),
            Principal::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// An export as a client's listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportEntry {
    /// The name to open it by.
    pub name: String,
    /// Free text for people; may be empty.
    pub description: String,
}

/// An export opened for one connection (or for one `NBD_OPT_INFO`).
pub struct Opened {
    /// The device.
    pub device: Arc<dyn Device>,
    /// Free text for people, told to clients that ask.
    pub description: String,
    /// How logs and listings of connections call it: already masked where the name is a secret.
    pub log_name: String,
    /// Stopping it ends the connection. Exports which may be withdrawn keep a clone, and may put
    /// clones of one token into every connection of an attachment.
    pub stop: StopToken,
    /// Dropped after the connection's last request.
    pub guard: Option<Box<dyn Any + Send>>,
}

/// Why an export was not opened. The texts are shown to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is none of that name, or none that this principal may know of.
    #[error("no such export")]
    Unknown,
    /// It exists and is not given out.
    #[error("{0}")]
    Refused(String),
    /// The name fits several; the text lists their ids.
    #[error("{0}")]
    Ambiguous(String),
    /// The server is going away.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// The door to all exports.
pub trait Exports: Send + Sync {
    /// Opens what `principal` calls `name`. The empty name asks for a default.
    fn open(&self, principal: &Principal, name: &str) -> Result<Opened, OpenError>;

    /// The exports which `principal` may see listed.
    fn list(&self, principal: &Principal) -> Vec<ExportEntry>;
}
