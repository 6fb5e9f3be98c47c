//! One round: which stage comes after which, and a bounded piece of work at a time.

use crate::addr::ContainerId;
use crate::engine::Engine;
use crate::journal::poisoned;
use crate::scrub::journal::SegmentCursor;
use crate::scrub::{Damage, Verified};
use crate::{ErrorKind, Result};

/// Parts of a round, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Pages of the metadata file; the position is the next page.
    Metadata = 1,
    /// The map: its position is layer and run, as in the key of a run.
    Map = 2,
    /// Journal segments, by the id of their first window.
    Journal = 3,
    /// Containers, by id.
    Containers = 4,
    /// Dumps of the metadata, by number, a full one before its log.
    Dumps = 5,
}

impl Stage {
    /// The stage stored as `code`.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        let all = [
            Self::Metadata,
            Self::Map,
            Self::Journal,
            Self::Containers,
            Self::Dumps,
        ];
        all.into_iter().find(|stage| *stage as u32 == code)
    }

    fn next(self) -> Option<Self> {
        Self::from_code(self as u32 + 1)
    }
}

/// A round under way.
#[derive(Default)]
pub(crate) struct Round {
    /// `None` once it has ended.
    stage: Option<Stage>,
    /// Where the stage goes on.
    pub(super) position: u64,
    /// Within the segment at `position`.
    pub(super) segment: Option<SegmentCursor>,
    /// Containers still to come, the next one last; listed when the stage begins.
    pub(super) containers: Option<Vec<ContainerId>>,
    /// The pack file whose header was looked at last.
    pub(super) pack: Option<u64>,
    pub(super) verified: Verified,
    /// What the step has found.
    pub(super) found: Vec<Damage>,
    /// Whether damage may be put right, or only be told of.
    pub(super) may_repair: bool,
    /// When the place to go on was last noted.
    pub(super) saved_us: u64,
}

impl Round {
    /// From the beginning.
    pub(crate) fn new() -> Self {
        Self::at(Stage::Metadata, 0)
    }

    /// From where an earlier opening of the pool left off.
    pub(crate) fn at(stage: Stage, position: u64) -> Self {
        Self {
            stage: Some(stage),
            position,
            may_repair: true,
            ..Self::default()
        }
    }

    /// A round that changes nothing.
    pub(crate) fn looking_only() -> Self {
        Self {
            may_repair: false,
            ..Self::new()
        }
    }

    /// Where to go on; `None` at the end.
    pub(crate) fn cursor(&self) -> Option<(Stage, u64)> {
        self.stage.map(|stage| (stage, self.position))
    }

    /// What was looked at so far.
    pub(crate) fn verified(&self) -> Verified {
        self.verified
    }

    /// What was found since this was last asked.
    pub(crate) fn take_found(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.found)
    }

    /// Notes damage that makes nothing unreadable, or nobody knows what.
    pub(super) fn tell(&mut self, message: String, repaired: bool) {
        self.found.push(Damage {
            message,
            affected: Vec::new(),
            more: false,
            repaired,
        });
    }

    pub(super) fn read(&mut self, bytes: u64) {
        self.verified.bytes += bytes;
    }

    fn end_stage(&mut self) {
        self.stage = self.stage.and_then(Stage::next);
        self.position = 0;
        self.segment = None;
        self.containers = None;
    }
}

impl Engine {
    /// Takes a step of a round and says whether there is more. What it finds is in the round.
    ///
    /// # Errors
    /// Those of the disk that are not damage, and `Failed` on a pool that has stopped.
    pub(crate) fn scrub_step(&self, round: &mut Round) -> Result<bool> {
        let Some((stage, _)) = round.cursor() else {
            return Ok(false);
        };
        let more = match stage {
            Stage::Metadata => self.scrub_pages(round),
            Stage::Map => self.scrub_map(round),
            Stage::Journal => self.scrub_journal(round),
            Stage::Containers => self.scrub_containers(round),
            Stage::Dumps => self.scrub_dumps(round),
        };
        match more {
            Ok(true) => {}
            Ok(false) => round.end_stage(),
            // What the stage stands on is damaged, so the rest of it cannot be looked at.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                round.tell(error.to_string(), false);
                round.end_stage();
            }
            Err(error) => return Err(error),
        }
        Ok(round.stage.is_some())
    }

    /// Runs a whole round at once, without a pace, and gives what it found.
    ///
    /// # Errors
    /// As [`Self::scrub_step`].
    pub(crate) fn scrub_through(&self, round: &mut Round) -> Result<Vec<Damage>> {
        let mut found = Vec::new();
        loop {
            let more = self.scrub_step(round)?;
            found.append(&mut round.found);
            if !more {
                return Ok(found);
            }
        }
    }

    /// The containers from `from` on, the first of them last.
    pub(super) fn containers_from(&self, from: u64) -> Vec<ContainerId> {
        let places = self.places.read().expect(poisoned!());
        let ids = places.iter().map(|(id, _)| id);
        let mut ids: Vec<ContainerId> = ids.filter(|id| id.0 >= from).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids
    }
}
