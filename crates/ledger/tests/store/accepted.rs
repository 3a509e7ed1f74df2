//! What runs take as the normal size of a segment.

use super::*;

#[tokio::test]
async fn what_a_run_accepts_holds_until_another_run_accepts_something_else() {
    async fn check(place: &Place, run_id: &str, segments: &[&str], accepts: Option<&[u64]>, expected: &[Option<u64>]) {
        let store = place.store().await;
        let mut ledger = begin(&store, run_id, segments).await;
        if let Some(rows) = accepts {
            ledger.accept(rows.iter().copied());
        }
        let before = accepted(&store, segments).await;
        finish(ledger).await;
        let after = accepted(&store, segments).await;
        assert_eq!(after, expected, "{run_id}");
        if accepts.is_none() {
            assert_eq!(before, after, "{run_id}");
        }
    }
    async fn accepted(store: &Store, segments: &[&str]) -> Vec<Option<u64>> {
        let segments: Vec<String> = segments.iter().map(|id| (*id).to_owned()).collect();
        let snapshot = store.snapshot("news", &segments).await.unwrap();
        snapshot.segments().iter().map(|number| snapshot.accepted_rows(*number)).collect()
    }
    let place = Place::new();
    check(&place, "r1", &["a", "b"], None, &[None, None]).await;
    check(&place, "r2", &["a", "b"], Some(&[7, 0]), &[Some(7), Some(0)]).await;
    check(&place, "r3", &["b", "a"], None, &[Some(0), Some(7)]).await;
    check(&place, "r4", &["a", "c"], None, &[Some(7), None]).await;
    // A segment that takes the number of a dropped one does not take its rows.
    check(&place, "r5", &["c", "a"], Some(&[3, 8]), &[Some(3), Some(8)]).await;
    check(&place, "r6", &["b"], None, &[None]).await;

    // A run that dies has accepted nothing.
    let store = place.store().await;
    let mut died = begin(&store, "r7", &["a"]).await;
    died.accept([99]);
    drop(died);
    assert_eq!(accepted(&store, &["a"]).await, [Some(8)]);
}

#[tokio::test]
async fn a_state_of_an_earlier_version_is_brought_up_to_date() {
    // What each version has, from the second on, that the one before it did not have.
    let undo = [
        "DROP TABLE accepted",
        "DROP INDEX untried_page",
        "PRAGMA user_version",
        "DROP TABLE list",
        "DROP TABLE account",
        "PRAGMA user_version",
    ];
    for version in 1..=undo.len() {
        let place = Place::new();
        deliver(&place.store().await, "r1", "a", &["ada", "bob"]).await;
        for newer in undo.iter().skip(version - 1) {
            place.tamper(newer).await;
        }
        let mut connection = place.connect().await;
        let mark = format!("PRAGMA user_version = {version}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(mark)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();

        let looking = Store::open_existing(&place.database(), &key("of the tests, and no other")).await;
        let is_older = matches!(&looking, Err(Error::OlderSchema { found, .. }) if *found == version as i64);
        assert!(is_older, "{version}: {looking:?}");
        assert_eq!(place.store().await.held("news").await.unwrap(), 2, "{version}");
        deliver(&place.store().await, "r2", "a", &["ada", "bob"]).await;
        let ledger = begin(&place.store().await, "r3", &["a"]).await;
        let lists = ["A".to_owned()];
        let reached = Reached { place: "here", account: Some("acme"), lists: &lists };
        assert!(ledger.journal.reach(&ledger.snapshot, reached).await.unwrap().is_empty(), "{version}");
    }
}
