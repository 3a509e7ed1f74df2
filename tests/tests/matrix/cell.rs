//! One cell: a call goes wrong in one way, and what becomes of it is told in a line.

use std::time::{Duration, Instant};

use segport_core::{BatchKind, Error, Found, Outcomes, Result, RowOutcome};
use segport_sandbox::Rude;
use segport_tests::failures::Call;
use serde_json::json;

use crate::stage::{LIST, Stage, WITHIN, address, export, leavers, rows};

/// What `call` comes to under `script`, in the words of the table.
pub(crate) async fn play(script: Vec<Rude>, call: Call) -> String {
    let mode = if call == Call::Add { "single" } else { "probe" };
    let stage = Stage::new(script, call.operation(), mode);
    let started = Instant::now();
    let end = match call {
        Call::Account => told(stage.connector.check("", WITHIN).await),
        Call::Find => told(stage.connector.begin("run", &export(), WITHIN).await),
        Call::Create => {
            let end = told(stage.connector.begin("run", &export(), WITHIN).await);
            let lists = stage.server.autopilot().counts().lists.len();
            assert!(lists <= 1, "made {lists} lists of one title");
            assert!(end != "ok" || lists == 1, "{end}, but there is no list");
            end
        }
        Call::Look => look(&stage).await,
        Call::Write => write(&stage).await,
        Call::Test | Call::Add => join(&stage).await,
        Call::Page => rejoin(&stage).await,
        Call::Remove => remove(&stage).await,
        Call::Read => settle(&stage).await,
    };
    assert!(started.elapsed() < WITHIN, "{call:?} took {:?}", started.elapsed());
    attempts(&stage, end)
}

/// Puts the number of attempts behind the first word or words of `end`.
fn attempts(stage: &Stage, end: String) -> String {
    // Five attempts, each after the longest pause that a destination can impose.
    let waited = stage.clock.elapsed();
    assert!(waited <= Duration::from_secs(5 * 300 + 10), "waited {waited:?}");
    let attempts = if stage.connection.counters().throttled > 0 && waited >= Duration::from_secs(600) {
        "for 10 min".to_owned()
    } else {
        format!("x{}", stage.detour.attempts())
    };
    match end.split_once(" | ") {
        Some((end, more)) => format!("{end} {attempts}, {more}"),
        None => format!("{end} {attempts}"),
    }
}

fn told<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) if error.was_not_sent() => format!("{} | not sent", error.kind()),
        Err(error) => error.kind().to_string(),
    }
}

/// Begins a first run whose list has a member.
async fn look(stage: &Stage) -> String {
    let autopilot = stage.server.autopilot();
    let list = autopilot.add_list(LIST);
    autopilot.put_contact(&json!({ "Email": address("anna"), "_autopilot_list": list })).unwrap();
    let mut export = export();
    export.segments.iter_mut().for_each(|segment| segment.first_run = true);
    let begun = stage.connector.begin("run", &export, WITHIN).await;
    if let Ok(session) = &begun {
        assert_eq!(
            session.occupied.len() + session.notes.len(),
            1,
            "it says that there is somebody, or that it cannot tell"
        );
    }
    told(begun)
}

/// Writes three contacts without a list.
async fn write(stage: &Stage) -> String {
    let names = ["anna", "berit", "carla"];
    let session = stage.connector.begin("run", &export(), WITHIN).await.unwrap();
    let writer = stage.connector.writer("run", &session).unwrap();
    let written =
        writer.write(&BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() }, &rows(&names), WITHIN).await;
    let outcomes = written.unwrap_or_else(|error| failed(error, names.len()));
    for (name, outcome) in names.iter().zip(&outcomes.rows) {
        let is_there = stage.server.autopilot().contact(&address(name)).is_some();
        agrees(outcome, is_there, name);
    }
    summary(&outcomes)
}

/// Writes a contact and puts it on the list, which is new.
async fn join(stage: &Stage) -> String {
    let session = stage.connector.begin("run", &export(), WITHIN).await.unwrap();
    let writer = stage.connector.writer("run", &session).unwrap();
    let written =
        writer.write(&BatchKind::Upsert { join: vec![0], rejoin: Vec::new() }, &rows(&["anna"]), WITHIN).await;
    let outcomes = written.unwrap_or_else(|error| failed(error, 1));
    if let [RowOutcome::Done(_)] = outcomes.rows.as_slice() {
        assert_eq!(stage.server.autopilot().list_members(LIST), Some(vec![address("anna")]));
    }
    summary(&outcomes)
}

