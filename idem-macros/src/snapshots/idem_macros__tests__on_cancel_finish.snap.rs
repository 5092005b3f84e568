async fn charge(
    self: Arc<Self>,
    req: ChargeRequest,
    shop: Shop,
) -> Result<Receipt, PaymentError> {
    use ::idempotency::__private as __idem_private;
    __idem_private::require_owned(&self);
    __idem_private::require_owned(&req);
    __idem_private::require_owned(&shop);
    let __idem_arguments = __idem_private::Arguments::new(
        ::core::concat!(::core::module_path!(), "::", "charge"),
        __idem_private::instance(::core::module_path!(), "charge", &|| {}),
    );
    let __idem_arguments = __idem_arguments.arg(&req);
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = __idem_private::Template::new(34usize)
        .literal("payment:")
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
    __idem_private::require_sent::<
        <Result<Receipt, PaymentError> as __idem_private::Returned>::Value,
    >();
    __idem_private::require_sent::<
        <Result<Receipt, PaymentError> as __idem_private::Returned>::Error,
    >();
    let __idem_call = {
        let __idem_operation = __idem_private::operation(
                __idem_private::handle(),
                "charge",
                __idem_fingerprint,
            )
            .key(__idem_key)
            .errors(
                __idem_private::StoreErrorsAs(
                    __idem_private::ErrorText::<Result<Receipt, PaymentError>>::new()
                        .function(),
                ),
            )
            .finish_on_cancel();
        __idem_private::Callable::<
            Result<Receipt, PaymentError>,
            _,
            _,
        >::of(&__idem_operation, &__idem_form)
            .finish(
                __idem_operation,
                __idem_form,
                async move {
                    if false {
                        return __idem_private::fake_return::<
                            Result<Receipt, PaymentError>,
                        >();
                    }
                    { shop.charge(req).await }
                },
            )
    };
    __idem_call.await
}
