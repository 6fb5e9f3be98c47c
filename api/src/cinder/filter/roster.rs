//! What lists are filtered and sorted by, of all records of a table, in memory.
//!
//! A page of a list is found by looking at a few small numbers of every row, some nanoseconds each,
//! whatever it is filtered and sorted by; only the records of the page are then read. A row is
//! never changed: a changed record gets a new one, and both say between which commits they hold, so
//! that a page is that of exactly the state which the reader sees. About 300 bytes a record.

use std::collections::HashMap;
use std::marker::PhantomData;

use uuid::Uuid;

use super::column::{Cells, Column};
use super::{Listed, is_number, is_time};
use crate::catalogue::Follower;

/// Rows that no longer hold are swept when they are so many, and a quarter of all.
const DEAD_MIN: usize = 1024;
/// Commits whose state can be asked for at least; older readers go to the table.
const MEMORY: u64 = 64;
/// The length of times as Block Storage writes them.
const TIME_LEN: usize = "2015-11-29T03:01:44.000000".len();

/// The rows of a table.
pub(super) struct Roster<R> {
    pub(super) ids: Vec<Uuid>,
    pub(super) created: Vec<u64>,
    /// The commits between which a row holds: from the first, until the second.
    spans: Vec<(u64, u64)>,
    pub(super) columns: Vec<Column>,
    places: HashMap<Uuid, u32>,
    dead: usize,
    /// The oldest commit whose state is known.
    horizon: u64,
    /// A time was not of the usual form, so that times cannot be told apart by their numbers.
    is_odd: bool,
    record: PhantomData<fn() -> R>,
}

/// The name under which a column is kept.
pub(super) fn kept_name(key: &str) -> &str {
    match key {
        "display_name" => "name",
        _ => key,
    }
}

/// What a record has in a column; in that of metadata, the JSON of its pairs.
pub(super) fn text_of<R: Listed>(record: &R, column: &str) -> Option<String> {
    match column {
        "metadata" => record
            .pairs()
            .map(|pairs| serde_json::to_string(pairs).unwrap_or_default()),
        "project_id" => Some(record.project().to_owned()),
        name => record.column(name).flatten(),
    }
}

impl<R: Listed> Default for Roster<R> {
    fn default() -> Self {
        let mut columns: Vec<Column> = Vec::new();
        let always = ["project_id", "metadata"];
        let keys = [R::SORT_KEYS, R::FILTERS, R::INDEXED, &always].concat();
        for name in keys.into_iter().map(kept_name) {
            if name == "id" || columns.iter().any(|column| column.name == name) {
                continue;
            }
            columns.push(match is_time(name) {
                true => Column::new(name, Cells::Times(Vec::new())),
                false => Column::new(name, Column::texts(is_number(name))),
            });
        }
        Self {
            ids: Vec::new(),
            created: Vec::new(),
            spans: Vec::new(),
            columns,
            places: HashMap::new(),
            dead: 0,
            horizon: 0,
            is_odd: false,
            record: PhantomData,
        }
    }
}

impl<R: Listed> Roster<R> {
    /// Whether the state after a commit can be told.
    pub(super) fn knows(&self, version: u64) -> bool {
        version >= self.horizon && !self.is_odd
    }

    pub(super) fn column(&self, key: &str) -> Option<&Column> {
        let name = kept_name(key);
        self.columns.iter().find(|column| column.name == name)
    }

    /// The rows of a state.
    pub(super) fn rows(&self, version: u64) -> impl Iterator<Item = usize> {
        let holds = move |(row, (from, until)): (usize, &(u64, u64))| {
            (*from <= version && version < *until).then_some(row)
        };
        self.spans.iter().enumerate().filter_map(holds)
    }

    /// The row of a record in a state.
    pub(super) fn row_of(&self, id: Uuid, version: u64) -> Option<usize> {
        self.rows(version).find(|row| self.ids[*row] == id)
    }

    fn end(&mut self, id: Uuid, version: u64) {
        if let Some(row) = self.places.remove(&id) {
            self.spans[row as usize].1 = version;
            self.dead += 1;
        }
    }

    fn push(&mut self, record: &R, version: u64) {
        for column in &mut self.columns {
            let value = text_of(record, column.name);
            column.exists |= match column.name {
                "metadata" => record.pairs().is_some(),
                name => record.column(name).is_some(),
            };
            if matches!(column.cells, Cells::Times(_)) {
                self.is_odd |= value.as_ref().is_some_and(|text| text.len() != TIME_LEN);
            }
            column.push(value.as_deref());
        }
        self.created.push(record.created_us());
        self.spans.push((version, u64::MAX));
    }

    /// Drops the rows that nobody can see any more but readers of long ago.
    fn sweep(&mut self, version: u64) {
        if self.dead < DEAD_MIN || self.dead * 4 < self.ids.len() {
            return;
        }
        self.horizon = self.horizon.max(version.saturating_sub(MEMORY));
        let horizon = self.horizon;
        let kept: Vec<bool> = self
            .spans
            .iter()
            .map(|(_, until)| *until > horizon)
            .collect();
        for column in &mut self.columns {
            column.retain(&kept);
        }
        let mut row = 0..kept.len();
        self.ids.retain(|_| row.next().is_some_and(|row| kept[row]));
        let mut row = 0..kept.len();
        let keep = |_: &u64| row.next().is_some_and(|row| kept[row]);
        self.created.retain(keep);
        self.spans.retain(|(_, until)| *until > horizon);
        let alive = |(row, span): (usize, &(u64, u64))| {
            (span.1 == u64::MAX).then_some((self.ids[row], row as u32))
        };
        self.places = self.spans.iter().enumerate().filter_map(alive).collect();
        self.dead = self.ids.len() - self.places.len();
    }
}

impl<R: Listed<Id = Uuid> + 'static> Follower for Roster<R> {
    type Of = R;

    fn put(&mut self, record: &R, version: u64) {
        let id = *record.id();
        self.end(id, version);
        self.places.insert(id, self.ids.len() as u32);
        self.ids.push(id);
        self.push(record, version);
        self.sweep(version);
    }

    fn delete(&mut self, id: &[u8], version: u64) {
        if let Ok(id) = Uuid::from_slice(id) {
            self.end(id, version);
            self.sweep(version);
        }
    }

    fn begin(&mut self, version: u64) {
        self.horizon = version;
    }
}
