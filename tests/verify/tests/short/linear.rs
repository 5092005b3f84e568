//! The checker of histories accepts what can be explained and refuses what cannot.

use idem_verify::linear::{Answer, End, History, Operation, Request, There, Violation, check};

const LEASE: u64 = 100;

const fn claim(owner: u32) -> Request {
    Request::Claim { owner, fingerprint: 0, lease: LEASE, parks: false }
}

const fn parking(owner: u32) -> Request {
    Request::Claim { owner, fingerprint: 0, lease: LEASE, parks: true }
}

const fn other_use(owner: u32) -> Request {
    Request::Claim { owner, fingerprint: 1, lease: LEASE, parks: false }
}

const fn renew(owner: u32) -> Request {
    Request::Renew { owner }
}

const fn complete(owner: u32, number: u32) -> Request {
    Request::Complete { owner, end: End::Recorded(number) }
}

const fn release(owner: u32) -> Request {
    Request::Release { owner }
}

/// An operation between two moments.
const fn done(begun: u64, ended: u64, request: Request, answer: Answer) -> Operation {
    Operation { request, begun, answered: Some((ended, answer)) }
}

/// One whose answer never came.
const fn open(begun: u64, request: Request) -> Operation {
    Operation { request, begun, answered: None }
}

fn explain(operations: &[Operation]) -> Result<(), Violation> {
    check(&History { operations: operations.to_vec(), tolerance: 0 })
}

use Answer::{Acquired, Done, InProgress, Lost, Mismatch, Recovered, Replay};

const ONE: End = End::Recorded(1);
const TWO: End = End::Recorded(2);

const GOOD: &[(&str, &[Operation])] = &[
    ("nothing", &[]),
    (
        "a call",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, complete(1, 1), Done),
            done(4, 5, claim(2), Replay(ONE)),
        ],
    ),
    (
        "two at once, one after the other in effect",
        &[done(0, 10, claim(2), InProgress), done(1, 9, claim(1), Acquired(1))],
    ),
    (
        "a takeover when the lease is over",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(101, 102, claim(2), Recovered(2)),
            done(103, 104, complete(1, 1), Lost(There::TakenOver)),
        ],
    ),
    (
        "a claim that nobody heard of, and its own second try",
        &[open(0, claim(1)), done(5, 6, claim(1), Acquired(1))],
    ),
    ("a claim that was lost", &[open(0, claim(1)), done(5, 6, claim(2), Acquired(1))]),
    (
        "a claim that came late",
        &[
            open(0, claim(1)),
            done(5, 6, claim(2), Acquired(1)),
            done(7, 8, release(2), Done),
            done(9, 10, claim(3), InProgress),
        ],
    ),
    (
        "a completion that came late",
        &[
            done(0, 1, claim(1), Acquired(1)),
            open(2, complete(1, 1)),
            done(3, 4, claim(2), InProgress),
            done(5, 6, claim(3), Replay(ONE)),
        ],
    ),
    (
        "a renewal holds the key for longer",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(90, 91, renew(1), Done),
            done(150, 151, claim(2), InProgress),
        ],
    ),
    (
        "a renewal after the lease",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(300, 301, renew(1), Done),
            done(302, 303, complete(1, 1), Done),
        ],
    ),
    (
        "a parked crash, and its healing",
        &[
            done(0, 1, parking(1), Acquired(1)),
            done(200, 201, claim(2), Replay(End::Indeterminate)),
            done(202, 203, complete(1, 1), Done),
            done(204, 205, claim(3), Replay(ONE)),
        ],
    ),
    (
        "another use",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, other_use(2), Mismatch),
            done(4, 5, release(1), Done),
            done(6, 7, other_use(2), Mismatch),
        ],
    ),
    (
        "a completion said twice",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, complete(1, 1), Done),
            done(4, 5, complete(1, 1), Done),
            done(6, 7, complete(1, 2), Lost(There::Ended(ONE))),
        ],
    ),
    (
        "a released key",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, release(1), Done),
            done(4, 5, complete(1, 1), Lost(There::Gone)),
            done(6, 7, renew(1), Lost(There::Gone)),
            done(8, 9, release(1), Done),
            done(10, 11, release(2), Lost(There::Gone)),
            done(12, 13, claim(2), Acquired(2)),
            done(14, 15, release(1), Lost(There::TakenOver)),
        ],
    ),
    (
        "a takeover after a release, asked again",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, release(1), Done),
            done(4, 5, claim(2), Acquired(2)),
            done(6, 7, claim(2), Acquired(2)),
            done(200, 201, claim(3), Recovered(3)),
            done(202, 203, claim(3), Recovered(3)),
        ],
    ),
];

