//! The first page of the metadata file, as bytes: redb's header, what the sums say of themselves, the
//! header twice again, and the list of those sums that `meta.sums` does not have yet.
//!
//! Pure: no I/O. A page is eight sectors, each of which a disk writes as a whole or which is seen by
//! its checksum to be torn. redb uses the first 320 bytes and nothing of the rest.

use crate::disk::BLOCK_BYTES;

/// Bytes of redb's header, at the start of its file.
pub(super) const HEADER_BYTES: usize = 320;
/// Bytes that redb sets last when it makes a file; zero in one whose making was cut short.
pub(super) const REDB_MAGIC_BYTES: usize = 9;
/// Entries that fit into the list.
pub(super) const LIST_MAX: usize = LIST_SECTORS * SECTOR_ENTRIES;

const SECTOR_BYTES: usize = 512;
const CRC_AT: usize = SECTOR_BYTES - 4;
const MAGIC: &[u8; 8] = b"CBSUMS\r\n";
const VERSION: u32 = 1;
/// Sectors before the list: the header and its two copies.
const LIST_FROM: usize = 3;
const LIST_SECTORS: usize = BLOCK_BYTES / SECTOR_BYTES - LIST_FROM;
const ENTRIES_AT: usize = 16;
const SECTOR_ENTRIES: usize = (CRC_AT - ENTRIES_AT) / 8;

/// redb's header.
pub(super) type Header = [u8; HEADER_BYTES];
/// The whole page.
pub(super) type Page = [u8; BLOCK_BYTES];

/// What is said of the sums beside redb's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Rising by one; the copy is that of its lowest bit.
    pub(super) counter: u64,
    /// Which list belongs to it: rises when `meta.sums` has taken over what was in the list.
    pub(super) epoch: u64,
    /// Blocks of sums that `meta.sums` has.
    pub(super) blocks: u32,
    /// Entries of the list that are durable for certain.
    pub(super) entries: u32,
    /// Whether nothing is known of any page, and the sums are to be learnt.
    pub(super) learning: bool,
}

/// A first page that was found.
pub(super) struct Front {
    /// redb's header.
    pub(super) header: Header,
    /// What belongs to it.
    pub(super) trailer: Trailer,
    /// Whether it comes from a copy.
    pub(super) restored: bool,
    /// Pages and their sums, in place of those in `meta.sums`; `None` where some are lost.
    pub(super) list: Option<Vec<(u32, u32)>>,
    copies: [Sector; 2],
}

type Sector = [u8; SECTOR_BYTES];

fn crc_of(sector: &Sector, number: usize) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&(number as u64).to_le_bytes()),
        &sector[..CRC_AT],
    )
}

