async fn place(
    __idem_arg_0: Point,
    __idem_arg_1: Path<u64>,
    __idem_arg_2: State<Pool>,
    __idem_arg_3: u8,
) -> Result<u64, Error> {
    use ::idempotency::__private as __idem_private;
    let __idem_arguments = __idem_private::Arguments::new(
        ::core::concat!(::core::module_path!(), "::", "place"),
        __idem_private::instance(::core::module_path!(), "place", &|| {}),
    );
    let __idem_arguments = __idem_arguments.arg(&__idem_arg_0);
    let __idem_arguments = {
        let Path(__idem_held) = &__idem_arg_1;
        __idem_private::Subject::of(&__idem_arg_1, __idem_held, __idem_private::Input)
            .add_to(__idem_arguments)
    };
    let __idem_arguments = __idem_arguments.arg(&__idem_arg_3);
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = {
        let Point { x, y: _ } = &__idem_arg_0;
        let Path(id) = &__idem_arg_1;
        __idem_private::Template::new(59usize)
            .literal("place:")
            .value("x", &x)
            .literal(":")
            .value("id", &id)
            .finish()
    };
    __idem_private::require_result::<Result<u64, Error>>();
    let __idem_form = __idem_private::stored_as::<
        <Result<u64, Error> as __idem_private::Returned>::Value,
        _,
    >(__idem_private::Value::<Result<u64, Error>, _>::new(()).stored_as());
    __idem_private::require_error::<
        <Result<u64, Error> as __idem_private::Returned>::Error,
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
                    __idem_private::ErrorText::<Result<u64, Error>>::new().function(),
                ),
            );
        __idem_private::Callable::<
            Result<u64, Error>,
            _,
            _,
        >::of(&__idem_operation, &__idem_form)
            .run(
                __idem_operation,
                __idem_form,
                async move {
                    if false {
                        return __idem_private::fake_return::<Result<u64, Error>>();
                    }
                    let Point { x, y: mut height } = __idem_arg_0;
                    let _ = &x;
                    let Path(id) = __idem_arg_1;
                    let _ = &id;
                    let State(pool) = __idem_arg_2;
                    let _ = __idem_arg_3;
                    {
                        height += id;
                        Ok(height)
                    }
                },
            )
    };
    __idem_call.await
}
