//! A RAM disk: for tests, for examples, and for measuring what the protocol alone can do.

use std::sync::{PoisonError, RwLock};

use crate::export::{Device, DeviceError, Extent, Fua, ZeroFlags};

/// Allocation unit, each with a lock of its own.
const PAGE: usize = 64 << 10;

type Page = RwLock<Option<Box<[u8]>>>;

/// A sparse device in memory. What was never written, trimmed or zeroed takes no memory.
pub struct MemoryDevice {
    size_bytes: u64,
    read_only: bool,
    pages: Vec<Page>,
}

impl MemoryDevice {
    /// A device of zeroes.
    pub fn new(size_bytes: u64) -> Self {
        let count = size_bytes.div_ceil(PAGE as u64);
        let pages = (0..count).map(|_| RwLock::new(None)).collect();
        MemoryDevice {
            size_bytes,
            read_only: false,
            pages,
        }
    }

    /// The same, refusing changes.
    #[must_use]
    pub fn into_read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Calls `visit` with each page that the range touches, the range within it, and how many
    /// bytes came before.
    fn visit(
        &self,
        offset: u64,
        length: u64,
        mut visit: impl FnMut(&Page, std::ops::Range<usize>, usize),
    ) {
        let mut done = 0;
        while done < length {
            let at = offset + done;
            let within = (at % PAGE as u64) as usize;
            let taken = (PAGE - within).min((length - done).min(PAGE as u64) as usize);
            if let Some(page) = self.pages.get((at / PAGE as u64) as usize) {
                visit(page, within..within + taken, done as usize);
            }
            done += taken as u64;
        }
    }

    fn clear(&self, offset: u64, length: u64) {
        self.visit(offset, length, |page, range, _| {
            let mut page = page.write().unwrap_or_else(PoisonError::into_inner);
            if range.len() == PAGE {
                *page = None;
            } else if let Some(bytes) = page.as_mut() {
                bytes[range].fill(0);
            }
        });
    }
}

impl Device for MemoryDevice {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn can_multi_conn(&self) -> bool {
        true
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.visit(offset, buffer.len() as u64, |page, range, before| {
            let target = &mut buffer[before..before + range.len()];
            match page.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
                Some(bytes) => target.copy_from_slice(&bytes[range]),
                None => target.fill(0),
            }
        });
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8], _: Fua) -> Result<(), DeviceError> {
        self.visit(offset, data.len() as u64, |page, range, before| {
            let source = &data[before..before + range.len()];
            let mut page = page.write().unwrap_or_else(PoisonError::into_inner);
            let bytes = page.get_or_insert_with(|| vec![0; PAGE].into_boxed_slice());
            bytes[range].copy_from_slice(source);
        });
        Ok(())
    }

    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn trim(&self, offset: u64, length: u64, _: Fua) -> Result<(), DeviceError> {
        self.clear(offset, length);
        Ok(())
    }

    fn zero(&self, offset: u64, length: u64, flags: ZeroFlags, _: Fua) -> Result<(), DeviceError> {
        self.clear(offset, length);
        if flags.no_hole {
            self.visit(offset, length, |page, _, _| {
                let mut page = page.write().unwrap_or_else(PoisonError::into_inner);
                page.get_or_insert_with(|| vec![0; PAGE].into_boxed_slice());
            });
        }
        Ok(())
    }

    fn cache(&self, _: u64, _: u64) -> Result<(), DeviceError> {
        Ok(())
    }

    fn status(
        &self,
        offset: u64,
        length: u64,
        max_extents: usize,
    ) -> Result<Vec<Extent>, DeviceError> {
        let mut extents: Vec<Extent> = Vec::new();
        self.visit(offset, length, |page, range, _| {
            let hole = page
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none();
            match extents.last_mut() {
                Some(last) if last.hole == hole => last.length += range.len() as u64,
                _ => extents.push(Extent {
                    length: range.len() as u64,
                    hole,
                    zero: hole,
                }),
            }
        });
        extents.truncate(max_extents);
        Ok(extents)
    }
}
