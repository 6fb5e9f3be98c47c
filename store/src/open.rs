//! Opening and creating a pool.
//!
//! `pool.toml` is written first and makes a folder a pool; everything else is made on demand after
//! it, so a creation that was cut short goes on at the next opening.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use quick_cache::sync::Cache;

use crate::addr::{Address, ContainerId};
use crate::buffers::Buffers;
use crate::clearing::Cleared;
use crate::dedup::Dedup;
use crate::disk::{BLOCK_BYTES, Entry, File, Io, Space};
use crate::dump::Dumps;
use crate::encryption::{Domain, Nonces};
use crate::engine::{Engine, RunCache};
use crate::epoch::Epochs;
use crate::index::{CheckpointRow, Index, IndexRead, LayerId, LayerState, MetaFiles};
use crate::journal::record::Record;
use crate::journal::segment::Segment;
use crate::journal::{BUFFER_BYTES, ContainerIds, Journal, JournalSettings};
use crate::keys::Keys;
use crate::maintain::{Maintenance, Threads};
use crate::pack::LocalPlace;
use crate::pack::files::PackSet;
use crate::pack::reader::Reader;
use crate::places::Places;
use crate::pool_file::{FILE_NAME, PoolFile, SUMS};
use crate::recompress::Recompressor;
use crate::reserve::Reserve;
use crate::room::Ranges;
use crate::scrub::{Scrub, ScrubFile};
use crate::shares::Shares;
use crate::state::{Counters, State};
use crate::{Error, ErrorKind, OpenOptions, Result};

/// Container ids reserved at opening; checkpoints reserve more.
const CONTAINER_RESERVE: u64 = 1 << 16;
/// Segments that the raw tier holds at least: one is written while others are packed.
const QUOTA_SEGMENTS: u64 = 4;
/// Forwarding rows kept decoded: 8 KiB each.
const FORWARDS_CACHED: usize = 1024;
/// Buffers that are kept for batches to come, however little memory there is.
const IDLE_BUFFERS: usize = 8;

impl Engine {
    /// [`Self::open`], where a panic of redb is an error.
    pub(crate) fn open_guarded(
        io: Arc<dyn Io>,
        dir: &Path,
        master_key: PathBuf,
        options: OpenOptions,
    ) -> Result<Arc<Self>> {
        let open = || Self::open(io, dir, master_key, options);
        // Pages are checked as they are read; what redb concludes from them is its own affair.
        // Nothing outlives the attempt.
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            let context = "the metadata file is damaged: reading it does not end well";
            Err(Error::new(ErrorKind::Corrupt, context))
        })
    }

    /// Opens the pool in `dir`, or makes it.
    pub(crate) fn open(
        io: Arc<dyn Io>,
        dir: &Path,
        master_key: PathBuf,
        options: OpenOptions,
    ) -> Result<Arc<Self>> {
        make_folders(&*io, dir)?;
        let found = Found::open(&io, dir, &options)?;
        let engine = Arc::new(found.into_engine(io, dir, master_key, &options)?);
        engine.reserve.adjust();
        engine.count_ranges();
        engine.measure_room()?;
        engine.erase_leftovers()?;
        let damaged = Arc::downgrade(&engine);
        engine.index.on_damage(move || {
            if let Some(engine) = damaged.upgrade() {
                engine.journal.fail();
            }
        });
        Ok(engine)
    }
}

