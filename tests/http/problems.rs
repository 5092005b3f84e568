//! Problem documents, and the page that their types lead to.

use std::collections::HashSet;

use axum::Router;
use axum::routing::post;
use idempotency::ErrorKind;
use idempotency::http::{IdempotencyLayer, PROBLEMS_PAGE, Problem, ProblemKind, anonymous};

use crate::client::Client;
use crate::service::{Counting, client_of, serve};
use crate::stage::Stage;

const PAGE: &str = include_str!("../../docs/http-problems.md");

#[test]
fn every_type_is_a_section_of_the_page_with_its_status() {
    assert!(PROBLEMS_PAGE.ends_with("/docs/http-problems.md"));
    let codes: HashSet<_> = ProblemKind::ALL.iter().map(|kind| kind.code()).collect();
    let sections: HashSet<_> =
        PAGE.lines().filter_map(|line| line.strip_prefix("## ")).map(str::trim).collect();
    assert_eq!(codes, sections);
    for kind in ProblemKind::ALL {
        let (code, status) = (kind.code(), kind.status().as_u16());
        let row = format!("| [`{code}`](#{code}) | {status} |");
        assert!(PAGE.contains(&row), "{row}");
    }
}

#[tokio::test]
async fn the_page_may_be_the_applications_own() {
    let own = "https://example.com/errors";
    let service = Counting::with(&Stage::on_memory(), |layer| layer.problems_page(own)).await;
    let reply = service.client.post("/a", "", "x").await;
    let document: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(document["type"], "https://example.com/errors#key-malformed");
}

#[tokio::test]
async fn handlers_answer_with_problems_of_the_functions_that_they_call() {
    let fails = post(async || -> Result<(), Problem> {
        Err(idempotency::Error::new(ErrorKind::Mismatch, "secret of somebody else"))?;
        Ok(())
    });
    let client = Client::new(serve(Router::new().route("/a", fails)).await);
    let reply = client.post("/a", "k", "x").await;
    reply.assert_problem(422, "key-reused");
    assert!(!reply.text().contains("secret"));
}

#[tokio::test]
async fn a_problem_of_the_handlers_own_is_stored_like_any_response() {
    let fails = post(async || Problem::new(ProblemKind::OutcomeUnknown));
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let client = client_of(fails, layer).await;
    assert!(!client.post("/a", "k", "x").await.is_replayed());
    let again = client.post("/a", "k", "x").await;
    assert!(again.is_replayed());
    again.assert_problem(409, "outcome-unknown");
}
