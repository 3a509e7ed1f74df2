//! Rows that an earlier run may have sent: when the destination is asked, and when they are written again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use segport_core::http::HttpClient;
use segport_core::op::{self, Call, Opened, WriteHead};
use segport_core::rows::{self, EncodedRows};
use segport_core::{Capabilities, Descriptor, Found, FoundRows, Frame, Limits, Outcomes, PluginKind, Result, Session};
use segport_host::{ConnectorInstance, Instance, Plugin};
use segport_ledger::{Fingerprint, KeyHash, Memberships, NewRun, SegmentNumber};
use segport_manifest::Guards;
use serde_json::Value;
use tokio::sync::mpsc;

use super::races::open;
use super::*;
use crate::guard::Override;
use crate::line::Offline;
use crate::movers::Movers;
use crate::outbox::Ticket;
use crate::parcel::{Links, Listed, Parcel};
use crate::progress::Silent;

const ANNA: &str = "anna";
const BEN: &str = "ben";

/// What the destination says when it is asked for somebody.
type Says = Arc<dyn Fn(&str) -> Result<Found> + Send + Sync>;

/// A destination that was asked and written to, and what it says when it is asked.
#[derive(Clone)]
struct Fake {
    descriptor: Descriptor,
    opened: Opened,
    says: Says,
    calls: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}

impl Plugin for Fake {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn sha256(&self) -> &str {
        ""
    }

    fn open(&self, _: Value, _: Arc<dyn HttpClient>) -> Result<Box<dyn Instance>> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Instance for Fake {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    async fn call(&self, op: u32, _: Duration, request: Bytes) -> Result<Bytes> {
        let frame = Frame::decode(request)?;
        let _: Call<WriteHead<Value>> = frame.header()?;
        let batch = rows::decode(frame.payload())?;
        let names = batch.column(0).as_any().downcast_ref::<StringArray>().unwrap().clone();
        let names: Vec<&str> = names.iter().map(Option::unwrap).collect();
        let verb = if op == op::SETTLE { "asked for" } else { "wrote" };
        self.calls.lock().unwrap().push(format!("{verb} {}", names.join(" and ")));
        if op == op::SETTLE {
            let rows = names.iter().map(|name| (self.says)(name)).collect::<Result<_>>()?;
            return Frame::header_only(&FoundRows { rows });
        }
        Frame::header_only(&Outcomes::all(RowOutcome::Done(None), names.len()))
    }
}

/// Delivers Anna and Ben, of whom these are in doubt; returns the calls that were made and the rows' outcomes.
async fn deliver(
    capabilities: Capabilities,
    in_doubt: &[&str],
    cancel: &Cancel,
    says: impl Fn(&str) -> Result<Found> + Send + Sync + 'static,
) -> (Vec<String>, String) {
    deliver_again(1, capabilities, in_doubt, cancel, says).await
}

/// The same in so many batches of each kind.
async fn deliver_again(
    times: usize,
    capabilities: Capabilities,
    in_doubt: &[&str],
    cancel: &Cancel,
    says: impl Fn(&str) -> Result<Found> + Send + Sync + 'static,
) -> (Vec<String>, String) {
    let place = tempfile::tempdir().unwrap();
    let store = open(&place.path().join("state.db")).await;
    let segments = ["s".to_owned()];
    let new = NewRun { run_id: "run", started_at: Timestamp::UNIX_EPOCH, segments: &segments };
    let run = store.lease("export").await.unwrap().begin(new).await.unwrap();
    let number: SegmentNumber = run.snapshot.segments()[0];

    let calls = Arc::default();
    let descriptor = Descriptor {
        kind: PluginKind::Connector,
        capabilities,
        ..Descriptor::new("Fake", "Answers what it is told to")
    };
    let opened = Opened { limits: Some(Limits::default()), ..Opened::default() };
    let fake = Fake { descriptor, opened, says: Arc::new(says), calls: Arc::clone(&calls) };
    let connector = ConnectorInstance::open(&fake, Value::Null, Arc::new(Offline)).unwrap();
    let in_flight = InFlight::new(store.suppressions().await.unwrap());
    let delivery = Delivery {
        writer: &connector.writer("run", &Session::default()).unwrap(),
        line: &Line::default(),
        journal: &run.journal,
        in_flight: &in_flight,
        watch: &Watch::new(Guards::default(), &Override::default()),
        cancel,
        read: ReadSegments::new(&run.snapshot.index, &[Listed { number, position: 0 }]),
        shared: &SharedIds::default(),
        movers: &Movers::default(),
        planned: 2,
        to_send: 2,
        rows_per_batch: 100,
        max_in_flight: 1,
        call_timeout: Duration::from_secs(60),
        export: "export",
        progress: &Silent,
        refused: AtomicU64::new(0),
    };
    let ticket = |name: &str| Ticket {
        identity: store.hasher().identity(name.as_bytes()),
        key: KeyHash::from_bits(1),
        fingerprint: Fingerprint::from_bits(7),
        added: false,
        in_doubt: in_doubt.contains(&name),
    };
    let (parcels, to_deliver) = mpsc::channel(2 * times);
    let doubts: BTreeSet<bool> = [ANNA, BEN].map(|name| in_doubt.contains(&name)).into();
    for doubt in doubts.into_iter().flat_map(|doubt| std::iter::repeat_n(doubt, times)) {
        let names: Vec<&str> = [ANNA, BEN].into_iter().filter(|name| in_doubt.contains(name) == doubt).collect();
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(&names));
        let parcel = Parcel::Upsert {
            rows: EncodedRows::new(&RecordBatch::try_from_iter([("f0", column)]).unwrap()).unwrap(),
            tickets: names.iter().map(|name| ticket(name)).collect(),
            links: Links { join: number.into(), rejoin: Memberships::NONE },
            join: vec![0],
            rejoin: Vec::new(),
            in_doubt: doubt,
        };
        parcels.send((parcel, None)).await.unwrap();
    }
    drop(parcels);
    let delivered = delivery.deliver(to_deliver, oneshot::channel().0).await;
    let rows = delivered.settlement.rows;
    let halt = if delivered.halt.is_some() { ", halted" } else { "" };
    let counts = format!("{} changed, {} unknown, {} deferred{halt}", rows.changed, rows.unknown, rows.deferred);
    (calls.lock().unwrap().clone(), counts)
}

