//! Why an image is refused or was not converted.

use std::io;

/// Why an image is not taken. The texts are for people, and name nothing but what the image says.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The bytes are of another format than the image says.
    #[error("the image says that it is {declared}, but its content is {found}")]
    Mismatch {
        /// What it says.
        declared: &'static str,
        /// What its first bytes say.
        found: &'static str,
    },
    /// It would have a reader open something else.
    #[error("a {format} image may not have {what}")]
    Outside {
        /// The format.
        format: &'static str,
        /// What leads elsewhere.
        what: &'static str,
    },
    /// It has something that is not supported.
    #[error("{what} of {format} images is not supported")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// What it has.
        what: &'static str,
    },
    /// Its headers contradict themselves.
    #[error("the {format} image is damaged: {what}")]
    Damaged {
        /// The format.
        format: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// It could not be read.
    #[error("the image cannot be read: {0}")]
    Unreadable(io::Error),
}

/// Why nothing can be converted here.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// There is no program for it.
    #[error("qemu-img is not installed (Debian: qemu-utils)")]
    NotInstalled,
    /// It cannot be kept from the network.
    #[error("qemu-img cannot be cut off from the network here: {0}")]
    NotConfined(io::Error),
}

/// Why a conversion did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is not taken.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be done on this machine.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The program said no.
    #[error("qemu-img: {0}")]
    Failed(String),
    /// It took longer than it may.
    #[error("the conversion took longer than {0} seconds")]
    TooSlow(u64),
    /// Whoever watches it has ended it.
    #[error("{0}")]
    Ended(crate::jobs::JobError),
    /// The sandbox could not be made, or the result not read.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// The pool refused.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// For `map_err`: an I/O error with what was being done.
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

impl From<Error> for crate::jobs::JobError {
    fn from(error: Error) -> Self {
        match error {
            // So that an interruption stays one.
            Error::Ended(why) => why,
            other => Self(other.to_string()),
        }
    }
}