/// Makes the folders that are missing. A new pool's name becomes durable before anything in it is:
/// pool.toml, which comes next, does that for the folders inside.
fn make_folders(io: &dyn Io, dir: &Path) -> Result<()> {
    let is_pool = |entries: Vec<Entry>| entries.iter().any(|entry| entry.name == FILE_NAME);
    let is_new = !io.list(dir).is_ok_and(is_pool);
    for part in ["", "journal", "pack"] {
        let path = dir.join(part);
        io.create_dir(&path)
            .map_err(|e| Error::io(format!("creating {}", path.display()), e))?;
    }
    let parents = dir.ancestors().skip(1).take_while(|_| is_new);
    for parent in parents {
        let is_here = parent.as_os_str().is_empty();
        let folder = if is_here { Path::new(".") } else { parent };
        match io.sync_dir(folder) {
            // A folder that this user cannot read is older than the pool: it made none such.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                return Err(Error::io(format!("syncing {}", folder.display()), error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A pool as it is on the disk, its journal replayed.
struct Found {
    pool_file: PoolFile,
    space: Space,
    reserve: Arc<Reserve>,
    index: Index,
    /// The file behind `index`.
    meta: Arc<dyn File>,
    scrub_file: ScrubFile,
    checkpoint: CheckpointRow,
    containers: Arc<ContainerIds>,
    /// Layers merged away, and into which.
    merged: Vec<(LayerId, LayerId)>,
    state: State,
    packs: PackSet,
    buffers: Arc<Buffers>,
    journal: Journal,
}

impl Found {
    fn open(io: &Arc<dyn Io>, dir: &Path, options: &OpenOptions) -> Result<Self> {
        let mut pool_file = PoolFile::open(&**io, dir)?;
        let pool = *pool_file.id.as_bytes();
        let space = io
            .space(dir)
            .map_err(|e| Error::io("measuring free space", e))?;
        let reserve = Arc::new(Reserve::new(Arc::clone(io), dir));
        let cache_bytes = Shares(options.memory_bytes).index();
        let (index, meta) = open_index(&**io, dir, &pool_file, &reserve, cache_bytes)?;
        pool_file.require(SUMS, &**io, dir)?;
        let (scrub_file, _) = ScrubFile::load(&**io, dir);
        let (checkpoint, containers) = reserve_ids(&index, &**io, dir)?;
        let Loaded { mut state, merged } = load(&index, checkpoint.next_layer)?;
        let packs = PackSet::open(Arc::clone(io), dir.join("pack"), pool, checkpoint.next_pack)?;
        let shares = Shares(options.memory_bytes);
        let limit_bytes = shares.batches() + shares.frames();
        let buffers = Buffers::new(BUFFER_BYTES, IDLE_BUFFERS, limit_bytes);
        let settings = JournalSettings {
            io: Arc::clone(io),
            dir: dir.join("journal"),
            pool,
            segment_blocks: segment_blocks(space),
            prefill: options.prefill_journal,
            containers: Arc::clone(&containers),
            keep_bytes: shares.batches(),
            buffers: Arc::clone(&buffers),
        };
        let journal = open_journal(settings, checkpoint.applied_sequence, &index, &mut state)?;
        Ok(Self {
            pool_file,
            space,
            reserve,
            index,
            meta,
            scrub_file,
            checkpoint,
            containers,
            merged,
            state,
            packs,
            buffers,
            journal,
        })
    }

    /// Gives back what packs hold and no row names; the places of the rest.
    fn adopt_containers(&self) -> Result<Places> {
        let places: Places = self.index.read()?.containers()?.into_iter().collect();
        let live: Vec<LocalPlace> = places
            .iter()
            .map(|(_, row)| *row.location.local())
            .collect();
        self.packs.adopt(&live)?;
        self.packs.remove_orphans()?;
        Ok(places)
    }

    fn maintenance(&self, places: &Places, now_us: u64, options: &OpenOptions) -> Maintenance {
        let shares = Shares(options.memory_bytes);
        let dedup = Dedup::new(shares.hooks() as usize, options.fingerprints);
        let mut maintenance = Maintenance::new(self.checkpoint.applied_sequence, dedup, now_us);
        maintenance.unhooked = places.iter().map(|(id, _)| id).collect();
        maintenance.unhooked.sort_unstable();
        let opened_at = self.journal.cut();
        let merged = self.merged.iter();
        maintenance
            .merged
            .extend(merged.map(|(from, into)| (*from, (*into, opened_at))));
        maintenance.garbage = !places.is_empty();
        maintenance
    }

    fn into_engine(
        self,
        io: Arc<dyn Io>,
        dir: &Path,
        master_key: PathBuf,
        options: &OpenOptions,
    ) -> Result<Engine> {
        let no_ids = || Error::new(ErrorKind::Busy, "no container ids are reserved");
        let opening = ContainerId(self.containers.take(1).ok_or_else(no_ids)?);
        let places = self.adopt_containers()?;
        let (shares, now_us) = (Shares(options.memory_bytes), io.now_us());
        let maintenance = self.maintenance(&places, now_us, options);
        let (packs, reserve) = (Arc::new(self.packs), self.reserve);
        let pool = *self.pool_file.id.as_bytes();
        Ok(Engine {
            reader: Reader::new(
                Arc::clone(&packs),
                &self.buffers,
                shares.frames(),
                shares.directories(),
            ),
            buffers: self.buffers,
            keys: Keys::new(Arc::clone(&io), master_key, dir.join("keys")),
            nonces: Nonces::new(opening),
            pool_file: Mutex::new(self.pool_file),
            dumps: Dumps::new(Arc::clone(&io), dir, pool, Arc::clone(&reserve)),
            io,
            dir: dir.to_owned(),
            index: self.index,
            meta: self.meta,
            journal: self.journal,
            containers: self.containers,
            packs,
            state: RwLock::new(self.state),
            structure: Mutex::new(()),
            cut: RwLock::new(()),
            places: RwLock::new(places),
            forwards: Cache::new(FORWARDS_CACHED),
            run_cache: RunCache {
                version: RwLock::new(0),
                runs: Cache::new(shares.run_count()),
            },
            epochs: Epochs::default(),
            counters: Counters::default(),
            dedup_hit_bytes: 0.into(),
            raw_quota_bytes: raw_quota(self.space, options.raw_tier_bytes),
            shares,
            hook_bytes: maintenance.dedup.claimed_bytes(),
            maintenance: Mutex::new(maintenance),
            threads: Threads::default(),
            scrub: Scrub::new(options.scrub, &self.scrub_file),
            maintenance_queue: Mutex::new(()),
            reserve,
            recompressor: Recompressor::new(options.recompression, now_us),
            ranges: Ranges::default(),
            cleared: Cleared::default(),
            freed_bytes: 0.into(),
        })
    }
}

/// The index, which gives up the reserve rather than fail, and the file behind it.
fn open_index(
    io: &dyn Io,
    dir: &Path,
    pool_file: &PoolFile,
    reserve: &Arc<Reserve>,
    cache_bytes: u64,
) -> Result<(Index, Arc<dyn File>)> {
    let files = MetaFiles::open(io, &dir.join("meta.redb"), pool_file.requires(SUMS))
        .map_err(|e| Error::io("opening the metadata", e))?;
    let file = Arc::clone(&files.data);
    files.forget_cached();
    let reserve = Arc::clone(reserve);
    let relief = Arc::new(move || reserve.give_up());
    Ok((Index::open(files, cache_bytes, relief)?, file))
}

/// The journal, and in `state` all that it holds from `applied` on.
fn open_journal(
    settings: JournalSettings,
    applied: u64,
    index: &Index,
    state: &mut State,
) -> Result<Journal> {
    let forwarded: HashSet<ContainerId> = index.read()?.forwards()?.into_iter().collect();
    Journal::open(
        settings,
        applied,
        &|window| forwarded.contains(&window),
        &mut |_, segment, start_block, record| replay(state, segment, start_block, record),
    )
}

/// Refuses a pool that has data or dumps and no metadata: as an empty pool it would free all of them.
fn refuse_used(io: &dyn Io, dir: &Path) -> Result<()> {
    for (part, ending) in [("journal", ".wal"), ("pack", ""), ("dump", "")] {
        let listed = match io.list(&dir.join(part)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            listed => listed.map_err(|e| Error::io(format!("listing {part}"), e))?,
        };
        if listed.iter().any(|entry| entry.name.ends_with(ending)) {
            let context = format!("the metadata is gone, and what is in {part} is not");
            return Err(Error::new(ErrorKind::Corrupt, context));
        }
    }
    Ok(())
}

/// Reserves container ids durably before any is given out.
fn reserve_ids(
    index: &Index,
    io: &dyn Io,
    dir: &Path,
) -> Result<(CheckpointRow, Arc<ContainerIds>)> {
    let checkpoint = match index.read()?.checkpoint()? {
        Some(row) => row,
        None => {
            refuse_used(io, dir)?;
            CheckpointRow {
                next_container: 1,
                next_layer: 1,
                next_pack: 1,
                ..Default::default()
            }
        }
    };
    let containers = ContainerIds::new(checkpoint.next_container);
    let limit = checkpoint.next_container + CONTAINER_RESERVE;
    let writer = index.write()?;
    writer.put_checkpoint(&CheckpointRow {
        next_container: limit,
        clean: false,
        ..checkpoint
    })?;
    writer.commit()?;
    containers.reserve(limit);
    Ok((checkpoint, Arc::new(containers)))
}

/// What the index holds besides runs and containers.
struct Loaded {
    state: State,
    merged: Vec<(LayerId, LayerId)>,
}

fn load(index: &Index, next_layer: u32) -> Result<Loaded> {
    let reader = index.read()?;
    let (mut layers, mut merged) = (Vec::new(), Vec::new());
    for (id, row) in reader.layers()? {
        match (row.state, row.parent) {
            (LayerState::Merged, Some(into)) => merged.push((id, into)),
            _ => layers.push((id, row)),
        }
    }
    let domains = reader.domains()?.into_iter();
    let domains = domains.map(|(id, row)| (id, Domain::from_row(id, row)));
    let last_layer = next_layer.saturating_sub(1);
    let (volumes, snapshots) = (reader.volumes()?, reader.snapshots()?);
    let state = State::load(layers, volumes, snapshots, domains.collect(), last_layer)?;
    Ok(Loaded { state, merged })
}

/// Repeats what a record says happened.
fn replay(state: &mut State, segment: &Segment, start_block: u32, record: &Record) -> Result<()> {
    let (layer, first_chunk, chunks, address) = match record {
        Record::Write {
            layer,
            first_chunk,
            first_block,
            checksums,
            ..
        } => {
            let address = segment.address(start_block + first_block);
            (*layer, *first_chunk, checksums.len() as u64, address)
        }
        Record::Zero {
            layer,
            first_chunk,
            chunks,
        } => (*layer, *first_chunk, *chunks, Address::ZERO),
        Record::Trim {
            layer,
            first_chunk,
            chunks,
        } => (*layer, *first_chunk, *chunks, Address::HOLE),
        structural => return state.apply(structural),
    };
    let entry = state.layers.get(&layer).ok_or_else(|| {
        Error::new(
            ErrorKind::Corrupt,
            format!("a journal record names layer {}", layer.0),
        )
    })?;
    entry
        .layer
        .change(first_chunk, chunks, || Ok::<_, Error>(address))
        .map(|_| ())
}

/// Segments of 4 to 256 MiB: a thousandth of the disk, a power of two.
fn segment_blocks(space: Space) -> u32 {
    let bytes = (space.total_bytes / 1024).clamp(4 << 20, 256 << 20);
    (1 << bytes.ilog2()) / BLOCK_BYTES as u32
}

/// What is asked for, or a tenth of the disk, at least 8 GiB, at most a quarter of it; always enough
/// for some segments.
fn raw_quota(space: Space, asked_bytes: Option<u64>) -> u64 {
    let usual = (space.total_bytes / 10)
        .max(8 << 30)
        .min(space.total_bytes / 4);
    let segment_bytes = u64::from(segment_blocks(space)) * BLOCK_BYTES as u64;
    asked_bytes
        .unwrap_or(usual)
        .max(QUOTA_SEGMENTS * segment_bytes)
}
