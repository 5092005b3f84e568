async fn transfer(
    tx: &mut Transaction<'_, Postgres>,
    order: &Order,
) -> Result<Receipt, BankError> {
    use ::idempotency::__private as __idem_private;
    let __idem_arguments = __idem_private::Arguments::new(
        ::core::concat!(::core::module_path!(), "::", "transfer"),
        __idem_private::instance(::core::module_path!(), "transfer", &|| {}),
    );
    let __idem_arguments = __idem_arguments.arg(&order);
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = __idem_private::Template::new(35usize)
        .literal("transfer:")
        .value("order.id", &order.id)
        .finish();
    __idem_private::require_result::<Result<Receipt, BankError>>();
    let __idem_form = __idem_private::stored_as::<
        <Result<Receipt, BankError> as __idem_private::Returned>::Value,
        _,
    >(__idem_private::Value::<Result<Receipt, BankError>, _>::new(()).stored_as());
    __idem_private::require_error::<
        <Result<Receipt, BankError> as __idem_private::Returned>::Error,
    >();
    __idem_private::require_transaction(&*tx);
    let __idem_operation = __idem_private::operation(
            __idem_private::handle(),
            "transfer",
            __idem_fingerprint,
        )
        .key(__idem_key)
        .wait(__idem_private::Duration::new(5u64, 0u32))
        .errors(
            __idem_private::StoreErrorsAs(
                __idem_private::ErrorText::<Result<Receipt, BankError>>::new().function(),
            ),
        );
    let __idem_call = __idem_private::CallableWithin::<
        Result<Receipt, BankError>,
        _,
        _,
        _,
    >::of(&__idem_operation, &__idem_form, &*tx);
    match __idem_call.begin(__idem_operation, __idem_form, &mut *tx).await {
        __idem_private::ControlFlow::Break(__idem_result) => __idem_result,
        __idem_private::ControlFlow::Continue(mut __idem_running) => {
            let __idem_result = {
                let tx = &mut *tx;
                __idem_running
                    .body(async move {
                        if false {
                            return __idem_private::fake_return::<
                                Result<Receipt, BankError>,
                            >();
                        }
                        {
                            debit(tx, order).await?;
                            credit(tx, order).await
                        }
                    })
                    .await
            };
            __idem_running.end(tx, __idem_result).await
        }
    }
}
