//! The bytes of pack files and containers, as ARCHITECTURE.md describes them.
//!
//! Pure: encoding writes into buffers, parsing takes slices. Parsing trusts nothing: every byte of a
//! header, directory and footer is under a checksum, every number is checked before it is used, and
//! nothing is allocated beyond what a container of 1024 slots needs.

use std::sync::Arc;

use uuid::Uuid;

use super::LocalPlace;
use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT, CONTAINER_ID_MAX, CONTAINER_SLOTS, ContainerId};
use crate::chunk::Fingerprint;
use crate::chunk::compress::Codec;
use crate::chunk::seal::{KeyId, Nonce, TAG_BYTES};
use crate::disk::BLOCK_BYTES;
use crate::ids::DomainId;

/// Version of both layouts.
const VERSION: u16 = 1;
const FILE_MAGIC: &[u8; 8] = b"CBPACK\r\n";
const HEADER_MAGIC: &[u8; 8] = b"CBCONT\r\n";
const FOOTER_MAGIC: &[u8; 8] = b"CBCEND\r\n";

/// Bytes of a pack file before its first container.
pub(crate) const FILE_HEADER_BYTES: usize = BLOCK_BYTES;
/// Bytes of a container before its first frame.
pub(crate) const HEADER_BYTES: usize = 80;
/// Bytes at the very end of a container.
pub(crate) const FOOTER_BYTES: usize = 32;
const FRAME_ENTRY_BYTES: usize = 16;
const FINGERPRINT_BYTES: usize = 16;
const BITMAP_BYTES: usize = CONTAINER_SLOTS as usize / 8;
/// Most bytes between the last frame and the end: 1024 frames, padding included.
const TAIL_BYTES_MAX: usize = CONTAINER_SLOTS as usize * (FRAME_ENTRY_BYTES + FINGERPRINT_BYTES)
    + BITMAP_BYTES
    + FOOTER_BYTES
    + BLOCK_BYTES;
/// Enough for the frames of a container, of which there are as many as slots at most.
const FRAME_NUMBER_BITS: u32 = CONTAINER_SLOTS.ilog2();
/// Set for a container whose frames are sealed.
const FEATURE_SEALED: u32 = 1;
/// Set besides for one whose frames are not numbered under its own id alone.
const FEATURE_SEALED_ANEW: u32 = 2;
/// No container is longer.
pub(crate) const CONTAINER_BYTES_MAX: usize =
    (HEADER_BYTES + CONTAINER_SLOTS as usize * (CHUNK_BYTES + TAG_BYTES) + TAIL_BYTES_MAX)
        .next_multiple_of(BLOCK_BYTES);
