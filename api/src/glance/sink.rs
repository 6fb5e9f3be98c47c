//! Where arriving bytes go: a volume of the store that grows as they come.
//!
//! Calls block. Memory is that of the piece; blocks of zeroes are not written, as the volume is new
//! and reads as zeroes there.

use store::{Durability, Store, VOLUME_BYTES_MAX, VolumeId};

use super::data;
use super::hashing::Hasher;
use super::records::{Hashes, ImageData, rounded};
use crate::fault::{Fault, FaultKind};
use crate::server::Services;

/// Bytes handled at a time.
pub(super) const PIECE_BYTES: usize = 1 << 20;
/// Length of a volume for data of which nobody said how long it is.
const FIRST_BYTES: u64 = 64 << 20;
/// Blocks that are looked at for zeroes: the store's chunks.
const BLOCK_BYTES: usize = 4096;

/// Takes bytes in order.
pub(super) struct Sink {
    data: ImageData,
    volume: store::Volume,
    capacity_bytes: u64,
    hasher: Hasher,
}

/// What a sink has taken.
pub(super) struct Taken {
    pub(super) data: ImageData,
    pub(super) hashes: Hashes,
}

/// What is told of more data than there is room for, or than a volume can hold.
fn too_large(why: &str) -> Fault {
    Fault::new(
        FaultKind::TooLarge,
        format!("Image storage media is full: {why}"),
    )
}

fn refused(error: store::Error) -> Fault {
    match error.kind() {
        store::ErrorKind::NoSpace => {
            too_large("There is not enough disk space on the image storage media.")
        }
        _ => Fault::internal(error),
    }
}

impl Sink {
    /// Makes the volume. `expected_bytes` is what the client says that it will send.
    pub(super) fn open(
        services: &Services,
        owner: Option<&str>,
        place: ImageData,
        expected_bytes: Option<u64>,
    ) -> Result<Self, Fault> {
        let capacity_bytes = rounded(expected_bytes.unwrap_or(FIRST_BYTES));
        if capacity_bytes > VOLUME_BYTES_MAX {
            return Err(too_large("The image is longer than a volume can be."));
        }
        let mut spec = data::spec(services, owner, &place);
        spec.size_bytes = capacity_bytes;
        let store = services.store_of(Some(&place.backend)).map_err(refused)?;
        let id = VolumeId(place.volume);
        store.create_volume(id, spec).map_err(refused)?;
        let volume = store.volume(id).map_err(refused)?;
        Ok(Self {
            data: ImageData {
                size_bytes: 0,
                ..place
            },
            volume,
            capacity_bytes,
            hasher: Hasher::new(),
        })
    }

    fn store<'s>(&self, services: &'s Services) -> Result<&'s Store, Fault> {
        services.store_of(Some(&self.data.backend)).map_err(refused)
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, services: &Services, piece: &[u8]) -> Result<(), Fault> {
        let end = self.data.size_bytes + piece.len() as u64;
        if end > self.capacity_bytes {
            self.grow(services, end)?;
        }
        self.hasher.update(piece);
        for (at, run) in runs(piece) {
            let offset = self.data.size_bytes + at as u64;
            self.volume
                .write(offset, run, Durability::Buffered)
                .map_err(refused)?;
        }
        self.data.size_bytes = end;
        Ok(())
    }

    /// Doubles the volume, so that growing costs little however long the data becomes.
    fn grow(&mut self, services: &Services, least_bytes: u64) -> Result<(), Fault> {
        let doubled = self.capacity_bytes.saturating_mul(2).min(VOLUME_BYTES_MAX);
        let wanted = rounded(least_bytes).max(doubled);
        if wanted > VOLUME_BYTES_MAX {
            return Err(too_large("The image is longer than a volume can be."));
        }
        self.resize(services, wanted)
    }

    fn resize(&mut self, services: &Services, bytes: u64) -> Result<(), Fault> {
        if bytes != self.capacity_bytes {
            let id = VolumeId(self.data.volume);
            let store = self.store(services)?;
            store.resize_volume(id, bytes).map_err(refused)?;
            self.capacity_bytes = bytes;
        }
        Ok(())
    }

    /// Cuts the volume to its length and makes everything durable.
    pub(super) fn close(mut self, services: &Services) -> Result<Taken, Fault> {
        self.resize(services, self.data.volume_bytes())?;
        self.volume.flush().map_err(refused)?;
        Ok(Taken {
            data: self.data,
            hashes: self.hasher.finish(),
        })
    }
}

/// The parts of a piece that are not zeroes, by whole blocks, each with its place.
pub(crate) fn runs(piece: &[u8]) -> Vec<(usize, &[u8])> {
    let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (number, block) in piece.chunks(BLOCK_BYTES).enumerate() {
        let (start, end) = (number * BLOCK_BYTES, number * BLOCK_BYTES + block.len());
        if is_zero(block) {
            continue;
        }
        match found.last_mut() {
            Some((_, last)) if *last == start => *last = end,
            _ => found.push((start, end)),
        }
    }
    let slices = found.into_iter();
    slices
        .map(|(start, end)| (start, &piece[start..end]))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{BLOCK_BYTES, runs};

    proptest! {
        #[test]
        fn runs_are_the_piece_without_its_zeroes(
            blocks in vec(any::<bool>(), 0..12), tail in 0_usize..BLOCK_BYTES,
        ) {
            let mut piece = Vec::new();
            for full in &blocks {
                piece.extend(vec![u8::from(*full); BLOCK_BYTES]);
            }
            piece.extend(vec![7; tail]);
            let mut again = vec![0; piece.len()];
            let mut last = None;
            for (at, run) in runs(&piece) {
                prop_assert!(last.is_none_or(|last| at > last), "runs that touch are one");
                again[at..at + run.len()].copy_from_slice(run);
                last = Some(at + run.len());
            }
            prop_assert_eq!(again, piece);
            let written: usize = runs(&vec![0; BLOCK_BYTES * 3]).len();
            prop_assert_eq!(written, 0);
        }
    }
}