fn seal(sector: &mut Sector, number: usize) {
    let crc = crc_of(sector, number);
    sector[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
}

fn is_sound(sector: &Sector, number: usize) -> bool {
    sector[CRC_AT..] == crc_of(sector, number).to_le_bytes()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    u32::from_le_bytes(bytes.expect("all offsets lie in the sector"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn encode_head(header: &Header, trailer: &Trailer) -> Sector {
    let mut sector = [0; SECTOR_BYTES];
    sector[..HEADER_BYTES].copy_from_slice(header);
    let (_, rest) = sector.split_at_mut(HEADER_BYTES);
    rest[..8].copy_from_slice(MAGIC);
    rest[8..12].copy_from_slice(&VERSION.to_le_bytes());
    rest[12..16].copy_from_slice(&u32::from(trailer.learning).to_le_bytes());
    rest[16..24].copy_from_slice(&trailer.counter.to_le_bytes());
    rest[24..32].copy_from_slice(&trailer.epoch.to_le_bytes());
    rest[32..36].copy_from_slice(&trailer.blocks.to_le_bytes());
    rest[36..40].copy_from_slice(&trailer.entries.to_le_bytes());
    seal(&mut sector, 0);
    sector
}

fn decode_head(sector: &Sector) -> Option<(Header, Trailer)> {
    let (header, rest) = sector.split_first_chunk::<HEADER_BYTES>()?;
    let known = rest.starts_with(MAGIC) && u32_at(rest, 8) == VERSION;
    let trailer = Trailer {
        learning: u32_at(rest, 12) != 0,
        counter: u64_at(rest, 16),
        epoch: u64_at(rest, 24),
        blocks: u32_at(rest, 32),
        entries: u32_at(rest, 36),
    };
    (known && is_sound(sector, 0)).then_some((*header, trailer))
}

fn encode_entries(trailer: &Trailer, number: usize, entries: &[(u32, u32)]) -> Sector {
    let mut sector = [0; SECTOR_BYTES];
    sector[..8].copy_from_slice(&trailer.epoch.to_le_bytes());
    sector[8..12].copy_from_slice(&(entries.len() as u32).to_le_bytes());
    sector[12..16].copy_from_slice(&trailer.blocks.to_le_bytes());
    for (slot, (page, sum)) in sector[ENTRIES_AT..CRC_AT].chunks_exact_mut(8).zip(entries) {
        slot[..4].copy_from_slice(&page.to_le_bytes());
        slot[4..].copy_from_slice(&sum.to_le_bytes());
    }
    seal(&mut sector, number);
    sector
}

/// What a sector of the list says.
enum Listed {
    Entries(Vec<(u32, u32)>),
    /// It is of this epoch, which began when `meta.sums` had taken over everything and has so many
    /// blocks since. The header that it belongs to never followed.
    Later(u64, u32),
    Lost,
}

/// Reads a sector of the list that must have `needed` entries at least.
fn decode_entries(sector: &Sector, number: usize, epoch: u64, needed: usize) -> Listed {
    let found = is_sound(sector, number).then(|| u64_at(sector, 0));
    let count = (u32_at(sector, 8) as usize).min(SECTOR_ENTRIES);
    match found {
        Some(found) if found == epoch && count >= needed => {
            let entries = sector[ENTRIES_AT..CRC_AT].chunks_exact(8).take(count);
            let entries = entries.map(|entry| (u32_at(entry, 0), u32_at(entry, 4)));
            Listed::Entries(entries.collect())
        }
        Some(found) if found > epoch => Listed::Later(found, u32_at(sector, 12)),
        _ if needed == 0 => Listed::Entries(Vec::new()),
        _ => Listed::Lost,
    }
}

/// Reads the list; `None` where some of it is lost.
fn decode_list(sectors: &[Sector], trailer: &mut Trailer) -> Option<Vec<(u32, u32)>> {
    let mut list = Vec::new();
    let mut later = None;
    let mut needed = trailer.entries as usize;
    let mut lost = needed > LIST_MAX;
    for (number, sector) in (LIST_FROM..).zip(sectors) {
        let here = needed.min(SECTOR_ENTRIES);
        needed -= here;
        match decode_entries(sector, number, trailer.epoch, here) {
            Listed::Entries(entries) => list.extend(entries),
            Listed::Later(epoch, blocks) => later = later.max(Some((epoch, blocks))),
            Listed::Lost => lost = true,
        }
    }
    if let Some((epoch, blocks)) = later {
        // What is left of that list is not to be taken for one that is begun now.
        trailer.epoch = epoch + 1;
        (trailer.blocks, trailer.entries) = (blocks, 0);
        return Some(Vec::new());
    }
    (!lost).then_some(list)
}

impl Front {
    /// What a page says; `None` when it says nothing.
    pub(super) fn decode(page: &Page) -> Option<Self> {
        let (sectors, _) = page.as_chunks::<SECTOR_BYTES>();
        let (head, rest) = sectors.split_first()?;
        let (copies, list) = rest.split_first_chunk::<2>()?;
        let found = decode_head(head);
        let restored = found.is_none();
        let newest = || {
            let copies = copies.iter().filter_map(decode_head);
            copies.max_by_key(|(_, trailer)| trailer.counter)
        };
        let (header, mut trailer) = found.or_else(newest)?;
        Some(Self {
            header,
            list: decode_list(list, &mut trailer),
            trailer,
            restored,
            copies: *copies,
        })
    }

    /// The first of all, for a file that has none yet.
    pub(super) fn unwritten() -> Self {
        Self {
            header: [0; HEADER_BYTES],
            trailer: Trailer::default(),
            restored: false,
            list: Some(Vec::new()),
            copies: [[0; SECTOR_BYTES]; 2],
        }
    }

    /// The page with another header, the next after this; entries of a list only ever follow those
    /// that it had before.
    pub(super) fn encode(&mut self, list: &[(u32, u32)]) -> Page {
        self.trailer.counter += 1;
        let head = encode_head(&self.header, &self.trailer);
        self.copies[(self.trailer.counter & 1) as usize] = head;
        let mut page = [0; BLOCK_BYTES];
        let (sectors, _) = page.as_chunks_mut::<SECTOR_BYTES>();
        sectors[0] = head;
        sectors[1..LIST_FROM].copy_from_slice(&self.copies);
        let mut rest = list;
        for (number, sector) in sectors.iter_mut().enumerate().skip(LIST_FROM) {
            let (here, behind) = rest.split_at(rest.len().min(SECTOR_ENTRIES));
            *sector = encode_entries(&self.trailer, number, here);
            rest = behind;
        }
        page
    }

    /// Whether the first sector of a page is what was written last.
    pub(super) fn is_in(&self, page: &Page) -> bool {
        page.starts_with(&encode_head(&self.header, &self.trailer))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::{Front, HEADER_BYTES, LIST_MAX, Page, SECTOR_BYTES, SECTOR_ENTRIES};
    use crate::disk::BLOCK_BYTES;

    fn list(count: usize, salt: u32) -> Vec<(u32, u32)> {
        (0..count as u32).map(|i| (i, i * 7 + salt)).collect()
    }

    /// Two pages that follow each other, the second with more in its list, and what was durable.
    fn two(first: usize, second: usize) -> (Front, Page, Page) {
        let mut front = Front::unwritten();
        front.header = [1; HEADER_BYTES];
        let old = front.encode(&list(first, 0));
        front.header = [2; HEADER_BYTES];
        front.trailer.entries = first as u32;
        let new = front.encode(&list(second, 0));
        (front, old, new)
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_not(bytes in prop::collection::vec(any::<u8>(), BLOCK_BYTES)) {
            let page: Page = bytes.try_into().unwrap();
            prop_assert!(Front::decode(&page).is_none());
        }

        #[test]
        fn a_torn_page_is_the_old_or_the_new(first in 0..200_usize, more in 0..100_usize, torn: u8) {
            let (_, old, new) = two(first, first + more);
            let mut page = old;
            for sector in (0..8).filter(|sector| torn >> sector & 1 == 1) {
                let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                page[range.clone()].copy_from_slice(&new[range]);
            }
            let found = Front::decode(&page).unwrap();
            prop_assert_eq!(found.header, [1 + (torn & 1); HEADER_BYTES]);
            prop_assert!(!found.restored);
            // What was durable is there in any case.
            let entries = found.list.unwrap();
            prop_assert!(list(first, 0).iter().all(|entry| entries.contains(entry)));
        }

        #[test]
        fn a_changed_byte_is_mended_or_seen(at in 0..BLOCK_BYTES, bit in 0..8_u32) {
            let (mut front, ..) = two(100, 150);
            front.trailer.entries = 150;
            let mut page = front.encode(&list(150, 0));
            page[at] ^= 1 << bit;
            let found = Front::decode(&page).unwrap();
            prop_assert_eq!(found.header, [2; HEADER_BYTES]);
            prop_assert_eq!(found.restored, at < SECTOR_BYTES);
            prop_assert_eq!(found.trailer, front.trailer);
            if let Some(entries) = found.list {
                prop_assert_eq!(entries, list(150, 0));
            } else {
                let sector = at / SECTOR_BYTES - 3;
                prop_assert!(sector <= 150 / SECTOR_ENTRIES);
            }
        }
    }

    #[test]
    fn a_list_of_a_later_epoch_takes_nothing_away() {
        let (mut front, _, old) = two(0, LIST_MAX);
        front.trailer.epoch += 1;
        front.trailer.blocks = 5;
        front.trailer.entries = 0;
        let new = front.encode(&list(3, 9));
        // The list is new and the header is not: everything is in `meta.sums`.
        let mut page = new;
        page[..SECTOR_BYTES].copy_from_slice(&old[..SECTOR_BYTES]);
        let found = Front::decode(&page).unwrap();
        assert_eq!((found.list.unwrap(), found.trailer.blocks), (Vec::new(), 5));
        // The header is new and the list is not.
        let mut page = old;
        page[..SECTOR_BYTES].copy_from_slice(&new[..SECTOR_BYTES]);
        assert_eq!(Front::decode(&page).unwrap().list.unwrap(), []);
        assert_eq!(Front::decode(&new).unwrap().list.unwrap(), list(3, 9));
    }
}
