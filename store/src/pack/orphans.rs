//! Giving back what a crash left in pack files without an owner.
//!
//! A container that was appended but never named by the index, or that the index has forgotten but
//! whose blocks were not given back yet, takes space for nothing. What is live is never touched, and
//! neither is the file being filled, so this can run beside everything else.

use super::files::PackSet;
use super::format::FILE_HEADER_BYTES;
use crate::disk::File;
use crate::error::{Error, Result};

/// What was given back to the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Whole files.
    pub(crate) files: u64,
    /// Length of those, and of the tails cut off the others.
    pub(crate) bytes: u64,
}

impl PackSet {
    /// Removes the files without any live container and gives back what is not live in the others.
    /// [`Self::adopt`] must have been called.
    pub(crate) fn remove_orphans(&self) -> Result<Removed> {
        let mut removed = Removed::default();
        for pack in self.packs()? {
            match self.settled(pack)? {
                None => {}
                Some(live) if live.is_empty() => {
                    // A crash may have cut the file's header short: it is not looked at.
                    removed.bytes += self.raw_len(pack);
                    self.remove_file(pack)?;
                    removed.files += 1;
                }
                Some(live) => {
                    let trimmed = trim(&*self.file(pack)?, &live);
                    let context = |e| Error::io(format!("trimming pack {pack}"), e);
                    removed.bytes += trimmed.map_err(context)?;
                }
            }
        }
        Ok(removed)
    }
}

/// Punches the gaps between live containers and cuts what follows the last. Gives the bytes cut.
fn trim(file: &dyn File, live: &[(u64, u32)]) -> std::io::Result<u64> {
    let mut end = FILE_HEADER_BYTES as u64;
    for (offset, len) in live {
        if *offset > end {
            file.punch(end, offset - end)?;
        }
        end = offset + u64::from(*len);
    }
    let cut = file.len()?.saturating_sub(end);
    if cut > 0 {
        file.set_len(end)?;
    }
    Ok(cut)
}
