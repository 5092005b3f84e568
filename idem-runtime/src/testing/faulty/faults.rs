//! Faults and their schedule.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::storage::StorageErrorKind;
use crate::sync::Mutex;

/// A verb of [`Storage`](crate::storage::Storage).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// [`Storage::claim`](crate::storage::Storage::claim)
    Claim,
    /// [`Storage::renew`](crate::storage::Storage::renew): one fault hits the whole batch.
    Renew,
    /// [`Storage::complete`](crate::storage::Storage::complete)
    Complete,
    /// [`Storage::release`](crate::storage::Storage::release)
    Release,
    /// [`Storage::load`](crate::storage::Storage::load)
    Load,
    /// [`Storage::purge`](crate::storage::Storage::purge)
    Purge,
    /// [`Storage::scan`](crate::storage::Storage::scan)
    Scan,
    /// [`Storage::watch`](crate::storage::Storage::watch)
    Watch,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 8] = [
        Self::Claim,
        Self::Renew,
        Self::Complete,
        Self::Release,
        Self::Load,
        Self::Purge,
        Self::Scan,
        Self::Watch,
    ];
}

/// A fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call is not applied and fails with [`StorageErrorKind::NotApplied`].
    Refuse,
    /// The call is not applied and fails with an error of this kind.
    Fail(StorageErrorKind),
    /// The call is not applied and fails with [`StorageErrorKind::Indeterminate`].
    LoseRequest,
    /// The call is applied and fails with [`StorageErrorKind::Indeterminate`].
    LoseReply,
    /// The call starts after this delay.
    Delay(Duration),
    /// The call starts at once, and its answer is delayed by this time.
    DelayReply(Duration),
    /// The call is not applied and never answers.
    Hang,
    /// The call is applied and never answers.
    HangAfter,
}

/// The faults of a [`FaultyStorage`](super::FaultyStorage) and the count of its calls. Clones share
/// both.
///
/// A scripted fault ([`next`](Self::next)) takes precedence over a standing one
/// ([`always`](Self::always)), and a standing one over a random one.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    any_next: VecDeque<Fault>,
    verbs: [VerbPlan; Verb::ALL.len()],
    random: Option<Random>,
}

#[derive(Debug, Default)]
struct VerbPlan {
    next: VecDeque<Fault>,
    always: Option<Fault>,
    calls: u64,
}

#[derive(Debug)]
struct Random {
    rng: Rng,
    probability: f64,
    choices: Vec<(Verb, Fault)>,
}

impl Random {
    fn draw(&mut self, verb: Verb) -> Option<Fault> {
        let choices: Vec<_> = self.choices.iter().filter(|(of, _)| *of == verb).collect();
        if choices.is_empty() || self.rng.f64() >= self.probability {
            return None;
        }
        self.rng.choice(choices).map(|(_, fault)| *fault)
    }
}

impl Faults {
    /// Queues `fault` for the next call of `verb`.
    pub fn next(&self, verb: Verb, fault: Fault) {
        self.0.lock().verbs[verb as usize].next.push_back(fault);
    }

    /// Queues `fault` for the next call of any verb.
    pub fn any_next(&self, fault: Fault) {
        self.0.lock().any_next.push_back(fault);
    }

    /// Applies `fault` to every call of `verb`.
    pub fn always(&self, verb: Verb, fault: Fault) {
        self.0.lock().verbs[verb as usize].always = Some(fault);
    }

    /// Refuses a call, or loses its request or its reply, with this probability. The same seed
    /// gives the same faults.
    pub fn random(&self, seed: u64, probability: f64) {
        let faults = [Fault::Refuse, Fault::LoseRequest, Fault::LoseReply];
        let choices = Verb::ALL.into_iter().flat_map(|verb| faults.map(|fault| (verb, fault)));
        self.random_among(seed, probability, choices);
    }

    /// Applies one of `choices` to a call of its verb with this probability. Verbs without a choice
    /// have no random faults.
    pub fn random_among(
        &self,
        seed: u64,
        probability: f64,
        choices: impl IntoIterator<Item = (Verb, Fault)>,
    ) {
        let choices = choices.into_iter().collect();
        self.0.lock().random = Some(Random { rng: Rng::with_seed(seed), probability, choices });
    }

    /// Removes all faults. The counts stay.
    pub fn clear(&self) {
        let mut plan = self.0.lock();
        plan.random = None;
        plan.any_next.clear();
        for verb in &mut plan.verbs {
            verb.next.clear();
            verb.always = None;
        }
    }

    /// Number of calls of `verb`, failed ones included.
    pub fn calls(&self, verb: Verb) -> u64 {
        self.0.lock().verbs[verb as usize].calls
    }

    /// Counts a call of `verb` and takes its fault.
    pub(super) fn meet(&self, verb: Verb) -> Option<Fault> {
        let plan = &mut *self.0.lock();
        let of_verb = &mut plan.verbs[verb as usize];
        of_verb.calls += 1;
        let scripted = of_verb.next.pop_front().or_else(|| plan.any_next.pop_front());
        scripted.or(of_verb.always).or_else(|| plan.random.as_mut()?.draw(verb))
    }
}
