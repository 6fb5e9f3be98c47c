//! Forms of texts that take more than a pattern to tell.

use uuid::Uuid;

use super::shape::Place;
use crate::cinder::validate::repr;
use crate::fault::Fault;

/// Longest name, and zone, in characters.
const NAME_MAX: usize = 255;

/// A form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A UUID, with or without its dashes.
    Uuid,
    /// The name of a volume: what is between blanks must be short.
    VolumeName,
    /// As that, of its description.
    VolumeDescription,
    /// A name that is more than blanks.
    Name,
    /// A name of which only the part between blanks counts.
    TrimmedName,
    /// A zone that is more than blanks.
    Zone,
    /// The name of a group type that is more than blanks.
    GroupType,
    /// A reason that is more than blanks.
    Reason,
    /// A text that a column of the real service's database can hold.
    ColumnText,
    /// A number.
    KeySize,
}

impl Format {
    /// Refuses a text that is not of this form.
    pub(super) fn check(self, text: &str, place: Place<'_>) -> Result<(), Fault> {
        let trimmed = text.trim();
        let fits = (1..=NAME_MAX).contains(&trimmed.chars().count());
        match self {
            Self::Uuid => is(Uuid::parse_str(text).is_ok(), "uuid", place),
            Self::VolumeName => brief("name", trimmed),
            Self::VolumeDescription => brief("description", trimmed),
            Self::Name | Self::TrimmedName => name(self, text),
            Self::Zone => zone(text),
            Self::GroupType => is(!text.is_empty() && fits, "group_type", place),
            Self::Reason => is(text.is_empty() || fits, "disabled_reason", place),
            Self::ColumnText => is(text.len() <= usize::from(u16::MAX), "mysql_text", place),
            Self::KeySize => match trimmed.parse::<i64>() {
                Ok(number) if number.to_string() == text => Ok(()),
                _ => Err(input("key_size must be an integer.")),
            },
        }
    }
}

fn is(fits: bool, form: &str, place: Place<'_>) -> Result<(), Fault> {
    match fits {
        true => Ok(()),
        false => Err(place.refuse(&format!("{} is not a '{form}'", repr(place.value)))),
    }
}

fn input(what: &str) -> Fault {
    Fault::bad_request(format!("Invalid input received: {what}"))
}

fn brief(what: &str, text: &str) -> Result<(), Fault> {
    match text.chars().count() {
        0..=NAME_MAX => Ok(()),
        length => Err(input(&format!(
            "{what} has {length} characters, more than {NAME_MAX}."
        ))),
    }
}

fn name(format: Format, text: &str) -> Result<(), Fault> {
    let reason = if text.is_empty() {
        "The 'name' can not be None."
    } else if text.trim().is_empty() {
        "The 'name' can not be empty."
    } else if format == Format::TrimmedName && text.trim().chars().count() > NAME_MAX {
        "The 'name' can not be greater than 255 characters."
    } else {
        return Ok(());
    };
    let message = format!("An invalid 'name' value was provided. {reason}");
    Err(Fault::bad_request(message))
}

fn zone(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::bad_request(
            "The 'availability_zone' can not be None.",
        ));
    }
    match text.trim().chars().count() {
        0 => Err(input("availability_zone has 0 characters, less than 1.")),
        length if length > NAME_MAX => Err(input(&format!(
            "availability_zone has {length} characters, more than {NAME_MAX}."
        ))),
        _ => Ok(()),
    }
}
