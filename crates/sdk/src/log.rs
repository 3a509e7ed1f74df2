//! `tracing` events of the plugin on their way to the host's log.

use std::fmt::{self, Write};
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use segport_abi::{HostTable, LEVEL_OFF, Slice};
use segport_boundary::level;
use segport_core::op::LogEvent;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

tokio::task_local! {
    static RUN: Arc<str>;
}

/// Runs `work` so that its events carry `run`.
pub(crate) async fn in_run<T>(run: &str, work: impl Future<Output = T> + Send) -> T {
    RUN.scope(run.into(), work).await
}

/// This library's way to the host. A library exports one plugin, so there is one.
static FORWARD: OnceLock<Forward> = OnceLock::new();

#[derive(Debug)]
struct Forward {
    host: HostTable,
    /// The most talkative level let through, as the boundary numbers it.
    level: AtomicU32,
    spans: AtomicU64,
}

/// Sends this library's events to `host` from now on. The first host stays.
pub(crate) fn forward_to(host: HostTable) {
    let level = AtomicU32::new(LEVEL_OFF);
    if FORWARD.set(Forward { host, level, spans: AtomicU64::new(1) }).is_ok() {
        // Fails where the process that the plugin is part of has a subscriber already, which then has the events.
        drop(tracing::subscriber::set_global_default(Forwarding));
    }
}

/// Lets events up to `level` through.
pub(crate) fn set_level(level: u32) {
    if let Some(forward) = FORWARD.get() {
        forward.level.store(level, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
}

fn filter() -> LevelFilter {
    level::of(FORWARD.get().map_or(LEVEL_OFF, |forward| forward.level.load(Ordering::Relaxed)))
}

/// Knows events only: the run is a field of each, and spans are not needed for it.
struct Forwarding;

impl Subscriber for Forwarding {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= filter()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(filter())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        let number = FORWARD.get().map_or(1, |forward| forward.spans.fetch_add(1, Ordering::Relaxed));
        Id::from_u64(number.max(1))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(Forward { host: HostTable { ctx, log: Some(log), .. }, .. }) = FORWARD.get() else { return };
        let mut collected = LogEvent {
            target: event.metadata().target().to_owned(),
            run: RUN.try_with(|run| run.to_string()).unwrap_or_default(),
            ..LogEvent::default()
        };
        event.record(&mut Collect(&mut collected));
        if let Ok(json) = serde_json::to_vec(&collected) {
            // SAFETY: function and `ctx` come from the host's table, which outlives the plugin; `json` lives until after
            // the call.
            unsafe { log(*ctx, level::number(*event.metadata().level()), Slice::new(&json)) };
        }
    }
}

struct Collect<'a>(&'a mut LogEvent);

impl Visit for Collect<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string does not fail; a `Debug` that does leaves what it wrote.
        write!(text, "{value:?}").unwrap_or(());
        if field.name() == "message" {
            self.0.message = text;
        } else {
            self.0.fields.push((field.name().to_owned(), text));
        }
    }
}
