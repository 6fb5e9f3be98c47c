//! A repository: where the backups of one project in one container lie.
//!
//! ```text
//! CONTAINER/PROJECT/repository              key of the chunks' hashes; written first, never changed
//! CONTAINER/PROJECT/writing/ID              a backup is being written
//! CONTAINER/PROJECT/packs/UUID              chunks
//! CONTAINER/PROJECT/backups/ID/map/WINDOW   pages of its map
//! CONTAINER/PROJECT/backups/ID/manifest     written last, removed first
//! CONTAINER/PROJECT/sweep                   packs are to be looked at when nobody writes
//! CONTAINER/PROJECT/sealed/DOMAIN/...       the same for an encrypted volume and its clones
//! ```
//!
//! Encrypted backups use the key that their manifest holds, and not that of their repository.

use object_store::path::{Path, PathPart};
use serde::{Deserialize, Serialize};
use store::Store;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};
use super::key::ChunkKey;
use super::manifest::{Ancestor, MANIFEST_BYTES_MAX, Manifest};
use super::pack::UNIT_BYTES;
use super::seal::{self, Digest, Kind, hex};
use super::target::Target;

/// Longest header or marker.
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// Longest name of a folder; file systems take 255 bytes.
const FOLDER_CHARS_MAX: usize = 120;
/// Increments on top of one another.
const CHAIN_MAX: usize = 4096;

/// The body of the object `repository`.
#[derive(Serialize, Deserialize)]
struct Header {
    /// Names the key, and nothing of it can be learnt from it.
    key_id: String,
    /// Key of the chunks' hashes, in hex. Whoever can read it can read the chunks too.
    key: String,
    unit_bytes: usize,
}

/// An open repository. Cheap to clone.
#[derive(Clone)]
pub(super) struct Repository {
    pub(super) target: Target,
    root: Path,
    /// The key of chunks: that of the repository, or of one encrypted backup.
    pub(super) key: ChunkKey,
}

/// The path of the repository of a project in a container.
pub fn path_of(container: &str, project: &str) -> String {
    folder(container).join(PathPart::from(project)).to_string()
}

/// The path of the repository of an encrypted volume and its clones.
pub fn sealed_path_of(container: &str, project: &str, domain: store::DomainId) -> String {
    let domain = domain.to_string();
    let project = folder(container).join(PathPart::from(project));
    project.join("sealed").join(domain.as_str()).to_string()
}

/// A container's name as the name of one folder.
fn folder(container: &str) -> Path {
    let path = Path::from_iter([PathPart::from(container)]);
    if path.as_ref().len() <= FOLDER_CHARS_MAX {
        return path;
    }
    Path::from_iter([format!("long-{}", blake3::hash(container.as_bytes()))])
}

impl Repository {
    /// Opens the repository at a path, as [`path_of`] makes them or an export record names them.
    ///
    /// # Errors
    /// `Missing` when there is none.
    pub(super) fn open(target: &Target, path: &str) -> Result<Self> {
        let root = Path::parse(path)
            .map_err(|_| Error::corrupt("the record", "its repository is no path"))?;
        let at = root.clone().join("repository");
        let bytes = target.get(&at, SMALL_BYTES_MAX)?;
        Self::read(target, root, &bytes)
    }

    fn read(target: &Target, root: Path, bytes: &[u8]) -> Result<Self> {
        let name = root.clone().join("repository").to_string();
        let body = seal::open(&name, Kind::Repository, bytes)?;
        let header: Header =
            serde_json::from_slice(body).map_err(|error| Error::corrupt(&name, error))?;
        let key = seal::from_hex(&header.key);
        let key = Zeroizing::new(key.ok_or_else(|| Error::corrupt(&name, "its key is none"))?);
        let key = ChunkKey::named(key);
        if header.key_id != key.id() || header.unit_bytes != UNIT_BYTES {
            return Err(Error::corrupt(&name, "its fields do not fit"));
        }
        Ok(Self {
            target: target.clone(),
            root,
            key,
        })
    }

