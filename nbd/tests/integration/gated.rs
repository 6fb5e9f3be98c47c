//! A disk that answers writes when it is told to.

use std::sync::{Arc, Condvar, Mutex};

use nbd::{Device, DeviceError, Extent, Fua, MemoryDevice, ZeroFlags};

use crate::fixture::{PATIENCE, SIZE};

/// A disk whose writes wait at a gate, and which counts flushes.
#[derive(Clone)]
pub(crate) struct Gated(Arc<Gate>);

struct Gate {
    disk: MemoryDevice,
    state: Mutex<(bool, u32, u32)>,
    changed: Condvar,
}

impl Gated {
    pub(crate) fn new() -> Self {
        let disk = MemoryDevice::new(SIZE);
        Gated(Arc::new(Gate {
            disk,
            state: Mutex::new((false, 0, 0)),
            changed: Condvar::new(),
        }))
    }

    pub(crate) fn open(&self) {
        self.0.state.lock().unwrap().0 = true;
        self.0.changed.notify_all();
    }

    pub(crate) fn waiting(&self) -> u32 {
        self.0.state.lock().unwrap().1
    }

    pub(crate) fn flushes(&self) -> u32 {
        self.0.state.lock().unwrap().2
    }
}

impl Device for Gated {
    fn size_bytes(&self) -> u64 {
        SIZE
    }
    fn read_only(&self) -> bool {
        false
    }
    fn can_multi_conn(&self) -> bool {
        true
    }
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.0.disk.read(offset, buffer)
    }
    fn write(&self, offset: u64, data: &[u8], fua: Fua) -> Result<(), DeviceError> {
        let mut state = self.0.state.lock().unwrap();
        state.1 += 1;
        let open = self
            .0
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.0);
        drop(open.unwrap());
        self.0.disk.write(offset, data, fua)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        self.0.state.lock().unwrap().2 += 1;
        Ok(())
    }
    fn trim(&self, offset: u64, length: u64, fua: Fua) -> Result<(), DeviceError> {
        self.0.disk.trim(offset, length, fua)
    }
    fn zero(
        &self,
        offset: u64,
        length: u64,
        flags: ZeroFlags,
        fua: Fua,
    ) -> Result<(), DeviceError> {
        self.0.disk.zero(offset, length, flags, fua)
    }
    fn cache(&self, _: u64, _: u64) -> Result<(), DeviceError> {
        Ok(())
    }
    fn status(&self, offset: u64, length: u64, most: usize) -> Result<Vec<Extent>, DeviceError> {
        self.0.disk.status(offset, length, most)
    }
}
