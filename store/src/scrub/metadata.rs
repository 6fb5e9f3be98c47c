//! The metadata: its pages against their sums, and the map against the tables that it leads to.

use std::sync::Arc;

use crate::addr::{Address, ContainerId};
use crate::check::Shadow;
use crate::disk::BLOCK_BYTES;
use crate::engine::{Engine, Place};
use crate::index::{Index, IndexRead, LayerId, MetaFiles, Run, WrongPage};
use crate::scrub::Round;
use crate::scrub::references::Wanted;
use crate::{Error, ErrorKind, Result};

/// Pages read in one step: 4 MiB.
const PAGES_AT_ONCE: usize = 1024;
/// Cache of a walk over the metadata.
const WALK_CACHE_BYTES: u64 = 16 << 20;
/// Runs looked at in one step.
const RUNS_AT_ONCE: usize = 512;

impl Engine {
    /// Compares some pages with their sums; says whether there are more.
    pub(super) fn scrub_pages(&self, round: &mut Round) -> Result<bool> {
        let from = round.position as usize;
        let looked = self
            .index
            .check_pages(from, PAGES_AT_ONCE, round.may_repair)
            // A sync may have failed that others count on.
            .inspect_err(|_| self.journal.fail())?;
        round.verified.metadata_pages += looked.pages;
        round.read(looked.pages << 12);
        self.tell_of_pages(round, looked.wrong)?;
        round.position += PAGES_AT_ONCE as u64;
        Ok(looked.more)
    }

    /// Tells of damaged pages if something refers to them. After a power loss the sums of pages that
    /// were being written may be right for neither; nothing refers to those, and theirs are forgotten.
    fn tell_of_pages(&self, round: &mut Round, wrong: Vec<WrongPage>) -> Result<()> {
        if wrong.is_empty() {
            return Ok(());
        }
        let walked = self.walk_metadata()?;
        for one in wrong {
            if walked
                .as_ref()
                .is_none_or(|walked| walked.has_read(one.page))
            {
                round.tell(one.message, one.repaired);
            } else {
                self.index.forget_page(one.page)?;
            }
        }
        Ok(())
    }

    /// Has redb walk over its file as it is at this moment; `None` where that meets damage.
    fn walk_metadata(&self) -> Result<Option<Index>> {
        let shadow = Shadow::unlocked(Arc::clone(&self.io));
        let path = self.dir.join("meta.redb");
        // Nothing is committed while the header is copied. What that refers to stays as it is while
        // the reader lives.
        let maintenance = self.maintenance()?;
        let _pinned = self.index.read()?;
        let failed = |e| Error::io("metadata: reading it all", e);
        let files = MetaFiles::open(&shadow, &path, false).map_err(failed)?;
        let mut header = vec![0; BLOCK_BYTES];
        let copied = files.data.read_at(&mut header, 0);
        copied
            .and_then(|()| files.data.write_at(&header, 0))
            .map_err(failed)?;
        drop(maintenance);
        match Index::open(files, WALK_CACHE_BYTES, Arc::new(|| false)) {
            Ok(walked) => Ok(Some(walked)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows the addresses of some runs; says whether there are more.
    pub(super) fn scrub_map(&self, round: &mut Round) -> Result<bool> {
        let (layer, run) = ((round.position >> 32) as u32, round.position as u32);
        let Some(layer) = self.layer_from(LayerId(layer)) else {
            return Ok(false);
        };
        let from = match u64::from(layer.0) << 32 > round.position {
            true => 0,
            false => run,
        };
        // From before the addresses are learnt, as for a read.
        let guard = self.epochs.enter();
        let runs = self.index.read()?.layer_runs(layer, from, RUNS_AT_ONCE)?;
        let mut lost = Wanted::default();
        for (_, run) in &runs {
            self.follow(run, &mut lost)?;
        }
        drop(guard);
        round.verified.runs += runs.len() as u64;
        round.read(runs.len() as u64 * 200);
        if !lost.is_empty() {
            let message = format!("the map of layer {} leads to nothing: {lost}", layer.0);
            self.tell_of(round, message, &lost)?;
        }
        round.position = match runs.last() {
            Some((last, _)) if runs.len() == RUNS_AT_ONCE && *last < u32::MAX => {
                u64::from(layer.0) << 32 | u64::from(last + 1)
            }
            _ => (u64::from(layer.0) + 1) << 32,
        };
        Ok(round.position >> 32 <= u64::from(u32::MAX))
    }

    /// Notes the addresses of a run that lead nowhere.
    fn follow(&self, run: &Run, lost: &mut Wanted) -> Result<()> {
        let mut known: Option<(ContainerId, Option<Place>)> = None;
        for address in run.iter().filter(|address| address.is_data()) {
            let container = address.container();
            if known.as_ref().is_none_or(|(id, _)| *id != container) {
                known = Some((container, self.find_place(container)?));
            }
            let place = known.as_ref().and_then(|(_, place)| place.as_ref());
            if !self.leads_somewhere(place, address)? {
                lost.add(address);
            }
        }
        Ok(())
    }

    /// As [`Self::place`], with an unknown container as none.
    fn find_place(&self, container: ContainerId) -> Result<Option<Place>> {
        match self.place(container) {
            Ok(place) => Ok(Some(place)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn leads_somewhere(&self, place: Option<&Place>, address: Address) -> Result<bool> {
        Ok(match place {
            None => false,
            Some(Place::Journal(segment)) => segment.block_of(address).is_some(),
            Some(Place::Packed(row)) => address.slot() < u32::from(row.slots),
            Some(Place::Forwarded(row)) => {
                let new = row.get(address.slot());
                let known = new.is_data().then(|| self.find_place(new.container()));
                match known.transpose()?.flatten() {
                    Some(Place::Packed(row)) => new.slot() < u32::from(row.slots),
                    _ => false,
                }
            }
        })
    }
}
