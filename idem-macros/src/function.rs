//! First pass: the function, as written.
//!
//! The body stays a token stream, so that syntax which only the compiler knows is no obstacle.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::format_ident;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, FnArg, Pat, Signature, Token, Visibility};

use crate::placeholder::bindings;
use crate::problem::{Problem, Problems};
use crate::wrapper::{self, Wrapper};

pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) defaultness: Option<Token![default]>,
    pub(crate) sig: Signature,
    /// In braces; none in a trait's declaration.
    pub(crate) body: Option<Group>,
}

/// An argument other than `self`.
pub(crate) struct Argument {
    /// The name of the whole value in the expansion: its own, or a fresh one for a pattern.
    pub(crate) ident: Ident,
    /// The pattern that the body expects, if it is more than a name.
    pub(crate) pattern: Option<Pat>,
    /// The names that the body sees.
    pub(crate) names: Vec<Ident>,
    /// `cfg` attributes, which every mention of the argument repeats.
    pub(crate) cfgs: Vec<Attribute>,
    /// How to find its content, if it may be a wrapper.
    pub(crate) wrapper: Option<Wrapper>,
}

pub(crate) fn parse(tokens: TokenStream, problems: &mut Problems) -> Option<Function> {
    let parsed = function.parse2(tokens.clone()).map_err(|_| {
        let help =
            "put it on an async function or method; on an `impl` block, annotate its methods";
        Problem::new(tokens, "`#[idempotent]` goes on a function", help)
    });
    problems.take(parsed)
}

fn function(input: ParseStream<'_>) -> syn::Result<Function> {
    let mut attrs = input.call(Attribute::parse_outer)?;
    let vis = input.parse()?;
    let defaultness = input.parse()?;
    let sig = input.parse()?;
    let body = if input.parse::<Option<Token![;]>>()?.is_some() {
        None
    } else {
        let TokenTree::Group(group) = input.parse()? else {
            return Err(input.error("expected a body"));
        };
        let (inner, body) = split_inner_attributes(&group)?;
        attrs.extend(inner);
        Some(body)
    };
    if !input.is_empty() {
        return Err(input.error("expected the end of the function"));
    }
    Ok(Function { attrs, vis, defaultness, sig, body })
}

/// Moves `#![…]` from the head of the body to the front of the function: a block inside cannot have
/// them.
fn split_inner_attributes(body: &Group) -> syn::Result<(Vec<Attribute>, Group)> {
    let split = |input: ParseStream<'_>| {
        let attrs = input.call(Attribute::parse_inner)?;
        Ok((attrs, input.parse::<TokenStream>()?))
    };
    let (mut attrs, rest) = split.parse2(body.stream())?;
    if attrs.is_empty() {
        return Ok((attrs, body.clone()));
    }
    for attr in &mut attrs {
        attr.style = syn::AttrStyle::Outer;
    }
    let mut group = Group::new(Delimiter::Brace, rest);
    group.set_span(body.span());
    Ok((attrs, group))
}

/// The arguments of `sig` other than `self`. In `sig` a name takes the place of each pattern.
pub(crate) fn name_arguments(sig: &mut Signature) -> Vec<Argument> {
    let typed = sig.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Receiver(_) => None,
        FnArg::Typed(typed) => Some(typed),
    });
    typed
        .enumerate()
        .map(|(index, typed)| {
            let cfgs = typed.attrs.iter().filter(|attr| is_cfg(attr)).cloned().collect();
            let wrapper = wrapper::of_argument(&typed.pat, &typed.ty);
            if let Some(ident) = plain_name(&typed.pat) {
                let names = vec![ident.clone()];
                return Argument { ident: ident.clone(), pattern: None, names, cfgs, wrapper };
            }
            let span = Span::mixed_site().located_at(syn::spanned::Spanned::span(&typed.pat));
            let ident = format_ident!("__idem_arg_{index}", span = span);
            let name: Pat = Pat::Ident(syn::PatIdent {
                attrs: Vec::new(),
                by_ref: None,
                mutability: None,
                ident: ident.clone(),
                subpat: None,
            });
            let pattern = std::mem::replace(&mut *typed.pat, name);
            let names = bindings(&pattern);
            Argument { ident, pattern: Some(pattern), names, cfgs, wrapper }
        })
        .collect()
}

/// `name` or `mut name`.
fn plain_name(pattern: &Pat) -> Option<&Ident> {
    match pattern {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => Some(&name.ident),
        _ => None,
    }
}

fn is_cfg(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr")
}
