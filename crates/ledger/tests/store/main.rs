//! The contract of a store, beyond what the model covers: owners, keys, damage, history, and what fails when writing fails.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::Timestamp;
use segport_core::Secret;
use segport_ledger::{
    Change, Done, Error, Faults, Folding, Identity, Intent, KeyHash, Lease, Memberships, NewRun, Observation,
    OutcomeKind, Present, PresentKeys, Reached, Record, Row, RowRecord, RunEnd, RunLedger, RunStatus, SegmentNumber,
    SharedIds, Snapshot, StateKey, Store, Undelivered, WantedRows, Whose, sqlite_path,
};
use sqlx::{Connection, SqliteConnection};

mod accepted;
mod accounts;
mod failures;
mod fold;
mod lists;
mod loading;
mod suppression;
mod untried;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join(".segport").join("state.db")
    }

    async fn store(&self) -> Store {
        Store::open(&self.database(), &key("of the tests, and no other")).await.unwrap()
    }

    async fn faulty(&self, faults: &Arc<Switch>) -> Store {
        Store::open_with(&self.database(), &key("of the tests, and no other"), faults.clone()).await.unwrap()
    }

    /// Changes the file behind the store's back.
    async fn tamper(&self, sql: &'static str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn connect(&self) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite:{}", self.database().display())).await.unwrap()
    }
}

/// Fails an operation once it is switched on, and counts.
#[derive(Debug)]
struct Switch {
    operation: &'static str,
    on: AtomicBool,
    commits: AtomicU64,
}

impl Switch {
    fn new(operation: &'static str) -> Arc<Self> {
        Arc::new(Self { operation, on: AtomicBool::new(false), commits: AtomicU64::new(0) })
    }
}

impl Faults for Switch {
    fn before(&self, operation: &'static str) -> io::Result<()> {
        if operation == "commit" {
            self.commits.fetch_add(1, Ordering::SeqCst);
        }
        if operation == self.operation && self.on.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"));
        }
        Ok(())
    }
}

fn key(text: &str) -> StateKey {
    StateKey::from_secret(&Secret::new(text)).unwrap()
}

async fn begin(store: &Store, run_id: &str, segments: &[&str]) -> RunLedger {
    begin_with(store.lease("news").await.unwrap(), run_id, segments).await.unwrap()
}

async fn begin_with(lease: Lease, run_id: &str, segments: &[&str]) -> Result<RunLedger, Error> {
    let segments: Vec<String> = segments.iter().map(|id| (*id).to_owned()).collect();
    lease.begin(NewRun { run_id, started_at: Timestamp::UNIX_EPOCH, segments: &segments }).await
}

/// These lists, of an account that was not told.
fn to(lists: &[String]) -> Reached<'_> {
    Reached { place: "", account: None, lists }
}

