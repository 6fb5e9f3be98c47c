//! Shapes that several operations share.

use super::format::Format;
use super::shape::Kind::{Flag, Integer, Null, Object, Text};
use super::shape::{Pattern, Rule, Shape, Word};

/// Largest number that the real service's database takes.
pub(super) const NUMBER_MAX: i64 = 0x7fff_ffff;

/// Anything at all.
pub(super) const ANY: Shape = Shape(&[]);
/// Any object.
pub(super) const OBJECT: Shape = Shape(&[Rule::Is(&[Object])]);
/// Any text.
pub(super) const TEXT: Shape = Shape(&[Rule::Is(&[Text])]);
/// Any text or null.
pub(super) const TEXT_OR_NULL: Shape = Shape(&[Rule::Is(&[Text, Null])]);
/// A text of at most 255 characters, or null.
pub(super) const SHORT_OR_NULL: Shape = Shape(&[Rule::Is(&[Text, Null]), Rule::LengthMax(255)]);
/// A text of at most 255 characters.
pub(super) const SHORT: Shape = Shape(&[Rule::Is(&[Text]), Rule::LengthMax(255)]);
/// As [`SHORT`], and not empty.
pub(super) const WORD: Shape =
    Shape(&[Rule::Is(&[Text]), Rule::LengthMin(1), Rule::LengthMax(255)]);
/// As [`WORD`], or null.
pub(super) const WORD_OR_NULL: Shape = Shape(&[
    Rule::Is(&[Text, Null]),
    Rule::LengthMin(1),
    Rule::LengthMax(255),
]);
/// A name that must be given.
pub(super) const NAME: Shape = Shape(&[
    Rule::Is(&[Text]),
    Rule::LengthMin(1),
    Rule::LengthMax(255),
    Rule::Format(Format::Name),
]);
/// A description: printable.
pub(super) const DESCRIPTION: Shape = Shape(&[
    Rule::Is(&[Text, Null]),
    Rule::LengthMax(255),
    Rule::Match(PRINTABLE),
]);
/// A UUID.
pub(super) const ID: Shape = Shape(&[Rule::Is(&[Text]), Rule::Format(Format::Uuid)]);
const NOTHING: Shape = Shape(&[Rule::Is(&[Null])]);
/// A UUID or null.
pub(super) const ID_OR_NULL: Shape = Shape(&[Rule::AnyOf(&[ID, NOTHING])]);

const YES_AND_NO: [Word; 26] = [
    Word::Flag(true),
    Word::Text("True"),
    Word::Text("TRUE"),
    Word::Text("true"),
    Word::Text("1"),
    Word::Text("ON"),
    Word::Text("On"),
    Word::Text("on"),
    Word::Text("YES"),
    Word::Text("Yes"),
    Word::Text("yes"),
    Word::Text("y"),
    Word::Text("t"),
    Word::Flag(false),
    Word::Text("False"),
    Word::Text("FALSE"),
    Word::Text("false"),
    Word::Text("0"),
    Word::Text("OFF"),
    Word::Text("Off"),
    Word::Text("off"),
    Word::Text("NO"),
    Word::Text("No"),
    Word::Text("no"),
    Word::Text("n"),
    Word::Text("f"),
];
/// A yes or no, also in words.
pub(super) const BOOLEAN: Shape = Shape(&[Rule::Is(&[Flag, Text]), Rule::Words(&YES_AND_NO)]);
/// As [`BOOLEAN`], or null.
pub(super) const BOOLEAN_OR_NULL: Shape = Shape(&[Rule::AnyOf(&[NOTHING, BOOLEAN])]);
/// A yes or no, or any text, or null: what tells of an error.
pub(super) const ERROR_FLAG: Shape = Shape(&[Rule::Is(&[Text, Null, Flag])]);

/// How a volume is attached.
pub(super) const MODE: Shape = Shape(&[
    Rule::Is(&[Text]),
    Rule::Words(&[Word::Text("rw"), Word::Text("ro")]),
]);

/// A size in GiB.
pub(super) const SIZE: Shape = Shape(&[
    Rule::Is(&[Integer, Text]),
    Rule::Match(DIGITS),
    Rule::Least(1),
    Rule::Most(NUMBER_MAX),
]);
/// As [`SIZE`], or null.
pub(super) const SIZE_OR_NULL: Shape = Shape(&[
    Rule::Is(&[Integer, Text, Null]),
    Rule::Match(DIGITS),
    Rule::Least(1),
    Rule::Most(NUMBER_MAX),
]);

