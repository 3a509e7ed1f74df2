//! Loading what a ledger holds: the same of few pages and of many, which two threads load.

use super::*;

/// A run that delivers so many people, each in pages of their own, and dies after it meant to deliver one more.
async fn deliver_one_by_one(store: &Store, run_id: &str, payload: &str, people: usize) {
    let ledger = begin(store, run_id, &["a"]).await;
    let memberships = first_segment(&ledger);
    let journal = &ledger.journal;
    // What comes one after the other and is of one kind would be one page.
    let one = async |number: usize| {
        let identity = store.hasher().identity(number.to_string().as_bytes());
        let intents = [Intent::Deliver { identity, memberships }];
        let records = [done(store, &number.to_string(), payload, memberships)];
        let (intended, settled) = futures::join!(journal.intend(&intents), journal.settle(&records));
        intended.and(settled).unwrap();
    };
    futures::future::join_all((0..people).map(one)).await;
    let identity = store.hasher().identity(b"in doubt");
    journal.intend(&[Intent::Deliver { identity, memberships }]).await.unwrap();
}

async fn check(people: usize) {
    let place = Place::new();
    let store = place.store().await;
    deliver_one_by_one(&store, "r1", "old", people).await;
    deliver_one_by_one(&store, "r2", "new", people / 2).await;
    let mut ledger = begin(&store, "r3", &["a"]).await;
    assert_eq!(ledger.snapshot.members(), people as u64);
    for number in 0..people {
        let payload = if number < people / 2 { "new" } else { "old" };
        assert_eq!(observe(&mut ledger, &store, &number.to_string(), payload, 0), Observation::Unchanged, "{number}");
    }
    let in_doubt = store.hasher().identity(b"in doubt");
    assert!(ledger.snapshot.index.held(in_doubt).unwrap().unwrap().uncertain, "of {people}");
    assert_eq!(observe(&mut ledger, &store, "nobody", "new", 0), Observation::New);
    drop(ledger);

    place
        .tamper("UPDATE page SET body = zeroblob(length(body)) WHERE number = (SELECT max(number) / 2 FROM page)")
        .await;
    let error = begin_with(store.lease("news").await.unwrap(), "r4", &["a"]).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "of {people}: {error}");
}

#[tokio::test]
async fn many_pages_hold_what_few_do() {
    check(2).await;
    check(200).await;
}

#[tokio::test]
async fn a_load_of_many_pages_may_be_given_up() {
    let place = Place::new();
    let store = place.store().await;
    deliver_one_by_one(&store, "r1", "old", 300).await;
    for polls in 0..20 {
        let segments = ["a".to_owned()];
        let mut load = Box::pin(store.snapshot("news", &segments));
        for _ in 0..polls {
            if futures::poll!(&mut load).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let snapshot = store.snapshot("news", &["a".to_owned()]).await.unwrap();
    assert_eq!(snapshot.members(), 300);
}
