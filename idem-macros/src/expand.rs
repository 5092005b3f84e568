//! Third pass: the function with its body wrapped.
//!
//! Key and fingerprint are owned values, computed before the body can move or change the arguments. A replay
//! never polls the body's future. User code and expansion do not see each other's local names (`mixed_site`);
//! paths are absolute, and nothing relies on a prelude.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprReference, LitStr, Token};

use crate::args::{Codec, OnCancel, OnCrash, OnError, Time};
use crate::function::{Argument, Function};
use crate::placeholder::{by_reference, names};
use crate::returned::Returned;
use crate::shape::{self, Shape};
use crate::validate::{Body, Key, Part, Plan};
use crate::wrapper::Wrapper;

/// The user's function, with the same signature.
pub(crate) fn expand(plan: &Plan) -> TokenStream {
    let Function { attrs, vis, defaultness, sig, .. } = &plan.function;
    let facade = &plan.facade;
    let inputs = inputs(plan);
    let parts = destructure_args(plan);
    let rest = match &plan.body {
        Body::Whole(block) => {
            let body = body_future(plan, &parts, block);
            call(plan, &body)
        }
        Body::Tail(tail) => {
            let statements = tail.replace(|block| {
                let mut braced = Group::new(Delimiter::Brace, quote_all(&block.stmts));
                braced.set_span(block.span());
                let body = body_future(plan, &TokenStream::new(), &braced);
                // The user's braces: the span at which an inner attribute, such as `#[instrument(err)]`, adds names.
                let mut called = Group::new(Delimiter::Brace, call(plan, &body));
                called.set_span(block.brace_token.span.join());
                quote_spanned!(mixed()=> async move #called)
            });
            quote!(#parts #(#statements)*)
        }
    };
    // One import, so that a missing facade is one error.
    let import = quote_spanned!(mixed()=> use #facade::__private as __idem_private;);
    // The user's braces, because lints on whole functions look at them.
    let mut block = Group::new(Delimiter::Brace, quote!(#import #inputs #rest));
    block.set_span(plan.function.body.as_ref().map_or_else(Span::call_site, Group::span));
    quote!(#(#attrs)* #vis #defaultness #sig #block)
}

/// The values computed from the arguments before the body moves them.
fn inputs(plan: &Plan) -> TokenStream {
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
    let times = times(plan).filter_map(|(name, time)| match time {
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
    if !outlives_caller(plan) {
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

fn outlives_caller(plan: &Plan) -> bool {
    matches!(plan.args.on_cancel, OnCancel::Finish)
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

/// The name of an argument, in a span that hides the use of a `_name` from lints: the macro uses it, not the
/// user.
fn without_underscore_lint(ident: &Ident) -> Ident {
    if ident.to_string().starts_with('_') {
        Ident::new(&ident.to_string(), Span::call_site().located_at(ident.span()))
    } else {
        ident.clone()
    }
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
            let heads: Vec<_> = parts
                .iter()
                .filter_map(|part| match part {
                    Part::Literal(_) => None,
                    Part::Value { head, .. } => Some(head.clone()),
                })
                .collect();
            with_parts(plan, &heads, template(parts, *span))
        }
    };
    quote_spanned!(mixed()=> let __idem_key = #key;)
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

/// `let` statements that bind the patterns' names for the body.
fn destructure_args(plan: &Plan) -> TokenStream {
    let patterns = plan.arguments.iter().filter_map(|Argument { ident, pattern, cfgs, .. }| {
        let pattern = pattern.as_ref()?;
        Some(quote_spanned!(mixed()=> #(#cfgs)* let #pattern = #ident;))
    });
    quote!(#(#patterns)*)
}

/// The body as a future.
fn body_future(plan: &Plan, parts: &TokenStream, block: &Group) -> TokenStream {
    let result = &plan.returned.result;
    // Gives the compiler the block's type before it checks the block, as a signature does.
    let fake = quote_spanned! {mixed_at(result.span())=>
        if false { return __idem_private::fake_return::<#result>(); }
    };
    // The expansion's own braces silence lints about braces, and only these.
    let mut body = Group::new(Delimiter::Brace, block.stream());
    body.set_span(mixed_at(block.span()));
    quote_spanned!(mixed()=> async move { #fake #parts #body })
}

/// The call into the runtime, behind the requirements, which report missing bounds at the user's types.
fn call(plan: &Plan, body: &TokenStream) -> TokenStream {
    let requirements = requirements(plan);
    let operation = operation(plan);
    let result = &plan.returned.result;
    if let Some(tx) = &plan.tx {
        let within = call_within(tx, &operation, result, body);
        return quote!(#requirements #within);
    }
    let run = if outlives_caller(plan) { "finish" } else { "run" };
    let run = quote::format_ident!("{run}", span = mixed_at(plan.function.sig.ident.span()));
    // In a block, because a borrow that lives at the `.await` would be part of the future.
    quote_spanned! {mixed()=>
        #requirements
        let __idem_call = {
            let __idem_operation = #operation;
            __idem_private::Callable::<#result, _, _>::of(&__idem_operation, &__idem_form)
                .#run(__idem_operation, __idem_form, #body)
        };
        __idem_call.await
    }
}

/// The call in a transaction: two calls into the runtime with the body between them, which borrows the
/// transaction from the expansion.
fn call_within(
    tx: &Ident,
    operation: &TokenStream,
    result: &TokenStream,
    body: &TokenStream,
) -> TokenStream {
    let span = mixed_at(tx.span());
    let require = quote_spanned!(span=> __idem_private::require_transaction(&*#tx););
    quote_spanned! {mixed()=>
        #require
        let __idem_operation = #operation;
        let __idem_call = __idem_private::CallableWithin::<#result, _, _, _>::of(
            &__idem_operation,
            &__idem_form,
            &*#tx,
        );
        match __idem_call.begin(__idem_operation, __idem_form, &mut *#tx).await {
            __idem_private::ControlFlow::Break(__idem_result) => __idem_result,
            __idem_private::ControlFlow::Continue(mut __idem_running) => {
                let __idem_result = {
                    let #tx = &mut *#tx;
                    __idem_running.body(#body).await
                };
                __idem_running.end(#tx, __idem_result).await
            }
        }
    }
}

fn requirements(plan: &Plan) -> TokenStream {
    let Returned { result, value, error, shape } = &plan.returned;
    let whole = require("result", result, result);
    let form = form(value, &value_type(plan), result, shape);
    let storable = quote_spanned!(mixed()=> let __idem_form = #form;);
    let replayable = matches!(plan.args.on_error, OnError::Replay)
        .then(|| require("replayed_error", error, &error_type(plan)));
    let convertible =
        plan.args.map_err.is_none().then(|| require("error", error, &error_type(plan)));
    let sent = outlives_caller(plan).then(|| {
        let value = require("sent", value, &value_type(plan));
        let error = require("sent", error, &error_type(plan));
        quote!(#value #error)
    });
    quote!(#whole #storable #replayable #convertible #sent)
}

/// The form in which the value `ty` of a `result` is stored; `place` is the span of an error.
fn form(place: &TokenStream, ty: &TokenStream, result: &TokenStream, shape: &Shape) -> TokenStream {
    let hint = match shape {
        Shape::Plain => quote!(()),
        Shape::Json(path, content) => quote_spanned! {mixed()=> {
            use __idem_private::wrapper::*;
            use #path as __IdemWrapper;
            __idem_field::<__IdemWrapper<#content>, _, _>(
                __IdemWrapper::<#content>,
                |__IdemWrapper::<#content>(__idem_held)| __idem_held,
            )
        }},
        Shape::Inside(part) => {
            let form = form_of_part(part);
            quote_spanned!(mixed()=> __idem_private::Inside(#form))
        }
        Shape::Tuple(parts) => {
            let forms = parts.iter().map(form_of_part);
            quote_spanned!(mixed()=> (#(#forms,)*))
        }
    };
    let (first, _) = outer_spans(place);
    let stored_as = quote::format_ident!("stored_as", span = mixed_at(first));
    quote_spanned! {mixed_at(first)=>
        __idem_private::#stored_as::<#ty, _>(
            __idem_private::Value::<#result, _>::new(#hint).stored_as(),
        )
    }
}

fn form_of_part(shape::Part { ty, shape }: &shape::Part) -> TokenStream {
    let result = quote_spanned!(mixed()=> __idem_private::Part<#ty>);
    form(ty, ty, &result, shape)
}

/// A call of `require_…` for `ty`, reported at `place`.
fn require(what: &str, place: &TokenStream, ty: &TokenStream) -> TokenStream {
    let (first, _) = outer_spans(place);
    let function = quote::format_ident!("require_{what}", span = mixed_at(first));
    quote_spanned!(mixed_at(first)=> __idem_private::#function::<#ty>();)
}

fn operation(plan: &Plan) -> TokenStream {
    let name = &plan.name;
    let args = &plan.args;
    let result = &plan.returned.result;
    let error = error_type(plan);
    let handle = if args.with.is_some() {
        quote_spanned!(mixed()=> __idem_handle)
    } else {
        quote_spanned!(mixed()=> __idem_private::handle())
    };
    let tenant = args.tenant.as_ref().map(|_| quote_spanned!(mixed()=> .tenant(__idem_tenant)));
    let times = times(plan).map(|(name, time)| {
        let option = quote::format_ident!("{name}", span = mixed());
        let duration = match time {
            Time::Known { duration, .. } => {
                let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
                quote_spanned!(mixed()=> __idem_private::Duration::new(#seconds, #nanos))
            }
            Time::Computed(_) => {
                quote::format_ident!("__idem_{name}", span = mixed()).into_token_stream()
            }
        };
        quote_spanned!(mixed()=> .#option(#duration))
    });
    let on_crash = match args.on_crash {
        OnCrash::Retry => TokenStream::new(),
        OnCrash::Park => {
            quote_spanned!(mixed()=> .on_crash(__idem_private::CrashPolicy::Park))
        }
    };
    let on_cancel = outlives_caller(plan).then(|| quote_spanned!(mixed()=> .finish_on_cancel()));
    let codec = args.codec.as_ref().map(|codec| match codec {
        Codec::Json => quote_spanned!(mixed()=> .codec(__idem_private::Json)),
        Codec::MsgPack => quote_spanned!(mixed()=> .codec(__idem_private::MsgPack)),
        Codec::Custom(expr) => quote_spanned!(mixed()=> .codec(#expr)),
    });
    let errors = match args.on_error {
        OnError::Store => quote_spanned! {mixed()=>
            __idem_private::StoreErrorsAs(__idem_private::ErrorText::<#result>::new().function())
        },
        OnError::Replay => quote_spanned!(mixed()=> __idem_private::ReplayErrors),
        OnError::Release => quote_spanned!(mixed()=> __idem_private::ReleaseErrors),
    };
    let retry_if = args.retry_if.as_ref().map(|matches| {
        quote_spanned!(mixed()=> .retry_if(__idem_private::predicate::<#error, _>(#matches)))
    });
    let value = value_type(plan);
    let store_if = args.store_if.as_ref().map(|keeps| {
        quote_spanned! {mixed()=>
            .store_if(__idem_private::store_if::<#value, _, _>(__idem_form, #keeps))
        }
    });
    let map_err = args.map_err.as_ref().map(
        |map| quote_spanned!(mixed()=> .map_err(__idem_private::error_map::<#error, _>(#map))),
    );
    quote_spanned! {mixed()=>
        __idem_private::operation(#handle, #name, __idem_fingerprint)
            .key(__idem_key)
            #tenant #(#times)* #on_crash #codec
            .errors(#errors) #retry_if #store_if #map_err #on_cancel
    }
}

/// `T` of a `Result<T, E>` or of an alias of one.
fn value_type(plan: &Plan) -> TokenStream {
    part_of_result(&plan.returned.result, &plan.returned.value, "Value")
}

/// `E` of a `Result<T, E>` or of an alias of one.
fn error_type(plan: &Plan) -> TokenStream {
    part_of_result(&plan.returned.result, &plan.returned.error, "Error")
}

fn part_of_result(result: &TokenStream, place: &TokenStream, part: &str) -> TokenStream {
    let (first, last) = outer_spans(place);
    let part = quote::format_ident!("{part}", span = mixed_at(last));
    quote_spanned!(mixed_at(first)=> <#result as __idem_private::Returned>::#part)
}

/// The first and the last span of tokens, the most that an error can mark on stable.
fn outer_spans(place: &TokenStream) -> (Span, Span) {
    let mut tokens = place.clone().into_iter();
    let first = tokens.next().map_or_else(Span::call_site, |token| token.span());
    let last = tokens.last().map_or(first, |token| token.span());
    (first, last)
}

fn times(plan: &Plan) -> impl Iterator<Item = (&'static str, &Time)> {
    let args = &plan.args;
    [("ttl", &args.ttl), ("lease", &args.lease), ("wait", &args.wait)]
        .into_iter()
        .filter_map(|(name, time)| Some((name, time.as_ref()?)))
}

fn borrowed(expr: &Expr) -> Expr {
    Expr::Reference(ExprReference {
        attrs: Vec::new(),
        and_token: Token![&](mixed_at(expr.span())),
        mutability: None,
        expr: Box::new(expr.clone()),
    })
}

fn quote_all(tokens: &[impl ToTokens]) -> TokenStream {
    quote!(#(#tokens)*)
}

/// The span of the expansion's own names, which user code does not see.
fn mixed() -> Span {
    Span::mixed_site()
}

/// Such a span for errors at `place`.
fn mixed_at(place: Span) -> Span {
    mixed().located_at(place)
}
