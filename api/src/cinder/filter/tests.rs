//! Lists: rights, and the roster against the table.

use http::StatusCode;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::sample::Index;
use serde_json::json;
use uuid::Uuid;

use super::condition::Condition;
use super::roster::Roster;
use super::select::Wanted;
use super::{Found, Listed, Listing, query_of, totals};
use crate::catalogue::{Catalogue, Follower, Reader, View, Writer};
use crate::cinder::records::Volume;
use crate::page::{Direction, Page};

use crate::cinder::records::Attachment;
use crate::fault::Fault;
use crate::testing::{Cloud, PASSWORD};

fn attachment() -> Attachment {
    Attachment {
        id: Uuid::new_v4(),
        project_id: "somebody".to_owned(),
        volume_id: Uuid::new_v4(),
        instance_id: None,
        status: "attaching".to_owned(),
        mode: None,
        connector: None,
        export: Some("the name of an export".to_owned()),
        mountpoint: None,
        by_action: false,
        qos_specs: json!(null),
        created_us: 1,
        attached_us: None,
    }
}

#[tokio::test]
async fn a_token_without_a_project_lists_nothing_of_others() {
    let cloud = Cloud::new();
    let catalogue = cloud.services.catalogue();
    catalogue
        .write::<_, Fault>(|writer| Ok(writer.insert(&attachment())?))
        .unwrap();
    let login = cloud
        .login("admin", PASSWORD, json!({"unscoped": {}}))
        .await;
    let token = login.header("x-subject-token");
    for query in ["", "?status=attaching", "?all_tenants=1"] {
        let path = format!("/volume/v3/attachments/detail{query}");
        let headers = [
            ("X-Auth-Token", token),
            ("OpenStack-API-Version", "volume 3.71"),
        ];
        let answer = cloud.send("GET", &path, &headers, json!(null)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        assert!(!answer.body.to_string().contains("the name of an export"));
    }
}

/// A column of few values, a null among them.
fn few(values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::sample::select(values).prop_map(str::to_owned))
}

/// Volumes that share most of what they have, so that filters and ties have something to do.
fn volume() -> impl Strategy<Value = Volume> {
    let texts = (
        few(&["", "None", "a", "ab", "b", "10"]),
        few(&["x", "y"]),
        few(&["available", "error"]),
    );
    let numbers = (1_u64..30, 0_u64..6, proptest::option::of(0_u64..6));
    let pairs = proptest::collection::btree_map("[ab\"]", "[cd]", 0..2);
    let others = (any::<bool>(), any::<bool>(), pairs);
    (any::<u128>(), texts, numbers, others).prop_map(|(id, texts, numbers, others)| {
        let time = |seconds: u64| 1_700_000_000_000_000 + seconds * 40_000_000;
        let mut volume: Volume = serde_json::from_value(plain_volume()).unwrap();
        volume.id = Uuid::from_u128(id);
        volume.size_gib = numbers.0;
        volume.bootable = others.0;
        volume.created_us = time(numbers.1);
        volume.name = texts.0;
        volume.description = texts.1;
        volume.status = texts.2.unwrap_or(volume.status);
        volume.updated_us = numbers.2.map(time);
        volume.metadata = others.2;
        if others.1 {
            volume.project_id = "q".to_owned();
        }
        volume
    })
}

