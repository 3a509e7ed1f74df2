//! How long a first run, a reload and a second run of a million rows take in the ledger alone.
//!
//! `cargo run --release -p segport-ledger --example ledger_speed [ROWS] [DIRECTORY] [MEMORY]`, the last being the bytes of
//! memory that an index may take before its rows go to files.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use segport_core::Secret;
use segport_ledger::{
    Change, Done, Hasher, Index, Intent, Memberships, NewRun, PresentKeys, Record, Result, RunEnd, RunLedger, StateKey,
    Store,
};

const BATCH: u64 = 100;
const CALLS_AT_ONCE: u64 = 64;

fn say(what: &str, since: Instant, more: &str) {
    let line = format!(
        "{what:<28} {:>8.3} s {:>8.2} s of processor so far  {more}\n",
        since.elapsed().as_secs_f64(),
        processor()
    );
    std::io::stdout().write_all(line.as_bytes()).ok();
}

/// Processor time of this process in seconds, where Linux tells it: on a busy machine it says more than the clock.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: f64 = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn hash(hasher: &Hasher, row: u64) -> (segport_ledger::Identity, segport_ledger::KeyHash, segport_ledger::Fingerprint) {
    let payload =
        format!("{{\"email\":\"person{row}@example.com\",\"first_name\":\"Ada\",\"last_name\":\"Lovelace {row}\"}}");
    (
        hasher.identity(format!("person{row}@example.com").as_bytes()),
        hasher.key(&row.to_le_bytes()),
        hasher.fingerprint(payload.as_bytes()),
    )
}

async fn begin(store: &Store, run_id: &str) -> Result<RunLedger> {
    let segments = ["all".to_owned()];
    store.lease("speed").await?.begin(NewRun { run_id, started_at: Timestamp::now(), segments: &segments }).await
}

fn observe(ledger: &mut RunLedger, hasher: &Hasher, rows: u64) -> Result<usize> {
    let Some(&segment) = ledger.snapshot.segments().first() else { return Ok(0) };
    let index = &mut ledger.snapshot.index;
    let mut to_send = 0;
    for row in 0..rows {
        let (identity, key, fingerprint) = hash(hasher, row);
        let observation = index.observe(identity, key, fingerprint, segment)?;
        to_send += usize::from(observation != segport_ledger::Observation::Unchanged);
    }
    Ok(to_send)
}

async fn deliver(ledger: &RunLedger, hasher: &Hasher, rows: u64) -> Result<()> {
    let segment: Memberships = ledger.snapshot.segments().iter().copied().collect();
    let callers: Vec<_> = (0..CALLS_AT_ONCE)
        .map(|caller| {
            let (journal, hasher) = (ledger.journal.clone(), hasher.clone());
            tokio::spawn(async move {
                let mut first = caller * BATCH;
                while first < rows {
                    let rows: Vec<_> = (first..rows.min(first + BATCH)).map(|row| (row, hash(&hasher, row))).collect();
                    let intents: Vec<_> = rows
                        .iter()
                        .map(|(_, (identity, ..))| Intent::Deliver { identity: *identity, memberships: segment })
                        .collect();
                    journal.intend(&intents).await?;
                    let records: Vec<_> = rows
                        .iter()
                        .map(|(row, (identity, key, fingerprint))| {
                            Record::Done(Done {
                                identity: *identity,
                                key: *key,
                                fingerprint: *fingerprint,
                                memberships: segment,
                                destination_id: Some(format!("person_9EAF39E4-9AEC-4134-964A-{row:012X}")),
                                change: Change::Added,
                            })
                        })
                        .collect();
                    journal.settle(&records).await?;
                    first += CALLS_AT_ONCE * BATCH;
                }
                Result::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap_or(Err(segport_ledger::Error::Closed))?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000);
    let place =
        arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join(format!("speed-{}", std::process::id()));
    let memory = arguments.next().and_then(|bytes| bytes.parse().ok()).unwrap_or(Index::MEMORY);
    let key = StateKey::from_secret(&Secret::new("a secret to measure with"))?;
    let path = place.join("state.db");
    let store = Store::open(&path, &key).await?.with_index_memory(memory);
    let hasher = store.hasher().clone();

    let start = Instant::now();
    let mut ledger = begin(&store, "one").await?;
    let fresh = observe(&mut ledger, &hasher, rows)?;
    let bytes = ledger.snapshot.index.bytes() as f64 / rows as f64;
    say("first run: observe", start, &format!("{fresh} to send, {bytes:.1} bytes a row"));
    let start = Instant::now();
    deliver(&ledger, &hasher, rows).await?;
    say("first run: journal", start, "");
    let start = Instant::now();
    ledger.finish(RunEnd::Succeeded, Timestamp::now(), "{}").await?;
    let size = std::fs::metadata(&path).map_or(0, |file| file.len()) >> 20;
    say("first run: finish", start, &format!("{size} MiB on disk"));

    let start = Instant::now();
    let store = Store::open(&path, &key).await?.with_index_memory(memory);
    let mut ledger = begin(&store, "two").await?;
    say("second run: load", start, "");
    let start = Instant::now();
    let changed = observe(&mut ledger, &hasher, rows)?;
    say("second run: observe", start, &format!("{changed} to send"));
    ledger.finish(RunEnd::Succeeded, Timestamp::now(), "{}").await?;

    let start = Instant::now();
    let ledger = begin(&store, "three").await?;
    let present = PresentKeys::default();
    let mut leavers = ledger.snapshot.leavers(&present);
    let mut gone = 0;
    while let Some(chunk) = leavers.next().await? {
        gone += chunk.len();
    }
    say("third run: load and leavers", start, &format!("{gone} leavers"));
    drop(ledger);

    let store = store.with_folding(segport_ledger::Folding { idle_records: 0, ..Default::default() });
    let mut ledger = begin(&store, "four").await?;
    observe(&mut ledger, &hasher, rows)?;
    let again: Vec<_> =
        (0..10).map(|row| Intent::Deliver { identity: hash(&hasher, row).0, memberships: Memberships::NONE }).collect();
    ledger.journal.intend(&again).await?;
    let start = Instant::now();
    ledger.finish(RunEnd::Succeeded, Timestamp::now(), "{}").await?;
    say("fourth run: fold", start, "");

    std::fs::remove_dir_all(&place).ok();
    Ok(())
}
