//! A connector that does what it is told to, good or bad.

#![allow(clippy::panic, reason = "it is told to")]

use std::fmt;
use std::time::Duration;

use arrow_array::{Array, StringArray};
use segport_sdk::http::Request;
use segport_sdk::{
    Account, Batch, Connector, Context, Descriptor, Error, ErrorKind, Estimate, ExportSpec, Limits, Outcomes, Result,
    RowOutcome, Secret, Session, Workload, async_trait,
};
use serde::{Deserialize, Deserializer};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    api_key: Secret,
    /// The names of the places that panic, with a comma between them.
    #[serde(default, deserialize_with = "told")]
    panic_in: String,
    #[serde(default = "hundred")]
    rows_per_batch: u32,
}

fn hundred() -> u32 {
    100
}

fn told<'de, D: Deserializer<'de>>(text: D) -> std::result::Result<String, D::Error> {
    let panic_in = String::deserialize(text)?;
    assert!(panic_in != "settings", "the key is hunter2");
    Ok(panic_in)
}

impl Settings {
    fn panics_in(&self, place: &str) -> bool {
        self.panic_in.split(',').any(|name| name == place)
    }
}

pub(crate) struct Probe(Settings);

impl Probe {
    fn reach(&self, place: &str) {
        assert!(!self.0.panics_in(place), "the key is {}", self.0.api_key.expose());
    }
}

/// Reaches a place when it is dropped.
struct Leaving<'a>(&'a Probe, &'static str);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.reach(self.1);
    }
}

/// Panics as the field of an event.
struct Field<'a>(&'a Probe);

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.reach("log");
        f.write_str("a field")
    }
}

/// What a panic carries, with a panic of its own.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        panic!("the key is hunter2");
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.reach("drop");
    }
}

#[async_trait]
impl Connector for Probe {
    type Settings = Settings;

    fn descriptor() -> Descriptor {
        Descriptor::new("Probe", "Does what it is told to.")
    }

    fn open(settings: Settings, _: &Context) -> Result<Self> {
        if settings.rows_per_batch == 0 {
            return Err(Error::new(ErrorKind::ConfigInvalid, "rows_per_batch is at least 1"));
        }
        assert!(!settings.panics_in("open"), "the key is {}", settings.api_key.expose());
        Ok(Self(settings))
    }

    fn limits(&self) -> Limits {
        self.reach("limits");
        Limits { rows_per_batch: self.0.rows_per_batch, ..Limits::default() }
    }

    async fn check(&self, cx: &Context) -> Result<Account> {
        self.reach("check");
        let request = Request::new("GET", "https://probe.test/account", "GET /account")
            .header("x-api-key", self.0.api_key.expose());
        let answer = cx.http().send(request).await?;
        Ok(Account {
            id: String::from_utf8_lossy(&answer.body).into_owned(),
            name: answer.header("x-name").map(str::to_owned),
            facts: vec![("run".to_owned(), cx.run().to_owned())],
        })
    }

    fn estimate(&self, workload: &Workload) -> Estimate {
        self.reach("estimate");
        Estimate { at_least: workload.batches, at_most: workload.rows, notes: vec!["as told".to_owned()] }
    }

    async fn begin(&self, _: &Context, export: &ExportSpec) -> Result<Session> {
        self.reach("begin");
        if self.0.panics_in("payload") {
            std::panic::panic_any(Payload);
        }
        if self.0.panics_in("a library") {
            assert_eq!(segport_sdk::contained(|| -> u8 { panic!("the data is hunter2") }), None);
        }
        tracing::info!(segments = export.segments.len(), name = "new\nsletter", "export begins");
        tracing::debug!(field = ?Field(self), "nobody asked for this");
        Ok(Session {
            state: serde_json::json!({ "export": export.id }),
            notes: vec!["begun".to_owned()],
            ..Session::default()
        })
    }

    /// The session's state says how: `"wait"` for ever, `"short"` of an outcome, or so many times as a number says later.
    async fn write(&self, _: &Context, batch: &Batch) -> Result<Outcomes> {
        self.reach("write");
        let _leaving = Leaving(self, "leave");
        for _ in 0..batch.session.state.as_u64().unwrap_or(0) {
            tokio::task::yield_now().await;
        }
        let names = batch.rows.column(0).as_any().downcast_ref::<StringArray>();
        let names = names.ok_or_else(|| Error::new(ErrorKind::Contract, "f0 is text"))?;
        let mut outcomes: Vec<RowOutcome> = names.iter().map(|name| outcome(name.unwrap_or("null"))).collect();
        match batch.session.state.as_str() {
            Some("wait") => std::future::pending().await,
            Some("short") => outcomes.truncate(outcomes.len().saturating_sub(1)),
            _ => {}
        }
        Ok(Outcomes { rows: outcomes, notes: Vec::new(), stop: None })
    }

    async fn finish(&self, _: &Context, _: &Session) -> Result<()> {
        self.reach("finish");
        Err(Error::new(ErrorKind::RateLimited, "the probe is tired").retry_after(Duration::from_secs(3)).with("a", "b"))
    }

    fn address(&self) -> Option<String> {
        Some("probe".to_owned())
    }

    /// One a segment, and one too many for an export that is called so.
    fn targets(&self, export: &ExportSpec) -> Vec<String> {
        self.reach("targets");
        let extra = (export.id == "one too many").then(|| "extra".to_owned());
        export.segments.iter().map(|segment| format!("probe/{}", segment.id)).chain(extra).collect()
    }

    fn accepts(&self, export: &ExportSpec) -> Result<()> {
        self.reach("accepts");
        if export.fields.is_empty() {
            return Err(Error::new(ErrorKind::ConfigInvalid, "no fields are mapped"));
        }
        Ok(())
    }
}

fn outcome(name: &str) -> RowOutcome {
    let reason = format!("asked for {} characters", name.len());
    match name {
        "refuse" => RowOutcome::Refused { code: "asked".to_owned(), reason },
        "unknown" => RowOutcome::Unknown { reason },
        "defer" => RowOutcome::Deferred { reason },
        _ => RowOutcome::Done(Some(format!("id-{name}"))),
    }
}

segport_sdk::export_connector!(Probe, "probe");