fn sort() -> impl Strategy<Value = Vec<(String, Direction)>> {
    let direction = prop_oneof![Just(Direction::Ascending), Just(Direction::Descending)];
    let key = proptest::sample::select(Volume::SORT_KEYS).prop_map(str::to_owned);
    proptest::collection::vec((key, direction), 0..3)
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let pair = proptest::sample::select(
        &[
            ("name", "a"),
            ("name", "None"),
            ("name", "nobody"),
            ("name~", "b"),
            ("display_description", "x"),
            ("display_description", "None"),
            ("status", "available"),
            ("status~", "a"),
            ("size", "10"),
            ("size~", "1"),
            ("bootable", "1"),
            ("bootable", "FALSE"),
            ("metadata", "{'a': 'c'}"),
            ("metadata", "{'\"': 'c'}"),
            ("metadata", "no pairs"),
            ("metadata~", "a"),
            ("project_id", "q"),
            ("id", "nobody"),
            ("id~", "a"),
            ("created_at", "gt:2023-11-14T22:14:00"),
            ("created_at", "lte:2023-11-14T22:15,neq:2023-11-14T22:13:20"),
            ("created_at~", "22:14"),
            ("updated_at", "eq:2023-11-14T22:15:20.000000"),
            ("updated_at", "gte:2023"),
            ("updated_at", "lt:"),
            ("snapshot_id", "None"),
            ("colour", "red"),
        ][..],
    );
    proptest::collection::vec(pair, 0..3).prop_map(|pairs| {
        let parse = |(key, wanted): (&str, &str)| Condition::parse(key, wanted).unwrap();
        pairs.into_iter().map(parse).collect()
    })
}

fn listing(
    conditions: Vec<Condition>,
    sort: Vec<(String, Direction)>,
    (limit, offset): (usize, usize),
    marker: Option<Uuid>,
) -> Listing {
    Listing {
        page: Page {
            limit,
            offset,
            marker: marker.map(|id| id.to_string()),
            sort,
        },
        conditions,
        all_projects: false,
        with_count: true,
        nothing: false,
        is_odd_order: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_roster_gives_what_the_table_gives(
        first in proptest::collection::vec(volume(), 0..20),
        then in proptest::collection::vec((volume(), any::<Index>(), 0..3_u8), 0..20),
        conditions in conditions(), sort in sort(), page in (0_usize..12, 0_usize..4),
        marker in proptest::option::of(any::<Index>()), project in few(&["p", "q"]),
    ) {
        let catalogue = Catalogue::in_memory().unwrap();
        let put = |volume: &Volume| catalogue.write::<_, Fault>(|writer| Ok(writer.put(volume)?));
        first.iter().for_each(|volume| put(volume).unwrap());
        // From here on the roster is there, and follows.
        let made = catalogue.read::<_, Fault>(|reader| {
            Ok(reader.ask(|_: &Roster<Volume>, _| Some(()))?)
        });
        prop_assert!(made.unwrap().is_some());
        let mut ids: Vec<Uuid> = first.iter().map(|volume| volume.id).collect();
        for (mut volume, which, kind) in then {
            match kind {
                0 => ids.push(volume.id),
                _ if ids.is_empty() => continue,
                _ => volume.id = ids[which.index(ids.len())],
            }
            if kind == 2 {
                let gone = |writer: &Writer| Ok(writer.delete::<Volume>(&volume.id)?);
                catalogue.write::<_, Fault>(gone).unwrap();
                ids.retain(|id| *id != volume.id);
            } else {
                put(&volume).unwrap();
            }
        }
        let marker = marker.filter(|_| !ids.is_empty()).map(|index| ids[index.index(ids.len())]);
        let project = project.as_deref();
        let listing = listing(conditions, sort, page, marker);
        catalogue.read::<_, Fault>(|reader| {
            let marker = marker.map(|id| reader.get::<Volume>(&id)).transpose()?.flatten();
            let wanted = listing.wanted(project, marker.as_ref().map(|marker| marker.id));
            let selected = reader
                .ask(|roster: &Roster<Volume>, version| roster.select(version, &wanted))?;
            let walked = listing.walk(reader, &query_of(project), marker.as_ref())?;
            // A part of a time, and columns that there are not, are the table's business.
            if let Some(selected) = selected {
                let found: Found<Volume> = listing.selected(reader, &selected)?;
                assert_eq!(found.items, walked.items);
                assert_eq!(found.count, walked.count);
            } else {
                let odd = |one: &Condition| one.column == "colour" || one.column == "created_at";
                assert!(listing.conditions.iter().any(odd));
            }
            Ok(())
        }).unwrap();
    }
}

proptest! {
    // Each case sorts thousands of rows.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_best_of_many_rows_are_the_first_when_all_are_sorted(
        names in proptest::collection::vec("[a-d]{0,4}", 2000..5000), limit in 1_usize..40,
        seed in any::<u64>(),
    ) {
        let mut roster: Roster<Volume> = Roster::default();
        let mut volumes = Vec::new();
        let plain: Volume = serde_json::from_value(plain_volume()).unwrap();
        for (at, name) in names.into_iter().enumerate() {
            let mut volume = plain.clone();
            volume.id = Uuid::from_u64_pair(seed.wrapping_mul(at as u64 + 1), at as u64);
            volume.name = Some(name);
            roster.put(&volume, 1);
            volumes.push(volume);
        }
        let sort = [("name".to_owned(), Direction::Ascending)];
        let listing = listing(Vec::new(), sort.to_vec(), (limit, 0), None);
        volumes.sort_by(|a, b| listing.order(a, b));
        let selected = roster.select(1, &listing.wanted(None, None)).unwrap();
        let expected: Vec<Uuid> = volumes.iter().take(limit).map(|volume| volume.id).collect();
        prop_assert_eq!(selected.ids, expected);
        prop_assert_eq!(selected.count, volumes.len());
    }
}

