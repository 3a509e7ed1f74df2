//! The connector of the simulation: real requests through `cx.http()`'s client, and an outcome for every row.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::{HttpClient, Request};
use segport_core::op::{self, Call, Opened, WriteHead};
use segport_core::{
    Batch, BatchKind, Descriptor, Error, ErrorKind, ExportSpec, Found, FoundRows, Frame, Outcomes, PluginKind, Result,
    RowOutcome, Session, rows,
};
use segport_host::{Instance, Plugin};
use serde_json::Value;
use tokio::time::timeout;

use super::destination::{Letter, Verdict};
use super::world::{Payload, World};

/// What tells the destination from others.
pub(super) const ADDRESS: &str = "destination.example";
/// The same, as the ledger names it.
pub(super) const PLACE: &str = ADDRESS;

/// The plugin that carries it.
#[derive(Debug)]
pub(super) struct Connector {
    world: Arc<World>,
    descriptor: Descriptor,
}

impl Connector {
    pub(super) fn new(world: &Arc<World>) -> Self {
        let descriptor = Descriptor {
            kind: PluginKind::Connector,
            limits: world.case.limits,
            capabilities: world.case.capabilities,
            ..Descriptor::new("Simulated", "Writes to a destination that is not there")
        };
        Self { world: Arc::clone(world), descriptor }
    }
}

impl Plugin for Connector {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn sha256(&self) -> &str {
        ""
    }

    fn open(&self, _: Value, http: Arc<dyn HttpClient>) -> Result<Box<dyn Instance>> {
        let opened = Opened { limits: Some(self.descriptor.limits), address: Some(ADDRESS.to_owned()) };
        Ok(Box::new(Open { world: Arc::clone(&self.world), http, opened }))
    }
}

#[derive(Debug)]
struct Open {
    world: Arc<World>,
    http: Arc<dyn HttpClient>,
    opened: Opened,
}

#[async_trait]
impl Instance for Open {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    async fn call(&self, op: u32, within: Duration, request: Bytes) -> Result<Bytes> {
        match timeout(within, self.answer(op, request)).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the call took too long")),
        }
    }
}

/// Takes people out of those who are in a call, however it ends.
struct Called<'a> {
    world: &'a World,
    people: Vec<String>,
}

impl<'a> Called<'a> {
    fn begin(world: &'a World, people: Vec<String>, what: &str) -> Self {
        world.note(format_args!("call {what} {people:?}"));
        world.state().call_begins(&people, what);
        Self { world, people }
    }
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        self.world.state().call_ends(&self.people);
    }
}

impl Open {
    async fn answer(&self, op: u32, request: Bytes) -> Result<Bytes> {
        if matches!(op, op::BEGIN | op::FINISH) {
            self.post("prepare", &Letter::Prepare).await?;
            return match op {
                op::BEGIN => {
                    let call: Call<ExportSpec> = Frame::decode(request)?.header()?;
                    Frame::header_only(&self.session(&call.args))
                }
                _ => Frame::header_only(&()),
            };
        }
        let frame = Frame::decode(request)?;
        let head: Call<WriteHead<Value>> = frame.header()?;
        let batch = rows::decode(frame.payload())?;
        match (op, head.args.kind) {
            (op::SETTLE, BatchKind::Upsert { join, rejoin }) => {
                Frame::header_only(&self.find([join, rejoin].concat(), people(&batch)).await?)
            }
            (op::WRITE, BatchKind::Upsert { join, rejoin }) => {
                self.write([join, rejoin].concat(), people(&batch)).await?.into_answer()
            }
            (op::WRITE, BatchKind::Remove { segment }) => self.leave(segment, &batch).await?.into_answer(),
            _ => Err(Error::new(ErrorKind::Unsupported, "there is no such operation")),
        }
    }

    fn session(&self, export: &ExportSpec) -> Session {
        let account = &self.world.state().account;
        let session = Session { account: Some(account.id().to_owned()), ..Session::default() };
        if !export.may_move && export.account.is_some() && export.account != session.account {
            return session;
        }
        let lists = (0..).take(self.world.case.segments).map(|list| account.id_of(list));
        Session { lists: lists.collect(), ..session }
    }

