//! Metadata dumps, where the pool does not open as well.

use std::path::Path;

use crate::Result;
use crate::disk::Io;
use crate::dump::examine::{Finding, Folder};
use crate::pool_file::PoolFile;

use super::CheckReport;

/// Looks at all dumps of the pool in `dir`.
pub(super) fn check(io: &dyn Io, dir: &Path, report: &mut CheckReport) -> Result<()> {
    let pool = PoolFile::read(io, dir).map(|pool| *pool.id.as_bytes());
    let folder = Folder::list(io, dir, *pool.as_ref().unwrap_or(&[0; 16]))?;
    if folder.numbers.is_empty() {
        return Ok(());
    }
    if let Err(error) = pool {
        report.unchecked.push(format!("metadata dumps: {error}"));
        return Ok(());
    }
    for (kind, number) in &folder.numbers {
        match folder.examine(*kind, *number) {
            Finding::Whole(bytes) => {
                report.dumps += 1;
                report.verified.bytes += bytes;
            }
            Finding::Damaged(message) => report.tell(message),
            Finding::Doubtful(place) => {
                let doubt = "a power loss has cut the last transaction short, or it is damaged";
                report.unchecked.push(format!("{place}: {doubt}"));
            }
        }
    }
    if let Some(message) = folder.missing() {
        report.tell(message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::check;
    use crate::CheckReport;
    use crate::disk::sim::SimIo;
    use crate::disk::{Caching, Create, Io};
    use crate::model::Run;

    const DUMPS: &str = "/pool/dump";

    /// A pool with two full dumps and their logs, each of many transactions; the second log goes on
    /// from the first.
    fn dumped() -> Run {
        let mut run = Run::new(4, false);
        for step in 1..=40 {
            run.step();
            if step % 4 == 0 {
                run.store.reclaim_now().unwrap();
            }
            if step == 15 || step == 30 {
                run.store.dump_metadata().unwrap();
            }
        }
        run
    }

    fn checked(io: &SimIo) -> CheckReport {
        let mut report = CheckReport::default();
        check(io, Path::new("/pool"), &mut report).unwrap();
        report
    }

    fn names(io: &SimIo) -> Vec<String> {
        let listed = io.list(Path::new(DUMPS)).unwrap();
        listed.into_iter().map(|entry| entry.name).collect()
    }

    fn content(io: &SimIo, name: &str) -> Vec<u8> {
        let path = Path::new(DUMPS).join(name);
        let file = io.open(&path, Create::Never, Caching::Buffered).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn put(io: &SimIo, name: &str, bytes: &[u8]) {
        let path = Path::new(DUMPS).join(name);
        let file = io.open(&path, Create::Never, Caching::Buffered).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_at(bytes, 0).unwrap();
    }

    /// Where the blocks of a file begin, and where the last ends.
    fn bounds(bytes: &[u8]) -> Vec<usize> {
        let mut bounds = vec![64];
        while let Some(start) = bounds.last().copied().filter(|at| *at < bytes.len()) {
            let stored = u32::from_le_bytes(bytes[start + 28..start + 32].try_into().unwrap());
            bounds.push(start + 40 + stored as usize);
        }
        bounds
    }

    #[test]
    fn whole_dumps_are_counted() {
        let run = dumped();
        let report = checked(&run.io);
        assert_eq!((report.damages, report.unchecked), (vec![], vec![]));
        assert_eq!(report.dumps, 4);
        let bytes: usize = names(&run.io)
            .iter()
            .map(|n| content(&run.io, n).len())
            .sum();
        assert_eq!(report.verified.bytes, bytes as u64);
    }

    #[test]
    fn each_changed_byte_of_each_dump_is_told_with_its_file_and_block() {
        let run = dumped();
        let names = names(&run.io);
        let newest_log = names.iter().rfind(|name| name.ends_with(".log")).unwrap();
        for name in &names {
            let whole = content(&run.io, name);
            let bounds = bounds(&whole);
            assert!(
                name.ends_with(".full") || bounds.len() > 3,
                "{name}: {bounds:?}"
            );
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                put(&run.io, name, &bytes);
                let report = checked(&run.io);
                let block = bounds.iter().rfind(|start| **start <= at).copied();
                let place = format!("dump/{name}, byte {}: ", block.unwrap_or(0));
                let is_last = bounds[bounds.len() - 2] <= at;
                let told = if name == newest_log && is_last {
                    assert_eq!(report.damages, [], "{at} of {name}");
                    report.unchecked
                } else {
                    assert_eq!(report.unchecked, [] as [String; 0], "{at} of {name}");
                    report.damages.into_iter().map(|one| one.message).collect()
                };
                assert!(
                    told.len() == 1 && told[0].starts_with(&place),
                    "{at} of {name}: {told:?}"
                );
                assert_eq!(report.dumps, 3);
            }
            put(&run.io, name, &whole);
        }
    }

    #[test]
    fn a_log_may_end_anywhere_and_a_full_dump_may_not() {
        let run = dumped();
        for name in names(&run.io) {
            let whole = content(&run.io, &name);
            let bounds = bounds(&whole);
            for len in 0..whole.len() {
                put(&run.io, &name, &whole[..len]);
                let report = checked(&run.io);
                let is_newest = name == "00000002.log";
                let expected = match bounds.contains(&len) {
                    _ if len < 64 || name.ends_with(".full") => (1, 0),
                    _ if !is_newest => (1, 0),
                    // Nothing shows that it was longer.
                    true => (0, 0),
                    false => (0, 1),
                };
                let found = (report.damages.len(), report.unchecked.len());
                assert_eq!(found, expected, "{len} bytes of {name}");
            }
            put(&run.io, &name, &whole);
        }
    }

    #[test]
    fn a_missing_log_is_damage_and_other_files_are_nothing() {
        let run = dumped();
        let file = |name: &str| Path::new(DUMPS).join(name);
        let unfinished = file("00000003.full.new");
        run.io
            .open(&unfinished, Create::New, Caching::Buffered)
            .unwrap();
        assert_eq!(checked(&run.io).damages, []);
        // As a power loss leaves it, between two steps of the next dump.
        let begun = file("00000003.log");
        run.io.open(&begun, Create::New, Caching::Buffered).unwrap();
        let report = checked(&run.io);
        assert_eq!((report.damages.len(), report.unchecked.len()), (0, 1));
        run.io.remove(&begun).unwrap();
        run.io.remove(&file("00000002.log")).unwrap();
        let damages = checked(&run.io).damages;
        assert_eq!(damages[0].message, "dump/00000002.log: is missing");
    }

    #[test]
    fn dumps_of_another_pool_are_told() {
        let (run, other) = (dumped(), Run::new(5, false));
        other.store.dump_metadata().unwrap();
        put(
            &run.io,
            "00000001.full",
            &content(&other.io, "00000001.full"),
        );
        let damages = checked(&run.io).damages;
        assert_eq!(damages.len(), 1);
        assert!(
            damages[0]
                .message
                .starts_with("dump/00000001.full, byte 0: ")
        );
    }
}
