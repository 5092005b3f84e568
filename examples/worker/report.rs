//! What happened, and whether it is what was promised.

use std::sync::Arc;

use crate::OnCrash;
use crate::bank::Ledger;
use crate::fleet::Kind;
use crate::orders::Order;
use crate::queue::Tally;

/// Prints what the queue and the ledger counted.
pub(crate) fn print(kind: Kind, tally: &Tally, ledger: &Ledger) {
    let runs = || ledger.runs.values().flatten();
    let takeovers = runs().filter(|run| run.attempt > 1).count();
    let row = |name: &str, count: usize, note: &str| println!("{name:<12}{count:>7}   {note}");
    row("deliveries", tally.deliveries, "answered");
    row("redelivered", tally.redelivered, "because a worker was killed before it had answered");
    row("kills", tally.killed.len(), kind.how_it_dies());
    row("executions", runs().count(), "by the ledger");
    row(
        "takeovers",
        takeovers,
        "executions after an owner that was silent for longer than its lease",
    );
    row("replays", tally.replayed, "deliveries answered with the result of an earlier execution");
    if tally.refused > 0 {
        row("refused", tally.refused, "deliveries of an order that is parked");
    }
    println!();
}

/// Checks against the ledger what the library answers for, and says what it does not.
///
/// 1. An order runs again only if the worker that ran it before was killed; with `park` it never does.
/// 2. An order is booked once, with its own amount; with `park` a parked one may also not be booked at all.
pub(crate) fn verify(
    orders: &[Arc<Order>],
    on_crash: OnCrash,
    tally: &Tally,
    ledger: &Ledger,
) -> anyhow::Result<()> {
    for (order, error) in &tally.failed {
        println!("order {} failed: {error}", order.id);
    }
    anyhow::ensure!(tally.failed.is_empty(), "{} deliveries failed", tally.failed.len());
    for order in orders {
        verify_runs(order, on_crash, tally, ledger)?;
        verify_charge(order, tally, ledger)?;
    }
    match on_crash {
        OnCrash::Retry => {
            let again = ledger.runs.values().filter(|runs| runs.len() > 1).count();
            println!("Each of the {} orders was charged once.", orders.len());
            if again > 0 {
                let repeats = ledger.repeats;
                println!(
                    "{again} ran again, always because the worker that ran the order had been killed."
                );
                println!(
                    "{repeats} times it had been booked before the kill: the bank knew the order's number and did not book again."
                );
            }
        }
        OnCrash::Park => {
            anyhow::ensure!(ledger.repeats == 0, "the bank was asked twice for an order");
            let booked = tally.parked.iter().filter(|id| ledger.booked.contains_key(*id)).count();
            let parked = tally.parked.len();
            println!(
                "No order was charged twice, and {} were charged once.",
                orders.len() - parked + booked
            );
            println!(
                "{parked} are parked, because their worker was killed half way: {booked} of them charged, {} not. A person decides.",
                parked - booked
            );
        }
    }
    Ok(())
}

fn verify_runs(
    order: &Order,
    on_crash: OnCrash,
    tally: &Tally,
    ledger: &Ledger,
) -> anyhow::Result<()> {
    let Some([before @ .., _]) = ledger.runs.get(&order.id).map(Vec::as_slice) else {
        anyhow::bail!("order {} never ran", order.id);
    };
    let without_cause = before.iter().find(|run| !tally.killed.contains(&run.worker));
    if let Some(run) = without_cause {
        anyhow::bail!("order {} ran again although worker {} was not killed", order.id, run.worker);
    }
    let again = on_crash == OnCrash::Park && !before.is_empty();
    anyhow::ensure!(!again, "order {} was parked and ran again", order.id);
    Ok(())
}

fn verify_charge(order: &Order, tally: &Tally, ledger: &Ledger) -> anyhow::Result<()> {
    match ledger.booked.get(&order.id).map_or(&[][..], Vec::as_slice) {
        [(amount, currency)] if *amount == order.amount && *currency == order.currency => Ok(()),
        [] if tally.parked.contains(&order.id) => Ok(()),
        charges => anyhow::bail!("order {} was booked as {charges:?}", order.id),
    }
}
