//! Requests to the Keystone: bounded in time and length, never through a proxy or a redirect.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, Response};
use url::Url;

use super::token::Validated;
use super::{Expired, Keystone, Settings, SettingsError, Unavailable};

/// For one request; the Keystone answers in a few hundredths of this.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Connections kept between requests.
const IDLE_MAX: usize = 8;
/// Largest answer read, in bytes: a token of a large catalogue has some ten thousand.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Header with the token of who asks.
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// Header with the token that is asked about.
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// The client and where it asks.
pub(super) struct Http {
    client: Client,
    base: Url,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        // The client finds its cryptography by this; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .no_proxy()
            // A redirect would carry tokens to an address nobody named.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            .pool_max_idle_per_host(IDLE_MAX)
            .user_agent(concat!("cinderblock/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &settings.ca {
            let bad = |_| SettingsError("the CA of Keystone is no PEM certificate".to_owned());
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(bad)?);
        }
        let client = builder
            .build()
            .map_err(|error| SettingsError(error.to_string()))?;
        let base = Url::parse(&settings.url);
        let base = base.map_err(|error| SettingsError(format!("{}: {error}", settings.url)))?;
        Ok(Self { client, base })
    }

    /// The address of a path, each of its segments escaped.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    pub(super) fn get(&self, path: &[&str], query: &str) -> RequestBuilder {
        let mut url = self.url(path);
        url.set_query((!query.is_empty()).then_some(query));
        self.client.get(url)
    }

    pub(super) fn post(&self, path: &[&str], body: Vec<u8>) -> RequestBuilder {
        let json = HeaderValue::from_static("application/json");
        let request = self.client.post(self.url(path));
        request.header(http::header::CONTENT_TYPE, json).body(body)
    }
}

/// Sends a request; the reason of a failure goes to the log.
pub(super) async fn send(request: RequestBuilder) -> Result<Answer, Unavailable> {
    let failed = |error: reqwest::Error| {
        tracing::error!(error = %told(&error), "Keystone cannot be reached");
        Unavailable
    };
    let mut response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let body = read(response).await?;
    Ok(Answer {
        status,
        headers,
        body,
    })
}

async fn read(mut response: Response) -> Result<Vec<u8>, Unavailable> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                tracing::error!("an answer of Keystone is too long");
                return Err(Unavailable);
            }
            Ok(None) => return Ok(body),
            Err(error) => {
                tracing::error!(error = %told(&error), "Keystone stopped answering");
                return Err(Unavailable);
            }
        }
    }
}

/// An error with its causes, which alone say what happened.
fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// A token as a header, which is shown nowhere; `None` when it cannot be one.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

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
        let query = match subject {
            None => "",
            // The catalogue is large, and nothing here looks at it.
            Some((_, Expired::Refused)) => "nocatalog=1",
            Some((_, Expired::Allowed)) => "nocatalog=1&allow_expired=1",
        };
        let mut request = self.0.http.get(path, query);
        request = request.header(AUTH_TOKEN, secret(own).ok_or(Unavailable)?);
        if let Some((text, _)) = subject {
            request = request.header(SUBJECT_TOKEN, secret(text).ok_or(Unavailable)?);
        }
        send(request).await
    }

    /// Asks what a token stands for.
    pub(super) async fn ask(
        &self,
        text: &str,
        expired: Expired,
    ) -> Result<Option<std::sync::Arc<Validated>>, Unavailable> {
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
