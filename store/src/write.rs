//! Changing a disk: writes, zeroes and trims go to the journal and the head layer's overlay.

use crate::ZeroMode;
use crate::addr::{Address, CHUNK_BYTES, CHUNK_SHIFT};
use crate::chunk::is_zero;
use crate::engine::Engine;
use crate::journal::record::{Record, WriteSeals};
use crate::journal::{APPEND_CHUNKS_MAX, Purpose, poisoned};
use crate::layer::Layer;
use crate::state::VolumeState;
use crate::{Error, ErrorKind, Result};

/// Beyond this, zeroing always leaves a hole: nothing is ever preallocated, so the only difference
/// would be a map entry for each chunk.
const ZERO_CHUNKS_MAX: u64 = (1 << 30) / CHUNK_BYTES as u64;

/// How often an append looks for room that others may take first.
const ROOM_TRIES: usize = 64;

/// How long the next piece of a write is: whole chunks up to what one append takes, or the part of a
/// chunk up to its end.
fn piece_len(offset: u64, len: usize) -> usize {
    let skip = (offset % CHUNK_BYTES as u64) as usize;
    if skip == 0 && len >= CHUNK_BYTES {
        (len / CHUNK_BYTES).min(APPEND_CHUNKS_MAX) * CHUNK_BYTES
    } else {
        len.min(CHUNK_BYTES - skip)
    }
}

