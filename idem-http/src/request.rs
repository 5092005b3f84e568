//! The operation's name.

use std::borrow::Cow;

use axum::extract::MatchedPath;
use http::request::Parts;

/// The operation's name in metrics and spans: method and route, or the method alone without a
/// route, because a path may hold ids.
pub(crate) fn operation_name(request: &Parts) -> Cow<'static, str> {
    let method = request.method.as_str();
    Cow::Owned(match request.extensions.get::<MatchedPath>() {
        Some(route) => format!("{method} {}", route.as_str()),
        None => method.to_owned(),
    })
}
