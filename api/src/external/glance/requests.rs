//! What Glance is asked about images, short of their bytes.

use http::{HeaderName, Method, StatusCode};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::image::{Draft, Image, Images};
use super::{Error, Glance, UserToken};
use crate::external::AUTH_TOKEN;
use crate::external::client::{Answer, secret};
use crate::external::login::Own;

/// Header with the token of the service that asks for a user.
const SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");
/// Images of a name looked at: two are too many.
const NAMED_MAX: &str = "10";
/// Longest reason of a refusal that is passed on, in characters.
const REASON_CHARS_MAX: usize = 255;

/// What an image is called in a path.
pub(super) fn path_of(id: &str) -> [&str; 3] {
    ["v2", "images", id]
}

impl Glance {
    /// The image of an id.
    pub(crate) async fn show(&self, user: Option<&UserToken>, id: Uuid) -> Result<Image, Error> {
        let text = id.to_string();
        let request = || self.0.http.request(Method::GET, &path_of(&text), &[]);
        let answer = self.ask(user, request).await?;
        let image: Image = body_of(&answer, StatusCode::OK)?;
        if image.id == id {
            return Ok(image);
        }
        tracing::error!(asked = %id, told = %image.id, "Glance tells of another image");
        Err(Error::Away)
    }

    /// Images of a name; of many, some.
    pub(crate) async fn named(
        &self,
        user: Option<&UserToken>,
        name: &str,
    ) -> Result<Vec<Image>, Error> {
        // Glance may take a name for an operator, or not mind its case.
        let query = [("name", name), ("limit", NAMED_MAX)];
        let request = || self.0.http.request(Method::GET, &["v2", "images"], &query);
        let answer = self.ask(user, request).await?;
        let mut found: Images = body_of(&answer, StatusCode::OK)?;
        found
            .images
            .retain(|image| image.name.as_deref() == Some(name));
        Ok(found.images)
    }

    /// Makes an image without bytes.
    pub(crate) async fn create(&self, user: &UserToken, draft: &Draft) -> Result<Image, Error> {
        let body = draft.body();
        let request = || self.0.http.post(&["v2", "images"], body.clone());
        let answer = self.ask(Some(user), request).await?;
        body_of(&answer, StatusCode::CREATED)
    }

    /// Deletes an image; one that has gone is fine.
    pub(crate) async fn delete(&self, user: Option<&UserToken>, id: Uuid) -> Result<(), Error> {
        let text = id.to_string();
        let request = || self.0.http.request(Method::DELETE, &path_of(&text), &[]);
        let answer = self.ask(user, request).await?;
        match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            _ => Err(refusal(&answer)),
        }
    }

    /// Asks on behalf of a user, or as ourselves; once more when our own token was no longer good.
    pub(super) async fn ask(
        &self,
        user: Option<&UserToken>,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Answer, Error> {
        let own = self.0.keystone.own_token().await?;
        let http = &self.0.http;
        let answer = http.send(signed(request(), user, &own)?).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.0.keystone.forget(&own.text).await;
        let own = self.0.keystone.own_token().await?;
        Ok(http.send(signed(request(), user, &own)?).await?)
    }
}

/// A request with the tokens of those who ask.
pub(super) fn signed(
    request: RequestBuilder,
    user: Option<&UserToken>,
    own: &Own,
) -> Result<RequestBuilder, Error> {
    let text = secret(&own.text).ok_or(Error::Away)?;
    let Some(user) = user else {
        return Ok(request.header(AUTH_TOKEN, text));
    };
    let user = secret(user.text()).ok_or(Error::Unseen)?;
    let request = request.header(AUTH_TOKEN, user);
    Ok(match own.is_service {
        true => request.header(SERVICE_TOKEN, text),
        false => request,
    })
}

/// What an answer of a status holds.
fn body_of<T: DeserializeOwned>(answer: &Answer, status: StatusCode) -> Result<T, Error> {
    if answer.status != status {
        return Err(refusal(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        tracing::error!(%error, "an answer of Glance makes no sense");
        Error::Away
    })
}

/// What an answer means that is not the one hoped for.
pub(super) fn refusal(answer: &Answer) -> Error {
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::GONE => Error::Unseen,
        status if status.is_client_error() => Error::Refused(status, reason(answer)),
        status => {
            tracing::error!(%status, "Glance does not do what it is asked");
            Error::Away
        }
    }
}

/// What a refusal says for people: Glance has a page of HTML, or JSON.
fn reason(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let mut plain = String::new();
    let mut is_tag = false;
    // What is before the body of a page is its title.
    let text = text.split_once("</head>").map_or(&*text, |(_, body)| body);
    for one in text.chars() {
        match one {
            '<' => is_tag = true,
            '>' => {
                is_tag = false;
                plain.push(' ');
            }
            _ if !is_tag => plain.push(one),
            _ => {}
        }
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    let told: String = words.join(" ").chars().take(REASON_CHARS_MAX).collect();
    match told.is_empty() {
        true => answer.status.to_string(),
        false => told,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, StatusCode};
    use zeroize::Zeroizing;

    use super::{REASON_CHARS_MAX, reason, signed};
    use crate::external::client::{Answer, Http};
    use crate::external::glance::UserToken;
    use crate::external::login::Own;

    fn told(body: &str) -> String {
        reason(&Answer {
            status: StatusCode::FORBIDDEN,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn our_token_goes_along_where_it_is_that_of_a_service() {
        let http = Http::new("Glance", "http://127.0.0.1:1", None).unwrap();
        let told = |user: Option<&UserToken>, is_service| {
            let own = Own {
                text: Zeroizing::new("own".to_owned()),
                is_service,
            };
            let request = http.request(Method::GET, &["v2"], &[]);
            let request = signed(request, user, &own).unwrap().build().unwrap();
            let header = |name: &str| {
                let value = request.headers().get(name);
                value.map_or("", |value| value.to_str().unwrap()).to_owned()
            };
            [header("x-auth-token"), header("x-service-token")]
        };
        let user = UserToken::new("user");
        assert_eq!(told(Some(&user), true), ["user", "own"]);
        assert_eq!(told(Some(&user), false), ["user", ""]);
        assert_eq!(told(None, true), ["own", ""]);
    }

    #[test]
    fn reasons_are_short_and_plain() {
        let page = "<html>\n <head>\n  <title>403 Forbidden</title>\n </head>\n <body>\n  \
                    <h1>403 Forbidden</h1>\n  Too many.<br /><br />\n\n\n </body>\n</html>";
        assert_eq!(told(page), "403 Forbidden Too many.");
        assert_eq!(told(""), "403 Forbidden");
        assert_eq!(told(&"x".repeat(5000)).len(), REASON_CHARS_MAX);
        assert_eq!(told("a > b < c"), "a b");
    }
}
