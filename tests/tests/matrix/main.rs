//! Every way to go wrong with every call of the Autopilot connector, over TCP, with the transport that hosts use.
//!
//! Waits take no time: the transport's clock skips them. Deadlines of silent answers run, and are short.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what goes wrong in a test's helper fails the test")]

mod cell;
mod clock;
mod stage;
mod storm;

use futures::StreamExt;
use segport_sandbox::Rude;
use segport_tests::failures::{Call, GROUPS, Row};

/// All cells that are not empty.
fn cells() -> Vec<(&'static Row, Call, &'static str)> {
    let rows = GROUPS.iter().flat_map(|group| group.rows);
    rows.flat_map(|row| Call::ALL.into_iter().zip(row.cells).map(move |(call, expected)| (row, call, expected)))
        .filter(|(_, _, expected)| !expected.is_empty())
        .collect()
}

/// What a cell is played with, and what it must come to.
struct Case {
    script: Vec<Rude>,
    expected: String,
}

/// Checks what each cell comes to with the case that `case` makes of it, and returns how many there were.
async fn compare(case: fn(&Row, &str) -> Option<Case>) -> usize {
    let cases: Vec<_> =
        cells().into_iter().filter_map(|(row, call, expected)| Some((row, call, case(row, expected)?))).collect();
    let count = cases.len();
    let found: Vec<Option<String>> = futures::stream::iter(cases)
        .map(async |(row, call, Case { script, expected })| {
            let found = cell::play(script, call).await;
            (found != expected).then(|| format!("{} / {}: expected {expected}, got {found}", row.what, call.title()))
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let different: Vec<String> = found.into_iter().flatten().collect();
    assert!(different.is_empty(), "{} of {count} cells differ:\n{}", different.len(), different.join("\n"));
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix_of_faults_that_stay() {
    let count =
        compare(|row, expected| Some(Case { script: vec![row.rude.clone()], expected: expected.to_owned() })).await;
    assert!(count >= 300, "only {count} cells");
}

/// A fault that happens once is made up for where there is a second attempt, and is like one that stays where there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix_of_faults_that_pass() {
    let count = compare(|row, expected| {
        let can_pass =
            !matches!(row.rude, Rude::Refuse | Rude::PlainOnTls | Rude::SelfSigned | Rude::ClosedInHandshake);
        let end = match expected.split_once(' ') {
            _ if expected.contains("x1") => expected.to_owned(),
            Some(("unknown" | "deferred" | "done", _)) => "done x2".to_owned(),
            _ => "ok x2".to_owned(),
        };
        can_pass.then(|| Case { script: vec![row.rude.clone(), Rude::Polite], expected: end })
    })
    .await;
    assert!(count >= 270, "only {count} cells");
}
