//! Polling lanes for pending events, and leasing the first ones of each.
//!
//! A poll reads a range of lanes in ascending order; the first poll starts at a random lane. The
//! list of events may be stale, so the statement that leases an event checks that it is still free.
//! A relay keeps only the leased events at the head of their lane, and releases the others. So it
//! never publishes an event while another relay has an earlier one of the same lane.

use hashbrown::HashMap;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, sleep_until};

use super::Worker;
use super::acknowledge::Ack;
use crate::database::{OutboxDatabase, PendingEvent, Window};
use crate::error::{OutboxError, OutboxErrorKind};
use crate::store::{Lease, LeasedEvent};
use idem_runtime::record::OwnerId;

/// Leased events of one lane, in their order.
pub(super) type LaneBatch = Vec<LeasedEvent>;

/// Lanes of one poll.
const LANES: usize = 64;

/// Events that the first poll reads of each lane.
const EVENTS: usize = 64;

/// A place in the round through all lanes.
#[derive(Debug)]
struct LaneCursor {
    /// The last lane that was read.
    after: i64,
    /// Events to read of each lane.
    events: usize,
    /// The round began at the first lane.
    from_first: bool,
    /// An event was leased in this round.
    leased_any: bool,
}

/// The result of a poll.
enum Progress {
    /// Poll again at once.
    More,
    /// A round through all lanes found no free event.
    Idle,
}

