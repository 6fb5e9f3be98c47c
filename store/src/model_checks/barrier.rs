//! `mark.rs` against `packer.rs`, `cleanup.rs` and `checkpoint.rs`: what the holder of `maintenance` may do
//! between the steps of a mark, in every order. Three layers have one run of one chunk each. All data is
//! equal, so that packing finds what is stored already whenever the index of duplicates still knows it.

use std::collections::{BTreeMap, BTreeSet};

use super::explorer::{Model, Turn, explore};

/// A container, or the window of a journal segment; ids are given out once, in order.
type Id = u8;

/// How the code could be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Mistake {
    None,
    /// `commit_round` does not tell the mark where a chunk went.
    PacksSilently,
    /// `merge_runs` does not tell the mark of the run that it moves.
    MergesSilently,
    /// The checkpoint does not tell the mark of the run that it copies.
    CopiesSilently,
    /// `sweep` leaves dead containers among those where duplicates are looked for.
    RemembersTheDead,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Mark {
    epoch: Id,
    bits: BTreeSet<Id>,
    layers: Vec<usize>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Barrier {
    mistake: Mistake,
    /// What each layer's chunk is mapped to.
    cells: [Option<Id>; 3],
    /// Windows of the journal, and where their chunk went if they are packed.
    windows: BTreeMap<Id, Option<Id>>,
    packed: BTreeSet<Id>,
    /// Containers in which duplicates are found.
    known: BTreeSet<Id>,
    next_id: Id,
    mark: Option<Mark>,
    /// How often each kind of step may still be taken.
    left: [u8; 6],
}

const MARKS: usize = 0;
const PACKS: usize = 1;
const MERGES: usize = 2;
const COPIES: usize = 3;
const DROPS: usize = 4;
const WRITES: usize = 5;

type Steps = Vec<(&'static str, Result<Barrier, String>)>;

impl Barrier {
    /// A layer and its child, of which the first has a chunk in the journal, and one with a packed chunk.
    fn new(mistake: Mistake) -> Self {
        Self {
            mistake,
            cells: [Some(2), None, Some(1)],
            windows: BTreeMap::from([(2, None)]),
            packed: BTreeSet::from([1]),
            known: BTreeSet::from([1]),
            next_id: 3,
            mark: None,
            left: [2, 2, 1, 1, 2, 2],
        }
    }

    fn settled(&self, id: Id) -> Id {
        self.windows.get(&id).copied().flatten().unwrap_or(id)
    }

    fn note(&mut self, id: Option<Id>) {
        let settled = id.map(|id| self.settled(id));
        if let Some(mark) = &mut self.mark {
            mark.bits.extend(id);
            mark.bits.extend(settled);
        }
    }

    /// Every address that a layer has can be read.
    fn checked(self) -> Result<Self, String> {
        for (layer, cell) in self.cells.iter().enumerate() {
            let Some(id) = *cell else { continue };
            let waits = self.windows.get(&id) == Some(&None);
            if !waits && !self.packed.contains(&self.settled(id)) {
                return Err(format!("layer {layer} refers to {id}, which is gone"));
            }
        }
        Ok(self)
    }

    fn take(&self, kind: usize, change: impl FnOnce(&mut Self)) -> Option<Result<Self, String>> {
        let mut next = self.clone();
        next.left[kind] = self.left[kind].checked_sub(1)?;
        change(&mut next);
        Some(next.checked())
    }

    fn start_mark(&mut self, layers: [usize; 3]) {
        self.mark = Some(Mark {
            epoch: self.next_id,
            bits: BTreeSet::new(),
            layers: layers.to_vec(),
        });
    }

    /// `mark_step`: one layer, or the sweep behind the last.
    fn mark_step(&mut self) {
        let Some(layer) = self.mark.as_mut().and_then(|mark| mark.layers.pop()) else {
            return self.sweep();
        };
        self.cells[layer] = self.cells[layer].map(|id| self.settled(id));
        self.note(self.cells[layer]);
    }

    fn sweep(&mut self) {
        let Some(mark) = self.mark.take() else { return };
        let stays = |id: &Id| *id >= mark.epoch || mark.bits.contains(id);
        self.packed.retain(stays);
        self.windows.retain(|id, gone| gone.is_none() || stays(id));
        if self.mistake != Mistake::RemembersTheDead {
            self.known.retain(|id| self.packed.contains(id));
        }
    }

    /// `pack_segments`: a window's chunk goes where an equal one is, or into a new container.
    fn pack(&mut self, window: Id) {
        let new = match self.known.first() {
            Some(equal) => *equal,
            None => {
                let id = self.next_id;
                self.next_id += 1;
                self.packed.insert(id);
                self.known.insert(id);
                id
            }
        };
        self.windows.insert(window, Some(new));
        // The layer that wrote it; a copy elsewhere goes on through the window's row.
        if let Some(cell) = self.cells.iter_mut().find(|cell| **cell == Some(window)) {
            *cell = Some(new);
        }
        if self.mistake != Mistake::PacksSilently {
            self.note(Some(new));
        }
    }

    /// `merge_runs` and the applier's `load`: the child gets the run of its parent.
    fn inherit(&mut self, mistake: Mistake) {
        if self.cells[1].is_none() {
            self.cells[1] = self.cells[0];
            if self.mistake != mistake {
                self.note(self.cells[1]);
            }
        }
    }

    fn write(&mut self, layer: usize) {
        let window = self.next_id;
        self.next_id += 1;
        self.windows.insert(window, None);
        self.cells[layer] = Some(window);
        self.note(self.cells[layer]);
    }

    fn background(&self, steps: &mut Steps) {
        match self.mark {
            // The last comes first. The code begins with parents; the barrier must not count on it.
            None => {
                for layers in [[2, 1, 0], [0, 1, 2]] {
                    let begun = self.take(MARKS, |next| next.start_mark(layers));
                    steps.extend(begun.map(|to| ("start_mark", to)));
                }
            }
            Some(_) => {
                let mut next = self.clone();
                next.mark_step();
                steps.push(("mark_step", next.checked()));
            }
        }
        for (window, _) in self.windows.iter().filter(|(_, to)| to.is_none()) {
            let packed = self.take(PACKS, |next| next.pack(*window));
            steps.extend(packed.map(|to| ("pack", to)));
        }
    }
}

impl Model for Barrier {
    fn threads(&self) -> usize {
        1
    }

    fn turn(&self, _: usize) -> Turn<Self> {
        let mut steps = Vec::new();
        self.background(&mut steps);
        let merged = self.take(MERGES, |next| {
            next.inherit(Mistake::MergesSilently);
            next.cells[0] = None;
        });
        steps.extend(merged.map(|to| ("merge_runs", to)));
        let copied = self.take(COPIES, |next| next.inherit(Mistake::CopiesSilently));
        steps.extend(copied.map(|to| ("checkpoint copies a run", to)));
        for layer in 0..self.cells.len() {
            let dropped = self.take(DROPS, |next| next.cells[layer] = None);
            steps.extend(dropped.map(|to| ("drop_runs", to)));
            let written = self.take(WRITES, |next| next.write(layer));
            steps.extend(written.map(|to| ("checkpoint of a write", to)));
        }
        Turn::Steps(steps)
    }
}

#[test]
fn nothing_that_a_layer_refers_to_is_swept() {
    let states = explore(&Barrier::new(Mistake::None)).unwrap();
    println!("{states} states");
    assert!(states > 10_000);
}

#[test]
fn mistakes_in_the_barrier_are_found() {
    for mistake in [
        Mistake::PacksSilently,
        Mistake::MergesSilently,
        Mistake::CopiesSilently,
        Mistake::RemembersTheDead,
    ] {
        let broken = explore(&Barrier::new(mistake)).unwrap_err();
        assert!(broken.contains("which is gone"), "{broken}");
    }
}
