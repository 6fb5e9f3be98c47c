//! Opening a journal: which segments there are, and replaying what came after the checkpoint.
//!
//! Segments are taken in the order of their numbers. A segment counts up to the first sequence of
//! the next one: a batch behind that was cut off by an earlier recovery. The run of intact batches
//! may end only where nothing shows that more had been durable; otherwise the journal is damaged, and
//! opening refuses with the place. After a replay, appending goes on in a new segment: the bytes
//! behind the end of the old one are never written again, so a torn batch cannot come back.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, RwLock};

use crate::addr::ContainerId;
use crate::disk::Create;
use crate::journal::batch::Inner;
use crate::journal::format::SegmentHeader;
use crate::journal::recent::Recent;
use crate::journal::record::Record;
use crate::journal::scan::{Check, Scan};
use crate::journal::segment::{Segment, Spare};
use crate::journal::{Journal, JournalSettings, spare_files};
use crate::{Error, ErrorKind, Result};

/// Where recovery hands each record: its batch's sequence, the segment and the batch's first block.
pub(crate) type Apply<'a> = &'a mut dyn FnMut(u64, &Segment, u32, &Record) -> Result<()>;

impl Journal {
    /// Opens the journal in `settings.dir`, replaying every record after `applied_sequence`.
    ///
    /// # Errors
    /// `Corrupt` when durable records are missing; `UnsupportedFormat`; `NoSpace`; `Io`.
    pub(crate) fn open(
        settings: JournalSettings,
        applied_sequence: u64,
        is_packed: &dyn Fn(ContainerId) -> bool,
        apply: Apply<'_>,
    ) -> Result<Self> {
        let (numbered, spare_names) = list(&settings)?;
        let (mut spares, left_in_spares) = spare_files(&settings, &spare_names)?;
        let mut segments = BTreeMap::new();
        let mut next_sequence = applied_sequence + 1;
        let mut next_spare = next_spare_number(&spare_names);
        let (found, unused) = open_segments(&settings, &numbered, is_packed)?;
        for file in unused {
            spares.push(set_aside(&settings, file, &mut next_spare)?);
        }
        let next_number = next_number(&numbered, &left_in_spares);
        for (index, segment) in found.iter().enumerate() {
            let limit = found.get(index + 1).map(|next| next.header.first_sequence);
            let follows = found
                .get(index + 1)
                .is_some_and(|next| next.header.number == segment.header.number + 1);
            let last = recover(segment, limit, follows, applied_sequence, apply)?;
            next_sequence = next_sequence.max(last + 1);
            segments.insert(segment.header.first_container, Arc::clone(segment));
        }
        let begun = begin(&settings, spares, next_spare, next_number, next_sequence)?;
        segments.insert(
            begun.current.header.first_container,
            Arc::clone(&begun.current),
        );
        let journal = Self {
            io: settings.io,
            dir: settings.dir,
            segment_blocks: settings.segment_blocks,
            prefill: settings.prefill,
            containers: settings.containers,
            queue_bytes: Arc::clone(&begun.queue_bytes),
            recent: Arc::clone(&begun.recent),
            inner: Mutex::new(begun),
            making: Mutex::new(()),
            changed: Condvar::new(),
            room: Condvar::new(),
            segments_in_use: AtomicU64::new(segments.len() as u64),
            segments: RwLock::new(segments),
            pending: Condvar::new(),
        };
        journal.release_empty(&found)?;
        Ok(journal)
    }

    /// Gives back segments that an earlier opening began and nothing was written to.
    fn release_empty(&self, found: &[Arc<Segment>]) -> Result<()> {
        for segment in found {
            if segment.last_sequence() < segment.header.first_sequence {
                self.forget(segment);
                self.recycle(segment)?;
            }
        }
        Ok(())
    }
}

/// Numbered segment files in order, and the names of spares.
type FileNames = (Vec<(u64, String)>, Vec<String>);

fn list(settings: &JournalSettings) -> Result<FileNames> {
    let entries = settings
        .io
        .list(&settings.dir)
        .map_err(|e| Error::io(format!("listing {}", settings.dir.display()), e))?;
    let (mut numbered, mut spares) = (Vec::new(), Vec::new());
    for entry in entries {
        if entry.name.starts_with("spare-") {
            spares.push(entry.name);
        } else if let Some(number) = entry.name.strip_suffix(".wal").and_then(|n| n.parse().ok()) {
            numbered.push((number, entry.name));
        }
    }
    numbered.sort();
    Ok((numbered, spares))
}

/// A number that no file has, neither in its name nor in a header that an earlier life has left in it:
/// the file gets its name before its header, and a crash in between must not make the old one count.
fn next_number(numbered: &[(u64, String)], left_in_spares: &[u64]) -> u64 {
    let named = numbered.iter().map(|(number, _)| *number);
    let taken = named.chain(left_in_spares.iter().copied()).max();
    taken.map_or(1, |number: u64| number.saturating_add(1))
}

fn next_spare_number(names: &[String]) -> u64 {
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_prefix("spare-")?.parse::<u64>().ok());
    numbers.max().map_or(0, |number| number + 1)
}

/// Gives a file that is no segment the name of a spare. With that of a segment it would count as one
/// at a later opening, when nothing is left to say that it had been packed.
fn set_aside(settings: &JournalSettings, mut file: Spare, next_spare: &mut u64) -> Result<Spare> {
    let path = settings.dir.join(format!("spare-{next_spare:08}"));
    *next_spare += 1;
    settings
        .io
        .rename(&file.path, &path)
        .map_err(|e| Error::io(format!("giving back {}", file.path.display()), e))?;
    file.path = path;
    Ok(file)
}

