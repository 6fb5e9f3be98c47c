//! Requests to services elsewhere: bounded in time and length, never through a proxy or a redirect.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, Response};
use url::Url;

use super::SettingsError;

/// For one request; services answer in a few hundredths of this.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Connections kept between requests.
const IDLE_MAX: usize = 8;
/// Largest answer read, in bytes: a token of a large catalogue has some ten thousand.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A service, for the log.
pub(super) type Who = &'static str;

/// No answer was had; the reason is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// The client and where it asks.
pub(super) struct Http {
    client: Client,
    base: Url,
    who: Who,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Http {
    /// A client of the service at `url`; without a CA the system's are trusted.
    pub(super) fn new(who: Who, url: &str, ca: Option<&[u8]>) -> Result<Self, SettingsError> {
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
        if let Some(pem) = ca {
            let bad = |_| SettingsError(format!("the CA of {who} is no PEM certificate"));
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(bad)?);
        }
        let client = builder
            .build()
            .map_err(|error| SettingsError(error.to_string()))?;
        let base = Url::parse(url);
        let base = base.map_err(|error| SettingsError(format!("{url}: {error}")))?;
        Ok(Self { client, base, who })
    }

    /// A request for a path, each of its segments escaped, with pairs of a query.
    pub(super) fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.client.request(method, url)
    }

    /// The same with JSON.
    pub(super) fn post(&self, path: &[&str], body: Vec<u8>) -> RequestBuilder {
        let json = HeaderValue::from_static("application/json");
        let request = self.request(Method::POST, path, &[]);
        request.header(http::header::CONTENT_TYPE, json).body(body)
    }

    /// Sends a request and reads the answer to its end.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, NoAnswer> {
        let response = self.begin(request).await?;
        self.read(response).await
    }

    /// Sends a request; the answer's body is still to be read.
    pub(super) async fn begin(&self, request: RequestBuilder) -> Result<Response, NoAnswer> {
        request.send().await.map_err(|error| {
            let (who, error) = (self.who, told(&error));
            tracing::error!(error, "{who} cannot be reached");
            NoAnswer
        })
    }

    /// Reads an answer to its end.
    pub(super) async fn read(&self, mut response: Response) -> Result<Answer, NoAnswer> {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let (who, mut body) = (self.who, Vec::new());
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => {
                    tracing::error!("an answer of {who} is too long");
                    return Err(NoAnswer);
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(error = told(&error), "{who} stopped answering");
                    return Err(NoAnswer);
                }
            }
        }
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

/// An error with its causes, which alone say what happened.
pub(super) fn told(error: &reqwest::Error) -> String {
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
pub(super) fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
