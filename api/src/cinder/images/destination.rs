//! Where an image of a volume is made: here, or at the Glance elsewhere, where it has to be before the
//! request's transaction, as that must not wait for others.

use serde_json::{Value, json};
use uuid::Uuid;

use super::sending::Sending;
use super::upload::{Begun, Request, draft};
use crate::catalogue::Reader;
use crate::cinder::records::Volume;
use crate::external::glance::{Glance, Image, UserToken};
use crate::fault::Fault;
use crate::server::Services;

/// Where an image is made.
#[derive(Default)]
pub(in crate::cinder) enum Destination {
    /// In the built-in Image.
    #[default]
    Here,
    /// At the Glance elsewhere, where it is already, without bytes.
    Elsewhere(Box<Made>),
}

/// An image without bytes at the Glance elsewhere.
pub(in crate::cinder) struct Made {
    glance: Glance,
    token: UserToken,
    image: Image,
    disk_format: String,
}

impl Destination {
    /// Makes the image elsewhere if images are. What is asked for, and of which volume, is looked at
    /// here first, and again in the transaction.
    pub(in crate::cinder) async fn ahead(
        services: &Services,
        token: &UserToken,
        volume: impl FnOnce(&Reader) -> Result<(Volume, Request), Fault> + Send + 'static,
    ) -> Result<Self, Fault> {
        let Some(glance) = services.config().glance.clone() else {
            return Ok(Self::Here);
        };
        let draft = services.blocking(move |services| {
            services.catalogue().read(|reader| {
                let (volume, request) = volume(reader)?;
                draft(reader, &volume, &request)
            })
        });
        let draft = draft.await?;
        let image = glance.create(token, &draft).await?;
        Ok(Self::Elsewhere(Box::new(Made {
            glance,
            token: token.clone(),
            image,
            disk_format: draft.disk_format,
        })))
    }

    /// How to take the image back, if the transaction comes to nothing.
    pub(in crate::cinder) fn undo(&self) -> impl Future<Output = ()> + Send + 'static {
        let made = match self {
            Self::Here => None,
            Self::Elsewhere(made) => Some((made.glance.clone(), made.token.clone(), made.image.id)),
        };
        async move {
            if let Some((glance, token, image)) = made
                && let Err(error) = glance.delete(Some(&token), image).await
            {
                tracing::warn!(%image, %error, "an image that is not needed stays at Glance");
            }
        }
    }
}

impl Made {
    /// What the job is told that brings the bytes.
    pub(super) fn order(&self) -> Value {
        json!(Sending {
            image: self.image.id,
            disk_format: self.disk_format.clone(),
        })
    }

    /// Lets that job go on as the caller.
    pub(super) fn lend(&self, job: Uuid) {
        self.glance.lend(job, &self.token);
    }

    /// What the caller is told.
    pub(super) fn told(&self) -> Begun {
        Begun {
            id: self.image.id,
            protected: self.image.protected,
            visibility: self.image.visibility.clone().unwrap_or_default(),
        }
    }
}
