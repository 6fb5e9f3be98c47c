//! Opening and creating a pool.
//!
//! `pool.toml` is written first and makes a folder a pool; everything else is made on demand after
//! it, so a creation that was cut short goes on at the next opening.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use quick_cache::sync::Cache;

use crate::addr::{Address, ContainerId};
use crate::dedup::Dedup;
use crate::disk::{BLOCK_BYTES, Io, Space};
use crate::dump::Dumps;
use crate::encryption::{Domain, Nonces};
use crate::engine::{Engine, RunCache};
use crate::epoch::Epochs;
use crate::index::{CheckpointRow, Index, IndexRead, LayerState, MetaFiles};
use crate::journal::record::Record;
use crate::journal::segment::Segment;
use crate::journal::{ContainerIds, Journal, JournalSettings};
use crate::keys::Keys;
use crate::maintain::{Maintenance, Threads};
use crate::pack::LocalPlace;
use crate::pack::files::PackSet;
use crate::pack::reader::Reader;
use crate::places::Places;
use crate::pool_file::{PoolFile, SUMS};
use crate::recompress::Recompressor;
use crate::reserve::Reserve;
use crate::room::Ranges;
use crate::scrub::{Scrub, ScrubFile};
use crate::state::{Counters, State};
use crate::{Error, ErrorKind, OpenOptions, Result};

/// Container ids reserved at opening; checkpoints reserve more.
const CONTAINER_RESERVE: u64 = 1 << 16;
/// Segments that the raw tier holds at least: one is written while others are packed.
const QUOTA_SEGMENTS: u64 = 4;
/// A cached run and its key, in bytes.
const SEEN_RUN_BYTES: u64 = 1200;
/// Forwarding rows kept decoded: 8 KiB each.
const FORWARDS_CACHED: usize = 1024;

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
        for part in ["", "journal", "pack"] {
            let path = dir.join(part);
            io.create_dir(&path)
                .map_err(|e| Error::io(format!("creating {}", path.display()), e))?;
        }
        let mut pool_file = PoolFile::open(&*io, dir)?;
        let pool = *pool_file.id.as_bytes();
        let space = io
            .space(dir)
            .map_err(|e| Error::io("measuring free space", e))?;
        let files = MetaFiles::open(&*io, &dir.join("meta.redb"), pool_file.requires(SUMS))
            .map_err(|e| Error::io("opening the metadata", e))?;
        let file = Arc::clone(&files.data);
        files.forget_cached();
        let reserve = Arc::new(Reserve::new(Arc::clone(&io), dir));
        let relief = Arc::clone(&reserve);
        let relief = Arc::new(move || relief.give_up());
        let index = Index::open(files, options.memory_bytes / 8, relief)?;
        pool_file.require(SUMS, &*io, dir)?;
        let (scrub_file, _) = ScrubFile::load(&*io, dir);
        let (checkpoint, containers) = reserve_ids(&index, &*io, dir)?;
        let loaded = load(&index, checkpoint.next_layer)?;
        let packs = PackSet::open(
            Arc::clone(&io),
            dir.join("pack"),
            pool,
            checkpoint.next_pack,
        )?;
        let mut state = loaded.state;
        let settings = JournalSettings {
            io: Arc::clone(&io),
            dir: dir.join("journal"),
            pool,
            segment_blocks: segment_blocks(space),
            prefill: options.prefill_journal,
            containers: Arc::clone(&containers),
            keep_bytes: (options.memory_bytes / 4) as usize,
        };
        let forwarded: HashSet<ContainerId> = index.read()?.forwards()?.into_iter().collect();
        let journal = Journal::open(
            settings,
            checkpoint.applied_sequence,
            &|window| forwarded.contains(&window),
            &mut |_, segment, start_block, record| replay(&mut state, segment, start_block, record),
        )?;
        let no_ids = || Error::new(ErrorKind::Busy, "no container ids are reserved");
        let opening = ContainerId(containers.take(1).ok_or_else(no_ids)?);
        let places: Places = index.read()?.containers()?.into_iter().collect();
        let live: Vec<LocalPlace> = places
            .iter()
            .map(|(_, row)| *row.location.local())
            .collect();
        packs.adopt(&live)?;
        packs.remove_orphans()?;
        let mut maintenance = Maintenance::new(
            checkpoint.applied_sequence,
            Dedup::new((options.memory_bytes / 8) as usize),
            io.now_us(),
        );
        maintenance.unhooked = places.iter().map(|(id, _)| id).collect();
        maintenance.unhooked.sort_unstable();
        let opened_at = journal.cut();
        maintenance.merged.extend(
            loaded
                .merged
                .into_iter()
                .map(|(from, to)| (from, (to, opened_at))),
        );
        maintenance.garbage = !places.is_empty();
        let packs = Arc::new(packs);
        let opened_us = io.now_us();
        let runs = (options.memory_bytes / 8 / SEEN_RUN_BYTES).max(64) as usize;
        let dumps = Dumps::new(Arc::clone(&io), dir, pool, Arc::clone(&reserve));
        let engine = Arc::new(Self {
            reader: Reader::new(
                Arc::clone(&packs),
                options.memory_bytes / 8,
                options.memory_bytes / 16,
            ),
            keys: Keys::new(Arc::clone(&io), master_key, dir.join("keys")),
            nonces: Nonces::new(opening),
            pool_file: Mutex::new(pool_file),
            io,
            dir: dir.to_owned(),
            index,
            meta: file,
            journal,
            containers,
            packs,
            state: RwLock::new(state),
            structure: Mutex::new(()),
            cut: RwLock::new(()),
            places: RwLock::new(places),
            forwards: Cache::new(FORWARDS_CACHED),
            run_cache: RunCache {
                version: RwLock::new(0),
                runs: Cache::new(runs),
            },
            epochs: Epochs::default(),
            counters: Counters::default(),
            dedup_hit_bytes: 0.into(),
            raw_quota_bytes: options
                .raw_tier_bytes
                .unwrap_or_else(|| raw_quota(space))
                .max(QUOTA_SEGMENTS * u64::from(segment_blocks(space)) * BLOCK_BYTES as u64),
            memory_bytes: options.memory_bytes,
            maintenance: Mutex::new(maintenance),
            threads: Threads::default(),
            dumps,
            scrub: Scrub::new(options.scrub, &scrub_file),
            maintenance_queue: Mutex::new(()),
            reserve,
            recompressor: Recompressor::new(options.recompression, opened_us),
            ranges: Ranges::default(),
            freed_bytes: 0.into(),
        });
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

/// Refuses a pool that has data or dumps and no metadata: as an empty pool it would free all of them.
fn refuse_used(io: &dyn Io, dir: &Path) -> Result<()> {
    for (part, ending) in [("journal", ".wal"), ("pack", ""), ("dump", "")] {
        let listed = match io.list(&dir.join(part)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
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
    merged: Vec<(crate::index::LayerId, crate::index::LayerId)>,
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

/// A tenth of the disk, at least 8 GiB, at most a quarter of it.
fn raw_quota(space: Space) -> u64 {
    (space.total_bytes / 10)
        .max(8 << 30)
        .min(space.total_bytes / 4)
}
