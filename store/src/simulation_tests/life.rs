//! One life: spells of weather, and their endings.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::endings::{damage_one_file, named, only_known_chunks};
use crate::disk::sim::{Crash, Effect, Fault, OpKind, SimIo, SplitMix64, Survive};
use crate::model::{Model, Run, open};
use crate::{Durability, ErrorKind, Store};

/// Spells of a life, and operations of a spell, at most.
const SPELLS_MAX: u64 = 6;
const STEPS_MAX: u64 = 30;

/// How the disk behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fair,
    /// Operations of a kind go wrong, some times.
    Faults(Fault),
    /// There is so little space left, in bytes.
    Full(u64),
    /// Syncs of every file are said to be done, and are not.
    Lies,
}

/// How a spell ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Close,
    Kill,
    PowerLoss,
    /// And once more while the pool is being opened.
    PowerLossTwice,
    /// And the disk fails while the pool is being opened.
    PowerLossAndFault,
}

/// How often things happened, so that a run that misses some shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    steps: u64,
    failed_steps: u64,
    stopped: u64,
    closed: u64,
    killed: u64,
    power_losses: u64,
    second_losses: u64,
    failed_openings: u64,
    lies_refused: u64,
    lies_read: u64,
    rot_right: u64,
    rot_noticed: u64,
}

impl Tally {
    fn numbers(&mut self) -> [&mut u64; 12] {
        [
            &mut self.steps,
            &mut self.failed_steps,
            &mut self.stopped,
            &mut self.closed,
            &mut self.killed,
            &mut self.power_losses,
            &mut self.second_losses,
            &mut self.failed_openings,
            &mut self.lies_refused,
            &mut self.lies_read,
            &mut self.rot_right,
            &mut self.rot_noticed,
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for (sum, more) in self.numbers().into_iter().zip(other.numbers()) {
            *sum += *more;
        }
    }

    pub(super) fn met_everything(mut self) -> bool {
        self.numbers().into_iter().all(|number| *number > 0)
    }
}

/// A pool, its model, and what became of it.
pub(super) struct Life<'a> {
    run: Run,
    rng: SplitMix64,
    log: &'a Mutex<Vec<String>>,
    tally: Tally,
    /// Every state that the disks have been in.
    known: HashSet<blake3::Hash>,
    /// The same as far as volumes go. A disk that lies may keep that a file got another name while it
    /// loses where its content went, so that older content shows again.
    past: Vec<Model>,
}

impl<'a> Life<'a> {
    pub(super) fn new(seed: u64, log: &'a Mutex<Vec<String>>) -> Self {
        let run = Run::new(seed, false);
        Self {
            known: HashSet::from([run.model.digest()]),
            run,
            rng: SplitMix64::new(seed ^ 0x11fe),
            log,
            tally: Tally::default(),
            past: Vec::new(),
        }
    }

    /// Lives to the end.
    pub(super) fn live(mut self) -> Result<Tally, String> {
        for _ in 0..2 + self.rng.below(SPELLS_MAX - 1) {
            let weather = self.weather();
            self.note(format!("weather: {weather:?}"));
            self.live_through(weather)?;
            self.clear();
            if self.rng.below(3) == 0 {
                self.rot()?;
            }
            let ending = self.ending(weather);
            self.note(format!("ending: {ending:?}"));
            if !self.end(weather, ending)? {
                break;
            }
        }
        Ok(self.tally)
    }

    fn note(&self, text: String) {
        self.log.lock().unwrap().push(text);
    }

    fn weather(&mut self) -> Weather {
        let once = |on, skip, effect| {
            Weather::Faults(Fault {
                times: 1 + skip % 3,
                ..Fault::once(on, skip, effect)
            })
        };
        let skip = self.rng.below(120);
        match self.rng.below(16) {
            0..4 => Weather::Fair,
            4 | 5 => once(None, skip, Effect::Eio),
            6 => once(Some(OpKind::Write), skip, Effect::ShortWrite),
            7 => once(Some(OpKind::SyncData), skip / 4, Effect::Eio),
            8 => once(Some(OpKind::SyncDir), skip / 20, Effect::Eio),
            9 => once(Some(OpKind::Read), skip, Effect::Eio),
            10 => once(Some(OpKind::Allocate), skip / 20, Effect::NoSpace),
            11 => once(Some(OpKind::Write), skip, Effect::NoSpace),
            12 => Weather::Faults(Fault::always(Some(OpKind::SyncData), Effect::Slow)),
            13 | 14 => Weather::Full(self.rng.below(16 << 20)),
            _ => Weather::Lies,
        }
    }