/// The allowed sizes of frames as powers of two: 4 to 64 KiB.
pub(crate) const FRAME_LOG2: std::ops::RangeInclusive<u8> = 12..=16;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Not of this kind at all.
    Magic,
    /// A version or incompatible feature that this program does not know.
    Unsupported,
    /// The checksum differs.
    Checksum {
        /// The one stored.
        expected: u32,
        /// The one computed.
        found: u32,
    },
    /// The named field makes no sense.
    Field(&'static str),
    /// Fewer bytes than needed.
    Short,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Bad> {
    let part = bytes.get(at..).and_then(<[u8]>::first_chunk);
    part.copied().ok_or(Bad::Short)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Bad> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Bad> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Bad> {
    array(bytes, at).map(u64::from_le_bytes)
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn check(part: &[u8], expected: u32) -> Result<(), Bad> {
    let found = crc32c::crc32c(part);
    if found == expected {
        Ok(())
    } else {
        Err(Bad::Checksum { expected, found })
    }
}

fn require(holds: bool, field: &'static str) -> Result<(), Bad> {
    if holds {
        Ok(())
    } else {
        Err(Bad::Field(field))
    }
}

/// The first block of a pack file.
pub(crate) fn encode_file_header(pool_id: [u8; 16], pack: u64) -> Vec<u8> {
    let mut block = vec![0; FILE_HEADER_BYTES];
    put(&mut block, 0, *FILE_MAGIC);
    put(&mut block, 8, VERSION.to_le_bytes());
    put(&mut block, 24, pool_id);
    put(&mut block, 40, pack.to_le_bytes());
    let crc = crc32c::crc32c(&block[..FILE_HEADER_BYTES - 4]);
    put(&mut block, FILE_HEADER_BYTES - 4, crc.to_le_bytes());
    block
}

/// Checks the first block of a pack file; gives the pool and the number of the file.
pub(crate) fn parse_file_header(block: &[u8]) -> Result<([u8; 16], u64), Bad> {
    let block: [u8; FILE_HEADER_BYTES] = array(block, 0)?;
    if block.first_chunk() != Some(FILE_MAGIC) {
        return Err(Bad::Magic);
    }
    let (body, _) = block.split_at(FILE_HEADER_BYTES - 4);
    check(body, u32_at(&block, FILE_HEADER_BYTES - 4)?)?;
    if u16_at(&block, 8)? != VERSION || u32_at(&block, 12)? != 0 {
        return Err(Bad::Unsupported);
    }
    Ok((array(&block, 24)?, u64_at(&block, 40)?))
}

/// The start of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which container it is.
    pub(crate) id: ContainerId,
    /// Whose chunks it holds.
    pub(crate) domain: DomainId,
    /// The key that its frames are sealed with.
    pub(crate) key: Option<KeyId>,
    /// The id that was taken for sealing them anew; `None` in the container's first writing.
    pub(crate) anew: Option<ContainerId>,
    /// Size of a frame as a power of two.
    pub(crate) frame_log2: u8,
    /// What frames are compressed with, where it pays.
    pub(crate) codec: Codec,
    /// Slots used, 1 to 1024.
    pub(crate) slots: u32,
    /// Where the directory starts, from the start of the container.
    pub(crate) directory_offset: u32,
    /// Length of all of it.
    pub(crate) total_len: u32,
}

impl Header {
    /// Number of frames.
    pub(crate) fn frames(&self) -> u32 {
        self.slots
            .div_ceil(1 << (u32::from(self.frame_log2) - CHUNK_SHIFT))
    }

    /// With what a frame is sealed: a nonce that no other frame has, of this writing or another.
    pub(crate) fn nonce(&self, frame: u64) -> Nonce {
        let writing = self.anew.map_or(0, |id| id.0);
        Nonce::new(self.id, writing << FRAME_NUMBER_BITS | frame)
    }

    /// Bytes behind each frame that is stored.
    pub(crate) fn tag_bytes(&self) -> usize {
        self.key.map_or(0, |_| TAG_BYTES)
    }

    fn tail_bytes(frames: usize, slots: usize) -> usize {
        frames * FRAME_ENTRY_BYTES + slots * FINGERPRINT_BYTES + BITMAP_BYTES + FOOTER_BYTES
    }

    /// Writes the header in front of the frames in `container`.
    fn encode(&self, container: &mut [u8]) {
        put(container, 0, *HEADER_MAGIC);
        put(container, 8, VERSION.to_le_bytes());
        put(container, 10, [self.frame_log2, self.codec as u8]);
        put(container, 12, self.features().to_le_bytes());
        put(container, 16, self.id.0.to_le_bytes());
        put(container, 24, *self.domain.0.as_bytes());
        put(container, 40, self.key.unwrap_or_default());
        put(container, 56, (self.slots as u16).to_le_bytes());
        let anew = self.anew.map_or(0, |id| id.0);
        put(container, 58, ((anew >> 32) as u16).to_le_bytes());
        put(container, 72, (anew as u32).to_le_bytes());
        put(container, 64, self.directory_offset.to_le_bytes());
        put(container, 68, self.total_len.to_le_bytes());
        let crc = crc32c::crc32c(&container[..HEADER_BYTES - 4]);
        put(container, HEADER_BYTES - 4, crc.to_le_bytes());
    }

    fn features(&self) -> u32 {
        let sealed = self.key.map_or(0, |_| FEATURE_SEALED);
        sealed | self.anew.map_or(0, |_| FEATURE_SEALED_ANEW)
    }

    /// Checks the start of a container.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let bytes: [u8; HEADER_BYTES] = array(bytes, 0)?;
        if bytes.first_chunk() != Some(HEADER_MAGIC) {
            return Err(Bad::Magic);
        }
        let (body, _) = bytes.split_at(HEADER_BYTES - 4);
        check(body, u32_at(&bytes, HEADER_BYTES - 4)?)?;
        let features = u32_at(&bytes, 12)?;
        let known = FEATURE_SEALED | FEATURE_SEALED_ANEW;
        if u16_at(&bytes, 8)? != VERSION || features & !known != 0 {
            return Err(Bad::Unsupported);
        }
        let key: KeyId = array(&bytes, 40)?;
        let sealed = features & FEATURE_SEALED != 0;
        require(sealed || key == [0; 16], "key id")?;
        let anew = u64::from(u16_at(&bytes, 58)?) << 32 | u64::from(u32_at(&bytes, 72)?);
        let is_anew = features & FEATURE_SEALED_ANEW != 0;
        require(is_anew == (anew != 0) && (sealed || !is_anew), "writing")?;
        let [frame_log2, codec] = array(&bytes, 10)?;
        let header = Self {
            id: ContainerId(u64_at(&bytes, 16)?),
            domain: DomainId(Uuid::from_bytes(array(&bytes, 24)?)),
            key: sealed.then_some(key),
            anew: is_anew.then_some(ContainerId(anew)),
            frame_log2,
            codec: Codec::from_byte(codec).ok_or(Bad::Unsupported)?,
            slots: u32::from(u16_at(&bytes, 56)?),
            directory_offset: u32_at(&bytes, 64)?,
            total_len: u32_at(&bytes, 68)?,
        };
        header.validate()?;
        Ok(header)
    }

    fn validate(&self) -> Result<(), Bad> {
        let ids = 1..=CONTAINER_ID_MAX;
        require(ids.contains(&self.id.0), "container id")?;
        require(self.anew.is_none_or(|id| ids.contains(&id.0)), "writing")?;
        require(FRAME_LOG2.contains(&self.frame_log2), "frame size")?;
        require((1..=CONTAINER_SLOTS).contains(&self.slots), "slots")?;
        let tags = self.frames() as usize * self.tag_bytes();
        let plain_max = HEADER_BYTES + (self.slots as usize) * CHUNK_BYTES + tags;
        let start = self.directory_offset as usize;
        require(
            (HEADER_BYTES..=plain_max).contains(&start),
            "directory offset",
        )?;
        let end = start + Self::tail_bytes(self.frames() as usize, self.slots as usize);
        require(
            self.total_len as usize == end.next_multiple_of(BLOCK_BYTES),
            "total length",
        )
    }
}

/// Where one frame is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// From the start of the container.
    pub(crate) offset: u32,
    /// Stored bytes; 0 for a frame without any live slot, which reads as zeroes.
    pub(crate) len: u32,
    /// CRC32C of the stored bytes.
    pub(crate) crc: u32,
    /// What they are.
    pub(crate) codec: Codec,
}

