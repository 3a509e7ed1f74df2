//! A plugin's events in the host's log. Alone in its file, because a process has one log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod support;

use std::io;
use std::sync::{Arc, Mutex};

use segport_sdk::test::Script;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use support::{LONG, Project, export, session};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn events_carry_plugin_and_run_and_stop_at_the_hosts_level() {
    let lines = Lines::default();
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(lines.clone()).init();
    let project = Project::with(&["probe"]);
    let connector = project.probe(json!({ "panic_in": "a library,finish" }), &Script::new()).unwrap();
    connector.begin("run-17", &export(), LONG).await.unwrap();
    connector.finish("run-17", &session(Value::Null), LONG).await.unwrap_err();

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2, "{text}");
    for (event, level, message) in [(&events[0], "INFO", "export begins"), (&events[1], "ERROR", "the plugin panicked")]
    {
        assert_eq!(event["level"], level);
        assert_eq!(event["target"], "segport::plugin");
        assert_eq!(event["fields"]["message"], message);
        assert_eq!(event["fields"]["plugin"], "probe");
        assert_eq!(event["fields"]["run"], "run-17");
    }
    assert_eq!(events[0]["fields"]["fields"], "segments=1 name=new\nsletter");
    assert!(!text.contains("hunter2"), "{text}");
}
