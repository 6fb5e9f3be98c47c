//! Containers of a pool that does not open: what its pack files say of themselves.
//!
//! Without the index nobody knows which containers there should be, nor the keys: each one that is
//! found by its header is compared with its own checksums, and one whose header is gone is not missed.

use std::path::Path;
use std::sync::Arc;

use crate::addr::ContainerId;
use crate::disk::{AlignedBuf, Io};
use crate::index::{ContainerRow, Location};
use crate::pack::LocalPlace;
use crate::pack::files::PackSet;
use crate::pack::verify::examine;
use crate::pool_file::PoolFile;
use crate::{ErrorKind, Result};

use super::CheckReport;

/// Looks at all containers in the folder `pack` of the pool in `dir`, through a door that keeps changes
/// to itself.
pub(super) fn check(io: &Arc<dyn Io>, dir: &Path, report: &mut CheckReport) -> Result<()> {
    let folder = dir.join("pack");
    if io.list(&folder).is_err() {
        return Ok(());
    }
    let pool = match PoolFile::read(&**io, dir) {
        Ok(pool) => *pool.id.as_bytes(),
        Err(error) => {
            report.unchecked.push(format!("containers: {error}"));
            return Ok(());
        }
    };
    let packs = PackSet::open(Arc::clone(io), folder, pool, 1)?;
    for pack in packs.packs()? {
        check_pack(&packs, pack, report)?;
    }
    let what = "which containers there should be, and what they hold";
    report.unchecked.push(what.to_owned());
    Ok(())
}

fn check_pack(packs: &PackSet, pack: u64, report: &mut CheckReport) -> Result<()> {
    let found = packs.check_file(pack).and_then(|()| packs.scan(pack, &[]));
    let found = match found {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io) => {
            report.tell(error.to_string());
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for (id, place) in found {
        check_container(packs, id, place, report)?;
    }
    Ok(())
}

fn check_container(
    packs: &PackSet,
    id: ContainerId,
    place: LocalPlace,
    report: &mut CheckReport,
) -> Result<()> {
    let mut bytes = AlignedBuf::zeroed(place.len as usize);
    if packs.read_from_disk(&place, &mut bytes).is_err() {
        // The frames in the blocks that do not read fail by their checksums.
        packs.read_what_reads(&place, &mut bytes)?;
    }
    let header = packs.read_directory(&place, id)?.header;
    let row = ContainerRow {
        location: Location::Local(place),
        slots: header.slots as u16,
        live: 0,
        plain_bytes: 0,
        domain: header.domain,
        tight: false,
    };
    let examined = examine(id, &row, None, &bytes);
    report.verified.containers += 1;
    report.verified.bytes += u64::from(place.len);
    report.verified.sealed_containers += u64::from(examined.sealed);
    for wrong in examined.wrong {
        report.tell(wrong.message);
    }
    Ok(())
}
