//! Checksums of the pages of the metadata file: in the file `meta.sums` beside it, and those that are
//! newer in its first page.
//!
//! redb looks at its own checksums only while it repairs. Here every page has a CRC32C that is noted
//! when the page is written and compared whenever it is read from the disk, so that damage is an
//! error and never another row, a row missed, or an older one. redb's header, which it writes in
//! place, has a checksum of its own and two copies, one of which takes its place when it is damaged.
//!
//! What makes it safe over a power loss: redb never writes a page that a durable commit refers to,
//! and a commit counts once a header says so that is written after a sync of everything before.
//! The sums of pages that changed travel in the first page with each header, under the same sync;
//! `meta.sums` takes them over, with a sync of its own, when that page is full. So the sums of a
//! commit are durable before it counts, and a sum that is newer or older than its page after a crash
//! is one of a page that nothing refers to. No commit that changes few pages costs another sync.
//!
//! Where the sums are missing or damaged themselves, they are learnt anew from a walk over the
//! metadata that redb checks by its own means. ARCHITECTURE.md has the format.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::StorageBackend;

use super::front::{Front, Header, LIST_MAX, Page};
use super::pages::WrongPage;
use crate::disk::{BLOCK_BYTES, RedbFile};
use crate::journal::poisoned;

/// A part that a disk writes as a whole: a torn write leaves some of these new and the others old.
const UNIT_BYTES: usize = 512;
/// Sums in a unit; the last four bytes are the unit's own.
const UNIT_SUMS: usize = UNIT_BYTES / 4 - 1;
const UNITS_IN_BLOCK: usize = BLOCK_BYTES / UNIT_BYTES;
/// Sums in what is written at once.
const BLOCK_SUMS: usize = UNIT_SUMS * UNITS_IN_BLOCK;
/// Stands for a page of which nothing is known.
const UNKNOWN: u32 = 0;

/// The sum of a page as it is kept: never [`UNKNOWN`].
fn sum_of(page: &[u8]) -> u32 {
    crc32c::crc32c(page).max(1)
}

/// What is known of the pages.
pub(super) struct Table {
    sums: Vec<u32>,
    /// Pages whose sums changed since `meta.sums` took over the others, by when they first did.
    recent: Vec<u32>,
    /// The same.
    is_recent: HashSet<u32>,
    /// The header, and what is said beside it.
    front: Front,
    /// Whether a header waits for the next sync to be written.
    header_waits: bool,
}

impl Table {
    fn new(front: Front) -> Self {
        Self {
            sums: Vec::new(),
            recent: Vec::new(),
            is_recent: HashSet::new(),
            front,
            header_waits: false,
        }
    }

    fn mark_recent(&mut self, page: usize) {
        // redb's files end far below.
        let page = u32::try_from(page).expect("a file has fewer pages than 2^32");
        if !self.front.trailer.learning && self.is_recent.insert(page) {
            self.recent.push(page);
        }
    }

    /// Notes the pages in `data`, which was written at `page`.
    pub(super) fn note(&mut self, page: usize, data: &[u8]) {
        let count = data.len() / BLOCK_BYTES;
        if self.sums.len() < page + count {
            self.sums.resize(page + count, UNKNOWN);
        }
        for (index, bytes) in (page..).zip(data.chunks_exact(BLOCK_BYTES)) {
            self.sums[index] = sum_of(bytes);
            self.mark_recent(index);
        }
    }

    /// The first page in `data`, read from `page` on, that is not what was written; and what its sum
    /// is and should be.
    pub(super) fn wrong(&self, page: usize, data: &[u8]) -> Option<(usize, u32, u32)> {
        let pages = (page..).zip(data.chunks_exact(BLOCK_BYTES));
        let mut sums = pages.map(|(index, bytes)| (index, sum_of(bytes), self.expected(index)));
        sums.find(|(_, found, expected)| {
            found != expected && !(self.is_learning() && *expected == UNKNOWN)
        })
    }

    fn expected(&self, page: usize) -> u32 {
        self.sums.get(page).copied().unwrap_or(UNKNOWN)
    }

    /// Whether anything is known of a page.
    pub(super) fn knows(&self, page: usize) -> bool {
        self.expected(page) != UNKNOWN
    }

    /// Knows nothing of a page any more.
    pub(super) fn forget(&mut self, page: usize) {
        if let Some(sum) = self.sums.get_mut(page) {
            *sum = UNKNOWN;
            self.mark_recent(page);
        }
    }

    /// Whether pages are believed that nothing is known of.
    pub(super) fn is_learning(&self) -> bool {
        self.front.trailer.learning
    }

    /// Pages that something may be known of.
    pub(super) fn pages(&self) -> usize {
        self.sums.len()
    }

    /// Forgets what lies behind the end.
    pub(super) fn cut(&mut self, pages: usize) {
        self.sums.truncate(pages.max(1));
    }

    /// redb's header as it was written last.
    pub(super) fn header(&self) -> &Header {
        &self.front.header
    }

