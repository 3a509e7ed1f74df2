//! Prints what a call of a loaded plugin costs, beside the same call of a type in this process.
//!
//! Run with `cargo run --release -p segport-host --example call_cost`.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

#[path = "../tests/plugins/probe.rs"]
mod probe;

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{RecordBatch, StringArray};
use segport_core::rows::EncodedRows;
use segport_core::{Batch, BatchKind, Connector, Context, Session};
use segport_host::{ConnectorInstance, Native, Plugins, Search};
use segport_sdk::test::Script;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

const CALLS: u32 = 20_000;
const AT_ONCE: u32 = 8;
const KIND: BatchKind = BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() };
const TIMEOUT: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let settings = json!({ "api_key": "none" });
    let http = Script::new().client();
    let directory = tempfile::tempdir()?;
    let library = std::env::current_exe()?.with_file_name("libplugins.so");
    fs::copy(library, directory.path().join("probe.so"))?;
    let search = Search::new(vec![directory.path().to_owned()], directory.path().join("segport.lock"));

    let started = Instant::now();
    let plugin = Plugins::new(search, Handle::current()).load("probe")?;
    println!("loading the library: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);

    let loaded = Arc::new(ConnectorInstance::open(&*plugin, settings.clone(), Arc::clone(&http))?);
    let native = Native::new(segport_sdk::Plugin::connector::<probe::Probe>("probe", "0"));
    let native = Arc::new(ConnectorInstance::open(&native, settings.clone(), Arc::clone(&http))?);
    let cx = Context::new("run", http);
    let direct = probe::Probe::open(serde_json::from_value(settings)?, &cx)?;

    for size in [1, 100] {
        let names: Vec<String> = (0..size).map(|row| format!("person{row}@example.com")).collect();
        let batch = RecordBatch::try_from_iter([("f0", Arc::new(StringArray::from(names)) as _)])?;
        println!("write of {size} row(s), microseconds a call over {CALLS} calls");

        let whole = Batch { session: session().into(), kind: KIND, rows: batch.clone() };
        let started = Instant::now();
        for _ in 0..CALLS {
            direct.write(&cx, &whole).await?;
        }
        report("  the trait's method, directly", started);

        for (name, connector) in [("bytes, in this process", &native), ("bytes, loaded library", &loaded)] {
            let started = Instant::now();
            for _ in 0..CALLS {
                write(connector, &batch).await?;
            }
            report(&format!("  {name}, one at a time"), started);
            let started = Instant::now();
            at_once(connector, &batch).await?;
            report(&format!("  {name}, {AT_ONCE} at once"), started);
        }
    }
    Ok(())
}

async fn at_once(connector: &Arc<ConnectorInstance>, batch: &RecordBatch) -> Outcome<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (connector, batch) = (Arc::clone(connector), batch.clone());
        tasks.spawn(async move {
            for _ in 0..CALLS / AT_ONCE {
                write(&connector, &batch).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn write(connector: &ConnectorInstance, batch: &RecordBatch) -> Outcome<()> {
    connector.writer("run", &session())?.write(&KIND, &EncodedRows::new(batch)?, TIMEOUT).await?;
    Ok(())
}

fn session() -> Session {
    Session::default()
}

fn report(name: &str, started: Instant) {
    println!("{name:42} {:8.2}", started.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
}
