//! Lists as JSON.

use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Found, Listed, Listing, Names};
use crate::fault::Fault;
use crate::page::Params;

impl Listing {
    /// The answer with the objects as `shape` has them, the count if it was asked for, and the link
    /// to the next page of `href` if there is one. Written out object by object: a long list is
    /// mostly text, and should be in memory once.
    pub(in crate::cinder) fn answer<R: Listed, S: Serialize>(
        &self,
        params: &Params,
        key: &str,
        href: &str,
        found: Found<R>,
        mut shape: impl FnMut(R) -> Result<S, Fault>,
    ) -> Result<Response, Fault> {
        let last = found.items.last().map(R::id_text);
        let links = self
            .page
            .links(params, href, found.items.len(), last.as_deref());
        let mut text = b"{".to_vec();
        if let Some(links) = links {
            write_json(&mut text, &format!("{key}_links"))?;
            text.push(b':');
            write_json(&mut text, &links)?;
            text.push(b',');
        }
        if let Some(count) = found.count {
            text.extend(format!("\"count\":{count},").bytes());
        }
        write_json(&mut text, key)?;
        text.extend(b":[");
        for (at, item) in found.items.into_iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            write_json(&mut text, &shape(item)?)?;
        }
        text.extend(b"]}");
        Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
    }

    /// As [`Listing::body_named`], with the link under the name of the objects too.
    pub(in crate::cinder) fn body<R: Listed, E>(
        &self,
        params: &Params,
        key: &str,
        href: &str,
        found: Found<R>,
        shape: impl FnMut(R) -> Result<Value, E>,
    ) -> Result<Value, E> {
        let links = format!("{key}_links");
        let names = Names {
            items: key,
            links: Some(&links),
        };
        self.body_named(params, names, href, found, shape)
    }

    /// The body of an answer: the objects as `shape` has them, the count if it was asked for, and
    /// the link to the next page of `href` if there is one.
    pub(in crate::cinder) fn body_named<R: Listed, E>(
        &self,
        params: &Params,
        names: Names<'_>,
        href: &str,
        found: Found<R>,
        shape: impl FnMut(R) -> Result<Value, E>,
    ) -> Result<Value, E> {
        let mut body = Map::new();
        let last = found.items.last().map(R::id_text);
        let shown = found.items.len();
        let links = self.page.links(params, href, shown, last.as_deref());
        if let (Some(name), Some(links)) = (names.links, links) {
            body.insert(name.to_owned(), links);
        }
        body.extend(found.count.map(|count| ("count".to_owned(), json!(count))));
        let items: Result<Vec<Value>, E> = found.items.into_iter().map(shape).collect();
        body.insert(names.items.to_owned(), Value::Array(items?));
        Ok(Value::Object(body))
    }
}

fn write_json<S: Serialize + ?Sized>(text: &mut Vec<u8>, value: &S) -> Result<(), Fault> {
    serde_json::to_writer(text, value).map_err(Fault::internal)
}
