//! Equal sets are equal arguments, in whatever order they come.

use std::collections::HashSet;

use idem_ui::{Runs, on_memory};
use idempotency::{Error, ErrorKind, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "tag:{id}")]
async fn tag(id: u64, tags: HashSet<u32>) -> Result<u32, Error> {
    let _ = (id, tags);
    Ok(RUNS.next())
}

#[idempotent(key = "borrowed:{id}")]
async fn borrowed(id: u64, tags: &HashSet<String>) -> Result<u32, Error> {
    let _ = (id, tags);
    Ok(RUNS.next())
}

#[derive(serde::Serialize)]
struct Article {
    title: String,
    tags: Option<HashSet<String>>,
}

#[idempotent(key = "publish")]
async fn publish(article: Article) -> Result<u32, Error> {
    let _ = article;
    Ok(RUNS.next())
}

#[test]
fn accepted() {
    on_memory(async {
        for _ in 0..10 {
            // Each set has a hasher of its own, and so an order of its own.
            assert_eq!(tag(7, (0..100).collect()).await.unwrap(), 1);
        }
        let other = tag(7, (0..99).collect()).await.unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Mismatch);
        for _ in 0..10 {
            let tags = (0..100).map(|tag: u32| tag.to_string()).collect();
            assert_eq!(borrowed(7, &tags).await.unwrap(), 2);
            let article = Article { title: "Sets".to_owned(), tags: Some(tags) };
            assert_eq!(publish(article).await.unwrap(), 3);
        }
    });
    assert_eq!(RUNS.count(), 3);
}