async fn finish(ledger: RunLedger) {
    ledger.finish(RunEnd::Succeeded, Timestamp::UNIX_EPOCH, r#"{"a":1}"#).await.unwrap();
}

fn observe(ledger: &mut RunLedger, store: &Store, who: &str, payload: &str, segment: usize) -> Observation {
    let hasher = store.hasher();
    let segment = ledger.snapshot.segments()[segment];
    let (identity, key) = (hasher.identity(who.as_bytes()), hasher.key(who.as_bytes()));
    ledger.snapshot.index.observe(identity, key, hasher.fingerprint(payload.as_bytes()), segment).unwrap()
}

fn done(store: &Store, who: &str, payload: &str, memberships: Memberships) -> Record {
    let hasher = store.hasher();
    Record::Done(Done {
        identity: hasher.identity(who.as_bytes()),
        key: hasher.key(who.as_bytes()),
        fingerprint: hasher.fingerprint(payload.as_bytes()),
        memberships,
        destination_id: Some(format!("id of {who}")),
        change: Change::Added,
    })
}

fn first_segment(ledger: &RunLedger) -> Memberships {
    ledger.snapshot.segments()[0].into()
}

/// A run that delivers these people to one segment.
async fn deliver(store: &Store, run_id: &str, segment: &str, people: &[&str]) {
    let mut ledger = begin(store, run_id, &[segment]).await;
    let memberships = first_segment(&ledger);
    for who in people {
        observe(&mut ledger, store, who, "payload", 0);
    }
    let records: Vec<Record> = people.iter().map(|who| done(store, who, "payload", memberships)).collect();
    ledger.journal.settle(&records).await.unwrap();
    finish(ledger).await;
}

async fn rows(store: &Store, run_id: &str, only: Option<OutcomeKind>) -> Vec<RowRecord> {
    let mut reader = store.rows(run_id, only).await.unwrap();
    let mut rows = Vec::new();
    while let Some(chunk) = reader.next().await.unwrap() {
        rows.extend(chunk);
    }
    rows
}

#[test]
fn urls_name_a_file_of_the_project() {
    let project = Path::new("/srv/acme");
    for (url, path) in [
        ("sqlite:.segport/state.db", Some("/srv/acme/.segport/state.db")),
        ("sqlite:///var/lib/state.db", Some("/var/lib/state.db")),
        ("sqlite:", None),
        ("postgres://user:password@host/db", None),
        ("state.db", None),
    ] {
        let found = sqlite_path(url, project);
        assert_eq!(found.as_ref().ok().map(PathBuf::as_path), path.map(Path::new), "{url}");
        assert!(found.err().is_none_or(|error| !error.to_string().contains("password")));
    }
}

#[tokio::test]
async fn an_export_has_one_owner() {
    let place = Place::new();
    let (one, two) = (place.store().await, place.store().await);
    let lease = one.lease("news").await.unwrap();
    assert_eq!(lease.epoch(), 1);
    let refused = two.lease("news").await.unwrap_err();
    assert!(matches!(&refused, Error::Held { export, .. } if export == "news"), "{refused}");
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())));
    two.lease("other").await.unwrap();

    let ledger = begin_with(lease, "r1", &["a"]).await.unwrap();
    let journal = ledger.journal.clone();
    drop(ledger);
    assert!(matches!(two.lease("news").await, Err(Error::Held { .. })), "whoever can still write keeps the export");
    drop(journal);
    assert_eq!(two.lease("news").await.unwrap().epoch(), 2);
}

#[tokio::test]
async fn a_former_owner_can_no_longer_write() {
    let place = Place::new();
    let store = place.store().await;
    let ledger = begin(&store, "r1", &["a"]).await;
    // As if the file lock had failed.
    place.tamper("UPDATE lease SET epoch = epoch + 1").await;
    let memberships = first_segment(&ledger);
    let lost = ledger.journal.settle(&[done(&store, "ada", "p", memberships)]).await.unwrap_err();
    assert!(matches!(lost, Error::LeaseLost { .. }));
    assert!(matches!(
        ledger.finish(RunEnd::Succeeded, Timestamp::UNIX_EPOCH, "{}").await,
        Err(Error::LeaseLost { .. })
    ));
    assert_eq!(store.held("news").await.unwrap(), 0);
}

