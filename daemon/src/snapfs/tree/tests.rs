//! Paths, stability of inodes, clashes of names, and what is forgotten.

use std::collections::HashSet;

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use uuid::Uuid;

use super::{EntryKind, Ino, Node, ROOT, Record, Serials, Tree, VolumeRecord};

fn record(id: u128, name: &str, volume: u128, volume_name: &str, created_us: u64) -> Record {
    Record {
        id: Uuid::from_u128(id),
        name: name.to_owned(),
        volume_id: Uuid::from_u128(volume),
        volume_name: volume_name.to_owned(),
        project_id: "p".to_owned(),
        size_bytes: 1 << 30,
        created_us,
    }
}

/// The tree of records, by volume; a volume is as old as its oldest snapshot.
fn build(serials: &mut Serials, records: Vec<Record>) -> Tree {
    let mut volumes: Vec<VolumeRecord> = Vec::new();
    for record in records {
        let known = volumes
            .iter_mut()
            .find(|volume| volume.id == record.volume_id);
        match known {
            Some(volume) => {
                volume.created_us = volume.created_us.min(record.created_us);
                volume.snapshots.push(record);
            }
            None => volumes.push(VolumeRecord {
                id: record.volume_id,
                name: record.volume_name.clone(),
                created_us: record.created_us,
                snapshots: vec![record],
            }),
        }
    }
    Tree::build(serials, volumes)
}

/// Follows a path from the root through folders and links, as the kernel would.
fn walk(tree: &Tree, path: &str) -> Option<Ino> {
    fn step(tree: &Tree, from: Ino, path: &str, depth: u32) -> Option<Ino> {
        let mut at = from;
        for part in path.split('/') {
            let next = match part {
                ".." => tree.parent(at),
                part => tree.lookup(at, part)?,
            };
            at = match tree.node(next)? {
                Node::Link { target, .. } if depth < 8 => step(tree, at, &target, depth + 1)?,
                _ => next,
            };
        }
        Some(at)
    }
    step(tree, ROOT, path, 0)
}

fn disk(tree: &Tree, path: &str) -> Uuid {
    match tree.node(walk(tree, path).unwrap()) {
        Some(Node::Disk(record)) => record.id,
        other => panic!("{path} is {other:?}"),
    }
}

#[test]
fn every_way_leads_to_the_disk() {
    let records = vec![
        record(1, "monday", 10, "web", 1_000_000),
        record(2, "tuesday", 10, "web", 2_000_000),
    ];
    let tree = build(&mut Serials::default(), records);
    let two = Uuid::from_u128(2);
    for path in [
        "volumes/web/tuesday/disk.raw".to_owned(),
        "volumes/web/latest/disk.raw".to_owned(),
        "volumes/web/by-time/1970-01-01T00:00:02Z/disk.raw".to_owned(),
        format!("by-id/{two}/disk.raw"),
    ] {
        assert_eq!(disk(&tree, &path), two, "{path}");
    }
    assert!(matches!(
        tree.node(walk(&tree, "volumes/web/monday/info.json").unwrap()),
        Some(Node::Info(_))
    ));
    for wrong in [
        "x",
        "volumes/x",
        "volumes/web/x",
        "volumes/web/monday/x",
        "by-id/x",
    ] {
        assert_eq!(walk(&tree, wrong), None, "{wrong}");
    }
}

#[test]
fn the_oldest_keeps_the_plain_name_and_reserved_names_are_kept_free() {
    let records = vec![
        record(2, "daily", 10, "web", 2),
        record(1, "daily", 10, "web", 1),
        record(3, "latest", 10, "web", 3),
        record(4, "daily", 11, "web", 4),
        record(5, "", 10, "web", 5),
    ];
    let tree = build(&mut Serials::default(), records);
    assert_eq!(
        disk(&tree, "volumes/web/daily/disk.raw"),
        Uuid::from_u128(1)
    );
    assert_eq!(
        disk(&tree, "volumes/web/daily~00000000/disk.raw"),
        Uuid::from_u128(2)
    );
    assert_eq!(
        disk(&tree, "volumes/web/latest~00000000/disk.raw"),
        Uuid::from_u128(3)
    );
    assert_eq!(
        disk(&tree, "volumes/web~00000000/daily/disk.raw"),
        Uuid::from_u128(4)
    );
    assert_eq!(
        disk(&tree, "volumes/web/latest/disk.raw"),
        Uuid::from_u128(5)
    );
}

