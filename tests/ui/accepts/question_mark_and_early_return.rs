//! `?` converts errors, `return` leaves the body, and inference knows the type that is returned.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, ErrorKind, idempotent};

static RUNS: Runs = Runs::new();

#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("not a number")]
    Number(#[from] std::num::ParseIntError),
    #[error("refused")]
    Idempotency(#[from] Error),
}

#[idempotent(key = "parse:{text}")]
async fn parse(text: &str) -> Result<Vec<u32>, OrderError> {
    RUNS.next();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut numbers = Ok(Vec::new());
    for part in text.split(',') {
        let number = part.parse()?;
        match &mut numbers {
            Ok(numbers) => numbers.push(number),
            Err(_) => return numbers,
        }
    }
    numbers
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(parse("1,2").await.unwrap(), [1, 2]);
        assert_eq!(parse("1,2").await.unwrap(), [1, 2]);
        assert_eq!(RUNS.count(), 1);
        assert!(matches!(parse("x").await, Err(OrderError::Number(_))));
        match parse("x").await {
            Err(OrderError::Idempotency(error)) => {
                assert_eq!(error.kind(), ErrorKind::PreviouslyFailed);
                assert_eq!(error.failure(), Some("not a number"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(RUNS.count(), 2);
    });
}
