//! The secrets of encrypted domains: files that are wrapped by one master key.
//!
//! The master key lies in a file of its own, made with mode 0600 when the first encrypted volume is
//! created and never changed. Each encrypted domain has a random secret in `keys/DOMAIN.key`, sealed
//! with the master key. It is in no journal record and in no row: those leave old copies behind, and
//! a key must be gone once it is destroyed.
//!
//! Keys are looked for when somebody needs them, so that a missing master key concerns encrypted
//! volumes only, and putting it in its place needs no restart.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::chunk::seal::{DataKey, KeyId, Nonce, SealingKey, key_id};
use crate::disk::{Caching, Create, Io};
use crate::journal::poisoned;
use crate::{DomainId, Error, ErrorKind, Result};

/// What the line in the master key file begins with; 64 hexadecimal digits follow.
const MASTER_PREFIX: &str = "cinderblock-master-key-1:";
const MASTER_BYTES: usize = MASTER_PREFIX.len() + 65;
const FILE_MAGIC: [u8; 8] = *b"CBDKEY\r\n";
/// The same of a secret for what leaves the pool, which has the same form.
const SEALER_MAGIC: [u8; 8] = *b"CBSEAL\r\n";
const FILE_VERSION: u16 = 1;
/// Bytes of a domain's key file, and those in front of its secret, which the seal covers too.
const FILE_BYTES: usize = 124;
const FILE_HEAD: usize = 72;
/// What errors call a wrapped secret that is in no file of the pool.
const WRAPPED: &str = "the wrapped key";

/// Several pools of one process may share a master key file, and make it only once.
static MAKING: Mutex<()> = Mutex::new(());

/// A domain that is encrypted, and its keys once they were needed.
pub(crate) struct Sealing {
    pub(crate) domain: DomainId,
    pub(crate) key_id: KeyId,
    key: OnceLock<Arc<DataKey>>,
}

impl Sealing {
    /// The domain as the journal and the index know it.
    pub(crate) fn new(domain: DomainId, key_id: KeyId) -> Arc<Self> {
        let key = OnceLock::new();
        Arc::new(Self {
            domain,
            key_id,
            key,
        })
    }
}

struct MasterKey {
    id: KeyId,
    sealing: SealingKey,
}

/// The key files of a pool.
pub(crate) struct Keys {
    io: Arc<dyn Io>,
    master_path: PathBuf,
    dir: PathBuf,
    master: RwLock<Option<Arc<MasterKey>>>,
    loaded: AtomicU64,
}

impl Keys {
    /// The keys in `dir`, wrapped by the master key in `master_path`. Touches no file.
    pub(crate) fn new(io: Arc<dyn Io>, master_path: PathBuf, dir: PathBuf) -> Self {
        Self {
            io,
            master_path,
            dir,
            master: RwLock::default(),
            loaded: AtomicU64::new(0),
        }
    }

    /// How often keys were found; moves when what was locked may not be any more.
    pub(crate) fn loaded(&self) -> u64 {
        self.loaded.load(Ordering::Acquire)
    }

