//! The rows besides runs: volumes, snapshots, layers, containers, the checkpoint, forwarding.

use super::codec::{Fields, Row, addresses_format, put_addresses, take_addresses};
use crate::addr::{Address, CONTAINER_SLOTS};
use crate::chunk::DomainKey;
use crate::chunk::seal::KeyId;
use crate::pack::LocalPlace;
use crate::{DomainId, Packing, VolumeId};

/// Name of a layer: one generation of a volume's map. 0 is never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LayerId(pub(crate) u32);

/// A writable disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VolumeRow {
    /// The layer that takes its writes.
    pub(crate) head: LayerId,
    /// What the guest sees.
    pub(crate) size_bytes: u64,
    /// Where equal chunks are looked for.
    pub(crate) domain: DomainId,
    /// When its data is packed.
    pub(crate) packing: Packing,
}

/// A frozen state of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRow {
    /// The topmost of its layers.
    pub(crate) layer: LayerId,
    /// The volume it was taken of, which may be gone.
    pub(crate) volume: VolumeId,
    /// The volume's size at that moment.
    pub(crate) size_bytes: u64,
    /// Microseconds since 1970.
    pub(crate) created_us: u64,
}

/// What may happen to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerState {
    /// The head of a volume: takes writes.
    Open = 1,
    /// A snapshot's: read only.
    Frozen = 2,
    /// No snapshot's any more, but others build on it.
    Hidden = 3,
    /// Nothing needs it; its runs are being removed.
    Dropping = 4,
    /// Gone: its runs are its child's, which stands in the parent field. Kept while journal segments
    /// may name it.
    Merged = 5,
}

/// A layer of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerRow {
    /// Where runs are looked for that it does not have.
    pub(crate) parent: Option<LayerId>,
    /// What may happen to it.
    pub(crate) state: LayerState,
    /// Where equal chunks are looked for.
    pub(crate) domain: DomainId,
    /// Data chunks seen through this layer less those seen through its parent.
    pub(crate) delta_chunks: i64,
}

/// Where the bytes of a container are. The tag byte leaves room for other places than local files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// In a pack file of this pool.
    Local(LocalPlace),
}

impl Location {
    /// Where it is among the pack files.
    pub(crate) fn local(&self) -> &LocalPlace {
        match self {
            Self::Local(place) => place,
        }
    }

    /// Stored length in bytes.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.local().len)
    }
}

/// A packed container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContainerRow {
    /// Where its bytes are.
    pub(crate) location: Location,
    /// Slots numbered when it was written.
    pub(crate) slots: u16,
    /// Slots referred to, at the last mark.
    pub(crate) live: u16,
    /// Length of the chunks that it holds before compression.
    pub(crate) plain_bytes: u32,
    /// Whose data it holds.
    pub(crate) domain: DomainId,
    /// Whether recompression is done with it: it has been recompressed, or that gains nothing.
    pub(crate) tight: bool,
}

/// How far the index has followed the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckpointRow {
    /// All journal records up to this one are in the index.
    pub(crate) applied_sequence: u64,
    /// Container ids from here on were never given out; reserved ahead.
    pub(crate) next_container: u64,
    /// Layer ids from here on were never given out.
    pub(crate) next_layer: u32,
    /// Pack file numbers from here on were never given out.
    pub(crate) next_pack: u64,
    /// Whether the pool was closed in order.
    pub(crate) clean: bool,
}

/// Where the chunks of a packed journal window went: the new address of each old slot, a hole for
/// slots that nothing needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForwardRow(Box<[Address]>);

impl ForwardRow {
    /// A row that forwards nothing.
    pub(crate) fn holes() -> Self {
        Self(vec![Address::HOLE; CONTAINER_SLOTS as usize].into_boxed_slice())
    }

    /// The new address of a slot.
    pub(crate) fn get(&self, slot: u32) -> Address {
        self.0[slot as usize]
    }

    /// Forwards a slot.
    pub(crate) fn set(&mut self, slot: u32, address: Address) {
        self.0[slot as usize] = address;
    }
}

/// What the chunks of a domain are named, and perhaps encrypted, with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DomainRow {
    /// The fingerprint key.
    Plain(DomainKey),
    /// The name of a key that lies in a file.
    Sealed(KeyId),
}

fn put_all(out: &mut Vec<u8>, fields: &[&[u8]]) {
    for field in fields {
        out.extend_from_slice(field);
    }
}

fn take_layer(fields: &mut Fields<'_>) -> Option<LayerId> {
    fields.u32().filter(|&id| id != 0).map(LayerId)
}

impl Row for VolumeRow {
    const NAME: &'static str = "volume";

