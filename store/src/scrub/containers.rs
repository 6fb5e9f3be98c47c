//! The containers' part of a round: headers, directories, every frame, every chunk's name.

use std::sync::Arc;

use crate::addr::ContainerId;
use crate::disk::AlignedBuf;
use crate::encryption::Secrets;
use crate::engine::Engine;
use crate::index::ContainerRow;
use crate::journal::poisoned;
use crate::pack::LocalPlace;
use crate::pack::verify::{Examined, examine};
use crate::scrub::Round;
use crate::scrub::references::Wanted;
use crate::{DomainId, ErrorKind, Result};

impl Engine {
    /// Looks at one container; says whether there are more.
    pub(super) fn scrub_containers(&self, round: &mut Round) -> Result<bool> {
        let from = round.position;
        let waiting = round
            .containers
            .get_or_insert_with(|| self.containers_from(from));
        let Some(id) = waiting.pop() else {
            return Ok(false);
        };
        round.position = id.0 + 1;
        let examined = {
            // Its place is not given back before the step has ended.
            let _guard = self.epochs.enter();
            let row = self.places.read().expect(poisoned!()).get(id);
            match row {
                Some(row) => self.examine_container(round, id, &row)?,
                None => return Ok(true),
            }
        };
        if examined.wrong.is_empty() {
            self.scrub.set_damaged(id, false);
        } else {
            self.tell_of_container(round, id, &examined)?;
        }
        Ok(true)
    }

    fn examine_container(
        &self,
        round: &mut Round,
        id: ContainerId,
        row: &ContainerRow,
    ) -> Result<Examined> {
        let place = row.location.local();
        if round.pack != Some(place.pack) {
            round.pack = Some(place.pack);
            // A second look tells damage on the way from damage on the disk.
            let checked = self.packs.check_file(place.pack);
            if let Err(error) = checked.or_else(|_| self.packs.check_file(place.pack)) {
                corrupt_only(error).map(|message| round.tell(message, false))?;
            }
        }
        let secrets = self.secrets_in(row.domain);
        let examined = match self.read_container(place) {
            Ok(bytes) => examine(id, row, secrets.as_deref(), &bytes),
            Err(error) => Examined::lost(row, corrupt_only(error)?),
        };
        round.verified.containers += 1;
        round.verified.chunks += u64::from(examined.chunks);
        round.verified.sealed_containers += u64::from(examined.sealed);
        round.read(u64::from(place.len));
        if !examined.wrong.is_empty() && round.may_repair {
            return self.rewrite_container(round, id, row, secrets.as_deref(), examined);
        }
        Ok(examined)
    }

    fn read_container(&self, place: &LocalPlace) -> Result<AlignedBuf> {
        let mut bytes = AlignedBuf::zeroed(place.len as usize);
        match self.packs.read_from_disk(place, &mut bytes) {
            // Some blocks may read: the frames in the others fail by their checksums.
            Err(error) if error.kind() == ErrorKind::Io => {
                self.packs.read_what_reads(place, &mut bytes)?;
            }
            read => read?,
        }
        Ok(bytes)
    }

    /// Writes a container again that the page cache has whole: the same bytes to the same place.
    fn rewrite_container(
        &self,
        round: &mut Round,
        id: ContainerId,
        row: &ContainerRow,
        secrets: Option<&Secrets>,
        examined: Examined,
    ) -> Result<Examined> {
        let place = row.location.local();
        let mut cached = vec![0; place.len as usize];
        let whole = self.packs.read_cached(place, &mut cached).is_ok()
            && examine(id, row, secrets, &cached).wrong.is_empty();
        if !whole {
            return Ok(examined);
        }
        let rewritten = self.packs.rewrite(place, &cached);
        if !rewritten.inspect_err(|_| self.journal.fail())? {
            return Ok(examined);
        }
        let again = examine(id, row, secrets, &self.read_container(place)?);
        if again.wrong.is_empty() {
            for wrong in &examined.wrong {
                round.tell(wrong.message.clone(), true);
            }
        }
        Ok(again)
    }

    /// Repairs what has a copy elsewhere, and tells of all of it.
    fn tell_of_container(
        &self,
        round: &mut Round,
        id: ContainerId,
        examined: &Examined,
    ) -> Result<()> {
        let mut mended = Wanted::default();
        if round.may_repair {
            self.set_aside_damaged(id)?;
            mended = self.point_elsewhere(id, examined)?;
        }
        let mut left = false;
        for wrong in &examined.wrong {
            let mut wanted = Wanted::default();
            for slot in wrong.slots.clone() {
                if !mended.has_slot(id, slot) {
                    wanted.add_slot(id, slot);
                }
            }
            if wanted.is_empty() {
                round.tell(wrong.message.clone(), true);
            } else {
                left = true;
                self.tell_of(round, wrong.message.clone(), &wanted)?;
            }
        }
        if !left && round.may_repair {
            tracing::info!(container = id.0, "what was damaged is read elsewhere now");
        }
        Ok(())
    }

    /// From now on no duplicate is found in the container.
    fn set_aside_damaged(&self, id: ContainerId) -> Result<()> {
        self.scrub.set_damaged(id, true);
        self.maintenance()?.dedup.forget_container(id);
        Ok(())
    }

    /// What the chunks of a domain are named and sealed with; `None` where that is not known any
    /// more, or its key is not at hand.
    pub(super) fn secrets_in(&self, domain: DomainId) -> Option<Arc<Secrets>> {
        self.secrets_of_domain(domain).ok().flatten().map(Arc::new)
    }
}

/// The message of an error that is damage, or a disk that does not read; others stay errors.
fn corrupt_only(error: crate::Error) -> Result<String> {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::UnsupportedFormat | ErrorKind::Io => Ok(error.to_string()),
        _ => Err(error),
    }
}
