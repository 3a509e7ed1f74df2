//! Folding that is cut off.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;

use super::*;

/// Lets so many operations through and fails all that follow, as if the process had died.
#[derive(Debug)]
struct Lives(AtomicI64);

impl Lives {
    const ALL: i64 = i64::MAX;
}

impl Faults for Lives {
    fn before(&self, _: &'static str) -> io::Result<()> {
        match self.0.fetch_sub(1, Ordering::SeqCst) {
            1.. => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left")),
        }
    }
}

/// How far a fold has come, as its pages show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Come {
    /// Nothing was written.
    Nowhere,
    /// Pages were written behind the state.
    Behind,
    /// They are the state; some of those before are not history yet.
    Moved,
    Through,
}

async fn come(place: &Place) -> Come {
    let mut connection = place.connect().await;
    let (behind, folded, old) = sqlx::query_as(
        "SELECT sum(number >= next_page) > 0, sum(number BETWEEN first_page AND next_page - 1 AND kind = 2) > 0,
         sum(number < first_page AND kind <> 3) > 0 FROM page JOIN lease USING (export)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    match (behind, folded, old) {
        (false, false, false) => Come::Nowhere,
        (true, false, false) => Come::Behind,
        (false, true, true) => Come::Moved,
        (false, true, false) => Come::Through,
        impossible => panic!("{impossible:?}"),
    }
}

#[tokio::test]
async fn a_fold_that_dies_anywhere_is_made_up_for() {
    let people = ["ada", "bob", "cyd", "dan"];
    let mut seen = BTreeSet::new();
    for lives in 0.. {
        let place = Place::new();
        let faults = Arc::new(Lives(AtomicI64::new(Lives::ALL)));
        let key = key("of the tests, and no other");
        let store = Store::open_with(&place.database(), &key, faults.clone()).await.unwrap();
        let ledger = begin(&store, "r1", &["a"]).await;
        let memberships = first_segment(&ledger);
        for payload in ["old", "older", "payload"] {
            for who in people {
                ledger.journal.settle(&[done(&store, who, payload, memberships)]).await.unwrap();
            }
        }
        finish(ledger).await;

        // It folds as it begins.
        let store = store.with_folding(Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() });
        let lease = store.lease("news").await.unwrap();
        faults.0.store(lives, Ordering::SeqCst);
        let begun = begin_with(lease, "r2", &["a"]).await;
        let has_died = faults.0.swap(Lives::ALL, Ordering::SeqCst) < 0;
        assert_eq!(begun.is_err(), has_died);
        drop(begun);
        let come = come(&place).await;
        seen.insert(come);

        let mut ledger = begin(&store, "r3", &["a"]).await;
        for who in people {
            let observed = observe(&mut ledger, &store, who, "payload", 0);
            assert_eq!(observed, Observation::Unchanged, "{who}, {come:?} after {lives}");
            // What this run writes takes the place of what was left behind the state.
            ledger.journal.settle(&[done(&store, who, "payload", memberships)]).await.unwrap();
        }
        finish(ledger).await;
        assert_eq!(rows(&store, "r1", None).await.len(), 3 * people.len(), "{come:?} after {lives}");
        assert_eq!(rows(&store, "r3", None).await.len(), people.len(), "{come:?} after {lives}");
        assert_eq!(store.held("news").await.unwrap(), people.len() as u64);
        if !has_died {
            break;
        }
    }
    assert_eq!(Vec::from_iter(seen), [Come::Nowhere, Come::Behind, Come::Moved, Come::Through]);
}

/// Whoever folds a large state is in nobody's way for long.
#[tokio::test]
async fn a_fold_writes_a_few_rows_at_a_time() {
    let place = Place::new();
    let faults = Switch::new("");
    let store = place.faulty(&faults).await.with_folding(Folding {
        idle_records: 0,
        rows_at_a_time: 100,
        ..Folding::default()
    });
    let ledger = begin(&store, "r1", &["a"]).await;
    let memberships = first_segment(&ledger);
    let people: Vec<String> = (0..1000).map(|number| format!("p{number}")).collect();
    for payload in ["old", "older", "new"] {
        for people in people.chunks(100) {
            let records: Vec<Record> = people.iter().map(|who| done(&store, who, payload, memberships)).collect();
            ledger.journal.settle(&records).await.unwrap();
        }
    }
    finish(ledger).await;
    let before = faults.commits.load(Ordering::SeqCst);
    begin(&store, "r2", &["a"]).await;
    // The lease, the beginning of the run, the rows, the step to them, and the records that become history. Two thousand records
    // are dead, of which no more is known beforehand: they might be those of another thousand rows.
    assert_eq!(faults.commits.load(Ordering::SeqCst) - before, 1 + 1 + 20 + 1 + 30);
}

/// Where one list took a row that another one refused, the row was never acknowledged, and yet is on a list.
#[tokio::test]
async fn whoever_is_acknowledged_after_a_refusal_is_taken_off_the_list_that_took_them() {
    for folding in [Folding::default(), Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }] {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        let identity = store.hasher().identity(b"ada");
        let ledger = begin(&store, "r1", &["a", "b"]).await;
        let memberships = ledger.snapshot.segments().iter().copied().collect();
        ledger.journal.intend(&[Intent::Deliver { identity, memberships }]).await.unwrap();
        let refused = Row {
            outcome: Undelivered::Refused,
            whose: identity.into(),
            memberships,
            code: "refused".into(),
            reason: "the second list is full".into(),
        };
        ledger.journal.settle(&[Record::Row(refused)]).await.unwrap();
        finish(ledger).await;

        deliver(&store, "r2", "c", &["ada"]).await;
        let mut ledger = begin(&store, "r3", &["c"]).await;
        assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::Unchanged);
        let mut left: Vec<_> = leavers(&ledger, &PresentKeys::default()).await;
        left.sort_unstable_by(|(_, one, _), (_, other, _)| one.cmp(other));
        let id = Some("id of ada".to_owned());
        assert_eq!(left, [(identity, "a".into(), id.clone()), (identity, "b".into(), id)], "{folding:?}");
    }
}
