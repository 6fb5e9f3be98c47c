//! Sealing: encrypting journal blocks and frames of encrypted volumes so that changes are noticed.
//!
//! AES-256-GCM-SIV: a nonce that is used twice after all (a pool copied with its keys and run twice)
//! tells no more than that two plaintexts are equal. The nonce says where the bytes belong, and the
//! associated data what they are and in which domain; bytes moved elsewhere do not open.

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::aead::inout::InOutBuf;
use aes_gcm_siv::{Aes256GcmSiv, Key, KeyInit};
use zeroize::Zeroizing;

use super::DomainKey;
use crate::DomainId;
use crate::addr::ContainerId;

/// Bytes of an authentication tag.
pub(crate) const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// Bytes of a nonce that hold a container id, which has 38 bits.
const ID_BYTES: usize = 5;

/// What proves that sealed bytes are as they were sealed.
pub(crate) type Tag = [u8; TAG_BYTES];
/// Names a key without telling it.
pub(crate) type KeyId = [u8; 16];

/// A number used for one message only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce(pub(crate) [u8; NONCE_BYTES]);

impl Nonce {
    /// The nonce of message `number` (56 bits) of whoever was given `id`. Container ids are given out
    /// once: each goes to a container, whose frames are its messages, or to an opening of the pool,
    /// whose messages are the journal blocks it seals.
    pub(crate) fn new(id: ContainerId, number: u64) -> Self {
        let mut bytes = [0; NONCE_BYTES];
        bytes[..ID_BYTES].copy_from_slice(&id.0.to_le_bytes()[..ID_BYTES]);
        bytes[ID_BYTES..].copy_from_slice(&number.to_le_bytes()[..NONCE_BYTES - ID_BYTES]);
        Self(bytes)
    }
}

/// What sealed bytes are: nothing opens as anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A chunk in the journal.
    Block,
    /// A frame in a pack, compressed with this codec.
    Frame(super::compress::Codec),
    /// What leaves the pool; its place follows.
    Elsewhere,
}

impl Kind {
    fn bytes(self) -> [u8; 2] {
        match self {
            Self::Block => [1, 0],
            Self::Frame(codec) => [2, codec as u8],
            Self::Elsewhere => [3, 0],
        }
    }
}

/// Bytes that were not sealed as what they are read as, where they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSeal;

/// An AEAD key. Wiped when dropped.
pub(crate) struct SealingKey(Aes256GcmSiv);

impl SealingKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(Aes256GcmSiv::new(&Key::<Aes256GcmSiv>::from(*bytes)))
    }

    /// Encrypts in place.
    pub(crate) fn seal(&self, nonce: Nonce, associated: &[u8], data: &mut [u8]) -> Tag {
        let sealed =
            self.0
                .encrypt_inout_detached(&nonce.0.into(), associated, InOutBuf::from(data));
        sealed.expect("messages are far below 64 GiB").into()
    }

    /// Decrypts in place; on an error `data` is of no use.
    pub(crate) fn open(
        &self,
        nonce: Nonce,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), BadSeal> {
        let data = InOutBuf::from(data);
        let opened =
            self.0
                .decrypt_inout_detached(&nonce.0.into(), associated, data, &(*tag).into());
        opened.map_err(|_| BadSeal)
    }
}

/// The keys of an encrypted domain.
pub(crate) struct DataKey {
    /// Names it in the index and in containers.
    pub(crate) id: KeyId,
    /// With which its chunks are named.
    pub(crate) fingerprints: DomainKey,
    domain: DomainId,
    sealing: SealingKey,
}

impl DataKey {
    /// All keys of a domain follow from one random secret.
    pub(crate) fn derive(domain: DomainId, secret: &[u8; 32]) -> Self {
        let derive = |use_| Zeroizing::new(blake3::derive_key(use_, secret));
        Self {
            id: key_id("cinderblock 2026 data key id", secret),
            fingerprints: DomainKey::new(*derive("cinderblock 2026 fingerprints")),
            domain,
            sealing: SealingKey::new(&derive("cinderblock 2026 chunks")),
        }
    }

