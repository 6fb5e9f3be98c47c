//! `/v3/OS-OAUTH1/consumers`: applications that would be authorised by OAuth.
//!
//! A consumer's secret is shown once, when it is made. Request and access tokens are not issued.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{Record, Writer};
use crate::fault::Fault;
use crate::keystone::bootstrap::new_id;
use crate::keystone::calls::{self, Changes, Resource, asked, change, made, wrapped};
use crate::keystone::domains::DESCRIPTION_MAX;
use crate::keystone::operations::{Calls, calls as operations};
use crate::keystone::resource::{Attributes, Reply, created, link};
use crate::openapi::Routes;
use crate::openapi::shape::{Field, field, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// A stored consumer.
#[derive(Clone, Serialize, Deserialize)]
struct Consumer {
    id: String,
    description: Option<String>,
    secret: String,
    #[serde(default)]
    extra: Map<String, Value>,
}

impl Record for Consumer {
    const TABLE: &'static str = "consumers";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }
}

const CALLS: Calls = operations::<Consumer>(
    "/v3/OS-OAUTH1/consumers",
    "/v3/OS-OAUTH1/consumers/{consumer_id}",
);

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(CALLS.index, calls::index::<Consumer>)
        .on(CALLS.create, create)
        .on(CALLS.show, calls::show::<Consumer>)
        .on(CALLS.update, calls::update::<Consumer>)
        .on(CALLS.delete, calls::delete::<Consumer>)
}

/// As the common call, with the secret.
async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = asked::<Consumer>(body, &caller, "create")?;
    let consumer: Consumer = made(&attributes, &caller)?;
    let secret = json!(consumer.secret);
    let consumer = services
        .blocking(move |services| calls::insert(services, consumer))
        .await?;
    let mut body = wrapped(&services, consumer);
    body[Consumer::KIND]["secret"] = secret;
    created(body)
}

impl Resource for Consumer {
    const KIND: &'static str = "consumer";
    const PLURAL: &'static str = "consumers";
    const TITLE: &'static str = "Consumer";
    const SUMMARIES: [&'static str; 5] = [
        "List consumers of OAuth.",
        "Register a consumer of OAuth.",
        "Show a consumer of OAuth.",
        "Change a consumer of OAuth.",
        "Delete a consumer of OAuth.",
    ];
    const KNOWN: &'static [&'static str] = &["id", "description", "secret", "links"];

    fn fields() -> Vec<Field> {
        vec![
            field("description", text().or_null()),
            maybe("secret", text()),
        ]
    }

    fn attributes(_new: bool) -> Vec<Field> {
        let description = text_of(0, DESCRIPTION_MAX).or_null();
        vec![maybe("description", description)]
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "description": self.description,
            "links": link(services, "OS-OAUTH1/consumers", &self.id),
        })
    }

    fn is_listed(&self, _params: &Params) -> bool {
        true
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        Ok(Self {
            id: new_id(),
            description: attributes.text("description", DESCRIPTION_MAX)?,
            secret: new_id(),
            extra: Map::new(),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        if attributes.raw("secret").is_some() {
            return Err(Fault::bad_request("A consumer's secret cannot be changed"));
        }
        let description = attributes.text_or_null("description", DESCRIPTION_MAX)?;
        Ok(Box::new(move |consumer| {
            change(&mut consumer.description, description);
            Ok(())
        }))
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}
