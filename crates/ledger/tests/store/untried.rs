//! Rows that a run did not try: told of, and no part of the state.

use std::collections::BTreeMap;

use segport_ledger::{Row, Untried};

use super::*;

fn untried(store: &Store, who: &str, segment: SegmentNumber) -> Row {
    Row {
        outcome: Undelivered::Deferred,
        whose: store.hasher().identity(who.as_bytes()).into(),
        memberships: segment.into(),
        code: "over_cap".into(),
        reason: format!("why {who} waits").into(),
    }
}

/// A run that tries none of these people.
async fn pass_over(store: &Store, run_id: &str, people: &[&str]) {
    let ledger = begin(store, run_id, &["a"]).await;
    let segment = ledger.snapshot.segments()[0];
    let untried: Vec<_> = people.iter().map(|who| Untried::Row(untried(store, who, segment))).collect();
    ledger.journal.pass_over(&untried).await.unwrap();
    finish(ledger).await;
}

/// Of each kind of page how many there are, and how many records they have.
async fn pages(place: &Place) -> BTreeMap<i64, (i64, i64)> {
    let mut connection = place.connect().await;
    let pages: Vec<(i64, i64, i64)> = sqlx::query_as("SELECT kind, count(*), sum(rows) FROM page GROUP BY kind")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    pages.into_iter().map(|(kind, pages, rows)| (kind, (pages, rows))).collect()
}

const LOG: i64 = 1;
const UNTRIED: i64 = 5;

#[tokio::test]
async fn they_are_told_of_and_change_nothing() {
    let place = Place::new();
    // A fold would be due as soon as a record says nothing new.
    let store = place.store().await.with_folding(Folding { idle_records: 0, rows_at_a_time: 10, ..Folding::default() });
    deliver(&store, "r1", "a", &["ada"]).await;
    let generation = begin(&store, "r2", &["a"]).await.snapshot.generation();

    let ledger = begin(&store, "r3", &["a"]).await;
    let segment = ledger.snapshot.segments()[0];
    let row = |who| untried(&store, who, segment);
    let records = [Untried::Row(row("bob")), Untried::Leaver(row("ada")), Untried::Row(row("ada"))];
    ledger.journal.pass_over(&records).await.unwrap();
    finish(ledger).await;

    let told: Vec<_> = rows(&store, "r3", Some(OutcomeKind::Deferred)).await;
    let told: Vec<_> = told.iter().map(|row| (row.leaver, row.reason.as_str(), row.segments.join(","))).collect();
    let a = || "a".to_owned();
    assert_eq!(told, [(false, "why bob waits", a()), (true, "why ada waits", a()), (false, "why ada waits", a())]);
    assert_eq!(pages(&place).await, BTreeMap::from([(LOG, (1, 1)), (UNTRIED, (1, 3))]), "nothing was folded");

    let mut ledger = begin(&store, "r4", &["a"]).await;
    assert_eq!(ledger.snapshot.generation(), generation);
    assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::Unchanged);
    assert_eq!(observe(&mut ledger, &store, "bob", "payload", 0), Observation::New);
}

/// Where each run leaves very many rows untried, they would outgrow all else.
#[tokio::test]
async fn of_earlier_runs_no_more_are_kept_than_was_said() {
    let place = Place::new();
    let store = place.store().await.with_folding(Folding { untried_rows: 5, ..Folding::default() });
    let runs = [("r1", 3), ("r2", 2), ("r3", 3), ("r4", 9), ("r5", 0), ("r6", 1), ("r7", 4)];
    let people = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let mut kept = Vec::new();
    for (number, (run, rows)) in (1..).zip(runs) {
        pass_over(&store, run, &people[..rows]).await;
        let mut runs_kept = Vec::new();
        for (run, _) in &runs[..number] {
            if store.keeps_rows(run).await.unwrap() {
                runs_kept.push(*run);
            }
        }
        kept.push(runs_kept.join(" "));
    }
    assert_eq!(kept, ["r1", "r1 r2", "r2 r3", "r4", "r4 r5", "r5 r6", "r5 r6 r7"]);
    assert_eq!(self::rows(&store, "r7", None).await.len(), 4);
    assert!(self::rows(&store, "r4", None).await.is_empty());
}

