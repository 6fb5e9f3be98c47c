//! What a conversion sees: one disk to read and perhaps one to write, by a socket in its directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nbd::{
    Device, DeviceError, Errno, ExportEntry, Exports, Extent, Fua, OpenError, Opened, Principal,
    Server, ServerOptions, StopToken, ZeroFlags,
};
use store::{Durability, ExtentKind, Volume, ZeroMode};

use super::error::Error;

/// The socket's name in the directory.
pub(super) const SOCKET: &str = "nbd";
/// The names of the exports.
pub(super) const SOURCE: &str = "source";
pub(super) const TARGET: &str = "target";

/// Serves the disks of one conversion in a directory.
pub(super) fn serve(dir: &Path, disks: Disks) -> Result<Server, Error> {
    let options = ServerOptions {
        max_connections: 4,
        ..ServerOptions::default()
    };
    let mut server = Server::new(Arc::new(disks), options);
    // Whoever may enter the directory may connect; its owner alone may.
    let listening = server.listen_unix(&dir.join(SOCKET), 0o666);
    listening
        .map_err(|error| Error::io("serving a disk to convert")(std::io::Error::other(error)))?;
    Ok(server)
}

/// The disks of one conversion.
pub(super) struct Disks {
    pub(super) source: Arc<dyn Device>,
    pub(super) target: Option<Arc<dyn Device>>,
}

impl Exports for Disks {
    fn open(&self, _principal: &Principal, name: &str) -> Result<Opened, OpenError> {
        let device = match name {
            SOURCE => Some(&self.source),
            TARGET => self.target.as_ref(),
            _ => None,
        };
        let device = device.ok_or(OpenError::Unknown)?;
        Ok(Opened {
            device: Arc::clone(device),
            description: String::new(),
            log_name: format!("conversion {name}"),
            stop: StopToken::new(),
            guard: None,
        })
    }

    fn list(&self, _principal: &Principal) -> Vec<ExportEntry> {
        Vec::new()
    }
}

/// A part of a volume, from its beginning.
pub(super) struct Disk {
    volume: Volume,
    len: u64,
    read_only: bool,
    /// How far it was read or written.
    reached: Arc<AtomicU64>,
}

impl Disk {
    /// The first `len` bytes, for reading.
    pub(super) fn to_read(volume: Volume, len: u64) -> Self {
        Self {
            volume,
            len,
            read_only: true,
            reached: Arc::default(),
        }
    }

    /// The first `len` bytes, for writing.
    pub(super) fn to_write(volume: Volume, len: u64) -> Self {
        Self {
            read_only: false,
            ..Self::to_read(volume, len)
        }
    }

    /// How far it was read or written, as it goes.
    pub(super) fn reached(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.reached)
    }

    fn note(&self, end: u64) {
        self.reached.fetch_max(end, Ordering::Relaxed);
    }
}

/// A failure is told in full to the log, and to the process that there was one.
fn failed(error: &store::Error) -> DeviceError {
    tracing::warn!(%error, "a disk that is being converted failed");
    let errno = match error.kind() {
        store::ErrorKind::NoSpace => Errno::NoSpc,
        _ => Errno::Io,
    };
    DeviceError::new(errno, "the pool refused")
}

impl Device for Disk {
    fn size_bytes(&self) -> u64 {
        self.len
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn can_multi_conn(&self) -> bool {
        true
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        if self.read_only {
            self.note(offset + buffer.len() as u64);
        }
        self.volume
            .read(offset, buffer)
            .map_err(|error| failed(&error))
    }

    fn write(&self, offset: u64, data: &[u8], _fua: Fua) -> Result<(), DeviceError> {
        self.note(offset + data.len() as u64);
        let written = self.volume.write(offset, data, Durability::Buffered);
        written.map_err(|error| failed(&error))
    }

    fn flush(&self) -> Result<(), DeviceError> {
        Ok(()) // The converter flushes once, at the end.
    }

    fn trim(&self, offset: u64, length: u64, _fua: Fua) -> Result<(), DeviceError> {
        self.note(offset + length);
        let trimmed = self.volume.trim(offset, length, Durability::Buffered);
        trimmed.map_err(|error| failed(&error))
    }

    fn zero(&self, offset: u64, length: u64, _: ZeroFlags, _: Fua) -> Result<(), DeviceError> {
        self.note(offset + length);
        let (mode, durability) = (ZeroMode::Deallocate, Durability::Buffered);
        let zeroed = self.volume.write_zeroes(offset, length, mode, durability);
        zeroed.map_err(|error| failed(&error))
    }

    fn cache(&self, _offset: u64, _length: u64) -> Result<(), DeviceError> {
        Ok(())
    }

    fn status(&self, offset: u64, length: u64, max: usize) -> Result<Vec<Extent>, DeviceError> {
        let found = self
            .volume
            .extents(offset, length, max)
            .map_err(|error| failed(&error))?;
        let told = found.into_iter().map(|extent| Extent {
            length: extent.len,
            hole: extent.kind == ExtentKind::Hole,
            zero: extent.kind != ExtentKind::Data,
        });
        Ok(told.collect())
    }
}
