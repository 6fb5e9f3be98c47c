//! Building one container in memory.
//!
//! A frame is compressed as soon as it is full, so that the work is spread over the pushes, and its
//! plain bytes are then gone: what is being packed is still read from the journal. An open container
//! takes part in deduplication.
//!
//! The buffer of a container that was written is kept for the next one of the same thread: fresh
//! memory costs a page fault every 4 KiB, which is more than compressing incompressible data.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::Arc;

use super::format::{
    self, CONTAINER_BYTES_MAX, Directory, FRAME_LOG2, Frame, HEADER_BYTES, Header, SlotBits,
};
use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT, CONTAINER_SLOTS, ContainerId};
use crate::chunk::compress::{Codec, Compressor, Gain};
use crate::chunk::seal::{DataKey, Kind};
use crate::chunk::{Fingerprint, FingerprintMap};
use crate::ids::DomainId;

/// How frames are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameOptions {
    /// Size as a power of two, 12 to 16.
    pub(crate) frame_log2: u8,
    /// What to compress with.
    pub(crate) codec: Codec,
}

impl FrameOptions {
    /// A chunk each, as it is. What was written here and there is read so, and soon overwritten: it is
    /// had with one read to where it belongs, and costs no more to pack than it must.
    pub(crate) const SCATTERED: Self = Self {
        frame_log2: CHUNK_SHIFT as u8,
        codec: Codec::Raw,
    };
}

impl Default for FrameOptions {
    /// 16 KiB: nearly the space of larger frames for half of their cost per read.
    fn default() -> Self {
        Self {
            frame_log2: 14,
            codec: Codec::Lz4,
        }
    }
}

