//! Whatever happens to a run, the ledger never claims what the destination does not hold, and the next whole runs make the
//! destination equal to the source.

mod bytes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use segport_core::Secret;
use segport_ledger::{
    Change, Done, Folding, Identity, Intent, Memberships, Memory, NewRun, NoFaults, Observation, PresentKeys, Reached,
    Record, Row, RunEnd, SegmentNumber, StateKey, Store, Undelivered, Untried,
};

use self::bytes::Bytes;
/// The bytes as a sequence of runs.
pub fn ledger(bytes: &[u8]) {
    Bytes::new(bytes).story().check();
}

/// Some runs of one export, and a whole one that must put everything right.
#[derive(Debug, Clone)]
pub struct Story {
    /// Runs in which anything may happen.
    pub plans: Vec<Plan>,
    /// A run in which nothing goes wrong.
    pub last: Plan,
    /// Where the state is kept.
    pub kept: Kept,
    /// Whether every run folds pages, a few rows at a time.
    pub folds: bool,
    /// Whether each run opens the store anew.
    pub reopens: bool,
}

/// What a destination does with one row, and what the run learns of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It took effect.
    Acknowledged,
    /// It had no effect.
    Refused,
    /// The contact was written, but it was not put on its lists, and so counts as refused.
    RefusedByLists,
    /// It took effect, but nobody knows.
    UnknownDone,
    /// It had no effect, but nobody knows.
    UnknownLost,
    /// It was not tried.
    Deferred,
    /// Put on the suppression list after the intent, and so not sent.
    Suppressed,
}

/// One run: what the source holds, and what happens to it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// For each segment of the manifest: its number in the world, and who is in it with which payload.
    pub segments: Vec<(u8, BTreeMap<u8, u8>)>,
    /// Who is read and not sent, and why: suppressed, or deferred because the run sends no more rows.
    pub skipped: BTreeMap<u8, Undelivered>,
    /// Which of the keys that a person has over time the source has now.
    pub keys: u8,
    /// Whether all rows are to be sent, changed or not.
    pub renews: bool,
    /// Lists that are deleted while the source is read, so that others take the place of those of its segments.
    pub gone: BTreeSet<u8>,
    /// Whether the account is another one than before.
    pub moves: bool,
    /// Answers to the rows in the order they are sent, repeated; at least one.
    pub answers: Vec<Answer>,
    /// After how many calls the run dies, if it does; and whether the last call still reaches the destination.
    pub dies_after: Option<(usize, bool)>,
}

/// What the destination holds of a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Contact {
    payload: u8,
    lists: BTreeSet<u8>,
}

#[derive(Debug, Default)]
struct World {
    contacts: BTreeMap<u8, Contact>,
    /// The lists that each may be on by what was sent and answered: those that they were sent to, and that neither ended by an
    /// answer nor were deleted.
    claimed: BTreeMap<u8, BTreeSet<u8>>,
    /// Who was acknowledged and has not left everything since: only those can be removed.
    known: BTreeSet<u8>,
    /// Since they last left everything: with which segments in the manifest each was acknowledged with an id. Of an account whose
    /// segments were all exchanged since, no id counts.
    identified: BTreeMap<u8, Vec<BTreeSet<u8>>>,
    /// Which of their keys people were acknowledged with, or seen with since.
    keys: BTreeMap<u8, u8>,
    /// Who was held when all rows were to be sent, and was not acknowledged since.
    owed: BTreeSet<u8>,
    /// How often each list was deleted.
    deleted: BTreeMap<u8, u32>,
    /// How often the account was another one.
    moves: u32,
    sent: usize,
}

impl World {
    /// Deletes a list, perhaps with its account.
    fn delete(&mut self, list: u8) {
        *self.deleted.entry(list).or_default() += 1;
        for manifest in self.identified.values_mut().flatten() {
            manifest.remove(&list);
        }
        for who in 0..PEOPLE {
            if let Some(contact) = self.contacts.get_mut(&who) {
                contact.lists.remove(&list);
            }
            self.came_off(who, list);
        }
    }

