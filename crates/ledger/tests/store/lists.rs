//! Which lists segments have at the destination.

use super::*;

/// The lists that later runs are told of.
async fn lists(store: &Store, segments: &[&str]) -> Vec<Option<String>> {
    let segments: Vec<String> = segments.iter().map(|id| (*id).to_owned()).collect();
    let snapshot = store.snapshot("news", &segments).await.unwrap();
    snapshot.segments().iter().map(|number| snapshot.list(*number).map(str::to_owned)).collect()
}

/// What a run of these segments and lists finds gone, as positions in the manifest. It dies.
async fn take(store: &Store, run_id: &str, segments: &[&str], ids: &[&str]) -> Vec<usize> {
    let ledger = begin(store, run_id, segments).await;
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let replaced = ledger.journal.reach(&ledger.snapshot, to(&ids)).await.unwrap();
    let numbers = ledger.snapshot.segments().iter().enumerate();
    numbers.filter(|(_, number)| replaced.contains(**number)).map(|(position, _)| position).collect()
}

#[tokio::test]
async fn a_list_is_known_until_another_one_takes_its_place() {
    let place = Place::new();
    let known = |lists: &[Option<&str>]| lists.iter().map(|id| id.map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(take(&place.store().await, "r1", &["a", "b"], &["A", "B"]).await, [0; 0]);
    let store = place.store().await;
    assert_eq!(lists(&store, &["b", "a", "c"]).await, known(&[Some("B"), Some("A"), None]));
    assert_eq!(take(&store, "r2", &["a"], &["A2"]).await, [0; 0], "nobody was on the other one");
    assert_eq!(lists(&store, &["b", "a"]).await, known(&[Some("B"), Some("A2")]));
    assert_eq!(take(&store, "r3", &["a"], &[]).await, [0; 0], "a plugin need not tell");
    deliver(&store, "r4", "a", &["ada"]).await;
    assert_eq!(take(&store, "r5", &["b", "a"], &["B", "A2"]).await, [0; 0]);
    assert_eq!(take(&store, "r6", &["b", "a"], &["B2", "A3"]).await, [1]);
    assert_eq!(lists(&store, &["b", "a"]).await, known(&[Some("B2"), Some("A3")]));
}

#[tokio::test]
async fn nobody_is_on_a_list_that_is_gone() {
    async fn check(folding: Folding) {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        assert_eq!(take(&store, "r1", &["a", "b"], &["A", "B"]).await, [0; 0]);
        let ledger = begin(&store, "r2", &["a", "b"]).await;
        let (a, b) = (ledger.snapshot.segments()[0], ledger.snapshot.segments()[1]);
        let both = Memberships::from(a).with(b);
        let records = [done(&store, "ada", "payload", both), done(&store, "bob", "payload", a.into())];
        ledger.journal.settle(&records).await.unwrap();
        finish(ledger).await;

        assert_eq!(take(&store, "r3", &["a", "b"], &["A2", "B"]).await, [0]);
        let mut ledger = begin(&store, "r4", &["a", "b"]).await;
        assert_eq!(ledger.snapshot.populated(), Memberships::from(b));
        assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::MembershipGrew);
        assert_eq!(observe(&mut ledger, &store, "bob", "payload", 0), Observation::New);
        // What is acknowledged from here on is so on the other list.
        ledger.journal.settle(&[done(&store, "bob", "payload", a.into())]).await.unwrap();
        finish(ledger).await;
        let mut ledger = begin(&store, "r5", &["a", "b"]).await;
        assert_eq!(observe(&mut ledger, &store, "bob", "payload", 0), Observation::Unchanged);
    }
    check(Folding::default()).await;
    check(Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }).await;
}

#[tokio::test]
async fn a_list_that_could_not_be_written_down_is_not_taken() {
    let place = Place::new();
    let switch = Switch::new("commit");
    let store = place.faulty(&switch).await;
    assert_eq!(take(&store, "r1", &["a"], &["A"]).await, [0; 0]);
    deliver(&store, "r2", "a", &["ada"]).await;
    let ledger = begin(&store, "r3", &["a"]).await;
    switch.on.store(true, Ordering::SeqCst);
    ledger.journal.reach(&ledger.snapshot, to(&["A2".to_owned()])).await.unwrap_err();
    drop(ledger);
    switch.on.store(false, Ordering::SeqCst);
    assert_eq!(lists(&store, &["a"]).await, [Some("A".to_owned())]);
    assert_eq!(take(&store, "r4", &["a"], &["A2"]).await, [0]);
}

/// Nobody is on lists of these names in another account, nor anybody as this one had them; of what was sent to another place nothing
/// changes.
#[tokio::test]
async fn another_account_holds_nobody() {
    for folding in [Folding::default(), Folding { idle_records: 0, rows_at_a_time: 1, ..Folding::default() }] {
        let place = Place::new();
        let store = place.store().await.with_folding(folding);
        let ids = ["A".to_owned()];
        let to = |account| Reached { place: "here", account, lists: &ids };
        let reach = async |run_id: &str, to: Reached<'_>| {
            let ledger = begin(&store, run_id, &["a"]).await;
            let replaced = ledger.journal.reach(&ledger.snapshot, to).await.unwrap();
            finish(ledger).await;
            let snapshot = store.snapshot("news", &["a".to_owned()]).await.unwrap();
            (!replaced.is_empty(), snapshot.account("here").map(str::to_owned))
        };
        let acme = Some("acme".to_owned());
        assert_eq!(reach("r1", to(None)).await, (false, None));
        deliver(&store, "r2", "a", &["ada"]).await;
        assert_eq!(reach("r3", to(Some("acme"))).await, (false, acme.clone()), "nobody knew which it was");
        assert_eq!(reach("r4", to(None)).await, (false, acme.clone()), "nobody asked");
        assert_eq!(reach("r5", Reached { place: "there", ..to(Some("other")) }).await, (false, acme));
        let mut ledger = begin(&store, "r6", &["a"]).await;
        assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::Unchanged);
        finish(ledger).await;

        assert_eq!(reach("r7", to(Some("other"))).await, (true, Some("other".to_owned())));
        assert!(!reach("r8", to(Some("other"))).await.0);
        let mut ledger = begin(&store, "r9", &["a"]).await;
        assert_eq!(ledger.snapshot.populated(), Memberships::NONE);
        assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::New);
        finish(ledger).await;
    }
}

/// What was acknowledged on a list of a segment that is not the export's now says nothing of its values either.
#[tokio::test]
async fn another_account_holds_nobody_as_they_were_in_other_segments() {
    let place = Place::new();
    let store = place.store().await;
    let to = |account| Reached { place: "here", account: Some(account), lists: &[] };
    let ledger = begin(&store, "r1", &["a", "b"]).await;
    ledger.journal.reach(&ledger.snapshot, to("acme")).await.unwrap();
    let both = ledger.snapshot.segments().iter().copied().collect();
    ledger.journal.settle(&[done(&store, "ada", "payload", both)]).await.unwrap();
    finish(ledger).await;
    let mut ledger = begin(&store, "r2", &["b"]).await;
    assert_eq!(observe(&mut ledger, &store, "ada", "payload", 0), Observation::Unchanged);
    ledger.journal.reach(&ledger.snapshot, to("other")).await.unwrap();
    finish(ledger).await;
    let mut ledger = begin(&store, "r3", &["b", "a"]).await;
    assert_eq!(observe(&mut ledger, &store, "ada", "payload", 1), Observation::Changed);
}
