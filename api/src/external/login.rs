//! Our own token at the Keystone.

use http::StatusCode;
use serde_json::json;
use zeroize::Zeroizing;

use super::client::Answer;
use super::token::Validated;
use super::{Keystone, SERVICE_ROLE, Unavailable};

/// A token is replaced so long before its end: what it is shown with takes a while.
const MARGIN_US: u64 = 60_000_000;
/// After a refusal we do not ask for so long: more attempts would lock our user out.
const REFUSED_US: u64 = 5_000_000;
/// Header of the answer that has the token.
const SUBJECT_TOKEN: &str = "x-subject-token";

/// What we know of our own token.
#[derive(Default)]
pub(super) struct Login {
    token: Option<Token>,
    refused_us: Option<u64>,
}

struct Token {
    own: Own,
    expires_us: u64,
}

/// Our own token.
#[derive(Clone)]
pub(super) struct Own {
    pub(super) text: Zeroizing<String>,
    /// Whether it is that of a service: others refuse what is said to be one and is not.
    pub(super) is_service: bool,
}

impl Keystone {
    /// A token of our user on its project, for requests to other services too.
    ///
    /// # Errors
    /// When the Keystone does not answer or refuses; the log has the reason.
    pub async fn service_token(&self) -> Result<Zeroizing<String>, Unavailable> {
        Ok(self.own_token().await?.text)
    }

    /// The same, with what it is good for.
    pub(super) async fn own_token(&self) -> Result<Own, Unavailable> {
        // One login at a time: those who wait take what the first gets.
        let mut login = self.0.login.lock().await;
        let now_us = self.0.clock.now_us();
        if let Some(token) = &login.token
            && token.expires_us > now_us.saturating_add(MARGIN_US)
        {
            return Ok(token.own.clone());
        }
        let refused = login.refused_us.and_then(|at_us| now_us.checked_sub(at_us));
        if refused.is_some_and(|ago_us| ago_us < REFUSED_US) {
            return Err(Unavailable);
        }
        let answer = self.log_in().await?;
        if answer.status != StatusCode::CREATED {
            tracing::error!(status = %answer.status, "Keystone refuses our user");
            login.refused_us = Some(now_us);
            return Err(Unavailable);
        }
        let token = read(&answer).ok_or_else(|| {
            tracing::error!("Keystone's answer to our login makes no sense");
            Unavailable
        })?;
        let own = token.own.clone();
        *login = Login {
            token: Some(token),
            refused_us: None,
        };
        Ok(own)
    }

    /// Forgets our token, which was refused, unless it is another by now.
    pub(super) async fn forget(&self, text: &str) {
        let mut login = self.0.login.lock().await;
        if login
            .token
            .as_ref()
            .is_some_and(|token| token.own.text.as_str() == text)
        {
            login.token = None;
        }
    }

    pub(super) async fn log_in(&self) -> Result<Answer, Unavailable> {
        let own = &self.0.settings;
        let user = json!({
            "name": own.user.as_str(),
            "domain": {"name": own.user_domain},
            "password": own.password.as_str(),
        });
        let project = json!({"name": own.project, "domain": {"name": own.project_domain}});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }});
        let path = ["v3", "auth", "tokens"];
        let http = &self.0.http;
        Ok(http
            .send(http.post(&path, body.to_string().into_bytes()))
            .await?)
    }
}

fn read(answer: &Answer) -> Option<Token> {
    let text = answer.headers.get(SUBJECT_TOKEN)?.to_str().ok()?;
    let validated = Validated::parse(&answer.body)?;
    Some(Token {
        own: Own {
            text: Zeroizing::new(text.to_owned()),
            is_service: validated.has_role(SERVICE_ROLE),
        },
        expires_us: validated.expires_us(),
    })
}