    /// Opens the repository at a path, making it if there is none.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) fn open_or_create(target: &Target, path: &str) -> Result<Self> {
        match Self::open(target, path) {
            Err(error) if error.kind() == ErrorKind::Missing => {}
            opened => return opened,
        }
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(|error| {
            Error::new(
                ErrorKind::Target,
                format!("no random key to be had: {error}"),
            )
        })?;
        let header = Header {
            key: hex(key.as_ref()),
            key_id: ChunkKey::named(key).id(),
            unit_bytes: UNIT_BYTES,
        };
        let body =
            serde_json::to_vec(&header).map_err(|error| Error::corrupt("the new header", error))?;
        let root = Path::parse(path)
            .map_err(|_| Error::corrupt("the record", "its repository is no path"))?;
        let at = root.join("repository");
        // Another backup may have made it meanwhile: what is there counts.
        target.put_new(&at, seal::seal(Kind::Repository, &body))?;
        Self::open(target, path)
    }

    /// The same, with the key of an encrypted backup.
    pub(super) fn with_key(self, key: ChunkKey) -> Self {
        Self { key, ..self }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &str {
        self.root.as_ref()
    }

    pub(super) fn at(&self, name: &str) -> Path {
        self.root.clone().join(name)
    }

    pub(super) fn packs(&self) -> Path {
        self.at("packs")
    }

    pub(super) fn pack(&self, id: Uuid) -> Path {
        self.packs().join(id.to_string())
    }

    pub(super) fn writing(&self) -> Path {
        self.at("writing")
    }

    pub(super) fn backups(&self) -> Path {
        self.at("backups")
    }

    pub(super) fn pages(&self, backup: Uuid) -> Path {
        self.backups().join(backup.to_string()).join("map")
    }

    pub(super) fn page(&self, backup: Uuid, window: u32) -> Path {
        self.pages(backup).join(format!("{window:08x}"))
    }

    pub(super) fn manifest(&self, backup: Uuid) -> Path {
        self.backups().join(backup.to_string()).join("manifest")
    }

    /// The manifests of all backups, the latest first.
    pub(super) fn manifests(&self) -> Result<Vec<Manifest>> {
        let mut manifests = Vec::new();
        for folder in self.target.list(&self.backups())?.folders {
            let id = folder
                .filename()
                .and_then(|name| Uuid::parse_str(name).ok());
            if let Some(id) = id
                && let Some((manifest, _)) = self.find_manifest(id)?
            {
                manifests.push(manifest);
            }
        }
        manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.description.created_us));
        Ok(manifests)
    }

    /// Reads a manifest and its digest; `None` when there is no such backup.
    pub(super) fn find_manifest(&self, backup: Uuid) -> Result<Option<(Manifest, Digest)>> {
        let path = self.manifest(backup);
        let Some(bytes) = self.target.find(&path, MANIFEST_BYTES_MAX)? else {
            return Ok(None);
        };
        let name = path.to_string();
        let manifest = Manifest::decode(&name, &bytes)?;
        if manifest.description.id != backup {
            return Err(Error::corrupt(name, "it is of another backup"));
        }
        Ok(Some((manifest, seal::digest_of(&bytes))))
    }
}

/// One backup of a chain.
pub(super) struct Link {
    pub(super) repository: Repository,
    pub(super) manifest: Manifest,
}

/// A backup with all those it builds on, itself first.
pub(super) struct Chain {
    pub(super) links: Vec<Link>,
}

impl Chain {
    /// Reads the manifests of a backup and its ancestors, and checks that they are those meant.
    /// `keys` opens what encrypts chunks; without it chunks of encrypted backups cannot be read.
    ///
    /// # Errors
    /// `Missing` and `Corrupt`, naming the object, and `Store` without the master key.
    pub(super) fn open(target: &Target, backup: &Ancestor, keys: Option<&Store>) -> Result<Self> {
        let mut links: Vec<Link> = Vec::new();
        let mut next = Some(backup.clone());
        while let Some(wanted) = next {
            let mut repository = Repository::open(target, &wanted.repository)?;
            let name = repository.manifest(wanted.id);
            let Some((manifest, digest)) = repository.find_manifest(wanted.id)? else {
                return Err(Error::new(ErrorKind::Missing, format!("{name} is missing")));
            };
            if hex(&digest) != wanted.digest {
                return Err(Error::corrupt(name, "it is not the one that was recorded"));
            }
            let sealed = manifest.description.sealed.as_ref();
            if let (Some(wrapped), Some(keys)) = (sealed, keys) {
                let key = ChunkKey::unwrap(keys, repository.path(), wrapped)?;
                repository = repository.with_key(key);
            }
            let has_key = sealed.is_none() || keys.is_some();
            if has_key && manifest.description.key_id != repository.key.id() {
                return Err(Error::corrupt(name, "it was written under another key"));
            }
            if links.len() == CHAIN_MAX {
                return Err(Error::corrupt(
                    name,
                    "too many backups build on one another",
                ));
            }
            next = manifest.description.parent.clone();
            links.push(Link {
                repository,
                manifest,
            });
        }
        Ok(Self { links })
    }

    /// The backup itself.
    pub(super) fn newest(&self) -> &Manifest {
        &self.links[0].manifest
    }
}
