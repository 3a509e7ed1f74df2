//! Exports whose connection leads to another account for a while, which has ids of its own.

use super::*;

/// Delivers ada and bob, whose ids begin with the name of the account, and makes them members if they are none yet.
async fn deliver_at(store: &Store, run_id: &str, account: &str, payload: &str) {
    let mut ledger = begin(store, run_id, &[&format!("news at {account}")]).await;
    let mut records = Vec::new();
    for who in ["ada", "bob"] {
        observe(&mut ledger, store, who, payload, 0);
        let identity = store.hasher().identity(who.as_bytes());
        let memberships = ledger.snapshot.index.read_in(identity).unwrap().to_add;
        ledger.journal.intend(&[Intent::Deliver { identity, memberships }]).await.unwrap();
        let Record::Done(done) = done(store, who, payload, memberships) else { unreachable!() };
        records.push(Record::Done(Done { destination_id: Some(format!("{account}-{payload}-{who}")), ..done }));
    }
    ledger.journal.settle(&records).await.unwrap();
    finish(ledger).await;
}

/// Delivers once at each of these accounts, and expects bob's id when he has left the last one.
async fn check(runs: &[(&str, &str)], expected: &str) {
    for folding in [Folding::default(), Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }] {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        for (number, (account, payload)) in runs.iter().enumerate() {
            deliver_at(&store, &format!("run {number}"), account, payload).await;
        }
        let segment = format!("news at {}", runs.last().unwrap().0);
        let mut ledger = begin(&store, "last", &[&segment]).await;
        observe(&mut ledger, &store, "ada", runs.last().unwrap().1, 0);
        let found = leavers(&ledger, &PresentKeys::default()).await;
        let bob = store.hasher().identity(b"bob");
        let of_bob = found.iter().find(|(identity, left, _)| (*identity, left) == (bob, &segment)).unwrap();
        assert_eq!(of_bob.2.as_deref(), Some(expected), "{runs:?}, {folding:?}");
    }
}

#[tokio::test]
async fn who_leaves_has_the_id_of_the_account_that_the_export_has() {
    check(&[("a", "1")], "a-1-bob").await;
    check(&[("a", "1"), ("a", "2")], "a-2-bob").await;
    check(&[("a", "1"), ("b", "1")], "b-1-bob").await;
    check(&[("a", "1"), ("b", "1"), ("b", "2")], "b-2-bob").await;
    check(&[("a", "1"), ("b", "1"), ("a", "3")], "a-3-bob").await;
    check(&[("a", "1"), ("b", "1"), ("c", "3"), ("b", "4")], "b-4-bob").await;
}

/// He was not sent since the export came back.
#[tokio::test]
async fn who_left_while_the_export_was_elsewhere_has_the_id_of_before() {
    for folding in [Folding::default(), Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }] {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        for (number, account) in ["a", "b", "c"].into_iter().enumerate() {
            deliver_at(&store, &format!("run {number}"), account, "1").await;
        }
        for (number, account) in ["b", "a", "c"].into_iter().enumerate() {
            let segment = format!("news at {account}");
            let ledger = begin(&store, &format!("look {number}"), &[&segment]).await;
            let mut ids: Vec<_> = leavers(&ledger, &PresentKeys::default()).await;
            ids.retain(|(_, left, _)| *left == segment);
            let mut ids: Vec<_> = ids.into_iter().map(|(_, _, id)| id.unwrap()).collect();
            ids.sort_unstable();
            assert_eq!(ids, [format!("{account}-1-ada"), format!("{account}-1-bob")], "{folding:?}");
            finish(ledger).await;
        }
    }
}

/// What was sent to an account without an answer may be there, and the id of another account is no id for it.
#[tokio::test]
async fn who_was_never_acknowledged_at_an_account_has_no_id_there() {
    for folding in [Folding::default(), Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }] {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        deliver_at(&store, "first", "a", "1").await;
        deliver_at(&store, "second", "a", "2").await;
        let ledger = begin(&store, "unanswered", &["news at b"]).await;
        let (identity, memberships) = (store.hasher().identity(b"bob"), first_segment(&ledger));
        ledger.journal.intend(&[Intent::Deliver { identity, memberships }]).await.unwrap();
        finish(ledger).await;
        let ledger = begin(&store, "last", &["news at b"]).await;
        let found = leavers(&ledger, &PresentKeys::default()).await;
        let of_bob: Vec<_> = found.iter().filter(|(who, left, _)| (*who, &**left) == (identity, "news at b")).collect();
        assert_eq!(of_bob, [&(identity, "news at b".to_owned(), None)], "{folding:?}");
        let present = PresentKeys::default();
        let (mut leavers, mut out_of_reach) = (ledger.snapshot.leavers(&present), Vec::new());
        while let Some(chunk) = leavers.next().await.unwrap() {
            let chunk = chunk.into_iter().filter(|leaver| leaver.is_out_of_reach);
            out_of_reach.extend(chunk.map(|leaver| (leaver.identity, leaver.segment)));
        }
        assert_eq!(out_of_reach, [(identity, ledger.snapshot.segments()[0])], "{folding:?}");
    }
}

