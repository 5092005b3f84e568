//! What a body that outlives its caller may not have: arguments that are borrowed from it.
//!
//! A macro sees types as they are written, and an async function has to write all its lifetimes. Where another function need not
//! (`Cow<str>`), the compiler refuses the argument: see `require_owned`.

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
            let help = "take `self: Arc<Self>`, or annotate a function that is given clones of the fields it needs";
            Err(Problem::new(receiver, message, help))
        }
        FnArg::Typed(argument) if borrows(argument.ty.to_token_stream()) => {
            let help = "take the value itself: `String` instead of `&str`, `Vec<T>` instead of `&[T]`, an `Arc` or a clone of what is shared";
            Err(Problem::new(&argument.ty, message, help))
        }
        _ => Ok(()),
    }
}

/// Whether a reference, or a lifetime other than `'static`, is written in the type. What functions take is theirs: `fn(&str)`.
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

/// The lifetimes of `for<'a>` are the function's.
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
