//! The catalogue against a model, and over power losses.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use serde::{Deserialize, Serialize};
use store::disk::sim::{Crash, SimIo, SplitMix64, Survive};

use super::{Catalogue, Error, ErrorKind, Index, Key, Options, Query, Record, Result, View};

const BY_GROUP: Index = Index("group");

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    id: String,
    group: String,
    rank: u64,
}

impl Record for Item {
    const TABLE: &'static str = "items";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let key = Key::new().text(&self.group).number_desc(self.rank);
        vec![(BY_GROUP, key)]
    }
}

fn item(id: u8, group: u8, rank: u8) -> Item {
    Item {
        id: format!("i{id:02}"),
        group: "g".repeat(usize::from(group) + 1),
        rank: u64::from(rank),
    }
}

/// The ids of a group as the index must give them: the highest rank first, then by id.
fn expected(model: &BTreeMap<String, Item>, group: &str) -> Vec<String> {
    let mut items: Vec<&Item> = model.values().filter(|item| item.group == group).collect();
    items.sort_by(|a, b| b.rank.cmp(&a.rank).then(a.id.cmp(&b.id)));
    items.iter().map(|item| item.id.clone()).collect()
}

/// Walks a group page by page, each page after the last id of the one before.
fn paged(view: &impl View, group: &str, limit: usize) -> Result<Vec<String>> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let mut query = Query::by(BY_GROUP, Key::new().text(group)).limit(limit);
        if let Some(last) = ids.last() {
            query = query.after(last.as_str());
        }
        let page = view.list::<Item>(&query)?;
        let full = page.len() == limit;
        ids.extend(page.into_iter().map(|item| item.id));
        if !full {
            return Ok(ids);
        }
    }
}

fn change() -> impl Strategy<Value = (u8, u8, u8, bool)> {
    (0_u8..20, 0_u8..3, any::<u8>(), any::<bool>())
}

proptest! {
    #[test]
    fn tables_and_indexes_follow_the_model(
        changes in proptest::collection::vec(change(), 0..80), limit in 1_usize..7,
    ) {
        let catalogue = Catalogue::in_memory().unwrap();
        let mut model = BTreeMap::new();
        for part in changes.chunks(5) {
            catalogue.write(|writer| {
                for &(id, group, rank, keep) in part {
                    let item = item(id, group, rank);
                    if keep {
                        writer.put(&item)?;
                        model.insert(item.id.clone(), item);
                    } else {
                        let old = writer.delete::<Item>(&item.id)?;
                        assert_eq!(old, model.remove(&item.id));
                    }
                }
                Ok::<_, Error>(())
            }).unwrap();
        }
        catalogue.read(|reader| {
            let all = reader.list::<Item>(&Query::all())?;
            assert_eq!(all, model.values().cloned().collect::<Vec<_>>());
            for group in ["g", "gg", "ggg"] {
                let ids = expected(&model, group);
                assert_eq!(paged(reader, group, limit)?, ids);
                let query = Query::by(BY_GROUP, Key::new().text(group));
                assert_eq!(reader.count::<Item>(&query)?, ids.len() as u64);
            }
            Ok::<_, Error>(())
        }).unwrap();
        let seen = catalogue.write(|writer| paged(writer, "g", limit)).unwrap();
        prop_assert_eq!(seen, expected(&model, "g"));
    }
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let catalogue = Catalogue::in_memory().unwrap();
    let failed = catalogue.write(|writer| {
        writer.insert(&item(1, 0, 0))?;
        writer.insert(&item(1, 0, 1))
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Conflict);
    let all = catalogue.read(|reader| reader.list::<Item>(&Query::all()));
    assert!(all.unwrap().is_empty());
    let missing = catalogue.write(|writer| writer.update::<Item>("x", |_| ()));
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn records_of_a_newer_program_are_refused() {
    #[derive(Serialize, Deserialize)]
    struct Newer(Item);

    impl Record for Newer {
        const TABLE: &'static str = Item::TABLE;
        const VERSION: u8 = 2;
        type Id = str;

        fn id(&self) -> &str {
            &self.0.id
        }
    }

    let catalogue = Catalogue::in_memory().unwrap();
    catalogue
        .write(|writer| writer.put(&Newer(item(1, 0, 0))))
        .unwrap();
    let read = catalogue.read(|reader| reader.get::<Item>("i01"));
    assert_eq!(read.unwrap_err().kind(), ErrorKind::UnsupportedFormat);
}

/// Whatever a power loss leaves behind opens, holds every transaction that had returned, each whole,
/// and has indexes that agree with its tables.
#[test]
fn acknowledged_transactions_survive_a_power_loss() {
    const SEED: u64 = 11;
    let sim = SimIo::new(SEED);
    let path = Path::new("/catalogue.redb");
    let options = Options {
        cache_bytes: 4 << 20,
    };
    let catalogue = Catalogue::open_file(&sim, path, options).unwrap();
    let mut acknowledged = vec![sim.op_count()];
    for id in 0..12 {
        catalogue
            .write(|writer| {
                writer.put(&item(2 * id, 0, id))?;
                writer.put(&item(2 * id + 1, 1, id))
            })
            .unwrap();
        acknowledged.push(sim.op_count());
    }
    let end = sim.op_count();
    let mut rng = SplitMix64::new(SEED);
    for at in acknowledged[0]..=end {
        for survive in [Survive::Nothing, Survive::Everything, Survive::Subset] {
            let after = sim.crash(at, &Crash::new(survive), &mut rng);
            let returned = acknowledged.iter().filter(|count| **count <= at).count() - 1;
            check_after(&after, path, options, returned, at);
        }
    }
}

fn check_after(sim: &SimIo, path: &Path, options: Options, returned: usize, at: usize) {
    let catalogue = Catalogue::open_file(sim, path, options).unwrap();
    catalogue
        .read(|reader| {
            let mut groups = [0, 0];
            reader.walk::<Item>(&Query::all(), |item| {
                groups[item.group.len() - 1] += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            assert_eq!(
                groups[0], groups[1],
                "half a transaction after operation {at}"
            );
            assert!(
                groups[0] >= returned,
                "a transaction lost after operation {at}"
            );
            assert_eq!(
                paged(reader, "g", 3)?.len(),
                groups[0],
                "index after operation {at}"
            );
            Ok::<_, Error>(())
        })
        .unwrap();
}

#[test]
fn an_early_change_is_seen_before_it_is_durable_and_durable_at_the_end() {
    let sim = SimIo::new(7);
    let path = Path::new("/catalogue.redb");
    let catalogue = Catalogue::open_file(&sim, path, Options::default()).unwrap();
    for number in 0..5 {
        catalogue
            .write_early(|writer| writer.put(&item(number, 0, 0)))
            .unwrap();
        let mut rng = SplitMix64::new(7);
        let after = sim.crash(sim.op_count(), &Crash::new(Survive::Nothing), &mut rng);
        let reopened = Catalogue::open_file(&after, path, Options::default()).unwrap();
        let kept = reopened.read(|reader| reader.count::<Item>(&Query::all()));
        assert_eq!(kept.unwrap(), u64::from(number) + 1);
    }
}
