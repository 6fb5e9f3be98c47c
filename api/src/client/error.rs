//! The client's error: a kind to match and one sentence for people.

use serde_json::Value;
use thiserror::Error as ThisError;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The cloud's settings are missing or make no sense.
    Settings,
    /// The credentials were not accepted.
    Unauthenticated,
    /// The policy forbids it.
    Forbidden,
    /// No such object.
    NotFound,
    /// A name stands for several objects.
    Ambiguous,
    /// The request makes no sense, or not in the object's present state.
    BadRequest,
    /// The object's state or another request is in the way.
    Conflict,
    /// A quota or a rate limit.
    OverLimit,
    /// The service does not answer.
    Unreachable,
    /// The service failed.
    Server,
    /// The answer is not what the protocol says.
    Protocol,
}

/// An error whose text is one sentence without secrets.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// The client's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` that reads `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The kind, for matching.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What an answer with an error status means.
    pub(super) fn of_answer(status: u16, body: &[u8], request_id: Option<&str>) -> Self {
        let kind = kind_of(status);
        let text = fault_text(body).unwrap_or_else(|| format!("the service answered {status}"));
        let message = match request_id {
            Some(id) if kind == ErrorKind::Server => format!("{text} (request {id})"),
            _ => text,
        };
        Self { kind, message }
    }
}

fn kind_of(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        413 | 429 => ErrorKind::OverLimit,
        400..=499 => ErrorKind::BadRequest,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::Protocol,
    }
}

/// Longest sentence taken from a service.
const MESSAGE_CHARS_MAX: usize = 600;

/// The message of a fault body: `{"anyKey": {"message": …}}` or a bare `{"message": …}`.
fn fault_text(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let object = value.as_object()?;
    let message = object
        .get("message")
        .or_else(|| object.values().find_map(|inside| inside.get("message")))?;
    // Control characters could move the cursor of the terminal that shows them.
    let line: String = message
        .as_str()?
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_CHARS_MAX)
        .collect();
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind};

    #[test]
    fn a_fault_becomes_its_sentence() {
        let body =
            br#"{"itemNotFound": {"code": 404, "message": "Volume x could\nnot be found."}}"#;
        let error = Error::of_answer(404, body, Some("req-1"));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "Volume x could not be found.");
    }

    #[test]
    fn anything_else_names_the_status() {
        let error = Error::of_answer(502, b"<html>", Some("req-1"));
        assert_eq!(error.kind(), ErrorKind::Server);
        assert_eq!(
            error.to_string(),
            "the service answered 502 (request req-1)"
        );
    }
}
