//! People who must not be sent anything, whatever the export and whenever that is said.

use segport_tests::{Gate, Hold, Person, Report, Scene, people};
use serde_json::json;

const READ: &str = "suppressed suppressed: on the suppression list";
const MEANWHILE: &str = "suppressed suppressed: put on the suppression list before its batch was sent";

const ADDRESSES: &str = "p1@example.com p3@example.com p5@example.com p7@example.com p8@example.com";

/// A scene whose second export sends the segment `vip` to a list of its own.
fn two_exports(scene: &Scene) {
    scene.segment("vip", &people(3..=8));
    let export = scene.read("exports/newsletter.toml");
    scene.write("exports/vip.toml", export.replace("[\"newsletter\"]", "[\"vip\"]"));
}

#[track_caller]
fn suppresses(scene: &Scene, addresses: &str) {
    scene.call(&format!("suppress add {addresses}")).exits(0);
}

#[test]
fn suppressed_people_are_in_no_export_until_they_are_taken_off_the_list() {
    let scene = Scene::new(&people(1..=5));
    two_exports(&scene);
    suppresses(&scene, "P3@Example.com p9@example.com");
    let plan = scene.call("plan newsletter --output json");
    assert_eq!(plan.exits(0).objects()[0]["rows"]["suppressed"], 1, "{plan}");

    assert_eq!(
        run_all(&scene),
        ["succeeded: 5 read, 4 added, 1 suppressed", "succeeded: 6 read, 5 added, 1 suppressed"]
    );
    scene.has_contacts(&[people(1..=2), people(4..=8)].concat());
    let rows = scene.rows();
    assert!(rows.contains(&READ.to_owned()), "{rows:?}");

    scene.call("suppress remove p3@example.com").exits(0).prints("1 removed");
    assert_eq!(run_all(&scene), ["succeeded: 5 read, 4 unchanged, 1 added", "succeeded: 6 read, 5 unchanged, 1 added"]);
    scene.has_members("newsletter", &people(1..=5));
    scene.has_members("vip", &people(3..=8));
}

#[test]
fn who_is_suppressed_is_so_however_the_address_is_spelled() {
    let spelled = ["Mu\u{308}ller@bücher.example", "müller@xn--bcher-kva.example", "zoë@bücher.example"];
    let scene = Scene::new(&[1, 2, 3].map(|nth| Person::new(nth).email(spelled[nth as usize - 1])));
    scene.call("suppress add MÜLLER@Bücher.example").exits(0).prints("1 new");
    scene.comes_to("succeeded: 3 read, 1 added, 2 suppressed");
    // It is sent as it was written.
    assert_eq!(scene.members("newsletter"), [spelled[2]]);
    scene.call("suppress check müller@XN--BCHER-KVA.example").exits(1).prints("suppressed");
    scene
        .call("suppress remove müller@xn--bcher-kva.example")
        .exits(0)
        .prints("1 removed, 0 not on the list, 0 invalid; 0 on the list");
    // To a destination, and so to a run, they are two people.
    scene.comes_to("succeeded: 3 read, 1 unchanged, 2 added");
}

#[test]
fn who_is_a_member_stays_one_and_can_still_leave() {
    let scene = Scene::new(&people(1..=20));
    scene.delivers();
    suppresses(&scene, "p2@example.com");
    let mut changed = people(1..=20);
    changed[1].given_name = "New".to_owned();
    scene.segment("newsletter", &changed);
    scene.comes_to("succeeded: 20 read, 19 unchanged, 1 suppressed");
    scene.has_members("newsletter", &people(1..=20));
    scene.has_contacts(&people(1..=20));

    changed.remove(1);
    scene.segment("newsletter", &changed);
    let report = scene.delivers();
    assert_eq!(report.count("leavers", "removed"), 1, "{report:?}");
    scene.has_members("newsletter", &changed);
}

#[track_caller]
fn run_all(scene: &Scene) -> Vec<String> {
    scene.run("--all").exits(0).reports().iter().map(Report::summary).collect()
}