    /// Whether a header waits for a sync.
    pub(super) fn header_waits(&self) -> bool {
        self.header_waits
    }

    /// Whether a first page from the disk is what was written there last.
    pub(super) fn has_front(&self, page: &Page) -> bool {
        self.header_waits || self.front.is_in(page)
    }

    /// The first page once more.
    pub(super) fn front_page(&mut self) -> Page {
        let list: Vec<(u32, u32)> = self
            .recent
            .iter()
            .map(|page| (*page, self.expected(*page as usize)))
            .collect();
        self.front.encode(&list)
    }

    /// Takes over what lies in the first page, and says whether all is there.
    fn overlay(&mut self, list: Option<Vec<(u32, u32)>>) -> bool {
        let is_whole = list.is_some();
        for (page, sum) in list.unwrap_or_default() {
            let index = page as usize;
            if self.sums.len() <= index {
                self.sums.resize(index + 1, UNKNOWN);
            }
            self.sums[index] = sum;
            self.mark_recent(index);
        }
        is_whole
    }

    fn blocks(&self) -> usize {
        self.sums.len().div_ceil(BLOCK_SUMS)
    }

    /// Blocks that `meta.sums` is to take over.
    fn changed_blocks(&self) -> BTreeSet<usize> {
        // No block is left out: one that reads as zeroes has been damaged.
        let mut blocks: BTreeSet<usize> =
            (self.front.trailer.blocks as usize..self.blocks()).collect();
        blocks.extend(self.recent.iter().map(|page| *page as usize / BLOCK_SUMS));
        blocks.retain(|block| *block < self.blocks());
        blocks
    }

    fn block(&self, block: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        for unit in block * UNITS_IN_BLOCK..(block + 1) * UNITS_IN_BLOCK {
            let start = bytes.len();
            for page in unit * UNIT_SUMS..(unit + 1) * UNIT_SUMS {
                bytes.extend_from_slice(&self.expected(page).to_le_bytes());
            }
            let crc = unit_sum(unit, &bytes[start..]);
            bytes.extend_from_slice(&crc.to_le_bytes());
        }
        bytes
    }
}

/// The sums in a unit; `None` when it is damaged.
fn sums_in(unit: usize, bytes: &[u8]) -> Option<impl Iterator<Item = u32>> {
    let (body, crc) = bytes.split_last_chunk()?;
    let sound = unit_sum(unit, body) == u32::from_le_bytes(*crc);
    let sums = body.as_chunks::<4>().0.iter();
    sound.then(|| sums.map(|sum| u32::from_le_bytes(*sum)))
}

/// The sum of a unit, which names the unit too.
fn unit_sum(unit: usize, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&(unit as u64).to_le_bytes()), body)
}

/// Bytes of `meta.sums` for a number of pages.
fn file_bytes(pages: u64) -> u64 {
    pages.div_ceil(BLOCK_SUMS as u64) * BLOCK_BYTES as u64
}

/// The sums and their file.
pub(super) struct Sums {
    file: RedbFile,
    table: RwLock<Table>,
    /// Held while the file is written.
    writing: Mutex<()>,
    /// What was found to be wrong, and mended, when the file was opened.
    notes: Mutex<Vec<String>>,
}

impl Sums {
    /// The sums in `file`, of which nothing is known yet.
    pub(super) fn new(file: RedbFile) -> Self {
        Self {
            file,
            table: RwLock::new(Table::new(Front::unwritten())),
            writing: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// Keeps a sentence for who checks the pool.
    pub(super) fn remark(&self, note: &str) {
        tracing::error!("{note}");
        let mut notes = self.notes.lock().expect(poisoned!());
        notes.push(note.to_owned());
    }

    /// What was found to be wrong when the file was opened.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.lock().expect(poisoned!()).clone()
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().expect(poisoned!())
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().expect(poisoned!())
    }

    /// Whether the file has any sums.
    pub(super) fn is_written(&self) -> io::Result<bool> {
        let mut unit = [0; UNIT_BYTES];
        if self.file.len()? < UNIT_BYTES as u64 {
            return Ok(false);
        }
        self.file.read(0, &mut unit)?;
        Ok(sums_in(0, &unit).is_some())
    }

    /// Begins with nothing, for a metadata file that is to be made.
    pub(super) fn reset(&self) -> io::Result<()> {
        *self.write() = Table::new(Front::unwritten());
        self.file.set_len(0)?;
        self.file.sync_data()
    }

    /// Takes over what belongs to the first page of the metadata; what is missing is to be learnt.
    pub(super) fn load(&self, mut front: Front, trusted: bool) -> io::Result<()> {
        let list = front.list.take();
        let trusted = trusted && !front.trailer.learning;
        let blocks = front.trailer.blocks as usize;
        let mut table = Table::new(front);
        let sums = if trusted {
            self.load_blocks(blocks)?
        } else {
            None
        };
        let is_whole = match sums {
            Some(sums) => {
                table.sums = sums;
                table.overlay(list)
            }
            None => false,
        };
        if !is_whole {
            table = Table::new(table.front);
            table.front.trailer.learning = true;
        }
        *self.write() = table;
        Ok(())
    }

    /// The sums in so many blocks of the file; `None` when one is missing or damaged.
    fn load_blocks(&self, blocks: usize) -> io::Result<Option<Vec<u32>>> {
        let mut sums = Vec::new();
        for block in 0..blocks {
            match self.load_block(block)? {
                Some(found) => sums.extend(found),
                None => return Ok(None),
            }
        }
        Ok(Some(sums))
    }

    fn load_block(&self, block: usize) -> io::Result<Option<Vec<u32>>> {
        let offset = (block * BLOCK_BYTES) as u64;
        if self.file.len()? < offset + BLOCK_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; BLOCK_BYTES];
        self.file.read(offset, &mut bytes)?;
        let mut sums = Vec::with_capacity(BLOCK_SUMS);
        for (unit, part) in (block * UNITS_IN_BLOCK..).zip(bytes.chunks_exact(UNIT_BYTES)) {
            match sums_in(unit, part) {
                Some(found) => sums.extend(found),
                None => return Ok(None),
            }
        }
        Ok(Some(sums))
    }