    /// The keys of a domain.
    ///
    /// # Errors
    /// `KeyUnavailable` when the master key or the domain's file is missing or another.
    pub(crate) fn get<'a>(&self, sealing: &'a Sealing) -> Result<&'a Arc<DataKey>> {
        if let Some(key) = sealing.key.get() {
            return Ok(key);
        }
        let key = Arc::new(self.load(sealing)?);
        self.loaded.fetch_add(1, Ordering::AcqRel);
        Ok(sealing.key.get_or_init(|| key))
    }

    /// Makes the key of a new domain; durable on return.
    ///
    /// # Errors
    /// `KeyUnavailable` when `others` (encrypted domains that exist) need another master key.
    pub(crate) fn create(&self, domain: DomainId, other: Option<&Sealing>) -> Result<KeyId> {
        // A new master key beside data of an old one would make the old one's loss final.
        if let Some(other) = other {
            self.get(other)?;
        }
        let master = self.master_or_new(other.is_none())?;
        let (key, bytes) = self.wrap_new(&master, FILE_MAGIC, domain);
        self.write_file(&bytes, domain)
            .map_err(|e| Error::io("writing a key file", e))?;
        Ok(key.id)
    }

    /// A new secret for what leaves the pool, and its wrapped form.
    ///
    /// # Errors
    /// `KeyUnavailable` without the master key.
    pub(crate) fn new_wrapped(&self, scope: Uuid) -> Result<(DataKey, [u8; FILE_BYTES])> {
        let master = self.master_or_new(false)?;
        Ok(self.wrap_new(&master, SEALER_MAGIC, DomainId(scope)))
    }

    /// The key that [`Self::new_wrapped`] made for `scope`, here or in another pool.
    ///
    /// # Errors
    /// `KeyUnavailable` when the master key is missing or another, or the bytes are not such a form.
    pub(crate) fn open_wrapped(&self, scope: Uuid, wrapped: &[u8]) -> Result<DataKey> {
        self.open(WRAPPED, SEALER_MAGIC, DomainId(scope), wrapped)
    }

    fn wrap_new(
        &self,
        master: &MasterKey,
        magic: [u8; 8],
        domain: DomainId,
    ) -> (DataKey, [u8; FILE_BYTES]) {
        let mut secret = Zeroizing::new([0; 32]);
        self.io.random(&mut *secret);
        let key = DataKey::derive(domain, &secret);
        let mut nonce = [0; 12];
        self.io.random(&mut nonce);
        let bytes = wrap(master, magic, Nonce(nonce), domain, key.id, &secret);
        (key, bytes)
    }

    /// Overwrites and removes the key of a domain.
    pub(crate) fn destroy(&self, domain: DomainId) -> Result<()> {
        let path = self.path(domain);
        let wipe = || {
            let file = self.io.open(&path, Create::Never, Caching::Buffered)?;
            let mut noise = vec![0; file.len()?.min(4096) as usize];
            self.io.random(&mut noise);
            file.write_at(&noise, 0)?;
            file.sync_data()?;
            self.io.remove(&path)?;
            self.io.sync_dir(&self.dir)
        };
        match wipe() {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("destroying {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }

    /// Destroys the keys of domains that are not `known`: their making or destruction was cut short.
    pub(crate) fn destroy_unknown(&self, known: impl Fn(DomainId) -> bool) -> Result<()> {
        let entries = match self.io.list(&self.dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            listed => listed.map_err(|e| Error::io("listing the keys", e))?,
        };
        for entry in entries {
            let domain = entry.name.strip_suffix(".key").map(Uuid::parse_str);
            if let Some(Ok(domain)) = domain
                && !known(DomainId(domain))
            {
                self.destroy(DomainId(domain))?;
            }
        }
        Ok(())
    }

    fn path(&self, domain: DomainId) -> PathBuf {
        self.dir.join(format!("{domain}.key"))
    }

    fn load(&self, sealing: &Sealing) -> Result<DataKey> {
        let path = self.path(sealing.domain);
        let bytes = self.read_small(&path, FILE_BYTES)?;
        let name = format!("the key file {}", path.display());
        let key = self.open(&name, FILE_MAGIC, sealing.domain, &bytes)?;
        if key.id != sealing.key_id {
            return Err(unusable(&name, "holds another key"));
        }
        Ok(key)
    }

    /// Opens a wrapped secret; `name` is what errors call it.
    fn open(&self, name: &str, magic: [u8; 8], domain: DomainId, bytes: &[u8]) -> Result<DataKey> {
        let bytes: &[u8; FILE_BYTES] = bytes
            .try_into()
            .map_err(|_| unusable(name, "has another length"))?;
        check_file(bytes, magic, domain).map_err(|what| unusable(name, what))?;
        let mut master = self.master_or_new(false)?;
        if bytes[40..56] != master.id {
            // The right one may have been put in its place since it was read.
            *self.master.write().expect(poisoned!()) = None;
            master = self.master_or_new(false)?;
        }
        if bytes[40..56] != master.id {
            let (needed, here) = (hex(&bytes[40..56]), hex(&master.id));
            let what = format!("holds master key {here}, and the data needs {needed}");
            return Err(unusable(&self.master_name(), &what));
        }
        let secret = unwrap(&master, bytes).ok_or_else(|| unusable(name, "does not open"))?;
        Ok(DataKey::derive(domain, &secret))
    }

    fn master_name(&self) -> String {
        format!("the key file {}", self.master_path.display())
    }

    /// The master key; made if that `may` be and it is not there.
    fn master_or_new(&self, may: bool) -> Result<Arc<MasterKey>> {
        if let Some(master) = &*self.master.read().expect(poisoned!()) {
            return Ok(Arc::clone(master));
        }
        let path = &self.master_path;
        let _one = MAKING.lock().expect(poisoned!());
        let text = match self.read_small(path, MASTER_BYTES) {
            Err(error) if may && error.is_not_found() => {
                self.make_master()
                    .map_err(|e| Error::io(format!("making {}", path.display()), e))?;
                self.read_small(path, MASTER_BYTES)?
            }
            read => read?,
        };
        let private = self.io.is_private(path);
        if !private.map_err(|e| Error::io(format!("looking at {}", path.display()), e))? {
            let what = "may be read by others: its mode must be 0600";
            return Err(unusable(&self.master_name(), what));
        }
        let secret = parse_master(&text);
        let secret =
            secret.ok_or_else(|| unusable(&self.master_name(), "is no master key file"))?;
        let master = Arc::new(MasterKey {
            id: key_id("cinderblock 2026 master key id", &secret),
            sealing: SealingKey::new(&secret),
        });
        *self.master.write().expect(poisoned!()) = Some(Arc::clone(&master));
        Ok(master)
    }

    fn make_master(&self) -> std::io::Result<()> {
        let mut secret = Zeroizing::new([0; 32]);
        self.io.random(&mut *secret);
        let text = Zeroizing::new(format!(
            "{MASTER_PREFIX}{}\n",
            *Zeroizing::new(hex(&*secret))
        ));
        let new = self.master_path.with_extension("new");
        let file = self.io.open(&new, Create::IfMissing, Caching::Buffered)?;
        file.set_len(0)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        self.io.rename(&new, &self.master_path)?;
        match self.master_path.parent() {
            Some(parent) => self.io.sync_dir(parent),
            None => Ok(()),
        }
    }

    fn write_file(&self, bytes: &[u8], domain: DomainId) -> std::io::Result<()> {
        self.io.create_dir(&self.dir)?;
        if let Some(pool) = self.dir.parent() {
            self.io.sync_dir(pool)?;
        }
        let path = self.path(domain);
        let file = self.io.open(&path, Create::IfMissing, Caching::Buffered)?;
        file.set_len(0)?;
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        self.io.sync_dir(&self.dir)
    }

    /// Reads a file of at most `len_max` bytes.
    fn read_small(&self, path: &Path, len_max: usize) -> Result<Zeroizing<Vec<u8>>> {
        let read = || {
            let file = self.io.open(path, Create::Never, Caching::Buffered)?;
            let len = file.len()?.min(len_max as u64 + 1) as usize;
            let mut bytes = Zeroizing::new(vec![0; len]);
            file.read_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        read().map_err(|e| {
            let context = format!("the key file {} cannot be read", path.display());
            Error::with_source(ErrorKind::KeyUnavailable, context, e)
        })
    }
}

fn unusable(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::KeyUnavailable, format!("{name} {what}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_master(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let digits = text.strip_prefix(MASTER_PREFIX.as_bytes())?;
    let digits = digits.strip_suffix(b"\n").unwrap_or(digits);
    let mut secret = Zeroizing::new([0; 32]);
    if digits.len() != 2 * secret.len() {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.as_chunks::<2>().0) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(secret)
}

/// The bytes of a wrapped secret.
fn wrap(
    master: &MasterKey,
    magic: [u8; 8],
    nonce: Nonce,
    domain: DomainId,
    id: KeyId,
    secret: &[u8; 32],
) -> [u8; FILE_BYTES] {
    let mut bytes = [0; FILE_BYTES];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..10].copy_from_slice(&FILE_VERSION.to_le_bytes());
    bytes[12..24].copy_from_slice(&nonce.0);
    bytes[24..40].copy_from_slice(domain.0.as_bytes());
    bytes[40..56].copy_from_slice(&master.id);
    bytes[56..72].copy_from_slice(&id);
    let mut sealed = *secret;
    let tag = master.sealing.seal(nonce, &bytes[..FILE_HEAD], &mut sealed);
    bytes[FILE_HEAD..104].copy_from_slice(&sealed);
    bytes[104..120].copy_from_slice(&tag);
    let crc = crc32c::crc32c(&bytes[..FILE_BYTES - 4]);
    bytes[FILE_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Whether the bytes are the wrapped secret of a domain; otherwise what is wrong.
fn check_file(
    bytes: &[u8; FILE_BYTES],
    magic: [u8; 8],
    domain: DomainId,
) -> std::result::Result<(), &'static str> {
    let (body, crc) = bytes.split_at(FILE_BYTES - 4);
    if crc32c::crc32c(body).to_le_bytes() != *crc {
        return Err("is damaged");
    }
    if bytes[..8] != magic || bytes[8..10] != FILE_VERSION.to_le_bytes() {
        return Err("is of an unknown format");
    }
    if bytes[24..40] != *domain.0.as_bytes() {
        return Err("belongs to another domain");
    }
    Ok(())
}

fn unwrap(master: &MasterKey, bytes: &[u8; FILE_BYTES]) -> Option<Zeroizing<[u8; 32]>> {
    let (mut nonce, mut secret, mut tag) = ([0; 12], Zeroizing::new([0; 32]), [0; 16]);
    nonce.copy_from_slice(&bytes[12..24]);
    secret.copy_from_slice(&bytes[FILE_HEAD..104]);
    tag.copy_from_slice(&bytes[104..120]);
    let opened = master
        .sealing
        .open(Nonce(nonce), &bytes[..FILE_HEAD], &mut *secret, &tag);
    opened.ok().map(|()| secret)
}

#[cfg(test)]
mod tests;
