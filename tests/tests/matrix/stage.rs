//! A connector, opened as hosts do, whose calls of one kind go to the rude address.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use segport_autopilot::Autopilot;
use segport_core::http::{HttpClient, Request, Response};
use segport_core::rows::EncodedRows;
use segport_core::{Batch, ExportSegment, ExportSpec, FieldType, Limits, MappedField, Result};
use segport_host::{ConnectorInstance, Native};
use segport_sandbox::{Rude, RudeServer};
use segport_sdk::Plugin;
use segport_transport::{Connection, Egress, Options, Transport};
use serde_json::json;

use crate::clock::{Half, Skipping};

/// The title of the only list.
pub(crate) const LIST: &str = "News";
/// Longest time for one operation of the connector; longer than all deadlines of its calls together.
pub(crate) const WITHIN: Duration = Duration::from_secs(120);

/// Whether an attempt that meets this ends by its deadline.
pub(crate) fn is_silent(rude: &Rude) -> bool {
    matches!(rude, Rude::BlackHole | Rude::HalfOpen | Rude::CommitThenSilence | Rude::Drip(_))
}

/// Everything for one operation.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) server: Arc<RudeServer>,
    pub(crate) clock: Arc<Skipping>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) connector: ConnectorInstance,
    /// Attempts made at the rude address.
    pub(crate) detour: Arc<Detour>,
}

impl Stage {
    /// A stage on which the calls of `operation` meet `script`.
    pub(crate) fn new(script: Vec<Rude>, operation: &'static str, list_membership: &str) -> Self {
        let is_silent = script.iter().any(is_silent);
        // What is to be done before the silence, or answered after it, must be in time on a busy machine too.
        let deadline_ms = if script.len() > 1 { 5_000 } else { 2_000 };
        let server = Arc::new(RudeServer::start(script).unwrap());
        let clock = Arc::new(Skipping::with(segport_sandbox::Clock::system()));
        let connection = connection(&clock, 0.0);
        let detour = Arc::new(Detour {
            connection: Arc::clone(&connection),
            server: Arc::clone(&server),
            operation,
            deadline_ms: is_silent.then_some(deadline_ms),
            attempts: std::sync::atomic::AtomicU64::new(0),
        });
        let connector = connector(&server.polite_url(), list_membership, Arc::clone(&detour) as _);
        Self { server, clock, connection, connector, detour }
    }
}

/// A connection as hosts make it, on a clock that skips its waits.
pub(crate) fn connection(clock: &Arc<Skipping>, requests_per_second: f64) -> Arc<Connection> {
    let mut options = Options::new("segport/test");
    options.egress = Egress::AllowPrivate;
    options.clock = Arc::clone(clock) as _;
    options.random = Arc::new(Half);
    let limits = Limits { requests_per_second, request_timeout_ms: 120_000, max_in_flight: 10, ..Limits::default() };
    Transport::new(options).connection("autopilot", limits)
}

/// The connector as hosts open it.
pub(crate) fn connector(base_url: &str, list_membership: &str, http: Arc<dyn HttpClient>) -> ConnectorInstance {
    let settings = json!({
        "api_key": "0123456789abcdef0123456789abcdef",
        "base_url": base_url,
        "requests_per_second": 0,
        "list_membership": list_membership,
    });
    let plugin = Native::new(Plugin::connector::<Autopilot>("autopilot", "0.0.0"));
    ConnectorInstance::open(&plugin, settings, http).unwrap()
}

/// Sends the calls of one operation to the rude address.
#[derive(Debug)]
pub(crate) struct Detour {
    connection: Arc<Connection>,
    server: Arc<RudeServer>,
    operation: &'static str,
    /// For calls that are never answered, so that nothing is waited for in vain. Others have all the time that a busy machine
    /// needs.
    deadline_ms: Option<u64>,
    attempts: std::sync::atomic::AtomicU64,
}

impl Detour {
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[async_trait]
impl HttpClient for Detour {
    async fn send(&self, mut request: Request) -> Result<Response> {
        if request.head.operation != self.operation {
            return self.connection.send(request).await;
        }
        request.head.url = request.head.url.replacen(&self.server.polite_url(), &self.server.rude_url(), 1);
        request.head.timeout_ms = self.deadline_ms.or(request.head.timeout_ms);
        // One call at a time goes this way, so what is sent meanwhile is sent for it.
        let before = self.connection.counters().requests;
        let result = self.connection.send(request).await;
        let made = self.connection.counters().requests - before;
        self.attempts.fetch_add(made, std::sync::atomic::Ordering::Relaxed);
        result
    }
}

/// An export of one segment with addresses and first names.
pub(crate) fn export() -> ExportSpec {
    let field =
        |name: &str, field_type| MappedField { name: name.to_owned(), field_type, custom: false, clear_null: false };
    ExportSpec {
        id: "newsletter".to_owned(),
        segments: vec![ExportSegment {
            id: "news".to_owned(),
            display_name: LIST.to_owned(),
            first_run: false,
            list: None,
        }],
        fields: vec![field("email", FieldType::Email), field("first_name", FieldType::String)],
        account: Some(segport_sandbox::Options::default().account),
        may_move: false,
    }
}

pub(crate) fn address(name: &str) -> String {
    format!("{name}@example.com")
}

/// Rows of [`export`].
pub(crate) fn rows(names: &[&str]) -> EncodedRows {
    let emails: ArrayRef = Arc::new(StringArray::from_iter_values(names.iter().map(|name| address(name))));
    let first: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    let rows = RecordBatch::try_from_iter_with_nullable([("f0", emails, true), ("f1", first, true)]).unwrap();
    EncodedRows::new(&rows).unwrap()
}

/// Leavers with these ids.
pub(crate) fn leavers(ids: &[&str]) -> EncodedRows {
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(ids));
    let rows = RecordBatch::try_from_iter_with_nullable([(Batch::DESTINATION_ID, ids, true)]).unwrap();
    EncodedRows::new(&rows).unwrap()
}
