//! One segment file: where its blocks are, their checksums, and how to read them.

use std::io::IoSliceMut;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::addr::{Address, CONTAINER_SLOTS, ContainerId};
use crate::disk::{AlignedBuf, BLOCK_BYTES, Caching, Create, File, Io};
use crate::journal::format::{BatchHeader, SegmentHeader, Trailer};
use crate::journal::seals::Seals;
use crate::{Error, ErrorKind, Result};

/// Blocks that are filled ahead of small batches.
const FILL_BLOCKS: u32 = 256;

/// A segment that is being written, or waits to be packed.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    /// For writing, and for reading what the disk itself has.
    direct: Arc<dyn File>,
    /// For reading what is not in memory any more: who reads it once often reads it again.
    buffered: Arc<dyn File>,
    /// Blocks from the start that have reached the file.
    written: AtomicU32,
    /// Blocks from the start that were written in this or an earlier life.
    filled: AtomicU32,
    /// Last sequence in it; final once the segment is closed.
    last_sequence: AtomicU64,
    /// CRC32C of each block that has an address; what has none is never asked for.
    checksums: Vec<AtomicU32>,
    /// Of the blocks that are sealed; there once one was met.
    pub(super) seals: OnceLock<Seals>,
}

/// A preallocated file that is to become a segment.
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    direct: Arc<dyn File>,
    buffered: Arc<dyn File>,
    /// Blocks from the start that are known to have been written.
    filled: u32,
}

impl Spare {
    /// Creates a file of `blocks`, with real blocks.
    pub(crate) fn create(io: &dyn Io, path: PathBuf, blocks: u32) -> Result<Self> {
        let spare = Self::open(io, path, Create::New)?;
        let bytes = u64::from(blocks) * BLOCK_BYTES as u64;
        let allocated = spare.direct.allocate(0, bytes);
        if let Err(error) = allocated.and_then(|()| spare.direct.sync_data()) {
            let context = format!("preallocating {}", spare.path.display());
            // A half-made spare is of no use and holds space that others need now.
            let _ = io.remove(&spare.path);
            return Err(Error::io(context, error));
        }
        Ok(spare)
    }

    /// Opens a file left by an earlier segment.
    pub(crate) fn open(io: &dyn Io, path: PathBuf, create: Create) -> Result<Self> {
        let open = |caching, create| {
            io.open(&path, create, caching)
                .map_err(|error| Error::io(format!("opening {}", path.display()), error))
        };
        let direct = open(Caching::Direct, create)?;
        let buffered = open(Caching::Buffered, Create::Never)?;
        Ok(Self {
            path,
            direct,
            buffered,
            filled: 0,
        })
    }

    /// Reads the header of an earlier life, if there is one.
    pub(crate) fn header(&self) -> Result<Option<SegmentHeader>> {
        let length = self
            .buffered
            .len()
            .map_err(|e| Error::io("measuring a segment", e))?;
        if length < BLOCK_BYTES as u64 {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES];
        self.buffered
            .read_at(&mut block, 0)
            .map_err(|e| Error::io(format!("reading {}", self.path.display()), e))?;
        SegmentHeader::decode(&block)
    }

    /// Another handle of the same file.
    pub(crate) fn share(&self) -> Self {
        let (direct, buffered) = (Arc::clone(&self.direct), Arc::clone(&self.buffered));
        Self {
            path: self.path.clone(),
            direct,
            buffered,
            filled: self.filled,
        }
    }

    /// The segment that the batch in the first block behind the header names, if there is one.
    pub(crate) fn first_batch(&self) -> Result<Option<u64>> {
        let length = self
            .buffered
            .len()
            .map_err(|e| Error::io("measuring a segment", e))?;
        if length < 2 * BLOCK_BYTES as u64 {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES];
        self.buffered
            .read_at(&mut block, BLOCK_BYTES as u64)
            .map_err(|e| Error::io(format!("reading {}", self.path.display()), e))?;
        Ok(BatchHeader::decode(&block).map(|header| header.segment))
    }

    /// Length in blocks.
    pub(crate) fn blocks(&self) -> Result<u32> {
        let length = self
            .buffered
            .len()
            .map_err(|e| Error::io("measuring a segment", e))?;
        Ok(u32::try_from(length / BLOCK_BYTES as u64).unwrap_or(u32::MAX))
    }

    /// Makes it the segment that `header` describes.
    pub(crate) fn into_segment(self, header: SegmentHeader) -> Segment {
        let last_sequence = AtomicU64::new(header.first_sequence.saturating_sub(1));
        let checksums = (0..header.blocks).map(|_| AtomicU32::new(0)).collect();
        let (direct, buffered) = (self.direct, self.buffered);
        Segment {
            header,
            direct,
            buffered,
            written: AtomicU32::new(1),
            filled: AtomicU32::new(self.filled),
            last_sequence,
            checksums,
            seals: OnceLock::new(),
        }
    }
}

