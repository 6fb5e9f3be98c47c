//! Writing a backup.
//!
//! ```text
//! writing/ID ─► packs, pages ─► manifest ─► writing/ID removed ─► sweep, if one is due
//! ```
//!
//! Until the manifest is there, there is no backup, whatever else is. An attempt after a crash finds
//! the packs of the one before by their names and does not write their chunks again.

use std::collections::HashMap;

use object_store::path::Path;
use store::{Difference, Differences, ExtentKind, Snapshot, Store};

use super::error::Result;
use super::index::{self, Index, Known};
use super::key::ChunkKey;
use super::manifest::{Ancestor, Description, Manifest, Method, PageRow, VolumeFacts};
use super::map::{Page, WINDOW_UNITS, ZEROES};
use super::pack::{PackBuilder, PackRow, UNIT_BYTES};
use super::reader::{self, ChunkReader, Window};
use super::repository::{Chain, Repository};
use super::seal::{self, Digest, Kind, hex};
use super::sweep;
use super::target::Target;

const UNIT: u64 = UNIT_BYTES as u64;
/// Units between two calls of [`Watch`]: 1 MiB.
const PROGRESS_UNITS: u64 = 32;
/// Longest marker.
const MARKER_BYTES_MAX: u64 = 4096;
/// Extents of the disk asked for at once.
const EXTENTS_MAX: usize = 1024;

/// Told how far the work is; says when it must stop.
pub trait Watch {
    /// `done` of `all` bytes of the disk have been dealt with.
    ///
    /// # Errors
    /// `Interrupted` to stop.
    fn progress(&self, done: u64, all: u64) -> Result<()>;
}

/// A backup to be written.
pub struct Wanted<'a> {
    /// Its id.
    pub id: uuid::Uuid,
    /// Where to, as [`super::repository_path`] gives it.
    pub repository: &'a str,
    /// What is backed up.
    pub source: &'a Snapshot,
    /// Where it differs from the parent, if that is known from maps.
    pub differences: Option<Differences>,
    /// The backup that this is to be the difference from.
    pub parent: Option<Ancestor>,
    /// When it was asked for.
    pub created_us: u64,
    /// What it is of.
    pub volume: VolumeFacts,
    /// The pool whose master key guards the chunks' key, if they are to be encrypted.
    pub keys: Option<&'a Store>,
}

/// A backup that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Digest of its manifest, in hex.
    pub digest: String,
    /// Key of the chunks' hashes.
    pub key_id: String,
    /// Whether its chunks are encrypted.
    pub is_sealed: bool,
    /// How it was found out what to write.
    pub method: Method,
    /// Objects that it brought.
    pub objects: u64,
}

/// Writes a backup, or finds that it has been written.
///
/// # Errors
/// `Store` for what cannot be read, `Target`, and `Missing` or `Corrupt` for damage to what it
/// builds on. What was put so far stays for the next attempt; [`super::forget`] takes it away.
pub fn write(target: &Target, wanted: Wanted<'_>, watch: &dyn Watch) -> Result<Written> {
    let mut repository = Repository::open_or_create(target, wanted.repository)?;
    let marker = repository.writing().join(wanted.id.to_string());
    if let Some(keys) = wanted.keys {
        let key = key_for(&repository, keys, &marker)?;
        repository = repository.with_key(key);
    }
    // Before any chunk is looked up: from here on nobody removes packs. The next attempt at this
    // backup goes on with the key.
    let body = repository.key.wrapped().unwrap_or_default();
    target.put(&marker, seal::seal(Kind::Marker, body.as_bytes()))?;
    let written = match repository.find_manifest(wanted.id)? {
        Some((manifest, digest)) => Ok(Writer::written(&manifest, &digest)),
        None => write_new(&repository, wanted, watch),
    }?;
    target.delete(&marker)?;
    sweep::if_due(&repository);
    Ok(written)
}

/// The key of a new encrypted backup: that of an attempt before this one, that of a backup that is
/// there, with which it can share chunks, or a new one.
fn key_for(repository: &Repository, keys: &Store, marker: &Path) -> Result<ChunkKey> {
    let path = repository.path();
    if let Some(found) = repository.target.find(marker, MARKER_BYTES_MAX)? {
        let body = seal::open(marker.as_ref(), Kind::Marker, &found)?;
        let wrapped = std::str::from_utf8(body).unwrap_or_default();
        if let Ok(key) = ChunkKey::unwrap(keys, path, wrapped) {
            return Ok(key);
        }
    }
    for manifest in repository.manifests()? {
        let wrapped = manifest.description.sealed.as_ref();
        let key = wrapped.map(|wrapped| ChunkKey::unwrap(keys, path, wrapped));
        if let Some(Ok(key)) = key {
            return Ok(key);
        }
    }
    ChunkKey::generate(keys, path)
}

