//! An image that a request names, where images are elsewhere: it is asked for before the request's
//! transaction, which must not wait for others.

use uuid::Uuid;

use super::facts::Facts;
use crate::auth::Caller;
use crate::catalogue::View;
use crate::external::glance::{Error, Glance, UserToken};
use crate::fault::Fault;
use crate::server::Services;

/// What is known of an image before the transaction.
#[derive(Default)]
pub(in crate::cinder) enum Sought {
    /// Nothing: it is looked for in the catalogue.
    #[default]
    InCatalogue,
    /// What the Glance elsewhere said; told where the catalogue would have been asked.
    Told(Box<Result<Facts, Fault>>),
}

impl Sought {
    /// Asks for what a request for a volume calls an image: an id, the end of an address, or a name.
    pub(in crate::cinder) async fn named(
        services: &Services,
        token: &UserToken,
        reference: &str,
    ) -> Self {
        match &services.config().glance {
            None => Self::InCatalogue,
            Some(glance) => Self::Told(Box::new(named(glance, token, reference).await)),
        }
    }

    /// Asks for the image of an id.
    pub(in crate::cinder) async fn of_id(services: &Services, token: &UserToken, id: Uuid) -> Self {
        let Some(glance) = &services.config().glance else {
            return Self::InCatalogue;
        };
        let found = match glance.show(Some(token), id).await {
            Ok(image) => Ok(Facts::elsewhere(image, token)),
            Err(Error::Unseen) => Err(unknown(&id.to_string())),
            Err(other) => Err(other.into()),
        };
        Self::Told(Box::new(found))
    }

    /// The image, see [`Facts::named`].
    ///
    /// # Errors
    /// As there, and what the Glance elsewhere says.
    pub(in crate::cinder) fn find_named(
        self,
        view: &impl View,
        caller: &Caller,
        reference: &str,
    ) -> Result<Facts, Fault> {
        match self {
            Self::InCatalogue => Facts::named(view, caller, reference),
            Self::Told(found) => *found,
        }
    }

    /// The image, see [`Facts::of_id`].
    ///
    /// # Errors
    /// As there, and what the Glance elsewhere says.
    pub(in crate::cinder) fn find(
        self,
        view: &impl View,
        caller: &Caller,
        id: &str,
    ) -> Result<Facts, Fault> {
        match self {
            Self::InCatalogue => Facts::of_id(view, caller, id),
            Self::Told(found) => *found,
        }
    }
}

/// 404 of an image that the caller does not see.
pub(super) fn unknown(id: &str) -> Fault {
    Fault::not_found(format!("Image {id} could not be found."))
}

/// 409 of a name that fits several images.
pub(super) fn ambiguous(name: &str) -> Fault {
    Fault::conflict(format!(
        "Multiple matches found for '{name}', use an ID to be more specific."
    ))
}

/// 400 of an image that nobody knows under this name.
pub(super) fn unnamed() -> Fault {
    Fault::bad_request("Invalid image identifier or unable to access requested image.")
}

async fn named(glance: &Glance, token: &UserToken, reference: &str) -> Result<Facts, Fault> {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if let Ok(id) = Uuid::parse_str(last) {
        match glance.show(Some(token), id).await {
            Ok(image) => return Ok(Facts::elsewhere(image, token)),
            Err(Error::Away) => return Err(Error::Away.into()),
            // It may be a name.
            Err(Error::Unseen | Error::Refused(..)) => {}
        }
    }
    let mut found = match glance.named(Some(token), reference).await {
        Ok(found) => found.into_iter(),
        Err(Error::Away) => return Err(Error::Away.into()),
        Err(Error::Unseen | Error::Refused(..)) => return Err(unnamed()),
    };
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(Facts::elsewhere(only, token)),
        (Some(_), Some(_)) => Err(ambiguous(reference)),
        (None, _) => Err(unnamed()),
    }
}
