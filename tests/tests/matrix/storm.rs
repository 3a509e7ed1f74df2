//! Trouble that many batches meet at once: everything fails, 429 for all, and a limit that moves.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use segport_core::{BatchKind, RowOutcome};
use segport_host::ConnectorInstance;
use segport_sandbox::{Clock, Options, RetryAfter, Rude, Sandbox};
use segport_tests::failures::Call;

use crate::clock::Skipping;
use crate::stage::{Stage, WITHIN, connection, connector, export, rows};

/// Writes batches of one contact each, so many at once, and says how many were done.
async fn write(connector: &ConnectorInstance, names: impl Iterator<Item = String>, at_once: usize) -> usize {
    let session = connector.begin("run", &export(), WITHIN).await.unwrap();
    let writer = &connector.writer("run", &session).unwrap();
    let kind = &BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() };
    let written: Vec<bool> = futures::stream::iter(names)
        .map(async |name| match writer.write(kind, &rows(&[&name]), WITHIN).await {
            Ok(outcomes) => matches!(outcomes.rows.as_slice(), [RowOutcome::Done(_)]),
            Err(_) => false,
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    written.into_iter().filter(|&is_done| is_done).count()
}

fn names(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|number| format!("p{number}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix_when_everything_fails_the_load_is_at_most_a_fifth_more() {
    const BATCHES: u32 = 200;
    for rude in
        [Rude::Status(503, RetryAfter::Absent), Rude::Status(408, RetryAfter::Absent), Rude::ResetAfter, Rude::Refuse]
    {
        let stage = Stage::new(vec![rude.clone()], Call::Write.operation(), "single");
        assert_eq!(write(&stage.connector, names(0..BATCHES), 10).await, 0, "{rude:?}");
        // Three calls looked for the list and at the account, and made the list.
        let sent = stage.connection.counters().requests - 3;
        let minutes = stage.clock.elapsed().as_secs() / 60 + 1;
        assert!(sent >= u64::from(BATCHES), "{rude:?}: {sent}");
        assert!(5 * sent <= 6 * u64::from(BATCHES), "{rude:?}: {sent} requests for {BATCHES} batches");
        assert!(sent - u64::from(BATCHES) <= 4 * minutes, "{rude:?}: {sent} within {minutes} minutes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix_a_storm_of_429_is_waited_out_and_loses_nothing() {
    // Where the pauses are chosen here, one call at a time: time that is skipped for one passes for all, so that every 429
    // would be a further event, and the pauses would grow beyond what a call endures.
    for (wait, times, at_once, at_least) in [
        (RetryAfter::Seconds(7), 60, 10, 6 * 7),
        (RetryAfter::Date(12), 40, 10, 4 * 12),
        (RetryAfter::Absent, 8, 1, 90),
        (RetryAfter::Nonsense, 8, 1, 90),
    ] {
        let mut script = vec![Rude::Status(429, wait); times];
        script.push(Rude::Polite);
        let stage = Stage::new(script, Call::Write.operation(), "single");
        assert_eq!(write(&stage.connector, names(0..40), at_once).await, 40, "{wait:?}");
        assert_eq!(stage.server.autopilot().contact_count(), 40);
        let counters = stage.connection.counters();
        assert_eq!((counters.throttled, counters.retried), (times as u64, times as u64), "{wait:?}");
        // Each round of calls is followed by a pause.
        let waited = stage.clock.elapsed();
        assert!(waited >= Duration::from_secs(at_least), "{wait:?}: {waited:?}");
        assert!(waited < Duration::from_secs(600), "{wait:?}: {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix_a_limit_that_moves_costs_time_and_no_row() {
    let time = Clock::manual(1_795_428_000_000);
    let sandbox = Sandbox::start(Options { rate: 20, clock: time.clone(), ..Options::default() }).unwrap();
    let clock = Arc::new(Skipping::with(time));
    let connection = connection(&clock, 20.0);
    let connector = connector(&sandbox.base_url(), "single", Arc::clone(&connection) as _);
    assert_eq!(write(&connector, names(0..200), 1).await, 200);
    assert_eq!(connection.counters().throttled, 0, "the pace is the destination's own");
    let before = clock.elapsed();
    // One call at a time, because time that is skipped for one call passes for all that are under way.
    sandbox.set_rate(10);
    assert_eq!(write(&connector, names(200..400), 1).await, 200);
    assert_eq!(sandbox.autopilot().contact_count(), 400);
    let (throttled, took) = (connection.counters().throttled, clock.elapsed() - before);
    assert_eq!(throttled, sandbox.traffic().throttled);
    assert!(throttled > 0, "the limit was lower for a while");
    // 20 s at the new rate; each second that it is overrun ends with a pause.
    assert!(took >= Duration::from_secs(19) && took < Duration::from_secs(60), "took {took:?}");
}