/// Opens the numbered files: segments, and what is none. One whose header is not (or not yet) that of
/// its number is none: a crash came between its renaming and its first sync, before anything in it was
/// acknowledged.
fn open_segments(
    settings: &JournalSettings,
    numbered: &[(u64, String)],
    is_packed: &dyn Fn(ContainerId) -> bool,
) -> Result<(Vec<Arc<Segment>>, Vec<Spare>)> {
    let (mut found, mut unused) = (Vec::new(), Vec::new());
    for (index, (number, name)) in numbered.iter().enumerate() {
        let file = Spare::open(&*settings.io, settings.dir.join(name), Create::Never)?;
        match file.header()? {
            Some(header) if header.number == *number => {
                check_header(settings, &header, &file)?;
                if is_packed(ContainerId(header.first_container)) {
                    // Its renaming did not survive. It must not be packed again: its chunks are
                    // mapped elsewhere, and what says where would be lost.
                    unused.push(file);
                    continue;
                }
                found.push(Arc::new(file.into_segment(header)));
            }
            _ if index + 1 == numbered.len() && file.first_batch()? != Some(*number) => {
                unused.push(file);
            }
            _ => return Err(damaged(*number, "its header does not read")),
        }
    }
    Ok((found, unused))
}

fn check_header(settings: &JournalSettings, header: &SegmentHeader, file: &Spare) -> Result<()> {
    if header.pool != settings.pool {
        let context = format!("journal segment {} belongs to another pool", header.number);
        return Err(Error::new(ErrorKind::UnsupportedFormat, context));
    }
    if file.blocks()? < header.blocks {
        return Err(damaged(
            header.number,
            "the file is shorter than its header says",
        ));
    }
    Ok(())
}

/// Replays one segment and says the last sequence that counts: those from `limit` on do not. The
/// segment that begins there `follows` at once, unless others in between have been packed.
fn recover(
    segment: &Segment,
    limit: Option<u64>,
    follows: bool,
    applied_sequence: u64,
    apply: Apply<'_>,
) -> Result<u64> {
    // A closing directory is written with the last batches, before the sync: it proves nothing about
    // them, but what the index holds already had been durable.
    // One that names batches from the limit on speaks of some that an earlier recovery did not find.
    let trailer = segment.load_trailer()?;
    if let Some(trailer) = trailer
        && limit.is_none_or(|limit| trailer.last_sequence < limit)
        && trailer.last_sequence <= applied_sequence
    {
        segment.set_last_sequence(trailer.last_sequence);
        segment.set_written(segment.end_block());
        return Ok(trailer.last_sequence);
    }
    // The segment behind this one was begun when all of this was durable: what its blocks hold is
    // looked at when they are read, and damage costs those alone.
    let check = match limit {
        Some(_) => Check::RecordsOnly,
        None => Check::DataToo,
    };
    let mut scan = Scan::new(segment, check);
    while limit.is_none_or(|limit| scan.next_sequence() < limit) {
        let Some(batch) = scan.next()? else { break };
        for record in &batch.records {
            if let Record::Write {
                first_block,
                checksums,
                seals,
                ..
            } = record
            {
                segment.set_checksums(batch.start_block + first_block, checksums);
                if let Some(seals) = seals {
                    segment.set_seals(batch.start_block + first_block, seals);
                }
            }
            if batch.header.sequence > applied_sequence {
                apply(batch.header.sequence, segment, batch.start_block, record)?;
            }
        }
    }
    let last = scan.next_sequence() - 1;
    let missing = limit.is_some_and(|limit| follows && scan.next_sequence() < limit)
        || (limit.is_none() && (last < applied_sequence || scan.damaged_here()?));
    if missing {
        let place = format!("block {}: batch {} is damaged", scan.end_block(), last + 1);
        return Err(damaged(segment.header.number, &place));
    }
    segment.set_last_sequence(last);
    segment.set_written(scan.end_block());
    // What was read may be no further than a device's cache; nothing is acknowledged on top of it
    // before it is durable.
    segment.sync()?;
    Ok(last)
}

fn damaged(number: u64, what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("journal segment {number}: {what}"),
    )
}

/// The first segment to append to.
fn begin(
    settings: &JournalSettings,
    mut spares: Vec<Spare>,
    mut next_spare: u64,
    number: u64,
    first_sequence: u64,
) -> Result<Inner> {
    let spare = match spares.pop() {
        Some(spare) => spare,
        None => {
            let path = settings.dir.join(format!("spare-{next_spare:08}"));
            next_spare += 1;
            Spare::create(&*settings.io, path, settings.segment_blocks)?
        }
    };
    let windows = u64::from(
        settings
            .segment_blocks
            .div_ceil(crate::addr::CONTAINER_SLOTS),
    );
    let first_container = settings
        .containers
        .take(windows)
        .ok_or_else(|| Error::new(ErrorKind::Busy, "no container ids are reserved"))?;
    let mut epoch = [0; 8];
    settings.io.random(&mut epoch);
    let header = SegmentHeader {
        pool: settings.pool,
        number,
        epoch: u64::from_le_bytes(epoch),
        first_container,
        blocks: settings.segment_blocks,
        first_sequence,
    };
    let shared = Arc::new(spare.share());
    let current = Arc::new(spare.into_segment(header));
    let recent = Arc::new(Recent::new(
        Arc::clone(&settings.buffers),
        settings.keep_bytes as usize,
    ));
    Ok(Inner::new(current, shared, spares, next_spare, recent))
}