    /// Somebody is known to be off a list. Who may be on no other one is known to nobody any more.
    fn came_off(&mut self, who: u8, list: u8) {
        if let Some(claimed) = self.claimed.get_mut(&who)
            && claimed.remove(&list)
            && claimed.is_empty()
        {
            self.known.remove(&who);
            self.identified.remove(&who);
        }
    }

    /// Goes to another account, where people are as nobody knows, and on none of these lists.
    fn go_elsewhere(&mut self, lists: &BTreeSet<u8>) {
        self.moves += 1;
        lists.iter().for_each(|&list| self.delete(list));
        self.contacts.values_mut().for_each(|contact| contact.payload = PAYLOADS);
    }

    /// The id that a list has at the destination.
    fn id_of(&self, list: u8) -> String {
        format!("{list}, made {} times", 1 + self.deleted.get(&list).copied().unwrap_or_default())
    }
}

/// How many people there are.
const PEOPLE: u8 = 8;
/// How many payloads a person may have.
const PAYLOADS: u8 = 3;
/// How many keys a person may have, one after the other.
const KEYS: u8 = 3;
const BATCH: usize = 3;

/// One run, as the engine would do it.
struct Run<'a> {
    plan: &'a Plan,
    world: &'a mut World,
    answers: usize,
    calls: usize,
}

impl Run<'_> {
    fn answer(&mut self) -> Answer {
        self.answers += 1;
        self.plan.answers[(self.answers - 1) % self.plan.answers.len()]
    }

    /// Whether the process dies in this call, and whether the call got through.
    fn dies(&mut self) -> Option<bool> {
        self.calls += 1;
        self.plan.dies_after.filter(|(after, _)| self.calls > *after).map(|(_, arrives)| arrives)
    }
}

