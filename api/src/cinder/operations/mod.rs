//! The operations of Block Storage: one constant each, from which its route and its entry in the
//! OpenAPI document are made, with the shapes of those bodies that are no structs.
//!
//! Limits and words are the constants that the checks of bodies use.

pub(super) mod attachments;
pub(super) mod backups;
pub(super) mod consistency;
pub(super) mod groups;
pub(super) mod managing;
pub(super) mod messages;
pub(super) mod qos;
pub(super) mod quotas;
pub(super) mod services;
pub(super) mod snapshots;
pub(super) mod transfers;
pub(super) mod types;
pub(super) mod volume_actions;
pub(super) mod volumes;

use super::validate::{FALSE_WORDS, SIZE_MAX, TEXT_MAX, TRUE_WORDS};
use crate::openapi::shape::{
    Shape, any_of, flag, int_of, list, map_by, map_of, text, text_of, uuid, wire, words,
};
use crate::openapi::{ALL_TENANTS, ORDER, PAGES, Parameter};
use crate::types::cinder::Link;

/// Lists of objects that projects own.
const LISTED: &[&[Parameter]] = &[PAGES, ORDER, ALL_TENANTS];
/// Lists of what belongs to the cloud.
const SORTED: &[&[Parameter]] = &[PAGES, ORDER];

/// A name or description, which may be null.
fn words_or_null() -> Shape {
    text_of(0, TEXT_MAX).or_null()
}

/// Yes or no in one of its many spellings.
fn spelled_flag() -> Shape {
    let spellings: Vec<&str> = TRUE_WORDS.iter().chain(&FALSE_WORDS).copied().collect();
    any_of([flag(), words(&spellings)])
}

/// One of these words in any case.
fn in_any_case(words: &[&str]) -> Shape {
    let letter = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{c}]", c.to_ascii_uppercase()),
        false => c.to_string(),
    };
    let spelled = words.iter().map(|word| word.chars().map(letter).collect());
    let spelled: Vec<String> = spelled.collect();
    text().like(&format!("^({})$", spelled.join("|")))
}

/// A size in GiB, as a number or as its digits.
fn size() -> Shape {
    any_of([int_of(1, SIZE_MAX), text_of(1, 10).like("^[0-9]+$")])
}

/// User metadata of a request.
fn pairs() -> Shape {
    map_by("^[a-zA-Z0-9_:. /-]{1,255}$", text_of(0, TEXT_MAX))
}

/// Specs of a request, whose values may be null.
fn specs() -> Shape {
    map_by("^[a-zA-Z0-9_:.-]{1,255}$", words_or_null())
}

/// Specs of an answer.
fn shown_specs() -> Shape {
    map_of(text().or_null())
}

fn links() -> Shape {
    list(wire::<Link>())
}

fn uuid_or_null() -> Shape {
    uuid().or_null()
}
