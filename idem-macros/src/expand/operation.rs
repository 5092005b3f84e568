//! The operation with its options.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote_spanned};

use super::bounds::{error_type, value_type};
use super::spans::mixed;
use crate::args::{Codec, OnCrash, OnError, Time};
use crate::validate::Plan;

pub(super) fn operation(plan: &Plan) -> TokenStream {
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
    let times = plan.args.times().map(|(name, time)| {
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
    let on_cancel = plan.outlives_caller().then(|| quote_spanned!(mixed()=> .finish_on_cancel()));
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
