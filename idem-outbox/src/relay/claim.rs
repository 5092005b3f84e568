//! Finding lanes that have something to publish, and leasing their first events.
//!
//! Lanes are surveyed in the order of their numbers, so many at a time, each relay from a place of its own. What a survey says is never
//! trusted: taking leases what is still free, and of that only what stands at the head of its lane is kept. So no event is leased while an
//! earlier one of its lane is somebody else's.

use hashbrown::HashMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep, sleep_until};

use super::Work;
use super::settle::Mark;
use crate::database::{OutboxDatabase, Seen, Window};
use crate::error::{OutboxError, OutboxErrorKind};
use crate::store::{Held, Taken};
use idem_runtime::record::OwnerId;

/// Events of one lane, in their order.
pub(super) type Run = Vec<Taken>;

pub(super) type Runs = UnboundedReceiver<Run>;

/// Lanes of one survey.
const LANES: usize = 64;

/// Events that a survey asks of each lane while nothing is known of how many lanes have some.
const EVENTS: usize = 64;

/// The way through the lanes, from the first to the last and again.
#[derive(Debug)]
struct Tour {
    /// The lane that was looked at last.
    after: i64,
    /// Events to ask of each lane.
    events: usize,
    /// It began at the first lane.
    is_whole: bool,
    /// Something was leased on it.
    is_fruitful: bool,
}

/// What came of a look at some lanes.
enum Progress {
    /// There is more to look at.
    Onwards,
    /// All lanes have been looked at, and there was nothing to be leased in any of them.
    Idle,
}

impl<DB: OutboxDatabase, P> Work<DB, P> {
    /// Leases events until the relay is stopped.
    ///
    /// # Errors
    ///
    /// That of the first look at the table, where somebody has to change something.
    pub(super) async fn claim(
        &self,
        runs: UnboundedSender<Run>,
        marks: UnboundedSender<Mark>,
    ) -> Result<(), OutboxError> {
        let first = self.shared.try_rights().await;
        let mut is_tried = first.is_ok();
        if let Err(error) = first
            && error.kind() == OutboxErrorKind::Configuration
        {
            return Err(error);
        }
        let mut tour = Tour::from_anywhere();
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            // Heard from before the look on, so that nothing said meanwhile is missed.
            let (woken, freed) = (self.shared.woken.notified(), self.in_flight.freed());
            tokio::pin!(woken, freed);
            woken.as_mut().enable();
            freed.as_mut().enable();
            let looked = if is_tried {
                self.look(&mut tour, &runs, &marks).await
            } else {
                let tried = self.shared.try_rights().await;
                is_tried = tried.is_ok();
                tried.map(|()| Progress::Onwards)
            };
            let pause = match looked {
                Ok(Progress::Onwards) => {
                    failures = 0;
                    continue;
                }
                Ok(Progress::Idle) => {
                    failures = 0;
                    self.settings.poll.mul_f64(0.75 + fastrand::f64() / 2.0)
                }
                Err(error) => {
                    failures += 1;
                    let pause = self.settings.pause_of_all(failures);
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, ?pause, "the outbox cannot be read; trying again");
                    pause
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(pause) => {}
                () = woken, if failures == 0 => {}
                () = freed, if failures == 0 => {}
            }
        }
        Ok(())
    }

    /// Looks at some lanes and leases what can be.
    async fn look(
        &self,
        tour: &mut Tour,
        runs: &UnboundedSender<Run>,
        marks: &UnboundedSender<Mark>,
    ) -> Result<Progress, OutboxError> {
        let room = tokio::select! {
            () = self.stop.cancelled() => return Ok(Progress::Onwards),
            room = self.room() => room,
        };
        let seen = self.shared.survey(tour.window()).await?;
        let plan = plan(&seen, room);
        // A statement that leases is never given up half way: nobody would know of what it leased.
        if !plan.is_empty() && !self.stop.is_cancelled() {
            let (kept, surplus) = self.take(&plan, marks).await?;
            tour.is_fruitful |= !kept.is_empty();
            // Those that receive live until this has ended.
            for run in kept {
                let _ = runs.send(run);
            }
            for held in surplus {
                let _ = marks.send(Mark::released(held));
            }
        }
        Ok(tour.go_on(&seen, &plan, room))
    }

    /// How many events may be leased, when there may be any.
    async fn room(&self) -> usize {
        while let Some(until) = self.pause.until() {
            sleep_until(until).await;
        }
        self.in_flight.room(self.settings.batch).await
    }

    /// Leases what was planned, as far as it is still free: what is at the head of its lane, and what is not.
    async fn take(
        &self,
        plan: &[Vec<Seen>],
        marks: &UnboundedSender<Mark>,
    ) -> Result<(Vec<Run>, Vec<Held>), OutboxError> {
        let owner = OwnerId::random();
        let mut seqs: Vec<i64> = plan.iter().flatten().map(|seen| seen.seq).collect();
        // All relays lock rows in one order.
        seqs.sort_unstable();
        let until = Instant::now() + self.settings.lease;
        let taken = self.shared.take(&seqs, owner, self.settings.lease).await;
        let taken = taken.inspect_err(|_| {
            // They may have been leased all the same.
            let held = |seen: &Seen| (Held { seq: seen.seq, owner }, seen.lane);
            self.in_flight.add(plan.iter().flatten().map(held), until);
            for seq in &seqs {
                let _ = marks.send(Mark::released(Held { seq: *seq, owner }));
            }
        })?;
        self.in_flight.add(taken.iter().map(|taken| (taken.held, taken.lane)), until);
        Ok(heads(plan, taken))
    }
}

