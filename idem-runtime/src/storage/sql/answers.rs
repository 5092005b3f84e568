//! The answers to the verbs of a batch, which may need several statements.

use super::statement_error::{Rerun, StatementError};
use super::verb::KeyedVerb;
use crate::storage::StorageError;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
use crate::storage::Written;
use crate::storage::transition::Transition;

/// The answer to one verb, so far.
#[derive(Debug)]
pub(crate) enum VerbAnswer<R> {
    /// The verb's answer.
    Settled(Result<R, StorageError>),
    /// Nothing changed, because the row changed meanwhile: run the verb again.
    Stale,
    /// Nothing changed, because the statement was aborted with this error: run the verb again.
    Together(StorageError),
    /// Nothing changed, because a value of the statement was refused: run the verb by itself.
    Individually,
}

pub(crate) type VerbAnswers<V> = Vec<VerbAnswer<<V as Transition>::Reply>>;

/// The indices of the verbs without an answer.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn stale<R>(answers: &[VerbAnswer<R>]) -> impl Iterator<Item = usize> {
    let numbered = answers.iter().enumerate();
    numbered.filter(|(_, answer)| matches!(answer, VerbAnswer::Stale)).map(|(at, _)| at)
}

/// Stores the answers of a statement that ran for the verbs `at`. Its error concerns these verbs
/// alone: the rest of the batch has its answers.
pub(super) fn place<R>(
    answers: &mut [VerbAnswer<R>],
    at: impl IntoIterator<Item = usize>,
    said: Result<Vec<VerbAnswer<R>>, StatementError>,
) {
    match said {
        Ok(said) => at.into_iter().zip(said).for_each(|(at, answer)| answers[at] = answer),
        Err(fault) => {
            let is_alone = answers.len() == 1;
            at.into_iter().for_each(|at| answers[at] = failed(&fault, is_alone));
        }
    }
}

fn failed<R>(fault: &StatementError, is_alone: bool) -> VerbAnswer<R> {
    match fault.retry {
        Rerun::Together => VerbAnswer::Together(fault.error.clone()),
        Rerun::Individually | Rerun::Locked if !is_alone => VerbAnswer::Individually,
        Rerun::Never | Rerun::Individually | Rerun::Locked => {
            VerbAnswer::Settled(Err(fault.error.clone()))
        }
    }
}

/// `Done` for each verb of a batch.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) fn all_done(verbs: usize) -> Vec<VerbAnswer<Written>> {
    std::iter::repeat_with(|| VerbAnswer::Settled(Ok(Written::Done))).take(verbs).collect()
}

/// `Stale` for each verb of a batch.
pub(super) fn none_yet<V: KeyedVerb>(batch: &[V]) -> VerbAnswers<V> {
    batch.iter().map(|_| VerbAnswer::Stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageErrorKind;

    fn fault(retry: Rerun) -> StatementError {
        StatementError {
            retry,
            error: StorageError::new(StorageErrorKind::Configuration, "refused"),
        }
    }

    /// The answers to three verbs where the statement of the last two fails.
    fn after(retry: Rerun) -> Vec<&'static str> {
        let mut answers: Vec<VerbAnswer<u8>> =
            vec![VerbAnswer::Settled(Ok(1)), VerbAnswer::Stale, VerbAnswer::Stale];
        place(&mut answers, [1, 2], Err(fault(retry)));
        let known = |answer: &VerbAnswer<u8>| match answer {
            VerbAnswer::Settled(Ok(_)) => "done",
            VerbAnswer::Settled(Err(_)) => "told",
            VerbAnswer::Stale | VerbAnswer::Together(_) => "again",
            VerbAnswer::Individually => "alone",
        };
        answers.iter().map(known).collect()
    }

    #[test]
    fn a_fault_is_of_those_whose_statement_failed() {
        assert_eq!(after(Rerun::Together), ["done", "again", "again"]);
        assert_eq!(after(Rerun::Individually), ["done", "alone", "alone"]);
        assert_eq!(after(Rerun::Never), ["done", "told", "told"]);
    }

    #[test]
    fn what_is_refused_by_itself_is_told() {
        let mut answers: Vec<VerbAnswer<u8>> = vec![VerbAnswer::Stale];
        place(&mut answers, [0], Err(fault(Rerun::Individually)));
        assert!(matches!(answers[0], VerbAnswer::Settled(Err(_))));
    }
}
