//! The source: who is in which segment, how that changes between runs, and a plugin that reads it page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::HttpClient;
use segport_core::op::{self, Call, Opened, PageHead, ReadHead};
use segport_core::{Descriptor, Error, ErrorKind, Frame, PluginKind, Result, UnreadableRow, rows};
use segport_host::{Instance, Plugin};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::dice::Dice;
use super::world::World;

/// One row of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    pub(super) points: String,
}

/// What the source holds.
#[derive(Debug, Default)]
pub(super) struct Source {
    people: BTreeMap<u64, Person>,
    pub(super) segments: Vec<Vec<Row>>,
    /// Every key under which an e-mail address ever stood.
    pub(super) keys: BTreeMap<String, BTreeSet<String>>,
    pages_read: u32,
}

#[derive(Debug, Clone, Default)]
struct Person {
    segments: BTreeSet<usize>,
    name: Option<String>,
    points: u64,
    /// Whether they have moved to another address.
    moved: bool,
    flaw: Option<Flaw>,
    /// Whether another row has their address, too.
    doubled: bool,
}

#[derive(Debug, Clone, Copy)]
enum Flaw {
    NoEmail,
    BadEmail,
    BadPoints,
}

/// The address of a person who has not moved.
pub(super) fn email_of(who: u64) -> String {
    format!("p{who}@example.com")
}

impl Source {
    /// Changes some of the people, all of them the first time.
    pub(super) fn change(&mut self, dice: &Dice, people: u64, segments: usize) {
        let is_first = self.people.is_empty();
        for who in 0..people {
            let person = self.people.entry(who).or_default();
            if is_first || dice.chance(25) {
                person.segments = (0..segments).filter(|_| dice.chance(60)).collect();
            }
            if is_first || dice.chance(25) {
                person.name = dice.maybe(80, |dice| format!("n{}", dice.below(3)));
                person.points = dice.below(2);
            }
            if dice.chance(5) {
                person.moved = !person.moved;
            }
            person.flaw = dice.maybe(6, |dice| dice.pick(&[Flaw::NoEmail, Flaw::BadEmail, Flaw::BadPoints]));
            person.doubled = dice.chance(6);
        }
        self.segments = (0..segments).map(|segment| self.rows(dice, segment)).collect();
        for row in self.segments.iter().flatten() {
            if let Some(email) = &row.email {
                self.keys.entry(email.trim().to_lowercase()).or_default().insert(row.key.clone());
            }
        }
        self.pages_read = 0;
    }

    fn rows(&self, dice: &Dice, segment: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for (who, person) in self.people.iter().filter(|(_, person)| person.segments.contains(&segment)) {
            let address = if person.moved { format!("q{who}@example.com") } else { email_of(*who) };
            let email = match person.flaw {
                Some(Flaw::NoEmail) => None,
                Some(Flaw::BadEmail) => Some(format!("p{who}")),
                _ if dice.chance(10) => Some(format!(" {}", address.to_uppercase())),
                _ => Some(address),
            };
            let points = match person.flaw {
                Some(Flaw::BadPoints) => "many".to_owned(),
                _ => person.points.to_string(),
            };
            let row = Row { key: format!("k{who}"), email, name: person.name.clone(), points };
            if person.doubled {
                rows.push(Row { key: format!("d{who}"), points: "7".to_owned(), ..row.clone() });
            }
            rows.push(row);
        }
        rows
    }
}

/// The plugin that reads it.
#[derive(Debug)]
pub(super) struct Reader {
    world: Arc<World>,
    descriptor: Descriptor,
    opened: Opened,
}

impl Reader {
    /// The `read` table of a segment.
    pub(super) fn table(segment: usize) -> Value {
        json!({ "segment": segment })
    }

    pub(super) fn new(world: &Arc<World>) -> Self {
        let descriptor =
            Descriptor { kind: PluginKind::Source, ..Descriptor::new("Simulated", "Reads people who are not there") };
        Self { world: Arc::clone(world), descriptor, opened: Opened::default() }
    }
}

impl Plugin for Reader {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn sha256(&self) -> &str {
        ""
    }

    fn open(&self, _: Value, _: Arc<dyn HttpClient>) -> Result<Box<dyn Instance>> {
        Ok(Box::new(Self::new(&self.world)))
    }
}

/// Rows of one page.
const PAGE: usize = 8;

#[async_trait]
impl Instance for Reader {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    async fn call(&self, op: u32, _: Duration, request: Bytes) -> Result<Bytes> {
        assert_eq!(op, op::READ);
        let call: Call<ReadHead> = Frame::decode(request)?.header()?;
        let segment = call.args.read["segment"].as_u64().unwrap() as usize;
        let start: usize = call.args.cursor.map_or(0, |cursor| cursor.parse().unwrap());
        sleep(self.world.dice.wait(30)).await;

        let mut state = self.world.state();
        state.source.pages_read += 1;
        if state.round.unreadable_page.is_some_and(|page| page < state.source.pages_read) {
            return Err(Error::new(ErrorKind::Unavailable, "the disk is gone"));
        }
        // By now every segment has been read once.
        let is_second_reading = state.source.pages_read as usize > pages(&state.source.segments);
        if is_second_reading && std::mem::take(&mut state.round.moves) {
            state.source.segments[segment].pop();
        }
        let all = &state.source.segments[segment];
        let end = all.len().min(start + PAGE);
        let page = batch(&all[start.min(end)..end]);
        let unreadable = if segment == 0 && end == all.len() { state.round.unreadable_rows } else { 0 };
        let unreadable = (0..unreadable).map(|row| UnreadableRow {
            place: "people".to_owned(),
            row,
            line: None,
            reason: "torn".to_owned(),
        });
        let head = PageHead { unreadable: unreadable.collect(), next: (end < all.len()).then(|| end.to_string()) };
        Frame::encode(&head, |out| rows::encode(&page, out))
    }
}

/// How many pages the segments have together.
fn pages(segments: &[Vec<Row>]) -> usize {
    segments.iter().map(|rows| rows.len().div_ceil(PAGE).max(1)).sum()
}

/// Rows as a source gives them.
pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let column = |of: fn(&Row) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    RecordBatch::try_from_iter_with_nullable([
        ("id", column(|row| Some(&row.key)), true),
        ("email", column(|row| row.email.as_deref()), true),
        ("name", column(|row| row.name.as_deref()), true),
        ("points", column(|row| Some(&row.points)), true),
    ])
    .unwrap()
}
