#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error("the ledger does not answer")]
    Unavailable, // retryable
    #[error("the account is unknown")]
    UnknownAccount, // permanent
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

impl HookError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable => Disposition::Redeliver { after: None },
            Self::UnknownAccount => Disposition::DeadLetter,
            Self::Idempotency(error) => error.disposition(),
        }
    }

    fn is_retryable(&self) -> bool {
        matches!(self.disposition(), Disposition::Redeliver { .. })
    }
}

#[idempotent(
    name = "payment-webhook",
    key = "payment-webhook:{event.id}",
    ttl = "30d", // longer than the sender retries
    retry_if = HookError::is_retryable,
    on_cancel = "finish",
    with = app.idem,
    skip(app),
)]
async fn on_payment(app: App, event: PaymentEvent) -> Result<(), HookError> {
    app.book(&event).await
}

async fn webhook(State(app): State<App>, Json(event): Json<PaymentEvent>) -> Response {
    let Err(error) = on_payment(app.clone(), event.clone()).await else {
        return StatusCode::OK.into_response();
    };
    match error.disposition() {
        Disposition::Acknowledge => StatusCode::OK.into_response(),
        Disposition::DeadLetter => {
            app.dead_letter(&event, &error);
            StatusCode::OK.into_response() // or the sender retries for days
        }
        Disposition::Redeliver { after: Some(after) } => {
            let seconds = after.as_secs() + 1;
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, seconds.to_string())]).into_response()
        }
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
