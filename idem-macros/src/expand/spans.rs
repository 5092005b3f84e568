//! Spans and names of the expansion.

use proc_macro2::{Ident, Span, TokenStream};
use syn::spanned::Spanned;
use syn::{Expr, ExprReference, Token};

/// The span of the expansion's own names, which user code does not see.
pub(super) fn mixed() -> Span {
    Span::mixed_site()
}

/// Such a span for errors at `place`.
pub(super) fn mixed_at(place: Span) -> Span {
    mixed().located_at(place)
}

/// The first and the last span of tokens, the most that an error can mark on stable.
pub(super) fn outer_spans(place: &TokenStream) -> (Span, Span) {
    let mut tokens = place.clone().into_iter();
    let first = tokens.next().map_or_else(Span::call_site, |token| token.span());
    let last = tokens.last().map_or(first, |token| token.span());
    (first, last)
}

/// The name of an argument, in a span that hides the use of a `_name` from lints: the macro uses
/// it, not the user.
pub(super) fn without_underscore_lint(ident: &Ident) -> Ident {
    if ident.to_string().starts_with('_') {
        Ident::new(&ident.to_string(), Span::call_site().located_at(ident.span()))
    } else {
        ident.clone()
    }
}

pub(super) fn borrowed(expr: &Expr) -> Expr {
    Expr::Reference(ExprReference {
        attrs: Vec::new(),
        and_token: Token![&](mixed_at(expr.span())),
        mutability: None,
        expr: Box::new(expr.clone()),
    })
}