async fn execute(store: &Store, number: usize, plan: &Plan, world: &mut World) {
    let ids: Vec<String> = plan.segments.iter().map(|(segment, _)| format!("s{segment}")).collect();
    let lease = store.lease("export").await.unwrap();
    let run_id = format!("run-{number}");
    let new = NewRun { run_id: &run_id, started_at: Timestamp::UNIX_EPOCH, segments: &ids };
    let mut ledger = lease.begin(new).await.unwrap();
    let hasher = store.hasher();
    let identity = |who: u8| hasher.identity(&[who]);
    let key_of = |who: u8, key: u8| hasher.key(&[b'k', who, key]);
    let read_in = |snapshot: &segport_ledger::Snapshot, who: u8| snapshot.index.read_in(identity(who)).unwrap();
    let list = |snapshot: &segport_ledger::Snapshot, segment: SegmentNumber| -> u8 {
        snapshot.segment_id(segment).unwrap()[1..].parse().unwrap()
    };

    // Nothing is claimed that is not so.
    for who in 0..PEOPLE {
        if let Some(held) = ledger.snapshot.index.held(identity(who)).unwrap() {
            let contact = world.contacts.get(&who).cloned().unwrap_or_default();
            let claimed: BTreeSet<u8> =
                held.memberships.iter().map(|segment| list(&ledger.snapshot, segment)).collect();
            assert!(claimed.is_subset(&contact.lists), "{who}: {claimed:?} of {contact:?}");
            let payloads: Vec<u8> =
                (0..PAYLOADS).filter(|payload| held.acknowledged(hasher.fingerprint(&[*payload]))).collect();
            assert!(payloads.is_empty() || payloads == [contact.payload], "{who}: {payloads:?} of {contact:?}");
        }
    }

    if plan.renews {
        ledger.snapshot.index.renew();
        ledger.journal.renew().await.unwrap();
        let held = (0..PEOPLE).filter(|who| ledger.snapshot.index.held(identity(*who)).unwrap().is_some());
        world.owed.extend(held);
    }

    // Read. A person's payload comes from the first segment.
    let mut first: BTreeMap<u8, u8> = BTreeMap::new();
    let mut send: BTreeSet<u8> = BTreeSet::new();
    let mut new_rows: BTreeSet<u8> = BTreeSet::new();
    let mut skipped: Vec<Untried> = Vec::new();
    for (index, (_, members)) in plan.segments.iter().enumerate() {
        let segment = ledger.snapshot.segments()[index];
        for (&who, &payload) in members {
            let (key, fingerprint) = (key_of(who, plan.keys), hasher.fingerprint(&[payload]));
            let skip = plan.skipped.get(&who).map(|&outcome| {
                Untried::Row(Row {
                    outcome,
                    whose: identity(who).into(),
                    memberships: segment.into(),
                    code: "code".into(),
                    reason: "reason".into(),
                })
            });
            if plan.skipped.get(&who) == Some(&Undelivered::Suppressed) {
                ledger.snapshot.index.keep(identity(who), segment).unwrap();
                skipped.extend(skip);
                continue;
            }
            let observation = ledger.snapshot.index.observe(identity(who), key, fingerprint, segment).unwrap();
            first.entry(who).or_insert(payload);
            let needs_nothing = matches!(
                observation,
                Observation::Unchanged
                    | Observation::UnchangedUnderOtherKey
                    | Observation::SeenInEarlierSegment { membership_grew: false }
                    | Observation::LeftOut
            );
            if let Some(skip) = skip.filter(|_| !needs_nothing) {
                ledger.snapshot.index.leave_out(identity(who)).unwrap();
                skipped.push(skip);
                continue;
            }
            match observation {
                Observation::New => {
                    new_rows.insert(who);
                    send.insert(who);
                }
                Observation::Changed
                | Observation::MembershipGrew
                | Observation::SeenInEarlierSegment { membership_grew: true } => {
                    assert!(send.insert(who), "{who} is sent once");
                }
                Observation::UnchangedUnderOtherKey => {
                    let rekeyed = ledger.snapshot.index.rekeyed(identity(who), key, fingerprint).unwrap();
                    ledger.journal.rekey(&[rekeyed]).await.unwrap();
                    assert_ne!(world.keys.insert(who, plan.keys), Some(plan.keys), "{who} has another key");
                }
                Observation::Unchanged => assert_eq!(world.keys[&who], plan.keys, "{who} has the same key"),
                Observation::SeenInEarlierSegment { membership_grew: false } | Observation::LeftOut => {}
                Observation::Duplicate | Observation::DuplicateOfOtherKey => panic!("nobody is in a segment twice"),
            }
            let other = hasher.key(&[who, who]);
            let again = ledger.snapshot.index.observe(identity(who), other, fingerprint, segment).unwrap();
            assert_eq!(again, Observation::Duplicate);
        }
    }

    for who in world.owed.iter().filter(|who| first.contains_key(who) && !plan.skipped.contains_key(who)) {
        assert!(send.contains(who), "{who} was to be sent again");
    }
    ledger.journal.pass_over(&skipped).await.unwrap();

    let manifest: BTreeSet<u8> = plan.segments.iter().map(|(segment, _)| *segment).collect();
    plan.gone.intersection(&manifest).for_each(|&list| world.delete(list));
    if plan.moves && ledger.snapshot.account("the place").is_some() {
        world.go_elsewhere(&manifest);
        world.owed.extend((0..PEOPLE).filter(|who| ledger.snapshot.index.held(identity(*who)).unwrap().is_some()));
    }
    let lists: Vec<String> = plan.segments.iter().map(|(segment, _)| world.id_of(*segment)).collect();
    let account = world.moves.to_string();
    let reached = Reached { place: "the place", account: Some(&account), lists: &lists };
    let replaced = ledger.journal.reach(&ledger.snapshot, reached).await.unwrap();
    // Who has left is read from what there was before this run.
    let identified = world.identified.clone();
    let mut run = Run { plan, world, answers: 0, calls: 0 };
    let send: Vec<u8> = send.into_iter().collect();
    for batch in send.chunks(BATCH) {
        let joins: Vec<Memberships> =
            batch.iter().map(|who| read_in(&ledger.snapshot, *who).without_acknowledged(replaced).to_add).collect();
        let intents: Vec<Intent> = batch
            .iter()
            .zip(&joins)
            .map(|(who, joins)| Intent::Deliver { identity: identity(*who), memberships: *joins })
            .collect();
        ledger.journal.intend(&intents).await.unwrap();
        for (&who, joins) in batch.iter().zip(&joins) {
            let lists = joins.iter().map(|segment| list(&ledger.snapshot, segment));
            run.world.claimed.entry(who).or_default().extend(lists);
        }
        let dies = run.dies();
        let mut records = Vec::new();
        for (&who, &joins) in batch.iter().zip(&joins) {
            let answer = run.answer();
            let lists: Vec<u8> = joins.iter().map(|segment| list(&ledger.snapshot, segment)).collect();
            let takes_effect = match dies {
                Some(arrives) => arrives,
                None => matches!(answer, Answer::Acknowledged | Answer::UnknownDone),
            };
            if takes_effect {
                let contact = run.world.contacts.entry(who).or_default();
                contact.payload = first[&who];
                contact.lists.extend(lists);
            } else if answer == Answer::RefusedByLists && dies.is_none() {
                run.world.contacts.entry(who).or_default().payload = first[&who];
            }
            run.world.sent += 1;
            let undelivered = |outcome| {
                Record::Row(Row {
                    outcome,
                    whose: identity(who).into(),
                    memberships: joins,
                    code: "code".into(),
                    reason: "reason".into(),
                })
            };
            records.push(match answer {
                Answer::Acknowledged => Record::Done(Done {
                    identity: identity(who),
                    key: key_of(who, plan.keys),
                    fingerprint: hasher.fingerprint(&[first[&who]]),
                    memberships: joins,
                    // Some answers have no id, which must not lose an earlier one.
                    destination_id: (new_rows.contains(&who) || who % 2 == 0).then(|| format!("contact-{who}")),
                    change: if new_rows.contains(&who) { Change::Added } else { Change::Changed },
                }),
                Answer::Refused | Answer::RefusedByLists => undelivered(Undelivered::Refused),
                Answer::UnknownDone | Answer::UnknownLost => undelivered(Undelivered::Unknown),
                Answer::Deferred => undelivered(Undelivered::Deferred),
                Answer::Suppressed => undelivered(Undelivered::Suppressed),
            });
        }
        if dies.is_some() {
            return;
        }
        ledger.journal.settle(&records).await.unwrap();
        for record in &records {
            if let Record::Done(done) = record {
                let who = (0..PEOPLE).find(|who| identity(*who) == done.identity).unwrap();
                run.world.known.insert(who);
                run.world.keys.insert(who, plan.keys);
                run.world.owed.remove(&who);
                if done.destination_id.is_some() {
                    run.world.identified.entry(who).or_default().push(manifest.clone());
                }
            }
        }
    }

    let present = PresentKeys::default();
    let journal = ledger.journal.clone();
    let mut leavers = ledger.snapshot.leavers(&present);
    while let Some(chunk) = leavers.next().await.unwrap() {
        for leaver in chunk {
            let who = (0..PEOPLE).find(|who| identity(*who) == leaver.identity).unwrap();
            let current = identified.get(&who).into_iter().flatten().any(|then| !then.is_disjoint(&manifest));
            match &leaver.destination_id {
                Some(id) => assert_eq!(*id, format!("contact-{who}")),
                None => assert!(!current || !manifest.contains(&list(&ledger.snapshot, leaver.segment)), "{who}"),
            }
            let key = if first.contains_key(&who) { plan.keys } else { run.world.keys[&who] };
            assert_eq!(leaver.key, key_of(who, key));
            let memberships = Memberships::from(leaver.segment);
            let list = list(&ledger.snapshot, leaver.segment);
            if replaced.contains(leaver.segment) {
                // They came off with the list. Whoever is on the other one is there for somebody else.
                journal.came_off(&[(leaver.identity, leaver.segment)]).await.unwrap();
                continue;
            }
            journal.intend(&[Intent::Remove { identity: leaver.identity, memberships }]).await.unwrap();
            let dies = run.dies();
            let answer = run.answer();
            if dies.unwrap_or(matches!(answer, Answer::Acknowledged | Answer::UnknownDone)) {
                run.world.contacts.entry(who).or_default().lists.remove(&list);
            }
            run.world.sent += 1;
            if dies.is_some() {
                return;
            }
            let stayed = |outcome, identity: Identity| {
                Record::Stayed(Row {
                    outcome,
                    whose: identity.into(),
                    memberships,
                    code: "code".into(),
                    reason: "reason".into(),
                })
            };
            let record = match answer {
                Answer::Acknowledged => {
                    run.world.came_off(who, list);
                    Record::Left { identity: leaver.identity, memberships }
                }
                Answer::Refused | Answer::RefusedByLists => stayed(Undelivered::Refused, leaver.identity),
                // Leavers are removed, whether suppressed or not.
                Answer::Deferred | Answer::Suppressed => stayed(Undelivered::Deferred, leaver.identity),
                Answer::UnknownDone | Answer::UnknownLost => stayed(Undelivered::Unknown, leaver.identity),
            };
            journal.settle(&[record]).await.unwrap();
        }
    }
    drop(leavers);
    drop(journal);
    ledger.finish(RunEnd::Succeeded, Timestamp::UNIX_EPOCH, "{}").await.unwrap();
}

