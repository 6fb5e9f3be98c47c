//! What there is to say of an operation, and routes that are made of it.
//!
//! An [`Operation`] is said once, as a constant. [`Routes`] makes a route of it and a handler, and
//! the OpenAPI document is made of the same constants: a path, method or microversion that the
//! document tells is the one that the router obeys.

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use serde_json::Value;

use super::shape::Shape;
use crate::audit;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::Services;

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The key of a path in the document.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Head => MethodFilter::HEAD,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A parameter of the query.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) shape: fn() -> Shape,
    pub(crate) meaning: &'static str,
    pub(crate) since: u16,
    pub(crate) required: bool,
}

/// What an operation answers with.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// No body.
    Empty,
    /// JSON.
    Json(fn() -> Shape),
    /// Plain text.
    Text,
    /// Bytes of any kind, with other statuses for a part of them or none.
    Data(&'static [u16]),
}

/// All there is to say of an operation.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    /// The key of the body that asks for it, where several share a path.
    pub(crate) action: Option<&'static str>,
    pub(crate) summary: &'static str,
    pub(crate) since: u16,
    pub(crate) rule: Option<Rule>,
    pub(crate) query: &'static [&'static [Parameter]],
    pub(crate) headers: &'static [Parameter],
    pub(crate) body: Option<fn() -> Shape>,
    pub(crate) body_optional: bool,
    pub(crate) status: u16,
    pub(crate) content: Content,
    pub(crate) faults: &'static [u16],
    pub(crate) open: bool,
    /// Whether JSON may come under the name of HTML, an accident of the real service.
    pub(crate) as_html: bool,
}

impl Operation {
    const fn new(verb: Verb, path: &'static str, summary: &'static str) -> Self {
        Self {
            verb,
            path,
            action: None,
            summary,
            since: 0,
            rule: None,
            query: &[],
            headers: &[],
            body: None,
            body_optional: false,
            status: 200,
            content: Content::Empty,
            faults: &[],
            open: false,
            as_html: false,
        }
    }

    pub(crate) const fn get(path: &'static str, summary: &'static str) -> Self {
        Self::new(Verb::Get, path, summary)
    }

    pub(crate) const fn head(path: &'static str, summary: &'static str) -> Self {
        Self::new(Verb::Head, path, summary)
    }

    pub(crate) const fn post(path: &'static str, summary: &'static str) -> Self {
        Self::new(Verb::Post, path, summary)
    }

    pub(crate) const fn put(path: &'static str, summary: &'static str) -> Self {
        Self::new(Verb::Put, path, summary)
    }

    pub(crate) const fn patch(path: &'static str, summary: &'static str) -> Self {
        Self::new(Verb::Patch, path, summary)
    }

    pub(crate) const fn delete(path: &'static str, summary: &'static str) -> Self {
        Self::new(Verb::Delete, path, summary)
    }

    /// An action: a `POST` that does what the one key of its body says.
    pub(crate) const fn action(
        path: &'static str,
        action: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            action: Some(action),
            ..Self::new(Verb::Post, path, summary)
        }
    }

    /// The same at another path.
    pub(crate) const fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// The same of another meaning.
    pub(crate) const fn means(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Only from 3.`minor` on; before, the path is not found.
    pub(crate) const fn since(self, minor: u16) -> Self {
        Self {
            since: minor,
            ..self
        }
    }

    /// The rule that permits it.
    pub(crate) const fn rule(self, rule: Rule) -> Self {
        Self {
            rule: Some(rule),
            ..self
        }
    }

    /// Parameters it takes.
    pub(crate) const fn query(self, query: &'static [&'static [Parameter]]) -> Self {
        Self { query, ..self }
    }

    /// Headers of its own.
    pub(crate) const fn headers(self, headers: &'static [Parameter]) -> Self {
        Self { headers, ..self }
    }

    /// The body it needs.
    pub(crate) const fn body(self, body: fn() -> Shape) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    /// The body it can be given.
    pub(crate) const fn body_if_any(self, body: fn() -> Shape) -> Self {
        Self {
            body_optional: true,
            ..self.body(body)
        }
    }

    /// Answers with a status and JSON.
    pub(crate) const fn answers(self, status: u16, shape: fn() -> Shape) -> Self {
        Self {
            status,
            content: Content::Json(shape),
            ..self
        }
    }

    /// Answers with a status alone.
    pub(crate) const fn empty(self, status: u16) -> Self {
        Self {
            status,
            content: Content::Empty,
            ..self
        }
    }

    /// Answers with plain text.
    pub(crate) const fn says_text(self) -> Self {
        Self {
            content: Content::Text,
            ..self
        }
    }

    /// Faults besides those that all operations of its service can have.
    pub(crate) const fn faults(self, faults: &'static [u16]) -> Self {
        Self { faults, ..self }
    }

    /// Answers with JSON that says it is HTML, at some microversions.
    pub(crate) const fn or_as_html(self) -> Self {
        Self {
            as_html: true,
            ..self
        }
    }

    /// Answers with bytes, or with one of these statuses.
    pub(crate) const fn data(self, others: &'static [u16]) -> Self {
        Self {
            content: Content::Data(others),
            ..self
        }
    }

    /// Takes no token.
    pub(crate) const fn open(self) -> Self {
        Self { open: true, ..self }
    }
}

/// Routes with what is to be said of each.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Services>,
    operations: Vec<Operation>,
    untold: Vec<String>,
}

impl Routes {
    /// None.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An operation and what does it.
    pub(crate) fn on<H, T>(self, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, Services>,
        T: 'static,
    {
        self.on_all(&[operation], handler)
    }

    /// Operations of one path and method, and what does them.
    pub(crate) fn on_all<H, T>(mut self, operations: &[Operation], handler: H) -> Self
    where
        H: Handler<T, Services>,
        T: 'static,
    {
        let Some(first) = operations.first() else {
            return self;
        };
        let mut methods = MethodRouter::new().on(first.verb.filter(), handler);
        if let [only] = operations
            && only.action.is_none()
            && only.since > 0
        {
            let only = *only;
            let layer = move |request: Request, next: Next| in_version(only, request, next);
            methods = methods.route_layer(from_fn(layer));
        }
        self.router = self.router.route(first.path, methods);
        self.operations.extend_from_slice(operations);
        self
    }

    /// A path that is there by accident of the real service: nothing is told of it.
    pub(crate) fn untold(mut self, path: &str, methods: MethodRouter<Services>) -> Self {
        self.router = self.router.route(path, methods);
        self.untold.push(path.to_owned());
        self
    }

    /// With those of another as well.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.operations.extend(other.operations);
        self.untold.extend(other.untold);
        self
    }

    /// The routes alone. What they are asked is noted for the audit log.
    pub(crate) fn router(self) -> Router<Services> {
        self.router.route_layer(from_fn(audit::note_route))
    }

    /// The paths that nothing is told of.
    #[cfg(test)]
    pub(crate) fn untold_paths(self) -> Vec<String> {
        self.untold
    }

    /// What is to be said of them.
    pub(crate) fn operations(self) -> Vec<Operation> {
        self.operations
    }
}

/// Layer: 404 of an operation that the asked microversion does not have.
async fn in_version(operation: Operation, request: Request, next: Next) -> Response {
    let version = request.extensions().get::<Microversion>().copied();
    match version.is_none_or(|version| version.has(operation.since)) {
        true => next.run(request).await,
        false => Fault::version_not_found().into_response(),
    }
}

/// The schema of a body or answer.
pub(super) fn schema_of(shape: fn() -> Shape) -> Value {
    shape().0
}
