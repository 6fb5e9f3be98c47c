//! What an action asks of a Glance elsewhere before its transaction, which must not wait for others.

use serde_json::Value;
use uuid::Uuid;

use super::image::{check_upload, upload_request};
use crate::auth::Caller;
use crate::catalogue::Reader;
use crate::cinder::images::{Destination, Sought};
use crate::cinder::volumes;
use crate::external::glance::UserToken;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::server::Services;

/// An action that is asked for.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) version: Microversion,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) args: Value,
}

/// What has to be asked of others before an action's transaction.
#[derive(Default)]
pub(super) struct Ahead {
    /// The image that the action names.
    pub(super) sought: Sought,
    /// Where the image is made that the action asks for.
    pub(super) destination: Destination,
}

impl Ahead {
    /// Asks what an action needs to know.
    pub(super) async fn of(
        services: &Services,
        call: &Call,
        token: &UserToken,
    ) -> Result<Self, Fault> {
        let mut ahead = Self::default();
        match call.name.as_str() {
            "os-reimage" => {
                let id = call.args.get("image_id").and_then(Value::as_str);
                if let Some(id) = id.and_then(|id| Uuid::parse_str(id).ok()) {
                    ahead.sought = Sought::of_id(services, token, id).await;
                }
            }
            "os-volume_upload_image" => {
                let call = call.clone();
                let volume = move |reader: &Reader| {
                    let volume = volumes::find(reader, &call.caller, &call.id)?;
                    let request = upload_request(&call.args, call.version)?;
                    check_upload(&call.caller, &volume, &request)?;
                    Ok((volume, request))
                };
                ahead.destination = Destination::ahead(services, token, volume).await?;
            }
            _ => {}
        }
        Ok(ahead)
    }

    /// See [`Destination::undo`].
    pub(super) fn undo(&self) -> impl Future<Output = ()> + Send + 'static {
        self.destination.undo()
    }
}
