//! A body that outlives its caller cannot borrow arguments from it.
//!
//! A macro sees types as written, and an async function writes all its lifetimes. Other functions
//! may elide them (`Cow<str>`); there the compiler refuses the argument: see `require_owned`.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{FnArg, Signature};

use crate::problem::{Problem, Problems};

/// Adds a problem for each argument that borrows.
pub(crate) fn check(sig: &Signature, problems: &mut Problems) {
    for input in &sig.inputs {
        problems.take(owned(input));
    }
}

fn owned(input: &FnArg) -> Result<(), Problem> {
    let message =
        "`on_cancel = \"finish\"` needs arguments that are owned: the body may outlive its caller";
    match input {
        FnArg::Receiver(receiver) if borrows(receiver.to_token_stream()) => {
            let help =
                "take `self: Arc<Self>`, or annotate a function that takes clones of the fields";
            Err(Problem::new(receiver, message, help))
        }
        FnArg::Typed(argument) if borrows(argument.ty.to_token_stream()) => {
            let help = "take the value itself: `String` instead of `&str`, `Vec<T>` instead of `&[T]`, an `Arc` or a clone of what is shared";
            Err(Problem::new(&argument.ty, message, help))
        }
        _ => Ok(()),
    }
}

/// Whether the type has a reference, or a lifetime other than `'static`. Arguments of function
/// types do not count: `fn(&str)`.
fn borrows(ty: TokenStream) -> bool {
    let mut tokens = ty.into_iter().peekable();
    let mut takes = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                let lifetime =
                    matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '\'');
                if !lifetime {
                    return true;
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                let is_static =
                    matches!(tokens.next(), Some(TokenTree::Ident(name)) if name == "static");
                if !is_static {
                    return true;
                }
            }
            TokenTree::Ident(name) if name == "for" => skip_generics(&mut tokens),
            TokenTree::Ident(name) => takes = is_function(&name),
            TokenTree::Group(group) => {
                let is_signature = takes && group.delimiter() == Delimiter::Parenthesis;
                if !is_signature && borrows(group.stream()) {
                    return true;
                }
                takes = false;
            }
            _ => {}
        }
    }
    false
}

fn is_function(name: &Ident) -> bool {
    ["fn", "Fn", "FnMut", "FnOnce", "AsyncFn", "AsyncFnMut", "AsyncFnOnce"]
        .iter()
        .any(|function| name == function)
}

/// Skips `for<'a>`: these lifetimes belong to the function type.
fn skip_generics(tokens: &mut impl Iterator<Item = TokenTree>) {
    for token in tokens {
        if matches!(token, TokenTree::Punct(punct) if punct.as_char() == '>') {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_borrowed_is_seen_wherever_it_is_written() {
        for borrowed in [
            "&str",
            "& 'a str",
            "&mut T",
            "Option<&Order>",
            "(u64, &[u8])",
            "[&str; 2]",
            "Cow<'_, str>",
            "Box<dyn Send + 'a>",
            "Vec<Box<dyn Fn(u32) -> &'a str>>",
            "Pin<&mut Self>",
        ] {
            assert!(borrows(borrowed.parse().unwrap()), "{borrowed}");
        }
        for owned in [
            "String",
            "Arc<Self>",
            "&'static str",
            "Cow<'static, str>",
            "Box<dyn Send + 'static>",
            "fn(&str) -> u64",
            "Box<dyn for<'a> Fn(&'a str) + Send>",
            "impl FnOnce(&mut Order) + Send + 'static",
        ] {
            assert!(!borrows(owned.parse().unwrap()), "{owned}");
        }
    }
}