/// Holds the second batch, in which 3 and 4 are. 1 and 2 are delivered then, and 5 to 8 are still to come.
fn suppresses_while_the_second_batch_is(hold: Hold) {
    let mut scene = Scene::new(&people(1..=8));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "rows_per_batch = 2\nmax_in_flight = 1");
    two_exports(&scene);
    gate.hold("POST /contacts", 2, hold);
    let run = scene.segport("run --all --output json").start();
    gate.wait();
    suppresses(&scene, ADDRESSES);
    gate.open();
    let run = run.wait();

    let reports = run.exits(0).reports();
    let summaries: Vec<_> = reports.iter().map(Report::summary).collect();
    assert_eq!(summaries, ["succeeded: 8 read, 5 added, 3 suppressed", "succeeded: 6 read, 2 added, 4 suppressed"]);
    let count = |run: &Report, text: &str| scene.rows_of(run.run_id()).iter().filter(|row| *row == text).count();
    assert_eq!([count(&reports[0], MEANWHILE), count(&reports[1], READ)], [3, 4]);
    let delivered = [people(1..=4), people(6..=6)].concat();
    scene.has_contacts(&delivered);
    scene.has_members("newsletter", &delivered);
    scene.has_members("vip", &[people(4..=4), people(6..=6)].concat());

    // Nobody is in doubt, and who is taken off the list again is sent.
    let again = ["succeeded: 8 read, 3 unchanged, 5 suppressed", "succeeded: 6 read, 2 unchanged, 4 suppressed"];
    assert_eq!(run_all(&scene), again);
    scene.call(&format!("suppress remove {ADDRESSES}")).exits(0);
    let again = ["succeeded: 8 read, 5 unchanged, 3 added", "succeeded: 6 read, 2 unchanged, 4 added"];
    assert_eq!(run_all(&scene), again);
    scene.has_members("newsletter", &people(1..=8));
    scene.has_members("vip", &people(3..=8));
}

#[test]
fn no_batch_that_begins_after_somebody_was_suppressed_has_them() {
    suppresses_while_the_second_batch_is(Hold::Unseen);
    suppresses_while_the_second_batch_is(Hold::Done);
}

/// Holds the first request to an endpoint of a run of four people, suppresses one of them, and lets it go on.
fn suppresses_while_requests_wait(fault: &str, settings: &str, endpoint: &str, hold: Hold, who: &str) -> Scene {
    let mut scene = Scene::faulty(&[fault], &people(1..=4));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, &format!("rows_per_batch = 4\nmax_in_flight = 1\n{settings}"));
    gate.hold(endpoint, 1, hold);
    let run = scene.segport("run --output json").start();
    gate.wait();
    suppresses(&scene, who);
    gate.open();
    let run = run.wait();
    assert_eq!(run.exits(0).report().summary(), "succeeded: 4 read, 3 added, 1 suppressed");
    scene
}

#[test]
fn who_is_suppressed_while_a_request_waits_to_be_sent_again_is_not_in_it() {
    let throttled = "POST /contacts nth=1 status=429 retry-after=1";
    let settings = "list_membership = \"bulk\"";
    let scene = suppresses_while_requests_wait(throttled, settings, "POST /contacts", Hold::Done, "p3@example.com");
    let delivered = [people(1..=2), people(4..=4)].concat();
    scene.has_contacts(&delivered);
    scene.has_members("newsletter", &delivered);
}

#[test]
fn who_is_suppressed_while_single_adds_are_made_is_not_added() {
    let settings = "list_membership = \"single\"";
    let no_fault = "GET /never status=500";
    let scene = suppresses_while_requests_wait(no_fault, settings, "POST /list/", Hold::Unseen, "p4@example.com");
    scene.has_members("newsletter", &people(1..=3));
    let told = scene.rows();
    assert!(told.iter().any(|row| row.ends_with("under way; it may have been written")), "{told:?}");
    scene.comes_to("succeeded: 4 read, 3 unchanged, 1 suppressed");
}

#[test]
fn the_parts_of_a_refused_batch_are_batches_of_their_own() {
    let mut scene = Scene::faulty(&["POST /contacts nth=1 status=400"], &people(1..=4));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "rows_per_batch = 4\nmax_in_flight = 1\nlist_membership = \"bulk\"");
    gate.hold("POST /contacts", 2, Hold::Unseen);
    let run = scene.segport("run --output json").start();
    gate.wait();
    suppresses(&scene, "p1@example.com p3@example.com");
    gate.open();
    let run = run.wait();
    assert_eq!(run.exits(0).report().summary(), "succeeded: 4 read, 3 added, 1 suppressed");
    scene.has_members("newsletter", &[people(1..=2), people(4..=4)].concat());
}

#[test]
fn a_killed_run_leaves_the_list_to_the_next_one() {
    let mut scene = Scene::new(&people(1..=4));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "rows_per_batch = 2\nmax_in_flight = 1");
    gate.hold("POST /contacts", 2, Hold::Unseen);
    let run = scene.segport("run").start();
    gate.wait();
    suppresses(&scene, "p4@example.com");
    run.kill();
    gate.cut();
    scene.comes_to("succeeded: 4 read, 2 unchanged, 1 added, 1 suppressed");
    scene.has_contacts(&people(1..=3));
    scene.call("suppress remove p4@example.com").exits(0);
    scene.comes_to("succeeded: 4 read, 3 unchanged, 1 added");
}

