//! A queue as they are: it delivers at least once, in no particular order, and again what a dead worker had not answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::Options;
use crate::fleet::{Fleet, Worker};
use crate::orders::Order;
use crate::work::{Answer, Delivery, How};

/// So many deliveries a worker has at a time.
const WINDOW: usize = 8;

/// What the queue has counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) deliveries: usize,
    /// Deliveries made once more because their worker had died.
    pub(crate) redelivered: usize,
    pub(crate) replayed: usize,
    /// Deliveries that were refused because their order is parked.
    pub(crate) refused: usize,
    /// Those orders.
    pub(crate) parked: BTreeSet<String>,
    /// Numbers of the workers that were killed.
    pub(crate) killed: BTreeSet<u32>,
    /// What failed, with its order.
    pub(crate) failed: Vec<(Arc<Order>, String)>,
}

/// Makes all deliveries, killing workers on the way.
pub(crate) async fn deliver(
    orders: &[Arc<Order>],
    options: &Options,
    fleet: Fleet,
) -> anyhow::Result<Tally> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut deliveries: Vec<_> =
        (0..options.deliveries).flat_map(|_| orders.iter().cloned()).collect();
    random.shuffle(&mut deliveries);
    let total = deliveries.len();

    let (events, answers) = mpsc::unbounded_channel();
    let waiting = (0..total).collect();
    let mut queue = Queue {
        fleet,
        deliveries,
        waiting,
        workers: BTreeMap::new(),
        events,
        tally: Tally::default(),
    };
    for _ in 0..options.workers {
        queue.start_worker()?;
    }
    let kills = (1..=options.kills as usize).map(|n| total * n / (options.kills as usize + 1));
    queue.run(answers, kills.collect(), &mut random).await
}

struct Queue {
    fleet: Fleet,
    deliveries: Vec<Arc<Order>>,
    /// What is not with any worker.
    waiting: VecDeque<usize>,
    /// Workers with what they have not answered.
    workers: BTreeMap<u32, (Worker, BTreeSet<usize>)>,
    /// `None` when the worker has ended.
    events: mpsc::UnboundedSender<(u32, Option<Answer>)>,
    tally: Tally,
}

impl Queue {
    /// Waits for answers until all deliveries are answered; kills a worker whenever one of `kills` answers have come.
    async fn run(
        mut self,
        mut answers: mpsc::UnboundedReceiver<(u32, Option<Answer>)>,
        mut kills: VecDeque<usize>,
        random: &mut fastrand::Rng,
    ) -> anyhow::Result<Tally> {
        let total = self.deliveries.len();
        let bar = bar(total)?;
        while self.tally.deliveries < total {
            let Some((worker, answer)) = answers.recv().await else { break };
            // What a dead worker still says is lost, as an acknowledgement on a broken connection is.
            let Some((_, unanswered)) = self.workers.get_mut(&worker) else { continue };
            let Some(answer) = answer else { anyhow::bail!("worker {worker} ended by itself") };
            unanswered.remove(&answer.delivery);
            self.tally.count(&answer, &self.deliveries);
            bar.inc(1);
            if kills.front().is_some_and(|at| *at <= self.tally.deliveries) {
                kills.pop_front();
                self.kill_one(random).await?;
                bar.set_message(format!("{} killed", self.tally.killed.len()));
            }
            self.fill(worker);
        }
        bar.finish_and_clear();
        for (worker, _) in std::mem::take(&mut self.workers).into_values() {
            worker.finish().await?;
        }
        Ok(self.tally)
    }

    fn start_worker(&mut self) -> anyhow::Result<()> {
        let (worker, mut answers) = self.fleet.start()?;
        let number = worker.number;
        self.workers.insert(number, (worker, BTreeSet::new()));
        self.fill(number);
        let events = self.events.clone();
        tokio::spawn(async move {
            while let Some(answer) = answers.recv().await {
                let _ = events.send((number, Some(answer)));
            }
            let _ = events.send((number, None));
        });
        Ok(())
    }

    /// Gives a worker as much as it may have at a time.
    fn fill(&mut self, worker: u32) {
        let Some((worker, unanswered)) = self.workers.get_mut(&worker) else { return };
        while unanswered.len() < WINDOW
            && let Some(number) = self.waiting.pop_front()
        {
            unanswered.insert(number);
            let order = Arc::clone(&self.deliveries[number]);
            // To a worker that has just died it is lost, and will be delivered again.
            let _ = worker.deliveries.send(Delivery { number, order });
        }
    }

    /// Kills a worker in the middle of its work, starts another, and delivers again what the dead one had not answered.
    async fn kill_one(&mut self, random: &mut fastrand::Rng) -> anyhow::Result<()> {
        let numbers: Vec<_> = self.workers.keys().copied().collect();
        let Some(number) = random.choice(numbers) else { return Ok(()) };
        let Some((worker, unanswered)) = self.workers.remove(&number) else { return Ok(()) };
        worker.kill().await?;
        self.tally.killed.insert(number);
        self.tally.redelivered += unanswered.len();
        for delivery in unanswered {
            self.waiting.push_front(delivery);
        }
        self.start_worker()
    }
}

impl Tally {
    fn count(&mut self, answer: &Answer, deliveries: &[Arc<Order>]) {
        self.deliveries += 1;
        let order = &deliveries[answer.delivery];
        match &answer.result {
            Ok(How::Executed) => {}
            Ok(How::Replayed) => self.replayed += 1,
            Ok(How::Parked) => {
                self.refused += 1;
                self.parked.insert(order.id.clone());
            }
            Err(error) => self.failed.push((Arc::clone(order), error.clone())),
        }
    }
}

/// Shown on a terminal only.
fn bar(total: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} deliveries, {eta} left  {msg}")?;
    Ok(ProgressBar::new(total as u64).with_style(style))
}