    fn ending(&mut self, weather: Weather) -> Ending {
        match (weather, self.rng.below(8)) {
            (Weather::Lies, 0..4) => Ending::Kill,
            (Weather::Lies, _) | (_, 0..3) => Ending::PowerLoss,
            (_, 3) => Ending::PowerLossTwice,
            (_, 4) => Ending::PowerLossAndFault,
            (_, 5) => Ending::Close,
            _ => Ending::Kill,
        }
    }

    fn live_through(&mut self, weather: Weather) -> Result<(), String> {
        match weather {
            Weather::Fair => {}
            Weather::Faults(fault) => self.run.io.inject(fault),
            Weather::Lies => self
                .run
                .io
                .inject(Fault::always(Some(OpKind::SyncData), Effect::Lie)),
            Weather::Full(left) => self.run.io.leave_free(left),
        }
        self.past.push(self.run.model.clone());
        for _ in 0..1 + self.rng.below(STEPS_MAX) {
            self.step(weather)?;
            if self.stopped() {
                return self.check_stopped();
            }
        }
        Ok(())
    }

    /// Nothing goes wrong any more.
    fn clear(&self) {
        self.run.io.heal();
        self.run.io.set_space_bytes(1 << 30);
    }

    fn stopped(&self) -> bool {
        self.run.store.stats().failed
    }

    fn step(&mut self, weather: Weather) -> Result<(), String> {
        self.tally.steps += 1;
        let before = self.run.model.clone();
        let outcome = self.run.try_step();
        let answer = match &outcome {
            Ok(()) => String::new(),
            Err(error) => format!(" -> {error}"),
        };
        let step = &self.run.history[self.run.history.len() - 1];
        self.note(format!("{step}{answer}"));
        self.known.extend(step.states());
        if let Err(error) = outcome {
            self.tally.failed_steps += 1;
            if weather == Weather::Fair {
                return Err(format!("{error}, in fair weather"));
            }
            if !self.stopped() {
                self.settle(&before, &error)?;
            }
        }
        self.past.push(self.run.model.clone());
        if self.stopped() || self.rng.coin() {
            return Ok(());
        }
        match self.run.read_some()? {
            Err(error) if weather == Weather::Fair => Err(format!("{error}, in fair weather")),
            _ => Ok(()),
        }
    }

    /// An operation failed and the pool goes on: it has happened, or not, or up to one of its records.
    fn settle(&mut self, before: &Model, error: &crate::Error) -> Result<(), String> {
        // Space stays as it is: reading must go on without any.
        self.run.io.heal();
        let found = Model::of(&self.run.store);
        let found = found.map_err(|e| format!("after {error}: reading: {e}"))?;
        let digest = found.digest();
        let step = &self.run.history[self.run.history.len() - 1];
        if digest != before.digest() && !step.states().any(|state| state == digest) {
            let other = before.difference(&found);
            return Err(format!(
                "it failed and left neither what was nor what should be: {other:?}"
            ));
        }
        self.run.model = found;
        Ok(())
    }

    /// A pool that stopped acknowledges nothing.
    fn check_stopped(&mut self) -> Result<(), String> {
        self.tally.stopped += 1;
        self.note("the pool has stopped".to_owned());
        self.run.io.heal();
        for name in self.run.model.names() {
            let Ok(volume) = self.run.store.volume(name) else {
                continue;
            };
            let written = volume.write(0, &[7; 512], Durability::Durable);
            for outcome in [written, volume.flush()] {
                match outcome {
                    Err(refused) if refused.kind() == ErrorKind::Failed => {}
                    other => return Err(format!("{other:?} from a pool that has stopped")),
                }
            }
        }
        Ok(())
    }

    /// Ends the spell; says whether life goes on.
    fn end(&mut self, weather: Weather, ending: Ending) -> Result<bool, String> {
        let stopped = self.stopped();
        match ending {
            Ending::Close if !stopped => {
                self.tally.closed += 1;
                let closed = self.run.store.close();
                closed.map_err(|error| format!("closing: {error}"))?;
                let expected = self.run.model.digest();
                self.run.let_go();
                let io = self.run.io.clone();
                self.go_on_from(io.op_count(), io)?;
                match self.run.model.digest() == expected {
                    true => Ok(true),
                    false => Err("what was closed is not what was opened".to_owned()),
                }
            }
            Ending::Close | Ending::Kill => {
                self.tally.killed += 1;
                self.run.let_go();
                if weather == Weather::Lies {
                    // Even a liar writes at last.
                    self.run.io.forget_history();
                    return self.go_on_from(usize::MAX, self.run.io.clone());
                }
                let io = self.run.io.clone();
                self.go_on_from(io.op_count(), io)
            }
            Ending::PowerLoss if weather == Weather::Lies => self.lose_power_of_a_liar(),
            _ => self.lose_power(ending),
        }
    }

