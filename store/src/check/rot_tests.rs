//! Bit rot: a byte of any file of a pool is changed while it is closed.
//!
//! Then opening says so, or reading, or a check; or the byte means nothing: it lies where nothing is
//! stored. Never is anything read that was not written. As in `damage_tests`, what was damaged in the
//! last batches of the journal may be taken for a write that a power loss tore, and so may the last
//! transaction in the log of metadata, of which the check says that it does not know.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use crate::check;
use crate::check::Shadow;
use crate::damage_tests::files;
use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, Io};
use crate::index::{Index, MetaFiles};
use crate::model::{Model, Run, open};

const DIR: &str = "/pool";
/// The log of metadata that was being written.
const NEWEST_LOG: &str = "/pool/dump/00000002.log";
/// Files up to this size are gone through byte by byte.
const WHOLE_BYTES: u64 = 600;
/// Places tried in each larger file, and in the part of it where most is said.
const SAMPLES: usize = 60;
/// What begins a file.
const HEAD_BYTES: u64 = 512;

/// What became of a flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Refused,
    Unread,
    Checked,
    Doubted,
    Earlier,
    Nothing,
}

/// A pool with something of everything, and what its disk holds.
struct Subject {
    run: Run,
    /// Extents of packs in which every byte counts.
    live: Vec<(u64, u64, u64)>,
    /// The metadata as redb walks over it.
    walked: Index,
}

impl Subject {
    fn new(seed: u64) -> Self {
        let mut run = Run::new(seed, true);
        for _ in 0..50 {
            run.step();
        }
        run.engine().index.take_over_sums();
        run.store.dump_metadata().unwrap();
        run.store.reclaim_now().unwrap();
        run.store.dump_metadata().unwrap();
        for _ in 0..12 {
            run.step();
        }
        if let Some(id) = run.model.names().first() {
            run.store.volume(*id).unwrap().flush().unwrap();
        }
        let engine = run.engine();
        let places = engine.places.read().unwrap();
        let rows = places.iter().map(|(_, row)| *row.location.local());
        let mut live: Vec<(u64, u64, u64)> = rows
            .map(|place| {
                (
                    place.pack,
                    place.offset,
                    place.offset + u64::from(place.len),
                )
            })
            .collect();
        let packs: Vec<u64> = live.iter().map(|(pack, ..)| *pack).collect();
        live.extend(packs.into_iter().map(|pack| (pack, 0, 4096)));
        drop(places);
        let shadow = Shadow::unlocked(Arc::new(run.io.clone()));
        let files = MetaFiles::open(&shadow, Path::new("/pool/meta.redb"), false).unwrap();
        let walked = Index::open(files, 1 << 20, Arc::new(|| false)).unwrap();
        Self { run, live, walked }
    }

    fn disk(&self, rng: &mut SplitMix64) -> SimIo {
        let all = Crash::new(Survive::Everything);
        self.run.io.crash(usize::MAX, &all, rng)
    }

    /// Whether a byte may be anything.
    fn means_nothing(&self, path: &Path, at: u64, page: &[u8]) -> bool {
        let name = path.file_name().unwrap().to_str().unwrap();
        match name {
            "reserve" => true,
            "pool.toml" => true,
            // Capital letters are as good.
            "master.key" => page[at as usize].is_ascii_alphabetic(),
            // Copies of the header and what is behind them, which the next opening writes again; and
            // pages that nothing refers to.
            "meta.redb" if at < 4096 => at >= HEAD_BYTES,
            "meta.redb" => !self.walked.has_read((at / 4096) as usize),
            // Room that nothing was written to.
            "meta.sums" => page.iter().all(|byte| *byte == 0),
            _ if name.starts_with("spare-") || name.ends_with(".wal") => true,
            _ if name.ends_with(".pack") => {
                let number = u64::from_str_radix(name.trim_end_matches(".pack"), 16).unwrap();
                let counts = |(pack, from, to): &(u64, u64, u64)| {
                    *pack == number && (*from..*to).contains(&at)
                };
                !self.live.iter().any(counts)
            }
            _ => false,
        }
    }

