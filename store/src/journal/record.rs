//! Journal records: what a batch says happened, in order. Pure encoding, no I/O.
//!
//! Every record is `op u8, zero [u8; 3], length u32` followed by its fields, little endian; the
//! length covers the whole record. ARCHITECTURE.md lists the fields.

use uuid::Uuid;

use crate::Packing;
use crate::addr::{CONTAINER_ID_MAX, ContainerId};
use crate::chunk::seal::{KeyId, TAG_BYTES, Tag};
use crate::index::LayerId;
use crate::{DomainId, Error, ErrorKind, Result, SnapshotId, VolumeId};

/// Bytes in front of a record's fields.
pub(crate) const RECORD_HEADER_BYTES: usize = 8;

const OP_WRITE: u8 = 1;
const OP_ZERO: u8 = 2;
const OP_TRIM: u8 = 3;
const OP_SEALED_WRITE: u8 = 4;
const OP_DOMAIN: u8 = 16;
const OP_CREATE_VOLUME: u8 = 17;
const OP_CLONE_VOLUME: u8 = 18;
const OP_SNAPSHOT: u8 = 19;
const OP_DELETE_SNAPSHOT: u8 = 20;
const OP_DELETE_VOLUME: u8 = 21;
const OP_RESIZE_VOLUME: u8 = 22;
const OP_SEALED_DOMAIN: u8 = 23;

/// Bytes of a [`Record::Write`] without its checksums.
const WRITE_RECORD_BYTES: usize = RECORD_HEADER_BYTES + 20;

/// How the chunks of a write are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteSeals {
    /// The opening of the pool that sealed them.
    pub(crate) opening: ContainerId,
    /// Number of the first one's message in it; the others follow.
    pub(crate) first: u64,
    /// Of each chunk.
    pub(crate) tags: Vec<Tag>,
}

/// Bytes of the record of a write.
pub(crate) fn write_record_bytes(chunks: usize, sealed: bool) -> usize {
    let seals = if sealed { 16 + chunks * TAG_BYTES } else { 0 };
    WRITE_RECORD_BYTES + 4 * chunks + seals
}

/// One cut of a [`Record::Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The new snapshot, which keeps the volume's present head.
    pub(crate) snapshot: SnapshotId,
    /// The volume.
    pub(crate) volume: VolumeId,
    /// The layer that becomes the volume's head.
    pub(crate) new_head: LayerId,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Chunks were written; their bytes are data blocks of the batch.
    Write {
        layer: LayerId,
        first_chunk: u64,
        /// First data block, counted from the batch's header block.
        first_block: u32,
        /// CRC32C of each chunk, as it lies on the disk.
        checksums: Vec<u32>,
        /// Of an encrypted volume.
        seals: Option<WriteSeals>,
    },
    /// Chunks became allocated zeroes.
    Zero {
        layer: LayerId,
        first_chunk: u64,
        chunks: u64,
    },
    /// Chunks became holes.
    Trim {
        layer: LayerId,
        first_chunk: u64,
        chunks: u64,
    },
    /// A deduplication domain got its key.
    Domain { domain: DomainId, key: [u8; 32] },
    /// An encrypted domain came into being; its key lies in a file.
    SealedDomain { domain: DomainId, key_id: KeyId },
    /// A volume came into being, empty or on top of a frozen layer.
    CreateVolume {
        volume: VolumeId,
        head: LayerId,
        parent: Option<LayerId>,
        size_bytes: u64,
        domain: DomainId,
        packing: Packing,
    },
    /// A volume came into being as a copy of another: the source's head is frozen and hidden, both
    /// go on in layers of their own.
    CloneVolume {
        volume: VolumeId,
        head: LayerId,
        source: VolumeId,
        source_head: LayerId,
        size_bytes: u64,
        domain: DomainId,
        packing: Packing,
    },
    /// Volumes were frozen, all at this point of the journal.
    Snapshot { created_us: u64, cuts: Vec<Cut> },
    /// A snapshot was removed.
    DeleteSnapshot { snapshot: SnapshotId },
    /// A volume was removed.
    DeleteVolume { volume: VolumeId },
    /// A volume got another size.
    ResizeVolume { volume: VolumeId, size_bytes: u64 },
}

