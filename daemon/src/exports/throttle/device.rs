//! A block device whose requests pass a throttle first.

use std::sync::Arc;

use nbd::{BlockSizes, Device, DeviceError, Errno, Extent, Fua, StopToken, Transfer, ZeroFlags};

use super::Throttle;
use super::meters::{Direction, Operation};

/// A device held to the limits of its volume.
pub(in crate::exports) struct ThrottledDevice {
    /// What does the work.
    pub(in crate::exports) device: Arc<dyn Device>,
    /// The limits, shared by all connections of the volume.
    pub(in crate::exports) throttle: Arc<Throttle>,
    /// Tells that the connection is to end.
    pub(in crate::exports) stop: StopToken,
}

impl ThrottledDevice {
    fn pass(&self, direction: Direction, bytes: u64) -> Result<(), DeviceError> {
        let operation = Operation { direction, bytes };
        match self.throttle.pass(operation, &self.stop) {
            true => Ok(()),
            false => Err(DeviceError::new(
                Errno::Shutdown,
                "the export was withdrawn",
            )),
        }
    }
}

impl Device for ThrottledDevice {
    fn size_bytes(&self) -> u64 {
        self.device.size_bytes()
    }

    fn read_only(&self) -> bool {
        self.device.read_only()
    }

    fn block_sizes(&self) -> BlockSizes {
        self.device.block_sizes()
    }

    fn can_multi_conn(&self) -> bool {
        self.device.can_multi_conn()
    }

    fn admit(&self, transfer: Transfer, length: u64) -> Result<(), DeviceError> {
        let direction = match transfer {
            Transfer::Read => Direction::Read,
            Transfer::Write => Direction::Write,
        };
        self.pass(direction, length)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.device.read(offset, buffer)
    }

    fn disk_reads(&self) -> Option<u64> {
        self.device.disk_reads()
    }

    fn write(&self, offset: u64, data: &[u8], fua: Fua) -> Result<(), DeviceError> {
        self.device.write(offset, data, fua)
    }

    fn flush(&self) -> Result<(), DeviceError> {
        // Moves no data of its own: what it makes stable was counted when it was written.
        self.device.flush()
    }

    fn trim(&self, offset: u64, length: u64, fua: Fua) -> Result<(), DeviceError> {
        self.pass(Direction::Write, 0)?;
        self.device.trim(offset, length, fua)
    }

    fn zero(
        &self,
        offset: u64,
        length: u64,
        flags: ZeroFlags,
        fua: Fua,
    ) -> Result<(), DeviceError> {
        self.pass(Direction::Write, 0)?;
        self.device.zero(offset, length, flags, fua)
    }

    fn cache(&self, _offset: u64, _length: u64) -> Result<(), DeviceError> {
        // An advice, which would fetch from the disk past the limit.
        Ok(())
    }

    fn status(&self, offset: u64, length: u64, max: usize) -> Result<Vec<Extent>, DeviceError> {
        self.device.status(offset, length, max)
    }
}
