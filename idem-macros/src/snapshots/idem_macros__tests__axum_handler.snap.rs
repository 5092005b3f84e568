async fn pay(
    __idem_arg_0: State<App>,
    __idem_arg_1: Json<Pay>,
) -> Result<(StatusCode, Json<Receipt>), ApiError> {
    use ::idempotency::__private as __idem_private;
    let __idem_arguments = __idem_private::Arguments::new(
        ::core::concat!(::core::module_path!(), "::", "pay"),
        __idem_private::instance(::core::module_path!(), "pay", &|| {}),
    );
    let __idem_arguments = {
        let State(__idem_held) = &__idem_arg_0;
        __idem_private::Subject::of(&__idem_arg_0, __idem_held, __idem_private::State)
            .add_to(__idem_arguments)
    };
    let __idem_arguments = {
        let Json(__idem_held) = &__idem_arg_1;
        __idem_private::Subject::of(&__idem_arg_1, __idem_held, __idem_private::Input)
            .add_to(__idem_arguments)
    };
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = {
        let Json(req) = &__idem_arg_1;
        __idem_private::Template::new(34usize)
            .literal("payment:")
            .value("req.id", &req.id)
            .finish()
    };
    __idem_private::require_result::<Result<(StatusCode, Json<Receipt>), ApiError>>();
    let __idem_form = __idem_private::stored_as::<
        <Result<
            (StatusCode, Json<Receipt>),
            ApiError,
        > as __idem_private::Returned>::Value,
        _,
    >(
        __idem_private::Value::<
            Result<(StatusCode, Json<Receipt>), ApiError>,
            _,
        >::new((
                __idem_private::stored_as::<
                    StatusCode,
                    _,
                >(
                    __idem_private::Value::<__idem_private::Part<StatusCode>, _>::new(())
                        .stored_as(),
                ),
                __idem_private::stored_as::<
                    Json<Receipt>,
                    _,
                >(
                    __idem_private::Value::<
                        __idem_private::Part<Json<Receipt>>,
                        _,
                    >::new({
                            use __idem_private::wrapper::*;
                            use Json as __IdemWrapper;
                            __idem_field::<
                                __IdemWrapper<Receipt>,
                                _,
                                _,
                            >(
                                __IdemWrapper::<Receipt>,
                                |__IdemWrapper::<Receipt>(__idem_held)| __idem_held,
                            )
                        })
                        .stored_as(),
                ),
            ))
            .stored_as(),
    );
    __idem_private::require_error::<
        <Result<
            (StatusCode, Json<Receipt>),
            ApiError,
        > as __idem_private::Returned>::Error,
    >();
    let __idem_call = {
        let __idem_operation = __idem_private::operation(
                __idem_private::handle(),
                "pay",
                __idem_fingerprint,
            )
            .key(__idem_key)
            .ttl(__idem_private::Duration::new(900u64, 0u32))
            .errors(
                __idem_private::StoreErrorsAs(
                    __idem_private::ErrorText::<
                        Result<(StatusCode, Json<Receipt>), ApiError>,
                    >::new()
                        .function(),
                ),
            );
        __idem_private::Callable::<
            Result<(StatusCode, Json<Receipt>), ApiError>,
            _,
            _,
        >::of(&__idem_operation, &__idem_form)
            .run(
                __idem_operation,
                __idem_form,
                async move {
                    if false {
                        return __idem_private::fake_return::<
                            Result<(StatusCode, Json<Receipt>), ApiError>,
                        >();
                    }
                    let State(app) = __idem_arg_0;
                    let Json(req) = __idem_arg_1;
                    let _ = &req;
                    { app.pay(req).await }
                },
            )
    };
    __idem_call.await
}