/// Not a test of its own: the process that `a_killed_owner_frees_its_export` starts and kills.
#[tokio::test(flavor = "multi_thread")]
async fn holder() {
    let Some(path) = std::env::var_os("SEGPORT_TEST_HOLDS") else { return };
    let store = Store::open(Path::new(&path), &key("of the tests, and no other")).await.unwrap();
    let ledger = begin(&store, "killed", &["a"]).await;
    let memberships = first_segment(&ledger);
    ledger.journal.settle(&[done(&store, "ada", "p", memberships)]).await.unwrap();
    let [bob, cyd] = [b"bob", b"cyd"].map(|name| store.hasher().identity(name));
    let intents = [bob, cyd].map(|identity| Intent::Deliver { identity, memberships });
    ledger.journal.intend(&intents).await.unwrap();
    let suppressed = Row {
        outcome: Undelivered::Suppressed,
        whose: cyd.into(),
        memberships,
        code: "suppressed".into(),
        reason: "before its batch was sent".into(),
    };
    ledger.journal.settle(&[Record::Row(suppressed)]).await.unwrap();
    println!("\nholding");
    io::stdout().flush().unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_owner_frees_its_export() {
    let place = Place::new();
    let store = place.store().await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--nocapture"])
        .env("SEGPORT_TEST_HOLDS", place.database())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "holding"));
    assert!(matches!(store.lease("news").await, Err(Error::Held { .. })));
    child.kill().unwrap();
    child.wait().unwrap();

    let mut ledger = begin(&store, "next", &["a"]).await;
    assert_eq!(observe(&mut ledger, &store, "ada", "p", 0), Observation::Unchanged);
    assert_eq!(observe(&mut ledger, &store, "bob", "p", 0), Observation::New);
    assert!(ledger.snapshot.index.held(store.hasher().identity(b"bob")).unwrap().unwrap().uncertain);
    let killed = store.run("kill").await.unwrap();
    assert_eq!((killed.status, killed.finished_at), (RunStatus::Interrupted, None));
    let outcomes: Vec<_> = rows(&store, "killed", None).await.into_iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [OutcomeKind::Added, OutcomeKind::Suppressed, OutcomeKind::Unknown]);
}

