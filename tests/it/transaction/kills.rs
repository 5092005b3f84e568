//! The proof: money that is transferred by processes that are killed at every step, over connections that are cut while they commit.
//!
//! Whatever happens, each transfer happens once, every process that has a result has the same one, and no money is made or lost.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use idem_tests::{Step, Transfer, Transferred, Transferring};
use sqlx::{MySql, Postgres, Sqlite};
use testkit::proxy::{FaultProxy, Loss};
use url::Url;

use super::stage::{Db, Stage};
use crate::outbox::processes::Talking;
use crate::stage::PATIENCE;

/// Processes at a time.
const WORKERS: usize = 16;
/// Transfers of a round, all of which all of its processes want to make.
const TRANSFERS: usize = 12;
const ACCOUNTS: u32 = 8;
const CENTS: i64 = 10_000;

type TransferProcess = Talking<Transferred>;

fn start(told: &Transferring) -> TransferProcess {
    let read = |line: &str| serde_json::from_str(line).expect("a line is a report");
    Talking::start(env!("CARGO_BIN_EXE_idem-test-transfer"), told, read)
}

/// The receipts that processes have told of each transfer: there is to be one of each.
#[derive(Default)]
struct Receipts(BTreeMap<String, String>);

impl Receipts {
    fn hear(&mut self, told: Transferred) {
        if let Transferred::Done { id, receipt } = told {
            let first = self.0.entry(id.clone()).or_insert_with(|| receipt.clone());
            assert_eq!(*first, receipt, "two results of the transfer {id}");
        }
    }
}

/// The database's address through a proxy that loses commits, or their answers, where the database has a server.
fn disturbed(url: &str) -> Option<(FaultProxy, String)> {
    let address = Url::parse(url).ok()?;
    let proxy = FaultProxy::start((address.host_str()?, address.port()?));
    let before = proxy.before(url);
    Some((proxy, before))
}

fn disturb(proxy: &FaultProxy, enough: &AtomicBool, faults: &AtomicUsize) {
    let commits = || Loss::next(1).of_requests_with("COMMIT");
    while !enough.load(Ordering::Relaxed) {
        // What has met no commit by now would be one more of the next one's troubles.
        proxy.heal();
        match fastrand::u8(..10) {
            0..4 => proxy.drop_replies(commits()),
            4..8 => proxy.drop_requests(commits()),
            8 => proxy.drop_replies(commits().hanging()),
            _ => proxy.cut(),
        }
        faults.fetch_add(1, Ordering::Relaxed);
        // Seldom enough that a transfer comes through now and then, on a busy machine as well.
        std::thread::sleep(Duration::from_millis(fastrand::u64(30..150)));
    }
    proxy.heal();
}

/// A round: processes that are killed, and then some that are not.
fn round(number: usize, direct: &str, through: &str) -> BTreeMap<String, Transfer> {
    let transfers: BTreeMap<_, _> = (0..TRANSFERS)
        .map(|transfer| {
            let id = format!("{number}-{transfer}");
            let from = fastrand::u32(..ACCOUNTS);
            let to = (from + fastrand::u32(1..ACCOUNTS)) % ACCOUNTS;
            (id.clone(), Transfer { id, from, to, cents: fastrand::i64(1..100) })
        })
        .collect();
    let told = |worker: usize, stands_still| Transferring {
        database: if worker.is_multiple_of(2) { direct } else { through }.to_owned(),
        transfers: transfers.values().cloned().collect(),
        stands_still,
    };
    let receipts = Mutex::new(Receipts::default());
    // A thread each: who stands still holds locks that others wait for.
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (told, receipts) = (&told, &receipts);
            scope.spawn(move || {
                if worker.is_multiple_of(2) {
                    let step = Step::ALL[(worker / 2 + number) % Step::ALL.len()];
                    let at = (step, fastrand::usize(..TRANSFERS / 2));
                    kill_at_its_step(start(&told(worker / 2, Some(at))), receipts);
                } else {
                    let process = start(&told(worker / 2, None));
                    std::thread::sleep(Duration::from_millis(fastrand::u64(..200)));
                    kill(process, receipts);
                }
            });
        }
    });
    let mut receipts = receipts.into_inner().unwrap();
    for process in (0..2).map(|worker| start(&told(worker, None))).collect::<Vec<_>>() {
        loop {
            match process.said.recv_timeout(PATIENCE).expect("it goes on") {
                Transferred::All => break,
                said => receipts.hear(said),
            }
        }
    }
    assert_eq!(receipts.0.len(), TRANSFERS);
    transfers
}

