//! Looking at a whole container, for scrub: everything that can be checked is.

use std::ops::Range;
use std::sync::Arc;

use super::LocalPlace;
use super::files::{PackSet, describe};
use super::format::{Bad, Directory, FILE_HEADER_BYTES, HEADER_BYTES, Header};
use super::handles;
use super::reader::{Manner, Patience, Request};
use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT, ContainerId};
use crate::chunk::{Fingerprint, fingerprint};
use crate::disk::{AlignedBuf, BLOCK_BYTES, Caching, Create, File};
use crate::encryption::Secrets;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::DomainId;
use crate::index::ContainerRow;

/// Damage of a container.
pub(crate) struct Wrong {
    /// The slots that cannot be read for it.
    pub(crate) slots: Range<u32>,
    /// What is wrong, with file, container and place.
    pub(crate) message: String,
}

/// What a look at a container gave.
pub(crate) struct Examined {
    pub(crate) wrong: Vec<Wrong>,
    /// Chunks whose content is what their names say.
    pub(crate) chunks: u32,
    /// Whether only checksums were compared, for lack of the key.
    pub(crate) sealed: bool,
    pub(crate) domain: DomainId,
    /// There if it could be read.
    directory: Option<Directory>,
}

impl Examined {
    /// Of a container of which nothing can be read.
    pub(crate) fn lost(row: &ContainerRow, message: String) -> Self {
        let slots = 0..u32::from(row.slots);
        Self {
            wrong: vec![Wrong { slots, message }],
            chunks: 0,
            sealed: false,
            domain: row.domain,
            directory: None,
        }
    }

    /// The name of a slot's chunk, if that can be told.
    pub(crate) fn name(&self, slot: u32) -> Option<Fingerprint> {
        let directory = self.directory.as_ref()?;
        directory.fingerprints.get(slot as usize).copied()
    }
}

/// Checks all of a container's bytes. `secrets` are those of its domain; without them, names are not
/// compared.
pub(crate) fn examine(
    id: ContainerId,
    row: &ContainerRow,
    secrets: Option<&Secrets>,
    bytes: &[u8],
) -> Examined {
    let place = row.location.local();
    let directory = match parse(bytes) {
        Ok(directory) => directory,
        Err(bad) => {
            let what = format!("directory of {}", describe(id, place));
            return Examined::lost(row, bad.error(&what).to_string());
        }
    };
    let header = &directory.header;
    let same = header.id == id
        && header.total_len == place.len
        && header.domain == row.domain
        && header.slots == u32::from(row.slots);
    if !same {
        let message = format!("{}: another container is there", describe(id, place));
        return Examined::lost(row, message);
    }
    let key = secrets.and_then(|secrets| secrets.key.as_deref());
    let has_key = header.key == key.map(|key| key.id);
    let mut examined = Examined {
        wrong: Vec::new(),
        chunks: 0,
        sealed: header.key.is_some() && !has_key,
        domain: row.domain,
        directory: None,
    };
    let request = Request {
        directory: &directory,
        place,
        key,
        manner: Manner::Passing,
        patience: Patience::None,
        start: 0,
    };
    for frame in 0..directory.frames.len() as u32 {
        let secrets = secrets.filter(|_| has_key);
        if let Err(error) = check_frame(&request, frame, secrets, bytes, &mut examined) {
            let slots = directory.slots_of(frame);
            let message = error.to_string();
            examined.wrong.push(Wrong { slots, message });
        }
    }
    examined.directory = Some(directory);
    examined
}

fn parse(bytes: &[u8]) -> std::result::Result<Directory, Bad> {
    let start = bytes.get(..HEADER_BYTES).ok_or(Bad::Short)?;
    let header = Header::parse(start)?;
    let tail = bytes
        .get(header.directory_offset as usize..)
        .ok_or(Bad::Short)?;
    Directory::parse(start, tail)
}

