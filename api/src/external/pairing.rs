//! Whether the Keystone and this daemon fit together: for `doctor`.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::client::Answer;
use super::token::Validated;
use super::{Keystone, SERVICE_ROLE};

/// Roles that let our user ask about the tokens of others.
const ASKING_ROLES: [&str; 2] = [SERVICE_ROLE, "admin"];
/// Types that clients look for Block Storage under.
const VOLUME_TYPES: [&str; 2] = ["volumev3", "block-storage"];

/// What was found: the check's name, and a sentence for good or bad.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What was found, or what is wrong.
    pub found: Result<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    #[serde(default)]
    region_id: Option<String>,
    url: String,
}

impl Keystone {
    /// Checks that it answers, that our user is welcome and may ask, and that its catalogue leads
    /// to `volume_url` (without version) in `region`. Later checks are left out when an earlier one
    /// makes them pointless.
    pub async fn examine(&self, region: &str, volume_url: &str) -> Vec<Check> {
        let url = self.url();
        let http = &self.0.http;
        let found = http.send(http.request(Method::GET, &["v3"], &[])).await;
        let reached = match found {
            Ok(answer) if answer.status.is_success() => Ok(format!("{url} answers")),
            Ok(answer) => Err(format!("{url}/v3 answers {}", answer.status)),
            Err(_) => Err(format!("{url} does not answer")),
        };
        let ended = reached.is_err();
        let mut checks = vec![check("Keystone", reached)];
        if ended {
            return checks;
        }
        match self.log_in().await {
            Ok(answer) if answer.status == StatusCode::CREATED => {
                let user = "our user is welcome there".to_owned();
                checks.push(check("Keystone user", Ok(user)));
                checks.push(check("Keystone role", role(&answer)));
                let found = catalogue(&answer, region, volume_url);
                checks.push(check("Keystone catalogue", found));
            }
            Ok(answer) => {
                let told = format!("the login of our user is answered {}", answer.status);
                checks.push(check("Keystone user", Err(told)));
            }
            Err(_) => {
                let told = "the login of our user is not answered".to_owned();
                checks.push(check("Keystone user", Err(told)));
            }
        }
        checks
    }
}

pub(super) fn check(name: &'static str, found: Result<String, String>) -> Check {
    Check { name, found }
}

fn role(answer: &Answer) -> Result<String, String> {
    let token = Validated::parse(&answer.body).ok_or("the answer to the login makes no sense")?;
    let role = ASKING_ROLES.into_iter().find(|role| token.has_role(role));
    match role {
        Some(role) => Ok(format!("our user has the role {role}")),
        None => Err("our user has neither the role service nor admin on its project".to_owned()),
    }
}

fn catalogue(answer: &Answer, region: &str, volume_url: &str) -> Result<String, String> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let entries = body["token"]["catalog"].clone();
    let entries: Vec<Entry> = serde_json::from_value(entries).unwrap_or_default();
    let ours = entries
        .iter()
        .filter(|entry| VOLUME_TYPES.contains(&entry.kind.as_str()))
        .flat_map(|entry| &entry.endpoints)
        .filter(|endpoint| endpoint.interface == "public")
        .filter(|endpoint| endpoint.region_id.as_deref() == Some(region));
    let urls: Vec<&str> = ours.map(|endpoint| endpoint.url.as_str()).collect();
    let project = body["token"]["project"]["id"].as_str().unwrap_or_default();
    let expected = [
        format!("{volume_url}/v3"),
        format!("{volume_url}/v3/{project}"),
    ];
    match urls.iter().find(|url| !is_one_of(url, &expected)) {
        Some(other) => Err(format!(
            "it leads clients to {other}, and this daemon is at {volume_url}/v3"
        )),
        None if urls.is_empty() => Err(format!(
            "it has no public endpoint of volumev3 or block-storage in {region}; \
             clients do not find {volume_url}/v3"
        )),
        None => Ok(format!("it leads clients to {volume_url}/v3")),
    }
}

fn is_one_of(url: &str, expected: &[String]) -> bool {
    let url = url.trim_end_matches('/');
    expected.iter().any(|known| known == url)
}
