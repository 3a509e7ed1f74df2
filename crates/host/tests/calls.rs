//! Calls that end badly: panics, timeouts, cancelling, wrong answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use segport_core::http::{HttpClient, Request, Response};
use segport_core::{BatchKind, Error, ErrorKind, Outcomes, Result, Workload};
use segport_host::ConnectorInstance;
use segport_sdk::test::Script;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use support::{LONG, Project, batch, export, session, with_key};

const UPSERT: BatchKind = BatchKind::Upsert { join: Vec::new() };

async fn write(connector: &ConnectorInstance, state: Value, timeout: Duration) -> Result<Outcomes> {
    connector.write("r1", &session(state), &UPSERT, &batch(&["a", "b"]), timeout).await
}

#[tokio::test]
async fn a_panic_in_any_operation_is_an_error_that_names_the_plugin_and_ends_the_instance() {
    let project = Project::with(&["probe"]);
    for method in ["check", "begin", "write", "finish", "estimate", "accepts"] {
        let connector = project.probe(json!({ "panic_in": method }), &Script::new()).unwrap();
        let (export, nothing) = (export(), session(Value::Null));
        let error = match method {
            "check" => connector.check("", LONG).await.unwrap_err(),
            "begin" => connector.begin("", &export, LONG).await.unwrap_err(),
            "write" => write(&connector, Value::Null, LONG).await.unwrap_err(),
            "finish" => connector.finish("", &nothing, LONG).await.unwrap_err(),
            "estimate" => connector.estimate("", &Workload::default(), LONG).await.unwrap_err(),
            _ => connector.accepts("", &export, LONG).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Internal, "{method}");
        assert!(error.message().contains("plugin `probe` panicked"), "{error}");
        assert!(error.fact("at").is_some_and(|at| at.contains("probe.rs:")), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "a panic's text may hold data: {error:?}");

        let later = connector.begin("", &export, LONG).await.unwrap_err();
        assert_eq!(later.kind(), ErrorKind::Internal);
        assert!(later.message().contains("panicked in an earlier call"), "{later}");
        // Other instances go on.
        let other = project.probe(json!({}), &Script::new()).unwrap();
        write(&other, Value::Null, LONG).await.unwrap();
    }
}

#[tokio::test]
async fn a_panic_while_opening_or_closing_stays_in_the_plugin() {
    let project = Project::with(&["probe"]);
    for method in ["open", "limits"] {
        let error = project.probe(json!({ "panic_in": method }), &Script::new()).unwrap_err();
        assert!(error.message().contains("plugin `probe` panicked"), "{method}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    drop(project.probe(json!({ "panic_in": "drop" }), &Script::new()).unwrap());
    let connector = project.probe(json!({}), &Script::new()).unwrap();
    write(&connector, Value::Null, LONG).await.unwrap();
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
    let refused = Error::new(ErrorKind::Unavailable, "no route").retry_now().with("sent", "no");
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
