//! The suppression list: durable, shared by all processes, and noticed by whoever goes by it.

use std::collections::HashSet;

use super::*;

fn person(store: &Store, name: &str) -> Identity {
    store.hasher().identity(name.as_bytes())
}

async fn suppress(store: &Store, names: &[&str]) -> u64 {
    let people: Vec<Identity> = names.iter().map(|name| person(store, name)).collect();
    store.suppress(&people, Timestamp::UNIX_EPOCH).await.unwrap()
}

#[tokio::test]
async fn the_list_is_kept_and_counts_who_is_new() {
    let place = Place::new();
    let store = place.store().await;
    assert_eq!(suppress(&store, &["ada", "ben", "ada"]).await, 2);
    assert_eq!(suppress(&store, &["ben", "cyd"]).await, 1);
    assert_eq!(suppress(&store, &[]).await, 0);
    drop(store);

    let store = place.store().await;
    assert_eq!(store.suppressed_count().await.unwrap(), 3);
    let expected: HashSet<_> = ["ada", "ben", "cyd"].map(|name| person(&store, name)).into();
    assert_eq!(store.suppressed().await.unwrap(), expected);
    assert!(store.is_suppressed(person(&store, "ada")).await.unwrap());

    let people = ["ada", "dan"].map(|name| person(&store, name));
    assert_eq!(store.unsuppress(&people).await.unwrap(), 1);
    assert!(!store.is_suppressed(person(&store, "ada")).await.unwrap());
    assert_eq!(store.suppressed_count().await.unwrap(), 2);
}

