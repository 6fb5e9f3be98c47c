//! Which volume types refer to which specs. Changing that is a GET, as in the real service.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::rows::{find, types_with};
use crate::auth::Caller;
use crate::catalogue::Writer;
use crate::cinder::operations::qos as ops;
use crate::cinder::records::VolumeType;
use crate::cinder::{accepted, type_calls};
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;

/// The routes of associations.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::ASSOCIATIONS, index)
        .on(ops::ASSOCIATE, associate)
        .on(ops::DISASSOCIATE, disassociate)
        .on(ops::DISASSOCIATE_ALL, disassociate_all)
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::QosSpecsManageGetAll)?;
    let types = services
        .blocking(move |services| {
            services
                .catalogue()
                .read(|reader| types_with(reader, find(reader, &id)?.id))
        })
        .await?;
    let one = |found: &VolumeType| json!({"association_type": "volume_type", "name": found.name, "id": found.id});
    let associations: Vec<Value> = types.iter().map(one).collect();
    Ok(Json(json!({ "qos_associations": associations })))
}

/// Changes associations in a transaction, then what exports are held to.
async fn change(
    services: Services,
    caller: Caller,
    work: impl FnOnce(&Writer) -> Result<(), Fault> + Send + 'static,
) -> Result<Response, Fault> {
    caller.check_own(Rule::QosSpecsManageUpdate)?;
    services
        .blocking(move |services| {
            services.catalogue().write(work)?;
            services.exports().limits_changed();
            Ok(accepted())
        })
        .await
}

/// The type that a query names.
fn type_id(params: &Params) -> Result<String, Fault> {
    let id = params.get("vol_type_id").filter(|id| !id.is_empty());
    id.map(str::to_owned)
        .ok_or_else(|| Fault::bad_request("Volume Type id must not be None."))
}

async fn associate(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Fault> {
    caller.check_own(Rule::QosSpecsManageUpdate)?;
    let type_id = type_id(&params)?;
    change(services, caller, move |writer| {
        let specs = find(writer, &id)?;
        let mut found = type_calls::find(writer, None, &type_id)?;
        match found.qos_specs_id {
            Some(other) if other != specs.id => Err(Fault::bad_request(format!(
                "Invalid volume type: Type {type_id} is already associated with another qos \
                 specs: {other}"
            ))),
            Some(_) => Ok(()),
            None => {
                found.qos_specs_id = Some(specs.id);
                Ok(writer.put(&found)?)
            }
        }
    })
    .await
}

async fn disassociate(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Fault> {
    caller.check_own(Rule::QosSpecsManageUpdate)?;
    let type_id = type_id(&params)?;
    change(services, caller, move |writer| {
        find(writer, &id)?;
        // Whatever the type refers to: the real service does not compare.
        let mut found = type_calls::find(writer, None, &type_id)?;
        found.qos_specs_id = None;
        Ok(writer.put(&found)?)
    })
    .await
}

async fn disassociate_all(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    change(services, caller, move |writer| {
        for mut found in types_with(writer, find(writer, &id)?.id)? {
            found.qos_specs_id = None;
            writer.put(&found)?;
        }
        Ok(())
    })
    .await
}
