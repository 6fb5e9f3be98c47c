//! File names from the names that people give: safe, unique, and as near to the original as can be.

use jiff::Timestamp;
use uuid::Uuid;

/// Longest file name in bytes, as Linux has it.
const NAME_BYTES_MAX: usize = 255;

/// `2026-11-21T05:06:07Z`.
pub(super) fn time(us: u64) -> String {
    let us = i64::try_from(us).unwrap_or(i64::MAX);
    let time = Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `name` as a file name; the id where nothing is left of it.
///
/// Slashes and control characters, line ends among them, become `_`, and so does a leading dot or
/// dash, so that no shell pattern or option parser takes the name for something else.
fn safe(name: &str, id: Uuid) -> String {
    let odd = |c: char| c == '/' || c.is_control();
    let mut text: String = name.chars().map(|c| if odd(c) { '_' } else { c }).collect();
    if text.starts_with(['.', '-']) {
        text.replace_range(..1, "_");
    }
    if text.trim().is_empty() {
        return id.to_string();
    }
    text
}

/// A name made from `name` that is not `taken`: plain, or with as much of the id as it needs.
pub(super) fn unique(name: &str, id: Uuid, taken: impl Fn(&str) -> bool) -> String {
    let full = id.to_string();
    let base = safe(name, id);
    let suffixes = [
        String::new(),
        format!("~{}", &full[..8]),
        format!("~{full}"),
    ];
    let tries = suffixes.iter().map(|suffix| join(&base, suffix));
    // Others may have chosen names that look like ours on purpose; numbers end every quarrel.
    let numbered = (2u64..).map(|number| join(&base, &format!("~{full}~{number}")));
    tries
        .chain(numbered)
        .find(|name| !taken(name))
        .expect("the taken names are finite, the numbers are not")
}

/// `base` cut at a character so that the whole fits.
fn join(base: &str, suffix: &str) -> String {
    let room = base.floor_char_boundary(NAME_BYTES_MAX - suffix.len());
    format!("{}{suffix}", &base[..room])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};
    use uuid::Uuid;

    use super::{safe, time, unique};

    #[test]
    fn odd_names_become_safe() {
        let id = Uuid::from_u128(7);
        assert_eq!(safe("a/b\n", id), "a_b_");
        assert_eq!(safe("..", id), "_.");
        assert_eq!(safe("-rf", id), "_rf");
        assert_eq!(safe("", id), id.to_string());
        assert_eq!(safe("Tag der Eröffnung", id), "Tag der Eröffnung");
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
    }

    proptest! {
        #[test]
        fn names_fit_and_lead_nowhere(name in "\\PC{0,120}|[\\x00-\\x1f/.]{0,300}", id in any::<u128>()) {
            let made = unique(&name, Uuid::from_u128(id), |_| false);
            prop_assert!(!made.is_empty() && made.len() <= 255);
            prop_assert!(!made.contains(['/', '\0', '\n']) && made != "." && made != "..");
            let next = unique(&name, Uuid::from_u128(id), |other| other == made);
            prop_assert!(next != made && next.len() <= 255);
        }
    }
}
