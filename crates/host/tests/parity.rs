//! The same calls of the same type have the same outcome, whether its code is in this process or in a loaded library.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

#[path = "plugins/counter.rs"]
mod counter;
#[path = "plugins/probe.rs"]
mod probe;
mod support;

use std::sync::Arc;

use segport_core::http::{Response, ResponseHead};
use segport_core::{BatchKind, ExportSpec, Workload};
use segport_host::{ConnectorInstance, Native, Plugin, SourceInstance};
use segport_sdk::test::Script;
use serde_json::{Value, json};

use support::{LONG, Project, batch, export, session, with_key};

/// The version of the crate with the test plugins, which is this one.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn destination() -> Script {
    Script::answering(|request| {
        let headers = vec![("x-name".to_owned(), request.head.headers[0].1.to_uppercase())];
        Ok(Response { head: ResponseHead { status: 200, headers }, body: request.head.url.clone().into() })
    })
}

/// Everything that can be learnt of a connector, as text.
async fn observe_connector(plugin: &dyn Plugin) -> Vec<String> {
    let mut seen = vec![format!("{:?}", plugin.descriptor())];
    for settings in [
        json!({}),
        json!({ "rows_per_batch": 0 }),
        json!({ "rows_per_batch": "hunter2" }),
        json!({ "unknown": 1 }),
        json!({ "rows_per_batch": 7 }),
    ] {
        let opened = ConnectorInstance::open(plugin, with_key(settings), destination().client());
        seen.push(format!("{:?}", opened.as_ref().map(ConnectorInstance::limits)));
        let Ok(connector) = opened else { continue };
        seen.push(format!("{:?}", connector.check("r1", LONG).await));
        seen.push(format!("{:?}", connector.begin("r1", &export(), LONG).await));
        seen.push(format!("{:?}", connector.accepts("", &export(), LONG).await));
        let no_fields = ExportSpec { fields: Vec::new(), ..export() };
        seen.push(format!("{:?}", connector.accepts("", &no_fields, LONG).await));
        let workload = Workload { batches: 3, rows: 250, ..Workload::default() };
        seen.push(format!("{:?}", connector.estimate("", &workload, LONG).await));
        for (state, names) in [
            (Value::Null, vec!["a", "refuse", "unknown", "defer", "Zoë"]),
            (json!(3), vec!["a"]),
            (Value::Null, vec![]),
            (json!("short"), vec!["a", "b"]),
        ] {
            let kind = BatchKind::Upsert { join: vec![0] };
            let outcomes = connector.write("r1", &session(state), &kind, &batch(&names), LONG).await;
            seen.push(format!("{outcomes:?}"));
        }
        seen.push(format!("{:?}", connector.finish("r1", &session(Value::Null), LONG).await));
    }
    seen
}

/// Everything that can be learnt of a source, as text.
async fn observe_source(plugin: &dyn Plugin) -> Vec<String> {
    let mut seen = vec![format!("{:?}", plugin.descriptor())];
    let source = SourceInstance::open(plugin, json!({ "page": 2 }), Script::new().client()).unwrap();
    for read in [json!({ "rows": 5 }), json!({ "rows": 0 }), json!({ "rows": "five" }), json!({})] {
        seen.push(format!("{:?}", source.schema("r1", &read, LONG).await));
        for cursor in [None, Some("2"), Some("4"), Some("x")] {
            seen.push(format!("{:?}", source.read("r1", &read, cursor, LONG).await));
        }
    }
    seen
}

#[tokio::test]
async fn a_connector_is_the_same_on_both_sides() {
    let project = Project::with(&["probe"]);
    let loaded = project.load().load("probe").unwrap();
    let native = Native::new(segport_sdk::Plugin::connector::<probe::Probe>("probe", VERSION));
    let seen = observe_connector(&*loaded).await;
    assert_eq!(seen, observe_connector(&native).await);
    assert!(seen.len() > 15);
    assert!(!seen.concat().contains("hunter2"), "{seen:#?}");
}

#[tokio::test]
async fn a_source_is_the_same_on_both_sides() {
    let project = Project::with(&["counter"]);
    let loaded = project.load().load("counter").unwrap();
    let native = Native::new(segport_sdk::Plugin::source::<counter::Counter>("counter", VERSION));
    let seen = observe_source(&*loaded).await;
    assert_eq!(seen, observe_source(&native).await);
}

#[tokio::test]
async fn a_plugin_is_opened_as_what_it_is() {
    let project = Project::with(&["probe", "counter"]);
    let plugins = project.load();
    let (probe, counter) = (plugins.load("probe").unwrap(), plugins.load("counter").unwrap());
    let http = Script::new().client();
    let error = SourceInstance::open(&*probe, Value::Null, Arc::clone(&http)).unwrap_err();
    assert_eq!(error.to_string(), "plugin `probe` is a connector, not a source");
    let error = ConnectorInstance::open(&*counter, Value::Null, http).unwrap_err();
    assert_eq!(error.to_string(), "plugin `counter` is a source, not a connector");
}
