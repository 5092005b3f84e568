//! Who sends a request.

use std::fmt;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::refusal::Refusal;

/// The account that a request acts for; the layer's principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account(String);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lets requests in that have an API key. Every `sk_test_NAME` is the one of the account NAME: this is an example.
pub(crate) async fn authenticate(mut request: Request, next: Next) -> Response {
    let Some(account) = account(request.headers()) else {
        return Refusal::Unauthenticated.into_response();
    };
    request.extensions_mut().insert(account);
    next.run(request).await
}

fn account(headers: &HeaderMap) -> Option<Account> {
    let credentials = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let name = credentials.strip_prefix("Bearer ")?.strip_prefix("sk_test_")?;
    let is_name = (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then(|| Account(name.to_owned()))
}
