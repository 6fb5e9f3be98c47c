//! How chunks of a backup are named, and encrypted if those of the volume are.
//!
//! A backup of an encrypted volume is sealed under a secret of its own, which its manifest holds as
//! the pool's master key wrapped it. Later backups of the volume take over the secret of the first,
//! so that they share chunks; it goes with the last manifest that has it. A daemon with the same
//! master key opens it, wherever it is; the volume's own key never leaves its pool.

use std::fmt;
use std::sync::Arc;

use store::{Sealer, Store};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::seal::{Digest, hex};

/// The key of a backup's chunks. Cheap to clone.
#[derive(Clone)]
pub(super) enum ChunkKey {
    /// Names them; they are as they were.
    Named(Arc<Zeroizing<Digest>>),
    /// Names and encrypts them.
    Sealed(Arc<Sealer>),
}

impl ChunkKey {
    pub(super) fn named(key: Zeroizing<Digest>) -> Self {
        Self::Named(Arc::new(key))
    }

    /// A new secret for encrypted backups in a repository.
    pub(super) fn generate(keys: &Store, repository: &str) -> Result<Self> {
        let sealer = keys.new_sealer(scope(repository))?;
        Ok(Self::Sealed(Arc::new(sealer)))
    }

    /// The secret that a manifest holds.
    pub(super) fn unwrap(keys: &Store, repository: &str, wrapped: &str) -> Result<Self> {
        let object = "the wrapped key of a backup";
        let bytes = from_hex(wrapped).ok_or_else(|| Error::corrupt(object, "it is no number"))?;
        let sealer = keys.open_sealer(scope(repository), &bytes)?;
        Ok(Self::Sealed(Arc::new(sealer)))
    }

    /// Names the key and tells nothing of it.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Named(key) => {
                let hash = blake3::derive_key("cinderblock backup key id 1", &***key);
                hex(&hash[..16])
            }
            Self::Sealed(sealer) => hex(sealer.key_id().as_bytes()),
        }
    }

    /// The name of a chunk.
    pub(super) fn name(&self, chunk: &[u8]) -> Digest {
        match self {
            Self::Named(key) => *blake3::keyed_hash(key, chunk).as_bytes(),
            Self::Sealed(sealer) => sealer.name(chunk),
        }
    }

    /// What encrypts, if anything does.
    pub(super) fn sealer(&self) -> Option<&Sealer> {
        match self {
            Self::Named(_) => None,
            Self::Sealed(sealer) => Some(sealer),
        }
    }

    /// The secret of encrypted chunks as manifests hold it.
    pub(super) fn wrapped(&self) -> Option<String> {
        self.sealer().map(|sealer| hex(sealer.wrapped()))
    }
}

impl fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkKey(..)")
    }
}

/// What a secret is for: a wrapped one that was put into another repository does not open.
fn scope(repository: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, repository.as_bytes())
}

/// The bytes that [`hex`] wrote.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |pair: &[u8; 2]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    pairs.iter().map(byte).collect()
}
