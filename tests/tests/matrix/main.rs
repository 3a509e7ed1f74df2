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

/// The cells that come to something else, so many at once.
async fn differences(cases: Vec<(&Row, Call, Case)>, at_once: usize) -> Vec<String> {
    let found = futures::stream::iter(cases).map(async |(row, call, Case { script, expected })| {
        let found = cell::play(script, call).await;
        (found != expected).then(|| format!("{} / {}: expected {expected}, got {found}", row.what, call.title()))
    });
    found.buffer_unordered(at_once).filter_map(std::future::ready).collect().await
}

/// Checks what each cell comes to with the case that `case` makes of it, and returns how many there were.
async fn compare(case: fn(&Row, &str) -> Option<Case>) -> usize {
    let cases: Vec<_> =
        cells().into_iter().filter_map(|(row, call, expected)| Some((row, call, case(row, expected)?))).collect();
    let count = cases.len();
    // Those that wait for a deadline do so side by side; the others would only be in each other's way.
    let (silent, busy): (Vec<_>, Vec<_>) = cases.into_iter().partition(|(row, ..)| stage::is_silent(&row.rude));
    let (silent, busy) = futures::join!(differences(silent, 64), differences(busy, 4));
    let different = [silent, busy].concat();
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
