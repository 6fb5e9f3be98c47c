//! Whether the Glance and this daemon fit together: for `doctor`.

use http::{Method, StatusCode};
use serde_json::Value;

use super::{Error, Glance};
use crate::external::Check;
use crate::external::pairing::check;

impl Glance {
    /// Checks that it answers, has version 2, and takes our token. Later checks are left out when an
    /// earlier one makes them pointless.
    pub async fn examine(&self) -> Vec<Check> {
        let version = self.version().await;
        let is_there = version.is_ok();
        let mut checks = vec![check("Glance", version)];
        if is_there {
            checks.push(check("Glance token", self.welcome().await));
        }
        checks
    }

    async fn version(&self) -> Result<String, String> {
        let (http, url) = (&self.0.http, &self.0.url);
        // With the slash: without it some deployments redirect.
        let request = http.request(Method::GET, &[""], &[]);
        let Ok(answer) = http.send(request).await else {
            return Err(format!("{url} does not answer"));
        };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let versions = body["versions"].as_array();
        let is_second = |one: &Value| one["id"].as_str().is_some_and(|id| id.starts_with("v2"));
        match versions.is_some_and(|versions| versions.iter().any(is_second)) {
            true => Ok(format!("{url} answers and has version 2")),
            false => Err(format!(
                "{url} answers {} and tells of no version 2 of Image",
                answer.status
            )),
        }
    }

    async fn welcome(&self) -> Result<String, String> {
        let query = [("limit", "1")];
        let request = || {
            let http = &self.0.http;
            http.request(Method::GET, &["v2", "images"], &query)
        };
        match self.ask(None, request).await {
            Ok(answer) if answer.status == StatusCode::OK => Ok("our token is taken".to_owned()),
            Ok(answer) => Err(format!("our token is answered {}", answer.status)),
            Err(Error::Away) => {
                Err("it does not answer, or the Keystone gives no token".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
