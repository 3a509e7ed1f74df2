//! What the log shows of a request, at the most talkative level.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use segport_core::http::HttpClient;
use segport_transport::Egress;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::server::{Act, Rig, Server, answer, ok, post};

/// Writes every event of every crate, with all its fields, into one text.
#[derive(Debug, Clone, Default)]
struct Everything(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Line(&mut self.0.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = self.0.lock().unwrap();
        write!(text, "\n{}", event.metadata().target()).unwrap();
        event.record(&mut Line(&mut text));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn the_log_names_the_operation_and_the_origin_only() {
    let log = Everything::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let refusal = Act::Say(answer("503 X", "x-trace: hunter2\r\n", b"anna is unknown"));
    let (server, rig) = (Server::start(vec![refusal, Act::Reset, ok()]).await, Rig::new(Egress::AllowPrivate));
    rig.connection().send(post(server.url("/v1/people/anna@example.com?who=anna"))).await.unwrap();
    let text = log.0.lock().unwrap().clone();
    for part in ["operation=\"POST /contacts\"", "attempt=3", "status=503", "failure=\"broken\"", "status=200"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains(&format!("origin=http://{}", server.address)), "{text}");
    for secret in ["s3cret", "anna", "/v1/people", "hunter2"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
