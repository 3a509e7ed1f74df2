//! All that outlives a run: virtual time, the trace, what the destination holds and has acknowledged, and the rules that nothing
//! may break while a run is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use segport_core::Limits;
use tokio::time::Instant;

use super::case::{Case, Crash, Round};
use super::dice::Dice;
use super::source::Source;
use crate::calendar::Calendar;

/// Everything of a row but who it is.
pub(super) type Payload = (Option<String>, i64);

/// What the destination holds of a person, or has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Contact {
    pub(super) id: String,
    pub(super) payload: Payload,
    /// Positions of the lists, which are those of the segments.
    pub(super) lists: BTreeSet<u16>,
}

/// The world of one seed.
#[derive(Debug)]
pub(super) struct World {
    pub(super) case: Case,
    pub(super) dice: Arc<Dice>,
    state: Mutex<State>,
    /// Everything that happened, and in which order, if somebody wants to know.
    story: Option<Mutex<String>>,
}

/// An account at the destination.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) is_second: bool,
    pub(super) contacts: BTreeMap<String, Contact>,
    /// What was answered to the connector, whoever died afterwards.
    pub(super) acknowledged: BTreeMap<String, Contact>,
    /// Who is on which list to the ledger's knowledge, from when it was written down until the removal was acknowledged.
    pub(super) written_down: BTreeSet<(String, u16)>,
    /// Who was on which list when the export went to the other account, and was not put there again.
    pub(super) left_behind: BTreeSet<(String, u16)>,
    /// How often each list was deleted.
    deleted: BTreeMap<u16, u32>,
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) source: Source,
    /// That of the key.
    pub(super) account: Account,
    elsewhere: Account,
    /// Whom `suppress` has put on the list, from when it returned until `unsuppress` is called.
    pub(super) forbidden: BTreeSet<String>,
    /// Rules that were broken.
    pub(super) broken: Vec<String>,
    pub(super) round: Round,
    pub(super) run: Process,
    /// Virtual time before this process began, and when it did.
    before: Duration,
    began: Option<Instant>,
    /// How many runs were given an id.
    runs: u32,
}

/// What there was of a process so far.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Requests that began.
    pub(super) requests: u32,
    /// Those under way.
    pub(super) in_flight: u32,
    pub(super) operations: u32,
    pub(super) turns: u32,
    pub(super) is_dead: bool,
    /// Who was acknowledged, and how many removals were.
    pub(super) written: BTreeSet<String>,
    pub(super) removed: u64,
    /// Who is in a call of the connector that has not returned.
    pub(super) called: BTreeSet<String>,
    /// No request may begin before.
    pub(super) paused_until: Duration,
    /// The earliest time at which a request may have been the first, were all after it as close as the rate allows.
    earliest: Option<Duration>,
}

impl World {
    pub(super) fn new(seed: u64, is_told: bool) -> Arc<Self> {
        let dice = Arc::new(Dice::new(seed));
        let case = Case::new(&dice);
        Arc::new(Self { case, dice, state: Mutex::new(State::new()), story: is_told.then(Mutex::default) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the seed began.
    pub(super) fn now(&self) -> Duration {
        self.state().now()
    }

    /// A process begins, on a clock of its own.
    pub(super) fn begin(&self, round: &Round) {
        let mut state = self.state();
        state.began = Some(Instant::now());
        (state.round, state.run) = (round.clone(), Process::default());
    }

    /// A process is over.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.before = state.now();
        state.began = None;
    }

    /// Notes what happens.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        if let Some(story) = &self.story {
            let now = self.now();
            writeln!(story.lock().unwrap(), "{now:>12.6?} {what}").unwrap();
        }
    }

    /// What happened so far, if it was to be told.
    pub(super) fn story(&self) -> Option<String> {
        self.story.as_ref().map(|story| story.lock().unwrap().clone())
    }

    /// The process dies here; nothing that it does from now on has an effect.
    pub(super) fn die(&self, how: &str) {
        self.note(format_args!("dies {how}"));
        self.state().run.is_dead = true;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().run.is_dead
    }

    /// Counts a moment in which the run goes on; it may be the last.
    pub(super) fn turn(&self) {
        let (turn, crash) = {
            let mut state = self.state();
            state.run.turns += 1;
            (state.run.turns, state.round.crash)
        };
        if crash == Some(Crash::Turn(turn)) {
            self.die("between two steps");
        }
    }
}

impl Calendar for World {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.now()
    }

    fn new_run(&self) -> String {
        let mut state = self.state();
        state.runs += 1;
        format!("run-{:04}", state.runs)
    }
}

