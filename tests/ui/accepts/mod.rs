//! What the attribute accepts: each asserts that duplicates execute once and get a faithful replay.
//!
//! They are written as users would, and what a program of its own decides (its attributes, names at
//! its root, the global handle, `unsafe`) is in `pass`.

mod argument_names;
mod async_trait;
mod beside_instrument;
mod body_consumes_arguments;
mod borrowed_arguments;
mod cfg_on_arguments;
mod codec;
mod crate_reexported;
mod durations;
mod free_fn;
mod from_macro;
mod generics_const;
mod generics_of_impl;
mod generics_type;
mod hash_set;
mod impl_trait_argument;
mod key_placeholders;
mod key_without_placeholders;
mod large_future;
mod lifetimes_elided;
mod lifetimes_named;
mod map_err;
mod methods_of_two_types;
mod mutable_argument;
mod native_async_fn_in_trait;
mod nested_functions;
mod no_options;
mod on_cancel;
mod on_crash;
mod on_error_release;
mod on_error_replay;
mod on_error_store;
mod pattern_argument;
mod question_mark_and_early_return;
mod raw_identifiers;
mod recursion;
mod result_aliases;
mod retry_if_and_store_if;
mod returns_boxed_future;
mod returns_impl_future;
mod returns_outcome;
mod same_key_other_arguments;
mod self_by_mutable_reference;
mod self_by_reference;
mod self_by_value;
mod self_in_arc;
mod skip;
mod tenant;
mod transaction;
mod tx;
mod wait;
mod with;
