use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use idempotency::idempotent;

struct ApiError;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        StatusCode::BAD_GATEWAY.into_response()
    }
}

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64) -> Result<axum::Json<u64>, ApiError> {
    if id == 0 { Err(ApiError) } else { Ok(axum::Json(id)) }
}

fn main() {}
