//! Wrappers of other frameworks and of the user's own: what they are called decides nothing that the types do not allow.
#![deny(warnings, clippy::pedantic, unused_qualifications)]

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use idem_ui::{Runs, on_memory};
use idempotency::{Error, ErrorKind, Outcome, idempotent};
use serde::{Deserialize, Serialize};

static RUNS: Runs = Runs::new();

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
}

/// As actix-web has them: `Json` serializes but is not read back, and is not `From` what it holds.
mod web {
    use super::{Deref, Serialize};

    #[derive(Serialize)]
    pub struct Json<T>(pub T);

    impl<T> Deref for Json<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    pub struct Path<T>(T);

    impl<T> Path<T> {
        pub fn new(inner: T) -> Self {
            Self(inner)
        }
    }

    impl<T> Deref for Path<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }
}

/// As poem has it, and with nothing but its field.
mod poem {
    pub struct Json<T>(pub T);

    pub struct State<T>(pub T);
}

#[idempotent(key = "actix:{order.id}")]
async fn actix(
    path: web::Path<(u64, String)>,
    order: web::Json<Order>,
) -> Result<web::Json<Vec<u64>>, Error> {
    Ok(web::Json(vec![path.0, order.id, u64::from(RUNS.next())]))
}

#[idempotent(key = "poem:{order.id}", store_if = |answer| !answer.is_empty())]
async fn poem_handler(poem::Json(order): poem::Json<Order>) -> Result<poem::Json<Vec<u64>>, Error> {
    Ok(poem::Json(vec![order.id, u64::from(RUNS.next())]))
}

#[idempotent(key = "poem-optional:{order.id}")]
async fn poem_nested(
    poem::Json(order): poem::Json<Order>,
) -> Result<Outcome<Option<(u16, poem::Json<u64>)>>, Error> {
    Ok(Some((201, poem::Json(order.id + u64::from(RUNS.next())))).into())
}

/// Types of the user's own that have the names of wrappers and are stored and hashed as they serialize.
mod own {
    use super::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub struct Json<T> {
        pub body: T,
        pub version: u32,
    }

    /// Its hash has the order, which its content has not.
    #[derive(Serialize)]
    #[serde(bound = "T: Serialize")]
    pub struct State<T>(#[serde(serialize_with = "backwards")] pub Vec<T>);

    fn backwards<S: serde::Serializer, T: Serialize>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().rev())
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(into = "String", try_from = "String")]
    pub struct Tagged(pub u32);

    impl From<Tagged> for String {
        fn from(Tagged(run): Tagged) -> Self {
            format!("run-{run}")
        }
    }

    impl TryFrom<String> for Tagged {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, &'static str> {
            let run = text.strip_prefix("run-").and_then(|run| run.parse().ok());
            run.map(Self).ok_or("no run")
        }
    }
}

#[idempotent(key = "own:{id}", store_if = |json| json.version > 0)]
async fn own_json(id: u64, own::State(state): own::State<u8>) -> Result<own::Json<u64>, Error> {
    let _ = state;
    Ok(own::Json { body: id, version: RUNS.next() })
}

#[idempotent(key = "own-tuple:{id}")]
async fn own_tuple(id: u64) -> Result<(own::Tagged, u64), Error> {
    Ok((own::Tagged(RUNS.next()), id))
}

/// One that serializes, is called `State`, and is not taken apart.
#[idempotent(key = "state:{id}")]
async fn own_state(id: u64, state: own::State<u8>) -> Result<u32, Error> {
    let _ = (id, state);
    Ok(RUNS.next())
}

/// What it holds can be hashed, so it is, although it is called `State`.
#[idempotent(key = "content-of-state:{id}")]
async fn content_of_state(id: u64, poem::State(shop): poem::State<String>) -> Result<u32, Error> {
    let _ = (id, shop);
    Ok(RUNS.next())
}

#[idempotent(key = "shared:{id}")]
async fn shared(id: u64, order: Arc<Order>, other: Rc<Order>) -> Result<u32, Error> {
    let _ = (id, order, other);
    Ok(RUNS.next())
}

/// A result whose type is found, as is its wrapper, where the function is.
fn nested_types() -> u32 {
    struct Json<T>(T);

    #[idempotent(key = "nested:{id}")]
    async fn nested(Json(id): Json<u64>) -> Result<Json<u32>, Error> {
        let _ = id;
        Ok(Json(RUNS.next()))
    }

    on_memory(async {
        let first = nested(Json(7)).await.unwrap().0;
        assert_eq!(nested(Json(7)).await.unwrap().0, first);
        first
    })
}

macro_rules! once {
    ($call:expr, $shown:expr) => {{
        let before = RUNS.count();
        let first = $call.await.unwrap();
        assert_eq!(RUNS.count(), before + 1);
        let again = $call.await.unwrap();
        assert_eq!(RUNS.count(), before + 1);
        let show = $shown;
        assert_eq!(show(first), show(again));
    }};
}

macro_rules! mismatch {
    ($call:expr) => {
        assert_eq!($call.await.map(|_| ()).unwrap_err().kind(), ErrorKind::Mismatch)
    };
}

fn main() {
    let order = |id| Order { id };
    on_memory(async {
        let path = |note: &str| web::Path::new((1, note.to_owned()));
        once!(actix(path("a"), web::Json(order(7))), |web::Json(it)| it);
        mismatch!(actix(path("b"), web::Json(order(7))));
        once!(poem_handler(poem::Json(order(7))), |poem::Json(it)| it);
        once!(poem_nested(poem::Json(order(7))), |it: Outcome<Option<(_, poem::Json<_>)>>| {
            it.into_value().map(|(status, poem::Json(it))| (status, it))
        });
        once!(own_json(7, own::State(vec![1, 2])), |it| it);
        mismatch!(own_json(7, own::State(vec![2, 1])));
        once!(own_tuple(7), |it| it);
        once!(own_state(7, own::State(vec![1, 2])), |it| it);
        mismatch!(own_state(7, own::State(vec![2, 1])));
        once!(content_of_state(7, poem::State("eu".to_owned())), |it| it);
        mismatch!(content_of_state(7, poem::State("us".to_owned())));
        once!(shared(7, Arc::new(order(1)), Rc::new(order(2))), |it| it);
        mismatch!(shared(7, Arc::new(order(1)), Rc::new(order(3))));
        mismatch!(shared(7, Arc::new(order(3)), Rc::new(order(2))));
    });
    assert_eq!(nested_types(), RUNS.count());
}
