async unsafe fn place(id: u64) -> Result<(), Error> {
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
    __idem_private::require_result::<Result<(), Error>>();
    let __idem_form = __idem_private::stored_as::<
        <Result<(), Error> as __idem_private::Returned>::Value,
        _,
    >(__idem_private::Value::<Result<(), Error>, _>::new(()).stored_as());
    __idem_private::require_error::<
        <Result<(), Error> as __idem_private::Returned>::Error,
    >();
    let __idem_call = {
        let __idem_operation = __idem_private::operation(
                __idem_private::handle(),
                "place",
                __idem_fingerprint,
            )
            .key(__idem_key)
            .errors(__idem_private::ReleaseErrors);
        __idem_private::Callable::<
            Result<(), Error>,
            _,
            _,
        >::of(&__idem_operation, &__idem_form)
            .run(
                __idem_operation,
                __idem_form,
                async move {
                    if false {
                        return __idem_private::fake_return::<Result<(), Error>>();
                    }
                    { unsafe { raw(id) } }
                },
            )
    };
    __idem_call.await
}
