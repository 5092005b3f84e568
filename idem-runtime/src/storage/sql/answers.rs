//! The answers to the verbs of a batch, which may take more than one statement.

use super::fault::{Fault, Then};
use super::group::Verb;
use crate::storage::StorageError;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
use crate::storage::Written;
use crate::storage::transition::Transition;

/// What is known of one verb.
#[derive(Debug)]
pub(super) enum Answer<R> {
    /// This is the verb's answer.
    Settled(Result<R, StorageError>),
    /// It changed nothing, because the row changed or others came first: it goes again.
    Stale,
    /// It changed nothing, because its statement lost against others, or met this: it goes again.
    Again(StorageError),
    /// It changed nothing, because a value of its statement was refused: it goes again by itself.
    Alone,
}

pub(super) type Answers<V> = Vec<Answer<<V as Transition>::Reply>>;

/// The places of those that have no answer yet.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn stale<R>(answers: &[Answer<R>]) -> impl Iterator<Item = usize> {
    let numbered = answers.iter().enumerate();
    numbered.filter(|(_, answer)| matches!(answer, Answer::Stale)).map(|(at, _)| at)
}

/// Puts what a statement said of some verbs in their places. A fault is theirs alone: what became of the others of their batch is known.
pub(super) fn place<R>(
    answers: &mut [Answer<R>],
    at: impl IntoIterator<Item = usize>,
    said: Result<Vec<Answer<R>>, Fault>,
) {
    match said {
        Ok(said) => at.into_iter().zip(said).for_each(|(at, answer)| answers[at] = answer),
        Err(fault) => {
            let is_alone = answers.len() == 1;
            at.into_iter().for_each(|at| answers[at] = failed(&fault, is_alone));
        }
    }
}

fn failed<R>(fault: &Fault, is_alone: bool) -> Answer<R> {
    match fault.then {
        Then::Again => Answer::Again(fault.error.clone()),
        Then::Split | Then::Locked if !is_alone => Answer::Alone,
        Then::Tell | Then::Split | Then::Locked => Answer::Settled(Err(fault.error.clone())),
    }
}

/// One for each verb of a batch that has done what it was asked to.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) fn all_done(verbs: usize) -> Vec<Answer<Written>> {
    std::iter::repeat_with(|| Answer::Settled(Ok(Written::Done))).take(verbs).collect()
}

/// One for each verb of a batch of which nothing is known.
pub(super) fn none_yet<V: Verb>(batch: &[V]) -> Answers<V> {
    batch.iter().map(|_| Answer::Stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageErrorKind;

    fn fault(then: Then) -> Fault {
        Fault { then, error: StorageError::new(StorageErrorKind::Configuration, "refused") }
    }

    /// What is said of three verbs where the statement of the first has been answered and that of the others fails.
    fn after(then: Then) -> Vec<&'static str> {
        let mut answers: Vec<Answer<u8>> =
            vec![Answer::Settled(Ok(1)), Answer::Stale, Answer::Stale];
        place(&mut answers, [1, 2], Err(fault(then)));
        let known = |answer: &Answer<u8>| match answer {
            Answer::Settled(Ok(_)) => "done",
            Answer::Settled(Err(_)) => "told",
            Answer::Stale | Answer::Again(_) => "again",
            Answer::Alone => "alone",
        };
        answers.iter().map(known).collect()
    }

    #[test]
    fn a_fault_is_of_those_whose_statement_failed() {
        assert_eq!(after(Then::Again), ["done", "again", "again"]);
        assert_eq!(after(Then::Split), ["done", "alone", "alone"]);
        assert_eq!(after(Then::Tell), ["done", "told", "told"]);
    }

    #[test]
    fn what_is_refused_by_itself_is_told() {
        let mut answers: Vec<Answer<u8>> = vec![Answer::Stale];
        place(&mut answers, [0], Err(fault(Then::Split)));
        assert!(matches!(answers[0], Answer::Settled(Err(_))));
    }
}
