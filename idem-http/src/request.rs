//! The name of the operation that a request asks for.

use std::borrow::Cow;

use axum::extract::MatchedPath;
use http::request::Parts;

/// The operation's name in metrics and spans: method and route. A path may hold ids, so without a route it is the method alone.
pub(crate) fn operation_name(request: &Parts) -> Cow<'static, str> {
    let method = request.method.as_str();
    Cow::Owned(match request.extensions.get::<MatchedPath>() {
        Some(route) => format!("{method} {}", route.as_str()),
        None => method.to_owned(),
    })
}
