//! Calls that end badly: timeouts, cancelling, wrong answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use segport_core::http::{HttpClient, Request, Response};
use segport_core::{BatchKind, Error, ErrorKind, Outcomes, Result};
use segport_host::ConnectorInstance;
use segport_sdk::test::Script;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use support::{LONG, Project, batch, session, with_key};

const UPSERT: BatchKind = BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() };

async fn write(connector: &ConnectorInstance, state: Value, timeout: Duration) -> Result<Outcomes> {
    connector.writer("r1", &session(state))?.write(&UPSERT, &batch(&["a", "b"]), timeout).await
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_as_timeout_and_the_instance_goes_on() {
    let project = Project::with(&["probe"]);
    let connector = project.probe(json!({}), &Script::new()).unwrap();
    let error = write(&connector, json!("wait"), Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.to_string(), "plugin `probe` did not finish in time (timeout_ms: 20)");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    write(&connector, Value::Null, LONG).await.unwrap();
}

#[tokio::test]
async fn outcomes_that_do_not_match_the_rows_are_a_broken_contract() {
    let project = Project::with(&["probe"]);
    let connector = project.probe(json!({}), &Script::new()).unwrap();
    let error = write(&connector, json!("short"), LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert_eq!((error.fact("rows"), error.fact("outcomes")), (Some("2"), Some("1")));
}

/// Says when a request begins, never answers, and says when it is dropped.
#[derive(Debug)]
struct Silent(mpsc::UnboundedSender<&'static str>);

struct Dropped(mpsc::UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send("dropped").unwrap();
    }
}

#[async_trait]
impl HttpClient for Silent {
    async fn send(&self, _: Request) -> Result<Response> {
        let _dropped = Dropped(self.0.clone());
        self.0.send("sent").unwrap();
        std::future::pending().await
    }
}

#[tokio::test]
async fn dropping_a_call_cancels_the_request_that_it_waits_for() {
    let project = Project::with(&["probe"]);
    let plugin = project.load().load("probe").unwrap();
    let (sender, mut events) = mpsc::unbounded_channel();
    let connector = ConnectorInstance::open(&*plugin, with_key(json!({})), Arc::new(Silent(sender))).unwrap();
    {
        let check = connector.check("", LONG);
        tokio::select! {
            _ = check => panic!("nobody answers"),
            event = events.recv() => assert_eq!(event, Some("sent")),
        }
    }
    assert_eq!(events.recv().await, Some("dropped"));

    // A timeout in the plugin gives the request up, too.
    let error = connector.check("", Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!((events.recv().await, events.recv().await), (Some("sent"), Some("dropped")));
}

#[tokio::test]
async fn an_http_error_reaches_the_plugin_and_comes_back_unchanged() {
    let project = Project::with(&["probe"]);
    let refused = Error::new(ErrorKind::Unavailable, "no route").retry_now().not_sent();
    let http = Script::new();
    http.expect("GET", "https://probe.test/account", Err(refused.clone()));
    let connector = project.probe(json!({}), &http).unwrap();
    assert_eq!(connector.check("", LONG).await.unwrap_err(), refused);
    http.assert_done();
}

#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_secret() {
    let project = Project::with(&["probe"]);
    let plugin = project.load().load("probe").unwrap();
    let connector = project.probe(json!({}), &Script::new()).unwrap();
    let wrong = ConnectorInstance::open(&*plugin, json!({ "api_key": ["hunter2"] }), Script::new().client());
    let printed = format!("{plugin:?} {connector:?} {wrong:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("`settings` is not what the plugin expects"), "{printed}");
}
