//! Every interleaving of a few callers, one key, an unreliable network and a clock, over the state machine that the storages run.
//!
//! | file | |
//! |---|---|
//! | [`world`] | what there is: callers, messages under way, the record, what is known of the key |
//! | [`moves`] | what can happen next |
//! | [`server`] | a message meets the record: [`step`](idem_runtime::storage::transition::step) decides, or a bug put in its place |
//! | [`rows`] | which rows of the transition table were met |
//! | [`rules`] | what must hold, in terms of what was promised and not of the transition table |
//! | [`bugs`] | mistakes, to see that they are found |
//! | [`mod@explore`] | runs the checker |
//!
//! A caller does what the engine does: it claims with an owner id of its own for each call, asks again with the same id when it hears
//! nothing, runs the body when the key is its own, may renew, says how the body ended until it is told that this is recorded, and may die or
//! stand still at any moment. Messages are lost, repeated, and arrive in any order, also long after their caller has gone.
//!
//! Times are kept relative to the present, which makes the states finite.

pub mod bugs;
pub mod explore;
pub mod moves;
mod real;
pub mod rows;
pub mod rules;
pub mod server;
pub mod world;

use std::sync::Arc;

use stateright::{Model, Property};

pub use self::bugs::Bug;
pub use self::explore::{Explored, explore, explore_some};
pub use self::moves::Move;
pub use self::rows::Row;
use self::rows::Rows;
pub use self::rules::Rule;
pub use self::world::{Limits, World};

/// A world with its limits, as the checker explores it.
#[derive(Clone, Debug)]
pub struct Worlds {
    /// How much may happen.
    pub limits: Limits,
    /// What is wrong with the code under test, if anything.
    pub bug: Option<Bug>,
    reached: Arc<Rows>,
}

impl Worlds {
    /// The worlds within these limits, with a bug or without.
    pub fn new(limits: Limits, bug: Option<Bug>) -> Self {
        Self { limits, bug, reached: Arc::default() }
    }

    /// Which rows of the transition table the exploration has met.
    pub fn reached(&self) -> Arc<Rows> {
        Arc::clone(&self.reached)
    }
}

impl Model for Worlds {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.limits)]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        if world.broken.is_none() {
            moves::possible(world, &self.limits, moves);
        }
    }

    fn next_state(&self, world: &World, action: Move) -> Option<World> {
        let mut next = world.clone();
        moves::make(&mut next, action, self.bug, &self.reached);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // A property is a plain function, so each names its rule.
        vec![
            Property::always("G1 one result", |_, world| holds(world, Rule::OneResult)),
            Property::always("G2 one runner", |_, world| holds(world, Rule::OneRunner)),
            Property::always("G3 fenced writes", |_, world| holds(world, Rule::FencedWrites)),
            Property::always("G4 faithful replay", |_, world| holds(world, Rule::FaithfulReplay)),
            Property::always("G5 crash recovery", |_, world| holds(world, Rule::CrashRecovery)),
            Property::always("G6 no key locked", |_, world| holds(world, Rule::NothingStaysLocked)),
            Property::always("G7 mismatch first", |_, world| holds(world, Rule::MismatchFirst)),
            Property::always("G10 safe retries", |_, world| holds(world, Rule::SafeRetries)),
        ]
    }
}

fn holds(world: &World, rule: Rule) -> bool {
    world.broken != Some(rule)
}
