//! A destination that is slow, moody or gone.

use segport_sandbox::Options;
use segport_tests::{Person, Report, Scene, people};

#[test]
fn an_unknown_key_fails_the_run() {
    let scene = Scene::with(Options { key: Some("f".repeat(32)), ..Options::default() }, &people(1..=5));
    let failed = scene.run("");
    let report = failed.exits(1).report();
    assert_eq!(report.summary(), "failed: 5 read, 5 deferred");
    assert_eq!(report.problems(), ["SP0612"]);
    assert_eq!(scene.requests(), 1, "a wrong key is not tried again");
}

#[test]
fn a_key_that_is_revoked_in_the_middle_stops_the_run_at_once() {
    for status in [401, 403] {
        let scene = Scene::faulty(&[&format!("POST /contacts from=3 status={status}")], &people(1..=50));
        scene.connection("rows_per_batch = 5\nmax_in_flight = 1");
        let report = scene.run("").exits(1).report();
        assert_eq!(report.summary(), "failed: 50 read, 10 added, 40 deferred");
        assert_eq!(scene.requests_to("POST /contacts"), 3);
        scene.faults(&[]);
        scene.comes_to("succeeded: 50 read, 10 unchanged, 40 added");
        scene.has_contacts(&people(1..=50));
        scene.has_members("newsletter", &people(1..=50));
    }
}

#[test]
fn a_key_that_is_revoked_ends_what_waits_to_be_sent() {
    for status in [401, 403] {
        let scene = Scene::faulty(&[&format!("POST /list/*/contact/* from=3 status={status}")], &people(1..=50));
        scene.connection("rows_per_batch = 25\nmax_in_flight = 2\nlist_membership = \"single\"");
        let report = scene.run("").exits(1).report();
        let code = if status == 401 { "SP0612" } else { "SP0613" };
        assert_eq!(report.problems().first(), Some(&code), "{report:?}");
        let adds = scene.requests_to("POST /list/{list}/contact/{contact}");
        assert!((3..=4).contains(&adds), "two are on the wire at most: {adds}");
        scene.faults(&[]);
        scene.delivers();
        scene.has_members("newsletter", &people(1..=50));
    }
}

/// A page of some proxy under a 200 says nothing of any row: rows that were sent are unknown, and no more are sent into the blue.
#[test]
fn a_destination_that_never_says_anything_of_a_row_is_given_up() {
    let scene = Scene::faulty(&["POST /contacts status=200 body=\"<html></html>\""], &people(1..=200));
    scene.connection("rows_per_batch = 5\nmax_in_flight = 1");
    let report = scene.run("").exits(1).report();
    assert_eq!(report.summary(), "failed: 200 read, 175 deferred, 25 unknown");
    assert_eq!(scene.requests_to("POST /contacts"), 5);
    scene.faults(&[]);
    scene.comes_to("succeeded: 200 read, 200 added");
    scene.has_contacts(&people(1..=200));
}

#[test]
fn a_storm_of_429_is_waited_out() {
    let scene = Scene::faulty(&["POST /contacts times=2 status=429 retry-after=1"], &people(1..=20));
    scene.connection("max_in_flight = 1");
    let report = scene.comes_to("succeeded: 20 read, 20 added");
    assert_eq!((report.count("calls", "throttled"), report.count("calls", "retried")), (2, 2));
    scene.has_contacts(&people(1..=20));
}

#[test]
fn with_v_it_is_told_what_is_tried_again() {
    let scene = Scene::faulty(&["POST /contacts times=1 status=503"], &people(1..=3));
    let ended = scene.segport("run -v").run();
    ended.exits(0).says("trying again").says("POST /contacts").says("status=503");
}

#[test]
fn a_destination_with_a_rate_is_not_overrun() {
    let scene = Scene::with(Options { rate: 20, ..Options::default() }, &people(1..=60));
    scene.connection("requests_per_second = 20\nrows_per_batch = 5");
    let report = scene.comes_to("succeeded: 60 read, 60 added");
    assert_eq!(report.count("calls", "throttled"), scene.sandbox.traffic().throttled);
    scene.has_contacts(&people(1..=60));
}

