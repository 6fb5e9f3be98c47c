//! The policy language: from text to [`Check`].
//!
//! ```text
//! any    = all {"or" all}
//! all    = one {"and" one}
//! one    = "not" one | "(" any ")" | "@" | "!" | kind ":" match
//! ```
//!
//! Words are parted by white space; parentheses may stand at the ends of a word. The empty text
//! always holds.

use super::check::{Check, Credential, Field};

/// Longest expression: far more than anyone writes.
const BYTES_MAX: usize = 4096;
/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 32;

/// An expression that refers to rules by name. The error is for people.
pub(super) fn parse(text: &str) -> Result<Check<String>, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("longer than {BYTES_MAX} bytes"));
    }
    let words = words(text);
    if words.is_empty() {
        return Ok(Check::Always);
    }
    let mut parser = Parser {
        words: &words,
        depth: 0,
    };
    let check = parser.any()?;
    match parser.words.first() {
        None => Ok(check),
        Some(word) => Err(format!("`{word}` where `and` or `or` belongs")),
    }
}

/// Cuts a text into words and parentheses.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in text.split_whitespace() {
        let rest = part.trim_start_matches('(');
        words.extend(part[..part.len() - rest.len()].split_inclusive('('));
        let word = rest.trim_end_matches(')');
        words.extend(Some(word).filter(|word| !word.is_empty()));
        words.extend(rest[word.len()..].split_inclusive(')'));
    }
    words
}

struct Parser<'a> {
    words: &'a [&'a str],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// Takes the next word if it is `wanted`, in any case.
    fn take_word(&mut self, wanted: &str) -> bool {
        let next = self.words.first();
        let is = next.is_some_and(|next| next.eq_ignore_ascii_case(wanted));
        if is {
            self.words = &self.words[1..];
        }
        is
    }

    fn any(&mut self) -> Result<Check<String>, String> {
        let first = self.all()?;
        let mut checks = vec![first];
        while self.take_word("or") {
            checks.push(self.all()?);
        }
        Ok(joined(checks, Check::Any))
    }

    fn all(&mut self) -> Result<Check<String>, String> {
        let first = self.one()?;
        let mut checks = vec![first];
        while self.take_word("and") {
            checks.push(self.one()?);
        }
        Ok(joined(checks, Check::All))
    }

    fn one(&mut self) -> Result<Check<String>, String> {
        let word = self.take().ok_or("ends where a check belongs")?;
        let nests = word == "(" || word.eq_ignore_ascii_case("not");
        if !nests {
            return leaf(word);
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        let check = if word == "(" {
            let inner = self.any()?;
            if !self.take_word(")") {
                return Err("a parenthesis is not closed".to_owned());
            }
            inner
        } else {
            Check::Not(Box::new(self.one()?))
        };
        self.depth -= 1;
        Ok(check)
    }
}

fn joined(
    mut checks: Vec<Check<String>>,
    join: fn(Vec<Check<String>>) -> Check<String>,
) -> Check<String> {
    match checks.pop() {
        Some(only) if checks.is_empty() => only,
        last => {
            checks.extend(last);
            join(checks)
        }
    }
}

/// The text between two quotes of a kind.
fn quoted(text: &str) -> Option<&str> {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"'))
}

fn field(text: &str) -> Result<Option<Field>, String> {
    if !text.contains('%') {
        return Ok(None);
    }
    let name = text
        .strip_prefix("%(")
        .and_then(|rest| rest.strip_suffix(")s"));
    let field = name.and_then(Field::parse);
    field
        .map(Some)
        .ok_or_else(|| format!("`{text}` is nothing that objects have"))
}

fn leaf(word: &str) -> Result<Check<String>, String> {
    match word {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    let (kind, wanted) = word
        .split_once(':')
        .filter(|(kind, wanted)| !kind.is_empty() && !wanted.is_empty())
        .ok_or_else(|| format!("`{word}` where a check such as `role:admin` belongs"))?;
    let field = field(wanted)?;
    match (kind, field) {
        ("rule" | "role", Some(_)) => Err(format!("`{word}`: a {kind} has a fixed name")),
        ("rule", None) => Ok(Check::Rule(wanted.to_owned())),
        ("role", None) => Ok(Check::Role(wanted.to_lowercase())),
        (kind, field) => match (quoted(kind), Credential::parse(kind), field) {
            (Some(text), _, Some(field)) => Ok(Check::Has(text.to_owned(), field)),
            (None, Some(credential), Some(field)) => Ok(Check::Matches(credential, field)),
            (None, Some(credential), None) => Ok(Check::Is(credential, wanted.to_owned())),
            _ => Err(format!("`{kind}` is nothing that callers have")),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::super::check::{Check, Credential, Field};
    use super::{DEPTH_MAX, parse};

    fn role(name: &str) -> Check<String> {
        Check::Role(name.to_owned())
    }

    #[test]
    fn and_binds_before_or_and_not_before_and() {
        let parsed = parse("role:a OR not role:b and role:C").unwrap();
        let right = Check::All(vec![Check::Not(Box::new(role("b"))), role("c")]);
        assert_eq!(parsed, Check::Any(vec![role("a"), right]));
    }

    #[test]
    fn parentheses_stand_at_the_ends_of_words_or_alone() {
        let wanted = Check::All(vec![Check::Any(vec![role("a"), role("b")]), role("c")]);
        for text in [
            "(role:a or role:b) and role:c",
            "(( role:a or role:b )) and (role:c)",
        ] {
            assert_eq!(parse(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn checks_of_each_kind_are_read() {
        let id = Credential::ProjectId;
        for (text, wanted) in [
            ("", Check::Always),
            ("  ", Check::Always),
            ("@", Check::Always),
            ("!", Check::Never),
            ("rule:volume:get", Check::Rule("volume:get".to_owned())),
            (
                "project_id:%(project_id)s",
                Check::Matches(id, Field::Project),
            ),
            ("(project_id:%(user_id)s)", Check::Matches(id, Field::User)),
            ("project_id:None", Check::Is(id, "None".to_owned())),
            ("'x':%(user_id)s", Check::Has("x".to_owned(), Field::User)),
            (
                "is_admin:True",
                Check::Is(Credential::IsAdmin, "True".to_owned()),
            ),
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&wanted), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_expression_is_refused() {
        let deep = "(".repeat(DEPTH_MAX + 1) + "@" + &")".repeat(DEPTH_MAX + 1);
        let long = "@".repeat(5000);
        for text in [
            "role:a role:b",
            "role:a and",
            "or",
            "not",
            "(role:a",
            "role:a)",
            "()",
            "admin",
            "role:",
            ":x",
            "http://host/x",
            "colour:red",
            "project_id:%(colour)s",
            "project_id:x%(user_id)s",
            "role:%(user_id)s",
            "'x':y",
            "and and and",
            &deep,
            &long,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let fits = "(".repeat(DEPTH_MAX) + "@" + &")".repeat(DEPTH_MAX);
        assert_eq!(parse(&fits), Ok(Check::Always));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z:%()@!' éö]{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_words_panic(words in proptest::collection::vec(
            proptest::sample::select(vec!["(", ")", "not", "and", "or", "@", "role:x"]), 0..60,
        )) {
            let _ = parse(&words.join(" "));
        }
    }
}
