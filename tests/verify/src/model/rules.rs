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
    /// What has become of it.
    pub became: Became,
    /// Whether it was told that the owner before had died.
    pub recovered: bool,
}

/// What has become of an owner that has not said how its body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Became {
    /// Nothing yet.
    AtWork,
    /// It was parked.
    Parked,
    /// It gave the key up.
    Released,
}

impl Held {
    /// Whether it may still write.
    fn is_open(&self) -> bool {
        self.became == Became::AtWork
    }

    fn parked(&self) -> bool {
        self.became == Became::Parked
    }

    fn released(&self) -> bool {
        self.became == Became::Released
    }
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
        let (lease, park, recovered) = match record.state {
            Stand::Processing { lease, park, recovered } => (lease, park, recovered),
            Stand::Released | Stand::Finished(_) => (Moment::after(0), true, false),
        };
        self.held = Some(Held {
            owner: record.owner,
            fence: record.fence,
            other_use: record.other_use,
            park,
            lease,
            kept: record.expires,
            became: match record.state {
                Stand::Released => Became::Released,
                Stand::Finished(End::Indeterminate) => Became::Parked,
                _ => Became::AtWork,
            },
            recovered,
        });
        self.ended = match record.state {
            Stand::Finished(end) if end != End::Indeterminate => Some(end),
            _ => None,
        };
    }

    /// Whether `call` may begin its body now.
    pub fn begins(&self, call: Call) -> Result<(), Rule> {
        let own = self.held.is_some_and(|held| held.owner == call && !held.released());
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
                Answer::Acquired(fence, recovered) => {
                    require(!recovered, Rule::CrashRecovery)?;
                    self.hold(call, (fence, recovered), park, other_use);
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
                None => require(end == End::Indeterminate && held.parked(), Rule::FaithfulReplay),
            },
            Answer::Parked => {
                require(self.ended.is_none() && held.is_open(), Rule::FaithfulReplay)?;
                require(held.park && held.lease.is_over(), Rule::CrashRecovery)?;
                let (kept, became) = (Moment::NEVER, Became::Parked);
                self.held = Some(Held { kept, became, ..held });
                Ok(())
            }
            _ if self.ended.is_some() => Err(Rule::OneResult),
            Answer::Acquired(fence, recovered) if held.owner == call && !held.released() => {
                let same = (fence, recovered) == (held.fence, held.recovered);
                require(same && !held.parked(), Rule::SafeRetries)
            }
            Answer::Acquired(fence, recovered) => {
                require(held.released() || held.lease.is_over(), Rule::OneRunner)?;
                require(held.released() || !held.park, Rule::CrashRecovery)?;
                require(recovered != held.released(), Rule::CrashRecovery)?;
                require(fence > held.fence, Rule::FencedWrites)?;
                self.hold(call, (fence, recovered), park, other_use);
                Ok(())
            }
            Answer::InProgress(left) => {
                require(!held.released(), Rule::NothingStaysLocked)?;
                require(held.owner != call, Rule::SafeRetries)?;
                require(!held.lease.is_over() && left == held.lease.left(), Rule::CrashRecovery)
            }
            _ => Err(Rule::FaithfulReplay),
        }
    }

    fn hold(&mut self, owner: Call, (fence, recovered): (u8, bool), park: bool, other_use: bool) {
        let (lease, kept) = (Moment::after(LEASE), kept_at_work(park));
        let became = Became::AtWork;
        let held = Held { owner, fence, other_use, park, lease, kept, became, recovered };
        self.held = Some(held);
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
        let at_work = self.ended.is_none() && held.is_open();
        let done = answer == Answer::Done;
        match verb {
            Verb::Renew => {
                require(done == at_work, Rule::FencedWrites)?;
                if done {
                    let (lease, kept) = (Moment::after(LEASE), kept_at_work(held.park));
                    self.held = Some(Held { lease, kept, ..held });
                }
            }
            Verb::Release => {
                require(done == (at_work || held.released()), Rule::NothingStaysLocked)?;
                require(at_work || !is_changed, Rule::SafeRetries)?;
                if at_work {
                    let kept = Moment::after(RETENTION);
                    self.held = Some(Held { kept, became: Became::Released, ..held });
                }
            }
            Verb::Complete(_) if held.released() => {
                require(!done && !is_changed, Rule::FencedWrites)?;
            }
            // It is said again, and changes nothing.
            Verb::Complete(End::Indeterminate) if held.parked() && self.ended.is_none() => {
                require(done && !is_changed, Rule::SafeRetries)?;
            }
            Verb::Complete(end) => match self.ended.map(|ended| ended == end) {
                None => {
                    require(done, Rule::FencedWrites)?;
                    let parked = end == End::Indeterminate;
                    let (kept, became) = if parked {
                        (Moment::NEVER, Became::Parked)
                    } else {
                        (Moment::after(RETENTION), Became::AtWork)
                    };
                    self.held = Some(Held { kept, became, ..held });
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
        let at_work = self.held.is_some_and(|held| held.is_open()) && self.ended.is_none();
        let right = match answer {
            Answer::Gone => self.held.is_none_or(|held| held.released()),
            Answer::TakenOver => at_work,
            Answer::Ended(end) => {
                self.held.is_some_and(|held| !held.released())
                    && end == self.ended.unwrap_or(End::Indeterminate)
            }
            _ => false,
        };
        require(right, Rule::FaithfulReplay)
    }
}

/// How long the record of an owner at work is kept: for ever where a takeover parks it.
fn kept_at_work(park: bool) -> Moment {
    if park { Moment::NEVER } else { Moment::after(LEASE + RETENTION) }
}

fn require(holds: bool, rule: Rule) -> Result<(), Rule> {
    if holds { Ok(()) } else { Err(rule) }
}
