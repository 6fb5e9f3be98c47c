//! The file `scrub`: how far a round came, when the last one ended, which containers are damaged.
//!
//! It is replaced as a whole. One that does not read costs the place to go on at, nothing else.
//! ARCHITECTURE.md has its bytes.

use std::path::Path;
use std::sync::Arc;

use crate::addr::ContainerId;
use crate::disk::{Caching, Create, File, Io};
use crate::scrub::Stage;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"CBSCRUB\n";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 72;
/// Damaged containers remembered; a disk with more of them is to be replaced.
const DAMAGED_MAX: usize = 4096;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScrubFile {
    /// Where the round under way goes on.
    pub(crate) stage: Option<(Stage, u64)>,
    pub(crate) begun_us: u64,
    pub(crate) finished_us: u64,
    /// When the next round is to begin.
    pub(crate) due_us: u64,
    /// Damages of the round that is under way or was the last, and those repaired.
    pub(crate) damages: u64,
    pub(crate) repairs: u64,
    pub(crate) damaged: Vec<ContainerId>,
}

impl ScrubFile {
    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (stage, position) = match self.stage {
            Some((stage, position)) => (stage as u32, position),
            None => (0, 0),
        };
        let damaged = &self.damaged[..self.damaged.len().min(DAMAGED_MAX)];
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&stage.to_le_bytes());
        let times = [position, self.begun_us, self.finished_us, self.due_us];
        let counts = [self.damages, self.repairs, damaged.len() as u64];
        let ids = damaged.iter().map(|id| id.0);
        for number in times.into_iter().chain(counts).chain(ids) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the bytes back; `None` if they are damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk()?;
        let sound = crc32c::crc32c(body) == u32::from_le_bytes(*crc);
        let (head, ids) = body.split_at_checked(HEAD_BYTES)?;
        let known = head.starts_with(MAGIC) && head.get(8..12)? == VERSION.to_le_bytes();
        (sound && known).then_some(())?;
        let code = u32::from_le_bytes(head.get(12..16)?.try_into().ok()?);
        let numbers = head[16..].as_chunks::<8>().0;
        let number = |at: usize| numbers.get(at).copied().map(u64::from_le_bytes);
        let stage = match code {
            0 => None,
            code => Some((Stage::from_code(code)?, number(0)?)),
        };
        let (ids, rest) = ids.as_chunks::<8>();
        let all_there = ids.len() as u64 == number(6)? && rest.is_empty();
        all_there.then_some(())?;
        Some(Self {
            stage,
            begun_us: number(1)?,
            finished_us: number(2)?,
            due_us: number(3)?,
            damages: number(4)?,
            repairs: number(5)?,
            damaged: ids
                .iter()
                .map(|id| ContainerId(u64::from_le_bytes(*id)))
                .collect(),
        })
    }

    /// Reads the file in `dir`; what is not there or not readable says nothing. The second answer is
    /// whether it is damaged.
    pub(crate) fn load(io: &dyn Io, dir: &Path) -> (Self, bool) {
        let read = || {
            let file = io.open(&dir.join("scrub"), Create::Never, Caching::Buffered)?;
            let len = file.len()?.min((HEAD_BYTES + 8 * DAMAGED_MAX + 4) as u64);
            let mut bytes = vec![0; len as usize];
            file.read_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        let read: std::io::Result<Vec<u8>> = read();
        match read {
            Ok(bytes) => Self::decode(&bytes).map_or((Self::default(), true), |file| (file, false)),
            Err(error) => {
                let absent = error.kind() == std::io::ErrorKind::NotFound;
                (Self::default(), !absent)
            }
        }
    }

    /// Replaces the file.
    pub(crate) fn save(&self, io: &dyn Io, dir: &Path) -> Result<()> {
        let (new, path) = (dir.join("scrub.new"), dir.join("scrub"));
        let bytes = self.encode();
        let replace = |file: Arc<dyn File>| {
            file.set_len(0)?;
            file.write_at(&bytes, 0)?;
            file.sync_data()?;
            io.rename(&new, &path)?;
            io.sync_dir(dir)
        };
        io.open(&new, Create::IfMissing, Caching::Buffered)
            .and_then(replace)
            .map_err(|e| Error::io("writing how far scrub came", e))
    }
}

#[cfg(test)]
mod tests {
    use super::ScrubFile;
    use crate::addr::ContainerId;
    use crate::scrub::Stage;

    #[test]
    fn it_is_as_documented_and_every_flipped_bit_is_noticed() {
        let file = ScrubFile {
            stage: Some((Stage::Containers, 0x0102)),
            begun_us: 3,
            finished_us: 4,
            due_us: 5,
            damages: 6,
            repairs: 7,
            damaged: vec![ContainerId(9)],
        };
        let bytes = file.encode();
        assert_eq!(bytes[..18], *b"CBSCRUB\n\x01\0\0\0\x04\0\0\0\x02\x01");
        assert_eq!(bytes.len(), 72 + 8 + 4);
        assert_eq!(ScrubFile::decode(&bytes), Some(file));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ScrubFile::decode(&bytes), None, "bit {bit}");
        }
    }
}