/// A key of another account shows in its lists, and the id of the former account is no id there. The row is still known, by a segment
/// that was dropped from the export.
#[tokio::test]
async fn who_was_never_acknowledged_on_a_list_in_the_place_of_another_has_no_id_there() {
    for folding in [Folding::default(), Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }] {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        let ledger = begin(&store, "first", &["news", "vip"]).await;
        let both: Memberships = ledger.snapshot.segments().iter().copied().collect();
        ledger.journal.reach(&ledger.snapshot, to(&["1".to_owned(), "2".to_owned()])).await.unwrap();
        ledger.journal.settle(&[done(&store, "bob", "payload", both)]).await.unwrap();
        finish(ledger).await;

        let (identity, found) = (store.hasher().identity(b"bob"), |ledger: RunLedger| async move {
            let found = leavers(&ledger, &PresentKeys::default()).await;
            finish(ledger).await;
            found.into_iter().find(|(_, left, _)| left == "news").unwrap().2
        });
        let id = found(begin(&store, "of the first account", &["news"]).await).await;
        assert_eq!(id.as_deref(), Some("id of bob"), "{folding:?}");
        let ledger = begin(&store, "unanswered", &["news"]).await;
        ledger.journal.reach(&ledger.snapshot, to(&["3".to_owned()])).await.unwrap();
        let memberships = first_segment(&ledger);
        ledger.journal.intend(&[Intent::Deliver { identity, memberships }]).await.unwrap();
        finish(ledger).await;
        let id = found(begin(&store, "of the second one", &["news"]).await).await;
        assert_eq!(id, None, "{folding:?}");
    }
}

/// Else every run would fold them.
#[tokio::test]
async fn rows_with_ids_of_several_accounts_are_not_folded_again_and_again() {
    let place = Place::new();
    let folding = Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() };
    let faults = Switch::new("fold_state");
    let store = place.faulty(&faults).await.with_folding(folding);
    for (number, account) in ["a", "b", "c"].into_iter().enumerate() {
        deliver_at(&store, &format!("run {number}"), account, "1").await;
    }
    finish(begin(&store, "folds", &["news at c"]).await).await;
    faults.on.store(true, Ordering::SeqCst);
    finish(begin(&store, "last", &["news at c"]).await).await;
}

/// One contact under two identities, in an account, and somebody else's in another: `17` there is nobody's here.
#[tokio::test]
async fn an_id_is_claimed_by_whoever_is_still_there_at_the_same_account() {
    /// The accounts have segments of their own, or the export goes from one to the other.
    async fn check(segments: [&str; 2], folding: Folding) {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        let [first, second] = segments;
        for (run_id, account, segment, ids) in [
            ("first", "a", first, [("ada", "17"), ("bob", "18")]),
            ("second", "b", second, [("ada", "18"), ("bob", "17")]),
        ] {
            let reached = Reached { place: "here", account: Some(account), lists: &[] };
            let ledger = begin(&store, run_id, &[segment]).await;
            ledger.journal.reach(&ledger.snapshot, reached).await.unwrap();
            drop(ledger);
            let mut ledger = begin(&store, &format!("{run_id}, delivers"), &[segment]).await;
            let mut records = Vec::new();
            for (who, id) in ids {
                observe(&mut ledger, &store, who, "1", 0);
                let identity = store.hasher().identity(who.as_bytes());
                let memberships = ledger.snapshot.index.read_in(identity).unwrap().to_add;
                let Record::Done(done) = done(&store, who, "1", memberships) else { unreachable!() };
                records.push(Record::Done(Done { destination_id: Some(id.to_owned()), ..done }));
            }
            ledger.journal.settle(&records).await.unwrap();
            finish(ledger).await;
        }
        // Bob has left `b`, where he is 17, and Ada, who is still there, was that at `a`.
        let mut ledger = begin(&store, "last", &[second]).await;
        let segment = ledger.snapshot.segments()[0];
        observe(&mut ledger, &store, "ada", "1", 0);
        let claimed = async |present: Present, left: &str| {
            let mut ids = SharedIds::default();
            ids.leave(left);
            ledger.snapshot.find_claims(&present.into(), &mut ids).await.unwrap();
            (ids.has_claims(), ids.is_claimed(left, segment))
        };
        assert_eq!(claimed(Present::default(), "17").await, (false, false), "{folding:?}");
        assert_eq!(claimed(Present::default(), "18").await, (true, true), "{folding:?}");
        // A row that cannot be used is there by its key.
        let mut present = Present::default();
        present.add(segment, store.hasher().key(b"bob"));
        assert_eq!(claimed(present, "17").await, (true, true), "{folding:?}");
    }
    /// A list that is gone is none of another account: whoever had the id has it still.
    async fn check_deleted(folding: Folding) {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        let reach = async |run_id: &str, list: &str| {
            let (ledger, lists) = (begin(&store, run_id, &["news"]).await, [list.to_owned()]);
            ledger.journal.reach(&ledger.snapshot, to(&lists)).await.unwrap();
            ledger
        };
        let ledger = reach("first", "A").await;
        let news = first_segment(&ledger);
        ledger.journal.settle(&[done(&store, "ada", "1", news), done(&store, "bob", "1", news)]).await.unwrap();
        drop(ledger);
        drop(reach("finds it gone", "B").await);
        let mut ledger = begin(&store, "last", &["news"]).await;
        observe(&mut ledger, &store, "ada", "1", 0);
        let mut ids = SharedIds::default();
        ids.leave("id of ada");
        ids.leave("id of bob");
        ledger.snapshot.find_claims(&PresentKeys::default(), &mut ids).await.unwrap();
        let segment = ledger.snapshot.segments()[0];
        assert_eq!(["id of ada", "id of bob"].map(|id| ids.is_claimed(id, segment)), [true, false]);
    }
    check_deleted(Folding::default()).await;
    for segments in [["news at a", "news at b"], ["news", "news"]] {
        check(segments, Folding::default()).await;
        check(segments, Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }).await;
    }
}
