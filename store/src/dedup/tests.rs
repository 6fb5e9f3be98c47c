//! The sampled index against a whole one, on data with locality.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Dedup;
use crate::addr::ContainerId;
use crate::chunk::{DomainKey, Fingerprint, fingerprint};
use crate::error::{Error, ErrorKind};
use crate::spec::Fingerprints;

type Lists = HashMap<u64, Arc<[Fingerprint]>>;

fn name(number: u64) -> Fingerprint {
    fingerprint(&DomainKey::new([5; 32]), &number.to_le_bytes())
}

/// A stream like several installations of related systems: the files (1 to 64 chunks) of a common
/// stock in one order, of which each image leaves some out and replaces some by its own.
fn images(images: u64, files: u64) -> Vec<Fingerprint> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut stream = Vec::new();
    for image in 1..=images {
        for file in 0..files {
            let own = match random(10) {
                0 | 1 => continue,
                2 | 3 => image << 40,
                _ => 0,
            };
            let len = 1 + file.wrapping_mul(0x9e37_79b9) % 64;
            stream.extend((0..len).map(|chunk| name(own + file * 64 + chunk)));
        }
    }
    stream
}

/// Packs the stream; gives the number of chunks stored.
fn pack(dedup: &mut Dedup, stream: &[Fingerprint]) -> usize {
    pack_more(dedup, &mut Lists::new(), stream)
}

/// Packs the stream into further containers, the last of which is not filled.
fn pack_more(dedup: &mut Dedup, lists: &mut Lists, stream: &[Fingerprint]) -> usize {
    let mut open: Vec<Fingerprint> = Vec::new();
    let mut in_open = HashSet::new();
    let mut stored = 0;
    for fingerprint in stream {
        let load = |id: ContainerId| Ok(lists.get(&id.0).cloned());
        if in_open.contains(&fingerprint.0) {
            continue;
        }
        if let Some(address) = dedup.lookup(*fingerprint, load) {
            let list = &lists[&address.container().0];
            assert_eq!(list[address.slot() as usize], *fingerprint);
            continue;
        }
        stored += 1;
        open.push(*fingerprint);
        in_open.insert(fingerprint.0);
        if open.len() == 1024 {
            close(dedup, lists, &mut open);
            in_open.clear();
        }
    }
    if !open.is_empty() {
        close(dedup, lists, &mut open);
    }
    stored
}

fn close(dedup: &mut Dedup, lists: &mut Lists, open: &mut Vec<Fingerprint>) {
    let id = ContainerId(lists.len() as u64 + 1);
    dedup.insert_container(id, open);
    lists.insert(id.0, open.as_slice().into());
    open.clear();
}

#[test]
fn sampling_keeps_nearly_all_of_the_saving() {
    let stream = images(6, 6000);
    let unique = stream.iter().map(|name| name.0).collect::<HashSet<_>>();
    let whole = stream.len() - unique.len();
    let mut dedup = Dedup::new(16 << 20, Fingerprints::Sampled);
    let sampled = stream.len() - pack(&mut dedup, &stream);
    assert!(sampled * 100 >= whole * 90, "{sampled} of {whole}");
}

#[test]
fn full_fingerprints_keep_all_of_the_saving() {
    let stream = images(6, 6000);
    let unique = stream.iter().map(|name| name.0).collect::<HashSet<_>>();
    let mut dedup = Dedup::new(64 << 20, Fingerprints::Full);
    // What a full bucket has dropped is stored again.
    let stored = pack(&mut dedup, &stream);
    assert!(
        stored * 1000 <= unique.len() * 1001,
        "{stored} of {}",
        unique.len()
    );
}

#[test]
fn further_copies_cost_nothing() {
    // Far more containers than lists are kept, so that each copy meets every container anew.
    let stream: Vec<_> = (0..160_000).map(name).collect();
    let (mut dedup, mut lists) = (Dedup::new(16 << 20, Fingerprints::Sampled), Lists::new());
    assert_eq!(
        pack_more(&mut dedup, &mut lists, &stream),
        stream.len(),
        "the first"
    );
    for copy in ["the second", "the third"] {
        let stored = pack_more(&mut dedup, &mut lists, &stream);
        assert!(
            stored * 1000 < stream.len(),
            "{copy} copy stored {stored} chunks"
        );
    }
}

#[test]
fn too_little_memory_costs_space_only() {
    let mut dedup = Dedup::new(0, Fingerprints::Sampled);
    let stream = images(6, 6000);
    // Every address given was checked against its list on the way.
    pack(&mut dedup, &stream);
    assert!(dedup.hooks.memory_bytes() <= 256 << 10);
}

#[test]
fn gone_containers_are_not_offered() {
    let mut dedup = Dedup::new(1 << 20, Fingerprints::Sampled);
    let hook = (0..)
        .map(name)
        .find(|name| super::is_hook(Fingerprints::Sampled, 1, *name))
        .unwrap();
    dedup.insert_container(ContainerId(9), &[hook]);
    assert_eq!(
        dedup.lookup(hook, |_| Ok(None)).map(|at| at.container().0),
        Some(9)
    );
    dedup.forget_container(ContainerId(9));
    let failing = |_| Err(Error::new(ErrorKind::Io, "test"));
    assert_eq!(dedup.lookup(hook, failing), None);
    assert_eq!(dedup.hooks.len(), 1);
    assert_eq!(dedup.lookup(hook, |_| Ok(None)), None);
    assert_eq!(dedup.hooks.len(), 0);
}
