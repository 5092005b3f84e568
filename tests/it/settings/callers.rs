//! The runtimes that a scene is played on.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use idem_runtime::Key;
use idem_runtime::fingerprint::Fingerprinter;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, OwnerId};
use idem_runtime::storage::{Claim, SharedStorage, Storage};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::LocalPoolHandle;

use super::matrix::Failed;

/// More than any scene takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// One runtime.
    One,
    /// Two, as actix-web has one for each worker, with the same storage.
    Two,
    /// Two, of which one has begun verbs, and stands still.
    Frozen,
}

impl Callers {
    /// Plays a scene with this key, and on a second runtime with another one.
    pub(super) async fn play<P, S, F>(
        self,
        place: &P,
        storage: Option<&SharedStorage>,
        scene: S,
        key: &str,
    ) -> Result<(), Failed>
    where
        P: Clone + Send + 'static,
        S: Fn(P, String) -> F + Clone + Send + 'static,
        F: Future<Output = Result<(), Failed>> + 'static,
    {
        let here = in_time(scene(place.clone(), key.to_owned()));
        match (self, storage) {
            (Self::Two, _) => {
                let (place, other, scene) = (place.clone(), format!("{key}-other"), scene.clone());
                let there = second().spawn_pinned(move || in_time(scene(place, other)));
                let ended = (here.await, there.await);
                ended.0?;
                let panicked = |_| Err(Failed::Broken("the other runtime panicked".to_owned()));
                ended.1.unwrap_or_else(panicked)
            }
            (Self::Frozen, Some(storage)) => {
                let frozen = Freeze::start(storage).await;
                let ended = here.await;
                frozen.thaw();
                ended
            }
            _ => here.await,
        }
    }
}

/// The second runtime. It lasts: what one has opened in the application's pool the other one may be given later.
fn second() -> &'static LocalPoolHandle {
    static SECOND: OnceLock<LocalPoolHandle> = OnceLock::new();
    SECOND.get_or_init(|| LocalPoolHandle::new(1))
}

async fn in_time(scene: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    let ended = timeout(PATIENCE, scene).await;
    ended.unwrap_or_else(|_| Err(Failed::Broken(format!("no end after {PATIENCE:?}"))))
}

/// A runtime whose thread stands still in the middle of verbs.
struct Freeze {
    thaw: std::sync::mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Freeze {
    /// Begins claims on a runtime of its own, and has its thread do something else.
    async fn start(storage: &SharedStorage) -> Self {
        let (thaw, thawed) = std::sync::mpsc::channel::<()>();
        let (tell, frozen) = oneshot::channel();
        let storage = storage.clone();
        let run = move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let claims: Vec<_> = (0..16).map(|_| claim()).collect();
                let claims =
                    futures_util::future::join_all(claims.iter().map(|claim| storage.claim(claim)));
                let stand_still = async {
                    let _ = tell.send(());
                    // Whoever waits for it has gone where this fails.
                    let _ = thawed.recv();
                };
                drop(tokio::join!(claims, stand_still));
            });
        };
        let thread = thread::spawn(run);
        let _ = frozen.await;
        Self { thaw, thread }
    }

    fn thaw(self) {
        drop(self.thaw);
        let _ = self.thread.join();
    }
}

fn claim() -> Claim {
    let key = Key::new(format!("frozen-{}", OwnerId::random())).unwrap();
    Claim {
        key: RecordKey::new("default", None, &key).unwrap(),
        owner: OwnerId::random(),
        fingerprint: Fingerprinter::new("frozen").finish(),
        lease: Duration::from_secs(1),
        ttl: Duration::from_secs(1),
        on_crash: CrashPolicy::Retry,
    }
}
