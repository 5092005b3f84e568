//! What can happen next.

use super::bugs::Bug;
use super::rows::Rows;
use super::rules::Rule;
use super::server::{Answer, Policy, meet, purge};
use super::world::{Call, Caller, End, LEASE, Limits, Phase, Reply, Request, Stand, Verb, World};

/// Something that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A caller begins a call.
    Begin(usize),
    /// A caller that has heard nothing asks again.
    AskAgain(usize),
    /// A caller does not wait any longer.
    GiveUp(usize),
    /// A caller reads its answer.
    Hear(usize),
    /// A body ends so: with a value, an error that is stored, or one that gives the key up.
    End(usize, BodyEnd),
    /// A heartbeat.
    Heartbeat(usize),
    /// A caller dies. Its next call comes from another process.
    Crash(usize),
    /// A request arrives.
    Arrive(Request),
    /// A request arrives, and a copy of it is still under way.
    ArriveOnce(Request),
    /// A request is lost.
    LoseRequest(Request),
    /// A reply is lost.
    LoseReply(usize),
    /// Time goes on.
    Tick,
    /// The storage's clock is set forward by more than a lease, or back.
    SetClock(i8),
    /// Somebody purges.
    Purge,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// With a value.
    Value,
    /// With an error that is stored.
    Error,
    /// With an error that gives the key up, or by being cancelled where that means the same.
    Released,
    /// By being cancelled where a crash is parked.
    Parked,
}

/// Everything that can happen.
pub fn possible(world: &World, limits: &Limits, moves: &mut Vec<Move>) {
    for (at, caller) in world.callers.iter().enumerate() {
        let call = world.call(at);
        let asks = |verb| world.requests.contains(&Request { call, verb });
        match caller.phase {
            Phase::Idle if caller.calls < limits.calls[at] => moves.push(Move::Begin(at)),
            Phase::Idle => {}
            Phase::Claiming => {
                if caller.mail.is_none() && !asks(Verb::Claim) {
                    moves.extend([Move::AskAgain(at), Move::GiveUp(at)]);
                }
            }
            Phase::Confirming => {
                if caller.mail.is_none() && !asks(Verb::Renew) {
                    moves.push(Move::GiveUp(at));
                }
            }
            Phase::Running => {
                moves.push(Move::End(at, BodyEnd::Value));
                if at == 0 {
                    moves.push(Move::End(at, BodyEnd::Error));
                }
                let cancelled = if world.park[at] { BodyEnd::Parked } else { BodyEnd::Released };
                moves.push(Move::End(at, cancelled));
                if !asks(Verb::Renew) {
                    moves.push(Move::Heartbeat(at));
                }
            }
            Phase::Completing(end) => {
                if caller.mail.is_none() && !asks(Verb::Complete(end)) {
                    moves.push(Move::AskAgain(at));
                }
            }
            Phase::Releasing => {
                if caller.mail.is_none() && !asks(Verb::Release) {
                    moves.push(Move::AskAgain(at));
                }
            }
        }
        if caller.mail.is_some() {
            moves.push(Move::Hear(at));
            if world.losses > 0 {
                moves.push(Move::LoseReply(at));
            }
        }
        if caller.phase != Phase::Idle && world.crashes > 0 {
            moves.push(Move::Crash(at));
        }
    }
    for &request in &world.requests {
        moves.push(Move::Arrive(request));
        if world.repeats > 0 {
            moves.push(Move::ArriveOnce(request));
        }
        if world.losses > 0 {
            moves.push(Move::LoseRequest(request));
        }
    }
    moves.push(Move::Tick);
    if world.clock_steps > 0 {
        moves.extend([Move::SetClock(LEASE + 1), Move::SetClock(-1)]);
    }
    if world.record.is_some() {
        moves.push(Move::Purge);
    }
}

/// Makes it happen.
pub fn make(world: &mut World, happens: Move, bug: Option<Bug>, rows: &Rows) {
    let outcome = match happens {
        Move::Begin(at) => {
            world.callers[at].calls += 1;
            ask(world, at, Phase::Claiming, Verb::Claim);
            Ok(())
        }
        Move::AskAgain(at) => ask_again(world, at, bug),
        Move::GiveUp(at) => {
            ask(world, at, Phase::Releasing, Verb::Release);
            Ok(())
        }
        Move::Hear(at) => hear(world, at, bug),
        Move::End(at, end) => {
            finish(world, at, end);
            Ok(())
        }
        Move::Heartbeat(at) => {
            let call = world.call(at);
            world.send(Request { call, verb: Verb::Renew });
            Ok(())
        }
        Move::Crash(at) => {
            world.crashes -= 1;
            rest(world, at);
            Ok(())
        }
        Move::Arrive(request) => {
            world.requests.retain(|under_way| *under_way != request);
            arrive(world, request, bug, rows)
        }
        Move::ArriveOnce(request) => {
            world.repeats -= 1;
            arrive(world, request, bug, rows)
        }
        Move::LoseRequest(request) => {
            world.losses -= 1;
            world.requests.retain(|under_way| *under_way != request);
            Ok(())
        }
        Move::LoseReply(at) => {
            world.losses -= 1;
            world.callers[at].mail = None;
            Ok(())
        }
        Move::Tick => {
            world.pass(1);
            for caller in &mut world.callers {
                caller.late = matches!(caller.phase, Phase::Claiming | Phase::Confirming);
            }
            Ok(())
        }
        Move::SetClock(ticks) => {
            world.clock_steps -= 1;
            world.pass(ticks);
            world.known.believe(world.record.as_ref());
            Ok(())
        }
        Move::Purge => {
            purge(&mut world.record, bug, rows);
            world.known.purged(world.record.as_ref())
        }
    };
    world.broken = outcome.err().or_else(|| stays_locked(world).err());
}