/// One bit a slot.
pub(crate) type SlotBits = [u64; CONTAINER_SLOTS as usize / 64];

/// Whether the bit of a slot is set.
pub(crate) fn is_set(bits: &SlotBits, slot: u32) -> bool {
    let word = bits.get(slot as usize / 64).copied().unwrap_or(0);
    word >> (slot % 64) & 1 == 1
}

/// Sets the bit of a slot.
pub(crate) fn set(bits: &mut SlotBits, slot: u32) {
    bits[slot as usize / 64] |= 1 << (slot % 64);
}

/// What a container says about its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    /// The container's header.
    pub(crate) header: Header,
    /// Its frames in order.
    pub(crate) frames: Box<[Frame]>,
    /// The name of each slot's chunk; [`Fingerprint::NONE`] where none lives.
    pub(crate) fingerprints: Arc<[Fingerprint]>,
    /// The slots that held a chunk when the container was written.
    pub(crate) live: SlotBits,
}

impl Directory {
    /// Whether the slot held a chunk when the container was written.
    pub(crate) fn is_live(&self, slot: u32) -> bool {
        is_set(&self.live, slot)
    }

    /// Length of a frame before compression; the last may be shorter than the others.
    pub(crate) fn plain_len(&self, frame: u32) -> usize {
        let start = (frame as usize) << self.header.frame_log2;
        let end = self.header.slots as usize * CHUNK_BYTES;
        end.saturating_sub(start).min(1 << self.header.frame_log2)
    }

