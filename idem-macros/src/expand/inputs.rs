//! The values that are computed from the arguments before the body moves them: key, fingerprint and
//! options.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::LitStr;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::spans::{borrowed, mixed, mixed_at, without_underscore_lint};
use crate::args::Time;
use crate::function::Argument;
use crate::placeholder::{by_reference, names};
use crate::validate::{Key, Part, Plan};
use crate::wrapper::Wrapper;

/// The values computed from the arguments before the body moves them.
pub(super) fn inputs(plan: &Plan) -> TokenStream {
    let fingerprint = fingerprint(plan);
    let key = key(plan);
    let tenant = plan.args.tenant.as_ref().map(|tenant| {
        let value = borrowed(tenant);
        let value = quote_spanned!(mixed()=> __idem_private::tenant(#value));
        let value = with_parts(plan, &names(tenant), value);
        quote_spanned!(mixed()=> let __idem_tenant = #value;)
    });
    let handle = plan.args.with.as_ref().map(|handle| {
        let value = borrowed(handle);
        let value = quote_spanned!(mixed()=> __idem_private::handle_of(#value));
        let value = with_parts(plan, &names(handle), value);
        quote_spanned!(mixed()=> let __idem_handle = #value;)
    });
    let times = plan.args.times().filter_map(|(name, time)| match time {
        Time::Known { .. } => None,
        Time::Computed(expr) => {
            let local = quote::format_ident!("__idem_{name}", span = mixed());
            let value = with_parts(plan, &names(expr), expr.to_token_stream());
            Some(quote_spanned!(mixed()=> let #local: __idem_private::Duration = #value;))
        }
    });
    let owned = owned(plan);
    quote!(#owned #fingerprint #key #tenant #handle #(#times)*)
}

/// Requires arguments that may outlive the caller.
fn owned(plan: &Plan) -> TokenStream {
    if !plan.outlives_caller() {
        return TokenStream::new();
    }
    let arguments = plan.arguments.iter().map(|Argument { ident, pattern, cfgs, .. }| {
        let span = mixed_at(ident.span());
        let ident = if pattern.is_none() { without_underscore_lint(ident) } else { ident.clone() };
        quote_spanned!(span=> #(#cfgs)* __idem_private::require_owned(&#ident);)
    });
    let receiver = plan.receiver.map(|receiver| {
        quote_spanned!(mixed_at(receiver.span)=> __idem_private::require_owned(&#receiver);)
    });
    quote!(#receiver #(#arguments)*)
}

fn fingerprint(plan: &Plan) -> TokenStream {
    let begin = identity(plan);
    let hashed = plan.hashed.iter().map(|&index| hashed(&plan.arguments[index]));
    quote_spanned! {mixed()=>
        let __idem_arguments = #begin;
        #(#hashed)*
        let __idem_fingerprint = __idem_arguments.finish();
    }
}

/// Adds an argument to the fingerprint.
fn hashed(Argument { ident, pattern, cfgs, wrapper, .. }: &Argument) -> TokenStream {
    // An argument that cannot be hashed is reported here.
    let content = wrapper.as_ref().and_then(|wrapper| wrapper.pattern.as_ref());
    let span = mixed_at(content.map_or_else(|| ident.span(), |(_, content)| *content));
    let ident = if pattern.is_none() { without_underscore_lint(ident) } else { ident.clone() };
    let added = match wrapper {
        None => quote_spanned!(span=> __idem_arguments.arg(&#ident)),
        Some(Wrapper { pattern, is_state }) => {
            let (let_held, held) = match pattern {
                Some((path, _)) => (
                    quote_spanned!(span=> let #path(__idem_held) = &#ident;),
                    quote_spanned!(span=> __idem_held),
                ),
                None => (TokenStream::new(), quote_spanned!(span=> __idem_private::Opaque)),
            };
            let role = quote::format_ident!("{}", if *is_state { "State" } else { "Input" });
            quote_spanned! {span=> {
                #let_held
                __idem_private::Subject::of(&#ident, #held, __idem_private::#role)
                    .add_to(__idem_arguments)
            }}
        }
    };
    quote_spanned!(span=> #(#cfgs)* let __idem_arguments = #added;)
}

/// The operation in the fingerprint: its name, and the instance of a generic function.
fn identity(plan: &Plan) -> TokenStream {
    let name = identity_name(plan);
    if let Some(instance) = &plan.args.instance {
        let span = mixed_at(instance.span());
        let instance = borrowed(instance);
        return quote_spanned!(span=> __idem_private::Arguments::of_instance(#name, #instance));
    }
    let function = function_name(plan);
    quote_spanned! {mixed()=>
        __idem_private::Arguments::new(
            #name,
            __idem_private::instance(::core::module_path!(), #function, &|| {}),
        )
    }
}

/// The option `name`, or the function's path.
fn identity_name(plan: &Plan) -> TokenStream {
    if let Some(name) = &plan.args.name {
        return name.to_token_stream();
    }
    let function = function_name(plan);
    quote_spanned!(mixed()=> ::core::concat!(::core::module_path!(), "::", #function))
}

fn function_name(plan: &Plan) -> LitStr {
    LitStr::new(&plan.function.sig.ident.unraw().to_string(), mixed())
}

fn key(plan: &Plan) -> TokenStream {
    let key = match &plan.key {
        Key::Path => {
            let name = identity_name(plan);
            quote_spanned!(mixed()=> __idem_private::prefixed_key(#name, &__idem_fingerprint))
        }
        Key::Prefix(prefix) => {
            quote_spanned!(mixed()=> __idem_private::prefixed_key(#prefix, &__idem_fingerprint))
        }
        Key::Template { parts, span } => {
            let heads: Vec<_> = heads(parts).cloned().collect();
            with_parts(plan, &heads, template(parts, *span))
        }
    };
    quote_spanned!(mixed()=> let __idem_key = #key;)
}

/// The arguments that a template names.
fn heads(parts: &[Part]) -> impl Iterator<Item = &Ident> {
    parts.iter().filter_map(|part| match part {
        Part::Literal(_) => None,
        Part::Value { head, .. } => Some(head),
    })
}

fn template(parts: &[Part], literal: Span) -> TokenStream {
    let span = mixed_at(literal);
    let capacity: usize = parts.iter().map(expected_len).sum();
    let calls = parts.iter().map(|part| match part {
        Part::Literal(text) => quote_spanned!(span=> .literal(#text)),
        Part::Value { text, value, .. } => quote_spanned!(span=> .value(#text, &#value)),
    });
    quote_spanned!(span=> __idem_private::Template::new(#capacity) #(#calls)* .finish())
}

/// The length of a literal, or of a typical id with its parentheses.
fn expected_len(part: &Part) -> usize {
    match part {
        Part::Literal(text) => text.len(),
        Part::Value { .. } => 26,
    }
}

/// The names in the options that are computed from the arguments.
pub(super) fn names_in_options(plan: &Plan) -> Vec<Ident> {
    let key = match &plan.key {
        Key::Template { parts, .. } => heads(parts).cloned().collect(),
        Key::Path | Key::Prefix(_) => Vec::new(),
    };
    let times = plan.args.times().filter_map(|(_, time)| match time {
        Time::Known { .. } => None,
        Time::Computed(expr) => Some(names(expr)),
    });
    let tenant = plan.args.tenant.as_ref().map(names);
    let handle = plan.args.with.as_ref().map(names);
    times.chain(tenant).chain(handle).flatten().chain(key).collect()
}

/// `value` behind `let` statements that bind the names of patterns that it uses, by reference.
fn with_parts(plan: &Plan, needed: &[Ident], value: TokenStream) -> TokenStream {
    let patterns =
        plan.arguments.iter().filter_map(|Argument { ident, pattern, names, cfgs, .. }| {
            let pattern =
                pattern.as_ref().filter(|_| names.iter().any(|name| needed.contains(name)))?;
            let pattern = by_reference(pattern, needed);
            Some(quote_spanned!(mixed()=> #(#cfgs)* let #pattern = &#ident;))
        });
    let patterns = quote!(#(#patterns)*);
    if patterns.is_empty() { value } else { quote_spanned!(mixed()=> { #patterns #value }) }
}