fn ask(world: &mut World, at: usize, phase: Phase, verb: Verb) {
    let call = world.call(at);
    let calls = world.callers[at].calls;
    // An answer to what it asked before is of no interest any more.
    world.callers[at] = Caller { calls, phase, late: false, mail: None };
    world.send(Request { call, verb });
}

/// The call is over, or its caller dead.
fn rest(world: &mut World, at: usize) {
    let calls = world.callers[at].calls;
    world.callers[at] = Caller { calls, phase: Phase::Idle, late: false, mail: None };
}

fn ask_again(world: &mut World, at: usize, bug: Option<Bug>) -> Result<(), Rule> {
    let call = world.call(at);
    let verb = match world.callers[at].phase {
        Phase::Claiming if bug == Some(Bug::StartUnheard) => return begin(world, at),
        Phase::Claiming => Verb::Claim,
        Phase::Completing(end) => Verb::Complete(end),
        _ => Verb::Release,
    };
    world.send(Request { call, verb });
    Ok(())
}

fn begin(world: &mut World, at: usize) -> Result<(), Rule> {
    (world.callers[at].phase, world.callers[at].late) = (Phase::Running, false);
    world.known.begins(world.call(at))
}

fn finish(world: &mut World, at: usize, end: BodyEnd) {
    let call = world.call(at);
    let end = match end {
        BodyEnd::Value => End::Value(call),
        BodyEnd::Error => End::Error(call),
        BodyEnd::Parked => End::Indeterminate,
        BodyEnd::Released => return ask(world, at, Phase::Releasing, Verb::Release),
    };
    ask(world, at, Phase::Completing(end), Verb::Complete(end));
}

/// A caller reads an answer, as the engine does.
fn hear(world: &mut World, at: usize, bug: Option<Bug>) -> Result<(), Rule> {
    let Some((request, reply)) = world.callers[at].mail.take() else { return Ok(()) };
    let on_time = !world.callers[at].late || bug == Some(Bug::LateStart);
    match (world.callers[at].phase, request.verb, reply) {
        (Phase::Claiming, Verb::Claim, Reply::Acquired)
        | (Phase::Confirming, Verb::Renew, Reply::Done)
            if on_time =>
        {
            begin(world, at)
        }
        (Phase::Claiming, Verb::Claim, Reply::Acquired) => {
            ask(world, at, Phase::Confirming, Verb::Renew);
            Ok(())
        }
        (Phase::Confirming, Verb::Renew, _) => {
            ask(world, at, Phase::Claiming, Verb::Claim);
            // An answer to this may be one to its first question.
            world.callers[at].late = true;
            Ok(())
        }
        (Phase::Claiming, Verb::Claim, Reply::Over)
        | (Phase::Completing(_), Verb::Complete(_), _)
        | (Phase::Releasing, Verb::Release, _) => {
            rest(world, at);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A request reaches the storage, and its caller is answered, if it still waits.
fn arrive(world: &mut World, request: Request, bug: Option<Bug>, rows: &Rows) -> Result<(), Rule> {
    let at = usize::from(request.call.caller);
    let policy = Policy { park: world.park[at], other_use: world.is_other_use(request.call) };
    let before = world.record.filter(|record| !record.expires.is_over());
    let answer = meet(&mut world.record, request, policy, bug, rows);
    if world.call(at) == request.call && world.callers[at].phase != Phase::Idle {
        let reply = match answer {
            Answer::Acquired(..) => Reply::Acquired,
            Answer::InProgress(_) => Reply::InProgress,
            Answer::Replay(_) | Answer::Parked | Answer::Mismatch => Reply::Over,
            Answer::Done => Reply::Done,
            Answer::Gone | Answer::TakenOver | Answer::Ended(_) => Reply::Lost,
        };
        world.callers[at].mail = Some((request, reply));
    }
    match request.verb {
        Verb::Claim => world.known.claimed(request.call, (policy.park, policy.other_use), answer),
        _ => world.known.written(request, answer, world.record != before),
    }
}

/// Whoever is at work now and dies is overcome the moment its lease is over.
fn stays_locked(world: &World) -> Result<(), Rule> {
    let Some(mut record) = world.record else { return Ok(()) };
    if !matches!(record.state, Stand::Processing { .. }) {
        return Ok(());
    }
    // A clock that was set back makes a lease longer by as much.
    let set_back = if world.known.clock_was_set { LEASE } else { 0 };
    record.pass(LEASE + set_back);
    let nobody = Call { caller: u8::MAX, number: 1 };
    let request = Request { call: nobody, verb: Verb::Claim };
    let policy = Policy { park: false, other_use: record.other_use };
    match meet(&mut Some(record), request, policy, None, &Rows::default()) {
        Answer::InProgress(_) => Err(Rule::NothingStaysLocked),
        _ => Ok(()),
    }
}
