//! The bytes of a simulated file: sparse blocks, shared between copies until written.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::disk::BLOCK_BYTES;

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Blocks of a group: a copy of a file copies one pointer for each group, a write into a shared
/// group copies this many.
const GROUP_BLOCKS: u64 = 256;

type Block = [u8; BLOCK_BYTES];

static ZEROES: LazyLock<Arc<Block>> = LazyLock::new(|| Arc::new([0; BLOCK_BYTES]));

/// Blocks in a row; `None` is a hole.
#[derive(Clone)]
struct Group([Option<Arc<Block>>; GROUP_BLOCKS as usize]);

impl Default for Group {
    fn default() -> Self {
        Self([const { None }; GROUP_BLOCKS as usize])
    }
}

/// A change of a file's bytes.
#[derive(Clone, Debug)]
pub(super) enum ContentChange {
    Write { offset: u64, data: Arc<[u8]> },
    SetLen(u64),
    Allocate { offset: u64, len: u64 },
    Punch { offset: u64, len: u64 },
}

/// Length and blocks of a file.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    groups: BTreeMap<u64, Arc<Group>>,
    allocated: u64,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Space taken, in bytes.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.allocated * BLOCK
    }

    /// How many bytes of blocks `change` would add.
    pub(super) fn growth_bytes(&self, change: &ContentChange) -> u64 {
        let (offset, len) = match change {
            ContentChange::Write { offset, data } => (*offset, data.len() as u64),
            ContentChange::Allocate { offset, len } => (*offset, *len),
            ContentChange::SetLen(_) | ContentChange::Punch { .. } => (0, 0),
        };
        let missing = blocks(offset, len).filter(|&block| self.block(block).is_none());
        missing.count() as u64 * BLOCK
    }

    pub(super) fn apply(&mut self, change: &ContentChange) {
        match change {
            ContentChange::Write { offset, data } => self.write(*offset, data),
            ContentChange::SetLen(len) => self.set_len(*len),
            ContentChange::Allocate { offset, len } => self.allocate(*offset, *len),
            ContentChange::Punch { offset, len } => self.punch(*offset, *len),
        }
    }

    /// Fills `buffer`; what lies in holes or behind the end is zero.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) {
        let mut rest = buffer;
        for (block, at, len) in parts(offset, rest.len() as u64) {
            let (now, later) = rest.split_at_mut(len);
            match self.block(block) {
                Some(bytes) => now.copy_from_slice(&bytes[at..at + len]),
                None => now.fill(0),
            }
            rest = later;
        }
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let mut rest = data;
        for (block, at, len) in parts(offset, data.len() as u64) {
            let (now, later) = rest.split_at(len);
            self.write_block(block, at, now);
            rest = later;
        }
        if !data.is_empty() {
            self.len = self.len.max(offset + data.len() as u64);
        }
    }

    fn write_block(&mut self, block: u64, at: usize, data: &[u8]) {
        let slot = self.slot(block);
        let was_hole = slot.is_none();
        if data.len() == BLOCK_BYTES && data.iter().all(|&byte| byte == 0) {
            *slot = Some(Arc::clone(&ZEROES));
        } else {
            let bytes = slot.get_or_insert_with(|| Arc::clone(&ZEROES));
            Arc::make_mut(bytes)[at..at + data.len()].copy_from_slice(data);
        }
        self.allocated += u64::from(was_hole);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.punch(len, self.len.next_multiple_of(BLOCK) - len);
        }
        self.len = len;
    }

    fn allocate(&mut self, offset: u64, len: u64) {
        for block in blocks(offset, len) {
            let slot = self.slot(block);
            if slot.is_none() {
                *slot = Some(Arc::clone(&ZEROES));
                self.allocated += 1;
            }
        }
        self.len = self.len.max(offset + len);
    }

    fn punch(&mut self, offset: u64, len: u64) {
        for (block, at, len) in parts(offset, len) {
            if self.block(block).is_none() {
                continue;
            }
            if len == BLOCK_BYTES {
                *self.slot(block) = None;
                self.allocated -= 1;
            } else {
                self.write_block(block, at, &ZEROES[..len]);
            }
        }
    }

    fn block(&self, block: u64) -> Option<&Block> {
        let group = self.groups.get(&(block / GROUP_BLOCKS))?;
        group.0[(block % GROUP_BLOCKS) as usize].as_deref()
    }

    fn slot(&mut self, block: u64) -> &mut Option<Arc<Block>> {
        let group = self.groups.entry(block / GROUP_BLOCKS).or_default();
        &mut Arc::make_mut(group).0[(block % GROUP_BLOCKS) as usize]
    }
}

/// The numbers of the blocks that a range touches.
pub(super) fn blocks(offset: u64, len: u64) -> std::ops::Range<u64> {
    if len == 0 {
        return 0..0;
    }
    offset / BLOCK..(offset + len).div_ceil(BLOCK)
}

/// Block number, offset in the block and length of each block's share of a range.
fn parts(offset: u64, len: u64) -> impl Iterator<Item = (u64, usize, usize)> {
    blocks(offset, len).map(move |block| {
        let start = offset.max(block * BLOCK);
        let end = (offset + len).min((block + 1) * BLOCK);
        (block, (start % BLOCK) as usize, (end - start) as usize)
    })
}