#[test]
fn a_refused_key_stops_every_run_of_its_connection() {
    let scene = Scene::faulty(&["GET /lists status=401"], &people(1..=3));
    scene.write("exports/again.toml", scene.read("exports/newsletter.toml"));
    let reports = scene.run("--all").exits(1).reports();
    assert_eq!(reports.iter().map(Report::requests).collect::<Vec<_>>(), [1, 0]);
    for report in reports {
        assert_eq!((report.summary().as_str(), report.problems()), ("failed: 3 read, 3 deferred", vec!["SP0612"]));
    }
}

#[test]
fn two_processes_together_keep_the_rate_of_their_connection() {
    // Above the rate of one, below that of two that know nothing of each other.
    let scene = Scene::with(Options { rate: 30, ..Options::default() }, &people(1..=40));
    scene.connection("requests_per_second = 20\nrows_per_batch = 2\nlist_membership = \"bulk\"");
    scene.segment("vip", &people(41..=80));
    let export = scene.read("exports/newsletter.toml");
    scene.write("exports/vip.toml", export.replace("\"newsletter\"", "\"vip\""));
    let runs = ["newsletter", "vip"].map(|export| scene.segport(&format!("run {export} --output json")).start());
    for run in runs {
        let report = run.wait().exits(0).report();
        assert_eq!(report.summary(), "succeeded: 40 read, 40 added");
    }
    assert_eq!(scene.sandbox.traffic().throttled, 0, "each of them alone is within the rate, and so are both");
}

#[test]
fn a_moment_of_trouble_is_not_noticed() {
    for fault in [
        "POST /contacts nth=2 status=500",
        "POST /contacts nth=2 status=503 commit",
        "POST /contacts nth=2 reset",
        "POST /contacts nth=2 reset-after-body commit",
        "POST /contacts nth=2 truncate",
        "GET /lists nth=1 status=502",
        "GET /lists nth=1 reset",
    ] {
        let scene = Scene::faulty(&[fault], &people(1..=50));
        scene.connection("rows_per_batch = 10\nmax_in_flight = 2");
        let report = scene.comes_to("succeeded: 50 read, 50 added");
        assert!(report.count("calls", "retried") >= 1, "{fault}");
        scene.has_contacts(&people(1..=50));
        scene.has_members("newsletter", &people(1..=50));
        assert_eq!(scene.comes_to("succeeded: 50 read, 50 unchanged").requests(), 0);
    }
}

#[test]
fn an_answer_that_does_not_come_is_asked_for_again() {
    let scene = Scene::faulty(&["POST /contacts nth=1 commit-then-timeout=60s"], &people(1..=5));
    scene.connection("request_timeout_secs = 1");
    scene.comes_to("succeeded: 5 read, 5 added");
    scene.has_contacts(&people(1..=5));
}

#[test]
fn what_was_never_answered_is_unknown_until_the_next_run() {
    for (fault, arrived) in [("POST /contacts commit-then-timeout=1ms", 5), ("POST /contacts reset-after-body", 0)] {
        let scene = Scene::faulty(&[fault], &people(1..=5));
        let report = scene.run("").exits(1).report();
        assert_eq!(report.summary(), "partial: 5 read, 5 unknown", "{fault}");
        assert_eq!(scene.sandbox.autopilot().contact_count(), arrived, "{fault}");
        assert!(scene.rows_of(report.run_id()).iter().all(|row| row.starts_with("unknown ")));
        scene.faults(&[]);
        let before = scene.requests_to("POST /contacts");
        let next = scene.comes_to("succeeded: 5 read, 5 added");
        // What had arrived is found, and what had not is sent again.
        let has_arrived = arrived == 5;
        assert_eq!(scene.requests_to("POST /contacts") - before, u64::from(!has_arrived), "{fault}");
        assert_eq!(next.problems().contains(&"SP0623"), has_arrived, "{fault}");
        scene.has_contacts(&people(1..=5));
        scene.has_members("newsletter", &people(1..=5));
        assert_eq!(scene.comes_to("succeeded: 5 read, 5 unchanged").requests(), 0);
    }
}