/// Checks one frame, and the chunks in it by their names.
fn check_frame(
    request: &Request<'_>,
    frame: u32,
    secrets: Option<&Secrets>,
    bytes: &[u8],
    examined: &mut Examined,
) -> Result<()> {
    let stored = bytes.get(request.stored(frame)).unwrap_or_default();
    request.check(frame..frame + 1, stored)?;
    let Some(secrets) = secrets else {
        return Ok(());
    };
    let directory = request.directory;
    let mut plain = vec![0; directory.plain_len(frame)];
    request.decode(frame, &mut stored.to_vec(), &mut plain)?;
    let first = frame << (u32::from(directory.header.frame_log2) - CHUNK_SHIFT);
    for (slot, chunk) in (first..).zip(plain.chunks_exact(CHUNK_BYTES)) {
        if !directory.is_live(slot) {
            continue;
        }
        let found = fingerprint(&secrets.fingerprints, chunk);
        let expected = directory.fingerprints[slot as usize];
        if found == expected {
            examined.chunks += 1;
            continue;
        }
        let what = request.describe();
        let message =
            format!("{what}, slot {slot}: its content is {found:?}, its name {expected:?}");
        let slots = slot..slot + 1;
        examined.wrong.push(Wrong { slots, message });
    }
    Ok(())
}

impl PackSet {
    fn open_direct(&self, pack: u64) -> Result<Arc<dyn File>> {
        let path = handles::path(&self.dir, pack);
        let open = self.io.open(&path, Create::Never, Caching::Direct);
        open.map_err(|e| Error::io(format!("opening {}", path.display()), e))
    }

    /// Checks the header of a file, on the disk itself.
    pub(crate) fn check_file(&self, pack: u64) -> Result<()> {
        let mut block = AlignedBuf::zeroed(FILE_HEADER_BYTES);
        let what = || format!("header of pack {pack}");
        handles::read(&*self.open_direct(pack)?, &mut block, 0, what)?;
        match super::format::parse_file_header(&block) {
            Ok(found) if found == (self.pool_id, pack) => Ok(()),
            Ok(_) => {
                let context = format!("pack {pack} belongs to another pool or number");
                Err(Error::new(ErrorKind::Corrupt, context))
            }
            Err(bad) => Err(bad.error(&what())),
        }
    }

    /// Reads all of a place past the page cache.
    pub(crate) fn read_from_disk(&self, place: &LocalPlace, out: &mut AlignedBuf) -> Result<()> {
        let file = self.open_direct(place.pack)?;
        handles::read(&*file, out, place.offset, || format!("pack {}", place.pack))
    }

    /// Reads all of a place as others see it.
    pub(crate) fn read_cached(&self, place: &LocalPlace, out: &mut [u8]) -> Result<()> {
        let file = self.file(place.pack)?;
        handles::read(&*file, out, place.offset, || format!("pack {}", place.pack))
    }

    /// As [`Self::read_from_disk`], block by block, with zeroes for those that do not read.
    pub(crate) fn read_what_reads(&self, place: &LocalPlace, out: &mut [u8]) -> Result<()> {
        let file = self.open_direct(place.pack)?;
        let mut block = AlignedBuf::zeroed(BLOCK_BYTES);
        for (offset, part) in (place.offset..)
            .step_by(BLOCK_BYTES)
            .zip(out.chunks_exact_mut(BLOCK_BYTES))
        {
            match file.read_at(&mut block, offset) {
                Ok(()) => part.copy_from_slice(&block),
                Err(_) => part.fill(0),
            }
        }
        Ok(())
    }

    /// Writes the bytes of a place again, durably; says whether that could be done.
    ///
    /// # Errors
    /// Of the sync: what else was to be made durable by it is then unknown too.
    pub(crate) fn rewrite(&self, place: &LocalPlace, bytes: &[u8]) -> Result<bool> {
        let file = self.file(place.pack)?;
        if let Err(error) = file.write_at(bytes, place.offset) {
            tracing::warn!(%error, "{place:?} cannot be written again");
            return Ok(false);
        }
        let synced = file.sync_data();
        synced.map_err(|e| Error::io(format!("syncing pack {}", place.pack), e))?;
        Ok(true)
    }
}