/// A host without brackets.
pub(super) const HOST_NAME: Shape = Shape(&[
    Rule::Is(&[Text, Null]),
    Rule::LengthMin(1),
    Rule::LengthMax(255),
    Rule::Match(HOST_LETTERS),
]);
/// A host with its back end and pool.
pub(super) const HOST: Shape = Shape(&[
    Rule::Is(&[Text, Null]),
    Rule::LengthMin(1),
    Rule::LengthMax(255),
    Rule::Match(PLACE_LETTERS),
]);

/// Metadata.
pub(super) const METADATA: Shape = Shape(&[Rule::Is(&[Object]), Rule::Pairs(KEY, SHORT)]);
/// Metadata or null.
pub(super) const METADATA_OR_NULL: Shape =
    Shape(&[Rule::Is(&[Object, Null]), Rule::Pairs(KEY, SHORT)]);
/// Specs whose values may be null.
pub(super) const SPECS: Shape = Shape(&[Rule::Is(&[Object]), Rule::Pairs(KEY, SHORT_OR_NULL)]);
/// As [`SPECS`], with no blank nor slash in keys.
pub(super) const PLAIN_SPECS: Shape =
    Shape(&[Rule::Is(&[Object]), Rule::Pairs(PLAIN_KEY, SHORT_OR_NULL)]);
/// One of [`PLAIN_SPECS`].
pub(super) const ONE_PLAIN_SPEC: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Pairs(PLAIN_KEY, SHORT_OR_NULL),
    Rule::CountMin(1),
    Rule::CountMax(1),
]);
/// Metadata of one key.
pub(super) const ONE_PAIR: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Pairs(KEY, SHORT),
    Rule::CountMin(1),
    Rule::CountMax(1),
]);
/// Metadata of a snapshot, in whose keys there is no slash.
pub(super) const SNAPSHOT_METADATA: Shape =
    Shape(&[Rule::Is(&[Object]), Rule::Pairs(BLANK_KEY, SHORT)]);
/// As [`SNAPSHOT_METADATA`], of one key.
pub(super) const ONE_SNAPSHOT_PAIR: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Pairs(BLANK_KEY, SHORT),
    Rule::CountMin(1),
    Rule::CountMax(1),
]);

/// Keys of metadata.
pub(super) const KEY: Pattern = Pattern {
    text: "^[a-zA-Z0-9-_:. /]{1,255}$",
    holds: |text| is_key(text, "-_:. /"),
};
const BLANK_KEY: Pattern = Pattern {
    text: "^[a-zA-Z0-9-_:. ]{1,255}$",
    holds: |text| is_key(text, "-_:. "),
};
const PLAIN_KEY: Pattern = Pattern {
    text: "^[a-zA-Z0-9-_:.]{1,255}$",
    holds: |text| is_key(text, "-_:."),
};
const DIGITS: Pattern = Pattern {
    text: "^[0-9]+$",
    holds: |text| !text.is_empty() && are_digits(text),
};
/// A number or nothing.
pub(super) const DIGITS_OR_NONE: Pattern = Pattern {
    text: "^[0-9]*$",
    holds: are_digits,
};
const HOST_LETTERS: Pattern = Pattern {
    text: "^[a-zA-Z0-9-._#@:/+]*$",
    holds: |text| are_of(text, "-._#@:/+"),
};
const PLACE_LETTERS: Pattern = Pattern {
    text: r"^[a-zA-Z0-9-._#@:/+\[\]]*$",
    holds: |text| are_of(text, "-._#@:/+[]"),
};
/// What the real service writes as a class of some thousand ranges.
const PRINTABLE: Pattern = Pattern {
    text: "^[printable]*$",
    holds: |text| text.chars().all(is_printable),
};

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn are_of(text: &str, others: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
}

fn is_key(text: &str, others: &str) -> bool {
    (1..=255).contains(&text.len()) && are_of(text, others)
}

/// Letters, marks, signs and blanks of the basic plane: no control or format characters, no line
/// separators, nothing for private use.
fn is_printable(letter: char) -> bool {
    let hidden = matches!(letter,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..);
    !letter.is_control() && !hidden
}