/// Where a state is kept. The one in memory, with which whole runs are simulated, must do as the one on disk does.
#[derive(Debug, Clone, Copy)]
pub enum Kept {
    /// In SQLite, and of an index there is nothing in memory either.
    OnDisk,
    /// In memory.
    InMemory,
}

#[derive(Debug)]
enum Place {
    Directory(tempfile::TempDir),
    Memory(Memory),
}

impl Place {
    fn new(kept: Kept) -> Self {
        match kept {
            Kept::OnDisk => Self::Directory(tempfile::tempdir().unwrap()),
            Kept::InMemory => Self::Memory(Memory::new(|| Duration::ZERO)),
        }
    }

    async fn open(&self, folding: Folding) -> Store {
        let key = StateKey::from_secret(&Secret::new("a secret for the model")).unwrap();
        let store = match self {
            Self::Directory(directory) => {
                let store = Store::open(&directory.path().join("state.db"), &key).await.unwrap();
                store.with_index_memory(0)
            }
            Self::Memory(memory) => Store::in_memory(memory, &key, Arc::new(NoFaults)),
        };
        store.with_folding(folding)
    }
}

impl Story {
    /// Plays it, and compares the destination with the source.
    ///
    /// # Panics
    /// If the ledger claims what is not so, or the whole run does not put everything right.
    pub fn check(&self) {
        // Threads of its own, so that what a run leaves behind when it dies ends with its story.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(self.play());
    }

