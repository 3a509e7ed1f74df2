//! Plans: what a run would do, and runs that must do just that.

use segport_tests::{Person, Scene, people};
use serde_json::{Value, json};

type Range = std::ops::RangeInclusive<u32>;

fn plan(scene: &Scene) -> Value {
    let plan = scene.call("plan --output json");
    let mut plans = plan.exits(0).objects();
    assert_eq!(plans.len(), 1);
    plans.remove(0)
}

/// A scene with 20 people delivered, of whom one left, one changed and one came; and the plan for that in `plan.json`.
fn planned() -> Scene {
    let scene = Scene::new(&people(1..=20));
    scene.delivers();
    let mut customers = people(2..=21);
    customers[0] = Person::new(2).given_name("New");
    scene.segment("newsletter", &customers);
    scene.call("plan --out plan.json").exits(0).prints("run --plan plan.json");
    scene
}

#[test]
fn a_plan_says_what_a_run_does_and_sends_nothing() {
    let scene = planned();
    let before = scene.requests();
    let plan = plan(&scene);
    let count = |table: &str, name: &str| plan[table][name].as_u64().unwrap();
    let rows =
        ["read", "add", "change", "unchanged", "invalid", "duplicate", "deferred"].map(|name| count("rows", name));
    assert_eq!(rows, [20, 1, 1, 18, 0, 0, 0]);
    assert_eq!((count("leavers", "planned"), count("leavers", "remove")), (1, 1));
    assert_eq!(plan["segments"], json!([{ "id": "newsletter", "display_name": "newsletter", "rows": 20 }]));
    assert_eq!(scene.requests(), before);
    let report = scene.comes_to("succeeded: 20 read, 18 unchanged, 1 added, 1 changed; 1 planned, 1 removed");
    let calls = (count("calls", "at_least"), count("calls", "at_most"));
    assert!((calls.0..=calls.1).contains(&report.requests()), "{} calls, planned were {calls:?}", report.requests());
}

#[test]
fn the_first_run_keeps_to_the_calls_of_its_plan() {
    let check = |settings: &str, fault: &str| {
        let scene = Scene::faulty(&[fault], &people(1..=250));
        scene.connection(settings);
        let plan = plan(&scene);
        let report = scene.comes_to("succeeded: 250 read, 250 added");
        let calls = ["at_least", "at_most"].map(|name| plan["calls"][name].as_u64().unwrap());
        assert!(
            (calls[0]..=calls[1]).contains(&report.requests()),
            "{} calls, planned were {calls:?}",
            report.requests()
        );
    };
    check("", "bulk-lists=on");
    check("", "bulk-lists=off");
    check("list_membership = \"single\"", "bulk-lists=on");
    check("list_membership = \"bulk\"", "bulk-lists=on");
}

/// Rows that gain different memberships cannot share a call, and the plan knows how many calls that makes.
#[test]
fn a_plan_counts_the_calls_of_segments_that_overlap() {
    let check = |newsletter: Range, vip: Range, batches: u64, single_adds: u64| {
        let scene = Scene::new(&people(newsletter));
        scene.segment("vip", &people(vip));
        scene.segments(&["newsletter", "vip"], "");
        scene.connection("list_membership = \"bulk\"");
        let plan = plan(&scene);
        let report = scene.delivers();
        let calls = ["at_least", "at_most"].map(|name| plan["calls"][name].as_u64().unwrap());
        assert!(
            (calls[0]..=calls[1]).contains(&report.requests()),
            "{} calls, planned were {calls:?}",
            report.requests()
        );
        assert_eq!(scene.requests_to("POST /contacts"), batches);
        // One call asks for the lists.
        assert_eq!(calls[0], 1 + batches + single_adds);
    };
    check(1..=150, 101..=250, 3, 50);
    check(1..=120, 121..=240, 4, 0);
    check(1..=120, 1..=120, 2, 120);
}

