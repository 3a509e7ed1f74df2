//! Connectors that panic before they can be opened.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use segport_sdk::{Account, Batch, Connector, Context, Descriptor, ExportSpec, Outcomes, Result, Session, async_trait};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Says who it is, or panics.
trait Describe: Send + Sync + 'static {
    fn describe() -> Descriptor;
}

/// A connector that does nothing.
struct Idle<D>(std::marker::PhantomData<fn() -> D>);

#[async_trait]
impl<D: Describe> Connector for Idle<D> {
    type Settings = ();

    fn descriptor() -> Descriptor {
        D::describe()
    }
    fn open((): (), _: &Context) -> Result<Self> {
        Ok(Self(std::marker::PhantomData))
    }
    async fn check(&self, _: &Context) -> Result<Account> {
        Ok(Account { id: "idle".to_owned(), name: None, facts: Vec::new() })
    }
    async fn begin(&self, _: &Context, _: &ExportSpec) -> Result<Session> {
        Ok(Session::default())
    }
    async fn write(&self, _: &Context, _: &Batch) -> Result<Outcomes> {
        Ok(Outcomes::default())
    }
    async fn finish(&self, _: &Context, _: &Session) -> Result<()> {
        Ok(())
    }
}

struct Mute;

impl Describe for Mute {
    fn describe() -> Descriptor {
        unreachable!("it cannot say who it is")
    }
}

segport_sdk::export_connector!(Idle<Mute>, "mute");

/// Has a log of its own, which panics when it is asked for its level again.
struct Deaf;

impl Describe for Deaf {
    fn describe() -> Descriptor {
        // Kept for ever, so that it is asked.
        static LOG: OnceLock<Dispatch> = OnceLock::new();
        LOG.get_or_init(|| Dispatch::new(Touchy(AtomicBool::new(false))));
        Descriptor::new("Deaf", "Panics when the host sets the level of its log.")
    }
}

segport_sdk::export_connector!(Idle<Deaf>, "deaf");

struct Touchy(AtomicBool);

impl Subscriber for Touchy {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        assert!(!self.0.swap(true, Ordering::Relaxed), "it was asked before");
        None
    }
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
