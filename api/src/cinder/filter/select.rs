//! Finding the page of a list in a roster.

use std::cmp::Ordering;

use uuid::Uuid;

use super::Listed;
use super::column::{Cells, Column, Dictionary};
use super::condition::{Comparison, Condition, Test};
use super::roster::Roster;
use crate::clock::volume_time;
use crate::page::Direction;

/// Rows looked at beyond the page before the worse half is dropped.
const SLACK: usize = 2048;
/// The latest time that can be written, microseconds since 1970: the end of the year 9999.
const TIME_MAX: u64 = 253_402_300_800_000_000;

/// A page as asked for.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    /// Whose records; `None` for everybody's.
    pub(super) project: Option<&'a str>,
    pub(super) conditions: &'a [Condition],
    pub(super) sort: &'a [(String, Direction)],
    /// The record the page comes behind.
    pub(super) marker: Option<Uuid>,
    /// Records between that and the page.
    pub(super) skip: usize,
    pub(super) limit: usize,
}

/// The records of a page in order, and how many match in all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) ids: Vec<Uuid>,
    pub(super) count: usize,
}

/// A condition in terms of cells.
enum Check<'a> {
    Never,
    OneOf(&'a [u32], [Option<u32>; 2]),
    Symbols(&'a [u32], Vec<bool>),
    Times(&'a [u64], Vec<Span<'a>>),
    Id(&'a Condition),
}

/// A comparison with a time, as the span of times that are equal to it.
struct Span<'a> {
    comparison: &'a Comparison,
    from: u64,
    until: u64,
}

impl<'a> Span<'a> {
    fn of(comparison: &'a Comparison) -> Self {
        // Texts rise with the times, so both ends are found by halving.
        let first = |beyond: fn(Ordering) -> bool| {
            let (mut low, mut high) = (0, TIME_MAX);
            while low < high {
                let middle = low + (high - low) / 2;
                match beyond(comparison.order(&volume_time(middle))) {
                    true => high = middle,
                    false => low = middle + 1,
                }
            }
            low
        };
        Self {
            comparison,
            from: first(Ordering::is_ge),
            until: first(Ordering::is_gt),
        }
    }

    fn holds(&self, us: u64) -> bool {
        let ordering = match us {
            us if us < self.from => Ordering::Less,
            us if us < self.until => Ordering::Equal,
            _ => Ordering::Greater,
        };
        self.comparison.accepts(ordering)
    }
}

impl<'a> Check<'a> {
    /// `None` when cells do not tell.
    fn of(condition: &'a Condition, column: &'a Column) -> Option<Self> {
        let is_pairs = matches!(condition.test, Test::Pairs(_));
        if !column.exists || is_pairs != (column.name == "metadata") {
            return Some(Self::Never);
        }
        Some(match (&column.cells, &condition.test) {
            (Cells::Times(times), Test::Within(all)) => {
                Self::Times(times, all.iter().map(Span::of).collect())
            }
            (Cells::Times(_), _) => return None,
            (Cells::Texts(symbols, dictionary), Test::Equals(wanted)) => {
                let null = (wanted == "None").then(|| dictionary.find(None)).flatten();
                Self::OneOf(symbols, [dictionary.find(Some(wanted)), null])
            }
            (Cells::Texts(symbols, dictionary), _) => {
                Self::Symbols(symbols, accepted(condition, dictionary))
            }
        })
    }

    fn passes(&self, row: usize, id: Uuid) -> bool {
        match self {
            Self::Never => false,
            Self::OneOf(symbols, wanted) => wanted.contains(&Some(symbols[row])),
            Self::Symbols(symbols, accepted) => accepted[symbols[row] as usize],
            Self::Times(times, spans) => {
                let us = times[row].checked_sub(1);
                us.is_some_and(|us| spans.iter().all(|span| span.holds(us)))
            }
            Self::Id(condition) => condition.holds(Some(&id.to_string())),
        }
    }
}

/// Which symbols a condition holds of: each text is looked at once, however many rows have it.
fn accepted(condition: &Condition, dictionary: &Dictionary) -> Vec<bool> {
    if let Test::Contains(part) = &condition.test {
        return dictionary.containing(part);
    }
    let symbols = 0..dictionary.len() as u32;
    symbols
        .map(|symbol| condition.holds(dictionary.text(symbol)))
        .collect()
}

/// A sort key; `None` is the id.
type Sort<'a> = (Option<&'a Column>, Direction);

/// A row with a number that has the order of the first sort key.
type Ranked = (u64, usize);

/// The order of a list.
struct Order<'a, R> {
    roster: &'a Roster<R>,
    sorts: Vec<Sort<'a>>,
    last: Direction,
}

impl<'a, R: Listed> Order<'a, R> {
    fn of(roster: &'a Roster<R>, sort: &[(String, Direction)]) -> Option<Self> {
        let mut sorts = Vec::new();
        for (key, direction) in sort {
            let column = match key.as_str() {
                "id" => None,
                key => Some(roster.column(key)?),
            };
            sorts.push((column, *direction));
        }
        let first = sorts.first().map(|(_, direction)| *direction);
        Some(Self {
            roster,
            sorts,
            last: first.unwrap_or(Direction::Descending),
        })
    }