#[tokio::test]
async fn a_state_needs_its_key() {
    let place = Place::new();
    deliver(&place.store().await, "r1", "a", &["ada"]).await;
    for opened in [
        Store::open(&place.database(), &key("another key altogether")).await,
        Store::open_existing(&place.database(), &key("another key altogether")).await,
    ] {
        assert!(matches!(opened, Err(Error::WrongKey { .. })));
    }
    let only = Store::open_existing(&place.database(), &key("of the tests, and no other")).await.unwrap();
    assert_eq!(only.held("news").await.unwrap(), 1);
    assert_eq!(only.runs(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn looking_makes_nothing_and_writes_nothing() {
    let place = Place::new();
    let missing = Store::open_existing(&place.database(), &key("of the tests, and no other")).await;
    assert!(matches!(missing, Err(Error::NoState { .. })));
    assert!(!place.database().exists());
    drop(place.store().await);
    let only = Store::open_existing(&place.database(), &key("of the tests, and no other")).await.unwrap();
    let refused = only.lease("news").await.unwrap_err();
    assert!(matches!(refused, Error::Database { .. }), "{refused:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_state() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let store = place.store().await;
    let _ledger = begin(&store, "r1", &["a"]).await;
    let mut directories = vec![place.database().parent().unwrap().to_owned()];
    while let Some(directory) = directories.pop() {
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_with_a_reason() {
    async fn check(sql: &'static str, expected: &str) {
        let place = Place::new();
        deliver(&place.store().await, "r1", "a", &["ada", "bob"]).await;
        place.tamper(sql).await;
        let refused = match Store::open(&place.database(), &key("of the tests, and no other")).await {
            Ok(store) => store.snapshot("news", &[]).await.map(|_| ()).unwrap_err(),
            Err(error) => error,
        };
        assert!(refused.to_string().contains(expected), "{sql}: {refused}");
    }
    check("UPDATE page SET body = zeroblob(length(body))", "page 1 of export `news` does not hold").await;
    check("UPDATE page SET rows = 1", "page 1 of export `news` does not hold").await;
    check("UPDATE page SET rows = 1000000000000000000", "page 1 of export `news` does not hold").await;
    check("UPDATE page SET number = 7", "page 1 of export `news` is missing").await;
    check("DELETE FROM page", "page 1 of export `news` is missing").await;
    check("UPDATE segment SET number = 64", "segment `a` has the number 64").await;
    check("PRAGMA user_version = 99", "state version 99, this program knows 7").await;
    check("PRAGMA application_id = 1", "database of another program").await;
    check("UPDATE meta SET value = 'x'", "does not fit").await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let place = Place::new();
    std::fs::create_dir_all(place.database().parent().unwrap()).unwrap();
    std::fs::write(place.database(), "this is not a database, and long enough to be looked at as one ".repeat(100))
        .unwrap();
    let refused = Store::open(&place.database(), &key("of the tests, and no other")).await.unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_first_of_equal_identities_wins() {
    let place = Place::new();
    let store = place.store().await;
    let mut ledger = begin(&store, "r1", &["a", "b"]).await;
    let hasher = store.hasher().clone();
    let segments = ledger.snapshot.segments().to_vec();
    let mut observe = |key: &str, segment: usize| {
        let identity = hasher.identity(b"ada@example.com");
        let fingerprint = hasher.fingerprint(key.as_bytes());
        ledger.snapshot.index.observe(identity, hasher.key(key.as_bytes()), fingerprint, segments[segment]).unwrap()
    };
    assert_eq!(observe("1", 0), Observation::New);
    assert_eq!(observe("2", 0), Observation::Duplicate);
    assert_eq!(observe("1", 0), Observation::Duplicate);
    assert_eq!(observe("1", 1), Observation::SeenInEarlierSegment { membership_grew: false });
    assert_eq!(observe("2", 1), Observation::Duplicate);
    let both: Memberships = segments.iter().copied().collect();
    assert_eq!(ledger.snapshot.index.read_in(store.hasher().identity(b"ada@example.com")).unwrap().to_add, both);
}

#[tokio::test]
async fn a_segment_that_joins_sends_what_was_unchanged() {
    let place = Place::new();
    let store = place.store().await;
    deliver(&store, "r1", "a", &["ada"]).await;
    let mut ledger = begin(&store, "r2", &["a", "b"]).await;
    assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::Unchanged);
    let grew = Observation::SeenInEarlierSegment { membership_grew: true };
    assert_eq!(observe(&mut ledger, &store, "ada", "payload", 1), grew);
    let identity = store.hasher().identity(b"ada");
    assert_eq!(ledger.snapshot.index.read_in(identity).unwrap().to_add, ledger.snapshot.segments()[1].into());
    drop(ledger);

    let mut ledger = begin(&store, "r3", &["b"]).await;
    assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::MembershipGrew);
    assert_eq!(ledger.snapshot.dropped().map(|(_, id)| id.to_owned()).collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn rows_whose_values_are_wanted_are_told_until_they_are_taken() {
    let place = Place::new();
    let store = place.store().await;
    let identity = |who: &str| store.hasher().identity(who.as_bytes());
    deliver(&store, "r1", "a", &["ada", "bob", "cyd", "dan", "eva"]).await;
    let mut ledger = begin(&store, "r2", &["a"]).await;
    let records = [done(&store, "bob", "another payload", first_segment(&ledger))];
    ledger.journal.settle(&records).await.unwrap();
    let Snapshot { index, .. } = &mut ledger.snapshot;
    for who in ["ada", "bob", "dan", "fay"] {
        index.want(identity(who)).unwrap();
    }
    let mut take = |who: &str| index.take_wanted(identity(who)).unwrap();
    assert_eq!(["ada", "ada", "cyd", "fay"].map(&mut take), [true, false, false, false]);

    let mut walk = WantedRows::default();
    let mut left = Vec::new();
    while let Some(page) = ledger.snapshot.take_wanted(&mut walk).await.unwrap() {
        left.extend(page);
    }
    let mut expected = ["bob", "dan"].map(identity);
    expected.sort_unstable();
    left.sort_unstable();
    assert_eq!(left, expected, "each once, however many records it has");
    assert!(!ledger.snapshot.index.take_wanted(identity("bob")).unwrap());
}

async fn leavers(ledger: &RunLedger, present: &PresentKeys) -> Vec<(Identity, String, Option<String>)> {
    let mut leavers = ledger.snapshot.leavers(present);
    let mut found = Vec::new();
    while let Some(chunk) = leavers.next().await.unwrap() {
        for leaver in chunk {
            let segment = ledger.snapshot.segment_id(leaver.segment).unwrap().to_owned();
            found.push((leaver.identity, segment, leaver.destination_id));
        }
    }
    found
}

#[tokio::test]
async fn who_is_present_but_unusable_is_no_leaver() {
    let place = Place::new();
    let store = place.store().await;
    deliver(&store, "r1", "a", &["ada", "bob", "cyd", "dan"]).await;
    let mut ledger = begin(&store, "r2", &["a"]).await;
    observe(&mut ledger, &store, "ada", "another payload", 0);
    let segment = ledger.snapshot.segments()[0];
    ledger.snapshot.index.keep(store.hasher().identity(b"bob"), segment).unwrap();
    let mut present = Present::default();
    for who in [b"eve", b"cyd", b"cyd"] {
        present.add(segment, store.hasher().key(who));
    }
    let present = PresentKeys::from(present);
    let gone = vec![(store.hasher().identity(b"dan"), "a".to_owned(), Some("id of dan".to_owned()))];
    assert_eq!(leavers(&ledger, &present).await, gone);
    assert_eq!(leavers(&ledger, &present).await, gone, "asking changes nothing");
    assert_eq!(ledger.snapshot.index.leavers_at_most(), 2);
}

#[tokio::test]
async fn a_plan_writes_nothing_and_survives_a_fold() {
    let place = Place::new();
    let store = place.store().await.with_folding(Folding { idle_records: 0, rows_at_a_time: 2, ..Folding::default() });
    deliver(&store, "r1", "a", &["ada", "bob", "cyd"]).await;
    let segments = ["b".to_owned()];
    let snapshot = store.snapshot("news", &segments).await.unwrap();
    let generation = snapshot.generation();
    assert_eq!(store.snapshot("news", &segments).await.unwrap().generation(), generation);

    let ledger = begin(&store, "r2", &["a"]).await;
    assert_eq!(ledger.snapshot.generation(), generation, "to begin changes nothing that a plan rests on");
    let memberships = first_segment(&ledger);
    for _ in 0..4 {
        ledger.journal.settle(&[done(&store, "ada", "new", memberships)]).await.unwrap();
    }
    finish(ledger).await;
    assert_ne!(store.snapshot("news", &segments).await.unwrap().generation(), generation);

    let present = PresentKeys::default();
    let mut gone = snapshot.leavers(&present);
    let mut count = 0;
    while let Some(chunk) = gone.next().await.unwrap() {
        count += chunk.len();
    }
    assert_eq!(count, 3);
}

#[tokio::test]
async fn history_tells_what_became_of_each_row_even_when_folded() {
    for folding in [Folding::default(), Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }] {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        let ledger = begin(&store, "run-1", &["a", "b"]).await;
        let hasher = store.hasher().clone();
        let identity = |who: &str| hasher.identity(who.as_bytes());
        let both: Memberships = ledger.snapshot.segments().iter().copied().collect();
        let one = first_segment(&ledger);
        let row = |outcome, who: Option<&str>, code: &'static str| Row {
            outcome,
            whose: who.map_or(Whose::Key(KeyHash::from_bits(5)), |who| identity(who).into()),
            memberships: one,
            code: code.into(),
            reason: "why".into(),
        };
        ledger.journal.intend(&[Intent::Deliver { identity: identity("ada"), memberships: both }]).await.unwrap();
        let records = [
            done(&store, "ada", "p", both),
            Record::Row(row(Undelivered::Invalid, None, "no_email")),
            Record::Row(row(Undelivered::Refused, Some("bob"), "rejected")),
            Record::Stayed(row(Undelivered::Deferred, Some("cyd"), "cap")),
            Record::Left { identity: identity("dan"), memberships: one },
        ];
        for record in records {
            ledger.journal.settle(&[record]).await.unwrap();
        }
        finish(ledger).await;
        deliver(&store, "run-2", "a", &["eve"]).await;
        drop(store.lease("news").await.unwrap());

        let told: Vec<_> = rows(&store, "run-1", None)
            .await
            .into_iter()
            .map(|row| (row.outcome.as_str(), row.leaver, row.code, row.whose, row.segments.join("+")))
            .collect();
        assert_eq!(
            told,
            [
                ("added", false, String::new(), identity("ada").into(), "a+b".to_owned()),
                ("invalid", false, "no_email".to_owned(), Whose::Key(KeyHash::from_bits(5)), "a".to_owned()),
                ("refused", false, "rejected".to_owned(), identity("bob").into(), "a".to_owned()),
                ("deferred", true, "cap".to_owned(), identity("cyd").into(), "a".to_owned()),
                ("removed", true, String::new(), identity("dan").into(), "a".to_owned()),
            ]
        );
        assert_eq!(rows(&store, "run-1", Some(OutcomeKind::Refused)).await.len(), 1);

        let runs = store.runs(Some("news"), 10).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["run-2", "run-1"]);
        assert_eq!(runs[0].status, RunStatus::Ended(RunEnd::Succeeded));
        assert_eq!(runs[0].report.as_deref(), Some(r#"{"a":1}"#));
        assert!(store.runs(Some("other"), 10).await.unwrap().is_empty());
        assert!(matches!(store.run("run").await, Err(Error::AmbiguousRun { .. })));
        assert!(matches!(store.run("walk").await, Err(Error::NoRun { .. })));
        assert_eq!(store.run("run-1").await.unwrap().run_id, "run-1");
        assert_eq!(store.held("news").await.unwrap(), 2);
    }
}

#[tokio::test]
async fn old_runs_lose_their_rows_and_nothing_else() {
    let place = Place::new();
    let store =
        place.store().await.with_folding(Folding { idle_records: 0, rows_at_a_time: 100, ..Folding::default() });
    for run in 0..52 {
        let ledger = begin(&store, &format!("run-{run:02}"), &["a"]).await;
        let memberships = first_segment(&ledger);
        for _ in 0..2 {
            ledger.journal.settle(&[done(&store, "ada", &format!("{run}"), memberships)]).await.unwrap();
        }
        finish(ledger).await;
    }
    assert_eq!(rows(&store, "run-00", None).await.len(), 0);
    assert_eq!(rows(&store, "run-02", None).await.len(), 2);
    assert_eq!(rows(&store, "run-51", None).await.len(), 2);
    assert_eq!(store.runs(None, 100).await.unwrap().len(), 52);
    assert_eq!(store.held("news").await.unwrap(), 1);
}

#[tokio::test]
async fn run_ids_are_used_once() {
    let place = Place::new();
    let store = place.store().await;
    finish(begin(&store, "r1", &["a"]).await).await;
    let again = begin_with(store.lease("news").await.unwrap(), "r1", &["a"]).await;
    assert!(matches!(again, Err(Error::RunExists { .. })));
}

#[tokio::test]
async fn numbers_of_segments_without_members_are_used_again() {
    let place = Place::new();
    let store = place.store().await;
    deliver(&store, "r0", "kept", &["ada"]).await;
    for run in 1..=70 {
        let ledger = begin(&store, &format!("r{run}"), &[&format!("s{run}")]).await;
        let reason = Row {
            outcome: Undelivered::Invalid,
            whose: Whose::Nobody,
            memberships: first_segment(&ledger),
            code: "c".into(),
            reason: "r".into(),
        };
        ledger.journal.settle(&[Record::Row(reason)]).await.unwrap();
        assert_eq!(ledger.snapshot.dropped().map(|(_, id)| id.to_owned()).collect::<Vec<_>>(), ["kept"]);
        finish(ledger).await;
    }
    for run in [1, 2, 69, 70] {
        let told = rows(&store, &format!("r{run}"), None).await;
        assert_eq!(told[0].segments, [format!("s{run}")], "a number means what it meant then");
    }

    let many: Vec<String> = (0..SegmentNumber::COUNT).map(|segment| format!("t{segment}")).collect();
    let refused = store.snapshot("news", &many).await.unwrap_err();
    assert!(matches!(refused, Error::TooManySegments { limit: 64, .. }), "{refused}");
    store.snapshot("news", &many[1..]).await.unwrap();
}
