//! The statements that are sent, as sqlx tells of every one of them through `tracing`.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Metadata, Subscriber, callsite, level_filters::LevelFilter};

static LISTENING: AtomicBool = AtomicBool::new(false);
static STATEMENTS: Mutex<Vec<Arc<str>>> = Mutex::new(Vec::new());

/// The texts of the statements that a load sends.
pub(crate) fn sent(load: impl FnOnce()) -> Vec<Arc<str>> {
    static INSTALLED: Once = Once::new();
    // It fails only where there is another one, and then nothing is heard, which shows.
    INSTALLED.call_once(|| drop(set_global_default(Listener)));
    STATEMENTS.lock().clear();
    listen(true);
    load();
    listen(false);
    std::mem::take(&mut *STATEMENTS.lock())
}

/// While nobody listens, `tracing` costs what it costs without a subscriber.
fn listen(listening: bool) {
    LISTENING.store(listening, Ordering::SeqCst);
    callsite::rebuild_interest_cache();
}

/// The text of a statement, or its first words where those are all of it.
#[derive(Default)]
struct Text {
    whole: String,
    first_words: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "db.statement" => value.trim().clone_into(&mut self.whole),
            "summary" => value.clone_into(&mut self.first_words),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

struct Listener;

impl Listener {
    fn wants(metadata: &Metadata<'_>) -> bool {
        LISTENING.load(Ordering::Relaxed) && metadata.target() == "sqlx::query"
    }
}

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let listening = LISTENING.load(Ordering::Relaxed);
        Some(if listening { LevelFilter::TRACE } else { LevelFilter::OFF })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        Self::wants(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let text = if text.whole.is_empty() { text.first_words } else { text.whole };
        STATEMENTS.lock().push(text.into());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
