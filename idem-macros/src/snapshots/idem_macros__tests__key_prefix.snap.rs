async fn add(a: u32, b: u32) -> crate::Result<u32> {
    use ::idempotency::__private as __idem_private;
    let __idem_arguments = __idem_private::Arguments::new(
        ::core::concat!(::core::module_path!(), "::", "add"),
        __idem_private::instance(::core::module_path!(), "add", &|| {}),
    );
    let __idem_arguments = __idem_arguments.arg(&a);
    let __idem_arguments = __idem_arguments.arg(&b);
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = __idem_private::prefixed_key("addition", &__idem_fingerprint);
    __idem_private::require_result::<crate::Result<u32>>();
    let __idem_form = __idem_private::stored_as::<
        <crate::Result<u32> as __idem_private::Returned>::Value,
        _,
    >(__idem_private::Value::<crate::Result<u32>, _>::new(()).stored_as());
    __idem_private::require_error::<
        <crate::Result<u32> as __idem_private::Returned>::Error,
    >();
    let __idem_call = {
        let __idem_operation = __idem_private::operation(
                __idem_private::handle(),
                "add",
                __idem_fingerprint,
            )
            .key(__idem_key)
            .errors(
                __idem_private::StoreErrorsAs(
                    __idem_private::ErrorText::<crate::Result<u32>>::new().function(),
                ),
            );
        __idem_private::Callable::<
            crate::Result<u32>,
            _,
            _,
        >::of(&__idem_operation, &__idem_form)
            .run(
                __idem_operation,
                __idem_form,
                async move {
                    if false {
                        return __idem_private::fake_return::<crate::Result<u32>>();
                    }
                    { Ok(a + b) }
                },
            )
    };
    __idem_call.await
}