const REPEATABLE: Capabilities = Capabilities { remove: true, repeatable: true, several_segments: true, settle: true };
const ONCE: Capabilities = Capabilities { repeatable: false, ..REPEATABLE };

async fn check(
    capabilities: Capabilities,
    in_doubt: &[&str],
    says: impl Fn(&str) -> Result<Found> + Send + Sync + 'static,
    calls: &[&str],
    counts: &str,
) {
    let found = deliver(capabilities, in_doubt, &Cancel::new(), says).await;
    assert_eq!((found.0.iter().map(String::as_str).collect::<Vec<_>>(), &*found.1), (calls.to_vec(), counts));
}

fn held(_: &str) -> Result<Found> {
    Ok(Found::Held(Some("id".to_owned())))
}

fn only_anna(name: &str) -> Result<Found> {
    Ok(if name == ANNA { Found::Held(None) } else { Found::Different })
}

fn unclear(_: &str) -> Result<Found> {
    Ok(Found::Unclear { reason: "it could not be told".to_owned() })
}

fn away(_: &str) -> Result<Found> {
    Err(Error::new(ErrorKind::Unavailable, "nobody answers"))
}

fn rejected(_: &str) -> Result<Found> {
    Err(Error::new(ErrorKind::Rejected, "too many are asked for"))
}

fn locked(_: &str) -> Result<Found> {
    Err(Error::new(ErrorKind::Unauthenticated, "the key is not known"))
}

#[tokio::test]
async fn what_is_found_is_not_written_again() {
    let both = &[ANNA, BEN];
    for can in [REPEATABLE, ONCE] {
        check(can, &[], held, &["wrote anna and ben"], "2 changed, 0 unknown, 0 deferred").await;
        check(can, both, held, &["asked for anna and ben"], "2 changed, 0 unknown, 0 deferred").await;
        let calls = &["asked for anna and ben", "wrote ben"];
        check(can, both, only_anna, calls, "2 changed, 0 unknown, 0 deferred").await;
        check(can, &[ANNA], held, &["wrote ben", "asked for anna"], "2 changed, 0 unknown, 0 deferred").await;
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_written_again_only_if_that_does_no_harm() {
    let both = &[ANNA, BEN];
    let again = &["asked for anna and ben", "wrote anna and ben"];
    let asked = &["asked for anna and ben"];
    check(REPEATABLE, both, unclear, again, "2 changed, 0 unknown, 0 deferred").await;
    check(REPEATABLE, both, away, again, "2 changed, 0 unknown, 0 deferred").await;
    check(ONCE, both, unclear, asked, "0 changed, 2 unknown, 0 deferred").await;
    check(ONCE, both, away, asked, "0 changed, 2 unknown, 0 deferred").await;
    check(REPEATABLE, both, rejected, again, "2 changed, 0 unknown, 0 deferred").await;
    check(ONCE, both, rejected, asked, "0 changed, 2 unknown, 0 deferred").await;
    for can in [REPEATABLE, ONCE] {
        check(can, both, locked, asked, "0 changed, 0 unknown, 2 deferred, halted").await;
    }
    let blind = |can| Capabilities { settle: false, ..can };
    check(blind(REPEATABLE), both, held, &["wrote anna and ben"], "2 changed, 0 unknown, 0 deferred").await;
    check(blind(ONCE), both, held, &[], "0 changed, 2 unknown, 0 deferred").await;
    check(blind(ONCE), &[BEN], held, &["wrote anna"], "1 changed, 1 unknown, 0 deferred").await;
}

#[tokio::test]
async fn a_question_that_is_recalled_is_asked_again() {
    for can in [REPEATABLE, ONCE] {
        let first = std::sync::atomic::AtomicBool::new(true);
        let says = move |name: &str| match first.swap(false, Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Cancelled, "somebody was suppressed").recalled()),
            false => held(name),
        };
        let asked = "asked for anna and ben";
        check(can, &[ANNA, BEN], says, &[asked, asked], "2 changed, 0 unknown, 0 deferred").await;
    }
}

/// No call was answered without a word on any row: none was made.
#[tokio::test]
async fn rows_that_may_not_be_sent_again_are_no_failures_of_the_destination() {
    let blind = Capabilities { settle: false, ..ONCE };
    let (calls, counts) = deliver_again(9, blind, &[BEN], &Cancel::new(), held).await;
    assert_eq!((calls.len(), &*counts), (9, "9 changed, 9 unknown, 0 deferred"));
    let (calls, counts) = deliver_again(9, blind, &[ANNA, BEN], &Cancel::new(), held).await;
    assert_eq!((calls.len(), &*counts), (0, "0 changed, 18 unknown, 0 deferred"));
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_it_asks_writes_nothing_more() {
    let cancel = Cancel::new();
    let asked = cancel.clone();
    let says = move |_: &str| {
        asked.cancel();
        Ok(Found::Different)
    };
    let (calls, counts) = deliver(REPEATABLE, &[ANNA, BEN], &cancel, says).await;
    assert_eq!((calls.len(), &*calls[0]), (1, "asked for anna and ben"));
    assert_eq!(counts, "0 changed, 0 unknown, 2 deferred, halted");
}