    fn rank(&self, row: usize) -> Ranked {
        let rank = match self.sorts.first() {
            None => self.roster.created[row],
            Some((Some(column), _)) => column.rank(row),
            Some((None, _)) => self.roster.ids[row].as_u64_pair().0,
        };
        let rank = match self.last {
            Direction::Ascending => rank,
            Direction::Descending => !rank,
        };
        (rank, row)
    }

    fn compare(&self, a: &Ranked, b: &Ranked) -> Ordering {
        a.0.cmp(&b.0).then_with(|| self.compare_rest(a.1, b.1))
    }

    fn compare_rest(&self, a: usize, b: usize) -> Ordering {
        let (ids, created) = (&self.roster.ids, &self.roster.created);
        for (column, direction) in &self.sorts {
            let ordering = match column {
                Some(column) => column.rank(a).cmp(&column.rank(b)),
                None => ids[a].cmp(&ids[b]),
            };
            if ordering.is_ne() {
                return direction.apply(ordering);
            }
        }
        self.last
            .apply((created[a], ids[a]).cmp(&(created[b], ids[b])))
    }
}

/// The first rows of an order, of as many as are offered.
struct Best<'a, R> {
    order: Order<'a, R>,
    rows: Vec<Ranked>,
    size: usize,
    /// The worst row that was kept when there were too many.
    worst: Option<Ranked>,
}

impl<R: Listed> Best<'_, R> {
    fn offer(&mut self, row: usize) {
        let ranked = self.order.rank(row);
        let is_worse = |worst: &Ranked| self.order.compare(&ranked, worst).is_gt();
        if self.size == 0 || self.worst.as_ref().is_some_and(is_worse) {
            return;
        }
        self.rows.push(ranked);
        if self.rows.len() >= self.size.saturating_mul(2).saturating_add(SLACK) {
            let order = &self.order;
            let (_, worst, _) = self
                .rows
                .select_nth_unstable_by(self.size - 1, |a, b| order.compare(a, b));
            self.worst = Some(*worst);
            self.rows.truncate(self.size);
        }
    }

    fn sorted(mut self) -> Vec<Ranked> {
        let order = &self.order;
        self.rows.sort_unstable_by(|a, b| order.compare(a, b));
        self.rows.truncate(self.size);
        self.rows
    }
}

impl<R: Listed> Roster<R> {
    /// The page in the state after a commit; `None` when the table must be asked.
    pub(super) fn select(&self, version: u64, wanted: &Wanted<'_>) -> Option<Selected> {
        if !self.knows(version) {
            return None;
        }
        let checks = self.checks(wanted)?;
        let order = Order::of(self, wanted.sort)?;
        let marker = match wanted.marker {
            Some(id) => Some(order.rank(self.row_of(id, version)?)),
            None => None,
        };
        let mut best = Best {
            order,
            rows: Vec::new(),
            size: wanted.skip.saturating_add(wanted.limit).min(self.ids.len()),
            worst: None,
        };
        let mut count = 0;
        for row in self.rows(version) {
            let id = self.ids[row];
            if !checks.iter().all(|check| check.passes(row, id)) {
                continue;
            }
            count += 1;
            let is_behind = |marker: &Ranked| {
                let ranked = best.order.rank(row);
                best.order.compare(&ranked, marker).is_gt()
            };
            if marker.as_ref().is_none_or(is_behind) {
                best.offer(row);
            }
        }
        let page = best.sorted().into_iter().skip(wanted.skip);
        let ids = page.take(wanted.limit).map(|(_, row)| self.ids[row]);
        Some(Selected {
            ids: ids.collect(),
            count,
        })
    }

    fn checks<'a>(&'a self, wanted: &'a Wanted<'_>) -> Option<Vec<Check<'a>>> {
        let mut checks = Vec::new();
        if let Some(project) = wanted.project {
            checks.push(self.project_check(project)?);
        }
        for condition in wanted.conditions {
            checks.push(match condition.column.as_str() {
                "id" => Check::Id(condition),
                key => Check::of(condition, self.column(key)?)?,
            });
        }
        Some(checks)
    }

    fn project_check(&self, project: &str) -> Option<Check<'_>> {
        match &self.column("project_id")?.cells {
            Cells::Texts(symbols, dictionary) => {
                let found = dictionary.find(Some(project));
                Some(Check::OneOf(symbols, [found, None]))
            }
            Cells::Times(_) => None,
        }
    }

    /// How many of the records that match, whatever the page, have each text in a column, in the
    /// state after a commit; `None` when the table must be asked.
    pub(super) fn tally(
        &self,
        version: u64,
        wanted: &Wanted<'_>,
        key: &str,
    ) -> Option<Vec<(Option<&str>, u64)>> {
        let Cells::Texts(symbols, dictionary) = &self.column(key)?.cells else {
            return None;
        };
        if !self.knows(version) {
            return None;
        }
        let checks = self.checks(wanted)?;
        let mut counts = vec![0; dictionary.len()];
        for row in self.rows(version) {
            let id = self.ids[row];
            if checks.iter().all(|check| check.passes(row, id)) {
                counts[symbols[row] as usize] += 1;
            }
        }
        let counted = (0..).zip(counts).filter(|(_, count)| *count > 0);
        Some(
            counted
                .map(|(symbol, count)| (dictionary.text(symbol), count))
                .collect(),
        )
    }
}
