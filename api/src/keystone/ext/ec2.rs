//! `/v3/users/{user_id}/credentials/OS-EC2`: pairs of keys for services that speak EC2 or S3.
//!
//! A pair is a [`Credential`] of the type `ec2`. Tokens are not issued for signatures made with it:
//! none of this daemon's services takes any.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::credentials::{self, Credential, EC2};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::View;
use crate::fault::Fault;
use crate::keystone::bootstrap::new_id;
use crate::keystone::calls::find;
use crate::keystone::operations::{collection, links};
use crate::keystone::records::{Project, User};
use crate::keystone::resource::{Reply, created, list, no_content, ok};
use crate::keystone::texts;
use crate::openapi::shape::{Shape, any, field, object, text, wrapped};
use crate::openapi::{Operation, Routes};
use crate::server::Services;

const ALL: &str = "/v3/users/{user_id}/credentials/OS-EC2";
const ONE: &str = "/v3/users/{user_id}/credentials/OS-EC2/{credential_id}";

const INDEX: Operation = Operation::get(ALL, "List a user's keys for EC2.")
    .answers(200, || collection("credentials", shape()));
const CREATE: Operation = Operation::post(ALL, "Make a pair of keys for EC2.")
    .body(|| wrapped("tenant_id", text()).open())
    .answers(201, || wrapped("credential", shape()));
const SHOW: Operation = Operation::get(ONE, "Show a pair of keys for EC2.")
    .answers(200, || wrapped("credential", shape()));
const DELETE: Operation = Operation::delete(ONE, "Delete a pair of keys for EC2.").empty(204);

fn shape() -> Shape {
    object([
        field("user_id", text()),
        field("tenant_id", text().or_null()),
        field("access", text()),
        field("secret", any()),
        field("trust_id", any()),
        field("links", links()),
    ])
    .named("Ec2Credential")
}

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(INDEX, index)
        .on(CREATE, create)
        .on(SHOW, show)
        .on(DELETE, delete)
}

/// The pair as answers show it.
fn view(services: &Services, credential: &Credential) -> Result<Value, Fault> {
    let keys = credential.keys()?;
    let access = keys["access"].as_str().unwrap_or_default();
    let (base, user) = (services.config().identity_base(), &credential.user_id);
    let own = format!("{base}/v3/users/{user}/credentials/OS-EC2/{access}");
    Ok(json!({
        "user_id": user,
        "tenant_id": credential.project_id,
        "access": access,
        "secret": keys.get("secret"),
        "trust_id": keys.get("trust_id"),
        "links": {"self": own},
    }))
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(user_id): Path<String>,
    uri: Uri,
) -> Reply {
    if !credentials::may_see(&caller, &user_id) {
        return Err(texts::forbidden("identity:ec2_list_credentials").into());
    }
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|view| {
                find::<User>(view, &user_id)?;
                Ok::<_, Fault>(credentials::of_user(view, &user_id)?)
            })
        })
        .await?;
    let pairs = found.iter().filter(|credential| credential.kind == EC2);
    let pairs = pairs.map(|pair| view(&services, pair));
    let pairs = pairs.collect::<Result<_, Fault>>()?;
    list(&services, "credentials", &uri, pairs)
}

/// 403 unless the caller is admin, or a member who acts for itself.
fn require_member(caller: &Caller, user_id: &str, rule: &str) -> Result<(), Fault> {
    let own = caller.user_id == user_id && caller.has_role("member");
    let may = own || caller.is_identity_admin();
    match may && credentials::is_itself(caller) {
        true => Ok(()),
        false => Err(texts::forbidden(rule)),
    }
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    Path(user_id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_member(&caller, &user_id, "identity:ec2_create_credential")?;
    let project = body.get("tenant_id").and_then(Value::as_str);
    let project = project.ok_or_else(|| texts::expecting("tenant_id", "request body"))?;
    let project = project.to_owned();
    let pair = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                find::<User>(writer, &user_id)?;
                find::<Project>(writer, &project)?;
                let pair = new_pair(&user_id, &project);
                credentials::insert(writer, &pair)?;
                Ok::<_, Fault>(pair)
            })
        })
        .await?;
    created(json!({"credential": view(&services, &pair)?}))
}

/// Two random keys of 122 bits.
fn new_pair(user_id: &str, project_id: &str) -> Credential {
    let access = new_id();
    let blob = json!({"access": access, "secret": new_id(), "trust_id": null});
    Credential {
        id: credentials::id_of_access(&access),
        kind: EC2.to_owned(),
        blob: blob.to_string(),
        user_id: user_id.to_owned(),
        project_id: Some(project_id.to_owned()),
    }
}

/// A user's pair by its access key; another's is none of the user's.
fn find_pair(view: &impl View, user_id: &str, access: &str) -> Result<Credential, Fault> {
    let id = credentials::id_of_access(access);
    let found = view.get::<Credential>(&id)?;
    let own = found.filter(|pair| pair.user_id == user_id && pair.kind == EC2);
    own.ok_or_else(|| texts::not_found("credential", &id))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path((user_id, access)): Path<(String, String)>,
) -> Reply {
    if !credentials::may_see(&caller, &user_id) {
        return Err(texts::forbidden("identity:ec2_get_credential").into());
    }
    let pair = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.read(|view| find_pair(view, &user_id, &access))
        })
        .await?;
    ok(json!({"credential": view(&services, &pair)?}))
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path((user_id, access)): Path<(String, String)>,
) -> Reply {
    require_member(&caller, &user_id, "identity:ec2_delete_credential")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let pair = find_pair(writer, &user_id, &access)?;
                writer.delete::<Credential>(&pair.id)?;
                Ok::<_, Fault>(())
            })
        })
        .await?;
    no_content()
}
