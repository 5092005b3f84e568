fn place(id: u64) -> Placed {
    use ::idempotency::__private as __idem_private;
    let __idem_arguments = __idem_private::Arguments::new(
        ::core::concat!(::core::module_path!(), "::", "place"),
        __idem_private::instance(::core::module_path!(), "place", &|| {}),
    );
    let __idem_arguments = __idem_arguments.arg(&id);
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = __idem_private::prefixed_key(
        ::core::concat!(::core::module_path!(), "::", "place"),
        &__idem_fingerprint,
    );
    Box::pin(async move {
        __idem_private::require_result::<<Placed as ::core::future::Future>::Output>();
        let __idem_form = __idem_private::stored_as::<
            <<Placed as ::core::future::Future>::Output as __idem_private::Returned>::Value,
            _,
        >(
            __idem_private::Value::<
                <Placed as ::core::future::Future>::Output,
                _,
            >::new(())
                .stored_as(),
        );
        __idem_private::require_error::<
            <<Placed as ::core::future::Future>::Output as __idem_private::Returned>::Error,
        >();
        let __idem_call = {
            let __idem_operation = __idem_private::operation(
                    __idem_private::handle(),
                    "place",
                    __idem_fingerprint,
                )
                .key(__idem_key)
                .errors(
                    __idem_private::StoreErrorsAs(
                        __idem_private::ErrorText::<
                            <Placed as ::core::future::Future>::Output,
                        >::new()
                            .function(),
                    ),
                );
            __idem_private::Callable::<
                <Placed as ::core::future::Future>::Output,
                _,
                _,
            >::of(&__idem_operation, &__idem_form)
                .run(
                    __idem_operation,
                    __idem_form,
                    async move {
                        if false {
                            return __idem_private::fake_return::<
                                <Placed as ::core::future::Future>::Output,
                            >();
                        }
                        { Ok(id) }
                    },
                )
        };
        __idem_call.await
    })
}
