//! What a token may not do although its roles permit it: what its application credential or trust
//! keeps from it.

use std::sync::Arc;

use super::delegations::AccessRule;
use crate::fault::Fault;

/// The request at a service's door, noted before its path is taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    /// The types that the catalogue has for the service.
    pub(crate) types: &'static [&'static str],
    /// Where the single listener has it.
    pub(crate) prefix: &'static str,
    /// The path below that.
    pub(crate) path: String,
}

/// Bounds of a token; by default there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    pub(super) app_credential: Option<String>,
    /// Whether credentials may be made and ended nevertheless.
    pub(super) is_unrestricted: bool,
    pub(super) trust: Option<String>,
    /// The only calls; all when `None`.
    pub(super) rules: Option<Arc<[AccessRule]>>,
}

impl Bounds {
    /// Whether only some calls are permitted.
    pub(crate) fn has_rules(&self) -> bool {
        self.rules.is_some()
    }

    /// 401 of a call that no access rule permits.
    pub(crate) fn check_call(&self, method: &str, called: &Called) -> Result<(), Fault> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        // Whether it is still good anybody may ask of a token.
        let asks = method == "GET"
            && called.types.contains(&"identity")
            && called.path.ends_with("/v3/auth/tokens");
        let full = format!("{}{}", called.prefix, called.path);
        let permits = |rule: &AccessRule| {
            rule.method == method
                && called.types.contains(&rule.service.as_str())
                && [&called.path, &full]
                    .iter()
                    .any(|path| matches(&rule.path, path))
        };
        match asks || rules.iter().any(permits) {
            true => Ok(()),
            false => Err(Fault::unauthorized()),
        }
    }
}

/// A part of a pattern.
enum Part<'p> {
    Text(&'p str),
    /// `*` or `{name}`: some characters but no slash.
    Segment,
    /// `**`: anything.
    Rest,
}

fn parts(pattern: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let end = rest.find(['*', '{']).unwrap_or(rest.len());
        if end > 0 {
            parts.push(Part::Text(&rest[..end]));
            rest = &rest[end..];
        } else if let Some(after) = rest.strip_prefix("**") {
            parts.push(Part::Rest);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            parts.push(Part::Segment);
            rest = after;
        } else {
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            parts.push(Part::Segment);
            rest = &rest[end..];
        }
    }
    parts
}

/// Whether a path fits a pattern as a whole. Takes steps for each part and place in the path at most,
/// whatever the pattern: `reached` are the places that the parts so far can end at.
fn matches(pattern: &str, path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut reached = vec![false; bytes.len() + 1];
    reached[0] = true;
    for part in parts(pattern) {
        reached = match part {
            Part::Text(text) => (0..=bytes.len())
                .map(|end| {
                    let start = end.checked_sub(text.len());
                    start.is_some_and(|start| {
                        reached[start] && &bytes[start..end] == text.as_bytes()
                    })
                })
                .collect(),
            Part::Segment => spread(&reached, |end| bytes[end] != b'/', false),
            Part::Rest => spread(&reached, |_| true, true),
        };
    }
    reached[bytes.len()]
}

/// The places reached by going on from those reached over bytes that are `fit`; by none too if so.
fn spread(reached: &[bool], fit: impl Fn(usize) -> bool, or_none: bool) -> Vec<bool> {
    let mut next = Vec::with_capacity(reached.len());
    let mut going = false;
    for end in 0..reached.len() {
        let stepped = end > 0 && (going || reached[end - 1]) && fit(end - 1);
        going = stepped;
        next.push(stepped || (or_none && reached[end]));
        going |= or_none && reached[end];
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::matches;

    #[test]
    fn stars_and_names_stand_for_segments_and_two_stars_for_all() {
        let path = "/v3/0123/volumes/v1";
        for pattern in [
            path,
            "/v3/*/volumes/*",
            "/v3/{project_id}/volumes/{id}",
            "/v3/**",
            "**",
            "/v3/*/vol*/v1",
        ] {
            assert!(matches(pattern, path), "{pattern}");
        }
        for pattern in [
            "",
            "/v3",
            "/v3/*",
            "/v3/*/volumes",
            "/v3/*/volumes/*/x",
            "/v3/*/volumes/",
            "v3/**",
            "/v3/0123/volumes/v1*",
        ] {
            assert!(!matches(pattern, path), "{pattern}");
        }
        assert!(matches("/a**", "/a") && !matches("/a*", "/a"));
    }

    proptest! {
        #[test]
        fn any_pattern_is_held_against_any_path(pattern in any::<String>(), path in any::<String>()) {
            matches(&pattern, &path);
        }
    }
}
