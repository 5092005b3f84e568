//! Third pass: the function with its body wrapped.
//!
//! Key and fingerprint are owned values, computed before the body may move or change the arguments. The body is a future
//! that a replay never polls. Names of the expansion's own are out of sight of the user's code and the other way round
//! (`mixed_site`); paths are absolute, and nothing relies on a prelude.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprReference, LitStr, Token};

use crate::args::{Codec, OnCancel, OnCrash, OnError, Time};
use crate::function::{Argument, Function};
use crate::placeholder::{by_reference, names};
use crate::returned::Returned;
use crate::validate::{Body, Key, Part, Plan};

/// The user's function, with the same signature.
pub(crate) fn expand(plan: &Plan) -> TokenStream {
    let Function { attrs, vis, defaultness, sig, .. } = &plan.function;
    let facade = &plan.facade;
    let inputs = inputs(plan);
    let parts = taken_apart(plan);
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
                // The user's braces: an attribute further in, such as `#[instrument(err)]`, names things where they are.
                let mut called = Group::new(Delimiter::Brace, call(plan, &body));
                called.set_span(block.brace_token.span.join());
                quote_spanned!(mixed()=> async move #called)
            });
            quote!(#parts #(#statements)*)
        }
    };
    // One import, so that a facade that is not there is one error.
    let import = quote_spanned!(mixed()=> use #facade::__private as __idem_private;);
    // The user's braces: lints that look at the whole function see the user's and not the macro's.
    let mut block = Group::new(Delimiter::Brace, quote!(#import #inputs #rest));
    block.set_span(plan.function.body.as_ref().map_or_else(Span::call_site, Group::span));
    quote!(#(#attrs)* #vis #defaultness #sig #block)
}

/// What is computed from the arguments while they are all there.
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

/// Asks for arguments that a body may keep when its caller is dropped.
fn owned(plan: &Plan) -> TokenStream {
    if !outlives_caller(plan) {
        return TokenStream::new();
    }
    let arguments = plan.arguments.iter().map(|Argument { ident, pattern, cfgs, .. }| {
        let at = mixed_at(ident.span());
        let ident = if pattern.is_none() { used_silently(ident) } else { ident.clone() };
        quote_spanned!(at=> #(#cfgs)* __idem_private::require_owned(&#ident);)
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
    let hashed = plan.hashed.iter().map(|&index| {
        let Argument { ident, pattern, cfgs, .. } = &plan.arguments[index];
        // The place where an argument that cannot be hashed is reported.
        let at = mixed_at(ident.span());
        let ident = if pattern.is_none() { used_silently(ident) } else { ident.clone() };
        quote_spanned! {at=>
            #(#cfgs)* let __idem_arguments = __idem_arguments.arg(&#ident);
        }
    });
    quote_spanned! {mixed()=>
        let __idem_arguments = #begin;
        #(#hashed)*
        let __idem_fingerprint = __idem_arguments.finish();
    }
}

/// Which operation the fingerprint is of: its name, and what tells the instances of the function apart.
fn identity(plan: &Plan) -> TokenStream {
    let name = identity_name(plan);
    if let Some(instance) = &plan.args.instance {
        let at = mixed_at(instance.span());
        let instance = borrowed(instance);
        return quote_spanned!(at=> __idem_private::Arguments::of_instance(#name, #instance));
    }
    let function = function_name(plan);
    quote_spanned! {mixed()=>
        __idem_private::Arguments::new(
            #name,
            __idem_private::instance(::core::module_path!(), #function, &|| {}),
        )
    }
}

/// The name that the user has given, or the function's path.
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

/// An argument `_name` is hashed, but it is not the user who uses it: to lints it has to look like the macro.
fn used_silently(ident: &Ident) -> Ident {
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

/// `value` where the parts of pattern arguments that it names are there, by reference.
fn with_parts(plan: &Plan, needed: &[Ident], value: TokenStream) -> TokenStream {
    let patterns = plan.arguments.iter().filter_map(|Argument { ident, pattern, names, cfgs }| {
        let pattern =
            pattern.as_ref().filter(|_| names.iter().any(|name| needed.contains(name)))?;
        let pattern = by_reference(pattern, needed);
        Some(quote_spanned!(mixed()=> #(#cfgs)* let #pattern = &#ident;))
    });
    let patterns = quote!(#(#patterns)*);
    if patterns.is_empty() { value } else { quote_spanned!(mixed()=> { #patterns #value }) }
}

fn template(parts: &[Part], span: Span) -> TokenStream {
    let at = mixed_at(span);
    let capacity: usize = parts.iter().map(expected_len).sum();
    let calls = parts.iter().map(|part| match part {
        Part::Literal(text) => quote_spanned!(at=> .literal(#text)),
        Part::Value { text, value, .. } => quote_spanned!(at=> .value(#text, &#value)),
    });
    quote_spanned!(at=> __idem_private::Template::new(#capacity) #(#calls)* .finish())
}

/// Room for a literal, or for an id in text and the parentheses around it.
fn expected_len(part: &Part) -> usize {
    match part {
        Part::Literal(text) => text.len(),
        Part::Value { .. } => 26,
    }
}

/// `let` statements that give the body the names of its patterns.
fn taken_apart(plan: &Plan) -> TokenStream {
    let patterns = plan.arguments.iter().filter_map(|Argument { ident, pattern, cfgs, .. }| {
        let pattern = pattern.as_ref()?;
        Some(quote_spanned!(mixed()=> #(#cfgs)* let #pattern = #ident;))
    });
    quote!(#(#patterns)*)
}

/// The body as a future.
fn body_future(plan: &Plan, parts: &TokenStream, block: &Group) -> TokenStream {
    let result = &plan.returned.result;
    // Tells the compiler what the block returns before it looks at it, as a signature would.
    let fake = quote_spanned! {mixed_at(result.span())=>
        if false { return __idem_private::fake_return::<#result>(); }
    };
    // Braces of the expansion's own, so that lints about braces are silent and those about the content are not.
    let mut body = Group::new(Delimiter::Brace, block.stream());
    body.set_span(mixed_at(block.span()));
    quote_spanned!(mixed()=> async move { #fake #parts #body })
}

/// The one call into the runtime, after what it needs has been asked for where the user can see what is missing.
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
    // In a block of its own: what is borrowed and still there at the `.await` would be a part of the future.
    quote_spanned! {mixed()=>
        #requirements
        let __idem_call = {
            let __idem_operation = #operation;
            __idem_private::Call::<#result, _>::of(&__idem_operation)
                .#run(__idem_operation, #body)
        };
        __idem_call.await
    }
}

/// Likewise, in two calls with the body between them, which borrows the transaction from the expansion.
fn call_within(
    tx: &Ident,
    operation: &TokenStream,
    result: &TokenStream,
    body: &TokenStream,
) -> TokenStream {
    let at = mixed_at(tx.span());
    let require = quote_spanned!(at=> __idem_private::require_transaction(&*#tx););
    quote_spanned! {mixed()=>
        #require
        let __idem_operation = #operation;
        let __idem_call =
            __idem_private::CallWithin::<#result, _, _>::of(&__idem_operation, &*#tx);
        match __idem_call.begin(__idem_operation, &mut *#tx).await {
            __idem_private::Turn::Ended(__idem_result) => __idem_result,
            __idem_private::Turn::Run(mut __idem_running) => {
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
    let Returned { result, value, error } = &plan.returned;
    let whole = require("result", result, result);
    let storable = require("value", value, &value_type(plan));
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

/// A call of `require_…` for `ty`, reported at `place`.
fn require(what: &str, place: &TokenStream, ty: &TokenStream) -> TokenStream {
    let (first, _) = ends(place);
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
    let store_if = args.store_if.as_ref().map(|keeps| {
        quote_spanned! {mixed()=>
            .store_if(__idem_private::Stored::<#result>::new().predicate(#keeps))
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

/// `T` of the `Result<T, E>`, which may be an alias.
fn value_type(plan: &Plan) -> TokenStream {
    part_of_result(&plan.returned.result, &plan.returned.value, "Value")
}

/// `E` of the `Result<T, E>`, which may be an alias.
fn error_type(plan: &Plan) -> TokenStream {
    part_of_result(&plan.returned.result, &plan.returned.error, "Error")
}

fn part_of_result(result: &TokenStream, place: &TokenStream, part: &str) -> TokenStream {
    let (first, last) = ends(place);
    let part = quote::format_ident!("{part}", span = mixed_at(last));
    quote_spanned!(mixed_at(first)=> <#result as __idem_private::Returned>::#part)
}

/// The first and the last span of tokens: on stable, all of what an error can mark.
fn ends(place: &TokenStream) -> (Span, Span) {
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

/// Locals of the expansion are not those of the user.
fn mixed() -> Span {
    Span::mixed_site()
}

/// Likewise, but reported at `place`.
fn mixed_at(place: Span) -> Span {
    mixed().located_at(place)
}
