//! `on_error = "store"` keeps what an error displays, else how it debugs, else its type: no bound is needed.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

macro_rules! refusal {
    ($(#[$attr:meta])* $name:ident) => {
        $(#[$attr])*
        enum $name {
            Refused,
            Ours(Option<String>),
        }

        impl From<Error> for $name {
            fn from(error: Error) -> Self {
                Self::Ours(error.failure().map(str::to_owned))
            }
        }
    };
}

refusal!(Displayed);
refusal!(
    #[derive(Debug)]
    Debugged
);
refusal!(Silent);

impl std::fmt::Display for Displayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("displayed")
    }
}

#[idempotent(key = "displayed:{id}", on_error = "store")]
async fn displayed(id: u64) -> Result<u32, Displayed> {
    let _ = (id, RUNS.next());
    Err(Displayed::Refused)
}

#[idempotent(key = "debugged:{id}")]
async fn debugged(id: u64) -> Result<u32, Debugged> {
    let _ = (id, RUNS.next());
    Err(Debugged::Refused)
}

#[idempotent(key = "silent:{id}")]
async fn silent(id: u64) -> Result<u32, Silent> {
    let _ = (id, RUNS.next());
    Err(Silent::Refused)
}

#[idempotent(key = "generic:{id}")]
async fn generic<E: From<Error> + std::fmt::Display + From<u32>>(id: u64) -> Result<u32, E> {
    let _ = id;
    Err(RUNS.next().into())
}

impl From<u32> for Displayed {
    fn from(_run: u32) -> Self {
        Self::Refused
    }
}

#[test]
fn accepted() {
    on_memory(async {
        assert!(matches!(displayed(7).await, Err(Displayed::Refused)));
        let Err(Displayed::Ours(text)) = displayed(7).await else { panic!() };
        assert_eq!(text.unwrap(), "displayed");
        assert!(matches!(debugged(7).await, Err(Debugged::Refused)));
        let Err(Debugged::Ours(text)) = debugged(7).await else { panic!() };
        assert_eq!(text.unwrap(), "Refused");
        assert!(matches!(silent(7).await, Err(Silent::Refused)));
        let Err(Silent::Ours(text)) = silent(7).await else { panic!() };
        assert!(text.unwrap().ends_with("Silent"));
        assert!(matches!(generic::<Displayed>(7).await, Err(Displayed::Refused)));
        let Err(Displayed::Ours(text)) = generic::<Displayed>(7).await else { panic!() };
        assert_eq!(text.unwrap(), "displayed");
    });
    assert_eq!(RUNS.count(), 4);
}
