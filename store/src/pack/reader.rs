//! Reading chunks of containers: the hot path of every read that the journal does not answer.
//!
//! Frames that are decoded already come from the cache. The others are read from the file, adjacent
//! ones together, and checked. A short read keeps the frames it decoded. Whoever passes through goes on
//! and does not come back: what lies together is decoded straight into the caller's buffer, and frames
//! of which it takes a part are kept only where that pushes out no others.

use std::cell::RefCell;
use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::LocalPlace;
use super::directories::DirectoryCache;
use super::files::{PackSet, describe};
use super::format::{Directory, Frame};
use super::frames::{FrameCache, FrameKey};
use super::handles;
use super::passing::{self, Name};
use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT, ContainerId};
use crate::buffers::Buffers;
use crate::chunk::compress::{Codec, decompress};
use crate::chunk::seal::{BadSeal, DataKey, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::read::Source;
use crate::recompress::Warmth;

/// Stored bytes read with one call, if a single frame does not have more. Every thread that reads
/// keeps a buffer of this size.
const RUN_BYTES: usize = 256 << 10;
/// From this length on, what lies together is not kept.
const STREAM_BYTES: usize = 64 << 10;

/// The number of the next reader of this process.
static NEXT_READER: AtomicU64 = AtomicU64::new(0);

/// What a read is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One like others, which may be for the same data.
    Usual,
    /// Passing through much data once.
    Passing,
}

thread_local! {
    /// Stored bytes on their way to the decoder, [`RUN_BYTES`] at most.
    static STORED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads chunks from pack files.
pub(crate) struct Reader {
    /// Tells this one from others of the process.
    number: u64,
    /// The files.
    pub(crate) packs: Arc<PackSet>,
    /// Decoded frames.
    pub(crate) frames: FrameCache,
    /// Directories.
    pub(crate) directories: DirectoryCache,
    /// When containers were last read.
    pub(crate) warmth: Warmth,
}

/// One call's constants.
pub(super) struct Request<'a> {
    pub(super) directory: &'a Directory,
    pub(super) place: &'a LocalPlace,
    /// Of a container whose frames are sealed.
    pub(super) key: Option<&'a DataKey>,
    pub(super) manner: Manner,
    pub(super) patience: Patience,
    /// First byte wanted, in plain bytes of the container.
    pub(super) start: usize,
}

/// Whether a read waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It takes what memory and the page cache have, and no answer else.
    None,
    /// For as long as it takes.
    Endless,
}

impl Reader {
    /// A reader with caches of the given sizes; frames lie in `buffers` if those are not too large.
    pub(crate) fn new(
        packs: Arc<PackSet>,
        buffers: &Arc<Buffers>,
        frame_bytes: u64,
        directory_bytes: u64,
    ) -> Self {
        Self {
            number: NEXT_READER.fetch_add(1, Ordering::Relaxed),
            packs,
            frames: FrameCache::new(buffers, frame_bytes),
            directories: DirectoryCache::new(directory_bytes),
            warmth: Warmth::default(),
        }
    }

    /// The directory of a container.
    pub(crate) fn directory(&self, id: ContainerId, place: &LocalPlace) -> Result<Arc<Directory>> {
        if let Some(directory) = self.directories.get(id, place) {
            return Ok(directory);
        }
        let directory = Arc::new(self.packs.read_directory(place, id)?);
        self.directories.insert(place, directory.clone());
        Ok(directory)
    }

    /// Fills `out`, whole chunks, from consecutive slots of a container, which must be one that is
    /// sealed with `key`, if there is one.
    pub(crate) fn read(
        &self,
        container: ContainerId,
        place: &LocalPlace,
        key: Option<&DataKey>,
        manner: Manner,
        first_slot: u32,
        out: &mut [u8],
    ) -> Result<Source> {
        self.warmth.touch(container);
        let directory = self.directory(container, place)?;
        self.read_slots(&directory, place, key, manner, first_slot, out)
    }

    /// Begins to fetch what slots are stored in, if the container's directory is at hand.
    pub(crate) fn prefetch(
        &self,
        container: ContainerId,
        place: &LocalPlace,
        first_slot: u32,
        slots: u32,
    ) {
        let Some(directory) = self.directories.get(container, place) else {
            return;
        };
        let Ok(file) = self.packs.file(place.pack) else {
            return;
        };
        let log2 = directory.header.frame_log2;
        let chunk = CHUNK_BYTES as u32;
        let mut first = (first_slot * chunk) >> log2;
        let end = ((first_slot + slots) * chunk).div_ceil(1 << log2);
        let kept = |frame| {
            let (container, frame_log2) = (directory.header.id, log2);
            self.frames.has(&FrameKey {
                container,
                frame,
                frame_log2,
            })
        };
        while first < end && kept(first) {
            first += 1;
        }
        let Some(frames) = directory.frames.get(first as usize..end as usize) else {
            return;
        };
        if let (Some(from), Some(to)) = (frames.first(), frames.last()) {
            let len = (to.offset + to.len).saturating_sub(from.offset);
            file.will_read(place.offset + u64::from(from.offset), u64::from(len));
        }
    }

