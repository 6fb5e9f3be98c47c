//! Encrypted domains: which they are, sealing what is written to them, opening what is read, and
//! making and destroying their keys.
//!
//! Data is sealed before it gets into the journal's memory and again, compressed, before it gets into
//! a container; nothing but these two ever holds guests' bytes on their way to the disk.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::addr::{CHUNK_BYTES, ContainerId};
use crate::checkpoint::Stale;
use crate::chunk::DomainKey;
use crate::chunk::seal::{DataKey, KeyId, Kind, Nonce, Tag};
use crate::engine::Engine;
use crate::index::{DomainRow, LayerId};
use crate::journal::poisoned;
use crate::journal::record::{Record, WriteSeals};
use crate::keys::Sealing;
use crate::layer::{Chain, Layer};
use crate::pool_file::ENCRYPTION;
use crate::{DomainId, Encryption, Error, ErrorKind, Result, VolumeSpec};

thread_local! {
    /// Chunks of one append, sealed on their way to the journal.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A domain in memory.
pub(crate) struct Domain {
    /// Layers in it. An encrypted one without any is at its end.
    pub(crate) layers: usize,
    secret: Secret,
}

enum Secret {
    Plain(DomainKey),
    Sealed(Arc<Sealing>),
}

impl Domain {
    pub(crate) fn plain(key: [u8; 32]) -> Self {
        let secret = Secret::Plain(DomainKey::new(key));
        Self { layers: 0, secret }
    }

    pub(crate) fn sealed(id: DomainId, key_id: KeyId) -> Self {
        let secret = Secret::Sealed(Sealing::new(id, key_id));
        Self { layers: 0, secret }
    }

    /// The domain that a row describes.
    pub(crate) fn from_row(id: DomainId, row: DomainRow) -> Self {
        match row {
            DomainRow::Plain(key) => Self::plain(key.bytes()),
            DomainRow::Sealed(key_id) => Self::sealed(id, key_id),
        }
    }

    /// What the index holds of it.
    pub(crate) fn row(&self) -> DomainRow {
        match &self.secret {
            Secret::Plain(key) => DomainRow::Plain(key.clone()),
            Secret::Sealed(sealing) => DomainRow::Sealed(sealing.key_id),
        }
    }

    pub(crate) fn sealing(&self) -> Option<&Arc<Sealing>> {
        match &self.secret {
            Secret::Plain(_) => None,
            Secret::Sealed(sealing) => Some(sealing),
        }
    }

    pub(crate) fn encryption(&self) -> Encryption {
        match &self.secret {
            Secret::Plain(_) => Encryption::None,
            Secret::Sealed(_) => Encryption::DomainKey,
        }
    }

    /// Whether its key is of no use any more.
    pub(crate) fn is_to_be_erased(&self) -> bool {
        self.layers == 0 && self.sealing().is_some()
    }
}

/// What the packer needs of a domain.
pub(crate) struct Secrets {
    pub(crate) domain: DomainId,
    pub(crate) fingerprints: DomainKey,
    /// Of an encrypted domain.
    pub(crate) key: Option<Arc<DataKey>>,
}

/// Numbers for the nonces of journal blocks, for as long as the pool is open.
pub(crate) struct Nonces {
    /// A container id that is given to no container.
    opening: ContainerId,
    next: AtomicU64,
}

impl Nonces {
    pub(crate) fn new(opening: ContainerId) -> Self {
        let next = AtomicU64::new(1);
        Self { opening, next }
    }
}

impl Engine {
    /// The key of the domain that a disk is in; `None` when it is not encrypted.
    ///
    /// # Errors
    /// `KeyUnavailable`.
    pub(crate) fn key_of<'a>(&self, chain: &'a Chain) -> Result<Option<&'a DataKey>> {
        let sealing = chain.head().sealing.as_deref();
        let key = sealing.map(|sealing| self.keys.get(sealing)).transpose()?;
        Ok(key.map(Arc::as_ref))
    }

    /// Calls `append` with the chunks of `data` encrypted. No lock is held meanwhile.
    pub(crate) fn with_sealed<T>(
        &self,
        key: &DataKey,
        data: &[u8],
        append: impl FnOnce(&[u8], &WriteSeals) -> T,
    ) -> T {
        SEALED.with_borrow_mut(|sealed| {
            sealed.clear();
            sealed.extend_from_slice(data);
            let count = (data.len() / CHUNK_BYTES) as u64;
            let (opening, next) = (self.nonces.opening, &self.nonces.next);
            let first = next.fetch_add(count, Ordering::Relaxed);
            let seal = |(number, chunk): (u64, &mut [u8])| -> Tag {
                key.seal(Nonce::new(opening, number), Kind::Block, chunk)
            };
            let chunks = sealed.chunks_exact_mut(CHUNK_BYTES);
            let tags = (first..).zip(chunks).map(seal).collect();
            let seals = WriteSeals {
                opening,
                first,
                tags,
            };
            append(sealed, &seals)
        })
    }

    /// What the chunks of a layer are named and sealed with.
    ///
    /// # Errors
    /// `KeyUnavailable`.
    pub(crate) fn find_secrets(&self, layer: LayerId) -> Result<Secrets> {
        let state = self.state.read().expect(poisoned!());
        let corrupt = |what: String| Error::new(ErrorKind::Corrupt, what);
        let entry = state.layers.get(&layer);
        let entry = entry.ok_or_else(|| corrupt(format!("layer {} has no row", layer.0)))?;
        let id = entry.layer.domain;
        drop(state);
        let secrets = self.secrets_of_domain(id)?;
        secrets.ok_or_else(|| corrupt(format!("domain {id} has no key")))
    }

    /// What the chunks of a domain are named and sealed with; `None` when there is no such domain.
    ///
    /// # Errors
    /// `KeyUnavailable`.
    pub(crate) fn secrets_of_domain(&self, id: DomainId) -> Result<Option<Secrets>> {
        let state = self.state.read().expect(poisoned!());
        let Some(domain) = state.domains.get(&id) else {
            return Ok(None);
        };
        let sealing = match &domain.secret {
            Secret::Sealed(sealing) => Arc::clone(sealing),
            Secret::Plain(key) => {
                return Ok(Some(Secrets {
                    domain: id,
                    fingerprints: key.clone(),
                    key: None,
                }));
            }
        };
        // Files may have to be read.
        drop(state);
        let key = self.keys.get(&sealing)?;
        Ok(Some(Secrets {
            domain: id,
            fingerprints: key.fingerprints.clone(),
            key: Some(Arc::clone(key)),
        }))
    }

    /// Makes sure that a volume's domain is there. `structure` is held.
    ///
    /// # Errors
    /// `InvalidInput` when the domain is there and not as the volume wants it.
    pub(crate) fn ensure_domain(&self, spec: VolumeSpec) -> Result<()> {
        let id = spec.domain;
        let known = {
            let state = self.state.read().expect(poisoned!());
            state.domains.get(&id).map(Domain::encryption)
        };
        match (known, spec.encryption) {
            (Some(known), wanted) if known == wanted => Ok(()),
            (Some(_), _) => {
                let context = format!("domain {id} is encrypted, or the volume, and not both");
                Err(Error::new(ErrorKind::InvalidInput, context))
            }
            (None, Encryption::None) => {
                let mut key = [0; 32];
                self.io.random(&mut key);
                self.carry_out(&Record::Domain { domain: id, key })
            }
            (None, Encryption::DomainKey) => self.make_sealed_domain(id),
        }
    }

    /// Any encrypted domain.
    fn one_sealed_domain(&self) -> Option<Arc<Sealing>> {
        let state = self.state.read().expect(poisoned!());
        let mut sealed = state.domains.values().filter_map(Domain::sealing);
        sealed.next().cloned()
    }

    /// Tries the key of an encrypted domain, if there is one.
    pub(crate) fn probe_key(&self) -> Result<()> {
        match self.one_sealed_domain() {
            Some(sealing) => self.keys.get(&sealing).map(drop),
            None => Ok(()),
        }
    }

    fn make_sealed_domain(&self, domain: DomainId) -> Result<()> {
        let mut file = self.pool_file.lock().expect(poisoned!());
        file.require(ENCRYPTION, &*self.io, &self.dir)?;
        drop(file);
        let other = self.one_sealed_domain();
        let key_id = self.keys.create(domain, other.as_deref())?;
        self.carry_out(&Record::SealedDomain { domain, key_id })
    }

    /// Destroys the key of an encrypted domain that has no layer any more, and forgets it.
    pub(crate) fn erase_domain(&self, domain: DomainId) -> Result<()> {
        // Nobody makes a volume in it meanwhile.
        let _structure = self.structure.lock().expect(poisoned!());
        let unused = {
            let state = self.state.read().expect(poisoned!());
            let found = state.domains.get(&domain);
            found.is_some_and(Domain::is_to_be_erased)
        };
        if !unused {
            return Ok(());
        }
        let writer = self.index.write()?;
        writer.delete_domain(domain)?;
        self.commit_runs(writer, Stale::None)?;
        self.state
            .write()
            .expect(poisoned!())
            .domains
            .remove(&domain);
        if let Err(error) = self.keys.destroy(domain) {
            tracing::error!(%error, "the key of a deleted volume stays until the next opening");
        }
        Ok(())
    }

    /// Ends what an earlier run of the program left: domains without layers, keys without domains.
    pub(crate) fn erase_leftovers(&self) -> Result<()> {
        let unused: Vec<DomainId> = {
            let state = self.state.read().expect(poisoned!());
            let domains = state.domains.iter();
            let unused = domains.filter(|(_, domain)| domain.is_to_be_erased());
            unused.map(|(id, _)| *id).collect()
        };
        for domain in unused {
            self.erase_domain(domain)?;
        }
        let state = self.state.read().expect(poisoned!());
        self.keys
            .destroy_unknown(|domain| state.domains.contains_key(&domain))
    }
}

/// Whether a disk may be made on top of a layer: nothing crosses the border of an encrypted domain
/// but as a copy.
pub(crate) fn check_same_domain(spec: VolumeSpec, source: &Layer) -> Result<()> {
    let sealed = source.sealing.is_some();
    let wanted = spec.encryption == Encryption::DomainKey;
    if sealed == wanted && (!sealed || spec.domain == source.domain) {
        return Ok(());
    }
    let context = "a clone is encrypted as its source is, and in the same domain";
    Err(Error::new(ErrorKind::InvalidInput, context))
}
