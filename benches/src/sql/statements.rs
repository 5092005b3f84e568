//! How many statements are sent, as sqlx tells of every one of them through `tracing`.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Metadata, Subscriber, callsite, level_filters::LevelFilter};

static COUNTING: AtomicBool = AtomicBool::new(false);
static STATEMENTS: AtomicU64 = AtomicU64::new(0);

/// How many statements a load sends.
pub(crate) fn counted(load: impl FnOnce()) -> u64 {
    static INSTALLED: Once = Once::new();
    // It fails only where there is another one, and then nothing is counted, which shows.
    INSTALLED.call_once(|| drop(set_global_default(Counter)));
    let before = STATEMENTS.load(Ordering::SeqCst);
    count(true);
    load();
    count(false);
    STATEMENTS.load(Ordering::SeqCst) - before
}

/// While nothing is counted, `tracing` costs what it costs without a subscriber.
fn count(counting: bool) {
    COUNTING.store(counting, Ordering::SeqCst);
    callsite::rebuild_interest_cache();
}

struct Counter;

impl Counter {
    fn wants(metadata: &Metadata<'_>) -> bool {
        COUNTING.load(Ordering::Relaxed) && metadata.target() == "sqlx::query"
    }
}

impl Subscriber for Counter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let counting = COUNTING.load(Ordering::Relaxed);
        Some(if counting { LevelFilter::TRACE } else { LevelFilter::OFF })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        Self::wants(metadata)
    }

    fn event(&self, _: &Event<'_>) {
        STATEMENTS.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
