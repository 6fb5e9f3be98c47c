//! Looking at the pages of the metadata file, for scrub.

use std::io;

use super::sums::Sums;
use crate::disk::{AlignedBuf, BLOCK_BYTES, File};

/// What a look at some pages gave.
pub(crate) struct LookedAt {
    /// Pages that were compared.
    pub(crate) pages: u64,
    /// Those that are not what was written.
    pub(crate) wrong: Vec<WrongPage>,
    /// Whether there are pages behind.
    pub(crate) more: bool,
}

/// A damaged page.
pub(crate) struct WrongPage {
    /// Its number in the file.
    pub(crate) page: usize,
    /// Which, and both checksums.
    pub(crate) message: String,
    /// Whether it was written again.
    pub(crate) repaired: bool,
}

/// Offset of a page.
fn offset(page: usize) -> u64 {
    page as u64 * BLOCK_BYTES as u64
}

impl Sums {
    /// Looks at `count` pages from `from` on.
    pub(super) fn check_pages(
        &self,
        data: &dyn File,
        direct: &dyn File,
        from: usize,
        count: usize,
        may_repair: bool,
    ) -> io::Result<LookedAt> {
        let file_pages = (data.len()? / BLOCK_BYTES as u64) as usize;
        let end = self.read().pages().min(file_pages);
        let to = end.min(from.saturating_add(count));
        let mut looked = LookedAt {
            pages: 0,
            wrong: Vec::new(),
            more: to < end,
        };
        if from == 0 {
            let front = self.check_front(data, direct, may_repair)?;
            looked.wrong.extend(front);
            looked.wrong.extend(self.check_file(may_repair)?);
        }
        if from >= to {
            return Ok(looked);
        }
        let mut bytes = AlignedBuf::zeroed((to - from) * BLOCK_BYTES);
        let read = direct.read_at(&mut bytes, offset(from));
        // It was cut off meanwhile, or a sector does not read: page by page tells.
        let whole = read.is_ok();
        for (page, bytes) in (from..to).zip(bytes.chunks_exact(BLOCK_BYTES)) {
            if !self.read().knows(page) {
                continue;
            }
            looked.pages += 1;
            if !whole || self.read().wrong(page, bytes).is_some() {
                looked
                    .wrong
                    .extend(self.look_again(data, direct, page, may_repair)?);
            }
        }
        Ok(looked)
    }

    /// Forgets the sum of a page that is not what was written, and that nothing refers to.
    pub(super) fn forget(&self, direct: &dyn File, page: usize) -> io::Result<()> {
        let mut table = self.write();
        let mut bytes = AlignedBuf::zeroed(BLOCK_BYTES);
        let read = direct.read_at(&mut bytes, offset(page));
        if read.is_err() || table.wrong(page, &bytes).is_some() {
            table.forget(page);
        }
        Ok(())
    }

    /// Compares the first page with what was written there last.
    fn check_front(
        &self,
        data: &dyn File,
        direct: &dyn File,
        may_repair: bool,
    ) -> io::Result<Option<WrongPage>> {
        let mut table = self.write();
        let mut bytes = AlignedBuf::zeroed(BLOCK_BYTES);
        let read = direct.read_at(&mut bytes, 0);
        let page = bytes.first_chunk().filter(|_| read.is_ok());
        if page.is_some_and(|page| table.has_front(page)) {
            return Ok(None);
        }
        let repaired = may_repair && data.write_at(&table.front_page(), 0).is_ok();
        if repaired {
            data.sync_data()?;
        }
        Ok(Some(WrongPage {
            page: 0,
            message: "meta.redb, page 0: the header is damaged".to_owned(),
            repaired,
        }))
    }

    /// Looks at a page while nobody writes it.
    fn look_again(
        &self,
        data: &dyn File,
        direct: &dyn File,
        page: usize,
        may_repair: bool,
    ) -> io::Result<Option<WrongPage>> {
        let table = self.write();
        if !table.knows(page) || offset(page + 1) > data.len()? {
            return Ok(None);
        }
        let mut bytes = AlignedBuf::zeroed(BLOCK_BYTES);
        let what = match direct.read_at(&mut bytes, offset(page)) {
            Ok(()) => match table.wrong(page, &bytes) {
                None => return Ok(None),
                Some((_, found, expected)) => {
                    format!("checksum {found:08x}, expected {expected:08x}")
                }
            },
            Err(error) => error.to_string(),
        };
        let mut cached = vec![0; BLOCK_BYTES];
        let known =
            data.read_at(&mut cached, offset(page)).is_ok() && table.wrong(page, &cached).is_none();
        let mut repaired = false;
        if may_repair && known && data.write_at(&cached, offset(page)).is_ok() {
            data.sync_data()?;
            repaired = direct.read_at(&mut bytes, offset(page)).is_ok()
                && table.wrong(page, &bytes).is_none();
        }
        let message = format!("meta.redb, page {page}: {what}");
        Ok(Some(WrongPage {
            page,
            message,
            repaired,
        }))
    }
}
