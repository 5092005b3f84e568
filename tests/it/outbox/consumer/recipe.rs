#[derive(Debug, thiserror::Error)]
enum BillingError {
    #[error("the payment service does not answer")]
    Unavailable, // retryable
    #[error(transparent)]
    Malformed(#[from] OutboxError), // permanent
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

impl BillingError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable => Disposition::Redeliver { after: None },
            Self::Malformed(_) => Disposition::DeadLetter,
            Self::Idempotency(error) => error.disposition(),
        }
    }

    fn is_retryable(&self) -> bool {
        matches!(self.disposition(), Disposition::Redeliver { .. })
    }
}

/// Takes effect once per event. A retryable error frees the key for the next delivery, any other is
/// stored.
#[idempotent(
    name = "billing",
    key = "billing:{event.id}",
    ttl = "7d", // longer than an event can be redelivered
    retry_if = BillingError::is_retryable,
)]
async fn on_event(event: Event) -> Result<(), BillingError> {
    let order: OrderPaid = event.json()?;
    bill(&order).await
}

/// Handles new entries, and entries that were read `idle_ms` ago and not acknowledged. Call it in a
/// loop.
async fn consume(
    redis: &mut MultiplexedConnection,
    stream: &str,
    consumer: &str,
    idle_ms: usize,
) -> RedisResult<()> {
    let options = StreamAutoClaimOptions::default().count(64);
    let left: StreamAutoClaimReply =
        redis.xautoclaim_options(stream, GROUP, consumer, idle_ms, "0", options).await?;
    let options = StreamReadOptions::default().group(GROUP, consumer).count(64);
    let new: StreamReadReply = redis.xread_options(&[stream], &[">"], &options).await?;
    let new = new.keys.into_iter().flat_map(|stream| stream.ids);
    for entry in left.claimed.into_iter().chain(new) {
        let handled = match Event::try_from(&entry) {
            Ok(event) => on_event(event).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = handled {
            match error.disposition() {
                Disposition::Acknowledge => {}
                Disposition::DeadLetter => dead_letter(redis, stream, &entry, &error).await?,
                // The handler's own errors have a limit. An outage of the storage does not count.
                _ if matches!(error, BillingError::Unavailable)
                    && deliveries(redis, stream, &entry).await? >= MAX_DELIVERIES =>
                {
                    dead_letter(redis, stream, &entry, &error).await?;
                }
                _ => continue, // not acknowledged, so it is delivered again
            }
        }
        let _: usize = redis.xack(stream, GROUP, &[&entry.id]).await?;
    }
    Ok(())
}

async fn deliveries(
    redis: &mut MultiplexedConnection,
    stream: &str,
    entry: &StreamId,
) -> RedisResult<usize> {
    let pending: StreamPendingCountReply =
        redis.xpending_count(stream, GROUP, &entry.id, &entry.id, 1).await?;
    Ok(pending.ids.first().map_or(0, |entry| entry.times_delivered))
}

/// Copies an entry to the dead letters, with its error.
async fn dead_letter(
    redis: &mut MultiplexedConnection,
    stream: &str,
    entry: &StreamId,
    error: &BillingError,
) -> RedisResult<()> {
    let mut letter = redis::cmd("XADD");
    letter.arg(format!("{stream}.dead")).arg("*").arg("error").arg(error.to_string());
    for field in entry.map.keys() {
        letter.arg(field).arg(entry.get::<Vec<u8>>(field).unwrap_or_default());
    }
    letter.exec_async(redis).await
}
