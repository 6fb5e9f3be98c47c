//! The body of a request for a token: v2.0's words for what v3 asks, and taken on from there.

use serde_json::{Value, json};

use super::format::Format;
use super::xml::Element;
use crate::fault::Fault;
use crate::keystone::bootstrap::DEFAULT_DOMAIN;
use crate::keystone::texts;

/// How the caller proves who it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// A user of the default domain by name, and the password.
    Password { username: String, password: String },
    /// A token.
    Token(String),
}

/// The tenant that the token shall be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    None,
    Id(String),
    /// A tenant of the default domain.
    Name(String),
}

/// A request for a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) proof: Proof,
    pub(super) tenant: Tenant,
}

impl Request {
    /// Reads a body.
    pub(super) fn read(format: Format, body: &[u8]) -> Result<Self, Fault> {
        match format {
            Format::Json => {
                let value = serde_json::from_slice(body);
                let value: Value = value.map_err(|_| texts::expecting("valid JSON", "body"))?;
                let auth = value.get("auth").filter(|auth| auth.is_object());
                Self::of(&JsonAuth(
                    auth.ok_or_else(|| texts::expecting("auth", "body"))?,
                ))
            }
            Format::Xml => {
                let root = Element::parse(body);
                let root = root.map_err(|error| Fault::bad_request(error.to_string()))?;
                if root.name != "auth" {
                    return Err(texts::expecting("auth", "body"));
                }
                Self::of(&XmlAuth(&root))
            }
        }
    }

    fn of(auth: &impl Auth) -> Result<Self, Fault> {
        let tenant = match (auth.own("tenantId")?, auth.own("tenantName")?) {
            (None, None) => Tenant::None,
            (Some(id), None) => Tenant::Id(id),
            (None, Some(name)) => Tenant::Name(name),
            (Some(_), Some(_)) => {
                let message = "tenantId and tenantName cannot be given together.";
                return Err(Fault::bad_request(message));
            }
        };
        let proof = match (auth.has("passwordCredentials"), auth.has("token")) {
            (true, false) => {
                let part = |name| required(auth, "passwordCredentials", name);
                Proof::Password {
                    username: part("username")?,
                    password: part("password")?,
                }
            }
            (false, true) => Proof::Token(required(auth, "token", "id")?),
            (true, true) | (false, false) => {
                return Err(texts::expecting("passwordCredentials or token", "auth"));
            }
        };
        Ok(Self { proof, tenant })
    }

    /// The same as the body of a request of v3.
    pub(super) fn as_v3(&self) -> Value {
        let domain = json!({"id": DEFAULT_DOMAIN});
        let identity = match &self.proof {
            Proof::Password { username, password } => json!({
                "methods": ["password"],
                "password": {
                    "user": {"name": username, "domain": domain, "password": password},
                },
            }),
            Proof::Token(id) => json!({"methods": ["token"], "token": {"id": id}}),
        };
        let scope = match &self.tenant {
            Tenant::None => json!("unscoped"),
            Tenant::Id(id) => json!({"project": {"id": id}}),
            Tenant::Name(name) => json!({"project": {"name": name, "domain": domain}}),
        };
        json!({"auth": {"identity": identity, "scope": scope}})
    }
}

fn required(auth: &impl Auth, part: &str, name: &str) -> Result<String, Fault> {
    let found = auth.inside(part, name)?;
    found.ok_or_else(|| texts::expecting(name, part))
}

/// The object `auth` in either form.
trait Auth {
    /// A text of its own. An empty one counts as absent: clients send it that have none to give.
    fn own(&self, name: &str) -> Result<Option<String>, Fault>;
    /// Whether it has an object.
    fn has(&self, part: &str) -> bool;
    /// A text of an object in it.
    fn inside(&self, part: &str, name: &str) -> Result<Option<String>, Fault>;
}

struct JsonAuth<'a>(&'a Value);

struct XmlAuth<'a>(&'a Element);

fn text_of(object: &Value, name: &str) -> Result<Option<String>, Fault> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        // The value is not repeated: it may be a password.
        Some(_) => Err(Fault::bad_request(format!("{name} is not a text."))),
    }
}

impl Auth for JsonAuth<'_> {
    fn own(&self, name: &str) -> Result<Option<String>, Fault> {
        Ok(text_of(self.0, name)?.filter(|text| !text.is_empty()))
    }

    fn has(&self, part: &str) -> bool {
        self.0.get(part).is_some_and(|part| !part.is_null())
    }

    fn inside(&self, part: &str, name: &str) -> Result<Option<String>, Fault> {
        self.0
            .get(part)
            .map_or(Ok(None), |part| text_of(part, name))
    }
}

impl Auth for XmlAuth<'_> {
    fn own(&self, name: &str) -> Result<Option<String>, Fault> {
        let text = self.0.attribute(name).filter(|text| !text.is_empty());
        Ok(text.map(str::to_owned))
    }

    fn has(&self, part: &str) -> bool {
        self.0.child(part).is_some()
    }

    fn inside(&self, part: &str, name: &str) -> Result<Option<String>, Fault> {
        let text = self.0.child(part).and_then(|part| part.attribute(name));
        Ok(text.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Format, Proof, Request, Tenant};

    const JSON: &str = r#"{"auth": {"tenantName": "demo",
        "passwordCredentials": {"username": "demo", "password": "secretsecret"}}}"#;
    const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <auth xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
          xmlns="http://docs.openstack.org/identity/api/v2.0" tenantName="demo">
          <passwordCredentials username="demo" password="secretsecret"/></auth>"#;

    fn refusal(format: Format, body: &str) -> String {
        let fault = Request::read(format, body.as_bytes()).err().unwrap();
        fault.message().to_owned()
    }

    #[test]
    fn both_forms_say_the_same() {
        let json = Request::read(Format::Json, JSON.as_bytes()).ok().unwrap();
        let xml = Request::read(Format::Xml, XML.as_bytes()).ok().unwrap();
        assert!(json == xml);
        assert_eq!(json.tenant, Tenant::Name("demo".to_owned()));
        let user = &json.as_v3()["auth"]["identity"]["password"]["user"];
        let domain = json!({"id": "default"});
        let wanted = json!({"name": "demo", "domain": domain, "password": "secretsecret"});
        assert_eq!(user, &wanted);
        let token = Request::read(Format::Json, br#"{"auth": {"token": {"id": "t"}}}"#);
        let token = token.ok().unwrap();
        assert!(token.proof == Proof::Token("t".to_owned()));
        assert_eq!(token.as_v3()["auth"]["scope"], "unscoped");
    }

    #[test]
    fn what_is_missing_or_double_is_named_without_its_value() {
        let both = JSON.replacen("tenantName", "tenantId\": \"x\", \"tenantName", 1);
        assert!(refusal(Format::Json, &both).contains("together"));
        assert!(refusal(Format::Json, "{}").contains("auth in body"));
        let bare = r#"{"auth": {}}"#;
        assert!(refusal(Format::Json, bare).contains("passwordCredentials or token in auth"));
        let odd = JSON.replace("\"secretsecret\"", "[\"secretsecret\"]");
        assert_eq!(refusal(Format::Json, &odd), "password is not a text.");
        let nameless = XML.replace("username", "user");
        assert!(refusal(Format::Xml, &nameless).contains("username in passwordCredentials"));
        assert!(refusal(Format::Xml, &XML.replace("auth", "oath")).contains("auth in body"));
        assert!(!refusal(Format::Xml, JSON).contains("secret"));
    }
}
