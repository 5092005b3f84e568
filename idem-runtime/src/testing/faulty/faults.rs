//! What goes wrong, and when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::storage::StorageErrorKind;
use crate::sync::Mutex;

/// A verb of [`Storage`](crate::storage::Storage).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is applied, and the caller is told so: [`StorageErrorKind::NotApplied`].
    Refuse,
    /// Nothing is applied, and the caller gets an error of this kind.
    Fail(StorageErrorKind),
    /// Nothing is applied, and the caller cannot know: [`StorageErrorKind::Indeterminate`].
    LoseRequest,
    /// The call is applied, and the caller cannot know: [`StorageErrorKind::Indeterminate`].
    LoseReply,
    /// The call is made after this time.
    Delay(Duration),
    /// The call is made at once, and its answer comes after this time.
    DelayReply(Duration),
    /// Nothing is applied, and no answer ever comes.
    Hang,
    /// The call is applied, and no answer ever comes.
    HangAfter,
}

/// The faults of a [`FaultyStorage`](super::FaultyStorage) and the count of its calls. Clones share both.
///
/// A scripted fault ([`next`](Self::next)) goes before a standing one ([`always`](Self::always)), and that before a random one.
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
    /// The next call of `verb` meets `fault`; said again, the one after it does.
    pub fn next(&self, verb: Verb, fault: Fault) {
        self.0.lock().verbs[verb as usize].next.push_back(fault);
    }

    /// The next call, of whatever verb, meets `fault`; said again, the one after it does.
    pub fn any_next(&self, fault: Fault) {
        self.0.lock().any_next.push_back(fault);
    }

    /// Every call of `verb` meets `fault`.
    pub fn always(&self, verb: Verb, fault: Fault) {
        self.0.lock().verbs[verb as usize].always = Some(fault);
    }

    /// Any call is refused, or loses its request or its reply, with this probability. The same seed gives the same faults.
    pub fn random(&self, seed: u64, probability: f64) {
        let faults = [Fault::Refuse, Fault::LoseRequest, Fault::LoseReply];
        let choices = Verb::ALL.into_iter().flat_map(|verb| faults.map(|fault| (verb, fault)));
        self.random_among(seed, probability, choices);
    }

    /// A call of a verb that is among `choices` meets one of that verb's faults with this probability.
    pub fn random_among(
        &self,
        seed: u64,
        probability: f64,
        choices: impl IntoIterator<Item = (Verb, Fault)>,
    ) {
        let choices = choices.into_iter().collect();
        self.0.lock().random = Some(Random { rng: Rng::with_seed(seed), probability, choices });
    }

    /// Nothing goes wrong from now on. The counts stay.
    pub fn clear(&self) {
        let mut plan = self.0.lock();
        plan.random = None;
        plan.any_next.clear();
        for verb in &mut plan.verbs {
            verb.next.clear();
            verb.always = None;
        }
    }

    /// How many calls of `verb` were made, whatever became of them.
    pub fn calls(&self, verb: Verb) -> u64 {
        self.0.lock().verbs[verb as usize].calls
    }

    /// Counts a call of `verb` and says what goes wrong with it.
    pub(super) fn meet(&self, verb: Verb) -> Option<Fault> {
        let plan = &mut *self.0.lock();
        let of_verb = &mut plan.verbs[verb as usize];
        of_verb.calls += 1;
        let scripted = of_verb.next.pop_front().or_else(|| plan.any_next.pop_front());
        scripted.or(of_verb.always).or_else(|| plan.random.as_mut()?.draw(verb))
    }
}
