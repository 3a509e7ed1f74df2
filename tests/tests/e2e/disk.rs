//! Disks that fill up while a run delivers.

use segport_tests::{FullDisk, Gate, Hold, Last, Person, Report, Scene, people};

/// Runs until its nth request to an endpoint is done and held, fills the disk, lets the run end, and returns its report.
/// What came to the destination must then be in doubt, and the next run must put everything right.
fn fills_up_at(endpoint: &str, nth: u32) -> Report {
    let mut scene = Scene::new(&people(1..=4));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "rows_per_batch = 5\nmax_in_flight = 1");
    scene.delivers();
    scene.segment("newsletter", &people(2..=34));
    scene.export("[guards]\nmax_removals = 1");
    let before = scene.sandbox.autopilot().contact_count();

    gate.hold(endpoint, nth, Hold::Done);
    let run = scene.on_a_small_disk("run --output json").start();
    gate.wait();
    run.fill_disk_at(&scene.path(".segport/state.db-wal"));
    gate.open();
    let ended = run.wait();
    let report = ended.exits(1).report();
    assert_eq!(report.problems(), ["SP0602"], "{ended}");
    let arrived = (scene.sandbox.autopilot().contact_count() - before) as u64;
    let accounted = report.count("rows", "added") + report.count("rows", "unknown");
    assert!(arrived <= accounted, "{arrived} contacts came, but the report knows of {accounted}: {ended}");

    let settled = scene.delivers();
    assert_eq!(settled.count("rows", "read"), 33, "{:?}", settled);
    scene.has_contacts(&people(1..=34));
    scene.has_members("newsletter", &people(2..=34));
    assert_eq!(scene.comes_to("succeeded: 33 read, 33 unchanged").requests(), 0);
    report
}

#[test]
fn rows_without_a_written_outcome_are_unknown_and_the_rest_is_deferred() {
    let report = fills_up_at("POST /contacts", 1);
    let count = |name| report.count("rows", name);
    // The batch after the first may have gone out before it showed that nothing can be written any more.
    assert!(count("unknown") >= 5, "{}", report.summary());
    assert_eq!(count("unknown") + count("deferred"), 30, "{}", report.summary());
    assert_eq!(report.count("leavers", "deferred"), 1, "{}", report.summary());
}

#[test]
fn a_removal_without_a_written_outcome_is_unknown() {
    let report = fills_up_at("DELETE /list/", 1);
    assert_eq!(report.count("rows", "deferred"), 0, "{}", report.summary());
    assert_eq!(report.count("leavers", "unknown"), 1, "{}", report.summary());
}

/// Runs with this in its environment, each time without space from that write to a nameless file on: the error says so, and
/// nothing is sent. Then a run delivers all.
#[track_caller]
fn finds_no_space(scene: &Scene, environment: &[(&str, &str)], writes: &[(Last, u32)], error: &str) {
    let disk = FullDisk::default();
    for &(last, nth) in writes {
        let run = scene.segport("run --output json");
        let run = environment.iter().fold(run, |run, (name, value)| run.env(name, value));
        let ended = disk.under_nameless_files(run, nth, last).run();
        ended.exits(2).says(&format!("error[SP0602]: {error}")).says("No space left").says("free some space");
        assert!(disk.struck().is_some() && ended.stdout.is_empty(), "{ended}");
        assert_eq!(scene.requests(), 0, "{ended}");
    }
    scene.delivers();
}

#[test]
fn what_does_not_fit_into_the_index_is_not_sent() {
    let writes = [(Last::Undone, 1), (Last::Half, 3), (Last::Undone, 20)];
    let error = "cannot keep the index of rows in a file beside";
    finds_no_space(&Scene::new(&people(1..=20)), &[("SEGPORT_INDEX_MEMORY", "0")], &writes, error);
}

#[test]
fn rows_that_have_no_room_to_wait_are_not_sent() {
    // Four blocks, of which the first waits in memory.
    let people: Vec<_> = people(1..=600).into_iter().map(|person| person.given_name(&"x".repeat(25_000))).collect();
    let scene = Scene::new(&people);
    scene.connection("rows_per_batch = 2");
    let writes = [(Last::Half, 1), (Last::Undone, 2)];
    finds_no_space(&scene, &[], &writes, "the encrypted file of rows that wait");
}

/// Runs with this in its environment until its first batch is done and held, and empties the files without a name in which rows
/// or what is known of them wait: the run fails with this error, and is retried as one that died.
#[track_caller]
fn loses_what_waits(mut scene: Scene, everybody: &[Person], environment: &[(&str, &str)], code: &str, error: &str) {
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "rows_per_batch = 2\nmax_in_flight = 1");
    gate.hold("POST /contacts", 1, Hold::Done);
    let run = scene.segport("run --output json");
    let run = environment.iter().fold(run, |run, (name, value)| run.env(name, value)).start();
    gate.wait();
    assert_ne!(run.lose_nameless_files(&scene.path(".segport")), 0);
    gate.open();
    let ended = run.wait();
    let report = ended.exits(1).report();
    assert_eq!(report.problems(), [code], "{ended}");
    ended.prints(&format!("the run broke off before all was sent and written down: {error}"));
    assert!(!ended.stdout.contains("free some space"), "{ended}");
    let rest = report.count("rows", "unknown") + report.count("rows", "deferred");
    assert!(rest > 0 && report.summary().starts_with("failed: "), "{ended}");

    let status = scene.call("status --output json");
    let standing = &status.exits(0).objects()[0];
    assert_eq!(standing["last_run"]["status"], "interrupted", "{status}");
    let problem = "the last run died; the next one settles what has no outcome";
    assert_eq!(standing["open_problems"], serde_json::json!([problem]), "{status}");

    let retried = scene.call("retry --output json");
    let retried = retried.exits(0).report();
    assert_eq!(retried.count("rows", "read"), everybody.len() as u64, "{}", retried.summary());
    assert!(retried.count("rows", "added") >= rest, "{}", retried.summary());
    scene.has_contacts(everybody);
    scene.has_members("newsletter", everybody);
}

#[test]
fn rows_that_are_lost_while_they_wait_are_retried() {
    // Four blocks, of which the first waits in memory.
    let people: Vec<_> = people(1..=600).into_iter().map(|person| person.given_name(&"x".repeat(25_000))).collect();
    let error = "rows that waited on disk were changed there";
    loses_what_waits(Scene::new(&people), &people, &[], "SP0622", error);
}

#[test]
fn rows_whose_index_is_lost_while_they_are_sent_are_retried() {
    let people = people(1..=20);
    let scene = Scene::new(&people);
    scene.segment("vip", &people[..5]);
    scene.segments(&["newsletter", "vip"], "");
    let error = "cannot keep the index of rows in a file beside";
    loses_what_waits(scene, &people, &[("SEGPORT_INDEX_MEMORY", "0")], "SP0602", error);
}