#[test]
fn of_rows_in_doubt_only_what_the_destination_does_not_hold_is_sent_again() {
    let scene = Scene::faulty(&["POST /contacts commit-then-timeout=1ms"], &people(1..=5));
    scene.comes_to("partial: 5 read, 5 unknown");
    scene.faults(&[]);
    // One is not what it was, and one is new.
    let mut changed = people(1..=6);
    changed[2] = Person::new(3).given_name("Another");
    scene.segment("newsletter", &changed);
    let plan = scene.call("plan --output json").objects().remove(0);
    // The lists; a look at one of those in doubt, and a call for them; and for the new one a call and a look whether it is on
    // its list.
    assert_eq!(plan["calls"]["at_least"], 1 + 2 + 2, "{plan}");
    let before = scene.requests_to("POST /contacts");
    scene.comes_to("succeeded: 6 read, 6 added");
    assert_eq!(scene.requests_to("POST /contacts") - before, 2, "the changed one, and the new one");
    scene.has_contacts(&changed);
    scene.has_members("newsletter", &changed);

    // Asked to send everything, a run looks nothing up.
    scene.faults(&["POST /contacts commit-then-timeout=1ms"]);
    scene.call("run --full --output json").exits(1);
    scene.faults(&[]);
    let full = scene.call("run --full --output json").exits(0).report();
    assert_eq!(full.summary(), "succeeded: 6 read, 6 changed");
    assert!(!full.problems().contains(&"SP0623"));
}

#[test]
fn a_removal_that_was_never_answered_is_repeated() {
    let scene = Scene::new(&people(1..=20));
    scene.delivers();
    scene.segment("newsletter", &people(2..=20));
    scene.faults(&["DELETE /list/** commit-then-timeout=1ms"]);
    scene.comes_to("partial: 19 read, 19 unchanged; 1 planned, 1 unknown");
    scene.faults(&[]);
    scene.comes_to("succeeded: 19 read, 19 unchanged; 1 planned, 1 removed");
    scene.has_members("newsletter", &people(2..=20));
    scene.has_contacts(&people(1..=20));
}

#[test]
fn a_destination_that_is_gone_fails_the_run_and_nothing_is_lost() {
    let scene = Scene::new(&people(1..=5));
    let base_url = scene.sandbox.base_url();
    // Port 9 is the discard service, which nothing runs any more.
    scene.edit("connections/autopilot.toml", &base_url, "http://127.0.0.1:9/v1");
    let report = scene.run("").exits(1).report();
    assert_eq!(report.summary(), "failed: 5 read, 5 deferred");
    assert_eq!(report.problems(), ["SP0617"]);
    scene.edit("connections/autopilot.toml", "http://127.0.0.1:9/v1", &base_url);
    scene.comes_to("succeeded: 5 read, 5 added");
}

#[test]
fn private_addresses_are_refused_unless_allowed() {
    let scene = Scene::new(&people(1..=5));
    scene.edit("segport.toml", "allow_private = true", "allow_private = false");
    for address in ["", "https://10.1.2.3/v1", "https://[::1]/v1", "https://localhost/v1"] {
        if !address.is_empty() {
            scene.connection("");
            scene.edit("connections/autopilot.toml", &scene.sandbox.base_url(), address);
        }
        for words in ["run", "plan"] {
            scene.call(words).exits(2).says("SP0611").says("`base_url`").says("allow_private = true");
        }
        let found = scene.call("check");
        found.exits(1).prints("SP0611").prints("--> connections/autopilot.toml:9:1").prints("allow_private = true");
    }
    // What is allowed cannot be told from a file that cannot be used.
    scene.edit("segport.toml", "allow_private = false", "allow_private = \"false\"");
    let found = scene.call("check");
    found.exits(1).prints("cannot be `\"false\"`");
    assert!(!found.stdout.contains("allow_private = true"), "{found}");
    scene.edit("connections/autopilot.toml", "https://localhost/v1", "no address");
    scene.call("check").exits(1).prints("SP0611").prints("`base_url`");
    scene.edit("connections/autopilot.toml", "no address", "https://localhost/v1");
    scene.edit("segport.toml", "allow_private = \"false\"", "allow_private = false");
    scene.edit("connections/autopilot.toml", "https://localhost/v1", "https://api.example.com/v1");
    scene.call("check").exits(0);
    assert_eq!((scene.requests(), scene.call("runs --output json").exits(0).objects().len()), (0, 0));
}