const BAD: &[(&str, &[Operation])] = &[
    ("two owners at once", &[done(0, 1, claim(1), Acquired(1)), done(2, 3, claim(2), Acquired(1))]),
    (
        "two owners at once, at the same time",
        &[done(0, 10, claim(1), Acquired(1)), done(0, 10, claim(2), Acquired(1))],
    ),
    (
        "a takeover before the lease is over",
        &[done(0, 1, claim(1), Acquired(1)), done(50, 99, claim(2), Recovered(2))],
    ),
    (
        "a takeover although the lease was renewed",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(90, 91, renew(1), Done),
            done(150, 151, claim(2), Recovered(2)),
        ],
    ),
    (
        "a takeover that keeps the fence",
        &[done(0, 1, claim(1), Acquired(1)), done(200, 201, claim(2), Acquired(1))],
    ),
    (
        "in progress although the lease is over",
        &[done(0, 1, claim(1), Acquired(1)), done(200, 201, claim(2), InProgress)],
    ),
    ("in progress although nobody is at work", &[done(0, 1, claim(1), InProgress)]),
    (
        "a lost update: two ends",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, complete(1, 1), Done),
            done(4, 5, complete(1, 2), Done),
        ],
    ),
    (
        "a stale read",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, complete(1, 1), Done),
            done(4, 5, claim(2), InProgress),
        ],
    ),
    (
        "a replay of what was never recorded",
        &[done(0, 1, claim(1), Acquired(1)), done(2, 3, claim(2), Replay(ONE))],
    ),
    (
        "a replay of another end",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, complete(1, 1), Done),
            done(4, 5, claim(2), Replay(TWO)),
        ],
    ),
    (
        "two readers that see the end come and go",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 20, complete(1, 1), Done),
            done(3, 4, claim(2), Replay(ONE)),
            done(5, 6, claim(3), InProgress),
        ],
    ),
    (
        "a completion by who was taken over",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(200, 201, claim(2), Recovered(2)),
            done(202, 203, complete(1, 1), Done),
        ],
    ),
    (
        "a release by who was taken over",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(200, 201, claim(2), Recovered(2)),
            done(202, 203, release(1), Done),
        ],
    ),
    (
        "a renewal by who was taken over",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(200, 201, claim(2), Recovered(2)),
            done(202, 203, renew(1), Done),
        ],
    ),
    (
        "a release of what has ended",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, complete(1, 1), Done),
            done(4, 5, release(1), Done),
        ],
    ),
    (
        "a completion that brings a released key back",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, release(1), Done),
            done(4, 5, complete(1, 1), Done),
        ],
    ),
    (
        "a claim asked again that is told that somebody is at work",
        &[done(0, 1, claim(1), Acquired(1)), done(2, 3, claim(1), InProgress)],
    ),
    (
        "a claim asked again that gets another fence",
        &[done(0, 1, claim(1), Acquired(1)), done(2, 3, claim(1), Acquired(2))],
    ),
    (
        "a parked crash that runs again",
        &[done(0, 1, parking(1), Acquired(1)), done(200, 201, claim(2), Recovered(2))],
    ),
    (
        "parked before the lease is over",
        &[done(0, 1, parking(1), Acquired(1)), done(50, 51, claim(2), Replay(End::Indeterminate))],
    ),
    (
        "a fence that begins again after a release",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, release(1), Done),
            done(4, 5, claim(2), Acquired(1)),
        ],
    ),
    (
        "a release that passes for a crash",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, release(1), Done),
            done(4, 5, claim(2), Recovered(2)),
        ],
    ),
    (
        "a crash that passes for a release",
        &[done(0, 1, claim(1), Acquired(1)), done(200, 201, claim(2), Acquired(2))],
    ),
    (
        "a release that is asked again and lost",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, release(1), Done),
            done(4, 5, release(1), Lost(There::Gone)),
        ],
    ),
    (
        "a release that removes what another use is told by",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, release(1), Done),
            done(4, 5, other_use(2), Acquired(2)),
        ],
    ),
    (
        "another use that is let in",
        &[
            done(0, 1, claim(1), Acquired(1)),
            done(2, 3, complete(1, 1), Done),
            done(4, 5, other_use(2), Replay(ONE)),
        ],
    ),
    (
        "another use where it is the same",
        &[done(0, 1, claim(1), Acquired(1)), done(2, 3, claim(2), Mismatch)],
    ),
    (
        "a claim that nobody heard of and that came and went",
        &[open(0, claim(1)), done(5, 6, claim(2), InProgress), done(7, 8, claim(3), Acquired(1))],
    ),
];

#[test]
fn what_can_be_explained_is_accepted() {
    for (what, operations) in GOOD {
        explain(operations).unwrap_or_else(|violation| panic!("{what}: {violation}"));
    }
}

#[test]
fn what_cannot_be_explained_is_refused() {
    for (what, operations) in BAD {
        assert!(explain(operations).is_err(), "{what}");
    }
}
