//! The metadata file as redb uses it, with every page checked on its way from the disk.

use std::fmt;
use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use super::front::{Front, HEADER_BYTES, Header, Page, REDB_MAGIC_BYTES};
use super::sums::Sums;
use crate::disk::{AlignedBuf, BLOCK_BYTES, File, RedbFile};

/// Files that were only begun are smaller.
const UNBORN_BYTES_MAX: u64 = 16 << 20;

/// redb's storage over a file and the sums of its pages.
pub(super) struct CheckedFile {
    inner: RedbFile,
    /// For a second look, past the page cache.
    direct: Arc<dyn File>,
    sums: Arc<Sums>,
}

impl fmt::Debug for CheckedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckedFile")
    }
}

fn damaged(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The page at `offset`, of a range that must be whole pages.
fn page_at(offset: u64, len: usize) -> io::Result<usize> {
    let together = offset | len as u64;
    if offset == 0 || !together.is_multiple_of(BLOCK_BYTES as u64) {
        let message = format!("{len} bytes at {offset} are no pages");
        return Err(damaged(message));
    }
    Ok((offset / BLOCK_BYTES as u64) as usize)
}

impl CheckedFile {
    /// Looks at redb's header in `file`, puts it back if it is damaged, and begins anew where the
    /// making of the file was cut short. Sums that are not `trusted` are learnt.
    pub(super) fn open(
        inner: RedbFile,
        direct: Arc<dyn File>,
        sums: Arc<Sums>,
        trusted: bool,
    ) -> io::Result<Self> {
        let opened = Self {
            inner,
            direct,
            sums,
        };
        let Some(page) = opened.first_page()? else {
            opened.begin_anew()?;
            return Ok(opened);
        };
        match Front::decode(&page) {
            Some(front) => {
                let restored = front.restored;
                opened.sums.load(front, trusted)?;
                if restored {
                    let sums = &opened.sums;
                    sums.remark("meta.redb: the header was damaged; its copy has been put back");
                    opened.write_front()?;
                }
            }
            // Of a pool that had no sums.
            None if !trusted => {
                let mut front = Front::unwritten();
                front.header.copy_from_slice(&page[..HEADER_BYTES]);
                opened.sums.load(front, trusted)?;
            }
            None => return Err(damaged("meta.redb: the first page is damaged".to_owned())),
        }
        Ok(opened)
    }

    /// The first page; `None` in a file whose making was cut short.
    fn first_page(&self) -> io::Result<Option<Page>> {
        let len = self.inner.len()?;
        let mut page = [0; BLOCK_BYTES];
        if len >= BLOCK_BYTES as u64 {
            self.inner.read(0, &mut page)?;
            if !self.is_unborn(&page, len)? {
                return Ok(Some(page));
            }
        }
        if self.sums.is_written()? {
            return Err(damaged("meta.redb: missing, or cut off".to_owned()));
        }
        Ok(None)
    }

    /// redb writes its magic number after everything else is durable, refuses a file without it, and
    /// writes no other page before.
    fn is_unborn(&self, page: &Page, len: u64) -> io::Result<bool> {
        if page[..REDB_MAGIC_BYTES] != [0; REDB_MAGIC_BYTES] || len > UNBORN_BYTES_MAX {
            return Ok(false);
        }
        let mut rest = vec![0; len as usize - BLOCK_BYTES];
        self.inner.read(BLOCK_BYTES as u64, &mut rest)?;
        Ok(rest.iter().all(|byte| *byte == 0))
    }

    fn begin_anew(&self) -> io::Result<()> {
        self.sums.reset()?;
        if self.inner.len()? > 0 {
            self.inner.set_len(0)?;
            self.inner.sync_data()?;
        }
        Ok(())
    }

    /// Writes the first page and makes it, and all written before, durable.
    fn write_front(&self) -> io::Result<()> {
        self.sums.make_list_fit()?;
        let entries = self.sums.write_front(|page| self.inner.write(0, page))?;
        self.inner.sync_data()?;
        self.sums.note_durable(entries);
        Ok(())
    }

    fn check_pages(&self, page: usize, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let Some((wrong, found, expected)) = self.sums.read().wrong(page, out) else {
            return Ok(());
        };
        let mut again = AlignedBuf::zeroed(out.len());
        self.direct.read_at(&mut again, offset)?;
        if self.sums.read().wrong(page, &again).is_none() {
            tracing::warn!(
                page = wrong,
                "meta.redb: the page cache was wrong, the disk is right"
            );
            out.copy_from_slice(&again);
            return Ok(());
        }
        let message =
            format!("meta.redb: page {wrong}: checksum {found:08x}, expected {expected:08x}");
        Err(damaged(message))
    }
}

impl StorageBackend for CheckedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 && out.len() <= HEADER_BYTES {
            // It was checked when the file was opened.
            out.copy_from_slice(&self.sums.read().header()[..out.len()]);
            return Ok(());
        }
        self.inner.read(offset, out)?;
        let page = page_at(offset, out.len())?;
        self.check_pages(page, offset, out)?;
        if self.sums.read().is_learning() {
            self.sums.write().note(page, out);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let pages = len.div_ceil(BLOCK_BYTES as u64);
        self.sums.make_room(pages)?;
        self.inner.set_len(len)?;
        self.sums.write().cut(pages as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.sums.read().header_waits() {
            return self.write_front();
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 {
            let header = Header::try_from(data).map_err(|_| damaged("no header".to_owned()))?;
            // redb writes pages in any order before it syncs: the sums of those go with the header.
            self.sums.put_header(header);
            return Ok(());
        }
        let page = page_at(offset, data.len())?;
        // Held over the write, so that scrub never sees one without the other.
        let mut table = self.sums.write();
        self.inner.write(offset, data)?;
        table.note(page, data);
        Ok(())
    }
}
