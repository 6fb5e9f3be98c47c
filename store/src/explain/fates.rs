//! What the clean-up makes of layers when some disks are deleted: which go, which are merged into
//! others, which stay. Pure; `cleanup.rs` does it, and this foretells it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::index::{LayerId, LayerRow, LayerState};

/// What becomes of a layer's runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All stay.
    Keep,
    /// All go.
    Drop,
    /// Those go that one of these layers has too: it is merged into the last of them, through the
    /// others.
    Merge(Vec<LayerId>),
}

/// The layers of a pool and how they rest on one another.
pub(super) struct Tree {
    parents: BTreeMap<LayerId, Option<LayerId>>,
    children: HashMap<LayerId, Vec<LayerId>>,
}

impl Tree {
    /// The tree of the index' rows. Layers that are merged already have no runs and are left out.
    pub(super) fn new(rows: &[(LayerId, LayerRow)]) -> Self {
        let present = rows
            .iter()
            .filter(|(_, row)| row.state != LayerState::Merged);
        let parents: BTreeMap<_, _> = present.map(|(id, row)| (*id, row.parent)).collect();
        let mut children: HashMap<LayerId, Vec<LayerId>> = HashMap::new();
        for (id, parent) in &parents {
            if let Some(parent) = parent {
                children.entry(*parent).or_default().push(*id);
            }
        }
        Self { parents, children }
    }

    /// All layers, parents before their children.
    pub(super) fn layers(&self) -> impl DoubleEndedIterator<Item = LayerId> {
        self.parents.keys().copied()
    }

    /// A layer and what it rests on, newest first.
    pub(super) fn chain(&self, head: LayerId) -> Vec<LayerId> {
        let parent = |id: &LayerId| self.parents.get(id).copied().flatten();
        // Parents are older than their children, so this ends on a damaged tree too.
        let older = |id: &LayerId| parent(id).filter(|parent| parent < id);
        std::iter::successors(Some(head), older).collect()
    }

    /// Every layer that is joined with one of `some` by parents and children.
    pub(super) fn family(&self, some: impl Iterator<Item = LayerId>) -> BTreeSet<LayerId> {
        let roots = some.filter_map(|id| self.chain(id).last().copied());
        let mut open: Vec<LayerId> = roots.collect();
        let mut family = BTreeSet::new();
        while let Some(id) = open.pop() {
            if family.insert(id) {
                open.extend(self.children.get(&id).into_iter().flatten());
            }
        }
        family
    }

    /// What becomes of the layers of some families when no others than `used` are the head of a
    /// volume or a snapshot.
    pub(super) fn fates(
        &self,
        families: &BTreeSet<LayerId>,
        used: impl Fn(LayerId) -> bool,
    ) -> HashMap<LayerId, Fate> {
        let mut fates: HashMap<LayerId, Fate> = HashMap::with_capacity(families.len());
        for id in families.iter().rev().copied() {
            let fate = if used(id) {
                Fate::Keep
            } else {
                self.unused(id, &fates)
            };
            fates.insert(id, fate);
        }
        fates
    }

    /// The fate of a layer that is no disk's own, its children's being known.
    fn unused(&self, id: LayerId, fates: &HashMap<LayerId, Fate>) -> Fate {
        let children = self.children.get(&id).into_iter().flatten();
        let mut staying = children.filter(|child| fates.get(child) != Some(&Fate::Drop));
        match (staying.next(), staying.next()) {
            (None, _) => Fate::Drop,
            (Some(_), Some(_)) => Fate::Keep,
            (Some(child), None) => {
                let mut path = vec![*child];
                if let Some(Fate::Merge(further)) = fates.get(child) {
                    path.extend(further);
                }
                Fate::Merge(path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use uuid::Uuid;

    use super::{Fate, Tree};
    use crate::DomainId;
    use crate::index::{LayerId, LayerRow, LayerState};

    /// 1 <- 2 <- 3, and 2 <- 4; 5 alone.
    fn tree() -> Tree {
        let row = |id: u32, parent: u32| {
            let parent = (parent != 0).then_some(LayerId(parent));
            let (state, domain) = (LayerState::Open, DomainId(Uuid::nil()));
            let row = LayerRow {
                parent,
                state,
                domain,
                delta_chunks: 0,
            };
            (LayerId(id), row)
        };
        Tree::new(&[row(1, 0), row(2, 1), row(3, 2), row(4, 2), row(5, 0)])
    }

    fn fates(used: &[u32]) -> HashMap<LayerId, Fate> {
        let tree = tree();
        let family = tree.family([LayerId(3)].into_iter());
        tree.fates(&family, |id| used.contains(&id.0))
    }

    #[test]
    fn families_and_chains_follow_the_parents() {
        let tree = tree();
        let family = tree.family([LayerId(4)].into_iter());
        assert_eq!(family, BTreeSet::from([1, 2, 3, 4].map(LayerId)));
        assert_eq!(tree.chain(LayerId(3)), [3, 2, 1].map(LayerId));
    }

    #[test]
    fn layers_go_with_their_last_use_and_merge_with_their_last_child() {
        let all = fates(&[1, 2, 3, 4]);
        assert!(all.values().all(|fate| *fate == Fate::Keep));
        let base_only = fates(&[3, 4]);
        assert_eq!(base_only[&LayerId(2)], Fate::Keep);
        assert_eq!(base_only[&LayerId(1)], Fate::Merge(vec![LayerId(2)]));
        let one = fates(&[3]);
        assert_eq!(one[&LayerId(4)], Fate::Drop);
        assert_eq!(one[&LayerId(2)], Fate::Merge(vec![LayerId(3)]));
        let path = [2, 3].map(LayerId).to_vec();
        assert_eq!(one[&LayerId(1)], Fate::Merge(path));
        assert!(fates(&[]).values().all(|fate| *fate == Fate::Drop));
    }
}