impl Account {
    /// The destination's id of it.
    pub(super) fn id(&self) -> &'static str {
        if self.is_second { "second" } else { "first" }
    }

    /// The export goes to another account: whom it put on lists stays on them, unless it comes back and puts them there again.
    pub(super) fn leave_behind(&mut self) {
        self.written_down.clear();
        let on_lists =
            self.contacts.iter().flat_map(|(email, contact)| contact.lists.iter().map(|list| (email.clone(), *list)));
        self.left_behind.extend(on_lists);
    }

    /// Somebody deletes a list; another one takes its place.
    pub(super) fn delete_list(&mut self, list: u16) {
        *self.deleted.entry(list).or_default() += 1;
        for contact in self.contacts.values_mut().chain(self.acknowledged.values_mut()) {
            contact.lists.remove(&list);
        }
        self.written_down.retain(|(_, on)| *on != list);
    }

    /// The id that a list has at the destination.
    pub(super) fn id_of(&self, list: u16) -> String {
        let made = 1 + self.deleted.get(&list).copied().unwrap_or_default();
        format!("{list} of the {} account, made {made} times", self.id())
    }
}

impl State {
    fn new() -> Self {
        Self {
            source: Source::default(),
            account: Account::default(),
            elsewhere: Account { is_second: true, ..Account::default() },
            forbidden: BTreeSet::new(),
            broken: Vec::new(),
            round: Round::default(),
            run: Process::default(),
            before: Duration::ZERO,
            began: None,
            runs: 0,
        }
    }

    /// The key is that of the other account.
    pub(super) fn take_other_key(&mut self) {
        mem::swap(&mut self.account, &mut self.elsewhere);
    }

    pub(super) fn now(&self) -> Duration {
        self.before + self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Time since this process began.
    pub(super) fn began_ago(&self) -> Duration {
        self.now() - self.before
    }

    /// Notes a broken rule.
    pub(super) fn complain(&mut self, rule: impl Into<String>) {
        let now = self.now();
        self.broken.push(format!("{now:.3?}: {}", rule.into()));
    }

    /// A request begins: pace, pauses and the number under way are kept.
    pub(super) fn request_begins(&mut self, limits: &Limits) {
        let now = self.now();
        self.run.requests += 1;
        self.run.in_flight += 1;
        if self.run.in_flight > limits.max_in_flight {
            self.complain(format!("{} requests are under way, not {}", self.run.in_flight, limits.max_in_flight));
        }
        if now < self.run.paused_until {
            let until = self.run.paused_until;
            self.complain(format!("a request begins though the destination asked for a pause until {until:.3?}"));
        }
        if limits.requests_per_second > 0.0 {
            // A call may be seven milliseconds late for its slot without moving the later ones, and a timer is one late.
            let slack = Duration::from_millis(8);
            let interval = Duration::from_secs_f64(1.0 / limits.requests_per_second);
            if self.run.earliest.is_some_and(|earliest| now + slack < earliest + interval) {
                self.complain("requests come faster than the rate allows");
            }
            let slot = self.run.earliest.map_or(now, |earliest| now.max(earliest + interval));
            self.run.earliest = Some(slot);
        }
    }

    /// The destination has said that it holds a person so.
    pub(super) fn acknowledge(&mut self, email: &str, id: String, payload: Payload, lists: &[u16]) {
        if !self.run.written.insert(email.to_owned()) {
            self.complain(format!("{email} is acknowledged twice in one run"));
        }
        let Account { acknowledged, left_behind, .. } = &mut self.account;
        let contact = acknowledged.entry(email.to_owned()).or_default();
        (contact.id, contact.payload) = (id, payload);
        contact.lists.extend(lists);
        left_behind.retain(|(who, list)| who != email || !lists.contains(list));
    }

    /// The destination has said that a person is off a list.
    pub(super) fn acknowledge_removal(&mut self, id: &str, list: u16) {
        self.run.removed += 1;
        let Account { acknowledged, written_down, .. } = &mut self.account;
        for (email, contact) in acknowledged.iter_mut().filter(|(_, contact)| contact.id == id) {
            contact.lists.remove(&list);
            written_down.remove(&(email.clone(), list));
        }
    }

    /// A call of the connector begins with these people.
    pub(super) fn call_begins(&mut self, people: &[String], what: &str) {
        for who in people {
            if self.forbidden.contains(who) {
                self.complain(format!("{who} is in a batch ({what}) that began after they were suppressed"));
            }
            if !self.run.called.insert(who.clone()) {
                self.complain(format!("{who} is in two batches at once"));
            }
        }
    }

    pub(super) fn call_ends(&mut self, people: &[String]) {
        people.iter().for_each(|who| {
            self.run.called.remove(who);
        });
    }
}