    /// [`Self::read`] of a container whose directory is at hand.
    pub(crate) fn read_slots(
        &self,
        directory: &Directory,
        place: &LocalPlace,
        key: Option<&DataKey>,
        manner: Manner,
        first_slot: u32,
        out: &mut [u8],
    ) -> Result<Source> {
        debug_assert!(out.len().is_multiple_of(CHUNK_BYTES));
        let request = Request {
            directory,
            place,
            key,
            manner,
            patience: Patience::Endless,
            start: first_slot as usize * CHUNK_BYTES,
        };
        request.check_bounds(request.start + out.len())?;
        let source = self.fill(&request, out)?;
        Ok(source.expect("who waits has an answer"))
    }

    /// Takes frames from the cache, and gathers runs of those that are not there; `None` when that
    /// would need more patience.
    pub(super) fn fill(&self, request: &Request<'_>, out: &mut [u8]) -> Result<Option<Source>> {
        let log2 = request.directory.header.frame_log2;
        let end = request.start + out.len();
        let frames = (request.start >> log2) as u32..end.div_ceil(1 << log2) as u32;
        let mut slots = (request.start / CHUNK_BYTES) as u32..(end / CHUNK_BYTES) as u32;
        if !out.is_empty() && slots.all(|slot| request.is_a_plain_chunk(slot)) {
            let outcome = self.read_stored(request, frames, out);
            // Damaged bytes are for nobody.
            return outcome.inspect_err(|_| out.fill(0));
        }
        let mut missing = frames.start..frames.start;
        let mut source = Source::Memory;
        for frame in frames {
            let (from, to) = request.overlap(frame, out.len());
            if !self.have(request, frame, from, &mut out[to]) {
                missing.end = frame + 1;
                continue;
            }
            let Some(from) = self.fetch(request, missing, out)? else {
                return Ok(None);
            };
            source = source.max(from);
            missing = frame + 1..frame + 1;
        }
        let last = self.fetch(request, missing, out)?;
        Ok(last.map(|from| source.max(from)))
    }

    fn name(&self, request: &Request<'_>, frame: u32) -> Name {
        Name {
            reader: self.number,
            key: request.key(frame),
        }
    }

    /// Copies a part of a frame, if memory has it.
    fn have(&self, request: &Request<'_>, frame: u32, part: Range<usize>, out: &mut [u8]) -> bool {
        // What compaction has cut off in the meantime is to be read where it was.
        let mut copy = |plain: &[u8]| {
            let found = plain.get(part.clone());
            found.map(|found| out.copy_from_slice(found)).is_some()
        };
        let kept = self.frames.get(&request.key(frame));
        kept.is_some_and(|plain| copy(&plain))
            || request.manner == Manner::Passing && passing::look(self.name(request, frame), copy)
    }

    /// Reads and decodes adjacent frames, as many at once as the buffer takes.
    fn fetch(
        &self,
        request: &Request<'_>,
        frames: Range<u32>,
        out: &mut [u8],
    ) -> Result<Option<Source>> {
        let mut source = Source::Memory;
        let mut run = frames.start..frames.start;
        for frame in frames {
            let first = request.stored(run.start).start;
            if !run.is_empty() && request.stored(frame).end - first > RUN_BYTES {
                let Some(from) = self.fetch_run(request, run, out)? else {
                    return Ok(None);
                };
                source = source.max(from);
                run = frame..frame;
            }
            run.end = frame + 1;
        }
        if run.is_empty() {
            return Ok(Some(source));
        }
        let last = self.fetch_run(request, run, out)?;
        Ok(last.map(|from| source.max(from)))
    }

    fn fetch_run(
        &self,
        request: &Request<'_>,
        frames: Range<u32>,
        out: &mut [u8],
    ) -> Result<Option<Source>> {
        STORED.with_borrow_mut(|stored| {
            let first = request.stored(frames.start).start;
            let len = request.stored(frames.end - 1).end - first;
            if stored.len() < len {
                stored.resize(len, 0);
            }
            let stored = &mut stored[..len];
            let Some(source) = self.read_stored(request, frames.clone(), stored)? else {
                return Ok(None);
            };
            for frame in frames {
                let range = request.stored(frame);
                self.deliver(
                    request,
                    frame,
                    &mut stored[range.start - first..range.end - first],
                    out,
                )?;
            }
            Ok(Some(source))
        })
    }

    /// Reads stored bytes and checks every frame, once more if one is damaged.
    fn read_stored(
        &self,
        request: &Request<'_>,
        frames: Range<u32>,
        stored: &mut [u8],
    ) -> Result<Option<Source>> {
        let file = self.packs.file(request.place.pack)?;
        let first = request.stored(frames.start).start;
        let offset = request.place.offset + first as u64;
        let cached = file.read_cached_at(&mut [IoSliceMut::new(stored)], offset);
        if cached && request.check(frames.clone(), stored).is_ok() {
            return Ok(Some(Source::Memory));
        }
        if request.patience == Patience::None {
            return Ok(None);
        }
        let mut attempt = || {
            handles::read(&*file, stored, offset, || request.describe())?;
            request.check(frames.clone(), stored)?;
            Ok(Some(Source::Disk))
        };
        attempt().or_else(|e: Error| match e.kind() {
            ErrorKind::Corrupt => attempt(),
            _ => Err(e),
        })
    }

