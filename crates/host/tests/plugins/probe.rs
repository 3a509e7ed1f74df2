//! A connector that does what it is told to, good or bad.

use std::time::Duration;

use arrow_array::{Array, StringArray};
use segport_sdk::http::Request;
use segport_sdk::{
    Account, Batch, Connector, Context, Descriptor, Error, ErrorKind, Estimate, ExportSpec, Limits, Outcomes, Result,
    RowOutcome, Secret, Session, Workload, async_trait,
};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    api_key: Secret,
    /// The name of the method that panics.
    #[serde(default)]
    panic_in: String,
    #[serde(default = "hundred")]
    rows_per_batch: u32,
}

fn hundred() -> u32 {
    100
}

pub(crate) struct Probe(Settings);

impl Probe {
    fn reach(&self, method: &str) {
        assert!(self.0.panic_in != method, "the key is {}", self.0.api_key.expose());
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
        assert!(settings.panic_in != "open", "the key is {}", settings.api_key.expose());
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
        tracing::info!(segments = export.segments.len(), name = "new\nsletter", "export begins");
        tracing::debug!("nobody asked for this");
        Ok(Session { state: serde_json::json!({ "export": export.id }), notes: vec!["begun".to_owned()] })
    }

    /// The session's state says how: `"wait"` for ever, `"short"` of an outcome, or so many times as a number says later.
    async fn write(&self, _: &Context, batch: &Batch) -> Result<Outcomes> {
        self.reach("write");
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

/// A connector whose description panics.
pub(crate) struct Mute;

#[async_trait]
impl Connector for Mute {
    type Settings = ();

    fn descriptor() -> Descriptor {
        unreachable!("it cannot say who it is")
    }
    fn open((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
    async fn check(&self, _: &Context) -> Result<Account> {
        Ok(Account { id: String::new(), name: None, facts: Vec::new() })
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

segport_sdk::export_connector!(Mute, "mute");
