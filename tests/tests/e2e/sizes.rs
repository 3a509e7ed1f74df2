//! Segments that shrank or grew abnormally.

use segport_tests::{Person, Report, Scene, people};

const ANY_REMOVALS: &str = "[guards]\nmax_removals = \"100%\"";

/// A scene with so many people delivered, in which leavers stop no run.
fn delivered(count: u32) -> Scene {
    let scene = Scene::new(&people(1..=count));
    scene.export(ANY_REMOVALS);
    scene.delivers();
    scene
}

/// What a guard found.
#[track_caller]
fn found(report: &Report, guard: &str) -> String {
    let guards = report.0["guards"].as_array().unwrap();
    let verdict = guards.iter().find(|verdict| verdict["guard"] == guard).unwrap();
    verdict["found"].as_str().unwrap().to_owned()
}

/// The report of a run that a guard must stop before anything is sent.
#[track_caller]
fn stopped(scene: &Scene, guard: &str, code: &str) -> Report {
    let sent = scene.requests();
    let report = scene.run("").exits(4).report();
    assert_eq!((report.guard(guard), report.problems()), (Some("stopped"), vec![code]), "{}", report.0);
    assert_eq!(scene.requests(), sent);
    report
}

#[test]
fn a_segment_that_shrank_stops_runs_until_somebody_says_that_it_is_right() {
    let scene = delivered(400);
    let mut rest = people(1..=150);
    rest[0] = Person::new(1).given_name("New");
    scene.segment("newsletter", &rest);

    let first = stopped(&scene, "max_shrink", "SP0509");
    assert_eq!(first.summary(), "stopped: 150 read, 149 unchanged, 1 deferred; 250 planned, 250 deferred");
    assert_eq!(found(&first, "max_shrink"), "`newsletter`: 150 rows, 400 before");
    assert_eq!(found(&first, "max_growth"), "no segment grew");
    assert_eq!(stopped(&scene, "max_shrink", "SP0509").summary(), first.summary());
    scene.has_members("newsletter", &people(1..=400));
    scene.call("plan").exits(0).prints("guard max_shrink    stops the run");
    scene.call("run").exits(4).prints("--override max_shrink");

    let report = scene.run("--override max_shrink --by anna@example.com --reason tidied").exits(0).report();
    assert_eq!(report.summary(), "succeeded: 150 read, 149 unchanged, 1 changed; 250 planned, 250 removed");
    let guards = report.0["guards"].as_array().unwrap();
    let overridden = guards.iter().find(|guard| guard["guard"] == "max_shrink").unwrap();
    assert_eq!((&overridden["verdict"], &overridden["limit"]), (&"overridden".into(), &"50%".into()));
    assert_eq!((&overridden["overridden_by"], &overridden["reason"]), (&"anna@example.com".into(), &"tidied".into()));
    assert_eq!(scene.call("runs --limit 1 --output json").exits(0).report(), report);
    scene.has_members("newsletter", &rest);

    // What was said to be right is what later runs compare with.
    scene.segment("newsletter", &people(1..=140));
    assert_eq!(found(&scene.delivers(), "max_shrink"), "`newsletter`: 140 rows, 150 before");
}

#[test]
fn a_segment_that_grew_stops_runs_until_somebody_says_that_it_is_right() {
    let scene = delivered(150);
    scene.segment("newsletter", &people(1..=400));
    let report = stopped(&scene, "max_growth", "SP0508");
    assert_eq!(report.summary(), "stopped: 400 read, 150 unchanged, 250 deferred");
    assert_eq!(found(&report, "max_growth"), "`newsletter`: 400 rows, 150 before");
    stopped(&scene, "max_growth", "SP0508");
    scene.run("--override max_shrink").exits(4);
    scene.has_members("newsletter", &people(1..=150));

    let report = scene.run("--override max_growth").exits(0).report();
    assert_eq!(report.guard("max_growth"), Some("overridden"));
    assert_eq!(report.summary(), "succeeded: 400 read, 150 unchanged, 250 added");
    let report = scene.comes_to("succeeded: 400 read, 400 unchanged");
    assert_eq!((report.guard("max_growth"), report.requests()), (Some("passed"), 0));
}

#[test]
fn a_source_that_is_as_it_was_again_needs_nobody() {
    let scene = delivered(400);
    scene.segment("newsletter", &people(1..=150));
    stopped(&scene, "max_shrink", "SP0509");
    scene.segment("newsletter", &people(1..=390));
    scene.comes_to("succeeded: 390 read, 390 unchanged; 10 planned, 10 removed");
}

#[test]
fn limits_are_shares_or_numbers() {
    let check = |limit: &str, count: u32, code: i32| {
        let scene = delivered(20);
        scene.export(&format!("{ANY_REMOVALS}\n{limit}"));
        scene.segment("newsletter", &people(1..=count));
        scene.run("").exits(code);
    };
    // Of few rows a share says little, a number what it says.
    check("", 1, 0);
    check("", 119, 0);
    check("", 120, 4);
    check("max_shrink = \"0%\"", 19, 0);
    check("max_shrink = 5", 15, 0);
    check("max_shrink = 5", 14, 4);
    check("max_growth = 5", 25, 0);
    check("max_growth = 5", 26, 4);
    check("max_growth = 200", 220, 0);
}

#[test]
fn members_that_stay_do_not_hide_that_a_segment_shrank() {
    let scene = delivered(400);
    scene.export("[leavers]\npolicy = \"keep\"");
    scene.segment("newsletter", &people(1..=150));
    let report = stopped(&scene, "max_shrink", "SP0509");
    assert_eq!((report.guard("max_removals"), report.count("leavers", "kept")), (Some("passed"), 250));
}