    fn put(&self, out: &mut Vec<u8>) {
        let head = self.head.0.to_le_bytes();
        let size = self.size_bytes.to_le_bytes();
        let packing = [self.packing.code()];
        put_all(out, &[&head, &size, self.domain.0.as_bytes(), &packing]);
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        (format == 1).then_some(())?;
        Some(Self {
            head: take_layer(fields)?,
            size_bytes: fields.u64()?,
            domain: DomainId(fields.uuid()?),
            packing: Packing::from_code(fields.u8()?)?,
        })
    }
}

impl Row for SnapshotRow {
    const NAME: &'static str = "snapshot";

    fn put(&self, out: &mut Vec<u8>) {
        let layer = self.layer.0.to_le_bytes();
        let size = self.size_bytes.to_le_bytes();
        let created = self.created_us.to_le_bytes();
        put_all(out, &[&layer, self.volume.0.as_bytes(), &size, &created]);
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        (format == 1).then_some(())?;
        Some(Self {
            layer: take_layer(fields)?,
            volume: VolumeId(fields.uuid()?),
            size_bytes: fields.u64()?,
            created_us: fields.u64()?,
        })
    }
}

impl Row for LayerRow {
    const NAME: &'static str = "layer";

    fn put(&self, out: &mut Vec<u8>) {
        let parent = self.parent.map_or(0, |id| id.0);
        let (domain, delta) = (self.domain.0.as_bytes(), self.delta_chunks.to_le_bytes());
        put_all(
            out,
            &[&parent.to_le_bytes(), &[self.state as u8], domain, &delta],
        );
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        (format == 1).then_some(())?;
        let parent = fields.u32()?;
        let state = match fields.u8()? {
            1 => LayerState::Open,
            2 => LayerState::Frozen,
            3 => LayerState::Hidden,
            4 => LayerState::Dropping,
            5 => LayerState::Merged,
            _ => return None,
        };
        Some(Self {
            parent: (parent != 0).then_some(LayerId(parent)),
            state,
            domain: DomainId(fields.uuid()?),
            delta_chunks: fields.u64()? as i64,
        })
    }
}

impl Row for ContainerRow {
    const NAME: &'static str = "container";

    fn format(&self) -> u8 {
        if self.tight { 2 } else { 1 }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self.location {
            Location::Local(LocalPlace { pack, offset, len }) => {
                let (pack, offset) = (pack.to_le_bytes(), offset.to_le_bytes());
                put_all(out, &[&[1], &pack, &offset, &len.to_le_bytes()]);
            }
        }
        let counts = [self.slots.to_le_bytes(), self.live.to_le_bytes()];
        let plain = self.plain_bytes.to_le_bytes();
        put_all(
            out,
            &[counts.as_flattened(), &plain, self.domain.0.as_bytes()],
        );
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        let tight = match format {
            1 => false,
            2 => true,
            _ => return None,
        };
        let location = match fields.u8()? {
            1 => Location::Local(LocalPlace {
                pack: fields.u64()?,
                offset: fields.u64()?,
                len: fields.u32()?,
            }),
            _ => return None,
        };
        Some(Self {
            location,
            slots: fields.u16()?,
            live: fields.u16()?,
            plain_bytes: fields.u32()?,
            domain: DomainId(fields.uuid()?),
            tight,
        })
    }
}

impl Row for CheckpointRow {
    const NAME: &'static str = "checkpoint";

    fn put(&self, out: &mut Vec<u8>) {
        let sequence = self.applied_sequence.to_le_bytes();
        let container = self.next_container.to_le_bytes();
        let layer = self.next_layer.to_le_bytes();
        let pack = self.next_pack.to_le_bytes();
        put_all(
            out,
            &[
                &sequence,
                &container,
                &layer,
                &pack,
                &[u8::from(self.clean)],
            ],
        );
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        (format == 1).then_some(())?;
        Some(Self {
            applied_sequence: fields.u64()?,
            next_container: fields.u64()?,
            next_layer: fields.u32()?,
            next_pack: fields.u64()?,
            clean: match fields.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

impl Row for ForwardRow {
    const NAME: &'static str = "forward";

    fn format(&self) -> u8 {
        addresses_format(&self.0)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_addresses(out, &self.0);
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        let mut row = Self::holes();
        take_addresses(format, fields, &mut row.0)?;
        Some(row)
    }
}

impl Row for DomainRow {
    const NAME: &'static str = "domain";

    fn format(&self) -> u8 {
        match self {
            Self::Plain(_) => 1,
            Self::Sealed(_) => 2,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(key) => out.extend_from_slice(&key.bytes()),
            Self::Sealed(id) => out.extend_from_slice(id),
        }
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        match format {
            1 => fields.array().map(DomainKey::new).map(Self::Plain),
            2 => fields.array().map(Self::Sealed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
