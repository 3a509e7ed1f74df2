//! `segport sandbox`: a stand-in destination.

use std::net::TcpListener;

use segport_sandbox::{Options, Sandbox as Running};
use serde_json::json;

use crate::arguments::{Sandbox, Standin, Switch};
use crate::commands::Invocation;
use crate::exit::{Exit, Failure, chain};
use crate::interrupt::Signals;

/// Serves until a signal comes; being stopped is how it is meant to end.
pub(crate) async fn sandbox(invocation: &Invocation, asked: Sandbox) -> Result<Exit, Failure> {
    let Sandbox::Autopilot(asked) = asked;
    let mut signals = Signals::new()?;
    let running = start(asked)?;
    let output = &invocation.output;
    let base_url = running.base_url();
    if output.is_json() {
        output.json(&json!({ "base_url": base_url }))?;
    } else {
        output.text(&format!("{base_url}\n"))?;
    }
    output.note("a stand-in for Autopilot; Ctrl-C stops it and forgets everything");
    signals.next().await;
    running.shutdown();
    Ok(Exit::Done)
}

fn start(asked: Standin) -> Result<Running, Failure> {
    let listener = TcpListener::bind(asked.listen).map_err(|error| {
        Failure::new(format!("cannot listen on {}: {error}", asked.listen))
            .help("`--listen 127.0.0.1:0` takes a free port")
    })?;
    let options = Options {
        rate: asked.rate,
        key: asked.key,
        faults: asked.faults,
        bulk_lists: asked.bulk_lists == Switch::On,
        ..Options::default()
    };
    Running::start_on(listener, options).map_err(|error| Failure::new(chain(&error)))
}
