async fn charge(req: ChargeRequest) -> Result<Receipt, PaymentError> {
    use ::idempotency::__private as __idem_private;
    let __idem_arguments = __idem_private::Arguments::new(
        ::core::concat!(::core::module_path!(), "::", "charge"),
        __idem_private::instance(::core::module_path!(), "charge", &|| {}),
    );
    let __idem_arguments = __idem_arguments.arg(&req);
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = __idem_private::Template::new(61usize)
        .literal("payment:")
        .value("req.user_id", &req.user_id)
        .literal(":")
        .value("req.order_id", &req.order_id)
        .finish();
    __idem_private::require_result::<Result<Receipt, PaymentError>>();
    let __idem_form = __idem_private::stored_as::<
        <Result<Receipt, PaymentError> as __idem_private::Returned>::Value,
        _,
    >(__idem_private::Value::<Result<Receipt, PaymentError>, _>::new(()).stored_as());
    __idem_private::require_error::<
        <Result<Receipt, PaymentError> as __idem_private::Returned>::Error,
    >();
    let __idem_call = {
        let __idem_operation = __idem_private::operation(
                __idem_private::handle(),
                "charge",
                __idem_fingerprint,
            )
            .key(__idem_key)
            .ttl(__idem_private::Duration::new(900u64, 0u32))
            .errors(
                __idem_private::StoreErrorsAs(
                    __idem_private::ErrorText::<Result<Receipt, PaymentError>>::new()
                        .function(),
                ),
            );
        __idem_private::Callable::<
            Result<Receipt, PaymentError>,
            _,
            _,
        >::of(&__idem_operation, &__idem_form)
            .run(
                __idem_operation,
                __idem_form,
                async move {
                    if false {
                        return __idem_private::fake_return::<
                            Result<Receipt, PaymentError>,
                        >();
                    }
                    { gateway::charge(req).await }
                },
            )
    };
    __idem_call.await
}
