//! What stops a run before it does harm.

use segport_tests::{Person, Scene, people};

/// A scene with 20 people delivered.
fn delivered() -> Scene {
    let scene = Scene::new(&people(1..=20));
    scene.delivers();
    scene
}

#[test]
fn too_many_removals_stop_a_run_before_anything_is_sent() {
    let scene = delivered();
    let sent = scene.requests();
    let mut rest = people(4..=20);
    rest[0] = Person::new(4).given_name("New");
    scene.segment("newsletter", &rest);
    let stopped = scene.run("");
    let report = stopped.exits(4).report();
    assert_eq!(report.summary(), "stopped: 17 read, 16 unchanged, 1 deferred; 3 planned, 3 deferred");
    assert_eq!((report.guard("max_removals"), report.problems()), (Some("stopped"), vec!["SP0504"]));
    assert_eq!(scene.requests(), sent);
    scene.has_members("newsletter", &people(1..=20));

    let text = scene.call("run");
    text.exits(4).prints("--override max_removals");
    assert_eq!(scene.requests(), sent);

    let report = scene.run("--override max_removals --by anna@example.com --reason closed").exits(0).report();
    assert_eq!(report.summary(), "succeeded: 17 read, 16 unchanged, 1 changed; 3 planned, 3 removed");
    assert_eq!(report.guard("max_removals"), Some("overridden"));
    let guards = report.0["guards"].as_array().unwrap();
    let overridden = guards.iter().find(|guard| guard["guard"] == "max_removals").unwrap();
    assert_eq!((&overridden["overridden_by"], &overridden["reason"]), (&"anna@example.com".into(), &"closed".into()));
    let passed = guards.iter().find(|guard| guard["guard"] == "allow_empty").unwrap();
    assert_eq!(passed.get("overridden_by"), None);
    let recorded = scene.call("runs --limit 1 --output json");
    assert_eq!(recorded.exits(0).report(), report);
    scene.has_members("newsletter", &rest);
    assert_eq!(scene.comes_to("succeeded: 17 read, 17 unchanged").guard("max_removals"), Some("passed"));
}

/// Whatever cannot be written down of it, nothing is sent, and it is the state that is named, not the destination.
#[test]
fn a_run_that_a_guard_stops_may_find_no_space_at_any_durable_operation() {
    let scene = delivered();
    let sent = scene.requests();
    let mut rest = people(4..=20);
    rest[0] = Person::new(4).given_name("New");
    scene.segment("newsletter", &rest);
    let mut failures = 0;
    for nth in 1.. {
        let ended = scene.segport("run").env("SEGPORT_FAILPOINT", format!("any:{nth}=fail")).run();
        if ended.code() == 4 {
            break;
        }
        failures += 1;
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains("SP0602") && !told.contains("SP0617"), "{nth}: {ended}");
    }
    assert!(failures > 3, "{failures}");
    assert_eq!(scene.requests(), sent);
    scene.call("run").exits(4);
}

#[test]
fn thresholds_are_shares_or_numbers() {
    let check = |limit: &str, leavers: u32, code: i32| {
        let scene = delivered();
        scene.export(&format!("[guards]\nmax_removals = {limit}"));
        scene.segment("newsletter", &people(1 + leavers..=20));
        scene.run("").exits(code);
    };
    check("\"10%\"", 2, 0);
    check("\"10%\"", 3, 4);
    check("3", 3, 0);
    check("3", 4, 4);
    check("0", 1, 4);
    check("\"100%\"", 19, 0);
}

#[test]
fn an_empty_segment_stops_a_run() {
    let scene = delivered();
    let sent = scene.requests();
    scene.segment("newsletter", &[]);
    let report = scene.run("--override max_removals").exits(4).report();
    assert_eq!(report.summary(), "stopped: ; 20 planned, 20 deferred");
    assert_eq!((report.guard("allow_empty"), report.guard("max_removals")), (Some("stopped"), Some("overridden")));
    assert_eq!(report.problems(), ["SP0506"]);
    assert_eq!(scene.requests(), sent);
    let report = scene.run("--override max_removals --override allow_empty").exits(0).report();
    assert_eq!(report.summary(), "succeeded: ; 20 planned, 20 removed");
    scene.has_members("newsletter", &[]);
    scene.has_contacts(&people(1..=20));
}

