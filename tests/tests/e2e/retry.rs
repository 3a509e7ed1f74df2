//! What is left undone is neither forgotten by a later run that does not come to it, nor by a retry of something else.

use std::fs;

use segport_tests::{Person, Scene, people};

/// 31 people, one of them without an address, and two of them in a second segment.
fn scene() -> Scene {
    let scene = Scene::new(&with_nobody(&people(1..=30)));
    scene.segment("vip", &people(1..=2));
    scene.segments(&["newsletter", "vip"], "");
    scene
}

fn with_nobody(others: &[Person]) -> Vec<Person> {
    [others, &[Person::new(99).email("nobody")]].concat()
}

/// Lets one run end in a certain way, and mends what was the matter then.
fn run(scene: &Scene, how: &str) {
    let newsletter = with_nobody(&people(1..=30));
    let hidden = |name: &str, is_hidden: bool| {
        let paths = [format!("data/{name}.csv"), format!("data/{name}.hidden")].map(|path| scene.path(&path));
        let [from, to] = if is_hidden { [0, 1] } else { [1, 0] };
        fs::rename(&paths[from], &paths[to]).unwrap();
    };
    match how {
        "one is refused" => {
            scene.faults(&["POST /contacts refuse-email=p3@*"]);
            scene.run("").exits(1);
            scene.faults(&[]);
        }
        "the source is gone" => {
            hidden("newsletter", true);
            scene.run("").exits(1);
            hidden("newsletter", false);
        }
        "the source breaks off" => {
            scene.segment("newsletter", &[newsletter, people(31..=31)].concat());
            hidden("vip", true);
            scene.run("").exits(1);
            hidden("vip", false);
        }
        "its plan is outdated" => {
            scene.call("plan --out plan.json").exits(0);
            scene.segment("newsletter", &people(2..=30));
            scene.run("--plan plan.json").exits(2);
            scene.segment("newsletter", &newsletter);
        }
        "a guard stops it" => {
            scene.segment("newsletter", &[]);
            scene.run("--override max_removals").exits(4);
            scene.segment("newsletter", &newsletter);
        }
        "it dies" => {
            let died = scene.segport("run").env("SEGPORT_FAILPOINT", "append_page:1=kill").run();
            assert!(died.was_killed(), "{died}");
        }
        _ => panic!("no run ends like that: {how}"),
    }
}

#[track_caller]
fn has_problems(scene: &Scene, runs: &[&str], expected: &[&str]) {
    let status = scene.call("status --output json");
    let status = status.exits(0).objects().remove(0);
    let problems: Vec<_> =
        status["open_problems"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let is_expected = problems.len() == expected.len()
        && problems.iter().zip(expected).all(|(problem, expected)| problem.starts_with(expected));
    assert!(is_expected, "after {runs:?}: {problems:?}");
}

#[test]
fn a_retry_takes_what_is_undone_whatever_has_become_of_later_runs() {
    let check = |runs: &[&str], problems: &[&str], retried: &str, problems_then: &[&str]| {
        let scene = scene();
        runs.iter().for_each(|how| run(&scene, how));
        has_problems(&scene, runs, problems);
        let ended = scene.call("retry --output json");
        if retried.is_empty() {
            ended.exits(1).says("and lists no rows to retry").says("run the export again");
        } else {
            assert_eq!(ended.exits(0).report().summary(), retried, "after {runs:?}");
        }
        has_problems(&scene, runs, problems_then);
        scene.run("").exits(0);
        has_problems(&scene, runs, &["1 row invalid"]);
        scene.call("retry").exits(0).says("nothing to retry");
    };
    let refused = "one is refused";
    let one = "succeeded: 1 read, 1 added";
    check(&[refused], &["1 row to retry", "1 row invalid"], one, &["1 row invalid"]);
    check(
        &[refused, "the source is gone"],
        &["the last run failed: SP0601", "1 row to retry", "1 row invalid"],
        one,
        &["the last run that was no retry failed: SP0601", "1 row invalid"],
    );
    check(&["the source is gone"], &["the last run failed: SP0601"], "", &["the last run failed: SP0601"]);
    check(
        &[refused, "the source breaks off"],
        &["the last run failed: SP0601", "2 rows to retry", "1 row of an earlier run to retry", "1 row invalid"],
        "succeeded: 2 read, 2 added",
        &["the last run that was no retry failed: SP0601", "1 row invalid"],
    );
    check(
        &[refused, "the source breaks off", "the source is gone"],
        &["the last run failed: SP0601", "2 rows to retry", "1 row of an earlier run to retry", "1 row invalid"],
        "succeeded: 2 read, 2 added",
        &["the last run that was no retry failed: SP0601", "1 row invalid"],
    );
    check(
        &[refused, "its plan is outdated"],
        &["the last run failed: SP0604", "1 row to retry", "1 row invalid"],
        one,
        &["the last run that was no retry failed: SP0604", "1 row invalid"],
    );
    check(
        &[refused, "a guard stops it"],
        &["guard allow_empty stopped the last run", "29 rows to retry", "1 row of an earlier run to retry"],
        "succeeded: 30 read, 29 unchanged, 1 added",
        &["guard allow_empty stopped the last run that was no retry"],
    );
    check(
        &[refused, "it dies"],
        &["the last run died"],
        "succeeded: 31 read, 29 unchanged, 1 added, 1 invalid",
        &["1 row invalid"],
    );
    check(
        &[refused, "it dies", "the source is gone"],
        &["the last run failed: SP0601", "an earlier run died"],
        "succeeded: 31 read, 29 unchanged, 1 added, 1 invalid",
        &["1 row invalid"],
    );
}

#[test]
fn a_retry_of_an_older_run_does_not_make_up_for_a_newer_one() {
    let scene = scene();
    run(&scene, "one is refused");
    let first = scene.call("runs --output json").report().run_id().to_owned();
    scene.segment("newsletter", &with_nobody(&people(1..=31)));
    scene.faults(&["POST /contacts refuse-email=p31@*"]);
    scene.run("").exits(1);
    let retried = scene.call(&format!("retry {first} --output json"));
    let report = retried.exits(0).report();
    assert_eq!(report.summary(), "succeeded: 1 read, 1 unchanged");
    assert_eq!(report.0["retry_of"], serde_json::json!([first]));
    has_problems(&scene, &[], &["1 row to retry", "1 row invalid"]);
    // What a retry fails at is left to the next one.
    scene.faults(&["GET /lists status=401"]);
    scene.call("retry").exits(1);
    scene.faults(&[]);
    assert_eq!(scene.call("retry --output json").exits(0).report().summary(), "succeeded: 1 read, 1 added");
    scene.call("retry").exits(0).says("nothing to retry");
}

#[test]
fn a_retry_goes_on_past_a_guard_that_somebody_overrides() {
    let scene = Scene::new(&people(1..=10));
    scene.delivers();
    scene.segment("newsletter", &people(1..=2));
    scene.run("").exits(4);
    scene.call("retry").exits(4);
    let retried = scene.call("retry --override max_removals --reason closed --by anna@example.com --output json");
    let report = retried.exits(0).report();
    assert_eq!(report.summary(), "succeeded: ; 8 planned, 8 removed");
    assert_eq!(report.guard("max_removals"), Some("overridden"));
    assert_eq!(report.0["trigger"], "retry");
    scene.has_members("newsletter", &people(1..=2));
}