impl Engine {
    /// Writes bytes anywhere; the caller has checked the bounds.
    pub(crate) fn write_bytes(&self, volume: &VolumeState, offset: u64, data: &[u8]) -> Result<()> {
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(piece_len(at, rest.len()));
            self.with_room(|| self.write_piece(volume, at, piece))?;
            self.journal.relieve()?;
            (at, rest) = (at + piece.len() as u64, tail);
        }
        Ok(())
    }

    /// Writes what [`piece_len`] allows. Memory only: no disk is waited for under the gate, except to
    /// read the rest of a chunk.
    fn write_piece(&self, volume: &VolumeState, offset: u64, piece: &[u8]) -> Result<()> {
        let (chunk, end) = (offset >> CHUNK_SHIFT, offset + piece.len() as u64);
        if piece.len().is_multiple_of(CHUNK_BYTES) {
            let _shared = volume.gate.read().expect(poisoned!());
            Self::admit(volume, end)?;
            return self.write_chunks(volume.chain().head(), chunk, piece);
        }
        // What surrounds the bytes is read and written again: nobody may change it in between.
        let _alone = volume.gate.write().expect(poisoned!());
        Self::admit(volume, end)?;
        self.merge(volume, chunk, (offset % CHUNK_BYTES as u64) as usize, piece)
    }

    /// Changes part of a chunk. The gate is held alone.
    fn merge(&self, volume: &VolumeState, chunk: u64, skip: usize, part: &[u8]) -> Result<()> {
        let chain = volume.chain();
        let mut whole = [0; CHUNK_BYTES];
        self.read_bytes(&chain, chunk << CHUNK_SHIFT, &mut whole)?;
        whole[skip..skip + part.len()].copy_from_slice(part);
        self.write_chunks(chain.head(), chunk, &whole)
    }

    fn write_chunks(&self, layer: &Layer, first: u64, data: &[u8]) -> Result<()> {
        let (mut chunk, mut rest) = (first, data);
        while !rest.is_empty() {
            let zero = is_zero(&rest[..CHUNK_BYTES]);
            let same = rest
                .chunks_exact(CHUNK_BYTES)
                .take_while(|part| is_zero(part) == zero);
            let count = same.count();
            let (part, tail) = rest.split_at(count * CHUNK_BYTES);
            if zero {
                self.map_constant(layer, chunk, count as u64, Address::ZERO)?;
            } else {
                self.write_data(layer, chunk, part)?;
            }
            (chunk, rest) = (chunk + count as u64, tail);
        }
        Ok(())
    }

    fn write_data(&self, layer: &Layer, first: u64, data: &[u8]) -> Result<()> {
        match &layer.sealing {
            None => self.append_data(layer, first, data, None),
            Some(sealing) => self.with_sealed(self.keys.get(sealing)?, data, |sealed, seals| {
                self.append_data(layer, first, sealed, Some(seals))
            }),
        }
    }

    /// Appends chunks as they are to lie on the disk.
    fn append_data(
        &self,
        layer: &Layer,
        first: u64,
        data: &[u8],
        seals: Option<&WriteSeals>,
    ) -> Result<()> {
        let mut checksums = [0; APPEND_CHUNKS_MAX];
        let count = data.len() / CHUNK_BYTES;
        for (slot, chunk) in checksums.iter_mut().zip(data.chunks_exact(CHUNK_BYTES)) {
            *slot = crc32c::crc32c(chunk);
        }
        self.appending(|| {
            layer.change(first, count as u64, || {
                self.journal
                    .append_write(layer.id, first, data, &checksums[..count], seals)
            })
        })
    }

    /// Maps chunks to holes or zeroes.
    pub(crate) fn map_constant(
        &self,
        layer: &Layer,
        first: u64,
        count: u64,
        what: Address,
    ) -> Result<()> {
        let (layer_id, first_chunk, chunks) = (layer.id, first, count);
        let record = match what {
            Address::ZERO => Record::Zero {
                layer: layer_id,
                first_chunk,
                chunks,
            },
            _ => Record::Trim {
                layer: layer_id,
                first_chunk,
                chunks,
            },
        };
        self.appending(|| {
            layer.change(first, count, || {
                self.journal
                    .append_record(&record, Purpose::Data)
                    .map(|_| what)
            })
        })
    }

    /// Runs an append inside the cut and counts what it adds to the overlay.
    fn appending(&self, append: impl FnOnce() -> Result<i64>) -> Result<()> {
        let _cut = self.cut.read().expect(poisoned!());
        let grown = append()?;
        self.ranges.grow(grown);
        Ok(())
    }

    /// Does something that appends data; when the journal lacks room, makes some, while no gate is
    /// held, and does it again. Others may take the room first, so once is not always enough.
    pub(crate) fn with_room<T>(&self, change: impl Fn() -> Result<T>) -> Result<T> {
        for _ in 0..ROOM_TRIES {
            match change() {
                Err(error) if error.kind() == ErrorKind::NoSpace => self.prepare_data_spares()?,
                outcome => return outcome,
            }
        }
        change()
    }

    /// Looked at once more under the gate: the volume may have been deleted or cut down since the
    /// caller looked, and its layer must not be written to any more.
    pub(crate) fn admit(volume: &VolumeState, end: u64) -> Result<()> {
        if volume.is_gone() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("volume {} is gone", volume.id),
            ));
        }
        if end > volume.size_bytes() {
            let context = format!("the end of volume {} was passed", volume.id);
            return Err(Error::new(ErrorKind::InvalidInput, context));
        }
        Ok(())
    }

    /// Discards everything from `size_bytes` on. The gate is held alone.
    pub(crate) fn cut_off(&self, volume: &VolumeState, size_bytes: u64) -> Result<()> {
        let skip = (size_bytes % CHUNK_BYTES as u64) as usize;
        let first = size_bytes.div_ceil(CHUNK_BYTES as u64);
        let last = volume.size_bytes().div_ceil(CHUNK_BYTES as u64);
        if skip != 0 {
            let zeroes = [0; CHUNK_BYTES];
            self.merge(volume, size_bytes >> CHUNK_SHIFT, skip, &zeroes[skip..])?;
        }
        if first < last {
            let chain = volume.chain();
            self.map_constant(chain.head(), first, last - first, Address::HOLE)?;
        }
        Ok(())
    }

    /// Makes a range of bytes read as zeroes; the caller has checked the bounds.
    pub(crate) fn zero_bytes(
        &self,
        volume: &VolumeState,
        offset: u64,
        len: u64,
        mode: ZeroMode,
    ) -> Result<()> {
        let chunk_bytes = CHUNK_BYTES as u64;
        let end = offset + len;
        let (first, last) = (
            offset.next_multiple_of(chunk_bytes),
            end - end % chunk_bytes,
        );
        // The last chunk of a disk may be cut short; zeroing up to the end takes all of it.
        let last = if end == volume.size_bytes() {
            end.next_multiple_of(chunk_bytes)
        } else {
            last
        };
        if first < last {
            let count = (last - first) >> CHUNK_SHIFT;
            let keep = mode == ZeroMode::Allocate && count <= ZERO_CHUNKS_MAX;
            let what = if keep { Address::ZERO } else { Address::HOLE };
            self.clear(volume, first >> CHUNK_SHIFT, last >> CHUNK_SHIFT, what)?;
        }
        let zeroes = [0; CHUNK_BYTES];
        let head = (first.min(end) - offset) as usize;
        if head > 0 {
            self.write_bytes(volume, offset, &zeroes[..head])?;
        }
        let tail_start = last.max(offset + head as u64);
        if tail_start < end {
            self.write_bytes(volume, tail_start, &zeroes[..(end - tail_start) as usize])?;
        }
        self.journal.relieve()
    }
}