fn write_new(repository: &Repository, wanted: Wanted<'_>, watch: &dyn Watch) -> Result<Written> {
    let parent = wanted.parent.as_ref();
    let chain = parent.map(|parent| Chain::open(&repository.target, parent, wanted.keys));
    let chain = chain.transpose()?;
    let mut writer = Writer {
        repository,
        id: wanted.id,
        size_bytes: wanted.source.size_bytes(),
        index: Index::of(repository)?,
        packs: Vec::new(),
        numbers: HashMap::new(),
        building: None,
        own_packs: 0,
        page: Page::default(),
        window: 0,
        pages: Vec::new(),
        next_unit: 0,
        parent: None,
    };
    for (row, directory) in index::left_behind(repository, wanted.id)? {
        writer.index.learn(row, &directory);
        writer.own_packs += 1;
    }
    let method = match (&chain, wanted.differences) {
        (None, _) => {
            writer.take_all(wanted.source, watch)?;
            Method::Full
        }
        (Some(_), Some(differences)) => {
            writer.take_differences(wanted.source, differences, watch)?;
            Method::Map
        }
        (Some(chain), None) => {
            writer.parent = Some(Parent::new(chain));
            writer.take_all(wanted.source, watch)?;
            Method::Fingerprint
        }
    };
    let description = Description {
        id: wanted.id,
        parent: wanted.parent,
        method,
        size_bytes: writer.size_bytes,
        key_id: repository.key.id(),
        sealed: repository.key.wrapped(),
        created_us: wanted.created_us,
        volume: wanted.volume,
    };
    writer.finish(description)
}

/// What the backup builds on, when the two must be compared.
struct Parent<'a> {
    chain: &'a Chain,
    chunks: ChunkReader<'a>,
    window: Option<(u32, Window)>,
}

impl<'a> Parent<'a> {
    fn new(chain: &'a Chain) -> Self {
        Self {
            chain,
            chunks: ChunkReader::new(chain),
            window: None,
        }
    }

    /// The hash of a unit; `None` for zeroes.
    fn hash(&mut self, unit: u64) -> Result<Option<Digest>> {
        let number = (unit / WINDOW_UNITS) as u32;
        let units = self.chain.newest().description.size_bytes.div_ceil(UNIT);
        let first = u64::from(number) * WINDOW_UNITS;
        let window = match self.window.take() {
            Some((of, window)) if of == number => window,
            _ => reader::window(self.chain, number, units.saturating_sub(first))?,
        };
        let place = window.get((unit - first) as usize).copied().flatten();
        self.window = Some((number, window));
        place.map(|place| self.chunks.hash(place)).transpose()
    }
}

struct Writer<'a> {
    repository: &'a Repository,
    id: uuid::Uuid,
    size_bytes: u64,
    index: Index,
    /// The manifest's packs, by their number in the index, and back.
    packs: Vec<u32>,
    numbers: HashMap<u32, u32>,
    building: Option<(u32, PackBuilder)>,
    own_packs: u32,
    page: Page,
    window: u32,
    pages: Vec<PageRow>,
    /// The first unit that has not been dealt with.
    next_unit: u64,
    /// Set when units must be compared with those of the parent.
    parent: Option<Parent<'a>>,
}

