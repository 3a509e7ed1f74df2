//! Disks that fill up while a run delivers.

use segport_tests::{FullDisk, Gate, Hold, Last, Report, Scene, people};

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