impl Segment {
    /// The file, to be used again under the given path once nobody reads the segment any more.
    pub(crate) fn recycle(&self, path: PathBuf) -> Spare {
        Spare {
            path,
            direct: Arc::clone(&self.direct),
            buffered: Arc::clone(&self.buffered),
            filled: self.filled.load(Ordering::Relaxed).max(self.written()),
        }
    }

    /// Windows of 4 MiB, each a logical container.
    pub(crate) fn windows(&self) -> u64 {
        u64::from(self.header.blocks.div_ceil(CONTAINER_SLOTS))
    }

    /// Size of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.header.blocks) * BLOCK_BYTES as u64
    }

    /// Bytes that batches take; final once the segment is ended.
    pub(crate) fn used_bytes(&self) -> u64 {
        u64::from(self.written()) * BLOCK_BYTES as u64
    }

    /// Blocks that batches may use: behind the header, before the closing directory.
    pub(crate) fn end_block(&self) -> u32 {
        self.header.blocks - Trailer::reserved_blocks(self.header.blocks)
    }

    /// The address of a block.
    pub(crate) fn address(&self, block: u32) -> Address {
        let window = u64::from(block / CONTAINER_SLOTS);
        Address::new(
            ContainerId(self.header.first_container + window),
            block % CONTAINER_SLOTS,
        )
    }

    /// The block behind an address of this segment.
    pub(crate) fn block_of(&self, address: Address) -> Option<u32> {
        let window = address
            .container()
            .0
            .checked_sub(self.header.first_container)?;
        let block = window * u64::from(CONTAINER_SLOTS) + u64::from(address.slot());
        u32::try_from(block)
            .ok()
            .filter(|block| *block < self.header.blocks)
    }

    /// Blocks from the start that can be read from the file.
    pub(crate) fn written(&self) -> u32 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn set_written(&self, blocks: u32) {
        self.written.store(blocks, Ordering::Release);
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Acquire)
    }

    pub(crate) fn set_last_sequence(&self, sequence: u64) {
        self.last_sequence.store(sequence, Ordering::Release);
    }

    /// Notes the checksums of consecutive blocks. Whoever can learn their addresses must learn them
    /// after this call, through a lock.
    pub(crate) fn set_checksums(&self, first_block: u32, checksums: &[u32]) {
        let slots = self.checksums.iter().skip(first_block as usize);
        for (slot, checksum) in slots.zip(checksums) {
            slot.store(*checksum, Ordering::Relaxed);
        }
    }

    /// Reads bytes of the file without looking at checksums.
    pub(crate) fn read_bytes(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.buffered
            .read_at(out, offset)
            .map_err(|e| Error::io(format!("reading journal segment {}", self.header.number), e))
    }

    /// Begins to fetch blocks into the page cache.
    pub(crate) fn prefetch(&self, first_block: u32, blocks: u32) {
        let block = BLOCK_BYTES as u64;
        self.buffered
            .will_read(u64::from(first_block) * block, u64::from(blocks) * block);
    }

    /// Waits until a block that was announced is there. Whoever reads it finds out what is wrong.
    pub(crate) fn wait_for(&self, block: u32) {
        let mut found = [0; BLOCK_BYTES];
        let _ = self.read_raw(block, &mut found);
    }

    /// Reads whole blocks past the page cache, into memory that is aligned to a block. What a failed
    /// sync has left in the cache may never have reached the disk, and recovery must not take it for
    /// written.
    pub(crate) fn read_from_disk(&self, first_block: u32, out: &mut [u8]) -> Result<()> {
        let offset = u64::from(first_block) * BLOCK_BYTES as u64;
        self.direct
            .read_at(out, offset)
            .map_err(|e| Error::io(format!("reading journal segment {}", self.header.number), e))
    }

    fn read_raw(&self, first_block: u32, out: &mut [u8]) -> Result<()> {
        self.read_bytes(u64::from(first_block) * BLOCK_BYTES as u64, out)
    }

    /// Reads data blocks if the page cache has them, undamaged.
    pub(crate) fn read_cached(&self, first_block: u32, out: &mut [u8]) -> bool {
        let offset = u64::from(first_block) * BLOCK_BYTES as u64;
        let cached = self
            .buffered
            .read_cached_at(&mut [IoSliceMut::new(out)], offset);
        cached && self.verify_all(first_block, out).is_ok()
    }

    /// Reads data blocks that have reached the file and checks each. Damage may lie in the page cache
    /// or on the way from the disk, so it is believed only when the disk itself says so once more.
    pub(crate) fn read(&self, first_block: u32, out: &mut [u8]) -> Result<()> {
        self.read_raw(first_block, out)?;
        let Err(damage) = self.verify_all(first_block, out) else {
            return Ok(());
        };
        let mut again = AlignedBuf::zeroed(out.len());
        self.read_from_disk(first_block, &mut again)?;
        self.verify_all(first_block, &again)?;
        tracing::warn!(%damage, "the page cache was wrong, the disk is right");
        out.copy_from_slice(&again);
        Ok(())
    }

    /// Checks blocks against the checksums of their records.
    pub(crate) fn verify_all(&self, first_block: u32, data: &[u8]) -> Result<()> {
        let chunks = data.chunks_exact(BLOCK_BYTES).enumerate();
        chunks
            .into_iter()
            .try_for_each(|(index, chunk)| self.verify(first_block + index as u32, chunk))
    }

    fn verify(&self, block: u32, chunk: &[u8]) -> Result<()> {
        let expected = self
            .checksums
            .get(block as usize)
            .map(|slot| slot.load(Ordering::Relaxed))
            .unwrap_or_default();
        let found = crc32c::crc32c(chunk);
        if expected == found {
            return Ok(());
        }
        let number = self.header.number;
        Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "journal segment {number}, block {block}: checksum {found:#010x}, expected {expected:#010x}"
            ),
        ))
    }

    /// Writes whole blocks past the page cache.
    pub(crate) fn write(&self, first_block: u32, data: &AlignedBuf) -> Result<()> {
        self.direct
            .write_at(data, u64::from(first_block) * BLOCK_BYTES as u64)
            .map_err(|e| Error::io(format!("writing journal segment {}", self.header.number), e))
    }

    /// Writes zeroes behind what is written, where nothing was ever written: a first write changes
    /// the file system's metadata, and the sync that makes it durable costs that of a journal of its
    /// own. To be called before such a sync, by the one thread that writes. Nothing depends on it, so
    /// a failure is not one of the journal.
    pub(crate) fn fill_ahead(&self) {
        let written = self.written();
        if self.filled.load(Ordering::Relaxed) > written {
            return;
        }
        let blocks = FILL_BLOCKS.min(self.header.blocks.saturating_sub(written));
        let zeroes = AlignedBuf::zeroed(blocks as usize * BLOCK_BYTES);
        if self.write(written, &zeroes).is_ok() {
            self.filled.store(written + blocks, Ordering::Relaxed);
        }
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.direct
            .sync_data()
            .map_err(|e| Error::io(format!("syncing journal segment {}", self.header.number), e))
    }

    /// Writes the header block.
    pub(crate) fn write_header(&self) -> Result<()> {
        let mut block = AlignedBuf::with_capacity(BLOCK_BYTES);
        block.extend_from_slice(&self.header.encode());
        self.write(0, &block)
    }

    /// Writes the closing directory.
    pub(crate) fn write_trailer(&self, used_blocks: u32) -> Result<()> {
        let reserved = Trailer::reserved_blocks(self.header.blocks) as usize;
        let mut region = AlignedBuf::with_capacity(reserved * BLOCK_BYTES);
        region.resize(BLOCK_BYTES);
        for slot in &self.checksums {
            region.extend_from_slice(&slot.load(Ordering::Relaxed).to_le_bytes());
        }
        region.resize(reserved * BLOCK_BYTES);
        let trailer = Trailer {
            segment: self.header.number,
            epoch: self.header.epoch,
            last_sequence: self.last_sequence(),
            used_blocks,
            directory_checksum: crc32c::crc32c(&region[BLOCK_BYTES..]),
        };
        region[..BLOCK_BYTES].copy_from_slice(&trailer.encode());
        self.write(self.end_block(), &region)
    }

    /// Makes sure that an ended segment has its closing directory, durably. One that outlives younger
    /// segments needs it: nothing else tells the next opening that they are missing for a reason, and
    /// that of a crash may name batches that were not recovered.
    pub(crate) fn ensure_trailer(&self) -> Result<()> {
        let trailer = self.load_trailer()?;
        if trailer.is_none_or(|trailer| trailer.last_sequence != self.last_sequence()) {
            self.write_trailer(self.written())?;
            self.sync()?;
        }
        Ok(())
    }

    /// Reads the closing directory; `None` when the segment was not closed, or not by this life.
    pub(crate) fn load_trailer(&self) -> Result<Option<Trailer>> {
        let reserved = Trailer::reserved_blocks(self.header.blocks) as usize;
        let mut region = vec![0; reserved * BLOCK_BYTES];
        self.read_raw(self.end_block(), &mut region)?;
        let (head, directory) = region.split_at(BLOCK_BYTES);
        let head: &[u8; BLOCK_BYTES] = head.try_into().expect("split at a block");
        let Some(trailer) = Trailer::decode(head) else {
            return Ok(None);
        };
        if trailer.segment != self.header.number
            || trailer.epoch != self.header.epoch
            || trailer.directory_checksum != crc32c::crc32c(directory)
        {
            return Ok(None);
        }
        for (slot, bytes) in self.checksums.iter().zip(directory.chunks_exact(4)) {
            let mut checksum = [0; 4];
            checksum.copy_from_slice(bytes);
            slot.store(u32::from_le_bytes(checksum), Ordering::Relaxed);
        }
        Ok(Some(trailer))
    }
}