impl Record {
    /// Appends the stored form to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[self.op(), 0, 0, 0, 0, 0, 0, 0]);
        match self {
            Self::Write {
                layer,
                first_chunk,
                first_block,
                checksums,
                seals,
            } => {
                encode_write(out, *layer, *first_chunk, *first_block, checksums);
                encode_seals(out, seals.as_ref());
            }
            Self::Zero {
                layer,
                first_chunk,
                chunks,
            }
            | Self::Trim {
                layer,
                first_chunk,
                chunks,
            } => {
                put_u32(out, layer.0);
                put_u64(out, *first_chunk);
                put_u64(out, *chunks);
            }
            Self::Domain { domain, key } => {
                out.extend_from_slice(domain.0.as_bytes());
                out.extend_from_slice(key);
            }
            Self::SealedDomain { domain, key_id } => {
                out.extend_from_slice(domain.0.as_bytes());
                out.extend_from_slice(key_id);
            }
            Self::CreateVolume {
                volume,
                head,
                parent,
                size_bytes,
                domain,
                packing,
            } => {
                out.extend_from_slice(volume.0.as_bytes());
                put_u32(out, head.0);
                put_u32(out, parent.map_or(0, |layer| layer.0));
                put_spec(out, *size_bytes, *domain, *packing);
            }
            Self::CloneVolume {
                volume,
                head,
                source,
                source_head,
                size_bytes,
                domain,
                packing,
            } => {
                out.extend_from_slice(volume.0.as_bytes());
                put_u32(out, head.0);
                out.extend_from_slice(source.0.as_bytes());
                put_u32(out, source_head.0);
                put_spec(out, *size_bytes, *domain, *packing);
            }
            Self::Snapshot { created_us, cuts } => {
                put_u64(out, *created_us);
                for cut in cuts {
                    out.extend_from_slice(cut.snapshot.0.as_bytes());
                    out.extend_from_slice(cut.volume.0.as_bytes());
                    put_u32(out, cut.new_head.0);
                }
            }
            Self::DeleteSnapshot { snapshot } => out.extend_from_slice(snapshot.0.as_bytes()),
            Self::DeleteVolume { volume } => out.extend_from_slice(volume.0.as_bytes()),
            Self::ResizeVolume { volume, size_bytes } => {
                out.extend_from_slice(volume.0.as_bytes());
                put_u64(out, *size_bytes);
            }
        }
        let length = (out.len() - start) as u32;
        out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    }

    fn op(&self) -> u8 {
        match self {
            Self::Write { seals: None, .. } => OP_WRITE,
            Self::Write { seals: Some(_), .. } => OP_SEALED_WRITE,
            Self::Zero { .. } => OP_ZERO,
            Self::Trim { .. } => OP_TRIM,
            Self::Domain { .. } => OP_DOMAIN,
            Self::SealedDomain { .. } => OP_SEALED_DOMAIN,
            Self::CreateVolume { .. } => OP_CREATE_VOLUME,
            Self::CloneVolume { .. } => OP_CLONE_VOLUME,
            Self::Snapshot { .. } => OP_SNAPSHOT,
            Self::DeleteSnapshot { .. } => OP_DELETE_SNAPSHOT,
            Self::DeleteVolume { .. } => OP_DELETE_VOLUME,
            Self::ResizeVolume { .. } => OP_RESIZE_VOLUME,
        }
    }

    /// Whether the record changes volumes and layers rather than data.
    pub(crate) fn is_structural(&self) -> bool {
        self.op() >= OP_DOMAIN
    }
}

/// Appends a whole write record without building a [`Record`]: the hot path.
pub(crate) fn append_write(
    out: &mut Vec<u8>,
    layer: LayerId,
    first_chunk: u64,
    first_block: u32,
    checksums: &[u32],
    seals: Option<&WriteSeals>,
) {
    let op = if seals.is_some() {
        OP_SEALED_WRITE
    } else {
        OP_WRITE
    };
    out.extend_from_slice(&[op, 0, 0, 0]);
    put_u32(
        out,
        write_record_bytes(checksums.len(), seals.is_some()) as u32,
    );
    encode_write(out, layer, first_chunk, first_block, checksums);
    encode_seals(out, seals);
}

fn encode_write(out: &mut Vec<u8>, layer: LayerId, chunk: u64, block: u32, checksums: &[u32]) {
    put_u32(out, layer.0);
    put_u64(out, chunk);
    put_u32(out, checksums.len() as u32);
    put_u32(out, block);
    for checksum in checksums {
        put_u32(out, *checksum);
    }
}