    /// Memory taken, for caches.
    pub(crate) fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + self.frames.len() * size_of::<Frame>()
            + self.fingerprints.len() * FINGERPRINT_BYTES
    }

    /// Completes `container`, which has [`HEADER_BYTES`] set aside and the frames behind them.
    pub(crate) fn encode(&self, container: &mut Vec<u8>) {
        self.header.encode(container);
        for frame in &self.frames {
            for number in [frame.offset, frame.len, frame.crc, frame.codec as u32] {
                container.extend_from_slice(&number.to_le_bytes());
            }
        }
        for fingerprint in self.fingerprints.iter() {
            container.extend_from_slice(&fingerprint.0);
        }
        for word in self.live {
            container.extend_from_slice(&word.to_le_bytes());
        }
        let end = self.header.total_len as usize;
        container.resize(end, 0);
        put(container, end - 32, *FOOTER_MAGIC);
        put(
            container,
            end - 24,
            self.header.directory_offset.to_le_bytes(),
        );
        put(container, end - 20, self.header.total_len.to_le_bytes());
        put(container, end - 16, self.header.id.0.to_le_bytes());
        let tail = &container[self.header.directory_offset as usize..end - 4];
        let crc = crc32c::crc32c_append(crc32c::crc32c(&container[..HEADER_BYTES]), tail);
        put(container, end - 4, crc.to_le_bytes());
    }

    /// Checks the header and, from `directory_offset` to the end, the `tail` of a container.
    pub(crate) fn parse(header_bytes: &[u8], tail: &[u8]) -> Result<Self, Bad> {
        let header = Header::parse(header_bytes)?;
        let len = (header.total_len - header.directory_offset) as usize;
        let tail = tail.get(..len).ok_or(Bad::Short)?;
        check_footer(&header, header_bytes, tail)?;
        let (frames, slots) = (header.frames() as usize, header.slots as usize);
        let (entries, rest) = tail.split_at(frames * FRAME_ENTRY_BYTES);
        let (names, rest) = rest.split_at(slots * FINGERPRINT_BYTES);
        let mut live: SlotBits = [0; _];
        for (word, bytes) in live.iter_mut().zip(rest.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let directory = Self {
            frames: entries
                .as_chunks()
                .0
                .iter()
                .map(parse_frame)
                .collect::<Result<_, _>>()?,
            fingerprints: names
                .as_chunks()
                .0
                .iter()
                .map(|name| Fingerprint(*name))
                .collect(),
            live,
            header,
        };
        directory.validate()?;
        Ok(directory)
    }

    fn validate(&self) -> Result<(), Bad> {
        let mut offset = HEADER_BYTES as u32;
        for (number, frame) in (0..).zip(&self.frames) {
            let (tag, len) = (self.header.tag_bytes() as u32, frame.len);
            let whole_len = self.plain_len(number) as u32 + tag;
            require(frame.offset == offset, "frame offset")?;
            require(len <= whole_len && (len == 0 || len > tag), "frame length")?;
            let whole = frame.codec != Codec::Raw || len == whole_len || len == 0;
            require(whole, "raw frame length")?;
            let slots = self.slots_of(number);
            require(
                frame.len > 0 || !slots.into_iter().any(|slot| self.is_live(slot)),
                "live slot",
            )?;
            offset += frame.len;
        }
        require(offset == self.header.directory_offset, "frames' end")?;
        let past = (self.header.slots..CONTAINER_SLOTS).any(|slot| self.is_live(slot));
        require(!past, "live bitmap")
    }

    pub(super) fn slots_of(&self, frame: u32) -> std::ops::Range<u32> {
        let shift = u32::from(self.header.frame_log2) - CHUNK_SHIFT;
        (frame << shift)..((frame + 1) << shift).min(self.header.slots)
    }
}

fn check_footer(header: &Header, header_bytes: &[u8], tail: &[u8]) -> Result<(), Bad> {
    let footer = tail.len().checked_sub(FOOTER_BYTES).ok_or(Bad::Short)?;
    if array(tail, footer)? != *FOOTER_MAGIC {
        return Err(Bad::Magic);
    }
    let (body, crc) = tail.split_at(tail.len() - 4);
    let start: [u8; HEADER_BYTES] = array(header_bytes, 0)?;
    let found = crc32c::crc32c_append(crc32c::crc32c(&start), body);
    let expected = u32_at(crc, 0)?;
    if found != expected {
        return Err(Bad::Checksum { expected, found });
    }
    require(
        u32_at(tail, footer + 8)? == header.directory_offset,
        "footer's directory offset",
    )?;
    require(
        u32_at(tail, footer + 12)? == header.total_len,
        "footer's total length",
    )?;
    require(
        u64_at(tail, footer + 16)? == header.id.0,
        "footer's container id",
    )
}

fn parse_frame(entry: &[u8; FRAME_ENTRY_BYTES]) -> Result<Frame, Bad> {
    let codec = u8::try_from(u32_at(entry, 12)?).ok();
    Ok(Frame {
        offset: u32_at(entry, 0)?,
        len: u32_at(entry, 4)?,
        crc: u32_at(entry, 8)?,
        codec: codec.and_then(Codec::from_byte).ok_or(Bad::Unsupported)?,
    })
}

/// Length of a container whose directory starts at `directory_offset`.
pub(crate) fn total_len(directory_offset: usize, frames: usize, slots: usize) -> usize {
    (directory_offset + Header::tail_bytes(frames, slots)).next_multiple_of(BLOCK_BYTES)
}

/// Whether a place can be one of a container at all.
pub(crate) fn is_plausible(place: &LocalPlace) -> bool {
    let block = BLOCK_BYTES as u64;
    place.offset >= FILE_HEADER_BYTES as u64
        && place.offset.is_multiple_of(block)
        && place.offset < u64::MAX / 2
        && u64::from(place.len).is_multiple_of(block)
        && (1..=CONTAINER_BYTES_MAX as u32).contains(&place.len)
}