#[test]
fn an_empty_first_run_is_stopped_too() {
    let scene = Scene::new(&[]);
    scene.run("").exits(4);
    assert_eq!(scene.requests(), 0);
    scene.export("[guards]\nallow_empty = true");
    scene.run("").exits(0);
}

#[test]
fn one_of_two_segments_that_turned_empty_stops_a_run() {
    let scene = Scene::new(&people(1..=20));
    scene.segment("vip", &people(20..=20));
    scene.segments(&["newsletter", "vip"], "");
    scene.delivers();
    scene.segment("vip", &[]);
    let report = scene.run("").exits(4).report();
    assert_eq!(report.guard("allow_empty"), Some("stopped"));
    scene.has_members("vip", &people(20..=20));
}

#[test]
fn too_many_refused_rows_stop_a_run() {
    let scene = Scene::faulty(&["POST /contacts refuse-email=*"], &people(1..=40));
    scene.connection("rows_per_batch = 5\nmax_in_flight = 1");
    let report = scene.run("").exits(4).report();
    assert_eq!(report.summary(), "stopped: 40 read, 35 deferred, 5 refused");
    assert_eq!((report.guard("max_refused"), report.problems().first()), (Some("stopped"), Some(&"SP0505")));
    let report = scene.run("--override max_refused").exits(1).report();
    assert_eq!(report.summary(), "partial: 40 read, 40 refused");
    assert_eq!(report.guard("max_refused"), Some("overridden"));
    scene.faults(&[]);
    scene.comes_to("succeeded: 40 read, 40 added");
}

#[test]
fn a_plan_tells_what_the_guards_would_do() {
    let scene = delivered();
    scene.segment("newsletter", &people(4..=20));
    let plan = scene.call("plan --output json");
    let verdicts = plan.exits(0).objects().remove(0)["guards"].to_string();
    assert!(verdicts.contains("\"stopped\"") && verdicts.contains("3 of 20"), "{verdicts}");
}

#[test]
fn there_are_no_other_guards() {
    delivered().run("--override max_refusals").exits(2).says("max_refused");
}

/// Rows of lists that the export has no more are none of those that a share is of.
#[test]
fn a_share_of_removals_is_one_of_the_rows_on_the_exports_lists() {
    let scene = Scene::new(&people(1..=40));
    scene.delivers();
    scene.segment("vip", &people(31..=40));
    scene.segments(&["vip"], "[guards]\nmax_shrink = \"100%\"");
    scene.comes_to("succeeded: 10 read, 10 changed; 40 planned, 40 kept");
    scene.segment("vip", &people(33..=40));
    let report = scene.run("").exits(4).report();
    assert_eq!(report.guard("max_removals"), Some("stopped"));
    let guard = report.0["guards"].as_array().unwrap().iter().find(|guard| guard["guard"] == "max_removals").unwrap();
    assert!(guard.to_string().contains("2 of 10"), "{guard}");
}

#[test]
fn who_leaves_several_lists_counts_as_often_as_who_is_on_them() {
    let scene = Scene::new(&people(1..=20));
    let segments = ["newsletter", "vip", "trial"];
    let of = |numbers: std::ops::RangeInclusive<u32>| {
        segments.iter().for_each(|segment| scene.segment(segment, &people(numbers.clone())));
    };
    of(1..=20);
    scene.segments(&segments, "");
    scene.delivers();
    of(1..=19);
    scene.comes_to("succeeded: 19 read, 19 unchanged; 3 planned, 3 removed");
    of(1..=16);
    let report = scene.run("").exits(4).report();
    let guards = report.0["guards"].as_array().unwrap();
    let stopped: Vec<_> = guards.iter().filter(|guard| guard["verdict"] == "stopped").collect();
    assert_eq!(
        (&stopped[0]["guard"], &stopped[0]["found"]),
        (&"max_removals".into(), &"9 of 57".into()),
        "{stopped:?}"
    );
}