/// Writes contacts and puts them on the list, which has them already: so many that it is worth to read it.
async fn rejoin(stage: &Stage) -> String {
    let autopilot = stage.server.autopilot();
    let list = autopilot.add_list(LIST);
    let names = ["anna", "berit", "carla", "dina", "eva", "frida", "gro", "hanne", "ida", "jorun"];
    for name in names {
        autopilot.put_contact(&json!({ "Email": address(name), "_autopilot_list": list })).unwrap();
    }
    let session = stage.connector.begin("run", &export(), WITHIN).await.unwrap();
    let writer = stage.connector.writer("run", &session).unwrap();
    let kind = BatchKind::Upsert { join: vec![0], rejoin: Vec::new() };
    let written = writer.write(&kind, &rows(&names), WITHIN).await;
    let outcomes = written.unwrap_or_else(|error| failed(error, names.len()));
    assert_eq!(autopilot.list_members(LIST).unwrap().len(), names.len());
    summary(&outcomes)
}

/// Takes a contact off its list.
async fn remove(stage: &Stage) -> String {
    let autopilot = stage.server.autopilot();
    let list = autopilot.add_list(LIST);
    let id = autopilot.put_contact(&json!({ "Email": address("anna"), "_autopilot_list": list })).unwrap();
    assert_eq!(autopilot.list_members(LIST), Some(vec![address("anna")]));
    let session = stage.connector.begin("run", &export(), WITHIN).await.unwrap();
    let writer = stage.connector.writer("run", &session).unwrap();
    let written = writer.write(&BatchKind::Remove { segment: 0 }, &leavers(&[&id]), WITHIN).await;
    let outcomes = written.unwrap_or_else(|error| failed(error, 1));
    let is_off = autopilot.list_members(LIST) == Some(Vec::new());
    agrees(&outcomes.rows[0], is_off, "anna");
    summary(&outcomes)
}

/// Settles a contact that an earlier run has written and put on the list, without having heard of it.
async fn settle(stage: &Stage) -> String {
    let autopilot = stage.server.autopilot();
    let list = autopilot.add_list(LIST);
    let contact = json!({ "Email": address("anna"), "FirstName": "anna", "_autopilot_list": list });
    let id = autopilot.put_contact(&contact).unwrap();
    let session = stage.connector.begin("run", &export(), WITHIN).await.unwrap();
    let writer = stage.connector.writer("run", &session).unwrap();
    let (kind, rows) = (BatchKind::Upsert { join: vec![0], rejoin: Vec::new() }, rows(&["anna"]));
    // What a run does with the answer.
    match writer.settle(&kind, &rows, WITHIN).await {
        Ok(found) if found == [Found::Held(Some(id.clone()))] => "done".to_owned(),
        Err(error) if segport_engine::is_final(error.kind()) => summary(&failed(error, 1)),
        Ok(_) | Err(_) => {
            let outcomes = writer.write(&kind, &rows, WITHIN).await.unwrap();
            assert_eq!(outcomes.rows, [RowOutcome::Done(Some(id))], "it is the same contact");
            format!("{} | sent again", summary(&outcomes))
        }
    }
}

/// What is called done must be done, and what is called deferred must not be.
fn agrees(outcome: &RowOutcome, is_done: bool, name: &str) {
    match outcome {
        RowOutcome::Done(_) => assert!(is_done, "{name} is called done and is not"),
        RowOutcome::Deferred { .. } => assert!(!is_done, "{name} is called deferred and is done"),
        RowOutcome::Refused { .. } | RowOutcome::Unknown { .. } => {}
    }
}

/// What a run makes of the error of a whole call.
fn failed(error: Error, rows: usize) -> Outcomes {
    let rows = vec![segport_engine::outcome_of(&error); rows];
    let stop = segport_engine::is_final(error.kind()) && error.kind() != segport_core::ErrorKind::Rejected;
    Outcomes { rows, notes: Vec::new(), stop: stop.then_some(error) }
}

fn summary(outcomes: &Outcomes) -> String {
    let mut words: Vec<&str> = outcomes
        .rows
        .iter()
        .map(|outcome| match outcome {
            RowOutcome::Done(_) => "done",
            RowOutcome::Refused { .. } => "refused",
            RowOutcome::Unknown { .. } => "unknown",
            RowOutcome::Deferred { .. } => "deferred",
        })
        .collect();
    words.dedup();
    let stops = if outcomes.stop.is_some() { " | stops" } else { "" };
    format!("{}{stops}", words.join(", "))
}
