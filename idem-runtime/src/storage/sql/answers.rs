//! The answers to the verbs of a batch, which may need several statements.

use super::statement_error::{Retry, StatementError};
use super::verb::Verb;
use crate::storage::StorageError;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
use crate::storage::Written;
use crate::storage::transition::Transition;

/// What is known of one verb.
#[derive(Debug)]
pub(crate) enum Answer<R> {
    /// The verb's answer.
    Settled(Result<R, StorageError>),
    /// Nothing changed, because the row changed meanwhile: run the verb again.
    Stale,
    /// Nothing changed, because the statement was aborted with this error: run the verb again.
    Together(StorageError),
    /// Nothing changed, because a value of the statement was refused: run the verb by itself.
    Individually,
}

pub(crate) type Answers<V> = Vec<Answer<<V as Transition>::Reply>>;

/// The indices of the verbs without an answer.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn stale<R>(answers: &[Answer<R>]) -> impl Iterator<Item = usize> {
    let numbered = answers.iter().enumerate();
    numbered.filter(|(_, answer)| matches!(answer, Answer::Stale)).map(|(at, _)| at)
}

/// Stores the answers of a statement that ran for the verbs `at`. Its error concerns these verbs
/// alone: the rest of the batch has its answers.
pub(super) fn place<R>(
    answers: &mut [Answer<R>],
    at: impl IntoIterator<Item = usize>,
    said: Result<Vec<Answer<R>>, StatementError>,
) {
    match said {
        Ok(said) => at.into_iter().zip(said).for_each(|(at, answer)| answers[at] = answer),
        Err(fault) => {
            let is_alone = answers.len() == 1;
            at.into_iter().for_each(|at| answers[at] = failed(&fault, is_alone));
        }
    }
}

fn failed<R>(fault: &StatementError, is_alone: bool) -> Answer<R> {
    match fault.retry {
        Retry::Together => Answer::Together(fault.error.clone()),
        Retry::Individually | Retry::Locked if !is_alone => Answer::Individually,
        Retry::Never | Retry::Individually | Retry::Locked => {
            Answer::Settled(Err(fault.error.clone()))
        }
    }
}

/// `Done` for each verb of a batch.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) fn all_done(verbs: usize) -> Vec<Answer<Written>> {
    std::iter::repeat_with(|| Answer::Settled(Ok(Written::Done))).take(verbs).collect()
}

/// `Stale` for each verb of a batch.
pub(super) fn none_yet<V: Verb>(batch: &[V]) -> Answers<V> {
    batch.iter().map(|_| Answer::Stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageErrorKind;

    fn fault(retry: Retry) -> StatementError {
        StatementError {
            retry,
            error: StorageError::new(StorageErrorKind::Configuration, "refused"),
        }
    }

    /// The answers to three verbs where the statement of the last two fails.
    fn after(retry: Retry) -> Vec<&'static str> {
        let mut answers: Vec<Answer<u8>> =
            vec![Answer::Settled(Ok(1)), Answer::Stale, Answer::Stale];
        place(&mut answers, [1, 2], Err(fault(retry)));
        let known = |answer: &Answer<u8>| match answer {
            Answer::Settled(Ok(_)) => "done",
            Answer::Settled(Err(_)) => "told",
            Answer::Stale | Answer::Together(_) => "again",
            Answer::Individually => "alone",
        };
        answers.iter().map(known).collect()
    }

    #[test]
    fn a_fault_is_of_those_whose_statement_failed() {
        assert_eq!(after(Retry::Together), ["done", "again", "again"]);
        assert_eq!(after(Retry::Individually), ["done", "alone", "alone"]);
        assert_eq!(after(Retry::Never), ["done", "told", "told"]);
    }

    #[test]
    fn what_is_refused_by_itself_is_told() {
        let mut answers: Vec<Answer<u8>> = vec![Answer::Stale];
        place(&mut answers, [0], Err(fault(Retry::Individually)));
        assert!(matches!(answers[0], Answer::Settled(Err(_))));
    }
}