#[test]
fn rows_that_a_cap_deferred_are_no_growth() {
    let scene = Scene::new(&people(1..=400));
    scene.connection("rows_per_export = 150");
    let first = scene.comes_to("partial: 400 read, 150 added, 250 deferred");
    assert_eq!(found(&first, "max_growth"), "nothing to compare with yet");
    let second = scene.comes_to("partial: 400 read, 150 unchanged, 150 added, 100 deferred");
    assert_eq!(found(&second, "max_growth"), "no segment grew");
    scene.comes_to("succeeded: 400 read, 300 unchanged, 100 added");
}

#[test]
fn rows_that_cannot_be_sent_are_rows() {
    let scene = Scene::faulty(&["POST /contacts refuse-email=p7@*"], &people(1..=400));
    let nobody = |number| if number > 100 { Person::new(number).email("nobody") } else { Person::new(number) };
    scene.segment("newsletter", &(1..=400).map(nobody).collect::<Vec<_>>());
    scene.comes_to("partial: 400 read, 99 added, 300 invalid, 1 refused");
    // The 300 turn unreadable.
    let unreadable: String = (101..=400).map(|number| format!("c{number},p{number}@example.com\n")).collect();
    scene.segment("newsletter", &people(1..=100));
    let table = scene.read("data/newsletter.csv");
    scene.write("data/newsletter.csv", format!("{table}{unreadable}"));
    let retried = scene.call("retry --output json").exits(1).report();
    assert_eq!((retried.guard("max_shrink"), retried.count("rows", "refused")), (Some("passed"), 1));
    assert_eq!(scene.run("").exits(1).report().guard("max_shrink"), Some("passed"));
    // And turn right.
    scene.faults(&[]);
    scene.segment("newsletter", &people(1..=400));
    scene.comes_to("succeeded: 400 read, 99 unchanged, 301 added");
}

#[test]
fn a_run_that_passes_is_what_the_next_one_is_compared_with() {
    let scene = delivered(200);
    for (now, before) in [(390, 200), (700, 390), (360, 700), (185, 360)] {
        scene.segment("newsletter", &people(1..=now));
        let report = scene.delivers();
        let guard = if now > before { "max_growth" } else { "max_shrink" };
        assert_eq!(found(&report, guard), format!("`newsletter`: {now} rows, {before} before"));
    }
}

#[test]
fn a_run_that_another_guard_stopped_is_not() {
    let scene = delivered(400);
    scene.export("");
    scene.segment("newsletter", &people(1..=300));
    assert_eq!(scene.run("").exits(4).report().problems(), ["SP0504"]);
    scene.segment("newsletter", &people(1..=190));
    let report = scene.run("").exits(4).report();
    assert_eq!(report.problems(), ["SP0504", "SP0509"]);
    assert_eq!(found(&report, "max_shrink"), "`newsletter`: 190 rows, 400 before");
}

#[test]
fn a_run_that_was_refused_everything_is() {
    let scene = delivered(150);
    scene.segment("newsletter", &people(1..=250));
    scene.faults(&["status=401"]);
    assert_eq!(scene.run("").exits(1).report().guard("max_growth"), Some("passed"));
    scene.faults(&[]);
    scene.segment("newsletter", &people(1..=400));
    scene.comes_to("succeeded: 400 read, 150 unchanged, 250 added");
}

#[test]
fn every_way_to_run_is_judged() {
    let scene = Scene::faulty(&["POST /contacts refuse-email=p7@*"], &people(1..=400));
    scene.export(ANY_REMOVALS);
    scene.run("").exits(1);
    scene.segment("newsletter", &people(1..=150));
    let sent = scene.requests();
    for words in ["retry --output json", "run --full --output json", "run --output json"] {
        let report = scene.call(words).exits(4).report();
        assert_eq!(report.guard("max_shrink"), Some("stopped"), "{words}");
    }
    scene.call("plan --out plan.json").exits(0);
    scene.run("--plan plan.json").exits(4);
    scene.call("plan --out plan.json").exits(0);
    assert_eq!(scene.requests(), sent);
    scene.faults(&[]);
    scene.run("--plan plan.json --override max_shrink").exits(0);
    scene.has_members("newsletter", &people(1..=150));
}

#[test]
fn the_segment_that_changed_most_is_named() {
    let scene = Scene::new(&people(1..=400));
    scene.segment("vip", &people(1..=300));
    let export = || scene.segments(&["newsletter", "vip"], ANY_REMOVALS);
    export();
    scene.delivers();
    scene.segment("newsletter", &people(1..=250));
    scene.segment("vip", &people(1..=149));
    let report = stopped(&scene, "max_shrink", "SP0509");
    assert_eq!(found(&report, "max_shrink"), "`vip`: 149 rows, 300 before");

    // A segment that leaves the export and joins it again begins anew.
    scene.segments(&["newsletter"], ANY_REMOVALS);
    scene.delivers();
    export();
    let report = scene.delivers();
    assert_eq!(found(&report, "max_shrink"), "no segment shrank");
}

#[test]
fn empty_segments_are_a_matter_of_allow_empty_alone() {
    let scene = delivered(400);
    scene.segment("newsletter", &[]);
    stopped(&scene, "allow_empty", "SP0506");
    scene.run("--override allow_empty").exits(0);
    scene.segment("newsletter", &people(1..=400));
    scene.comes_to("succeeded: 400 read, 400 added");
}
