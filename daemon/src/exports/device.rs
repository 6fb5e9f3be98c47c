//! A volume or a snapshot of the pool as a block device of the NBD server.
//!
//! Translation only: arguments, extents, and the one place where an engine error becomes an NBD
//! error. Messages go to clients, so paths stay in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nbd::{Device, DeviceError, Errno, Extent, Fua, ZeroFlags};
use store::{Durability, ErrorKind, ExtentKind, Snapshot, Volume, ZeroMode};

/// More is not fetched at one request's advice.
const PREFETCH_BYTES_MAX: u64 = 32 << 20;

/// What a client is told about an engine error of this kind.
fn errno(kind: ErrorKind) -> (Errno, &'static str) {
    match kind {
        ErrorKind::NotFound => (Errno::Shutdown, "the volume is gone"),
        ErrorKind::AlreadyExists => (Errno::Inval, "the object exists already"),
        ErrorKind::InvalidInput => (Errno::Inval, "the request is out of the volume's bounds"),
        ErrorKind::Busy => (Errno::Io, "the volume is busy"),
        ErrorKind::NoSpace => (Errno::NoSpc, "the pool is full"),
        ErrorKind::Corrupt => (Errno::Io, "stored data failed its checksum"),
        ErrorKind::UnsupportedFormat => (Errno::Io, "stored data is of an unknown format"),
        ErrorKind::KeyUnavailable => (Errno::Io, "the volume's key is not at hand"),
        ErrorKind::Failed => (Errno::Io, "the pool stopped after a failed write"),
        ErrorKind::Io => (Errno::Io, "the storage failed"),
    }
}

/// Logs an engine error in full and cuts it down for the client.
fn refuse(id: uuid::Uuid, operation: &'static str, error: &store::Error) -> DeviceError {
    let (errno, message) = errno(error.kind());
    match errno {
        Errno::NoSpc => tracing::warn!(volume = %id, operation, %error, "no space"),
        _ => tracing::error!(volume = %id, operation, %error, "request failed"),
    }
    DeviceError::new(errno, message)
}

fn durability(fua: Fua) -> Durability {
    match fua {
        Fua::No => Durability::Buffered,
        Fua::Yes => Durability::Durable,
    }
}

fn extents(found: Vec<store::Extent>) -> Vec<Extent> {
    let convert = |extent: store::Extent| Extent {
        length: extent.len,
        hole: extent.kind == ExtentKind::Hole,
        zero: extent.kind != ExtentKind::Data,
    };
    found.into_iter().map(convert).collect()
}

/// Nothing changes a snapshot, whatever the server may ask.
fn frozen() -> DeviceError {
    DeviceError::new(Errno::Perm, "snapshots are read-only")
}

/// Bytes that went through one connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Read.
    pub(super) read_bytes: AtomicU64,
    /// Written.
    pub(super) written_bytes: AtomicU64,
}

/// A writable volume.
pub(super) struct VolumeDevice {
    /// For the log.
    pub(super) id: uuid::Uuid,
    /// The engine's handle.
    pub(super) volume: Volume,
    /// Whether changes are refused although the engine would make them.
    pub(super) read_only: bool,
    /// What this connection did.
    pub(super) traffic: Arc<Traffic>,
}

impl VolumeDevice {
    fn check<T>(
        &self,
        operation: &'static str,
        result: store::Result<T>,
    ) -> Result<T, DeviceError> {
        result.map_err(|error| refuse(self.id, operation, &error))
    }
}

