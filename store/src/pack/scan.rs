//! Finding containers in pack files without the index.

use super::LocalPlace;
use super::files::PackSet;
use super::format::{FILE_HEADER_BYTES, HEADER_BYTES, Header};
use crate::addr::ContainerId;
use crate::disk::BLOCK_BYTES;
use crate::error::{Error, Result};

impl PackSet {
    /// The containers in a file that lie outside of `known` places (offset and length, in order), as far
    /// as their headers, directories and footers are intact. What lies inside a known place is never
    /// looked at: guests' data that looks like a container is not taken for one.
    pub(crate) fn scan(
        &self,
        pack: u64,
        known: &[(u64, u32)],
    ) -> Result<Vec<(ContainerId, LocalPlace)>> {
        let file = self.file(pack)?;
        let failed = |e| Error::io(format!("reading pack {pack}"), e);
        let len = file.len().map_err(failed)?;
        let (mut at, mut found) = (FILE_HEADER_BYTES as u64, Vec::new());
        let mut known = known.iter().peekable();
        while at + HEADER_BYTES as u64 <= len {
            if let Some((offset, len)) = known.next_if(|(offset, _)| *offset <= at) {
                at = at.max(offset + u64::from(*len));
                continue;
            }
            let mut start = [0; HEADER_BYTES];
            file.read_at(&mut start, at).map_err(failed)?;
            let place = Header::parse(&start).ok().map(|header| {
                let len = header.total_len;
                let place = LocalPlace {
                    pack,
                    offset: at,
                    len,
                };
                (header.id, place)
            });
            let whole = place.filter(|(id, place)| self.read_directory(place, *id).is_ok());
            at += whole.map_or(BLOCK_BYTES as u64, |(_, place)| u64::from(place.len));
            found.extend(whole);
        }
        Ok(found)
    }
}