thread_local! {
    /// A buffer that is free again. One is enough: as one container is written, another is begun.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The bytes of a container; dropping it leaves the memory to the next one.
#[derive(Clone, Debug)]
pub(crate) struct ContainerBytes(Vec<u8>);

impl ContainerBytes {
    /// Room for a header, and for any container behind it without moving.
    fn new() -> Self {
        let mut bytes = SPARE.take();
        bytes.clear();
        bytes.reserve_exact(CONTAINER_BYTES_MAX);
        bytes.resize(HEADER_BYTES, 0);
        Self(bytes)
    }
}

impl Deref for ContainerBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for ContainerBytes {
    fn drop(&mut self) {
        // A thread that is ending has no use for it.
        let _ = SPARE.try_with(|spare| spare.set(std::mem::take(&mut self.0)));
    }
}

/// A container that is complete and can be appended to a pack file.
#[derive(Clone, Debug)]
pub(crate) struct SealedContainer {
    /// Which one it is.
    pub(crate) id: ContainerId,
    /// Whose chunks it holds.
    pub(crate) domain: DomainId,
    /// All of it, a multiple of 4 KiB long.
    pub(crate) bytes: ContainerBytes,
    /// What it holds, as a reader would find it.
    pub(crate) directory: Arc<Directory>,
    /// Slots used.
    pub(crate) slots: u32,
    /// Bytes of live chunks before compression.
    pub(crate) plain_bytes: u64,
}

/// A container being filled.
pub(crate) struct ContainerBuilder {
    header: Header,
    key: Option<Arc<DataKey>>,
    compressor: Compressor,
    /// The chunks of the frame being filled.
    plain: Vec<u8>,
    /// The header's room and the finished frames.
    stored: ContainerBytes,
    frames: Vec<Frame>,
    fingerprints: Vec<Fingerprint>,
    live: SlotBits,
    slots: FingerprintMap<u32>,
}

impl ContainerBuilder {
    /// An empty container, whose frames are sealed if there is a key.
    pub(crate) fn new(
        id: ContainerId,
        domain: DomainId,
        key: Option<Arc<DataKey>>,
        options: FrameOptions,
    ) -> Self {
        let header = Header {
            id,
            domain,
            key: key.as_ref().map(|key| key.id),
            anew: None,
            frame_log2: options.frame_log2,
            codec: options.codec,
            slots: 0,
            directory_offset: 0,
            total_len: 0,
        };
        Self::with_header(header, key)
    }

    /// An empty container that will take the place of the one with header `old`. What is sealed is
    /// sealed anew, under `anew`: an id that was taken for this writing and nothing else.
    pub(crate) fn in_place_of(
        old: &Header,
        key: Option<Arc<DataKey>>,
        anew: Option<ContainerId>,
        options: FrameOptions,
    ) -> Self {
        debug_assert_eq!(old.key, key.as_ref().map(|key| key.id));
        debug_assert_eq!(key.is_some(), anew.is_some());
        let header = Header {
            anew,
            frame_log2: options.frame_log2,
            codec: options.codec,
            ..*old
        };
        Self::with_header(header, key)
    }

    /// Counts and lengths of the header are not yet known.
    fn with_header(header: Header, key: Option<Arc<DataKey>>) -> Self {
        debug_assert!(FRAME_LOG2.contains(&header.frame_log2));
        Self {
            header,
            key,
            compressor: Compressor::new(),
            plain: Vec::with_capacity(1 << header.frame_log2),
            stored: ContainerBytes::new(),
            frames: Vec::new(),
            fingerprints: Vec::new(),
            live: [0; _],
            slots: FingerprintMap::default(),
        }
    }

    /// Which container it will be.
    pub(crate) fn id(&self) -> ContainerId {
        self.header.id
    }

    /// Slots used so far.
    pub(crate) fn len(&self) -> u32 {
        self.fingerprints.len() as u32
    }

    /// Whether no slot is used.
    pub(crate) fn is_empty(&self) -> bool {
        self.fingerprints.is_empty()
    }

    /// Whether all slots are used.
    pub(crate) fn is_full(&self) -> bool {
        self.len() == CONTAINER_SLOTS
    }

    /// Adds a chunk of 4 KiB and returns its slot. The container must not be full.
    pub(crate) fn push(&mut self, fingerprint: Fingerprint, chunk: &[u8]) -> u32 {
        assert_eq!(chunk.len(), CHUNK_BYTES, "a chunk has one size");
        let slot = self.next_slot();
        format::set(&mut self.live, slot);
        self.slots.insert(fingerprint, slot);
        self.plain.extend_from_slice(chunk);
        self.fingerprints.push(fingerprint);
        self.close_frame_if_full();
        slot
    }

    /// Uses a slot for nothing, so that compaction can keep the numbers of the slots that live.
    pub(crate) fn push_dead(&mut self) -> u32 {
        let slot = self.next_slot();
        self.plain.resize(self.plain.len() + CHUNK_BYTES, 0);
        self.fingerprints.push(Fingerprint::NONE);
        self.close_frame_if_full();
        slot
    }

    /// The slot of an equal chunk that is already here.
    pub(crate) fn find(&self, fingerprint: Fingerprint) -> Option<u32> {
        self.slots.get(&fingerprint).copied()
    }

    /// Completes the container; `None` if no slot is used.
    pub(crate) fn finish(mut self) -> Option<SealedContainer> {
        if self.is_empty() {
            return None;
        }
        self.close_frame();
        let slots = self.len();
        let directory_offset = self.stored.len();
        let total_len = format::total_len(directory_offset, self.frames.len(), slots as usize);
        let directory = Directory {
            header: Header {
                slots,
                directory_offset: directory_offset as u32,
                total_len: total_len as u32,
                ..self.header
            },
            frames: self.frames.into(),
            fingerprints: self.fingerprints.into(),
            live: self.live,
        };
        directory.encode(&mut self.stored.0);
        let live: u32 = self.live.iter().map(|word| word.count_ones()).sum();
        Some(SealedContainer {
            id: self.header.id,
            domain: self.header.domain,
            bytes: self.stored,
            directory: Arc::new(directory),
            slots,
            plain_bytes: u64::from(live) * CHUNK_BYTES as u64,
        })
    }

    fn next_slot(&self) -> u32 {
        assert!(!self.is_full(), "a container has 1024 slots");
        self.len()
    }

    fn close_frame_if_full(&mut self) {
        if self.plain.len() == 1 << self.header.frame_log2 {
            self.close_frame();
        }
    }

    fn close_frame(&mut self) {
        if self.plain.is_empty() {
            return;
        }
        let end = self.fingerprints.len();
        let slots = end - self.plain.len() / CHUNK_BYTES..end;
        let count = slots.len();
        let live = slots
            .filter(|slot| format::is_set(&self.live, *slot as u32))
            .count();
        let offset = self.stored.len();
        let gain = if live == count {
            Gain::Worthwhile
        } else {
            Gain::Any
        };
        let codec = if live == 0 {
            Codec::Raw
        } else {
            self.compressor
                .compress_frame(&self.plain, self.header.codec, gain, &mut self.stored.0)
        };
        if let Some(key) = &self.key
            && live > 0
        {
            let nonce = self.header.nonce(self.frames.len() as u64);
            let tag = key.seal(nonce, Kind::Frame(codec), &mut self.stored.0[offset..]);
            self.stored.0.extend_from_slice(&tag);
        }
        let stored = &self.stored[offset..];
        self.frames.push(Frame {
            offset: offset as u32,
            len: stored.len() as u32,
            crc: crc32c::crc32c(stored),
            codec,
        });
        self.plain.clear();
    }
}
