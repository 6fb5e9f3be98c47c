//! Metadata dumps: one file at a step.
//!
//! A dump is made of what the index has, so a new one is the repair of one that is damaged. Dumps are
//! written and removed meanwhile: what does not read counts as damage when a second look says the same.

use crate::Result;
use crate::dump::examine::{Finding, Folder};
use crate::dump::format::Kind;
use crate::engine::Engine;
use crate::journal::poisoned;
use crate::scrub::Round;

/// The order in which files are looked at, and where a round goes on.
fn position((kind, number): (Kind, u64)) -> u64 {
    number.saturating_mul(2) + u64::from(kind == Kind::Log)
}

impl Engine {
    /// Looks at the next dump; says whether there may be more.
    pub(super) fn scrub_dumps(&self, round: &mut Round) -> Result<bool> {
        // `check` looks at dumps by itself, also where nothing else can be looked at.
        if !round.may_repair {
            return Ok(false);
        }
        let folder = self.dump_folder()?;
        let to_come = folder.numbers.iter().copied();
        let next = to_come
            .filter(|file| position(*file) >= round.position)
            .min_by_key(|file| position(*file));
        let Some((kind, number)) = next else {
            if folder.missing().is_some()
                && let Some(message) = self.dump_folder()?.missing()
            {
                self.replace_dumps(round, &message);
            }
            return Ok(false);
        };
        round.position = position((kind, number)) + 1;
        folder.forget_cached(kind, number);
        match folder.examine(kind, number) {
            Finding::Whole(bytes) => {
                round.verified.dumps += 1;
                round.read(bytes);
            }
            // The end of a log that is being written, or was when power was lost in an earlier life.
            Finding::Doubtful(_) => {}
            Finding::Damaged(_) => {
                let folder = self.dump_folder()?;
                if folder.has(kind, number)
                    && let Finding::Damaged(message) = folder.examine(kind, number)
                {
                    self.replace_dumps(round, &message);
                }
            }
        }
        Ok(true)
    }

    fn dump_folder(&self) -> Result<Folder<'_>> {
        let pool = *self.pool_file.lock().expect(poisoned!()).id.as_bytes();
        let folder = Folder::list(&*self.io, &self.dir, pool)?;
        Ok(folder.with_open_log(self.dumps.open_log()))
    }

    /// Tells of damage and makes a dump that does without the damaged one.
    fn replace_dumps(&self, round: &mut Round, message: &str) {
        match self.dump() {
            Ok(()) => round.tell(format!("{message}; a new dump takes its place"), true),
            Err(error) => round.tell(
                format!("{message}; and there is no new one: {error}"),
                false,
            ),
        }
    }
}
