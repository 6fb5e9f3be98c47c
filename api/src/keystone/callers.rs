//! Callers by their tokens, so that a request need not work out again what the last one did.
//!
//! What a token is good for follows from records of the catalogue, which counts their changes. An
//! entry holds while that count is what it was before the entry was made, so that a revocation, a
//! new password or a lost role is honoured by the next request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::TokenKey;
use crate::auth::Caller;

/// Callers kept at most; beyond that all are forgotten and come back with their next request.
const CALLERS_MAX: usize = 1024;

/// A caller, as of a state of the catalogue.
pub(super) struct Known {
    /// How often watched records had changed before the caller was worked out.
    pub(super) watched: u64,
    pub(super) expires_us: u64,
    pub(super) caller: Caller,
}

/// The callers of late.
#[derive(Default)]
pub(crate) struct Callers(Mutex<HashMap<TokenKey, Known>>);

impl Callers {
    /// The caller of a token that is known to be good.
    pub(super) fn find(&self, key: &TokenKey, watched: u64, now_us: u64) -> Option<Caller> {
        let callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = callers.get(key)?;
        let holds = known.watched == watched && known.expires_us > now_us;
        holds.then(|| known.caller.clone())
    }

    pub(super) fn keep(&self, key: TokenKey, known: Known) {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= CALLERS_MAX {
            callers.clear();
        }
        callers.insert(key, known);
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use crate::keystone::{TokenKey, known_caller};
    use crate::testing::{Cloud, PASSWORD};

    async fn status(cloud: &Cloud, token: &str) -> StatusCode {
        let path = "/volume/v3/types";
        cloud.call(token, "GET", path, Value::Null).await.status
    }

    fn is_known(cloud: &Cloud, token: &str) -> bool {
        known_caller(&cloud.services, &TokenKey::of(token).unwrap()).is_some()
    }

    #[tokio::test]
    async fn what_ends_a_token_ends_it_for_the_next_request() {
        let cloud = Cloud::new();
        let admin = cloud.admin().await;
        let token = cloud.token_of_another_project(&admin).await;
        assert!(!is_known(&cloud, &token));
        assert_eq!(status(&cloud, &token).await, StatusCode::OK);
        assert!(is_known(&cloud, &token));
        // Other tokens and other tables are no reason to ask again.
        let other = cloud.token("somebody", PASSWORD, "another").await;
        let body = json!({"volume": {"size": 1}});
        let made = cloud.call(&token, "POST", "/volume/v3/volumes", body).await;
        assert_eq!(made.status, StatusCode::ACCEPTED);
        assert!(is_known(&cloud, &token));
        assert_eq!(status(&cloud, &other).await, StatusCode::OK);

        let user = known_caller(&cloud.services, &TokenKey::of(&token).unwrap()).unwrap();
        let path = "/identity/v3/auth/tokens";
        let headers = [
            ("X-Auth-Token", other.as_str()),
            ("X-Subject-Token", other.as_str()),
        ];
        let revoked = cloud.send("DELETE", path, &headers, Value::Null).await;
        assert_eq!(revoked.status, StatusCode::NO_CONTENT);
        assert_eq!(status(&cloud, &other).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(&cloud, &token).await, StatusCode::OK);

        let path = format!("/identity/v3/users/{}", user.user_id);
        let disable = json!({"user": {"enabled": false}});
        let disabled = cloud.call(&admin, "PATCH", &path, disable).await;
        assert_eq!(disabled.status, StatusCode::OK, "{}", disabled.body);
        assert_eq!(status(&cloud, &token).await, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn a_known_caller_expires_and_loses_roles() {
        let cloud = Cloud::new();
        let admin = cloud.admin().await;
        let token = cloud.token_of_another_project(&admin).await;
        assert_eq!(status(&cloud, &token).await, StatusCode::OK);
        let user = known_caller(&cloud.services, &TokenKey::of(&token).unwrap()).unwrap();
        let project = user.project_id().unwrap();
        let roles = cloud
            .call(&admin, "GET", "/identity/v3/roles?name=member", Value::Null)
            .await;
        let role = roles.body["roles"][0]["id"].as_str().unwrap();
        let grant = format!(
            "/identity/v3/projects/{project}/users/{}/roles/{role}",
            user.user_id
        );
        assert_eq!(status(&cloud, &token).await, StatusCode::OK);
        cloud.call(&admin, "DELETE", &grant, Value::Null).await;
        assert_eq!(status(&cloud, &token).await, StatusCode::UNAUTHORIZED);

        assert_eq!(status(&cloud, &admin).await, StatusCode::OK);
        cloud.advance_s(100_000);
        assert_eq!(status(&cloud, &admin).await, StatusCode::UNAUTHORIZED);
    }
}
