/// Before the layer: verifies the signature, and takes the event's id as the
/// key.
async fn from_stripe(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let (mut head, body) = request.into_parts();
    let body = to_bytes(body, 1024 * 1024).await;
    let body = body.map_err(|_| StatusCode::BAD_REQUEST)?;
    if !app.is_signed_by_stripe(&head.headers, &body) {
        return Err(StatusCode::FORBIDDEN);
    }
    let event: StripeEvent = serde_json::from_slice(&body)
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    let key = HeaderValue::try_from(event.id)
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    head.headers.insert("idempotency-key", key);
    Ok(next.run(Request::from_parts(head, body.into())).await)
}

fn hooks(app: App) -> Router {
    let stripe = |_: &Parts| Some(Principal::named("stripe"));
    let layer = IdempotencyLayer::new(app.idem.clone(), stripe)
        .ttl(Duration::from_secs(30 * 24 * 3600)) // longer than Stripe retries
        .fingerprint_body(|_, body| {
            BodyFingerprint::json_without(body, &["pending_webhooks"])
        });
    Router::new()
        .route("/hooks/stripe", post(on_event))
        .route_layer(layer)
        .route_layer(from_fn_with_state(app.clone(), from_stripe))
        .with_state(app)
}