/// The file of marks, which tells that there is a state, is there before those who are still beginning it have looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_that_begin_a_state_at_once_nobody_takes_it_for_lost() {
    for _ in 0..25 {
        let place = Arc::new(Place::new());
        let begin = || {
            let place = Arc::clone(&place);
            tokio::spawn(async move { place.store().await.suppressions().await.map(drop) })
        };
        for begun in [begin(), begin(), begin(), begin()] {
            begun.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_list_of_many_is_kept_to_the_last_entry() {
    let place = Place::new();
    let store = place.store().await;
    let names: Vec<String> = (0..25_001).map(|number| format!("person {number}")).collect();
    let people: Vec<Identity> = names.iter().map(|name| person(&store, name)).collect();
    let (first, second) = people.split_at(9_000);
    assert_eq!(store.suppress(first, Timestamp::UNIX_EPOCH).await.unwrap(), 9_000);
    assert_eq!(store.suppress(&people, Timestamp::UNIX_EPOCH).await.unwrap(), 16_001);
    assert_eq!(store.suppressed().await.unwrap(), people.iter().copied().collect::<HashSet<_>>());
    assert_eq!(store.unsuppress(first).await.unwrap(), 9_000);
    assert_eq!(store.suppressed().await.unwrap(), second.iter().copied().collect::<HashSet<_>>());
    assert_eq!(store.unsuppress(&people).await.unwrap(), 16_001);
    assert!(store.suppressed().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_that_is_no_whole_one_is_not_passed_over() {
    for damage in [
        "UPDATE suppression SET identity = substr(identity, 1, 15) WHERE rowid = 1",
        "UPDATE suppression SET identity = x'' WHERE rowid = 2",
        "UPDATE suppression SET identity = CASE rowid WHEN 1 THEN substr(identity, 1, 15) ELSE zeroblob(17) END",
    ] {
        let place = Place::new();
        suppress(&place.store().await, &["ada", "ben"]).await;
        place.tamper(damage).await;
        let error = place.store().await.suppressed().await.unwrap_err().to_string();
        assert!(error.contains("an entry of the suppression list is cut short"), "{damage}: {error}");
    }
}

#[tokio::test]
async fn a_state_that_was_lost_with_its_list_is_not_begun_anew_in_silence() {
    let place = Place::new();
    let store = place.store().await;
    suppress(&store, &["ada"]).await;
    drop(store);
    let database = place.database();
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", database.display()));
    for ending in ["-wal", "-shm"] {
        std::fs::remove_file(beside(ending)).ok();
    }
    std::fs::write(&database, "").unwrap();
    let key = key("of the tests, and no other");
    let both = async || {
        let looking = Store::open_existing(&database, &key).await.unwrap_err();
        [looking, Store::open(&database, &key).await.unwrap_err()].map(|error| error.to_string())
    };
    for _ in 0..2 {
        for error in both().await {
            assert!(error.contains("suppression list") && error.contains("state.db-suppression"), "{error}");
        }
        // No file at all is no better, nor is it what a refusal leaves.
        std::fs::remove_file(&database).unwrap();
    }
    std::fs::remove_file(beside("-suppression")).unwrap();
    // Nobody can look at what a link to itself leads to, root included, and so nobody can say that there was no list.
    std::os::unix::fs::symlink(beside("-suppression"), beside("-suppression")).unwrap();
    for error in both().await {
        assert!(error.contains("look for") && error.contains("state.db-suppression"), "{error}");
    }
    std::fs::remove_file(beside("-suppression")).unwrap();
    assert_eq!(place.store().await.suppressed_count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_change_of_another_process_is_noticed_once_it_has_returned() {
    let place = Place::new();
    let (run, other) = (place.store().await, place.store().await);
    let list = run.suppressions().await.unwrap();
    let first = list.now().await.unwrap();
    assert!(first.is_empty());
    assert!(Arc::ptr_eq(&first, &list.now().await.unwrap()), "an unchanged list is not read again");

    for (number, name) in ["ada", "ben", "cyd"].into_iter().enumerate() {
        suppress(&other, &[name]).await;
        let now = list.now().await.unwrap();
        assert!(now.contains(&person(&run, name)));
        assert_eq!(now.len(), number + 1);
    }
    other.unsuppress(&[person(&other, "ben")]).await.unwrap();
    assert!(!list.now().await.unwrap().contains(&person(&run, "ben")));
}

#[tokio::test]
async fn a_change_that_died_before_its_mark_is_made_good_by_the_next_one() {
    let place = Place::new();
    let switch = Switch::new("mark_suppression");
    let (run, other) = (place.store().await, place.faulty(&switch).await);
    let list = run.suppressions().await.unwrap();

    switch.on.store(true, Ordering::SeqCst);
    let ada = person(&other, "ada");
    assert!(matches!(other.suppress(&[ada], Timestamp::UNIX_EPOCH).await, Err(Error::Io { .. })));
    // It was not reported, so nobody has to know yet; who begins now does.
    assert!(list.now().await.unwrap().is_empty());
    assert!(run.suppressions().await.unwrap().now().await.unwrap().contains(&ada));

    switch.on.store(false, Ordering::SeqCst);
    assert_eq!(suppress(&other, &["ada"]).await, 0, "she is on the list already");
    assert!(list.now().await.unwrap().contains(&ada), "and now everybody knows");
}

#[tokio::test]
async fn what_was_not_committed_is_not_on_the_list() {
    let place = Place::new();
    let switch = Switch::new("commit");
    let store = place.faulty(&switch).await;
    let list = store.suppressions().await.unwrap();
    switch.on.store(true, Ordering::SeqCst);
    let ada = person(&store, "ada");
    assert!(store.suppress(&[ada], Timestamp::UNIX_EPOCH).await.is_err());
    assert!(list.now().await.unwrap().is_empty());
    assert!(!store.is_suppressed(ada).await.unwrap());
}

#[cfg(unix)]
#[tokio::test]
async fn without_its_file_of_marks_nobody_is_told_that_the_list_is_unchanged() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let store = place.store().await;
    let list = store.suppressions().await.unwrap();
    let marks = place.database().with_file_name("state.db-suppression");
    assert_eq!(std::fs::metadata(&marks).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&marks).unwrap();
    suppress(&store, &["ada"]).await;
    let error = list.now().await.unwrap_err();
    assert!(error.to_string().contains("state.db-suppression"), "{error}");
    assert_eq!(store.suppressions().await.unwrap().now().await.unwrap().len(), 1);
}