#[test]
fn the_list_is_filled_and_asked() {
    let scene = Scene::new(&people(1..=3));
    let call = |words: &str| scene.call(&format!("suppress {words}"));
    call("check p1@example.com --output json").exits(0).prints(r#""suppressed":false"#);
    assert!(!scene.path(".segport").exists(), "asking makes nothing");

    call("add p1@example.com P1@Example.com p2@example.com")
        .exits(0)
        .prints("2 new, 1 known, 0 invalid; 2 on the list");
    let added = call("add p2@example.com nobody p4@example.com --output json");
    let expected = json!({"new": 1, "known": 1, "invalid": 1, "invalid_at": [2], "listed": 3});
    assert_eq!(added.exits(1).says("not an e-mail address, left out: address 2").objects(), [expected]);
    let removed = call("remove p4@example.com p5@example.com --output json");
    let expected = json!({"removed": 1, "not_listed": 1, "invalid": 0, "invalid_at": [], "listed": 2});
    assert_eq!(removed.exits(0).objects(), [expected]);

    call("check p3@example.com").exits(0).prints("address 1  not suppressed");
    call("check p3@example.com p2@example.com").exits(1).prints("address 2  suppressed");
    call("check p2@example.com nobody")
        .exits(2)
        .prints("address 2  no address")
        .says("not an e-mail address: address 2");

    scene.write("list.txt", "p6@example.com\n\nnobody\np6@example.com\np2@example.com");
    call("import list.txt").exits(1).prints("1 new, 2 known, 1 invalid; 3 on the list").says("left out: line 3");
    let typed = |words: &str| scene.segport(&format!("suppress {words}")).reading(&scene.path("list.txt")).run();
    typed("import -").exits(1).prints("0 new, 3 known, 1 invalid");
    typed("remove -").exits(1).prints("2 removed, 1 not on the list, 1 invalid; 1 on the list");
    let asked = typed("check - --output json");
    let places: Vec<_> = asked.exits(2).objects().iter().map(|line| line["at"].clone()).collect();
    assert_eq!(places, [1, 3, 4, 5]);
    typed("add -").exits(1).prints("2 new, 1 known, 1 invalid");

    scene.write("list.csv", "id,mail\n1,p7@example.com\n2,p8@example.com\n");
    call("import --column mail list.csv").exits(0).prints("2 new, 0 known, 0 invalid; 5 on the list");
    call("import --column email list.csv").exits(2).says("list.csv has no column `email`");
    scene.write("twice.csv", "mail,mail\np7@example.com,p8@example.com\n");
    call("import --column mail twice.csv").exits(2).says("twice.csv has several columns `mail`");
    call("import nowhere.csv").exits(2).says("cannot read nowhere.csv");
    let elsewhere = |words: &str| {
        scene.shell(&format!("cd / && segport -C '{}' suppress import {words}", scene.dir().display())).run()
    };
    elsewhere("--column mail list.csv").exits(0).prints("0 new, 2 known, 0 invalid; 5 on the list");
    call("add -- - p1@example.com").exits(2).says("stands alone");
}

/// Her batch waits to be repeated, and must not be; without her it may.
#[test]
fn who_is_suppressed_while_a_batch_waits_to_be_repeated_leaves_no_doubt_about_the_others() {
    let scene = Scene::faulty(&["POST /contacts nth=1 status=503 retry-after=2"], &people(1..=10));
    let mut run = scene.segport("run -vv --output json").start();
    run.says("status=503");
    scene.call("suppress add p5@example.com").exits(0);
    let report = run.wait().exits(0).report();
    assert_eq!(report.summary(), "succeeded: 10 read, 9 added, 1 suppressed");
    assert!(scene.sandbox.autopilot().contact("p5@example.com").is_none());
}

/// The same of a single add: somebody else's is waiting to be repeated.
#[test]
fn who_is_suppressed_while_an_add_waits_to_be_repeated_leaves_no_doubt_about_the_others() {
    let scene = Scene::faulty(&["POST /list/*/contact/* nth=2 status=503 retry-after=2"], &people(1..=10));
    scene.connection("list_membership = \"single\"\nmax_in_flight = 1");
    let mut run = scene.segport("run -vv --output json").start();
    run.says("status=503");
    scene.call("suppress add p10@example.com").exits(0);
    let report = run.wait().exits(0).report();
    assert_eq!(report.summary(), "succeeded: 10 read, 9 added, 1 suppressed");
    scene.has_members("newsletter", &people(1..=9));
}

#[test]
fn hashes_are_those_of_the_rows() {
    let scene = Scene::new(&people(1..=1));
    scene.delivers();
    let rows = scene.call("rows latest --output json").objects();
    let asked = scene.call("suppress check p1@example.com --output json").objects();
    assert_eq!(asked[0]["identity_hash"], rows[0]["identity_hash"]);
}