#[tokio::test]
async fn of_old_runs_nothing_is_kept() {
    let place = Place::new();
    let store = place.store().await;
    deliver(&store, "r0", "a", &["ada"]).await;
    pass_over(&store, "first", &["bob"]).await;
    for number in 0.. {
        if rows(&store, "first", None).await.is_empty() {
            assert_eq!(number, 50, "as long as those of other rows");
            break;
        }
        assert!(store.keeps_rows("first").await.unwrap(), "after {number} others");
        pass_over(&store, &format!("r{number}, later"), &[]).await;
    }
    assert!(!store.keeps_rows("first").await.unwrap());
    assert_eq!(pages(&place).await[&UNTRIED], (1, 0), "pages have no gaps");

    let mut ledger = begin(&store, "last", &["a"]).await;
    let present = PresentKeys::default();
    let left = ledger.snapshot.leavers(&present).next().await.unwrap().unwrap();
    assert_eq!(left.len(), 1, "whoever looks for leavers steps over them");
    assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::Unchanged);
}

/// Runs do not read them, so that they need not be whole either.
#[tokio::test]
async fn damage_to_them_is_met_by_who_reads_them() {
    let place = Place::new();
    let store = place.store().await;
    pass_over(&store, "r1", &["bob"]).await;
    place.tamper("UPDATE page SET body = x'0001' WHERE kind = 5").await;
    deliver(&store, "r2", "a", &["ada"]).await;
    let damaged = store.rows("r1", None).await.unwrap().next().await.unwrap_err();
    assert!(matches!(damaged, Error::Damaged { .. }), "{damaged}");
}

#[tokio::test]
async fn a_run_is_asked_about_those_that_an_earlier_one_left_undone() {
    let place = Place::new();
    let store = place.store().await;
    deliver(&store, "r0", "a", &["ada", "dan"]).await;
    let ledger = begin(&store, "r1", &["a"]).await;
    let segment = ledger.snapshot.segments()[0];
    let row = |who: &str, outcome| Row { outcome, ..untried(&store, who, segment) };
    let passed = [
        Untried::Row(row("bob", Undelivered::Deferred)),
        Untried::Row(row("cyd", Undelivered::Duplicate)),
        Untried::Leaver(row("dan", Undelivered::Deferred)),
    ];
    ledger.journal.pass_over(&passed).await.unwrap();
    let settled = [
        Record::Row(row("eve", Undelivered::Refused)),
        Record::Stayed(row("fay", Undelivered::Unknown)),
        done(&store, "gus", "payload", segment.into()),
    ];
    ledger.journal.settle(&settled).await.unwrap();
    finish(ledger).await;

    let mut ledger = begin(&store, "r2", &["a"]).await;
    ledger.snapshot.ask_about("r1", &[Undelivered::Deferred, Undelivered::Unknown]).await.unwrap();
    let asked = |ledger: &RunLedger, who: &str| {
        ledger.snapshot.index.is_asked(store.hasher().identity(who.as_bytes())).unwrap()
    };
    for (who, expected) in
        [("ada", false), ("bob", true), ("cyd", false), ("dan", true), ("eve", false), ("fay", true), ("gus", false)]
    {
        assert_eq!(asked(&ledger, who), expected, "{who}");
    }
    // Asking is no claim about what is held, and being read does not make it forgotten.
    assert_eq!(observe(&mut ledger, &store, "bob", "payload", 0), Observation::New);
    assert!(asked(&ledger, "bob"));
    let present = PresentKeys::default();
    let mut leavers = ledger.snapshot.leavers(&present);
    let mut left = BTreeMap::new();
    while let Some(chunk) = leavers.next().await.unwrap() {
        left.extend(chunk.into_iter().map(|leaver| (leaver.destination_id.unwrap_or_default(), leaver.asked)));
    }
    let of = |who: &str| format!("id of {who}");
    assert_eq!(left, BTreeMap::from([(of("ada"), false), (of("dan"), true), (of("gus"), false)]));

    let unknown = ledger.snapshot.ask_about("r9", &[]).await.unwrap_err();
    assert!(matches!(unknown, Error::NoRun { .. }), "{unknown}");
}
