//! What must hold, in terms of what was promised to callers. It knows nothing of the transition table.

use super::server::Answer;
use super::world::{Call, End, Entry, LEASE, Moment, RETENTION, Request, Stand, Verb};

/// A guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// G1.
    OneResult,
    /// G2.
    OneRunner,
    /// G3.
    FencedWrites,
    /// G4.
    FaithfulReplay,
    /// G5.
    CrashRecovery,
    /// G6.
    NothingStaysLocked,
    /// G7.
    MismatchFirst,
    /// G10.
    SafeRetries,
}

/// What has been promised about the key and is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Known {
    /// The last owner.
    pub held: Option<Held>,
    /// How it ended.
    pub ended: Option<End>,
    /// Whether the storage's clock was set, after which it cannot be held to durations.
    pub clock_was_set: bool,
}

/// What the last owner was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Who.
    pub owner: Call,
    /// Its fence.
    pub fence: u8,
    /// Whether for the other use of the key.
    pub other_use: bool,
    /// Whether a takeover parks.
    pub park: bool,
    /// Nobody else begins before.
    pub lease: Moment,
    /// It is remembered so long.
    pub kept: Moment,
    /// Whether it was parked.
    pub parked: bool,
}

impl Known {
    /// Time goes on; what was promised ends.
    pub fn pass(&mut self, ticks: i8) {
        if let Some(held) = &mut self.held {
            held.lease.pass(ticks);
            held.kept.pass(ticks);
            if held.kept.is_over() {
                (self.held, self.ended) = (None, None);
            }
        }
    }

    /// The clock was set: what the record says is what holds from now on, since a clock set back brings back what had ended.
    pub fn believe(&mut self, record: Option<&Entry>) {
        self.clock_was_set = true;
        (self.held, self.ended) = (None, None);
        let Some(record) = record.filter(|record| !record.expires.is_over()) else { return };
        let (lease, park) = match record.state {
            Stand::Processing { lease, park } => (lease, park),
            Stand::Finished(_) => (Moment::after(0), true),
        };
        self.held = Some(Held {
            owner: record.owner,
            fence: record.fence,
            other_use: record.other_use,
            park,
            lease,
            kept: record.expires,
            parked: record.state == Stand::Finished(End::Indeterminate),
        });
        self.ended = match record.state {
            Stand::Finished(end) if end != End::Indeterminate => Some(end),
            _ => None,
        };
    }

    /// Whether `call` may begin its body now.
    pub fn begins(&self, call: Call) -> Result<(), Rule> {
        let own = self.held.is_some_and(|held| held.owner == call);
        require(own || self.clock_was_set, Rule::OneRunner)
    }

    /// A purge has been.
    pub fn purged(&self, record: Option<&Entry>) -> Result<(), Rule> {
        require(self.ended.is_none() || record.is_some(), Rule::OneResult)?;
        require(self.held.is_none() || record.is_some(), Rule::OneRunner)
    }

    /// A claim was answered.
    pub fn claimed(
        &mut self,
        call: Call,
        (park, other_use): (bool, bool),
        answer: Answer,
    ) -> Result<(), Rule> {
        let Some(held) = self.held else {
            return match answer {
                Answer::Acquired(fence) => {
                    self.hold(call, fence, park, other_use);
                    Ok(())
                }
                Answer::Mismatch => Err(Rule::MismatchFirst),
                Answer::InProgress(_) => Err(Rule::NothingStaysLocked),
                _ => Err(Rule::FaithfulReplay),
            };
        };
        require(
            (held.other_use != other_use) == (answer == Answer::Mismatch),
            Rule::MismatchFirst,
        )?;
        match answer {
            Answer::Mismatch => Ok(()),
            Answer::Replay(end) => match self.ended {
                Some(ended) => require(end == ended, Rule::FaithfulReplay),
                None if end != End::Indeterminate => Err(Rule::FaithfulReplay),
                None if held.parked => Ok(()),
                None => {
                    require(held.park && held.lease.is_over(), Rule::CrashRecovery)?;
                    let kept = Moment::after(RETENTION);
                    self.held = Some(Held { kept, parked: true, ..held });
                    Ok(())
                }
            },
            _ if self.ended.is_some() => Err(Rule::OneResult),
            Answer::Acquired(fence) if held.owner == call => {
                require(fence == held.fence && !held.parked, Rule::SafeRetries)
            }
            Answer::Acquired(fence) => {
                require(held.lease.is_over(), Rule::OneRunner)?;
                require(!held.park, Rule::CrashRecovery)?;
                require(fence > held.fence, Rule::FencedWrites)?;
                self.hold(call, fence, park, other_use);
                Ok(())
            }
            Answer::InProgress(left) => {
                require(held.owner != call, Rule::SafeRetries)?;
                require(!held.lease.is_over() && left == held.lease.left(), Rule::CrashRecovery)
            }
            _ => Err(Rule::FaithfulReplay),
        }
    }

    fn hold(&mut self, owner: Call, fence: u8, park: bool, other_use: bool) {
        let (lease, kept) = (Moment::after(LEASE), Moment::after(LEASE + RETENTION));
        self.held = Some(Held { owner, fence, other_use, park, lease, kept, parked: false });
        self.ended = None;
    }

    /// A write was answered.
    pub fn written(
        &mut self,
        Request { call, verb }: Request,
        answer: Answer,
        is_changed: bool,
    ) -> Result<(), Rule> {
        let Some(held) = self.held.filter(|held| held.owner == call) else {
            require(answer != Answer::Done && !is_changed, Rule::FencedWrites)?;
            return self.lost(answer);
        };
        let at_work = self.ended.is_none() && !held.parked;
        let done = answer == Answer::Done;
        match verb {
            Verb::Renew => {
                require(done == at_work, Rule::FencedWrites)?;
                if done {
                    let (lease, kept) = (Moment::after(LEASE), Moment::after(LEASE + RETENTION));
                    self.held = Some(Held { lease, kept, ..held });
                }
            }
            Verb::Release => {
                require(done == at_work, Rule::NothingStaysLocked)?;
                if done {
                    self.held = None;
                }
            }
            // It is said again, and changes nothing.
            Verb::Complete(End::Indeterminate) if held.parked && self.ended.is_none() => {
                require(done && !is_changed, Rule::SafeRetries)?;
            }
            Verb::Complete(end) => match self.ended.map(|ended| ended == end) {
                None => {
                    require(done, Rule::FencedWrites)?;
                    let parked = end == End::Indeterminate;
                    let kept = Moment::after(RETENTION);
                    self.held = Some(Held { kept, parked, ..held });
                    self.ended = (!parked).then_some(end);
                }
                Some(true) => require(done, Rule::SafeRetries)?,
                Some(false) => require(!done, Rule::OneResult)?,
            },
            Verb::Claim => {}
        }
        if done { Ok(()) } else { self.lost(answer) }
    }

    /// Who has lost is told what is there instead.
    fn lost(&self, answer: Answer) -> Result<(), Rule> {
        let at_work = self.held.is_some_and(|held| !held.parked) && self.ended.is_none();
        let right = match answer {
            Answer::Gone => self.held.is_none(),
            Answer::TakenOver => at_work,
            Answer::Ended(end) => {
                self.held.is_some() && end == self.ended.unwrap_or(End::Indeterminate)
            }
            _ => false,
        };
        require(right, Rule::FaithfulReplay)
    }
}

fn require(holds: bool, rule: Rule) -> Result<(), Rule> {
    if holds { Ok(()) } else { Err(rule) }
}