#[test]
fn a_volume_without_snapshots_is_an_empty_folder() {
    let volume = VolumeRecord {
        id: Uuid::from_u128(9),
        name: "new".to_owned(),
        created_us: 1,
        snapshots: Vec::new(),
    };
    let tree = Tree::build(&mut Serials::default(), vec![volume]);
    let dir = walk(&tree, "volumes/new").unwrap();
    let names: Vec<_> = tree
        .entries(dir)
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(names, ["by-time"]);
    assert_eq!(tree.lookup(dir, "latest"), None);
}

#[test]
fn inodes_stay_and_outdated_names_are_told() {
    let mut serials = Serials::default();
    let one = record(1, "a", 10, "web", 1);
    let two = record(2, "b", 10, "web", 2);
    let before = build(&mut serials, vec![one.clone(), two.clone()]);
    let after = build(
        &mut serials,
        vec![two.clone(), record(3, "a", 10, "web", 3)],
    );
    let path = "volumes/web/b/disk.raw";
    assert_eq!(walk(&before, path), walk(&after, path));
    let changed = "volumes/web/a";
    assert_ne!(walk(&before, changed), walk(&after, changed));
    let outdated: HashSet<_> = before
        .outdated(&after)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert!(outdated.contains("a") && outdated.contains(&one.id.to_string()));
    assert!(!outdated.contains("b") && !outdated.contains(&two.id.to_string()));
    assert!(after.outdated(&after).is_empty());
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let name = "[ab/.~]{0,3}|latest|by-time|00000000-0000-0000-0000-000000000001";
    let one = (0u128..12, name, 0u128..4, name, any::<u8>()).prop_map(
        |(id, name, volume, volume_name, created)| {
            record(id, &name, volume + 100, &volume_name, u64::from(created))
        },
    );
    proptest::collection::vec(one, 0..24)
}

/// All inodes reachable through listings, checked for agreement with lookups.
fn visit(tree: &Tree, at: Ino, seen: &mut HashSet<Ino>) {
    assert!(seen.insert(at), "inode {at} is listed twice");
    for entry in tree.entries(at).into_iter().flatten() {
        assert_eq!(tree.lookup(at, &entry.name), Some(entry.ino));
        if entry.kind != EntryKind::Link {
            assert_eq!(tree.parent(entry.ino), at);
        }
        let node = tree.node(entry.ino).unwrap();
        let kind = match node {
            Node::Dir { .. } => EntryKind::Dir,
            Node::Link { .. } => EntryKind::Link,
            Node::Disk(_) | Node::Info(_) => EntryKind::File,
        };
        assert_eq!(kind, entry.kind);
        match kind {
            EntryKind::Dir => visit(tree, entry.ino, seen),
            EntryKind::File | EntryKind::Link => assert!(seen.insert(entry.ino)),
        }
    }
}

proptest! {
    #[test]
    fn listings_lookups_and_links_agree(records in records()) {
        let ids: HashSet<_> = records.iter().map(|record| record.id).collect();
        let tree = build(&mut Serials::default(), records);
        visit(&tree, ROOT, &mut HashSet::new());
        for id in &ids {
            prop_assert_eq!(disk(&tree, &format!("by-id/{id}/disk.raw")), *id);
        }
        prop_assert!(tree.entries(tree.lookup(ROOT, "by-id").unwrap()).unwrap().len() == ids.len());
    }

    #[test]
    fn no_inode_changes_hands(first in records(), second in records(), ino in 0u64..400) {
        let mut serials = Serials::default();
        let before = build(&mut serials, first);
        let after = build(&mut serials, second);
        if let (Some(Node::Disk(a)), Some(Node::Disk(b))) = (before.node(ino), after.node(ino)) {
            prop_assert_eq!(a.id, b.id);
        }
    }
}
