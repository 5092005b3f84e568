async fn place(order: Order, pool: &Pool) -> Result<Receipt, Refusal> {
    use shop::idempotency::__private as __idem_private;
    let __idem_arguments = __idem_private::Arguments::new(
        "place-order",
        __idem_private::instance(::core::module_path!(), "place", &|| {}),
    );
    let __idem_arguments = __idem_arguments.arg(&order);
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = __idem_private::Template::new(32usize)
        .literal("order:")
        .value("order.id", &order.id)
        .finish();
    let __idem_tenant = __idem_private::tenant(&order.customer);
    let __idem_handle = __idem_private::handle_of(&pool.idempotency);
    let __idem_lease: __idem_private::Duration = LEASE;
    let __idem_wait: __idem_private::Duration = Duration::from_millis(order.patience);
    __idem_private::require_result::<Result<Receipt, Refusal>>();
    let __idem_form = __idem_private::stored_as::<
        <Result<Receipt, Refusal> as __idem_private::Returned>::Value,
        _,
    >(__idem_private::Value::<Result<Receipt, Refusal>, _>::new(()).stored_as());
    __idem_private::require_replayed_error::<
        <Result<Receipt, Refusal> as __idem_private::Returned>::Error,
    >();
    let __idem_call = {
        let __idem_operation = __idem_private::operation(
                __idem_handle,
                "place-order",
                __idem_fingerprint,
            )
            .key(__idem_key)
            .tenant(__idem_tenant)
            .ttl(__idem_private::Duration::new(5400u64, 0u32))
            .lease(__idem_lease)
            .wait(__idem_wait)
            .on_crash(__idem_private::CrashPolicy::Park)
            .codec(__idem_private::MsgPack)
            .errors(__idem_private::ReplayErrors)
            .retry_if(
                __idem_private::predicate::<
                    <Result<Receipt, Refusal> as __idem_private::Returned>::Error,
                    _,
                >(Refusal::is_busy),
            )
            .store_if(
                __idem_private::store_if::<
                    <Result<Receipt, Refusal> as __idem_private::Returned>::Value,
                    _,
                    _,
                >(__idem_form, |receipt| receipt.is_final()),
            )
            .map_err(
                __idem_private::error_map::<
                    <Result<Receipt, Refusal> as __idem_private::Returned>::Error,
                    _,
                >(|error| Refusal::of(error)),
            );
        __idem_private::Callable::<
            Result<Receipt, Refusal>,
            _,
            _,
        >::of(&__idem_operation, &__idem_form)
            .run(
                __idem_operation,
                __idem_form,
                async move {
                    if false {
                        return __idem_private::fake_return::<Result<Receipt, Refusal>>();
                    }
                    { pool.place(order).await }
                },
            )
    };
    __idem_call.await
}
