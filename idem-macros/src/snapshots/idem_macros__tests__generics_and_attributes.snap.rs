/// Echoes.
#[must_use]
#[allow(unused_variables)]
async fn echo<'a, T: Serialize, const N: usize>(
    id: &'a str,
    #[cfg(unix)]
    values: [T; N],
) -> Result<Cow<'a, str>, Error>
where
    T: Clone,
{
    use ::idempotency::__private as __idem_private;
    let __idem_arguments = __idem_private::Arguments::new(
        ::core::concat!(::core::module_path!(), "::", "echo"),
        __idem_private::instance(::core::module_path!(), "echo", &|| {}),
    );
    let __idem_arguments = __idem_arguments.arg(&id);
    #[cfg(unix)]
    let __idem_arguments = __idem_arguments.arg(&values);
    let __idem_fingerprint = __idem_arguments.finish();
    let __idem_key = __idem_private::Template::new(31usize)
        .literal("echo:")
        .value("id", &id)
        .finish();
    __idem_private::require_result::<Result<Cow<'a, str>, Error>>();
    let __idem_form = __idem_private::stored_as::<
        <Result<Cow<'a, str>, Error> as __idem_private::Returned>::Value,
        _,
    >(__idem_private::Value::<Result<Cow<'a, str>, Error>, _>::new(()).stored_as());
    __idem_private::require_error::<
        <Result<Cow<'a, str>, Error> as __idem_private::Returned>::Error,
    >();
    let __idem_call = {
        let __idem_operation = __idem_private::operation(
                __idem_private::handle(),
                "echo",
                __idem_fingerprint,
            )
            .key(__idem_key)
            .errors(
                __idem_private::StoreErrorsAs(
                    __idem_private::ErrorText::<Result<Cow<'a, str>, Error>>::new()
                        .function(),
                ),
            );
        __idem_private::Callable::<
            Result<Cow<'a, str>, Error>,
            _,
            _,
        >::of(&__idem_operation, &__idem_form)
            .run(
                __idem_operation,
                __idem_form,
                async move {
                    if false {
                        return __idem_private::fake_return::<
                            Result<Cow<'a, str>, Error>,
                        >();
                    }
                    { Ok(id.into()) }
                },
            )
    };
    __idem_call.await
}