    fn fate(&self, io: &SimIo) -> Result<Fate, String> {
        let checked = || {
            let io: Arc<dyn Io> = Arc::new(io.clone());
            check(&io, Path::new(DIR), Path::new(DIR).join("master.key"))
        };
        // First, as opening may mend what it finds.
        let report = checked().map_err(|error| format!("the check fails: {error}"))?;
        let store = match open(io) {
            Ok(store) => store,
            Err(_) if report.damages.is_empty() => return Err("check sees no reason".to_owned()),
            Err(_) => return Ok(Fate::Refused),
        };
        let found = match Model::of(&store) {
            Ok(found) => found,
            Err(_) if report.damages.is_empty() && report.unchecked.is_empty() => {
                return Err("read and not checked".to_owned());
            }
            Err(_) => return Ok(Fate::Unread),
        };
        let digest = found.digest();
        match self.run.model.difference(&found) {
            None if report.damages.is_empty() && report.unchecked.is_empty() => Ok(Fate::Nothing),
            None if report.damages.is_empty() => Ok(Fate::Doubted),
            None => Ok(Fate::Checked),
            Some(_) if self.run.history.iter().any(|step| step.digest == digest) => {
                Ok(Fate::Earlier)
            }
            Some(difference) => Err(difference),
        }
    }
}

/// Places to try in a file: all of a small one; of others anywhere, at the beginning, and where
/// something is.
fn places(io: &SimIo, path: &Path, rng: &mut SplitMix64) -> Vec<u64> {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    let len = file.len().unwrap();
    if len <= WHOLE_BYTES {
        return (0..len).collect();
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0).unwrap();
    let used: Vec<u64> = (0..len).filter(|at| bytes[*at as usize] != 0).collect();
    let mut places: Vec<u64> = (0..SAMPLES).map(|_| rng.below(len)).collect();
    places.extend((0..SAMPLES).map(|_| rng.below(len.min(HEAD_BYTES))));
    for _ in 0..SAMPLES {
        if let Some(at) = used.get(rng.below(used.len().max(1) as u64) as usize) {
            places.push(*at);
        }
    }
    places
}

/// Flips a bit and gives the page around it as it was.
fn flip(io: &SimIo, path: &Path, at: u64, bit: u64) -> Vec<u8> {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    let start = at / 4096 * 4096;
    let mut page = vec![0; (file.len().unwrap() - start).min(4096) as usize];
    file.read_at(&mut page, start).unwrap();
    let byte = page[(at - start) as usize];
    file.write_at(&[byte ^ 1 << bit], at).unwrap();
    page
}

fn rot(seed: u64) -> BTreeMap<Fate, usize> {
    let subject = Subject::new(seed);
    let mut rng = SplitMix64::new(seed ^ 0x0207);
    let mut paths = Vec::new();
    files(&subject.run.io, Path::new(DIR), &mut paths);
    let mut tally = BTreeMap::new();
    let mut failures = Vec::new();
    for path in paths {
        for at in places(&subject.run.io, &path, &mut rng) {
            let io = subject.disk(&mut rng);
            let bit = rng.below(8);
            let page = flip(&io, &path, at, bit);
            let fate = catch_unwind(AssertUnwindSafe(|| subject.fate(&io)));
            let fate = fate.unwrap_or_else(|_| Err("a panic".to_owned()));
            let is_journal = path.starts_with("/pool/journal");
            let wrong = match fate {
                Err(text) => Some(text),
                Ok(Fate::Nothing) if !subject.means_nothing(&path, at, &page) => {
                    Some("not noticed".to_owned())
                }
                Ok(Fate::Earlier) if !is_journal => Some("an earlier state".to_owned()),
                Ok(Fate::Doubted) if path != Path::new(NEWEST_LOG) => {
                    Some("taken for what may be right".to_owned())
                }
                Ok(fate) => {
                    *tally.entry(fate).or_default() += 1;
                    None
                }
            };
            let what = format!("{}, bit {bit} of byte {at}", path.display());
            failures.extend(wrong.map(|text| format!("{what}: {text}")));
        }
    }
    assert!(
        failures.is_empty(),
        "seed {seed}, {}: {failures:#?}",
        failures.len()
    );
    tally
}

#[test]
fn a_changed_byte_is_noticed_or_means_nothing() {
    let mut all: BTreeMap<Fate, usize> = BTreeMap::new();
    for seed in 0..2 {
        for (fate, count) in rot(seed) {
            *all.entry(fate).or_default() += count;
        }
    }
    println!("{all:?}");
    for fate in [Fate::Refused, Fate::Unread, Fate::Checked, Fate::Nothing] {
        assert!(all.get(&fate).is_some_and(|count| *count > 10), "{all:?}");
    }
}
