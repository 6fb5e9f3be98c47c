//! Counts and sums of objects, without reading them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use uuid::Uuid;

use super::condition::{Condition, Test};
use super::roster::{Roster, text_of};
use super::select::Wanted;
use super::{Listed, query_of};
use crate::catalogue::{self, View};

/// How many objects of a project, or of all, have each text in a column, of those that have certain
/// texts in others.
pub(in crate::cinder) fn tally<R: Listed<Id = Uuid> + 'static>(
    view: &impl View,
    project: Option<&str>,
    having: &[(&str, &str)],
    column: &str,
) -> catalogue::Result<Vec<(Option<String>, u64)>> {
    let conditions = having.iter().map(|(column, text)| Condition {
        column: (*column).to_owned(),
        test: Test::Equals((*text).to_owned()),
    });
    let conditions: Vec<Condition> = conditions.collect();
    let wanted = Wanted {
        project,
        conditions: &conditions,
        ..Wanted::default()
    };
    let told = view.ask(|roster: &Roster<R>, version| {
        let told = roster.tally(version, &wanted, column)?.into_iter();
        let owned = told.map(|(text, count)| (text.map(str::to_owned), count));
        Some(owned.collect())
    })?;
    if let Some(told) = told {
        return Ok(told);
    }
    let mut counts = BTreeMap::new();
    view.walk::<R>(&query_of(project), |record| {
        if conditions.iter().all(|one| one.passes(&record)) {
            *counts.entry(text_of(&record, column)).or_default() += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(counts.into_iter().collect())
}

/// Number and GiB of the objects of a project, or of all, that have certain texts in some columns.
pub(in crate::cinder) fn totals<R: Listed<Id = Uuid> + 'static>(
    view: &impl View,
    project: Option<&str>,
    having: &[(&str, &str)],
) -> catalogue::Result<(u64, u64)> {
    let (mut number, mut gib) = (0, 0);
    for (size, count) in tally::<R>(view, project, having, "size")? {
        let size: Option<u64> = size.and_then(|text| text.parse().ok());
        number += count;
        gib += count * size.unwrap_or(0);
    }
    Ok((number, gib))
}