impl<DB: OutboxDatabase, P> Worker<DB, P> {
    /// Leases events until the relay is stopped.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Configuration`], if the first check of the user's rights finds it.
    pub(super) async fn poll(
        &self,
        batches: UnboundedSender<LaneBatch>,
        acks: UnboundedSender<Ack>,
    ) -> Result<(), OutboxError> {
        let first = self.shared.try_rights().await;
        let mut rights_checked = first.is_ok();
        if let Err(error) = first
            && error.kind() == OutboxErrorKind::Configuration
        {
            return Err(error);
        }
        let mut cursor = LaneCursor::at_random();
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            // Enabled before the poll, so that no notification is lost during it.
            let (woken, freed) = (self.shared.woken.notified(), self.in_flight.lane_freed());
            tokio::pin!(woken, freed);
            woken.as_mut().enable();
            freed.as_mut().enable();
            let polled = if rights_checked {
                self.poll_once(&mut cursor, &batches, &acks).await
            } else {
                let tried = self.shared.try_rights().await;
                rights_checked = tried.is_ok();
                tried.map(|()| Progress::More)
            };
            let pause = match polled {
                Ok(Progress::More) => {
                    failures = 0;
                    continue;
                }
                Ok(Progress::Idle) => {
                    failures = 0;
                    self.settings.poll.mul_f64(0.75 + fastrand::f64() / 2.0)
                }
                Err(error) => {
                    failures += 1;
                    let pause = self.settings.relay_pause(failures);
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, ?pause, "polling the outbox failed; trying again");
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

    /// Reads some lanes, and leases their first free events.
    async fn poll_once(
        &self,
        cursor: &mut LaneCursor,
        batches: &UnboundedSender<LaneBatch>,
        acks: &UnboundedSender<Ack>,
    ) -> Result<Progress, OutboxError> {
        let room = tokio::select! {
            () = self.stop.cancelled() => return Ok(Progress::More),
            room = self.room() => room,
        };
        let pending = self.shared.list_pending(cursor.window()).await?;
        let plan = plan(&pending, room);
        // The statement is not cancelled: nobody would release the events that it leased.
        if !plan.is_empty() && !self.stop.is_cancelled() {
            let (kept, surplus) = self.lease(&plan, acks).await?;
            cursor.leased_any |= !kept.is_empty();
            // The receivers outlive this loop.
            for batch in kept {
                let _ = batches.send(batch);
            }
            for lease in surplus {
                let _ = acks.send(Ack::released(lease));
            }
        }
        Ok(cursor.advance(&pending, &plan, room))
    }

    /// Waits until events may be leased, and returns how many.
    async fn room(&self) -> usize {
        while let Some(until) = self.pause.until() {
            sleep_until(until).await;
        }
        self.in_flight.room(self.settings.batch).await
    }

    /// Leases the planned events that are still free. Returns those at the heads of their lanes,
    /// and the leases of the others.
    async fn lease(
        &self,
        plan: &[Vec<PendingEvent>],
        acks: &UnboundedSender<Ack>,
    ) -> Result<(Vec<LaneBatch>, Vec<Lease>), OutboxError> {
        let owner = OwnerId::random();
        let mut seqs: Vec<i64> = plan.iter().flatten().map(|event| event.seq).collect();
        // All relays lock rows in one order.
        seqs.sort_unstable();
        let until = Instant::now() + self.settings.lease;
        let leased = self.shared.lease(&seqs, owner, self.settings.lease).await;
        let leased = leased.inspect_err(|_| {
            // The statement may have been applied.
            let lease = |event: &PendingEvent| (Lease { seq: event.seq, owner }, event.lane);
            self.in_flight.add(plan.iter().flatten().map(lease), until);
            for seq in &seqs {
                let _ = acks.send(Ack::released(Lease { seq: *seq, owner }));
            }
        })?;
        self.in_flight.add(leased.iter().map(|leased| (leased.lease, leased.lane)), until);
        Ok(heads(plan, leased))
    }
}

impl LaneCursor {
    /// At a random lane, so that relays do not all poll the same lanes.
    fn at_random() -> Self {
        let after = fastrand::i64(-1..i64::MAX);
        Self { after, events: EVENTS, from_first: after < 0, leased_any: false }
    }

    fn window(&self) -> Window {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Window { after: self.after, lanes: number(LANES), events: number(self.events) }
    }

    /// Moves behind the lanes that were read, or, if there was no room for all their events, behind
    /// the planned ones.
    fn advance(
        &mut self,
        pending: &[PendingEvent],
        plan: &[Vec<PendingEvent>],
        room: usize,
    ) -> Progress {
        let planned: usize = plan.iter().map(Vec::len).sum();
        // The fewer lanes have free events, the more events of each lane the next poll reads.
        self.events = (room / plan.len().max(1)).clamp(4, EVENTS * 4);
        let lanes = pending.chunk_by(|a, b| a.lane == b.lane).count();
        let next = if planned < room {
            pending.last().filter(|_| lanes >= LANES).map(|event| event.lane)
        } else {
            plan.last().and_then(|batch| batch.last()).map(|event| event.lane)
        };
        if let Some(lane) = next {
            self.after = lane;
            return Progress::More;
        }
        let is_idle = self.from_first && !self.leased_any;
        *self = Self { after: -1, from_first: true, leased_any: false, ..*self };
        if is_idle { Progress::Idle } else { Progress::More }
    }
}

/// The events to lease: the free events at the head of each lane, at most an equal share each.
fn plan(pending: &[PendingEvent], room: usize) -> Vec<Vec<PendingEvent>> {
    let lanes = pending.chunk_by(|a, b| a.lane == b.lane);
    let free = |lane: &[PendingEvent]| {
        lane.iter().take_while(|event| event.is_free).copied().collect::<Vec<_>>()
    };
    let mut plan: Vec<_> = lanes.map(free).filter(|lane| !lane.is_empty()).collect();
    let share = (room / plan.len().max(1)).max(1);
    plan.truncate(room);
    for lane in &mut plan {
        lane.truncate(share);
    }
    plan
}

/// Splits leased events into those with no gap before them in their lane, and the leases of those
/// behind a gap: another relay has, or had, the missing event.
fn heads(plan: &[Vec<PendingEvent>], leased: Vec<LeasedEvent>) -> (Vec<LaneBatch>, Vec<Lease>) {
    let mut leased: HashMap<i64, LeasedEvent> =
        leased.into_iter().map(|leased| (leased.lease.seq, leased)).collect();
    let head = |lane: &Vec<PendingEvent>| {
        lane.iter().map_while(|event| leased.remove(&event.seq)).collect::<LaneBatch>()
    };
    let kept = plan.iter().map(head).filter(|batch| !batch.is_empty()).collect();
    (kept, leased.into_values().map(|leased| leased.lease).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, EventId};

    fn pending(lane: i64, seq: i64, is_free: bool) -> PendingEvent {
        PendingEvent { lane, seq, is_free }
    }

    fn leased(lane: i64, seq: i64) -> LeasedEvent {
        let lease = Lease { seq, owner: OwnerId::from_bytes([0; 16]) };
        LeasedEvent { lease, lane, event: Event::new(EventId::random(), "t", "k", ""), attempts: 0 }
    }

    fn seqs<T>(batches: &[Vec<T>], seq: impl Fn(&T) -> i64) -> Vec<Vec<i64>> {
        batches.iter().map(|batch| batch.iter().map(&seq).collect()).collect()
    }

    #[test]
    fn plan_ends_at_the_first_event_of_a_lane_that_is_not_free() {
        let events = [
            pending(1, 10, true),
            pending(1, 12, false),
            pending(1, 14, true),
            pending(2, 11, false),
            pending(2, 13, true),
            pending(3, 15, true),
        ];
        assert_eq!(seqs(&plan(&events, 100), |event| event.seq), [vec![10], vec![15]]);
    }

    #[test]
    fn lanes_share_the_room() {
        let deep: Vec<_> = (0..3)
            .flat_map(|lane| (0..9).map(move |n| pending(lane, 10 * lane + n, true)))
            .collect();
        assert_eq!(seqs(&plan(&deep, 6), |event| event.seq), [[0, 1], [10, 11], [20, 21]]);
        assert_eq!(seqs(&plan(&deep, 2), |event| event.seq), [[0], [10]]);
    }

    #[test]
    fn events_behind_a_gap_are_not_kept() {
        let planned = plan(
            &[
                pending(1, 10, true),
                pending(1, 11, true),
                pending(1, 12, true),
                pending(2, 20, true),
                pending(2, 21, true),
            ],
            100,
        );
        let (kept, surplus) = heads(&planned, vec![leased(2, 21), leased(1, 12), leased(1, 10)]);
        assert_eq!(seqs(&kept, |leased| leased.lease.seq), [[10]]);
        let mut surplus: Vec<_> = surplus.into_iter().map(|lease| lease.seq).collect();
        surplus.sort_unstable();
        assert_eq!(surplus, [12, 21]);
    }

    #[test]
    fn cursor_is_idle_after_a_whole_round_without_a_lease() {
        let mut cursor = LaneCursor { after: 5, events: 4, from_first: false, leased_any: false };
        assert!(matches!(cursor.advance(&[], &[], 10), Progress::More), "it began in the middle");
        let many: Vec<_> = (0..64).map(|lane| pending(lane, lane, false)).collect();
        assert!(
            matches!(cursor.advance(&many, &[], 10), Progress::More),
            "there may be more lanes"
        );
        assert_eq!(cursor.after, 63);
        assert!(matches!(cursor.advance(&[], &[], 10), Progress::Idle));
        let free = [pending(1, 1, true), pending(2, 2, true)];
        cursor.leased_any = true;
        assert!(matches!(cursor.advance(&free, &plan(&free, 1), 1), Progress::More));
        assert_eq!(cursor.after, 1, "there was no room for the second lane");
    }
}
