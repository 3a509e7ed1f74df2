//! A panic anywhere in an author's code is an error that names the plugin, and never crosses the boundary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod support;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::{HttpClient, Request, Response};
use segport_core::op::{self, Call, WriteHead};
use segport_core::{BatchKind, Error, ErrorKind, Frame, Result, Workload};
use segport_host::{Instance, Plugin};
use segport_sdk::test::{Script, status};
use serde_json::{Value, json};
use tracing::Level;

use support::{LONG, Project, batch, export, session, with_key};

/// These plugins, with a log that takes everything, so that fields of events are looked at.
fn project(ids: &[&str]) -> Project {
    // The tests of one process share its log; one of them is the first.
    drop(tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(io::sink).try_init());
    Project::with(ids)
}

/// An instance of the plugin that panics in these places.
fn open(plugin: &dyn Plugin, panic_in: &str) -> Result<Box<dyn Instance>> {
    let settings = match plugin.descriptor().id.as_str() {
        "counter" => json!({ "page": 2, "panic_in": panic_in }),
        _ => with_key(json!({ "panic_in": panic_in })),
    };
    plugin.open(settings, Script::answering(|_| status(200)).client())
}

/// A good request of that operation.
fn request(op: u32) -> Bytes {
    let (nothing, kind) = (session(Value::Null), BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() });
    let args = match op {
        op::BEGIN | op::ACCEPTS | op::TARGETS => json!(export()),
        op::WRITE => json!(WriteHead { session: nothing, kind }),
        op::FINISH => json!(nothing),
        op::ESTIMATE => json!(Workload::default()),
        op::SCHEMA | op::READ => json!({ "read": { "rows": 3 }, "cursor": null }),
        _ => Value::Null,
    };
    framed(op, args)
}

fn framed(op: u32, args: Value) -> Bytes {
    let rows = |out: &mut Vec<u8>| {
        if op == op::WRITE {
            out.extend_from_slice(batch(&["a"]).stream());
        }
        Ok(())
    };
    Frame::encode(&Call { run: "r1".to_owned(), args }, rows).unwrap()
}

fn names_the_plugin(error: &Error, id: &str, case: &str) {
    assert_eq!(error.kind(), ErrorKind::Internal, "{case}: {error}");
    assert!(error.message().contains(&format!("plugin `{id}` panicked")), "{case}: {error}");
    assert!(error.fact("at").is_some_and(|at| at.contains(&format!("{id}.rs:"))), "{case}: {error}");
    assert!(!format!("{error:?}").contains("hunter2"), "a panic's text may hold data: {error:?}");
}

async fn is_spent(instance: &dyn Instance, op: u32) {
    let later = instance.call(op, LONG, request(op)).await.unwrap_err();
    assert_eq!(later.kind(), ErrorKind::Internal, "{later}");
    assert!(later.message().contains("panicked in an earlier call"), "{later}");
}

#[tokio::test]
async fn in_a_call_it_is_that_calls_error_and_the_end_of_the_instance() {
    let project = project(&["probe", "counter"]);
    let plugins = project.load();
    let read = |rows: i64| json!({ "read": { "rows": rows }, "cursor": null });
    for (id, panic_in, op, args) in [
        ("probe", "check", op::CHECK, None),
        ("probe", "begin", op::BEGIN, None),
        ("probe", "payload", op::BEGIN, None),
        ("probe", "log", op::BEGIN, None),
        ("probe", "write", op::WRITE, None),
        ("probe", "leave", op::WRITE, None),
        ("probe", "finish", op::FINISH, None),
        ("probe", "estimate", op::ESTIMATE, None),
        ("probe", "accepts", op::ACCEPTS, None),
        ("probe", "targets", op::TARGETS, None),
        // The instance's end panics, too, after the call.
        ("probe", "write,drop", op::WRITE, None),
        ("counter", "schema", op::SCHEMA, None),
        ("counter", "read", op::READ, None),
        ("counter", "the table of a schema", op::SCHEMA, Some(read(-1))),
        ("counter", "the table of a read", op::READ, Some(read(-1))),
    ] {
        let plugin = plugins.load(id).unwrap();
        let instance = open(&*plugin, panic_in).unwrap();
        let bytes = args.map_or_else(|| request(op), |args| framed(op, args));
        let error = instance.call(op, LONG, bytes).await.unwrap_err();
        names_the_plugin(&error, id, panic_in);
        is_spent(&*instance, op).await;
        drop(instance);
        // Other instances go on.
        let other = open(&*plugin, "").unwrap();
        let answer = other.call(op, LONG, request(op)).await;
        assert!(answer.is_ok() || op == op::FINISH, "{id} {panic_in}: {answer:?}");
    }
}

#[tokio::test]
async fn in_opening_it_is_the_error_of_opening() {
    let project = project(&["probe", "counter"]);
    let plugins = project.load();
    for (id, panic_in) in
        [("probe", "settings"), ("probe", "open"), ("probe", "limits"), ("probe", "limits,drop"), ("counter", "open")]
    {
        let plugin = plugins.load(id).unwrap();
        names_the_plugin(&open(&*plugin, panic_in).unwrap_err(), id, panic_in);
        open(&*plugin, "").unwrap();
    }
}

#[tokio::test]
async fn in_closing_nobody_notices() {
    let project = project(&["probe", "counter"]);
    let plugins = project.load();
    for (id, op) in [("probe", op::BEGIN), ("counter", op::READ)] {
        let plugin = plugins.load(id).unwrap();
        drop(open(&*plugin, "drop").unwrap());
        open(&*plugin, "").unwrap().call(op, LONG, request(op)).await.unwrap();
    }
}

#[tokio::test]
async fn in_the_end_of_a_call_that_was_given_up_it_ends_the_instance() {
    let project = project(&["probe"]);
    let instance = open(&*project.load().load("probe").unwrap(), "leave").unwrap();
    let kind = BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() };
    let endless = framed(op::WRITE, json!(WriteHead { session: session(json!("wait")), kind }));
    let error = instance.call(op::WRITE, Duration::from_millis(1), endless).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "the call had its answer before: {error}");
    is_spent(&*instance, op::WRITE).await;
}

#[tokio::test]
async fn in_describing_it_is_the_reason_why_the_plugin_is_not_loaded() {
    let project = project(&["mute"]);
    let error = project.load().load("mute").unwrap_err();
    let reason = "cannot describe itself: plugin `mute` panicked; this is a defect in the plugin (at: ";
    assert!(error.report().contains(reason), "{error}");
}

#[tokio::test]
async fn in_setting_the_level_of_the_log_nobody_notices() {
    let project = project(&["deaf"]);
    let plugin = project.load().load("deaf").unwrap();
    let instance = plugin.open(Value::Null, Script::new().client()).unwrap();
    instance.call(op::BEGIN, LONG, request(op::BEGIN)).await.unwrap();
}

/// The host's own defect.
#[derive(Debug)]
struct Defective;

#[async_trait]
impl HttpClient for Defective {
    async fn send(&self, _: Request) -> Result<Response> {
        panic!("the host panics")
    }
}

#[tokio::test]
async fn in_the_hosts_http_client_it_is_an_answer_for_the_plugin() {
    let project = project(&["probe"]);
    let plugin = project.load().load("probe").unwrap();
    let instance = plugin.open(with_key(json!({})), Arc::new(Defective)).unwrap();
    let error = instance.call(op::CHECK, LONG, request(op::CHECK)).await.unwrap_err();
    assert_eq!(error, Error::new(ErrorKind::Internal, "the host panicked while it sent a request"));
}
