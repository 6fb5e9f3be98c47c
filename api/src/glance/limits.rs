//! How many of a kind an image may have.

use super::images::RESERVED_PREFIX;
use super::records::Image;
use crate::fault::{Fault, FaultKind};

/// Most custom properties.
const PROPERTIES_MAX: usize = 128;
/// Most tags.
const TAGS_MAX: usize = 128;
/// Most members.
const MEMBERS_MAX: usize = 128;

fn exceeded(kind: &str, attempted: usize, maximum: usize) -> Fault {
    Fault::new(
        FaultKind::TooLarge,
        format!(
            "The limit has been exceeded on the number of allowed image {kind}. Attempted: \
             {attempted}, Maximum: {maximum}"
        ),
    )
}

/// 413 for too many custom properties.
pub(super) fn check_properties(image: &Image) -> Result<(), Fault> {
    let names = image.properties.keys();
    let own = names
        .filter(|name| !name.starts_with(RESERVED_PREFIX))
        .count();
    match own {
        0..=PROPERTIES_MAX => Ok(()),
        more => Err(exceeded("properties", more, PROPERTIES_MAX)),
    }
}

/// 413 for too many tags.
pub(super) fn check_tags(image: &Image) -> Result<(), Fault> {
    match image.tags.len() {
        0..=TAGS_MAX => Ok(()),
        more => Err(exceeded("tags", more, TAGS_MAX)),
    }
}

/// 413 for one member more than there may be.
pub(super) fn check_members(present: usize) -> Result<(), Fault> {
    match present {
        0..MEMBERS_MAX => Ok(()),
        full => Err(exceeded("members", full + 1, MEMBERS_MAX)),
    }
}
