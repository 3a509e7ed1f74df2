//! Whatever is suppressed whenever: no batch that begins afterwards has it, and everything adds up.

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;
use segport_core::http::HttpClient;
use segport_core::op::{self, Call, Opened, WriteHead};
use segport_core::rows::{self, EncodedRows};
use segport_core::{
    BatchKind, Capabilities, Descriptor, Found, FoundRows, Frame, Limits, Outcomes, PluginKind, Result, Session,
};
use segport_host::{ConnectorInstance, Instance, Plugin};
use segport_ledger::{Fingerprint, KeyHash, Memberships, NewRun, RunEnd, StateKey, Store};
use segport_manifest::Guards;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::task::consume_budget;

use super::*;
use crate::batch_size::BatchSize;
use crate::guard::{Guard, Override};
use crate::line::Offline;
use crate::movers::Movers;
use crate::outbox::{Bundle, Ticket};
use crate::pack::{MOST_LOOSE, MOST_ON_THEIR_WAY, Packer};
use crate::parcel::Listed;
use crate::progress::Silent;
use crate::room::Room;

/// What happens beside a delivery, one after the other.
#[derive(Debug, Clone, Copy)]
enum Step {
    Suppress(u8),
    Unsuppress(u8),
    /// The destination answers the request that has waited longest, once there is one.
    Answer,
}

#[derive(Debug, Clone)]
struct Case {
    people: u8,
    rows_per_batch: usize,
    max_in_flight: usize,
    /// Whose presence makes the destination refuse a whole batch.
    poison: BTreeSet<u8>,
    /// Whom an earlier run may have sent.
    in_doubt: BTreeSet<u8>,
    /// Of those, whom the destination has.
    held: BTreeSet<u8>,
    steps: Vec<Step>,
    /// How much of what tokio lets a task do at a stretch is used up before a turn of the delivery, in turns: it may be made
    /// to wait anywhere.
    spent: Vec<u8>,
}

fn case() -> impl Strategy<Value = Case> {
    let step = prop_oneof![
        3 => (0_u8..12).prop_map(Step::Suppress),
        1 => (0_u8..12).prop_map(Step::Unsuppress),
        3 => Just(Step::Answer),
    ];
    let poison = prop::collection::btree_set(0_u8..12, 0..3);
    let doubts = || prop::collection::btree_set(0_u8..12, 0..6);
    let spent = prop::collection::vec(prop_oneof![Just(0), 110_u8..=128], 0..8);
    (1_u8..12, 1_usize..5, 1_usize..4, poison, (doubts(), doubts()), prop::collection::vec(step, 0..24), spent)
        .prop_map(|(people, rows_per_batch, max_in_flight, poison, (in_doubt, held), steps, spent)| Case {
            people,
            rows_per_batch,
            max_in_flight,
            poison,
            held: &in_doubt & &held,
            in_doubt,
            steps,
            spent,
        })
}

/// A destination that notes each request as it begins, and answers when it is told to.
#[derive(Debug, Default)]
struct Destination {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    poison: BTreeSet<u8>,
    held: BTreeSet<u8>,
    /// Those whom `suppress` has put on the list, from when it returned until `unsuppress` is called.
    forbidden: BTreeSet<u8>,
    /// Requests that should not have been made.
    wrong: Vec<(Vec<u8>, BTreeSet<u8>)>,
    waiting: VecDeque<oneshot::Sender<()>>,
    /// Calls under way, and the most there were at once.
    under_way: usize,
    most_under_way: usize,
    acknowledged: Vec<u8>,
    refused: Vec<u8>,
}

impl Destination {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn settle(&self, people: Vec<u8>) -> FoundRows {
        self.arrive(&people).await;
        let mut state = self.state();
        let found =
            people.iter().map(|who| if state.held.contains(who) { Found::Held(None) } else { Found::Different });
        let found = FoundRows { rows: found.collect() };
        let held: Vec<u8> = people.into_iter().filter(|who| state.held.contains(who)).collect();
        state.acknowledged.extend(held);
        found
    }

    /// Notes a request, and waits for its turn to be answered.
    async fn arrive(&self, people: &[u8]) {
        let (answer, answered) = oneshot::channel();
        let _under_way = UnderWay::begin(self);
        {
            let mut state = self.state();
            if people.iter().any(|who| state.forbidden.contains(who)) {
                let forbidden = state.forbidden.clone();
                state.wrong.push((people.to_vec(), forbidden));
            }
            state.waiting.push_back(answer);
        }
        self.arrived.notify_one();
        answered.await.unwrap();
    }

