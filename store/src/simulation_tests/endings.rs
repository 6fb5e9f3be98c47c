//! What may be found on a disk that broke its own promises.

use std::path::{Path, PathBuf};

use crate::addr::CHUNK_BYTES;
use crate::chunk::is_zero;
use crate::damage_tests::{damage, files};
use crate::disk::sim::{SimIo, SplitMix64};
use crate::model::Model;
use crate::{ErrorKind, Store};

/// Whether an error says that the disk's content is at fault.
pub(super) fn named(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Corrupt
        | ErrorKind::UnsupportedFormat
        | ErrorKind::Io
        | ErrorKind::KeyUnavailable => true,
        // What the pool's metadata says is found to be wrong while it is read.
        ErrorKind::Failed => true,
        _ => false,
    }
}

/// Changes one of the pool's files a little; says which and how.
pub(super) fn damage_one_file(io: &SimIo, rng: &mut SplitMix64) -> (PathBuf, String) {
    let mut paths = Vec::new();
    files(io, Path::new("/pool"), &mut paths);
    // There is nothing to be read in these.
    let void = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name == "reserve" || name.starts_with("spare-")
    };
    paths.retain(|path| !void(path));
    let path = paths.swap_remove(rng.below(paths.len() as u64) as usize);
    let what = damage(io, &path, rng);
    (path, what)
}

/// Every chunk that can be read is zero or was in its place in one of the states.
pub(super) fn only_known_chunks(store: &Store, states: &[Model]) -> Result<(), String> {
    let mut found = [0; CHUNK_BYTES];
    for info in store.volumes() {
        let Ok(volume) = store.volume(info.id) else {
            continue;
        };
        for at in (0..info.size_bytes).step_by(CHUNK_BYTES) {
            let len = CHUNK_BYTES.min((info.size_bytes - at) as usize);
            let part = &mut found[..len];
            match volume.read(at, part) {
                Ok(()) if is_zero(part) => {}
                Ok(()) if states.iter().any(|state| state.has(info.id, at, part)) => {}
                Ok(()) => return Err(format!("volume {} at {at} never held this", info.id)),
                Err(error) if named(error.kind()) => {}
                Err(error) => return Err(format!("reading: {:?}: {error}", error.kind())),
            }
        }
    }
    Ok(())
}
