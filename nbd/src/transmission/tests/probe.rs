//! A device that tells how it was used.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::export::{Device, DeviceError, Errno, Extent, Fua, Transfer, ZeroFlags};
use crate::memory::MemoryDevice;

/// A RAM disk which counts syncs, remembers FUA, and can be made to fail.
pub(super) struct Probe {
    pub(super) disk: MemoryDevice,
    pub(super) syncs: AtomicU32,
    pub(super) fua: Mutex<Vec<Fua>>,
    pub(super) fails: Option<Errno>,
    /// Requests that were announced.
    pub(super) admitted: Mutex<Vec<(Transfer, u64)>>,
    /// What it was advised of.
    pub(super) cached: Mutex<Vec<(u64, u64)>>,
}

impl Probe {
    fn check(&self) -> Result<(), DeviceError> {
        self.fails
            .map_or(Ok(()), |errno| Err(DeviceError::new(errno, "it failed")))
    }
}

impl Device for Probe {
    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }
    fn read_only(&self) -> bool {
        self.disk.read_only()
    }
    fn can_multi_conn(&self) -> bool {
        true
    }
    fn admit(&self, transfer: Transfer, length: u64) -> Result<(), DeviceError> {
        self.admitted.lock().unwrap().push((transfer, length));
        Ok(())
    }
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.check()?;
        self.disk.read(offset, buffer)
    }
    fn write(&self, offset: u64, data: &[u8], fua: Fua) -> Result<(), DeviceError> {
        self.fua.lock().unwrap().push(fua);
        self.disk.write(offset, data, fua)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.check()
    }
    fn trim(&self, offset: u64, length: u64, fua: Fua) -> Result<(), DeviceError> {
        self.disk.trim(offset, length, fua)
    }
    fn zero(
        &self,
        offset: u64,
        length: u64,
        flags: ZeroFlags,
        fua: Fua,
    ) -> Result<(), DeviceError> {
        self.disk.zero(offset, length, flags, fua)
    }
    fn cache(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.cached.lock().unwrap().push((offset, length));
        self.disk.cache(offset, length)
    }
    fn status(&self, offset: u64, length: u64, most: usize) -> Result<Vec<Extent>, DeviceError> {
        self.disk.status(offset, length, most)
    }
}
