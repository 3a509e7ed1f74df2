//! One run as one process of its own: everything real but the network, the disk, the clock and chance.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use segport_core::{ExportSegment, ExportSpec, FieldType, Limits};
use segport_host::{ConnectorInstance, SourceInstance};
use segport_ledger::{Faults, Memory, NoFaults, StateKey, Store};
use segport_manifest::{Export, FieldMapping, Guards, WhenNull};
use segport_transport::{Options, SystemClock, Transport};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::{sleep_until, timeout};

use super::case::{Crash, Key, Round, Wanted};
use super::connector::Connector;
use super::destination::Network;
use super::source::{Reader, email_of};
use super::world::World;
use crate::cancel::Cancel;
use crate::guard::{Guard, Override};
use crate::line::{Line, Offline};
use crate::map::Mapping;
use crate::open_export::{OpenExport, OpenSegment, Refusal};
use crate::progress::Silent;
use crate::read::SegmentReader;
use crate::report::{PluginRef, RunReport};
use crate::run::{Job, Request};
use crate::scope::Scope;
use crate::start_error::StartError;

/// How long a run may take to end once it is cancelled: its requests are heard out, and what came of them is written down.
const PATIENCE: Duration = Duration::from_secs(15);

/// Virtual time after which a run counts as stuck.
const DEADLINE: Duration = Duration::from_secs(4 * 60 * 60);

/// The id of the export.
pub(super) const EXPORT: &str = "export";

/// How a process ended.
#[derive(Debug)]
pub(super) enum End {
    /// It died, and nobody was told anything.
    Dead,
    Returned(Box<Result<RunReport, StartError>>),
}

/// A runtime of one thread whose clock moves when nothing else does.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// The state as a process opens it.
pub(super) fn store(world: &Arc<World>, memory: &Memory, key: &StateKey, faults: Arc<dyn Faults>) -> Store {
    Store::in_memory(memory, key, faults).with_folding(world.case.folding)
}

/// Durable operations, of which one fails or is the last.
#[derive(Debug)]
struct Disk(Arc<World>);

impl Faults for Disk {
    fn before(&self, operation: &'static str) -> io::Result<()> {
        let Self(world) = self;
        let (number, crash, failing, is_dead) = {
            let mut state = world.state();
            state.run.operations += 1;
            (state.run.operations, state.round.crash, state.round.failing, state.run.is_dead)
        };
        world.note(format_args!("{operation} {number}"));
        if crash == Some(Crash::Operation(number)) {
            world.die("at a durable operation");
        }
        let goes_on = !is_dead && !world.is_dead() && failing != Some(number);
        if goes_on { Ok(()) } else { Err(io::Error::other("the disk is gone")) }
    }
}

/// Runs the export once, in whatever comes.
pub(super) fn run(world: &Arc<World>, memory: &Memory, key: &StateKey, round: &Round, before: Option<&str>) -> End {
    let runtime = runtime();
    let end = runtime.block_on(async {
        world.begin(round);
        let store = store(world, memory, key, Arc::new(Disk(Arc::clone(world))));
        let (cancel, begun) = (Cancel::new(), tokio::time::Instant::now());
        let open = open(world, round);
        let request = request(round, before);
        let (dir, calendar, progress) = (Path::new("nowhere"), &**world, &Silent);
        let job = Job { open: &open, dir, store: &store, request: &request, calendar, progress, cancel: &cancel };
        let work = timeout(DEADLINE, mortal(world, job.run()));
        let end = tokio::select! {
            biased;
            () = disturb(world, memory, key, &cancel) => unreachable!("it never ends"),
            end = work => end,
        };
        if let (Some(after), Ok(End::Returned(_))) = (round.cancelled_at, &end) {
            let waited = begun.elapsed().saturating_sub(after);
            assert!(waited < PATIENCE, "a run that was cancelled took {waited:?} to end");
        }
        world.end();
        end.unwrap_or_else(|_| panic!("the run does not end"))
    });
    // What was spawned dies with the process.
    drop(runtime);
    end
}

