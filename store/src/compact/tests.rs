//! Which containers are chosen.

use std::collections::HashMap;

use super::{Compaction, Effort};
use crate::DomainId;
use crate::addr::ContainerId;
use crate::index::{ContainerRow, Location};
use crate::pack::LocalPlace;

fn row(live: u16) -> ContainerRow {
    ContainerRow {
        location: Location::Local(LocalPlace {
            pack: 1,
            offset: 4096,
            len: 2 << 20,
        }),
        slots: 1000,
        live,
        plain_bytes: 1000 << 12,
        domain: DomainId(uuid::Uuid::nil()),
        tight: false,
    }
}

/// The containers chosen of some with so many live slots each, first ones first.
fn chosen(live: &[u16], effort: Effort) -> Vec<u64> {
    let rows = (1..).map(ContainerId).zip(live.iter().copied().map(row));
    let mut bits: HashMap<_, _> = rows.clone().map(|(id, _)| (id, [1; 16])).collect();
    let plan = Compaction::plan(rows, &mut bits, effort);
    assert_eq!(plan.claims.len(), plan.order.len());
    assert_eq!(bits.len() + plan.order.len(), live.len());
    plan.order.iter().rev().map(|id| id.0).collect()
}

#[test]
fn the_effort_decides_and_the_emptiest_come_first() {
    let live = [1000, 960, 940, 600, 499, 100];
    assert_eq!(chosen(&live, Effort::Usual), [6, 5]);
    assert_eq!(chosen(&live, Effort::Tight), [6, 5, 4, 3]);
    // The 40 slots of the second are more than one in fifty of 1901 that are dead.
    assert_eq!(chosen(&live, Effort::Asked), [6, 5, 4, 3, 2]);
}

#[test]
fn an_operator_gets_nearly_everything_however_little_it_is() {
    assert_eq!(chosen(&[999; 30], Effort::Tight), [0; 0]);
    assert_eq!(chosen(&[999; 30], Effort::Asked).len(), 30);
    // One of a hundred may stay, and so may two, and not three.
    assert_eq!(chosen(&[999; 100], Effort::Asked).len(), 98);
    assert_eq!(chosen(&[1000; 100], Effort::Asked), [0; 0]);
}