fn encode_seals(out: &mut Vec<u8>, seals: Option<&WriteSeals>) {
    if let Some(seals) = seals {
        put_u64(out, seals.opening.0);
        put_u64(out, seals.first);
        out.extend_from_slice(seals.tags.as_flattened());
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_spec(out: &mut Vec<u8>, size_bytes: u64, domain: DomainId, packing: Packing) {
    put_u64(out, size_bytes);
    out.extend_from_slice(domain.0.as_bytes());
    out.push(packing.code());
}

/// Decodes a record table of `count` records; every byte must be used.
pub(crate) fn decode_table(mut table: &[u8], count: u32) -> Result<Vec<Record>> {
    // A record has at least eight bytes, so a lying count cannot make us reserve more.
    let mut records = Vec::with_capacity((count as usize).min(table.len() / RECORD_HEADER_BYTES));
    for _ in 0..count {
        let (record, rest) = decode_record(table)?;
        records.push(record);
        table = rest;
    }
    if table.is_empty() {
        Ok(records)
    } else {
        Err(malformed("bytes after the last record"))
    }
}

fn decode_record(table: &[u8]) -> Result<(Record, &[u8])> {
    let mut header = Reader(table);
    let op = header.u32()?;
    let length = header.u32()? as usize;
    if length < RECORD_HEADER_BYTES || length > table.len() {
        return Err(malformed("a record's length"));
    }
    let (record, rest) = table.split_at(length);
    let mut fields = Reader(&record[RECORD_HEADER_BYTES..]);
    let record = decode_fields(op, &mut fields)?;
    if fields.0.is_empty() {
        Ok((record, rest))
    } else {
        Err(malformed("bytes after a record"))
    }
}

fn decode_fields(op: u32, fields: &mut Reader<'_>) -> Result<Record> {
    let op = u8::try_from(op).map_err(|_| malformed("a record's operation"))?;
    Ok(match op {
        OP_WRITE => decode_write(fields, false)?,
        OP_SEALED_WRITE => decode_write(fields, true)?,
        OP_ZERO | OP_TRIM => {
            let (layer, first_chunk, chunks) = (fields.layer()?, fields.u64()?, fields.u64()?);
            if op == OP_ZERO {
                Record::Zero {
                    layer,
                    first_chunk,
                    chunks,
                }
            } else {
                Record::Trim {
                    layer,
                    first_chunk,
                    chunks,
                }
            }
        }
        OP_DOMAIN => Record::Domain {
            domain: DomainId(fields.uuid()?),
            key: fields.array()?,
        },
        OP_SEALED_DOMAIN => Record::SealedDomain {
            domain: DomainId(fields.uuid()?),
            key_id: fields.array()?,
        },
        OP_CREATE_VOLUME => {
            let (volume, head) = (VolumeId(fields.uuid()?), fields.layer()?);
            let parent = match fields.u32()? {
                0 => None,
                layer => Some(LayerId(layer)),
            };
            let (size_bytes, domain, packing) = fields.spec()?;
            Record::CreateVolume {
                volume,
                head,
                parent,
                size_bytes,
                domain,
                packing,
            }
        }
        OP_CLONE_VOLUME => {
            let (volume, head) = (VolumeId(fields.uuid()?), fields.layer()?);
            let (source, source_head) = (VolumeId(fields.uuid()?), fields.layer()?);
            let (size_bytes, domain, packing) = fields.spec()?;
            Record::CloneVolume {
                volume,
                head,
                source,
                source_head,
                size_bytes,
                domain,
                packing,
            }
        }
        OP_SNAPSHOT => decode_snapshot(fields)?,
        OP_DELETE_SNAPSHOT => Record::DeleteSnapshot {
            snapshot: SnapshotId(fields.uuid()?),
        },
        OP_DELETE_VOLUME => Record::DeleteVolume {
            volume: VolumeId(fields.uuid()?),
        },
        OP_RESIZE_VOLUME => Record::ResizeVolume {
            volume: VolumeId(fields.uuid()?),
            size_bytes: fields.u64()?,
        },
        _ => return Err(malformed("an unknown record")),
    })
}

fn decode_write(fields: &mut Reader<'_>, sealed: bool) -> Result<Record> {
    let (layer, first_chunk) = (fields.layer()?, fields.u64()?);
    let (chunks, first_block) = (fields.u32()? as usize, fields.u32()?);
    let length = RECORD_HEADER_BYTES + 20 + fields.0.len();
    if chunks == 0 || length != write_record_bytes(chunks, sealed) {
        return Err(malformed("a write's checksums"));
    }
    let mut checksums = Vec::with_capacity(chunks);
    for _ in 0..chunks {
        checksums.push(fields.u32()?);
    }
    let seals = sealed.then(|| decode_seals(fields, chunks)).transpose()?;
    Ok(Record::Write {
        layer,
        first_chunk,
        first_block,
        checksums,
        seals,
    })
}

fn decode_seals(fields: &mut Reader<'_>, chunks: usize) -> Result<WriteSeals> {
    let (opening, first) = (ContainerId(fields.u64()?), fields.u64()?);
    if opening.0 > CONTAINER_ID_MAX || first == 0 || first >= 1 << 55 {
        return Err(malformed("a write's seals"));
    }
    let tags = (0..chunks).map(|_| fields.array()).collect::<Result<_>>()?;
    Ok(WriteSeals {
        opening,
        first,
        tags,
    })
}

fn decode_snapshot(fields: &mut Reader<'_>) -> Result<Record> {
    let created_us = fields.u64()?;
    let mut cuts = Vec::new();
    while !fields.0.is_empty() {
        cuts.push(Cut {
            snapshot: SnapshotId(fields.uuid()?),
            volume: VolumeId(fields.uuid()?),
            new_head: fields.layer()?,
        });
    }
    Ok(Record::Snapshot { created_us, cuts })
}

fn malformed(what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("malformed journal record: {what}"),
    )
}

/// Takes fields off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (field, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| malformed("too short"))?;
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn uuid(&mut self) -> Result<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    fn layer(&mut self) -> Result<LayerId> {
        match self.u32()? {
            0 => Err(malformed("layer 0")),
            layer => Ok(LayerId(layer)),
        }
    }

    fn spec(&mut self) -> Result<(u64, DomainId, Packing)> {
        let size_bytes = self.u64()?;
        let domain = DomainId(self.uuid()?);
        let [packing] = self.array()?;
        let packing = Packing::from_code(packing).ok_or_else(|| malformed("a packing policy"))?;
        Ok((size_bytes, domain, packing))
    }
}

#[cfg(test)]
mod tests;
