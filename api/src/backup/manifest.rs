//! The manifest: the object with which a backup begins to exist.
//!
//! | bytes | field |
//! |---|---|
//! | 4, n | length of the description, the description as JSON |
//! | 4 | number of packs |
//! | 56 each | pack: id 16, length 4, chunks 4, digest of its directory 32 |
//! | 4 | number of pages |
//! | 40 each | page: window 4, length 4, digest 32 |
//!
//! It pins, by digests, every object that the backup is made of, and the manifest of its parent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::{Error, Result};
use super::pack::{PACK_BYTES_MAX, PackRow};
use super::seal::{self, Digest, Fields, Kind};

/// Longest manifest: that of 64 TiB without any duplicates.
pub(super) const MANIFEST_BYTES_MAX: u64 = 320 << 20;
const PACK_ROW_BYTES: usize = 56;
const PAGE_ROW_BYTES: usize = 40;

/// A backup that another builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Where it is, see `repository`.
    pub repository: String,
    /// Its id.
    pub id: Uuid,
    /// Digest of its manifest, in hex.
    pub digest: String,
}

/// How it was found out what a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Everything was read.
    Full,
    /// What the maps of two snapshots differ in was read.
    Map,
    /// Everything was read, and compared with the parent by hash.
    Fingerprint,
}

impl Method {
    /// The word for logs and events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Map => "map",
            Self::Fingerprint => "fingerprint",
        }
    }
}

/// What a backup is of. The volume's own facts are kept for whoever restores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The backup.
    pub id: Uuid,
    /// The backup it is the difference from.
    pub parent: Option<Ancestor>,
    /// How the difference was found.
    pub method: Method,
    /// Length of the disk.
    pub size_bytes: u64,
    /// The key of the chunks' hashes.
    pub key_id: String,
    /// The secret of encrypted chunks, wrapped by the master key, in hex; of a backup whose chunks are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// Microseconds since 1970.
    pub created_us: u64,
    /// The volume.
    pub volume: VolumeFacts,
}

/// What is known of the volume itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFacts {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// Whether a guest can start from it.
    pub bootable: bool,
    /// Length in bytes of the image it was filled from.
    pub source_length: Option<u64>,
}

/// A page of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRow {
    pub(super) window: u32,
    pub(super) length: u32,
    pub(super) digest: Digest,
}

/// Everything that a backup is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) description: Description,
    pub(super) packs: Vec<PackRow>,
    /// In order of window.
    pub(super) pages: Vec<PageRow>,
}

impl Manifest {
    /// The object.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(&self.description)
            .map_err(|error| Error::corrupt("the description", error))?;
        let mut body = (json.len() as u32).to_le_bytes().to_vec();
        body.extend_from_slice(&json);
        body.extend_from_slice(&(self.packs.len() as u32).to_le_bytes());
        for pack in &self.packs {
            body.extend_from_slice(pack.id.as_bytes());
            body.extend_from_slice(&pack.length.to_le_bytes());
            body.extend_from_slice(&pack.chunks.to_le_bytes());
            body.extend_from_slice(&pack.digest);
        }
        body.extend_from_slice(&(self.pages.len() as u32).to_le_bytes());
        for page in &self.pages {
            body.extend_from_slice(&page.window.to_le_bytes());
            body.extend_from_slice(&page.length.to_le_bytes());
            body.extend_from_slice(&page.digest);
        }
        let features = match &self.description.sealed {
            Some(_) => seal::SEALED,
            None => 0,
        };
        Ok(seal::seal_with(Kind::Manifest, features, &body))
    }

    /// Reads the object.
    pub(super) fn decode(object: &str, bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields::new(object, seal::open(object, Kind::Manifest, bytes)?);
        let length = fields.u32()? as usize;
        let description: Description = serde_json::from_slice(fields.bytes(length)?)
            .map_err(|error| Error::corrupt(object, error))?;
        let count = fields.count(PACK_ROW_BYTES)?;
        let packs: Result<Vec<PackRow>> =
            (0..count).map(|_| pack_row(object, &mut fields)).collect();
        let count = fields.count(PAGE_ROW_BYTES)?;
        let pages: Result<Vec<PageRow>> = (0..count).map(|_| page_row(&mut fields)).collect();
        fields.end()?;
        let (packs, pages) = (packs?, pages?);
        if !pages.is_sorted_by(|a, b| a.window < b.window) {
            return Err(Error::corrupt(object, "its pages are not in order"));
        }
        Ok(Self {
            description,
            packs,
            pages,
        })
    }

    /// The page of a window, if the backup has one.
    pub(super) fn page(&self, window: u32) -> Option<&PageRow> {
        let found = self.pages.binary_search_by_key(&window, |page| page.window);
        found.ok().map(|at| &self.pages[at])
    }
}

fn pack_row(object: &str, fields: &mut Fields<'_>) -> Result<PackRow> {
    let row = PackRow {
        id: Uuid::from_bytes(fields.array()?),
        length: fields.u32()?,
        chunks: fields.u32()?,
        digest: fields.array()?,
    };
    // Its directory, and what one chunk takes of it, are read at once.
    match u64::from(row.length) <= PACK_BYTES_MAX {
        true => Ok(row),
        false => Err(Error::corrupt(object, "it names a pack longer than any")),
    }
}

fn page_row(fields: &mut Fields<'_>) -> Result<PageRow> {
    Ok(PageRow {
        window: fields.u32()?,
        length: fields.u32()?,
        digest: fields.array()?,
    })
}