/// A future that stops where the process dies.
async fn mortal(world: &World, work: impl Future<Output = Result<RunReport, StartError>>) -> End {
    let mut work = Box::pin(work);
    poll_fn(|cx| {
        world.turn();
        if world.is_dead() {
            return Poll::Ready(End::Dead);
        }
        let turn = work.as_mut().poll(cx);
        match turn {
            _ if world.is_dead() => Poll::Ready(End::Dead),
            Poll::Ready(result) => Poll::Ready(End::Returned(Box::new(result))),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What others do meanwhile.
async fn disturb(world: &Arc<World>, memory: &Memory, key: &StateKey, cancel: &Cancel) {
    let start = tokio::time::Instant::now();
    let others = store(world, memory, key, Arc::new(NoFaults));
    let round = world.state().round.clone();
    let death = match round.crash {
        Some(Crash::Time(after)) => Some(after),
        _ => None,
    };
    let suppress = async {
        for (at, who, on) in round.suppressing {
            sleep_until(start + at).await;
            let email = email_of(who);
            let identity = others.hasher().identity(email.as_bytes());
            world.note(format_args!("{} {email}", if on { "suppress" } else { "unsuppress" }));
            if on {
                others.suppress(&[identity], Timestamp::UNIX_EPOCH).await.unwrap();
                world.note(format_args!("suppressed {email}"));
                world.state().forbidden.insert(email);
            } else {
                world.state().forbidden.remove(&email);
                others.unsuppress(&[identity]).await.unwrap();
            }
        }
        std::future::pending::<()>().await;
    };
    let interrupt = async {
        if let Some(after) = round.cancelled_at {
            sleep_until(start + after).await;
            world.note(format_args!("cancel"));
            cancel.cancel();
        }
        std::future::pending::<()>().await;
    };
    let kill = async {
        if let Some(after) = death {
            sleep_until(start + after).await;
            world.die("at some time");
        }
        std::future::pending::<()>().await;
    };
    tokio::join!(suppress, interrupt, kill);
}

fn request(round: &Round, before: Option<&str>) -> Request {
    let scope = match (round.mode, before) {
        (Wanted::Full, _) => Scope::Full,
        (Wanted::Undone, Some(before)) => Scope::Only(vec![before.to_owned()]),
        _ => Scope::Changes,
    };
    let mut guards =
        if round.overrides { vec![Guard::MaxRemovals, Guard::MaxRefused, Guard::AllowEmpty] } else { Vec::new() };
    if round.key == Key::Moved {
        guards.push(Guard::AllowOtherAccount);
    }
    Request { scope, overrides: Override { guards, ..Override::default() }, ..Request::new(EXPORT) }
}

/// The export with everything opened, as [`crate::Engine`] would open it.
fn open(world: &Arc<World>, round: &Round) -> OpenExport {
    let case = &world.case;
    let cap = case.limits.rows_per_export.filter(|_| !round.uncapped);
    let ids: Vec<String> = (0..case.segments).map(|segment| format!("s{segment}")).collect();
    let line = Arc::new(Line::default());
    let connector = ConnectorInstance::open(&Connector::new(world), Value::Null, Arc::<Line>::clone(&line)).unwrap();
    let options = Options {
        clock: Arc::new(SystemClock),
        random: Arc::<super::dice::Dice>::clone(&world.dice),
        wire: Some(Arc::new(Network(Arc::clone(world)))),
        ..Options::new("simulation")
    };
    line.put(Transport::new(options).connection("connection", case.limits));
    let source = Arc::new(SourceInstance::open(&Reader::new(world), Value::Null, Arc::new(Offline)).unwrap());
    let mapping = Arc::new(mapping());
    let segments = ids.iter().enumerate().map(|(segment, id)| OpenSegment {
        reader: SegmentReader { id: id.clone(), source: Arc::clone(&source), read: Reader::table(segment) },
        mapping: Arc::clone(&mapping),
    });
    OpenExport {
        export: Export {
            id: EXPORT.to_owned(),
            display_name: EXPORT.to_owned(),
            connection: "connection".to_owned(),
            segments: ids.clone(),
            fields: fields(),
            leavers: case.leavers,
            guards: Guards::default(),
            schedule: None,
        },
        config_hash: String::new(),
        plugin: PluginRef::default(),
        limits: Limits { rows_per_export: cap, ..case.limits },
        address: connector.address().map(str::to_owned),
        connector,
        line,
        segments: segments.collect(),
        spec: ExportSpec {
            id: EXPORT.to_owned(),
            segments: ids
                .iter()
                .map(|id| ExportSegment { id: id.clone(), display_name: id.clone(), first_run: false, list: None })
                .collect(),
            fields: Mapping::described(&fields()),
            account: None,
            may_move: false,
        },
        ledger_names: ids,
        has_consent: true,
        refusal: Refusal::default(),
    }
}

/// How a segment's columns become the destination's fields.
pub(super) fn mapping() -> Mapping {
    Mapping::new(&fields(), vec![None; 3], 0, &["id".to_owned()])
}

/// The fields that are mapped; the first says who a row is.
pub(super) fn fields() -> Vec<FieldMapping> {
    let field = |name: &str, field_type, when_null| FieldMapping {
        name: name.to_owned(),
        custom: false,
        field_type,
        column: name.to_owned(),
        transform: Vec::new(),
        when_null,
        span: 0..0,
    };
    vec![
        field("email", FieldType::Email, WhenNull::Omit),
        field("name", FieldType::String, WhenNull::Clear),
        field("points", FieldType::Integer, WhenNull::Omit),
    ]
}
