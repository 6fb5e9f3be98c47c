//! One HTTP exchange: bounded time, bounded answer, no redirects.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use url::{Host, Url};

use super::secret::Secret;
use super::{Cloud, Error, ErrorKind, Result};

/// Largest answer read. A page of a thousand volumes in detail is about 2 MiB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What to send besides the address.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) token: Option<&'a Secret>,
    /// A token that the call is about.
    pub(super) subject: Option<&'a Secret>,
    pub(super) microversion: Option<&'static str>,
    pub(super) body: Option<Vec<u8>>,
}

/// What came back, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) request_id: Option<String>,
    pub(super) subject_token: Option<Secret>,
}

/// An HTTP agent that trusts what the cloud's settings say.
pub(super) fn build(cloud: &Cloud, timeout: Duration) -> Result<Agent> {
    let mut tls = TlsConfig::builder().disable_verification(!cloud.verify);
    if let Some(path) = &cloud.ca_file {
        let bad =
            |text: String| Error::new(ErrorKind::Settings, format!("{}: {text}", path.display()));
        let pem = fs::read(path).map_err(|error| bad(error.to_string()))?;
        let items = ureq::tls::parse_pem(&pem).collect::<std::result::Result<Vec<_>, _>>();
        let items = items.map_err(|error| bad(error.to_string()))?;
        let certificates = items.into_iter().filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        });
        tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates.collect())));
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A redirect would carry the token to an address nobody named.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT.min(timeout)))
        .timeout_global(Some(timeout))
        .user_agent(concat!("cinderblock/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build());
    let config = if is_loopback(&cloud.auth_url) {
        config.proxy(None)
    } else {
        config
    };
    Ok(config.build().into())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Sends one request and reads the answer.
pub(super) fn exchange(agent: &Agent, call: &Call<'_>) -> Result<Answer> {
    let request = request(call)?;
    let unreachable = |error: ureq::Error| unreachable(&call.url, &error);
    let mut response = agent.run(request).map_err(unreachable)?;
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let request_id = header("x-openstack-request-id");
    let subject_token = header("x-subject-token").map(Secret::new);
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    Ok(Answer {
        status,
        body: body.read_to_vec().map_err(unreachable)?,
        request_id,
        subject_token,
    })
}

fn request(call: &Call<'_>) -> Result<Request<Vec<u8>>> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(call.url.as_str())
        .header("accept", "application/json");
    if let Some(token) = call.token {
        request = request.header("x-auth-token", token.reveal());
    }
    if let Some(subject) = call.subject {
        request = request.header("x-subject-token", subject.reveal());
    }
    if let Some(version) = call.microversion {
        request = request.header("openstack-api-version", version);
    }
    if call.body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = call.body.clone().unwrap_or_default();
    request.body(body).map_err(|_| {
        // The builder's error could quote the header.
        Error::new(
            ErrorKind::Settings,
            "the token or an address holds odd characters",
        )
    })
}

fn unreachable(url: &Url, error: &ureq::Error) -> Error {
    let origin = url.origin().ascii_serialization();
    let reason = match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::BodyExceedsLimit(_) => "the answer is too long".to_owned(),
        other => other.to_string(),
    };
    Error::new(ErrorKind::Unreachable, format!("{origin}: {reason}"))
}
