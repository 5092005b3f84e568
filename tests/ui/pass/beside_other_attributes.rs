//! Attributes that others put beside ours, above and below: the compiler's own, and those of tokio, axum and async-recursion.

use async_recursion::async_recursion;
use axum::{Json, debug_handler, extract::Path};
use idem_ui::{Runs, assert_once, on_memory};
use idempotency::{Error, Idempotency, idempotent};

static RUNS: Runs = Runs::new();

/// Places an order.
#[must_use = "the receipt is the proof"]
#[inline]
#[cold]
#[idempotent(key = "order:{id}")]
#[allow(non_snake_case)]
#[doc(alias = "order")]
#[cfg_attr(all(), deprecated = "only here")]
/// Once.
pub async fn Place(#[allow(unused_variables)] id: u32) -> Result<u32, Error> {
    #![allow(unused_mut)]
    let mut run = RUNS.next();
    Ok(run)
}

#[cfg_attr(all(), idempotent(key = "conditional:{id}"))]
#[expect(unused_variables)]
async fn conditional(id: u32) -> Result<u32, Error> {
    let never_read = id;
    Ok(RUNS.next())
}

#[idempotent(key = "main")]
#[tokio::main(flavor = "current_thread")]
async fn other_main() -> Result<u32, Error> {
    Ok(RUNS.next())
}

#[async_recursion]
#[idempotent(key = "recursion-above:{depth}")]
async fn recursion_above(depth: u32) -> Result<u32, Error> {
    let inner = if depth == 0 { 0 } else { recursion_above(depth - 1).await? };
    Ok(inner + RUNS.next())
}

#[idempotent(key = "recursion-below:{depth}")]
#[async_recursion]
async fn recursion_below(depth: u32) -> Result<u32, Error> {
    let inner = if depth == 0 { 0 } else { recursion_below(depth - 1).await? };
    Ok(inner + RUNS.next())
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Answer(u32);

impl axum::response::IntoResponse for Answer {
    fn into_response(self) -> axum::response::Response {
        self.0.to_string().into_response()
    }
}

struct Problem(Error);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        self.to_string().into_response()
    }
}

#[debug_handler]
#[idempotent(key = "handler-above:{id}", skip(id, note))]
async fn handler_above(Path(id): Path<u32>, Json(note): Json<String>) -> Result<Answer, Problem> {
    Ok(Answer(id + note.len() as u32 + RUNS.next()))
}

#[idempotent(key = "handler-below:{id}", skip(id, note))]
#[debug_handler]
async fn handler_below(Path(id): Path<u32>, Json(note): Json<String>) -> Result<Answer, Problem> {
    Ok(Answer(id + note.len() as u32 + RUNS.next()))
}

#[allow(deprecated)]
fn main() {
    assert_once(&RUNS, || Place(7), &1);
    idempotency::set_global(Idempotency::memory()).unwrap();
    assert_eq!(other_main().unwrap(), 2);
    assert_eq!(other_main().unwrap(), 2);
    assert_eq!(RUNS.count(), 2);
    on_memory(async {
        for _ in 0..2 {
            assert_eq!(conditional(1).await.unwrap(), 3);
            assert_eq!(recursion_above(1).await.unwrap(), 9);
            assert_eq!(recursion_below(1).await.unwrap(), 13);
        }
        let _: axum::Router = axum::Router::new()
            .route("/above/{id}", axum::routing::post(handler_above))
            .route("/below/{id}", axum::routing::post(handler_below));
    });
    assert_eq!(RUNS.count(), 7);
}
