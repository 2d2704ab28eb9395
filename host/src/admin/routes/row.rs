//! One row of the table of paths: a path, and what each method does there.
//!
//! A row is made once and used twice: the router takes its handlers, the [document](super::super::openapi) takes what is said of
//! them. So no path is served that is not told of, and none is told of that is not served.

use std::borrow::Cow;
use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

use crate::admin::AdminState;

type Handlers = MethodRouter<Arc<AdminState>>;

/// A path, and what each method does there.
pub(in crate::admin) struct Row {
    /// From the root, with the names of its parts in braces.
    pub(in crate::admin) path: String,
    /// One for each method.
    pub(in crate::admin) operations: Vec<Operation>,
}

/// What a method does on a path.
pub(in crate::admin) struct Operation {
    /// The method.
    pub(in crate::admin) method: Method,
    /// In one sentence.
    pub(in crate::admin) does: Cow<'static, str>,
    /// What may stand behind the question mark.
    pub(in crate::admin) asks: &'static [Asks],
    /// The body of the request.
    pub(in crate::admin) takes: Takes,
    /// The answer when it is done.
    pub(in crate::admin) gives: Gives,
    /// Statuses of refusals, beside those that follow from the path, the query and the body.
    pub(in crate::admin) refuses: &'static [u16],
    handlers: Handlers,
}

/// A parameter of the query.
#[derive(Clone, Copy)]
pub(in crate::admin) struct Asks {
    pub(in crate::admin) name: &'static str,
    /// A shape of `openapi/shapes.json`.
    pub(in crate::admin) shape: &'static str,
    pub(in crate::admin) about: &'static str,
}

/// A flag of the query.
pub(in crate::admin) const fn flag(name: &'static str, about: &'static str) -> Asks {
    Asks { name, shape: "Flag", about }
}

/// The body of a request, by the name of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Takes {
    /// None; one that is sent is not looked at.
    Nothing,
    /// It must be there.
    Always(&'static str),
    /// It may be left out.
    Perhaps(&'static str),
}

/// The answer when all went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Gives {
    /// 204.
    Done,
    /// 200 with an empty body, where the original sends its null.
    Empty,
    /// 200 with JSON of this shape.
    Shape(&'static str),
    /// The same, or an empty body where nothing is set.
    Perhaps(&'static str),
    /// 200 with a bare text or bytes, which the original calls JSON.
    Bare(&'static str),
    /// 200 with a text of this media type.
    Text(&'static str),
    /// 302 to this path.
    Elsewhere(&'static str),
    /// Nothing: it is always refused.
    Never,
}

/// The operations of a path.
pub(in crate::admin) fn at<const N: usize>(path: &str, operations: [Operation; N]) -> Row {
    Row { path: path.to_owned(), operations: operations.into() }
}

impl Row {
    /// The same row below `prefix`.
    pub(super) fn under(self, prefix: &str) -> Self {
        Self { path: format!("{prefix}{}", self.path), ..self }
    }

    /// The handlers of all methods.
    pub(super) fn into_handlers(self) -> (String, Handlers) {
        let handlers = self.operations.into_iter().map(|operation| operation.handlers);
        (self.path, handlers.reduce(MethodRouter::merge).unwrap_or_default())
    }
}

/// Reads something. What it gives must be said.
pub(in crate::admin) fn get<H: Handler<T, Arc<AdminState>>, T: 'static>(
    handler: H,
    does: impl Into<Cow<'static, str>>,
) -> Operation {
    Operation::new(Method::GET, routing::get(handler), does)
}

/// Makes or sets something.
pub(in crate::admin) fn put<H: Handler<T, Arc<AdminState>>, T: 'static>(
    handler: H,
    does: impl Into<Cow<'static, str>>,
) -> Operation {
    Operation::new(Method::PUT, routing::put(handler), does)
}

/// Changes something or sets it off.
pub(in crate::admin) fn post<H: Handler<T, Arc<AdminState>>, T: 'static>(
    handler: H,
    does: impl Into<Cow<'static, str>>,
) -> Operation {
    Operation::new(Method::POST, routing::post(handler), does)
}

/// Takes something away.
pub(in crate::admin) fn delete<H: Handler<T, Arc<AdminState>>, T: 'static>(
    handler: H,
    does: impl Into<Cow<'static, str>>,
) -> Operation {
    Operation::new(Method::DELETE, routing::delete(handler), does)
}

impl Operation {
    fn new(method: Method, handlers: Handlers, does: impl Into<Cow<'static, str>>) -> Self {
        Self { method, does: does.into(), asks: &[], takes: Takes::Nothing, gives: Gives::Done, refuses: &[], handlers }
    }

    /// It looks at these parameters of the query.
    pub(in crate::admin) fn asks(self, asks: &'static [Asks]) -> Self {
        Self { asks, ..self }
    }

    /// It needs a body of this shape.
    pub(in crate::admin) fn takes(self, shape: &'static str) -> Self {
        Self { takes: Takes::Always(shape), ..self }
    }

    /// It takes a body of this shape, or none.
    pub(in crate::admin) fn may_take(self, shape: &'static str) -> Self {
        Self { takes: Takes::Perhaps(shape), ..self }
    }

    /// It answers JSON of this shape.
    pub(in crate::admin) fn gives(self, shape: &'static str) -> Self {
        Self { gives: Gives::Shape(shape), ..self }
    }

    /// It answers JSON of this shape, or nothing where nothing is set.
    pub(in crate::admin) fn may_give(self, shape: &'static str) -> Self {
        Self { gives: Gives::Perhaps(shape), ..self }
    }

    /// It answers in this way.
    pub(in crate::admin) fn answers(self, gives: Gives) -> Self {
        Self { gives, ..self }
    }

    /// It may be refused with these statuses too.
    pub(in crate::admin) fn refuses(self, refuses: &'static [u16]) -> Self {
        Self { refuses, ..self }
    }
}
