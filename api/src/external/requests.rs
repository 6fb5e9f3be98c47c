//! Questions to the Keystone, with our own token.

use std::sync::Arc;

use http::{HeaderName, Method, StatusCode};

use super::client::{Answer, secret};
use super::token::Validated;
use super::{AUTH_TOKEN, Expired, Keystone, Unavailable};

/// Header with the token that is asked about.
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

impl Keystone {
    /// Asks with our own token; once more with a new one when that is no longer good.
    pub(super) async fn get(
        &self,
        path: &[&str],
        subject: Option<(&str, Expired)>,
    ) -> Result<Answer, Unavailable> {
        let own = self.service_token().await?;
        let answer = self.get_with(&own, path, subject).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.forget(&own).await;
        let own = self.service_token().await?;
        self.get_with(&own, path, subject).await
    }

    async fn get_with(
        &self,
        own: &str,
        path: &[&str],
        subject: Option<(&str, Expired)>,
    ) -> Result<Answer, Unavailable> {
        let query: &[(&str, &str)] = match subject {
            None => &[],
            // The catalogue is large, and nothing here looks at it.
            Some((_, Expired::Refused)) => &[("nocatalog", "1")],
            Some((_, Expired::Allowed)) => &[("nocatalog", "1"), ("allow_expired", "1")],
        };
        let mut request = self.0.http.request(Method::GET, path, query);
        request = request.header(AUTH_TOKEN, secret(own).ok_or(Unavailable)?);
        if let Some((text, _)) = subject {
            request = request.header(SUBJECT_TOKEN, secret(text).ok_or(Unavailable)?);
        }
        Ok(self.0.http.send(request).await?)
    }

    /// Asks what a token stands for.
    pub(super) async fn ask(
        &self,
        text: &str,
        expired: Expired,
    ) -> Result<Option<Arc<Validated>>, Unavailable> {
        if secret(text).is_none() {
            return Ok(None);
        }
        let answer = self
            .get(&["v3", "auth", "tokens"], Some((text, expired)))
            .await?;
        match answer.status {
            StatusCode::OK => match Validated::parse(&answer.body) {
                Some(found) => Ok(Some(found.into())),
                None => {
                    tracing::error!("Keystone's answer about a token makes no sense");
                    Err(Unavailable)
                }
            },
            StatusCode::NOT_FOUND => Ok(None),
            status => {
                tracing::error!(%status, "Keystone does not validate tokens for our user");
                Err(Unavailable)
            }
        }
    }
}