    fn crash_here(&mut self) -> (usize, SimIo) {
        let is_journal: fn(&Path) -> bool =
            |path| path.extension().is_some_and(|extension| extension == "wal");
        let modes = [
            Survive::Nothing,
            Survive::Everything,
            Survive::Subset,
            Survive::Subset,
            Survive::Prefix,
        ];
        let survive = modes[self.rng.below(modes.len() as u64) as usize];
        let mut crash = Crash::new(survive);
        if self.rng.coin() {
            crash = crash.damaging(is_journal);
        }
        // At any moment since the pool was opened, and often in the last operation.
        let begin = self.run.history[0].ops_before;
        let last = self.run.history[self.run.history.len() - 1].ops_before;
        let from = if self.rng.coin() { begin } else { last };
        let at = from + self.rng.below((self.run.io.op_count() - from) as u64 + 1) as usize;
        self.note(format!(
            "power lost after {at} operations, {survive:?} survives"
        ));
        (at, self.run.io.crash(at, &crash, &mut self.rng))
    }

    fn lose_power(&mut self, ending: Ending) -> Result<bool, String> {
        self.tally.power_losses += 1;
        let (at, mut image) = self.crash_here();
        self.run.let_go();
        match ending {
            Ending::PowerLossTwice => {
                self.tally.second_losses += 1;
                drop(open(&image).map_err(|error| format!("opening: {error}"))?);
                let again = self.rng.below(image.op_count() as u64 + 1) as usize;
                self.note(format!("power lost again after {again} operations"));
                let subset = Crash::new(Survive::Subset);
                image = image.crash(again, &subset, &mut self.rng);
            }
            Ending::PowerLossAndFault => {
                let effects = [Effect::Eio, Effect::NoSpace, Effect::ShortWrite];
                let effect = effects[self.rng.below(3) as usize];
                let kind = match self.rng.below(3) {
                    0 => Some(OpKind::Read),
                    1 => Some(OpKind::SyncData),
                    _ => None,
                };
                let fault = Fault::once(kind, self.rng.below(40), effect);
                self.note(format!("opened with {fault:?}"));
                image.inject(fault);
                self.tally.failed_openings += u64::from(open(&image).is_err());
                image.heal();
            }
            _ => {}
        }
        self.go_on_from(at, image)
    }

    /// Opens what is left after `at` operations, and goes on if it is what it may be.
    fn go_on_from(&mut self, at: usize, io: SimIo) -> Result<bool, String> {
        let store = open(&io).map_err(|error| format!("opening: {error}"))?;
        let found = Model::of(&store).map_err(|error| format!("opened, reading: {error}"))?;
        self.run.check_survived(at, &found.digest())?;
        self.run.go_on(io, store, found);
        self.run.check();
        Ok(true)
    }

    /// What was promised is lost, but what there is must not be taken for what it is not.
    fn lose_power_of_a_liar(&mut self) -> Result<bool, String> {
        let (_, image) = self.crash_here();
        let Some(store) = self.opened_or_refused(&image)? else {
            self.tally.lies_refused += 1;
            return Ok(false);
        };
        self.tally.lies_read += 1;
        only_known_chunks(&store, &self.past).map(|()| false)
    }

    fn opened_or_refused(&self, image: &SimIo) -> Result<Option<Store>, String> {
        match open(image) {
            Ok(store) => Ok(Some(store)),
            Err(error) if named(error.kind()) => {
                self.note(format!("refused: {error}"));
                Ok(None)
            }
            Err(error) => Err(format!("opening: {:?}: {error}", error.kind())),
        }
    }

    /// A copy of the disk rots; the pool goes on with the other.
    fn rot(&mut self) -> Result<(), String> {
        let everything = Crash::new(Survive::Everything);
        let image = self.run.io.crash(usize::MAX, &everything, &mut self.rng);
        let (path, what): (PathBuf, String) = damage_one_file(&image, &mut self.rng);
        self.note(format!("a copy rots: {} {what}", path.display()));
        let found = match self.opened_or_refused(&image)? {
            None => None,
            Some(store) => match Model::digest_of(&store) {
                Ok(digest) => Some(digest),
                Err(error) if named(error.kind()) => None,
                Err(error) => return Err(format!("reading: {:?}: {error}", error.kind())),
            },
        };
        match found {
            None => self.tally.rot_noticed += 1,
            Some(digest) if self.known.contains(&digest) => self.tally.rot_right += 1,
            Some(_) => return Err("rot was read as data".to_owned()),
        }
        Ok(())
    }
}
