//! `tenant` keeps the same key of two tenants apart. It sees the names that patterns bind, as handlers have them, and an argument that is the
//! tenant need not be `Serialize`.

use std::fmt;
use std::time::Duration;

use idem_ui::{Runs, on_memory};
use idempotency::{Error, Idempotency, idempotent};
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

struct Account(&'static str);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

struct Extension<T>(T);
struct State<T>(T);

#[idempotent(key = "whole:{order}", tenant = tenant)]
async fn whole(tenant: Account, order: u64) -> Result<String, Error> {
    Ok(format!("{tenant} {order} {}", RUNS.next()))
}

/// The handle, the tenant and the times are parts of arguments.
#[idempotent(
    key = "handler:{order}",
    tenant = tenant,
    with = shop.0,
    ttl = Duration::from_secs(*minutes * 60),
    lease = (*minutes..).next().map(Duration::from_secs).unwrap(),
    skip(shop, minutes)
)]
async fn handler(
    Extension(tenant): Extension<Account>,
    State((shop, minutes)): State<((Idempotency, u8), u64)>,
    order: u64,
) -> Result<String, Error> {
    let _ = (shop, minutes);
    Ok(format!("{tenant} {order} {}", RUNS.next()))
}

fn request(tenant: &str) -> Request {
    Request { tenant: tenant.to_owned(), order: 7 }
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(place(request("a")).await.unwrap(), "a 1");
        assert_eq!(place(request("b")).await.unwrap(), "b 2");
        assert_eq!(place(request("a")).await.unwrap(), "a 1");
        assert_eq!(computed("eu", 7).await.unwrap().as_deref(), Some("eu-1"));
        for _ in 0..2 {
            assert_eq!(whole(Account("a"), 7).await.unwrap(), "a 7 4");
            assert_eq!(whole(Account("b"), 7).await.unwrap(), "b 7 5");
        }
        let idem = idempotency::handle().unwrap();
        for _ in 0..2 {
            for (tenant, value) in [("a", "a 7 6"), ("b", "b 7 7")] {
                let state = State(((idem.clone(), 0), 15));
                assert_eq!(handler(Extension(Account(tenant)), state, 7).await.unwrap(), value);
            }
        }
    });
    assert_eq!(RUNS.count(), 7);
}