/// Rows over the cap make no calls, whichever segments they are in.
#[test]
fn a_plan_counts_the_calls_under_a_cap() {
    let check = |settings: &str, newsletter: Range, vip: Range, [at_least, at_most]: [u64; 2]| {
        let scene = Scene::new(&people(newsletter));
        scene.segment("vip", &people(vip));
        scene.segments(&["newsletter", "vip"], "");
        scene.connection(settings);
        let plan = plan(&scene);
        let calls = ["at_least", "at_most"].map(|name| plan["calls"][name].as_u64().unwrap());
        assert_eq!(calls, [at_least, at_most], "{settings}");
        let made = scene.run("").exits(1).report().requests();
        assert!((at_least..=at_most).contains(&made), "{made} calls of {calls:?}, {settings}");
    };
    // 100 that are in the first alone, 50 in both and 50 in the second: three batches, 250 memberships, two lists and the account.
    check("rows_per_export = 200\nlist_membership = \"single\"", 1..=150, 101..=300, [1 + 3 + 250, 1 + 3 + 250 + 3]);
    check("rows_per_export = 3\nlist_membership = \"bulk\"", 1..=20, 1..=20, [1 + 1 + 3, 1 + 1 + 3 + 3]);
}

#[test]
fn a_plan_needs_neither_destination_nor_consent() {
    let scene = Scene::new(&people(1..=3));
    let connection = scene.read("connections/autopilot.toml");
    let (head, tail) = (connection.split("[consent]").next().unwrap(), connection.split("[settings]").nth(1).unwrap());
    scene.write("connections/autopilot.toml", format!("{head}[settings]{tail}"));
    assert_eq!(plan(&scene)["rows"]["add"], 3);
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_plan_explains_what_it_skips() {
    let scene = Scene::new(&[Person::new(1), Person::new(2).email("nobody"), Person::new(3).email("nowhere")]);
    let plan = plan(&scene);
    assert_eq!(plan["rows"]["invalid"], 2);
    assert_eq!(plan["skipped"].as_array().unwrap().len(), 1);
    assert_eq!((&plan["skipped"][0]["code"], &plan["skipped"][0]["rows"]), (&"malformed_email".into(), &2.into()));
    scene.call("plan").exits(0).prints("malformed_email");
}

#[test]
fn a_plan_that_still_holds_is_carried_out() {
    let scene = planned();
    let report = scene.run("--plan plan.json").exits(0).report();
    assert_eq!(report.summary(), "succeeded: 20 read, 18 unchanged, 1 added, 1 changed; 1 planned, 1 removed");
}

#[test]
fn a_plan_is_refused_when_anything_moved() {
    let check = |what: &str, change: &dyn Fn(&Scene)| {
        let scene = planned();
        change(&scene);
        let before = scene.requests();
        let report = scene.run("--plan plan.json").exits(2).report();
        assert_eq!((report.summary(), report.problems()), ("failed: ".to_owned(), vec!["SP0604"]));
        assert!(report.0["problems"][0]["message"].as_str().unwrap().contains(what), "{}", report.0);
        assert_eq!(scene.requests(), before, "{what}");
        assert_eq!(scene.rows_of(report.run_id()), Vec::<String>::new(), "{what}");
    };
    check("the source", &|scene| scene.segment("newsletter", &people(2..=21)));
    check("the source", &|scene| scene.segment("newsletter", &people(1..=20)));
    // What is found of it says nothing of the plan.
    check("the source", &|scene| scene.segment("newsletter", &[]));
    check("the configuration", &|scene| scene.edit("exports/newsletter.toml", "company =", "lead_source ="));
    check("the configuration", &|scene| scene.export("[guards]\nmax_removals = \"20%\""));
    check("the ledger", &|scene| {
        scene.delivers();
    });
    check("the suppression list", &|scene| {
        scene.call("suppress add p5@example.com").exits(0);
    });
}

/// Keys tell who is a leaver, and so do rows that are not sent.
#[test]
fn a_plan_is_refused_when_a_key_or_a_row_that_is_not_sent_moved() {
    let check = |row: Person, moved: Person| {
        let scene = Scene::new(&people(1..=20));
        scene.delivers();
        scene.call("suppress add p21@example.com").exits(0);
        let segment = |last: Person| scene.segment("newsletter", &[people(1..=19), vec![last]].concat());
        segment(row);
        scene.call("plan --out plan.json").exits(0);
        segment(moved);
        let before = scene.requests();
        scene.call("run --plan plan.json --override max_removals").exits(2).prints("SP0604").prints("the source");
        assert_eq!(scene.requests(), before);
    };
    let keyed = |key: &str, person: Person| Person { id: key.to_owned(), ..person };
    check(Person::new(20), keyed("c99", Person::new(20)));
    let suppressed = || Person::new(20).email("p21@example.com");
    check(suppressed(), keyed("c99", suppressed()));
    let duplicate = || Person::new(20).email("p1@example.com");
    check(duplicate(), keyed("c99", duplicate()));
    let keyless = || keyed("", Person::new(20));
    check(keyless(), keyless().email("p5@example.com"));
}

#[test]
fn a_source_that_cannot_be_read_is_not_taken_for_one_that_changed() {
    let scene = planned();
    std::fs::remove_file(scene.path("data/newsletter.csv")).unwrap();
    let report = scene.run("--plan plan.json").exits(1).report();
    assert_eq!((report.problems(), &report.0["status"]), (vec!["SP0601"], &"failed".into()));
}

#[test]
fn a_plan_is_carried_out_once() {
    let scene = planned();
    scene.run("--plan plan.json").exits(0);
    let before = scene.requests();
    scene.run("--plan plan.json").exits(2).prints("the ledger");
    assert_eq!(scene.requests(), before);
}

/// A run that sent nothing has changed nothing that a plan rests on.
#[test]
fn a_plan_outlives_a_run_that_a_guard_stopped() {
    let scene = planned();
    scene.segment("newsletter", &[people(1..=15), vec![Person::new(16).email("none")]].concat());
    scene.call("plan --out plan.json").exits(0);
    let before = scene.requests();
    let stopped = scene.run("--plan plan.json").exits(4).report();
    assert_eq!(stopped.summary(), "stopped: 16 read, 15 unchanged, 1 invalid; 4 planned, 4 deferred");
    assert_eq!(scene.requests(), before);
    let report = scene.run("--plan plan.json --override max_removals").exits(0).report();
    assert_eq!(report.summary(), "succeeded: 16 read, 15 unchanged, 1 invalid; 4 planned, 4 removed");
}

#[test]
fn of_a_plan_of_several_exports_the_one_that_is_refused_is_named() {
    let scene = Scene::new(&people(1..=3));
    scene.segment("vip", &people(3..=4));
    scene.write("exports/vip.toml", scene.read("exports/newsletter.toml").replace("\"newsletter\"", "\"vip\""));
    scene.call("plan --out plan.json").exits(0);
    scene.segment("newsletter", &people(1..=2));
    let run = scene.run("--plan plan.json");
    let reports = run.exits(2).reports();
    let told: Vec<_> = reports
        .iter()
        .map(|report| (report.0["export"].as_str().unwrap(), report.summary(), report.problems()))
        .collect();
    let refused = ("newsletter", "failed: ".to_owned(), vec!["SP0604"]);
    assert_eq!(told, [refused, ("vip", "succeeded: 2 read, 2 added".to_owned(), Vec::new())]);
    scene.has_contacts(&people(3..=4));
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    let scene = Scene::new(&people(1..=3));
    scene.run("--plan missing.json").exits(2).says("missing.json");
    for text in ["", "{}", "nonsense", "[1]"] {
        scene.write("plan.json", text);
        scene.run("--plan plan.json").exits(2).says("plan.json");
    }
    assert_eq!(scene.requests(), 0);
}

#[test]
fn the_exit_code_of_a_plan_can_tell_of_changes() {
    let scene = Scene::new(&people(1..=20));
    let check = |code: i32| {
        scene.call("plan --detailed-exitcode").exits(code);
        scene.call("plan").exits(0);
    };
    check(3);
    scene.delivers();
    check(0);
    scene.segment("newsletter", &people(2..=20));
    check(3);
    scene.delivers();
    check(0);
    scene.call("plan --full --detailed-exitcode").exits(3);
}

#[test]
fn an_export_that_cannot_be_planned_does_not_keep_the_others_from_it() {
    let scene = Scene::new(&people(1..=3));
    let export = scene.read("exports/newsletter.toml");
    for id in ["first", "second"] {
        scene.segment(id, &people(1..=2));
        scene.write(&format!("exports/{id}.toml"), export.replace("[\"newsletter\"]", &format!("[\"{id}\"]")));
    }
    std::fs::remove_file(scene.path("data/first.csv")).unwrap();
    let planned = scene.call("plan --output json --out plan.json");
    let plans = planned.exits(2).says("SP0601").says("plan.json was not written").objects();
    assert_eq!(plans.iter().map(|plan| plan["export"].as_str().unwrap()).collect::<Vec<_>>(), ["newsletter", "second"]);
    assert!(!scene.path("plan.json").exists());
    let told = scene.call("plan --detailed-exitcode");
    told.exits(2).prints("There is no plan of `first`.").prints("does what else is planned here");
    assert!(!scene.call("plan --out plan.json").exits(2).stdout.contains("segport run"));
    let none = scene.call("plan first");
    assert_eq!(none.exits(2).says("SP0601").stdout, "");
}
