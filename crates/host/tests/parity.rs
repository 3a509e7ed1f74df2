//! The same calls of the same type have the same outcome, whether its code is in this process or in a loaded library.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

#[path = "plugins/counter.rs"]
mod counter;
#[path = "plugins/probe.rs"]
mod probe;
mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use segport_core::http::{Response, ResponseHead};
use segport_core::op::{self, ReadHead};
use segport_core::{BatchKind, ExportSpec, Frame, Workload};
use segport_host::{ConnectorInstance, Native, Plugin, SourceInstance};
use segport_sdk::test::Script;
use serde_json::{Value, json};

use support::{LONG, Project, batch, export, session, with_key};

/// Short enough for a call without end.
const SHORT: Duration = Duration::from_millis(5);

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
        seen.push(format!("{:?}", connector.address()));
        seen.push(format!("{:?}", connector.check("r1", LONG).await));
        seen.push(format!("{:?}", connector.begin("r1", &export(), LONG).await));
        seen.push(format!("{:?}", connector.accepts("", &export(), LONG).await));
        let no_fields = ExportSpec { fields: Vec::new(), ..export() };
        seen.push(format!("{:?}", connector.accepts("", &no_fields, LONG).await));
        seen.push(format!("{:?}", connector.targets("", &export(), LONG).await));
        let astray = ExportSpec { id: "one too many".to_owned(), ..export() };
        seen.push(format!("{:?}", connector.targets("", &astray, LONG).await));
        let workload = Workload { batches: 3, rows: 250, ..Workload::default() };
        seen.push(format!("{:?}", connector.estimate("", &workload, LONG).await));
        let write = async |state: &Value, kind: &BatchKind, names: &[&str], timeout| {
            connector.writer("r1", &session(state.clone()))?.write(kind, &batch(names), timeout).await
        };
        for (state, names) in [
            (Value::Null, vec!["a", "refuse", "unknown", "defer", "Zoë"]),
            (json!(3), vec!["a"]),
            (Value::Null, vec![]),
            (json!("short"), vec!["a", "b"]),
        ] {
            for kind in [BatchKind::Upsert { join: vec![0], rejoin: Vec::new() }, BatchKind::Remove { segment: 0 }] {
                let outcomes = write(&state, &kind, &names, LONG).await;
                seen.push(format!("{outcomes:?}"));
            }
        }
        let kind = BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() };
        let late = write(&json!("wait"), &kind, &["a"], SHORT).await;
        seen.push(format!("{late:?}"));
        seen.push(format!("{:?}", connector.finish("r1", &session(Value::Null), LONG).await));
    }
    seen
}

/// Everything that can be learnt of a source, as text.
async fn observe_source(plugin: &dyn Plugin) -> Vec<String> {
    let mut seen = vec![format!("{:?}", plugin.descriptor())];
    for settings in [json!({}), json!({ "page": "hunter2" })] {
        seen.push(format!("{:?}", SourceInstance::open(plugin, settings, Script::new().client())));
    }
    let source = SourceInstance::open(plugin, json!({ "page": 2 }), Script::new().client()).unwrap();
    let head = |read: &Value, cursor: Option<&str>| ReadHead {
        read: read.clone(),
        cursor: cursor.map(str::to_owned),
        columns: Some(vec!["n".to_owned()]),
    };
    seen.push(format!("{:?}", source.read("r1", &head(&json!({ "rows": 5 }), Some("wait")), SHORT).await));
    for read in [json!({ "rows": 5 }), json!({ "rows": 0 }), json!({ "rows": "five" }), json!({})] {
        seen.push(format!("{:?}", source.schema("r1", &read, LONG).await));
        for cursor in [None, Some("2"), Some("4"), Some("x")] {
            seen.push(format!("{:?}", source.read("r1", &head(&read, cursor), LONG).await));
        }
    }
    seen
}

/// What every operation answers to bytes that are no request of it, and what operations that do not exist answer, as text.
async fn observe_nonsense(plugin: &dyn Plugin, settings: Value) -> Vec<String> {
    let instance = plugin.open(settings, Script::new().client()).unwrap();
    let mut requests = vec![Bytes::new(), Bytes::from_static(b"no frame"), Bytes::from_static(&[0xFF; 64])];
    for header in
        [json!(null), json!({ "run": "r1" }), json!({ "run": 1, "args": null }), json!({ "run": "", "args": 7 })]
    {
        requests.push(Frame::header_only(&header).unwrap());
    }
    let args = json!({ "session": { "state": null }, "kind": { "upsert": { "join": [] } } });
    let write = json!({ "run": "r1", "args": args });
    for payload in [&b""[..], b"no rows", &[0xFF; 8]] {
        let append = |out: &mut Vec<u8>| {
            out.extend_from_slice(payload);
            Ok(())
        };
        requests.push(Frame::encode(&write, append).unwrap());
    }
    let mut seen = Vec::new();
    for op in
        [op::CHECK, op::BEGIN, op::WRITE, op::FINISH, op::ESTIMATE, op::ACCEPTS, op::TARGETS, op::SCHEMA, op::READ]
            .into_iter()
            .chain([0, 8, 31, 34, u32::MAX])
    {
        for request in &requests {
            seen.push(format!("{op}: {:?}", instance.call(op, LONG, request.clone()).await));
        }
    }
    seen
}

#[tokio::test]
async fn nonsense_is_the_same_on_both_sides() {
    let project = Project::with(&["probe", "counter"]);
    let plugins = project.load();
    let probe = Native::new(segport_sdk::Plugin::connector::<probe::Probe>("probe", VERSION));
    let counter = Native::new(segport_sdk::Plugin::source::<counter::Counter>("counter", VERSION));
    for (native, settings) in [(&probe, with_key(json!({}))), (&counter, json!({ "page": 2 }))] {
        let loaded = plugins.load(&native.descriptor().id).unwrap();
        let seen = observe_nonsense(&*loaded, settings.clone()).await;
        assert_eq!(seen, observe_nonsense(native, settings).await);
        assert!(seen.iter().any(|one| one.contains("Unsupported")) && seen.iter().any(|one| one.contains("Contract")));
    }
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
    assert!(!seen.concat().contains("hunter2"), "{seen:#?}");
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