impl Tour {
    /// Not all relays look at the same lanes at the same time.
    fn from_anywhere() -> Self {
        let after = fastrand::i64(-1..i64::MAX);
        Self { after, events: EVENTS, is_whole: after < 0, is_fruitful: false }
    }

    fn window(&self) -> Window {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Window { after: self.after, lanes: number(LANES), events: number(self.events) }
    }

    /// Goes on behind what was seen, or, where there was no room for all of it, behind what was planned.
    fn go_on(&mut self, seen: &[Seen], plan: &[Vec<Seen>], room: usize) -> Progress {
        let planned: usize = plan.iter().map(Vec::len).sum();
        // Few lanes are asked for many events, and many for few.
        self.events = (room / plan.len().max(1)).clamp(4, EVENTS * 4);
        let lanes = seen.chunk_by(|a, b| a.lane == b.lane).count();
        let next = if planned < room {
            seen.last().filter(|_| lanes >= LANES).map(|seen| seen.lane)
        } else {
            plan.last().and_then(|run| run.last()).map(|seen| seen.lane)
        };
        if let Some(lane) = next {
            self.after = lane;
            return Progress::Onwards;
        }
        let is_idle = self.is_whole && !self.is_fruitful;
        *self = Self { after: -1, is_whole: true, is_fruitful: false, ..*self };
        if is_idle { Progress::Idle } else { Progress::Onwards }
    }
}

/// What to lease: the first events of lanes whose first event is free, of each lane as many as of the others.
fn plan(seen: &[Seen], room: usize) -> Vec<Vec<Seen>> {
    let lanes = seen.chunk_by(|a, b| a.lane == b.lane);
    let free = |lane: &[Seen]| lane.iter().take_while(|seen| seen.is_free).copied().collect();
    let mut runs: Vec<Vec<Seen>> = lanes.map(free).filter(|run: &Vec<_>| !run.is_empty()).collect();
    let share = (room / runs.len().max(1)).max(1);
    runs.truncate(room);
    for run in &mut runs {
        run.truncate(share);
    }
    runs
}

/// What of a plan was leased without a gap before it, and what behind one: somebody else has, or had, what is missing.
fn heads(plan: &[Vec<Seen>], taken: Vec<Taken>) -> (Vec<Run>, Vec<Held>) {
    let mut taken: HashMap<i64, Taken> =
        taken.into_iter().map(|taken| (taken.held.seq, taken)).collect();
    let head = |run: &Vec<Seen>| run.iter().map_while(|seen| taken.remove(&seen.seq)).collect();
    let kept = plan.iter().map(head).filter(|run: &Run| !run.is_empty()).collect();
    (kept, taken.into_values().map(|taken| taken.held).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, EventId};

    fn seen(lane: i64, seq: i64, is_free: bool) -> Seen {
        Seen { lane, seq, is_free }
    }

    fn taken(lane: i64, seq: i64) -> Taken {
        let held = Held { seq, owner: OwnerId::from_bytes([0; 16]) };
        Taken { held, lane, event: Event::new(EventId::random(), "t", "k", ""), attempts: 0 }
    }

    fn seqs<T>(runs: &[Vec<T>], seq: impl Fn(&T) -> i64) -> Vec<Vec<i64>> {
        runs.iter().map(|run| run.iter().map(&seq).collect()).collect()
    }

    #[test]
    fn a_lane_is_planned_up_to_its_first_event_that_is_not_free() {
        let seen = [
            seen(1, 10, true),
            seen(1, 12, false),
            seen(1, 14, true),
            seen(2, 11, false),
            seen(2, 13, true),
            seen(3, 15, true),
        ];
        assert_eq!(seqs(&plan(&seen, 100), |seen| seen.seq), [vec![10], vec![15]]);
    }

    #[test]
    fn room_is_shared_by_the_lanes() {
        let deep: Vec<_> =
            (0..3).flat_map(|lane| (0..9).map(move |n| seen(lane, 10 * lane + n, true))).collect();
        assert_eq!(seqs(&plan(&deep, 6), |seen| seen.seq), [[0, 1], [10, 11], [20, 21]]);
        assert_eq!(seqs(&plan(&deep, 2), |seen| seen.seq), [[0], [10]]);
    }

    #[test]
    fn what_stands_behind_a_gap_is_not_kept() {
        let planned = plan(
            &[
                seen(1, 10, true),
                seen(1, 11, true),
                seen(1, 12, true),
                seen(2, 20, true),
                seen(2, 21, true),
            ],
            100,
        );
        let (kept, surplus) = heads(&planned, vec![taken(2, 21), taken(1, 12), taken(1, 10)]);
        assert_eq!(seqs(&kept, |taken| taken.held.seq), [[10]]);
        let mut surplus: Vec<_> = surplus.into_iter().map(|held| held.seq).collect();
        surplus.sort_unstable();
        assert_eq!(surplus, [12, 21]);
    }

    #[test]
    fn a_tour_is_idle_when_it_was_whole_and_nothing_was_leased() {
        let mut tour = Tour { after: 5, events: 4, is_whole: false, is_fruitful: false };
        assert!(matches!(tour.go_on(&[], &[], 10), Progress::Onwards), "it began in the middle");
        let many: Vec<_> = (0..64).map(|lane| seen(lane, lane, false)).collect();
        assert!(matches!(tour.go_on(&many, &[], 10), Progress::Onwards), "there may be more lanes");
        assert_eq!(tour.after, 63);
        assert!(matches!(tour.go_on(&[], &[], 10), Progress::Idle));
        let free = [seen(1, 1, true), seen(2, 2, true)];
        tour.is_fruitful = true;
        assert!(matches!(tour.go_on(&free, &plan(&free, 1), 1), Progress::Onwards));
        assert_eq!(tour.after, 1, "there was no room for the second lane");
    }
}