    /// Looks at the file itself, and writes damaged blocks again if that is allowed.
    pub(super) fn check_file(&self, may_repair: bool) -> io::Result<Vec<WrongPage>> {
        let _alone = self.writing.lock().expect(poisoned!());
        let blocks = self.read().front.trailer.blocks as usize;
        let mut wrong = Vec::new();
        for block in 0..blocks {
            if self.load_block(block)?.is_some() {
                continue;
            }
            if may_repair {
                let bytes = self.read().block(block);
                self.file.write((block * BLOCK_BYTES) as u64, &bytes)?;
                self.file.sync_data()?;
            }
            wrong.push(WrongPage {
                page: 0,
                message: format!("meta.sums, block {block}: damaged"),
                repaired: may_repair,
            });
        }
        Ok(wrong)
    }

    /// Takes room for the sums of so many pages, while a full disk may still be an answer.
    pub(super) fn make_room(&self, pages: u64) -> io::Result<()> {
        let len = file_bytes(pages);
        if self.file.len()? < len {
            self.file.set_len(len)?;
        }
        Ok(())
    }

    /// Ends learning, once redb has checked what was read: the file has all sums, which the first page
    /// is to say next.
    pub(super) fn end_learning(&self) -> io::Result<()> {
        let pages = self.read().pages() as u64;
        self.make_room(pages)?;
        self.write().front.trailer.blocks = 0;
        self.take_over()?;
        self.write().front.trailer.learning = false;
        Ok(())
    }

    /// Has the header written with the next sync.
    pub(super) fn put_header(&self, header: Header) {
        let mut table = self.write();
        table.front.header = header;
        table.header_waits = true;
    }

    /// To be called before the first page is written: makes the sums fit into it.
    pub(super) fn make_list_fit(&self) -> io::Result<()> {
        // redb waits meanwhile, and has only so many pages that it may still write on its own.
        while self.read().recent.len() > LIST_MAX {
            self.take_over()?;
        }
        Ok(())
    }

    /// Makes all sums so far durable in the file, so that the list begins anew.
    pub(super) fn take_over(&self) -> io::Result<()> {
        let _alone = self.writing.lock().expect(poisoned!());
        let (blocks, recent, count) = {
            let mut table = self.write();
            let changed = table.changed_blocks();
            let blocks: Vec<_> = changed.iter().map(|b| (*b, table.block(*b))).collect();
            table.is_recent.clear();
            let recent = std::mem::take(&mut table.recent);
            (blocks, recent, table.blocks() as u32)
        };
        let written = blocks.iter().try_for_each(|(block, bytes)| {
            let offset = (block * BLOCK_BYTES) as u64;
            self.file.write(offset, bytes)
        });
        let outcome = written.and_then(|()| self.file.sync_data());
        let mut table = self.write();
        if outcome.is_err() {
            // redb stops with the error, so this is for who only reads.
            recent
                .iter()
                .for_each(|page| table.mark_recent(*page as usize));
            return outcome;
        }
        let trailer = &mut table.front.trailer;
        trailer.epoch += 1;
        trailer.blocks = count;
        trailer.entries = 0;
        Ok(())
    }

    /// Has the first page written by `write`; gives the length of the list in it.
    pub(super) fn write_front(
        &self,
        write: impl FnOnce(&Page) -> io::Result<()>,
    ) -> io::Result<u32> {
        // Held over the write, so that scrub never sees one without the other.
        let mut table = self.write();
        let page = table.front_page();
        write(&page)?;
        table.header_waits = false;
        Ok(table.recent.len() as u32)
    }

    /// To be called after the sync that followed a first page with so long a list.
    pub(super) fn note_durable(&self, entries: u32) {
        self.write().front.trailer.entries = entries;
    }
}
