//! Pages of a backup's map: which chunk each unit of a window of the disk is.
//!
//! A window is [`WINDOW_UNITS`] units, 32 GiB. Its page holds runs in order, after their number:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | first unit, counted from the window's start |
//! | 4 | units |
//! | 4 | pack by its place in the manifest; all ones: zeroes |
//! | 4 | slot of the first unit's chunk; the others follow it |
//!
//! A unit in no run is as in the parent, or zeroes when there is none.

use super::error::{Error, Result};
use super::pack::PackRow;
use super::seal::{self, Fields, Kind};

/// Units of a window.
pub(super) const WINDOW_UNITS: u64 = 1 << 20;
/// The pack of a run of zeroes.
pub(super) const ZEROES: u32 = u32::MAX;
/// Longest page: every unit a run of its own.
pub(super) const PAGE_BYTES_MAX: u64 = (WINDOW_UNITS + 16) * ROW_BYTES as u64;
const ROW_BYTES: usize = 16;

/// Units that follow one another in the disk and in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapRun {
    pub(super) first: u32,
    pub(super) units: u32,
    pub(super) pack: u32,
    pub(super) slot: u32,
}

/// A window's runs as they come in.
#[derive(Default)]
pub(super) struct Page {
    runs: Vec<MapRun>,
}

impl Page {
    /// Adds a unit behind all others.
    pub(super) fn push(&mut self, unit: u32, pack: u32, slot: u32) {
        if let Some(last) = self.runs.last_mut()
            && last.first + last.units == unit
            && last.pack == pack
            && (pack == ZEROES || last.slot + last.units == slot)
        {
            last.units += 1;
            return;
        }
        self.runs.push(MapRun {
            first: unit,
            units: 1,
            pack,
            slot,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The object.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = (self.runs.len() as u32).to_le_bytes().to_vec();
        for run in &self.runs {
            for number in [run.first, run.units, run.pack, run.slot] {
                body.extend_from_slice(&number.to_le_bytes());
            }
        }
        seal::seal(Kind::Map, &body)
    }
}

/// Reads a page and checks it against the manifest's packs.
pub(super) fn decode(object: &str, packs: &[PackRow], bytes: &[u8]) -> Result<Vec<MapRun>> {
    let mut fields = Fields::new(object, seal::open(object, Kind::Map, bytes)?);
    let count = fields.count(ROW_BYTES)?;
    let mut runs = Vec::with_capacity(count);
    let mut behind = 0;
    for _ in 0..count {
        let run = MapRun {
            first: fields.u32()?,
            units: fields.u32()?,
            pack: fields.u32()?,
            slot: fields.u32()?,
        };
        let end = u64::from(run.first) + u64::from(run.units);
        if u64::from(run.first) < behind || run.units == 0 || end > WINDOW_UNITS {
            return Err(Error::corrupt(object, "its runs are not in order"));
        }
        let slots = u64::from(run.slot) + u64::from(run.units);
        let in_pack = |pack: &PackRow| slots <= u64::from(pack.chunks);
        if run.pack != ZEROES && !packs.get(run.pack as usize).is_some_and(in_pack) {
            return Err(Error::corrupt(object, "it names chunks that no pack has"));
        }
        behind = end;
        runs.push(run);
    }
    fields.end()?;
    Ok(runs)
}