    async fn write(&self, people: Vec<u8>) -> Result<Outcomes> {
        self.arrive(&people).await;
        let mut state = self.state();
        if people.iter().any(|who| state.poison.contains(who)) {
            if let [alone] = *people {
                state.refused.push(alone);
            }
            return Err(Error::new(ErrorKind::Rejected, "somebody of this batch is not welcome"));
        }
        state.acknowledged.extend(&people);
        Ok(Outcomes::all(RowOutcome::Done(None), people.len()))
    }

    /// Answers the request that has waited longest; waits until there is one.
    async fn answer(&self) {
        loop {
            let next = self.state().waiting.pop_front();
            match next {
                Some(answer) => return answer.send(()).unwrap_or(()),
                None => self.arrived.notified().await,
            }
        }
    }
}

/// A call under way. It ends when it is answered or given up.
struct UnderWay<'a>(&'a Destination);

impl<'a> UnderWay<'a> {
    fn begin(destination: &'a Destination) -> Self {
        let mut state = destination.state();
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        Self(destination)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

#[derive(Debug)]
struct Fake(Arc<Destination>, Descriptor, Opened);

impl Fake {
    fn new(destination: &Arc<Destination>) -> Self {
        let capabilities = Capabilities { repeatable: true, settle: true, ..Capabilities::default() };
        let descriptor = Descriptor {
            kind: PluginKind::Connector,
            capabilities,
            ..Descriptor::new("Fake", "Notes what it is given")
        };
        Self(Arc::clone(destination), descriptor, Opened { limits: Some(Limits::default()), ..Opened::default() })
    }
}

impl Plugin for Fake {
    fn descriptor(&self) -> &Descriptor {
        &self.1
    }

    fn sha256(&self) -> &str {
        ""
    }

    fn open(&self, _: Value, _: Arc<dyn HttpClient>) -> Result<Box<dyn Instance>> {
        Ok(Box::new(Self::new(&self.0)))
    }
}

#[async_trait]
impl Instance for Fake {
    fn opened(&self) -> &Opened {
        &self.2
    }

    async fn call(&self, op: u32, _: Duration, request: Bytes) -> Result<Bytes> {
        let frame = Frame::decode(request)?;
        let head: Call<WriteHead<Value>> = frame.header()?;
        assert!(matches!(head.args.kind, BatchKind::Upsert { .. }));
        let batch = rows::decode(frame.payload())?;
        let names = batch.column(0).as_any().downcast_ref::<StringArray>().unwrap().clone();
        let people = (0..names.len()).map(|row| names.value(row).parse().unwrap()).collect();
        match op {
            op::SETTLE => Frame::header_only(&self.0.settle(people).await),
            op => {
                assert_eq!(op, op::WRITE);
                Frame::header_only(&self.0.write(people).await?)
            }
        }
    }
}

/// Uses up so much of a task's budget before the turns of `work`, and nothing before some of them, so that it ends.
async fn hurried<F: Future>(spent: &[u8], work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    let mut spent = spent.iter().copied().chain([0, 0]).cycle();
    poll_fn(|cx| {
        for _ in 0..spent.next().unwrap_or(0) {
            if std::pin::pin!(consume_budget()).poll(cx).is_pending() {
                break;
            }
        }
        work.as_mut().poll(cx)
    })
    .await
}

pub(super) async fn open(path: &Path) -> Store {
    let key = StateKey::from_secret(&segport_core::Secret::new("of the races, and no other")).unwrap();
    Store::open(path, &key).await.unwrap()
}

async fn check(case: Case) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state.db");
    // Two handles on one state, as two processes have them.
    let (store, other) = (open(&path).await, open(&path).await);
    let identity = |who: u8| store.hasher().identity(who.to_string().as_bytes());
    let segments = ["s".to_owned()];
    let new = NewRun { run_id: "run", started_at: Timestamp::UNIX_EPOCH, segments: &segments };
    let mut run = store.lease("export").await.unwrap().begin(new).await.unwrap();
    let number = run.snapshot.segments()[0];
    let fingerprint = Fingerprint::from_bits(7);
    let tickets: Vec<Ticket> = (0..case.people)
        .map(|who| {
            let (identity, key) = (identity(who), KeyHash::from_bits(u64::from(who)));
            run.snapshot.index.observe(identity, key, fingerprint, number).unwrap();
            Ticket { identity, key, fingerprint, added: true, in_doubt: case.in_doubt.contains(&who) }
        })
        .collect();
    let names: StringArray = (0..case.people).map(|who| Some(who.to_string())).collect();
    let rows = RecordBatch::try_from_iter([("f0", Arc::new(names) as ArrayRef)]).unwrap();
    let rows = EncodedRows::new(&rows).unwrap();

    let destination = Arc::new(Destination::default());
    destination.state().poison.clone_from(&case.poison);
    destination.state().held.clone_from(&case.held);
    let connector = ConnectorInstance::open(&Fake::new(&destination), Value::Null, Arc::new(Offline)).unwrap();
    let in_flight = InFlight::new(store.suppressions().await.unwrap());
    let planned = u64::from(case.people);
    let listed = [Listed { number, position: 0 }];
    let delivery = Delivery {
        writer: &connector.writer("run", &Session::default()).unwrap(),
        line: &Line::default(),
        journal: &run.journal,
        in_flight: &in_flight,
        watch: &Watch::new(Guards::default(), &Override { guards: vec![Guard::MaxRefused], ..Override::default() }),
        cancel: &Cancel::new(),
        read: ReadSegments::new(&run.snapshot.index, &listed),
        shared: &SharedIds::default(),
        movers: &Movers::default(),
        planned,
        to_send: planned,
        rows_per_batch: case.rows_per_batch,
        max_in_flight: case.max_in_flight,
        call_timeout: Duration::from_secs(60),
        export: "export",
        progress: &Silent,
        refused: AtomicU64::new(0),
    };
    let has_room = !case.people.is_multiple_of(2);
    let packer = Packer {
        index: &run.snapshot.index,
        journal: &run.journal,
        batch: BatchSize { rows: case.rows_per_batch, bytes: usize::MAX },
        segments: &listed,
        most_loose: MOST_LOOSE,
        room: &Room::new(if has_room { MOST_ON_THEIR_WAY } else { 1 }),
        replaced: Memberships::NONE,
    };
    let (parcels, to_deliver) = mpsc::channel(1);
    let (halt, _) = oneshot::channel();
    let pack = async {
        let mut block = Some(vec![Bundle { rows, tickets }]);
        packer.pack_rows(|| block.take().map(Ok), &parcels).await.unwrap();
        drop(parcels);
    };
    let disturb = async {
        for &step in &case.steps {
            match step {
                Step::Suppress(who) => {
                    other.suppress(&[identity(who)], Timestamp::UNIX_EPOCH).await.unwrap();
                    destination.state().forbidden.insert(who);
                }
                Step::Unsuppress(who) => {
                    destination.state().forbidden.remove(&who);
                    other.unsuppress(&[identity(who)]).await.unwrap();
                }
                Step::Answer => destination.answer().await,
            }
        }
        loop {
            destination.answer().await;
        }
    };
    let delivered = tokio::select! {
        ((), delivered) = async { tokio::join!(pack, hurried(&case.spent, delivery.deliver(to_deliver, halt))) } => delivered,
        () = disturb => unreachable!("there is always another request to wait for"),
    };

    let found = delivered.settlement.rows;
    assert!(delivered.halt.is_none() && delivered.failure.is_none(), "{:?}", delivered.halt);
    assert_eq!(found.outcomes(), planned, "{found:?}");
    let acknowledged: BTreeSet<u8> = {
        let state = destination.state();
        assert!(state.wrong.is_empty(), "(request, forbidden): {:?}", state.wrong);
        assert!(has_room || state.most_under_way <= 1, "one parcel has its turn after the other");
        assert_eq!(found.added, state.acknowledged.len() as u64);
        assert_eq!(found.refused, state.refused.len() as u64);
        state.acknowledged.iter().copied().collect()
    };
    assert_eq!(acknowledged.len() as u64, found.added, "nobody is delivered twice");
    assert_eq!(found.suppressed, planned - found.added - found.refused);

    run.finish(RunEnd::Succeeded, Timestamp::UNIX_EPOCH, "{}").await.unwrap();
    let snapshot = store.snapshot("export", &segments).await.unwrap();
    for who in 0..case.people {
        let held = snapshot.index.held(identity(who)).unwrap();
        assert_eq!(held.is_some_and(|held| held.acknowledged(fingerprint)), acknowledged.contains(&who), "{who}");
        assert!(held.is_none_or(|held| !held.uncertain), "{who} is in no doubt: it was sent, or it was not");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_batch_that_begins_after_somebody_was_suppressed_has_them(case in case()) {
        // One thread, so that it is certain what is first: a request that begins, or a call that returns.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(case));
    }
}
