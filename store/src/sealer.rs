//! Keys for what leaves the pool encrypted, such as backups of encrypted volumes.
//!
//! A sealer has a random secret of its own, which exists outside of memory only as wrapped by the
//! master key, with whoever keeps the sealed bytes. A pool with the same master key, wherever it is,
//! opens it again; the volume's own key is not needed for that, nor kept alive by it.

use uuid::Uuid;

use crate::chunk::seal::{BadSeal, DataKey, Nonce, TAG_BYTES};
use crate::{Result, Store};

/// Seals and opens messages; made by [`Store::new_sealer`] and [`Store::open_sealer`].
pub struct Sealer {
    key: DataKey,
    wrapped: Vec<u8>,
}

/// Bytes that were not sealed by this sealer as the message that they are read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seal does not fit")]
pub struct SealError;

impl From<BadSeal> for SealError {
    fn from(_: BadSeal) -> Self {
        Self
    }
}

impl Store {
    /// A sealer with a new secret. `scope` names what it is for and must be said to open it again.
    ///
    /// # Errors
    /// `KeyUnavailable` without the pool's master key: there is one where there are encrypted volumes.
    pub fn new_sealer(&self, scope: Uuid) -> Result<Sealer> {
        let (key, wrapped) = self.engine().keys.new_wrapped(scope)?;
        let wrapped = wrapped.to_vec();
        Ok(Sealer { key, wrapped })
    }

    /// The sealer that a pool with the same master key made for `scope`.
    ///
    /// # Errors
    /// `KeyUnavailable` when the master key is missing or another, or `wrapped` is damaged or was
    /// made for something else.
    pub fn open_sealer(&self, scope: Uuid, wrapped: &[u8]) -> Result<Sealer> {
        let key = self.engine().keys.open_wrapped(scope, wrapped)?;
        let wrapped = wrapped.to_vec();
        Ok(Sealer { key, wrapped })
    }
}

impl Sealer {
    /// The secret as it may be kept beside what it seals.
    pub fn wrapped(&self) -> &[u8] {
        &self.wrapped
    }

    /// Names the secret without telling it.
    pub fn key_id(&self) -> Uuid {
        Uuid::from_bytes(self.key.id)
    }

    /// The name of a piece of data: equal for equal bytes, and telling nothing else without the key.
    pub fn name(&self, data: &[u8]) -> [u8; 32] {
        self.key.fingerprints.keyed_hash(data)
    }

    /// Encrypts a message and adds its tag. `place` says where the message belongs; no two messages
    /// of a sealer share one.
    pub fn seal(&self, place: &[u8], message: &mut Vec<u8>) {
        let tag = self.key.seal_at(nonce_of(place), place, message);
        message.extend_from_slice(&tag);
    }

    /// Decrypts what [`Self::seal`] made for this place. On an error the message is of no use.
    ///
    /// # Errors
    /// When anything differs.
    pub fn open(&self, place: &[u8], message: &mut Vec<u8>) -> std::result::Result<(), SealError> {
        let at = message.len().checked_sub(TAG_BYTES).ok_or(SealError)?;
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&message[at..]);
        message.truncate(at);
        Ok(self.key.open_at(nonce_of(place), place, message, &tag)?)
    }
}

/// A place as a nonce. Two places with one are as likely as two equal numbers of 96 bits, and would
/// show no more than whether their messages are equal.
fn nonce_of(place: &[u8]) -> Nonce {
    let hash = blake3::hash(place);
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&hash.as_bytes()[..12]);
    Nonce(nonce)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::SealError;
    use crate::ErrorKind;
    use crate::disk::sim::SimIo;
    use crate::disk::{Caching, Create, Io};
    use crate::model::{open, sealed, spec};
    use crate::{Store, VolumeId};

    const SCOPE: Uuid = Uuid::from_u128(7);

    /// A pool that has a master key, as it has an encrypted volume.
    fn pool(io: &SimIo) -> Store {
        io.set_space_bytes(1 << 30);
        let store = open(io).unwrap();
        let id = VolumeId(Uuid::from_u128(1));
        store.create_volume(id, sealed(spec(1 << 20), id)).unwrap();
        store
    }

    #[test]
    fn a_message_opens_in_its_place_only_and_elsewhere_with_the_same_master_key() {
        let io = SimIo::new(1);
        let store = pool(&io);
        let sealer = store.new_sealer(SCOPE).unwrap();
        let mut message = b"a message".to_vec();
        sealer.seal(b"here", &mut message);
        assert_eq!(message.len(), 9 + 16);
        assert!(!message.starts_with(b"a mess"));
        let again = store.open_sealer(SCOPE, sealer.wrapped()).unwrap();
        assert_eq!(again.key_id(), sealer.key_id());
        assert_eq!(again.name(b"x"), sealer.name(b"x"));
        let open = |place: &[u8], bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            again.open(place, &mut bytes).map(|()| bytes)
        };
        assert_eq!(open(b"here", &message).unwrap(), b"a message");
        assert_eq!(open(b"there", &message), Err(SealError));
        assert_eq!(open(b"here", &message[..15]), Err(SealError));
        message[3] ^= 1;
        assert_eq!(open(b"here", &message), Err(SealError));
        let other = store.new_sealer(SCOPE).unwrap();
        assert_ne!(other.key_id(), sealer.key_id());
    }

    #[test]
    fn a_wrapped_secret_opens_for_what_it_was_made_for_and_with_its_master_key() {
        let io = SimIo::new(1);
        let store = pool(&io);
        let sealer = store.new_sealer(SCOPE).unwrap();
        let kind =
            |scope, wrapped: &[u8]| store.open_sealer(scope, wrapped).err().map(|e| e.kind());
        let refused = Some(ErrorKind::KeyUnavailable);
        assert_eq!(kind(SCOPE, sealer.wrapped()), None);
        assert_eq!(kind(Uuid::from_u128(8), sealer.wrapped()), refused);
        assert_eq!(kind(SCOPE, &sealer.wrapped()[..100]), refused);
        for at in 0..sealer.wrapped().len() {
            let mut wrapped = sealer.wrapped().to_vec();
            wrapped[at] ^= 4;
            assert_eq!(kind(SCOPE, &wrapped), refused, "byte {at}");
        }
        // The file of a volume's key is no sealer, even for that very domain.
        let domain = Uuid::from_u128(1);
        let path = format!("/pool/keys/{domain}.key");
        let file = io
            .open(path.as_ref(), Create::Never, Caching::Buffered)
            .unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(kind(domain, &bytes), refused);
        let elsewhere = pool(&SimIo::new(2));
        let error = elsewhere
            .open_sealer(SCOPE, sealer.wrapped())
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
        assert!(error.to_string().contains("master key"), "{error}");
    }
}
