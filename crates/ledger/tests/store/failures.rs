//! What happens when writing fails, and when much is written at once.

use super::*;

#[tokio::test]
async fn the_first_failed_write_fails_all_that_follow() {
    for operation in ["append_page", "commit", "acknowledge"] {
        let place = Place::new();
        let faults = Switch::new(operation);
        let store = place.faulty(&faults).await;
        let ledger = begin(&store, "r1", &["a"]).await;
        let memberships = first_segment(&ledger);
        ledger.journal.settle(&[done(&store, "ada", "p", memberships)]).await.unwrap();
        faults.on.store(true, Ordering::SeqCst);
        let failed = ledger.journal.settle(&[done(&store, "bob", "p", memberships)]).await.unwrap_err();
        assert!(matches!(failed, Error::Io { .. }));
        faults.on.store(false, Ordering::SeqCst);
        let identity = store.hasher().identity(b"cyd");
        assert!(ledger.journal.intend(&[Intent::Deliver { identity, memberships }]).await.is_err());
        assert!(ledger.finish(RunEnd::Failed, Timestamp::UNIX_EPOCH, "{}").await.is_err());

        let mut ledger = begin(&store, "r2", &["a"]).await;
        assert_eq!(observe(&mut ledger, &store, "ada", "p", 0), Observation::Unchanged);
        let bob = if operation == "acknowledge" { Observation::Unchanged } else { Observation::New };
        assert_eq!(
            observe(&mut ledger, &store, "bob", "p", 0),
            bob,
            "a write that was confirmed to nobody may be there"
        );
        assert_eq!(observe(&mut ledger, &store, "cyd", "p", 0), Observation::New);
        finish(ledger).await;
    }
}

#[tokio::test]
async fn a_fold_that_fails_leaves_everything_as_it_was() {
    let place = Place::new();
    let faults = Switch::new("fold_state");
    faults.on.store(true, Ordering::SeqCst);
    let store =
        place.faulty(&faults).await.with_folding(Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() });
    let ledger = begin(&store, "r1", &["a"]).await;
    let memberships = first_segment(&ledger);
    for _ in 0..3 {
        ledger.journal.settle(&[done(&store, "ada", "p", memberships)]).await.unwrap();
    }
    finish(ledger).await;
    assert_eq!(store.run("r1").await.unwrap().status, RunStatus::Ended(RunEnd::Succeeded));
    assert_eq!(store.held("news").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_share_commits_and_may_be_dropped() {
    let place = Place::new();
    let faults = Switch::new("");
    let store = place.faulty(&faults).await;
    let ledger = begin(&store, "r1", &["a"]).await;
    let memberships = first_segment(&ledger);
    let before = faults.commits.load(Ordering::SeqCst);
    let calls = (0..200).map(|number| {
        let (journal, record) = (ledger.journal.clone(), done(&store, &format!("p{number}"), "p", memberships));
        async move {
            let records = [record];
            let settle = journal.settle(&records);
            if number % 10 == 0 {
                // Polled once, then dropped.
                let mut settle = Box::pin(settle);
                drop(futures::poll!(&mut settle));
            } else {
                settle.await.unwrap();
            }
        }
    });
    futures::future::join_all(calls).await;
    let commits = faults.commits.load(Ordering::SeqCst) - before;
    assert!(commits < 100, "{commits} commits");
    finish(ledger).await;
    let held = store.held("news").await.unwrap();
    assert!((180..=200).contains(&held), "{held}");
}

#[tokio::test]
async fn many_records_in_one_call_are_many_pages() {
    let place = Place::new();
    let store = place.store().await;
    let ledger = begin(&store, "r1", &["a"]).await;
    let memberships = first_segment(&ledger);
    let people: Vec<String> = (0..20_000).map(|number| format!("p{number}")).collect();
    let records: Vec<Record> = people.iter().map(|who| done(&store, who, "p", memberships)).collect();
    ledger.journal.settle(&records).await.unwrap();
    finish(ledger).await;
    assert_eq!(store.held("news").await.unwrap(), 20_000);
    let mut ledger = begin(&store, "r2", &["a"]).await;
    assert!(people.iter().all(|who| observe(&mut ledger, &store, who, "p", 0) == Observation::Unchanged));
}

#[tokio::test]
async fn an_intent_is_settled_by_its_own_run_only() {
    for folding in [Folding::default(), Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }] {
        for outcome in [Undelivered::Suppressed, Undelivered::Deferred] {
            let place = Place::new();
            let store = place.store().await.with_folding(folding);
            let ada = store.hasher().identity(b"ada");
            let segments = ["s".to_owned()];
            let begin = async |run_id: &'static str| {
                let new = NewRun { run_id, started_at: Timestamp::UNIX_EPOCH, segments: &segments };
                store.lease("export").await.unwrap().begin(new).await.unwrap()
            };
            let uncertain = async || {
                let snapshot = store.snapshot("export", &segments).await.unwrap();
                snapshot.index.held(ada).unwrap().is_some_and(|held| held.uncertain)
            };
            let row = Record::Row(Row {
                outcome,
                whose: ada.into(),
                memberships: Memberships::NONE,
                code: "code".into(),
                reason: "reason".into(),
            });
            let intent = Intent::Deliver { identity: ada, memberships: Memberships::NONE };

            let run = begin("its own").await;
            run.journal.intend(&[intent]).await.unwrap();
            assert!(uncertain().await);
            run.journal.settle(std::slice::from_ref(&row)).await.unwrap();
            run.finish(RunEnd::Succeeded, Timestamp::UNIX_EPOCH, "{}").await.unwrap();
            assert!(!uncertain().await, "{outcome:?} says that nothing was sent");

            let run = begin("dies").await;
            run.journal.intend(&[intent]).await.unwrap();
            drop(run);
            let run = begin("another").await;
            run.journal.settle(&[row]).await.unwrap();
            run.finish(RunEnd::Succeeded, Timestamp::UNIX_EPOCH, "{}").await.unwrap();
            assert!(uncertain().await, "{outcome:?} says nothing of what an earlier run sent");
        }
    }
}