    async fn play(&self) {
        let Self { plans, last, kept, folds, reopens } = self;
        let folding = if *folds {
            Folding { idle_records: 0, rows_at_a_time: 2, ..Folding::default() }
        } else {
            Folding::default()
        };
        let place = Place::new(*kept);
        let mut world = World::default();
        let mut store = place.open(folding).await;
        for (number, plan) in plans.iter().enumerate() {
            execute(&store, number, plan, &mut world).await;
            if *reopens {
                store = place.open(folding).await;
            }
        }
        // Whoever was first acknowledged in a whole run, and before that perhaps put on a list without an answer, is taken off that
        // list by the run after it: only now is there an id to remove by.
        for number in [plans.len(), plans.len() + 1] {
            execute(&store, number, last, &mut world).await;
        }

        // Then the destination is what the source says.
        let mut wanted: BTreeMap<u8, Contact> = BTreeMap::new();
        for (segment, members) in &last.segments {
            for (&who, &payload) in members {
                wanted.entry(who).or_insert_with(|| Contact { payload, lists: BTreeSet::new() }).lists.insert(*segment);
            }
        }
        for who in 0..PEOPLE {
            let contact = world.contacts.get(&who).cloned().unwrap_or_default();
            match wanted.get(&who) {
                Some(wanted) => assert_eq!(contact, *wanted, "{who}"),
                None if world.known.contains(&who) => assert_eq!(contact.lists, BTreeSet::new(), "{who}"),
                // Of somebody whose delivery was never acknowledged there is no id to remove by.
                None => {}
            }
        }

        // And the next one finds nothing to do.
        let sent = world.sent;
        execute(&place.open(folding).await, plans.len() + 2, last, &mut world).await;
        assert_eq!(world.sent, sent, "unchanged data is not sent again");
        let held = store.held("export").await.unwrap();
        assert_eq!(held, wanted.len() as u64);

        let runs = store.runs(Some("export"), 100).await.unwrap();
        assert_eq!(runs.len(), plans.len() + 3);
        for run in runs {
            let mut rows = store.rows(&run.run_id, None).await.unwrap();
            while rows.next().await.unwrap().is_some() {}
        }
    }
}