    fn associated(&self, kind: Kind) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(self.domain.0.as_bytes());
        bytes[16..].copy_from_slice(&kind.bytes());
        bytes
    }

    fn associated_at(&self, place: &[u8]) -> Vec<u8> {
        let mut bytes = self.associated(Kind::Elsewhere).to_vec();
        bytes.extend_from_slice(place);
        bytes
    }

    /// Encrypts in place what belongs somewhere outside the pool.
    pub(crate) fn seal_at(&self, nonce: Nonce, place: &[u8], data: &mut [u8]) -> Tag {
        self.sealing.seal(nonce, &self.associated_at(place), data)
    }

    /// Decrypts in place what [`Self::seal_at`] made; on an error `data` is of no use.
    pub(crate) fn open_at(
        &self,
        nonce: Nonce,
        place: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), BadSeal> {
        let associated = self.associated_at(place);
        self.sealing.open(nonce, &associated, data, tag)
    }

    /// Encrypts in place.
    pub(crate) fn seal(&self, nonce: Nonce, kind: Kind, data: &mut [u8]) -> Tag {
        self.sealing.seal(nonce, &self.associated(kind), data)
    }

    /// Decrypts in place; on an error `data` is of no use.
    pub(crate) fn open(
        &self,
        nonce: Nonce,
        kind: Kind,
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), BadSeal> {
        self.sealing.open(nonce, &self.associated(kind), data, tag)
    }
}

/// The name of a secret, for one use of it.
pub(crate) fn key_id(use_: &str, secret: &[u8; 32]) -> KeyId {
    let whole = blake3::derive_key(use_, secret);
    let mut id = [0; 16];
    id.copy_from_slice(&whole[..16]);
    id
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{BadSeal, DataKey, Kind, Nonce, SealingKey};
    use crate::DomainId;
    use crate::addr::ContainerId;
    use crate::chunk::compress::Codec;

    /// RFC 8452, appendix C.2: AES-256, eight bytes of plaintext, no associated data.
    #[test]
    fn the_cipher_is_the_standard_one() {
        let mut key = [0; 32];
        key[0] = 1;
        let mut nonce = [0; 12];
        nonce[0] = 3;
        let mut data = [1, 0, 0, 0, 0, 0, 0, 0];
        let tag = SealingKey::new(&key).seal(Nonce(nonce), &[], &mut data);
        assert_eq!(data, [0xc2, 0xef, 0x32, 0x8e, 0x5c, 0x71, 0xc8, 0x3b]);
        let expected = 0x8431_22130f7364b761e0b97427e3df28_u128;
        assert_eq!(tag, expected.to_be_bytes());
    }

    #[test]
    fn only_the_same_bytes_open_and_only_where_they_belong() {
        let key = |domain| DataKey::derive(DomainId(Uuid::from_u128(domain)), &[7; 32]);
        let nonce = |id, number| Nonce::new(ContainerId(id), number);
        let plain = [0x5a; 4096];
        let mut sealed = plain;
        let tag = key(1).seal(nonce(1, 2), Kind::Block, &mut sealed);
        let open = |domain, nonce, kind, flip: Option<usize>| {
            let (mut data, mut tag) = (sealed, tag);
            match flip {
                Some(bit) if bit < 8 * data.len() => data[bit / 8] ^= 1 << (bit % 8),
                Some(bit) => tag[(bit / 8) % 16] ^= 1 << (bit % 8),
                None => {}
            }
            key(domain)
                .open(nonce, kind, &mut data, &tag)
                .map(|()| data)
        };
        assert_eq!(open(1, nonce(1, 2), Kind::Block, None), Ok(plain));
        for bit in [0, 4095 * 8 + 7, 8 * 4096, 8 * 4096 + 127] {
            assert_eq!(open(1, nonce(1, 2), Kind::Block, Some(bit)), Err(BadSeal));
        }
        for (domain, nonce, kind) in [
            (2, nonce(1, 2), Kind::Block),
            (1, nonce(2, 2), Kind::Block),
            (1, nonce(1, 3), Kind::Block),
            (1, nonce(1, 2), Kind::Frame(Codec::Raw)),
        ] {
            assert_eq!(open(domain, nonce, kind, None), Err(BadSeal));
        }
    }

    #[test]
    fn nonces_tell_ids_and_numbers_apart() {
        let nonce = Nonce::new(ContainerId((1 << 38) - 1), (1 << 56) - 1);
        assert_eq!(nonce.0[..5], [0xff, 0xff, 0xff, 0xff, 0x3f]);
        assert_eq!(nonce.0[5..], [0xff; 7]);
        let low = Nonce::new(ContainerId(1), 2).0;
        assert_eq!(low, [1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    }
}