/// The JSON of a volume like any other.
fn plain_volume() -> serde_json::Value {
    json!({
        "id": Uuid::nil(), "project_id": "p", "user_id": "u", "name": null, "description": null,
        "size_gib": 1, "status": "available", "previous_status": null,
        "attach_status": "detached", "volume_type_id": Uuid::nil(), "snapshot_id": null,
        "source_volid": null, "metadata": {}, "bootable": false, "read_only": null,
        "multiattach": false, "source_length": null, "created_us": 1, "updated_us": null,
    })
}

#[test]
fn a_roster_tells_of_earlier_states_until_it_is_swept() {
    let mut roster: Roster<Volume> = Roster::default();
    let mut volume: Volume = serde_json::from_value(plain_volume()).unwrap();
    let of = |project| Wanted {
        project: Some(project),
        ..Wanted::default()
    };
    let commits = 5000;
    for version in 1..=commits {
        volume.size_gib = version;
        roster.put(&volume, version);
        if version == 3 {
            let sizes = |version| roster.tally(version, &of("p"), "size").unwrap();
            assert_eq!(sizes(2), [(Some("2"), 1)]);
            assert_eq!(sizes(3), [(Some("3"), 1)]);
            assert_eq!(sizes(0), []);
        }
    }
    assert!(roster.tally(2, &of("p"), "size").is_none(), "kept for ever");
    let recent = roster.tally(commits - 1, &of("p"), "size").unwrap();
    assert_eq!(recent, [(Some("4999"), 1)]);
    assert!(
        roster.ids.len() < 2000,
        "{} rows of one volume",
        roster.ids.len()
    );
    roster.delete(volume.id.as_bytes(), commits + 1);
    assert_eq!(roster.tally(commits, &of("p"), "size").unwrap().len(), 1);
    assert!(
        roster
            .tally(commits + 1, &of("p"), "size")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_writer_counts_what_was_there_and_what_it_added_itself() {
    let catalogue = Catalogue::in_memory().unwrap();
    let mut volume: Volume = serde_json::from_value(plain_volume()).unwrap();
    volume.size_gib = 3;
    let put = |writer: &Writer| Ok(writer.put(&volume)?);
    catalogue.write::<_, Fault>(put).unwrap();
    let all = |view: &Reader| {
        Ok(totals::<Volume>(
            view,
            Some("p"),
            &[("status", "available")],
        )?)
    };
    assert_eq!(catalogue.read::<_, Fault>(all).unwrap(), (1, 3));
    let counted = catalogue.write::<_, Fault>(|writer| {
        let before = totals::<Volume>(writer, Some("p"), &[])?;
        let mut other = volume.clone();
        other.id = Uuid::new_v4();
        writer.put(&other)?;
        Ok((before, totals::<Volume>(writer, Some("p"), &[])?))
    });
    assert_eq!(counted.unwrap(), ((1, 3), (2, 6)));
    let others = |view: &Reader| Ok(totals::<Volume>(view, Some("q"), &[])?);
    assert_eq!(catalogue.read::<_, Fault>(others).unwrap(), (0, 0));
}