    async fn write(&self, join: Vec<u16>, rows: Vec<(String, Payload)>) -> Result<Outcomes> {
        let _called = Called::begin(&self.world, names(&rows), "write");
        let letter = Letter::Write { join, rows };
        let verdicts = self.post("write", &letter).await?;
        let Letter::Write { join, rows } = letter else { unreachable!("it was made so") };
        let mut state = self.world.state();
        let outcomes = rows.into_iter().zip(verdicts).map(|((email, payload), verdict)| {
            if let Verdict::Done(id) = &verdict {
                state.acknowledge(&email, id.clone(), payload, &join);
            }
            outcome(verdict)
        });
        Ok(Outcomes { rows: outcomes.collect(), notes: Vec::new(), stop: None })
    }

    async fn find(&self, join: Vec<u16>, rows: Vec<(String, Payload)>) -> Result<FoundRows> {
        let _called = Called::begin(&self.world, names(&rows), "find");
        let letter = Letter::Find { join, rows };
        let verdicts = self.post("find", &letter).await?;
        let Letter::Find { join, rows } = letter else { unreachable!("it was made so") };
        let mut state = self.world.state();
        let found = rows.into_iter().zip(verdicts).map(|((email, payload), verdict)| match verdict {
            Verdict::Done(id) => {
                state.acknowledge(&email, id.clone(), payload, &join);
                Found::Held(Some(id))
            }
            Verdict::Different => Found::Different,
            _ => Found::Unclear { reason: "the answer lacks the row".to_owned() },
        });
        Ok(FoundRows { rows: found.collect() })
    }

    async fn leave(&self, list: u16, batch: &RecordBatch) -> Result<Outcomes> {
        let ids = batch.column_by_name(Batch::DESTINATION_ID).unwrap().as_string::<i32>();
        let ids: Vec<String> = ids.iter().map(|id| id.expect("the destination gives ids").to_owned()).collect();
        self.world.note(format_args!("call leave {list} {ids:?}"));
        let verdicts = self.post("leave", &Letter::Leave { list, ids: ids.clone() }).await?;
        let mut state = self.world.state();
        let outcomes = ids.iter().zip(verdicts).map(|(id, verdict)| {
            if matches!(verdict, Verdict::Done(_)) {
                state.acknowledge_removal(id, list);
            }
            outcome(verdict)
        });
        Ok(Outcomes { rows: outcomes.collect(), notes: Vec::new(), stop: None })
    }

    async fn post(&self, operation: &str, letter: &Letter) -> Result<Vec<Verdict>> {
        let request = Request::new("POST", "https://destination.example/people", operation);
        let request = request.json(serde_json::to_vec(letter).unwrap());
        let changes = !matches!(letter, Letter::Find { .. } | Letter::Prepare);
        let repeatable = self.world.case.capabilities.repeatable;
        let request = if changes && !repeatable { request.once() } else { request };
        let answer = self.http.send(request).await?;
        match answer.head.status {
            200 => match serde_json::from_slice::<Option<Vec<Verdict>>>(&answer.body).unwrap() {
                Some(verdicts) => Ok(verdicts),
                None => Err(Error::new(ErrorKind::Rejected, "the batch was rejected")),
            },
            401 => Err(Error::new(ErrorKind::Unauthenticated, "the key is not known")),
            429 => Err(Error::new(ErrorKind::RateLimited, "too many calls")),
            status => Err(Error::new(ErrorKind::Unavailable, format!("the destination answered {status}"))),
        }
    }
}

fn outcome(verdict: Verdict) -> RowOutcome {
    match verdict {
        Verdict::Done(id) => RowOutcome::Done(Some(id)),
        Verdict::Refused | Verdict::Different => {
            RowOutcome::Refused { code: "refused".to_owned(), reason: "not wanted".to_owned() }
        }
        Verdict::Postponed => RowOutcome::Deferred { reason: "not now".to_owned() },
        Verdict::Missing => RowOutcome::Unknown { reason: "the answer lacks the row".to_owned() },
    }
}

fn names(rows: &[(String, Payload)]) -> Vec<String> {
    rows.iter().map(|(email, _)| email.clone()).collect()
}

fn people(batch: &RecordBatch) -> Vec<(String, Payload)> {
    let (emails, names) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
    let points = batch.column(2).as_primitive::<Int64Type>();
    (0..batch.num_rows())
        .map(|row| {
            let name = names.is_valid(row).then(|| names.value(row).to_owned());
            (emails.value(row).to_owned(), (name, points.value(row)))
        })
        .collect()
}
