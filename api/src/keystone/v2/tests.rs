//! v2.0 through the router: its document's bodies, both forms, faults, tokens across versions.

mod hostile;
mod normal;

use http::StatusCode;
use serde_json::{Value, json};

use super::xml::{Element, NAMESPACE};
use crate::testing::{Cloud, PASSWORD};
use normal::{normal_json, normal_xml, tenant_of};

const PATH: &str = "/identity/v2.0/tokens";
const XML: &str = "application/xml";
const PASSWORD_JSON: &str = include_str!("bodies/password.json");
const PASSWORD_XML: &str = include_str!("bodies/password.xml");
const TOKEN_JSON: &str = include_str!("bodies/token.json");
const TOKEN_XML: &str = include_str!("bodies/token.xml");
const ANSWER_JSON: &str = include_str!("bodies/access.json");
const ANSWER_XML: &str = include_str!("bodies/access.xml");
/// The tenant of the bodies.
const TENANT: &str = "5f0c3b1e6d2a4c4f9b7e8d1a2c3b4e5f";
/// The token that the bodies ask with.
const ASKED: &str = "9d8c7b6a5f4e4d3c2b1a0f9e8d7c6b5a";

/// An answer: status, content type and text.
struct Told {
    status: StatusCode,
    kind: String,
    text: String,
}

