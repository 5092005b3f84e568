//! Third pass: the function with its body wrapped.
//!
//! Key and fingerprint are owned values, computed before the body can move or change the arguments.
//! A replay never polls the body's future. User code and expansion do not see each other's local
//! names (`mixed_site`); paths are absolute, and nothing relies on a prelude.

mod bounds;
mod inputs;
mod operation;
mod spans;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::function::{Argument, Function};
use crate::validate::{Body, Plan};
use bounds::requirements;
use inputs::{inputs, names_in_options};
use operation::operation;
use spans::{mixed, mixed_at};

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
                // The user's braces: the span at which an inner attribute, such as
                // `#[instrument(err)]`, adds names.
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

/// `let` statements that bind the patterns' names for the body. A name in an option counts as used,
/// as a plain argument does.
fn destructure_args(plan: &Plan) -> TokenStream {
    let in_options = names_in_options(plan);
    let patterns = plan.arguments.iter().filter_map(|argument| {
        let Argument { ident, pattern, names, cfgs, .. } = argument;
        let pattern = pattern.as_ref()?;
        let used = names.iter().filter(|name| in_options.contains(name));
        let used = used.map(|name| quote_spanned!(mixed()=> #(#cfgs)* let _ = &#name;));
        Some(quote_spanned!(mixed()=> #(#cfgs)* let #pattern = #ident; #(#used)*))
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

/// The call into the runtime, behind the requirements, which report missing bounds at the user's
/// types.
fn call(plan: &Plan, body: &TokenStream) -> TokenStream {
    let requirements = requirements(plan);
    let operation = operation(plan);
    let result = &plan.returned.result;
    if let Some(tx) = &plan.tx {
        let within = call_within(tx, &operation, result, body);
        return quote!(#requirements #within);
    }
    let run = if plan.outlives_caller() { "finish" } else { "run" };
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

/// The call in a transaction: two calls into the runtime with the body between them, which borrows
/// the transaction from the expansion.
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

fn quote_all(tokens: &[impl ToTokens]) -> TokenStream {
    quote!(#(#tokens)*)
}