    /// Decodes one frame to where it belongs.
    fn deliver(
        &self,
        request: &Request<'_>,
        frame: u32,
        stored: &mut [u8],
        out: &mut [u8],
    ) -> Result<()> {
        let plain_len = request.directory.plain_len(frame);
        let stream = out.len() >= STREAM_BYTES;
        let (from, to) = request.overlap(frame, out.len());
        if stream && from.len() == plain_len {
            return request.decode(frame, stored, &mut out[to]);
        }
        if request.manner == Manner::Passing && !self.frames.has_room() {
            return passing::hold(
                self.name(request, frame),
                plain_len,
                |plain| request.decode(frame, stored, plain),
                |plain| out[to].copy_from_slice(&plain[from]),
            );
        }
        let mut plain = self.frames.piece(plain_len);
        request.decode(frame, stored, &mut plain)?;
        out[to].copy_from_slice(&plain[from]);
        self.frames.insert(request.key(frame), plain);
        Ok(())
    }
}

impl Request<'_> {
    /// Refuses a container that is sealed with another key, or ends before byte `end`.
    pub(super) fn check_bounds(&self, end: usize) -> Result<()> {
        let header = &self.directory.header;
        if header.key != self.key.map(|key| key.id) {
            let context = format!("{}: sealed with another key", self.describe());
            return Err(Error::new(ErrorKind::Corrupt, context));
        }
        if end > header.slots as usize * CHUNK_BYTES {
            let context = format!("{} has {} slots only", self.describe(), header.slots);
            return Err(Error::new(ErrorKind::Corrupt, context));
        }
        Ok(())
    }

    fn key(&self, frame: u32) -> FrameKey {
        FrameKey {
            container: self.directory.header.id,
            frame,
            frame_log2: self.directory.header.frame_log2,
        }
    }

    pub(super) fn describe(&self) -> String {
        describe(self.directory.header.id, self.place)
    }

    fn frame(&self, frame: u32) -> Frame {
        self.directory.frames[frame as usize]
    }

    /// Where a frame is stored, from the start of the container.
    pub(super) fn stored(&self, frame: u32) -> Range<usize> {
        let Frame { offset, len, .. } = self.frame(frame);
        offset as usize..offset as usize + len as usize
    }

    /// Whether a slot has a frame of its own, stored as it is, so that reading it is all there is to do.
    pub(super) fn is_a_plain_chunk(&self, slot: u32) -> bool {
        if u32::from(self.directory.header.frame_log2) != CHUNK_SHIFT {
            return false;
        }
        let Frame { codec, len, .. } = self.frame(slot);
        codec == Codec::Raw && len as usize == CHUNK_BYTES
    }

    /// The part of a frame that is wanted, and its place in the caller's `out_len` bytes.
    fn overlap(&self, frame: u32, out_len: usize) -> (Range<usize>, Range<usize>) {
        let frame_start = (frame as usize) << self.directory.header.frame_log2;
        let frame_end = frame_start + self.directory.plain_len(frame);
        let start = self.start.max(frame_start);
        let end = (self.start + out_len).min(frame_end);
        (
            start - frame_start..end - frame_start,
            start - self.start..end - self.start,
        )
    }

    pub(super) fn check(&self, frames: Range<u32>, stored: &[u8]) -> Result<()> {
        let first = self.stored(frames.start).start;
        for number in frames {
            let Range { start, end } = self.stored(number);
            let expected = self.frame(number).crc;
            let found = crc32c::crc32c(&stored[start - first..end - first]);
            if found != expected {
                let what = self.describe();
                let context = format!(
                    "{what}, frame {number}: checksum {found:08x}, expected {expected:08x}"
                );
                return Err(Error::new(ErrorKind::Corrupt, context));
            }
        }
        Ok(())
    }

    pub(super) fn decode(&self, number: u32, stored: &mut [u8], out: &mut [u8]) -> Result<()> {
        if stored.is_empty() {
            out.fill(0);
            return Ok(());
        }
        let damaged = |what| {
            let context = format!("{}, frame {number}: {what}", self.describe());
            Error::new(ErrorKind::Corrupt, context)
        };
        let codec = self.frame(number).codec;
        let stored = self
            .unseal(number, stored)
            .map_err(|_| damaged("its seal is broken"))?;
        decompress(codec, stored, out).map_err(|_| damaged("does not decode"))
    }

    /// The bytes of a frame, decrypted in place if they are sealed.
    fn unseal<'b>(
        &self,
        number: u32,
        stored: &'b mut [u8],
    ) -> std::result::Result<&'b [u8], BadSeal> {
        let Some(key) = self.key else {
            return Ok(stored);
        };
        let (sealed, tag) = stored.split_last_chunk_mut().ok_or(BadSeal)?;
        let nonce = self.directory.header.nonce(u64::from(number));
        key.open(nonce, Kind::Frame(self.frame(number).codec), sealed, tag)?;
        Ok(sealed)
    }
}