impl Told {
    fn json(&self) -> Value {
        assert_eq!(self.kind, "application/json", "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    fn xml(&self) -> Element {
        assert_eq!(self.kind, XML, "{}", self.text);
        assert!(
            self.text
                .starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
        );
        Element::parse(self.text.as_bytes()).unwrap()
    }
}

async fn ask(
    cloud: &Cloud,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Told {
    let answer = cloud.raw(method, path, headers, body.into()).await;
    let kind = answer.headers().get("content-type");
    Told {
        status: answer.status(),
        kind: kind.map_or("", |kind| kind.to_str().unwrap()).to_owned(),
        text: String::from_utf8(answer.body().to_vec()).unwrap(),
    }
}

async fn post(cloud: &Cloud, kind: &str, body: impl Into<Vec<u8>>) -> Told {
    ask(cloud, "POST", PATH, &[("Content-Type", kind)], body).await
}

/// Makes an object by v3 and returns its id.
async fn make(cloud: &Cloud, admin: &str, kind: &str, wanted: Value) -> String {
    let path = format!("/identity/v3/{kind}s");
    let made = cloud
        .call(admin, "POST", &path, json!({ kind: wanted }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    made.body[kind]["id"].as_str().unwrap().to_owned()
}

async fn all(cloud: &Cloud, admin: &str, plural: &str) -> Vec<Value> {
    let path = format!("/identity/v3/{plural}");
    let listed = cloud.call(admin, "GET", &path, Value::Null).await;
    listed.body[plural].as_array().unwrap().clone()
}

/// The cloud of the bodies: their services, tenant, user and roles.
async fn cloud_of_the_bodies() -> Cloud {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    for service in all(&cloud, &admin, "services").await {
        let path = format!("/identity/v3/services/{}", service["id"].as_str().unwrap());
        cloud.call(&admin, "DELETE", &path, Value::Null).await;
    }
    let sample: Value = serde_json::from_str(ANSWER_JSON).unwrap();
    for service in sample["access"]["serviceCatalog"].as_array().unwrap() {
        let wanted = json!({"type": service["type"], "name": service["name"]});
        let id = make(&cloud, &admin, "service", wanted).await;
        for interface in ["admin", "internal", "public"] {
            let url = service["endpoints"][0][format!("{interface}URL")].as_str();
            let url = url.unwrap().replace(TENANT, "$(project_id)s");
            let wanted = json!({
                "service_id": id, "interface": interface, "url": url, "region_id": "RegionOne",
            });
            make(&cloud, &admin, "endpoint", wanted).await;
        }
    }
    let project = make(&cloud, &admin, "project", json!({"name": "acme"})).await;
    let wanted = json!({"name": "sam", "password": "correct horse battery"});
    let user = make(&cloud, &admin, "user", wanted).await;
    for name in ["auditor", "builder"] {
        let role = make(&cloud, &admin, "role", json!({ "name": name })).await;
        let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
        let granted = cloud.call(&admin, "PUT", &grant, Value::Null).await;
        assert_eq!(granted.status, StatusCode::NO_CONTENT);
    }
    cloud
}

fn same_xml(answer: &Told) {
    let (answer, sample) = (answer.xml(), Element::parse(ANSWER_XML.as_bytes()).unwrap());
    let (own, theirs) = (tenant_of(&answer), tenant_of(&sample));
    assert_eq!(normal_xml(answer, &own), normal_xml(sample, &theirs));
}

#[tokio::test]
async fn the_bodies_are_those_of_the_document() {
    let cloud = cloud_of_the_bodies().await;
    let sample = normal_json(serde_json::from_str(ANSWER_JSON).unwrap());
    let json = post(&cloud, "application/json", PASSWORD_JSON).await;
    assert_eq!(json.status, StatusCode::OK, "{}", json.text);
    assert_eq!(normal_json(json.json()), sample);
    let xml = post(&cloud, XML, PASSWORD_XML).await;
    assert_eq!(xml.status, StatusCode::OK, "{}", xml.text);
    same_xml(&xml);

    let token = json.json()["access"]["token"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let again = post(
        &cloud,
        "application/json",
        TOKEN_JSON.replace(ASKED, &token),
    )
    .await;
    assert_eq!(normal_json(again.json()), sample);
    let (old, new) = (json.json(), again.json());
    assert_eq!(
        old["access"]["token"]["expires"],
        new["access"]["token"]["expires"]
    );
    same_xml(&post(&cloud, XML, TOKEN_XML.replace(ASKED, &token)).await);

    let headers = [("Content-Type", XML), ("Accept", "application/json")];
    let crossed = ask(&cloud, "POST", PATH, &headers, PASSWORD_XML).await;
    assert_eq!(normal_json(crossed.json()), sample);
}

fn body(tenant: &str) -> Value {
    let credentials = json!({"username": "admin", "password": PASSWORD});
    json!({"auth": {"tenantName": tenant, "passwordCredentials": credentials}})
}

async fn token(cloud: &Cloud, body: Value) -> String {
    let answer = cloud.send("POST", PATH, &[], body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["access"]["token"]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_token_is_one_of_all_versions() {
    let cloud = Cloud::new();
    let legacy = token(&cloud, body("admin")).await;
    let of_v3 = cloud.admin().await;
    for token in [&legacy, &of_v3] {
        let headers = [("X-Auth-Token", token.as_str()), ("X-Subject-Token", token)];
        let shown = cloud
            .send("GET", "/identity/v3/auth/tokens", &headers, Value::Null)
            .await;
        assert_eq!(shown.status, StatusCode::OK);
        let project = shown.body["token"]["project"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        for path in [
            "/volume/v3/volumes".to_owned(),
            format!("/volume/v2/{project}/volumes"),
        ] {
            let listed = cloud.call(token, "GET", &path, Value::Null).await;
            assert_eq!(listed.status, StatusCode::OK, "{path}");
        }
        let path = format!("{PATH}/{token}");
        let shown = cloud.call(&of_v3, "GET", &path, Value::Null).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert_eq!(
            shown.body["access"]["token"]["tenant"]["id"],
            project.as_str()
        );
        assert_eq!(shown.body["access"]["metadata"]["is_admin"], 1);
    }
    let path = format!("{PATH}/{legacy}");
    let ended = cloud.call(&of_v3, "DELETE", &path, Value::Null).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(
        cloud.call(&of_v3, "GET", &path, Value::Null).await.status,
        404
    );
    let types = cloud
        .call(&legacy, "GET", "/volume/v3/types", Value::Null)
        .await;
    assert_eq!(types.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_are_shown_to_administrators() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let member = cloud.token_of_another_project(&admin).await;
    let path = format!("{PATH}/{member}");
    assert_eq!(
        cloud.call(&member, "GET", &path, Value::Null).await.status,
        403
    );
    assert_eq!(
        cloud.call("nobody", "GET", &path, Value::Null).await.status,
        401
    );
    assert_eq!(
        cloud.call(&admin, "HEAD", &path, Value::Null).await.status,
        200
    );
    let shown = cloud.call(&admin, "GET", &path, Value::Null).await;
    let tenant = shown.body["access"]["token"]["tenant"]["id"]
        .as_str()
        .unwrap();
    let own = format!("{path}?belongsTo={tenant}");
    assert_eq!(
        cloud.call(&admin, "GET", &own, Value::Null).await.status,
        200
    );
    let other = format!("{path}?belongsTo=other");
    assert_eq!(
        cloud.call(&admin, "GET", &other, Value::Null).await.status,
        404
    );

    let path = format!("{path}/endpoints");
    let listed = cloud.call(&admin, "GET", &path, Value::Null).await;
    let endpoints = listed.body["endpoints"].as_array().unwrap();
    let volume = endpoints
        .iter()
        .find(|endpoint| endpoint["type"] == "volumev3");
    let url = format!("http://cloud.test:8080/volume/v3/{tenant}");
    assert_eq!(volume.unwrap()["publicURL"], url);
    let headers = [("X-Auth-Token", admin.as_str()), ("Accept", XML)];
    let told = ask(&cloud, "GET", &path, &headers, "").await.xml();
    assert_eq!(told.children.len(), endpoints.len() + 1);
    assert!(told.child("endpoints_links").is_some());
}

#[tokio::test]
async fn tenants_are_those_of_the_caller_in_pages() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let project = make(
        &cloud,
        &admin,
        "project",
        json!({"name": "p", "description": "a <b>"}),
    )
    .await;
    let unscoped = cloud.login("admin", PASSWORD, json!("unscoped")).await;
    let user = unscoped.body["token"]["user"]["id"].as_str().unwrap();
    let role = &cloud
        .call(&admin, "GET", "/identity/v3/roles?name=reader", Value::Null)
        .await;
    let role = role.body["roles"][0]["id"].as_str().unwrap();
    let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
    cloud.call(&admin, "PUT", &grant, Value::Null).await;

    let token = unscoped.header("x-subject-token");
    let list = async |query: &str| {
        let path = format!("/identity/v2.0/tenants{query}");
        cloud.call(token, "GET", &path, Value::Null).await
    };
    let all = list("").await.body;
    assert_eq!(all["tenants"].as_array().unwrap().len(), 2);
    let first = list("?limit=1").await.body["tenants"].clone();
    let marker = format!("?marker={}", first[0]["id"].as_str().unwrap());
    let second = list(&marker).await.body["tenants"].clone();
    assert_eq!(json!([first[0], second[0]]), all["tenants"]);
    assert_eq!(list("?marker=x").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(list("?limit=-1").await.status, StatusCode::BAD_REQUEST);

    let headers = [("X-Auth-Token", token), ("Accept", XML)];
    let told = ask(&cloud, "GET", "/identity/v2.0/tenants", &headers, "")
        .await
        .xml();
    let mut tenants = told.children.iter();
    let told = tenants
        .find(|tenant| tenant.attribute("id") == Some(&project))
        .unwrap();
    assert_eq!(told.attribute("description"), Some("a <b>"));
}

#[tokio::test]
async fn faults_have_the_names_of_v2_in_both_forms() {
    let cloud = Cloud::new();
    let wrong = json!({"auth": {"passwordCredentials": {"username": "admin", "password": "x"}}});
    let json = post(&cloud, "application/json", wrong.to_string()).await;
    assert_eq!(json.status, StatusCode::UNAUTHORIZED);
    let message = "The request you have made requires authentication.";
    let wanted = json!({"unauthorized": {"code": 401, "message": message, "details": ""}});
    assert_eq!(json.json(), wanted);
    let wrong = PASSWORD_XML.replace("demo", "nobody");
    let xml = post(&cloud, XML, wrong).await;
    let wanted = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<unauthorized xmlns=\"{NAMESPACE}\" \
         code=\"401\"><message>{message}</message></unauthorized>"
    );
    assert_eq!((xml.status.as_u16(), xml.text), (401, wanted));

    let fault = async |method: &str, path: &str, body: Value| {
        let told = cloud
            .send(method, path, &[("X-Auth-Token", "x")], body)
            .await;
        let name = told
            .body
            .as_object()
            .and_then(|fault| fault.keys().next().cloned());
        (told.status.as_u16(), name.unwrap_or_default())
    };
    let named = |status: u16, name: &str| (status, name.to_owned());
    assert_eq!(
        fault("POST", PATH, json!({})).await,
        named(400, "badRequest")
    );
    let mut both = body("admin");
    both["auth"]["tenantId"] = json!("x");
    assert_eq!(fault("POST", PATH, both).await, named(400, "badRequest"));
    assert_eq!(
        fault("POST", PATH, body("none")).await,
        named(401, "unauthorized")
    );
    let token = json!({"auth": {"token": {"id": "unknown"}}});
    assert_eq!(fault("POST", PATH, token).await, named(404, "itemNotFound"));
    assert_eq!(fault("PUT", PATH, json!({})).await, named(405, "badMethod"));
    let large = json!({"auth": "x".repeat(200_000)});
    assert_eq!(fault("POST", PATH, large).await, named(413, "overLimit"));
    let tenants = "/identity/v2.0/tenants";
    assert_eq!(
        fault("GET", tenants, Value::Null).await,
        named(401, "unauthorized")
    );
}

#[tokio::test]
async fn expired_tokens_and_disabled_users_get_nothing() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let wanted = json!({"name": "gone", "password": PASSWORD, "enabled": false});
    make(&cloud, &admin, "user", wanted).await;
    let ask = async |password: &str| {
        let credentials = json!({"username": "gone", "password": password});
        let body = json!({"auth": {"passwordCredentials": credentials}});
        cloud.send("POST", PATH, &[], body).await
    };
    let refused = ask(PASSWORD).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.get("userDisabled").is_some());
    // Who does not know the password is not told of it.
    let refused = ask("wrong").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    // Nor who has guessed too often, so that this is no way around the limit.
    for _ in 0..20 {
        ask("wrong").await;
    }
    assert_eq!(ask(PASSWORD).await.status, StatusCode::UNAUTHORIZED);

    cloud.advance_s(100_000);
    let expired = json!({"auth": {"token": {"id": admin}}});
    let refused = cloud.send("POST", PATH, &[], expired).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let path = "/identity/v2.0/tenants";
    assert_eq!(
        cloud.call(&admin, "GET", path, Value::Null).await.status,
        401
    );
}

#[tokio::test]
async fn only_the_default_domain_is_known() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let domain = make(&cloud, &admin, "domain", json!({"name": "other"})).await;
    let wanted = json!({"name": "p", "domain_id": domain});
    let project = make(&cloud, &admin, "project", wanted).await;
    let wanted = json!({"name": "stranger", "domain_id": domain, "password": PASSWORD});
    let user = make(&cloud, &admin, "user", wanted).await;
    let credentials = json!({"username": "stranger", "password": PASSWORD});
    let by_name = json!({"auth": {"passwordCredentials": credentials}});
    assert_eq!(cloud.send("POST", PATH, &[], by_name).await.status, 401);

    let role = &all(&cloud, &admin, "roles").await[0]["id"];
    let grant = format!(
        "/identity/v3/projects/{project}/users/{user}/roles/{}",
        role.as_str().unwrap()
    );
    cloud.call(&admin, "PUT", &grant, Value::Null).await;
    let user = json!({"id": user, "password": PASSWORD});
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    let scope = json!({"project": {"id": project}});
    let auth = json!({"auth": {"identity": identity, "scope": scope}});
    let of_v3 = cloud
        .send("POST", "/identity/v3/auth/tokens", &[], auth)
        .await;
    let stranger = of_v3.header("x-subject-token");
    let exchange = json!({"auth": {"tenantId": project, "token": {"id": stranger}}});
    assert_eq!(cloud.send("POST", PATH, &[], exchange).await.status, 401);
    let path = format!("{PATH}/{stranger}");
    assert_eq!(
        cloud.call(&admin, "GET", &path, Value::Null).await.status,
        404
    );
}

#[tokio::test]
async fn versions_tell_of_both_forms() {
    let cloud = Cloud::new();
    let listed = cloud.send("GET", "/identity", &[], Value::Null).await;
    assert_eq!(listed.status, StatusCode::MULTIPLE_CHOICES);
    let versions = &listed.body["versions"]["values"];
    assert_eq!(
        (&versions[0]["id"], &versions[1]["id"]),
        (&json!("v3.14"), &json!("v2.0"))
    );
    for path in ["/identity/v2.0/", "/identity/v2.0"] {
        let shown = cloud.send("GET", path, &[], Value::Null).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert_eq!(shown.body["version"], versions[1]);
    }
    let told = ask(&cloud, "GET", "/identity/v2.0/", &[("Accept", XML)], "")
        .await
        .xml();
    assert_eq!(told.attribute("status"), Some("deprecated"));
    let types = told.child("media-types").unwrap().children.iter();
    let types: Vec<_> = types.filter_map(|kind| kind.attribute("base")).collect();
    assert_eq!(types, ["application/json", XML]);
    assert_eq!(told.child("links").unwrap().children.len(), 2);
}