impl Writer<'_> {
    /// Takes in the whole disk. What is known to be zeroes is not read.
    fn take_all(&mut self, source: &Snapshot, watch: &dyn Watch) -> Result<()> {
        let mut offset = 0;
        while offset < self.size_bytes {
            for extent in source.extents(offset, self.size_bytes - offset, EXTENTS_MAX)? {
                // Without a parent, what is in no run is zeroes anyway.
                if self.parent.is_some() || extent.kind == ExtentKind::Data {
                    self.take(source, Difference { offset, extent }, watch)?;
                }
                offset += extent.len;
                watch.progress(offset, self.size_bytes)?;
            }
        }
        Ok(())
    }

    fn take_differences(
        &mut self,
        source: &Snapshot,
        differences: Differences,
        watch: &dyn Watch,
    ) -> Result<()> {
        for difference in differences {
            self.take(source, difference?, watch)?;
        }
        Ok(())
    }

    /// Takes in the units that a range touches.
    fn take(&mut self, source: &Snapshot, range: Difference, watch: &dyn Watch) -> Result<()> {
        let mut unit = self.next_unit.max(range.offset / UNIT);
        while unit * UNIT < range.end() {
            let end = ((unit + 1) * UNIT).min(self.size_bytes);
            let inside = unit * UNIT >= range.offset && end <= range.end();
            if range.extent.kind != ExtentKind::Data && inside {
                self.take_zeroes(unit)?;
            } else {
                let mut bytes = vec![0; (end - unit * UNIT) as usize];
                source.read(unit * UNIT, &mut bytes)?;
                self.take_unit(unit, &bytes)?;
            }
            unit += 1;
            if unit.is_multiple_of(PROGRESS_UNITS) {
                watch.progress(unit * UNIT, self.size_bytes)?;
            }
        }
        self.next_unit = self.next_unit.max(unit);
        Ok(())
    }

    fn take_zeroes(&mut self, unit: u64) -> Result<()> {
        if let Some(parent) = &mut self.parent
            && parent.hash(unit)?.is_none()
        {
            return Ok(());
        }
        self.map(unit, ZEROES, 0)
    }

    fn take_unit(&mut self, unit: u64, bytes: &[u8]) -> Result<()> {
        if bytes.iter().all(|byte| *byte == 0) {
            return self.take_zeroes(unit);
        }
        let hash = self.repository.key.name(bytes);
        if let Some(parent) = &mut self.parent
            && parent.hash(unit)? == Some(hash)
        {
            return Ok(());
        }
        let known = match self.index.find(&hash) {
            Some(known) => known,
            None => self.store(hash, bytes)?,
        };
        let pack = self.number(known.pack);
        self.map(unit, pack, known.slot)
    }

    /// Puts a chunk into the pack that is being filled.
    fn store(&mut self, hash: Digest, bytes: &[u8]) -> Result<Known> {
        if self
            .building
            .as_ref()
            .is_some_and(|(_, pack)| pack.is_full())
        {
            self.put_pack()?;
        }
        let (pack, builder) = match &mut self.building {
            Some((pack, builder)) => (*pack, builder),
            none => {
                let id = index::pack_id(self.id, self.own_packs);
                let builder = PackBuilder::new(id, self.repository.key.clone());
                let (pack, builder) = none.insert((self.index.begin(id), builder));
                (*pack, builder)
            }
        };
        let slot = builder.add(hash, bytes);
        let known = Known { pack, slot };
        self.index.note(hash, known);
        Ok(known)
    }

    fn put_pack(&mut self) -> Result<()> {
        let Some((number, builder)) = self.building.take() else {
            return Ok(());
        };
        let path = self.repository.pack(builder.id);
        let (row, bytes) = builder.finish();
        self.repository.target.put(&path, bytes)?;
        self.index.packs[number as usize] = row;
        self.own_packs += 1;
        Ok(())
    }

    /// The number in the manifest of a pack of the index.
    fn number(&mut self, pack: u32) -> u32 {
        let next = self.packs.len() as u32;
        let number = *self.numbers.entry(pack).or_insert(next);
        if number == next {
            self.packs.push(pack);
        }
        number
    }

    fn map(&mut self, unit: u64, pack: u32, slot: u32) -> Result<()> {
        let window = (unit / WINDOW_UNITS) as u32;
        if window != self.window {
            self.put_page()?;
            self.window = window;
        }
        self.page.push((unit % WINDOW_UNITS) as u32, pack, slot);
        Ok(())
    }

    fn put_page(&mut self) -> Result<()> {
        let page = std::mem::take(&mut self.page);
        if page.is_empty() {
            return Ok(());
        }
        let bytes = page.encode();
        self.pages.push(PageRow {
            window: self.window,
            length: bytes.len() as u32,
            digest: seal::digest_of(&bytes),
        });
        let path = self.repository.page(self.id, self.window);
        self.repository.target.put(&path, bytes)
    }

    /// Puts what is left and, last, the manifest.
    fn finish(mut self, description: Description) -> Result<Written> {
        self.put_pack()?;
        self.put_page()?;
        let rows: Vec<PackRow> = self
            .packs
            .iter()
            .map(|n| self.index.packs[*n as usize])
            .collect();
        let manifest = Manifest {
            description,
            packs: rows,
            pages: std::mem::take(&mut self.pages),
        };
        let bytes = manifest.encode()?;
        let digest = seal::digest_of(&bytes);
        let path = self.repository.manifest(self.id);
        self.repository.target.put(&path, bytes)?;
        Ok(Self::written(&manifest, &digest))
    }

    fn written(manifest: &Manifest, digest: &Digest) -> Written {
        let id = manifest.description.id;
        let own = |number: &u32| {
            let id = index::pack_id(id, *number);
            manifest.packs.iter().any(|pack| pack.id == id)
        };
        let own = (0..manifest.packs.len() as u32).filter(own).count();
        Written {
            digest: hex(digest),
            key_id: manifest.description.key_id.clone(),
            is_sealed: manifest.description.sealed.is_some(),
            method: manifest.description.method,
            objects: (own + manifest.pages.len() + 1) as u64,
        }
    }
}