impl Device for VolumeDevice {
    fn size_bytes(&self) -> u64 {
        self.volume.size_bytes()
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn can_multi_conn(&self) -> bool {
        true // All handles of a volume share one state, and a flush covers the volume.
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.check("read", self.volume.read(offset, buffer))?;
        let length = buffer.len() as u64;
        self.traffic.read_bytes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    fn disk_reads(&self) -> Option<u64> {
        Some(self.volume.disk_reads())
    }

    fn write(&self, offset: u64, data: &[u8], fua: Fua) -> Result<(), DeviceError> {
        let done = self.volume.write(offset, data, durability(fua));
        self.check("write", done)?;
        let length = data.len() as u64;
        self.traffic
            .written_bytes
            .fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    fn flush(&self) -> Result<(), DeviceError> {
        self.check("flush", self.volume.flush())
    }

    fn trim(&self, offset: u64, length: u64, fua: Fua) -> Result<(), DeviceError> {
        self.check("trim", self.volume.trim(offset, length, durability(fua)))
    }

    fn zero(
        &self,
        offset: u64,
        length: u64,
        flags: ZeroFlags,
        fua: Fua,
    ) -> Result<(), DeviceError> {
        // Zeroing changes the map only, so that every zeroing is a fast one.
        let mode = if flags.no_hole {
            ZeroMode::Allocate
        } else {
            ZeroMode::Deallocate
        };
        let done = self
            .volume
            .write_zeroes(offset, length, mode, durability(fua));
        self.check("write_zeroes", done)
    }

    fn cache(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let length = length.min(PREFETCH_BYTES_MAX);
        self.check("cache", self.volume.prefetch(offset, length))
    }

    fn status(&self, offset: u64, length: u64, max: usize) -> Result<Vec<Extent>, DeviceError> {
        self.check("status", self.volume.extents(offset, length, max))
            .map(extents)
    }
}

/// A frozen snapshot.
pub(super) struct SnapshotDevice {
    /// For the log.
    pub(super) id: uuid::Uuid,
    /// The engine's handle.
    pub(super) snapshot: Snapshot,
    /// What this connection did.
    pub(super) traffic: Arc<Traffic>,
}

impl SnapshotDevice {
    fn check<T>(
        &self,
        operation: &'static str,
        result: store::Result<T>,
    ) -> Result<T, DeviceError> {
        result.map_err(|error| refuse(self.id, operation, &error))
    }
}

impl Device for SnapshotDevice {
    fn size_bytes(&self) -> u64 {
        self.snapshot.size_bytes()
    }

    fn read_only(&self) -> bool {
        true
    }

    fn can_multi_conn(&self) -> bool {
        true
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.check("read", self.snapshot.read(offset, buffer))?;
        let length = buffer.len() as u64;
        self.traffic.read_bytes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    fn disk_reads(&self) -> Option<u64> {
        Some(self.snapshot.disk_reads())
    }

    fn write(&self, _offset: u64, _data: &[u8], _fua: Fua) -> Result<(), DeviceError> {
        Err(frozen())
    }

    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn trim(&self, _offset: u64, _length: u64, _fua: Fua) -> Result<(), DeviceError> {
        Err(frozen())
    }

    fn zero(
        &self,
        _offset: u64,
        _length: u64,
        _flags: ZeroFlags,
        _fua: Fua,
    ) -> Result<(), DeviceError> {
        Err(frozen())
    }

    fn cache(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let length = length.min(PREFETCH_BYTES_MAX);
        self.check("cache", self.snapshot.prefetch(offset, length))
    }

    fn status(&self, offset: u64, length: u64, max: usize) -> Result<Vec<Extent>, DeviceError> {
        self.check("status", self.snapshot.extents(offset, length, max))
            .map(extents)
    }
}

#[cfg(test)]
mod tests {
    use nbd::Errno;
    use store::{Error, ErrorKind};

    use super::refuse;

    #[test]
    fn a_full_pool_is_no_space_and_paths_stay_here() {
        let id = uuid::Uuid::nil();
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let told = refuse(id, "write", &Error::io("/secret/path", full));
        assert_eq!(told.errno, Errno::NoSpc);
        assert!(!told.message.contains("secret"));
        let told = refuse(id, "read", &Error::new(ErrorKind::NotFound, "x"));
        assert_eq!(told.errno, Errno::Shutdown);
    }
}
