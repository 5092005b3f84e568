//! `tenant` keeps the same key of two tenants apart.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};
use serde::Serialize;

static RUNS: Runs = Runs::new();

#[derive(Serialize)]
struct Request {
    tenant: String,
    order: u64,
}

#[idempotent(key = "order:{req.order}", tenant = req.tenant)]
async fn place(req: Request) -> Result<String, Error> {
    Ok(format!("{} {}", req.tenant, RUNS.next()))
}

#[idempotent(key = "computed:{order}", tenant = format!("{}-{}", region, 1))]
async fn computed(region: &str, order: u64) -> Result<Option<String>, Error> {
    let _ = (region, order, RUNS.next());
    Ok(idempotency::current().unwrap().tenant().map(str::to_owned))
}

fn request(tenant: &str) -> Request {
    Request { tenant: tenant.to_owned(), order: 7 }
}

fn main() {
    on_memory(async {
        assert_eq!(place(request("a")).await.unwrap(), "a 1");
        assert_eq!(place(request("b")).await.unwrap(), "b 2");
        assert_eq!(place(request("a")).await.unwrap(), "a 1");
        assert_eq!(computed("eu", 7).await.unwrap().as_deref(), Some("eu-1"));
    });
    assert_eq!(RUNS.count(), 3);
}