fn kill_at_its_step(process: TransferProcess, receipts: &Mutex<Receipts>) {
    // It comes to its step, unless others have made that transfer before and it is replayed.
    while let Ok(said) = process.said.recv_timeout(PATIENCE) {
        if matches!(said, Transferred::StandsStill | Transferred::All) {
            break;
        }
        receipts.lock().unwrap().hear(said);
    }
    kill(process, receipts);
}

fn kill(mut process: TransferProcess, receipts: &Mutex<Receipts>) {
    process.process.kill();
    // What it has told by then, it has told.
    process.said.iter().for_each(|said| receipts.lock().unwrap().hear(said));
}

/// So many processes at a time are enough for a machine.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn each_transfer_happens_once<DB: Db>() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let rounds = usize::try_from(idem_tests::extent(3, 32)).unwrap();
    let stage = Stage::<DB>::new().await;
    let mut connection = stage.pool.acquire().await.unwrap();
    let tables = "CREATE TABLE transfers (id VARCHAR(40) NOT NULL)";
    DB::run(&mut connection, tables.to_owned()).await.unwrap();
    let tables = "DROP TABLE accounts";
    DB::run(&mut connection, tables.to_owned()).await.unwrap();
    let tables = "CREATE TABLE accounts (id INTEGER PRIMARY KEY, cents BIGINT NOT NULL)";
    DB::run(&mut connection, tables.to_owned()).await.unwrap();
    for account in 0..ACCOUNTS {
        let insert = format!("INSERT INTO accounts VALUES ({account}, {CENTS})");
        DB::run(&mut connection, insert).await.unwrap();
    }
    drop(connection);

    let direct = stage.url.clone();
    let (transfers, faults) = tokio::task::spawn_blocking(move || {
        let (enough, faults) = (AtomicBool::new(false), AtomicUsize::new(0));
        let disturbed = disturbed(&direct);
        let through = disturbed.as_ref().map_or(&direct, |(_, through)| through);
        let transfers = std::thread::scope(|scope| {
            if let Some((proxy, _)) = &disturbed {
                scope.spawn(|| disturb(proxy, &enough, &faults));
            }
            let transfers: Vec<_> =
                (0..rounds).flat_map(|number| round(number, &direct, through)).collect();
            enough.store(true, Ordering::Relaxed);
            transfers
        });
        (transfers, faults.into_inner())
    })
    .await
    .unwrap();

    let mut expected = vec![CENTS; usize::try_from(ACCOUNTS).unwrap()];
    for (id, transfer) in &transfers {
        expected[transfer.from as usize] -= transfer.cents;
        expected[transfer.to as usize] += transfer.cents;
        let happened = format!("SELECT count(*) FROM transfers WHERE id = '{id}'");
        assert_eq!(stage.number(&happened).await, 1, "the transfer {id}");
    }
    let all = i64::try_from(transfers.len()).unwrap();
    assert_eq!(stage.number("SELECT count(*) FROM transfers").await, all);
    assert_eq!(stage.records().await, all);
    for (account, cents) in expected.iter().enumerate() {
        let balance = format!("SELECT cents FROM accounts WHERE id = {account}");
        assert_eq!(stage.number(&balance).await, *cents, "account {account}");
    }
    tracing::info!(database = DB::NAME, kills = rounds * WORKERS, faults, "each transfer once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_transfer_happens_once_on_postgres() {
    each_transfer_happens_once::<Postgres>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_transfer_happens_once_on_mysql() {
    each_transfer_happens_once::<MySql>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_transfer_happens_once_on_sqlite() {
    each_transfer_happens_once::<Sqlite>().await;
}
