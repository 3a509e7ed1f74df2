//! `--full`: every row is sent again, by the run that was asked for it or by later ones.

use std::fs;

use segport_tests::{Gate, Hold, Person, Scene, people};

/// 250 people that were delivered, in batches of a hundred, one call at a time.
fn delivered() -> Scene {
    let scene = Scene::new(&people(1..=250));
    scene.connection("max_in_flight = 1");
    scene.delivers();
    scene
}

#[test]
fn what_a_full_run_did_not_get_to_is_sent_by_the_next_run_or_a_retry() {
    for (words, next) in [
        ("run --output json", "succeeded: 250 read, 100 unchanged, 150 changed"),
        ("retry --output json", "succeeded: 150 read, 150 changed"),
    ] {
        let scene = delivered();
        scene.faults(&["POST /contacts from=2 status=403"]);
        assert_eq!(scene.run("--full").exits(1).report().summary(), "failed: 250 read, 100 changed, 150 deferred");
        scene.faults(&[]);
        assert_eq!(scene.call(words).exits(0).report().summary(), next);
        assert_eq!(scene.comes_to("succeeded: 250 read, 250 unchanged").requests(), 0);
    }
}

#[test]
fn what_is_over_the_cap_of_a_full_run_is_sent_by_later_runs() {
    let scene = delivered();
    scene.connection("rows_per_export = 100");
    assert_eq!(scene.run("--full").exits(1).report().summary(), "partial: 250 read, 100 changed, 150 deferred");
    let second = scene.run("").exits(1).report();
    assert_eq!(second.summary(), "partial: 250 read, 100 unchanged, 100 changed, 50 deferred");
    scene.comes_to("succeeded: 250 read, 200 unchanged, 50 changed");
    assert_eq!(scene.comes_to("succeeded: 250 read, 250 unchanged").requests(), 0);
}

#[test]
fn what_a_full_run_did_not_get_to_before_it_was_killed_is_sent_by_the_next_run() {
    let mut scene = Scene::new(&people(1..=250));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "max_in_flight = 1");
    scene.delivers();
    gate.hold("POST /contacts", 2, Hold::Unseen);
    let run = scene.segport("run --full").start();
    gate.wait();
    run.kill();
    gate.cut();
    scene.comes_to("succeeded: 250 read, 100 unchanged, 150 changed");
    assert_eq!(scene.comes_to("succeeded: 250 read, 250 unchanged").requests(), 0);
}

/// Either nobody was asked for yet, or whoever is off the list is back on it by the time that a run has succeeded: a row that was in
/// doubt is looked up, and sent if it is not as it should be.
#[test]
fn a_full_run_may_die_or_find_no_space_at_any_durable_operation() {
    for blow in ["kill", "fail"] {
        let scene = Scene::new(&people(1..=5));
        scene.connection("max_in_flight = 1");
        scene.delivers();
        let list = scene.sandbox.autopilot().counts().lists[0].list_id.clone();
        let third = Person::new(3).email;
        let mut asked = Vec::new();
        for nth in 1.. {
            scene.sandbox.autopilot().take_off(&list, &third);
            let failpoint = format!("any:{nth}={blow}");
            let ended = scene.segport("run --full").env("SEGPORT_FAILPOINT", &failpoint).run();
            let is_over = !ended.was_killed() && ended.code() == 0;
            scene.call("run").exits(0);
            asked.push(scene.members(&list).contains(&third));
            if is_over {
                break;
            }
        }
        assert!(asked.is_sorted() && asked.first() == Some(&false) && asked.len() > 5, "{blow}: {asked:?}");
    }
}

/// Who was taken off a list by hand, is not in its segment while all is sent, and comes back before anybody was taken off it.
#[test]
fn who_left_while_all_was_sent_and_comes_back_is_put_on_the_list_again() {
    let mut scene = Scene::new(&people(1..=5));
    scene.segment("vip", &people(3..=5));
    let guards = "[guards]\nmax_removals = \"100%\"\nmax_shrink = \"100%\"\nmax_growth = 100";
    scene.segments(&["newsletter", "vip"], guards);
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "max_in_flight = 1\nrows_per_batch = 3\nlist_membership = \"bulk\"");
    scene.delivers();
    let vip = scene.sandbox.autopilot().counts().lists[1].list_id.clone();
    scene.sandbox.autopilot().take_off(&vip, &Person::new(3).email);
    scene.segment("vip", &people(4..=5));
    // The first batch has those who are in one segment only.
    gate.hold("POST /contacts", 2, Hold::Unseen);
    let run = scene.segport("run --full").start();
    gate.wait();
    run.kill();
    gate.cut();
    scene.segment("vip", &people(3..=5));
    scene.call("run").exits(0);
    scene.has_members("vip", &people(3..=5));
    assert_eq!(scene.comes_to("succeeded: 5 read, 5 unchanged").requests(), 0);
}

#[test]
fn a_full_run_that_a_guard_stopped_is_made_up_for() {
    let scene = delivered();
    scene.segment("newsletter", &people(100..=250));
    assert_eq!(
        scene.run("--full").exits(4).report().summary(),
        "stopped: 151 read, 151 deferred; 99 planned, 99 deferred"
    );
    let report = scene.run("--override max_removals").exits(0).report();
    assert_eq!(report.summary(), "succeeded: 151 read, 151 changed; 99 planned, 99 removed");
}

#[test]
fn a_full_run_that_could_not_read_its_source_is_made_up_for() {
    let scene = delivered();
    fs::rename(scene.path("data/newsletter.csv"), scene.path("data/gone.csv")).unwrap();
    assert_eq!(scene.run("--full").exits(1).report().problems(), ["SP0601"]);
    fs::rename(scene.path("data/gone.csv"), scene.path("data/newsletter.csv")).unwrap();
    scene.comes_to("succeeded: 250 read, 250 changed");
}

/// Under an outdated plan nothing is asked of any row.
#[test]
fn a_full_plan_that_is_outdated_asks_for_nothing() {
    let scene = delivered();
    scene.call("plan --full --out plan.json").exits(0);
    scene.segment("newsletter", &people(1..=251));
    scene.call("run --plan plan.json").exits(2).prints("SP0604");
    scene.comes_to("succeeded: 251 read, 250 unchanged, 1 added");
    fs::rename(scene.path("data/newsletter.csv"), scene.path("data/gone.csv")).unwrap();
    scene.call("run --plan plan.json").exits(1).prints("SP0601");
    fs::rename(scene.path("data/gone.csv"), scene.path("data/newsletter.csv")).unwrap();
    assert_eq!(scene.comes_to("succeeded: 251 read, 251 unchanged").requests(), 0);
}

/// A contact may have been written although its row counts as refused, since a list did not take it.
#[test]
fn a_value_that_was_written_with_a_refused_row_is_written_over() {
    let scene = Scene::new(&[Person::new(1).given_name("Old"), Person::new(2)]);
    scene.segment("vip", &[Person::new(2)]);
    scene.segments(&["newsletter", "vip"], "[guards]\nmax_removals = \"100%\"\nmax_growth = 100\nmax_refused = 9");
    scene.connection("list_membership = \"single\"");
    scene.comes_to("succeeded: 2 read, 2 added");
    scene.segment("newsletter", &[Person::new(1).given_name("New"), Person::new(2)]);
    scene.segment("vip", &[Person::new(1), Person::new(2)]);
    scene.faults(&["POST /list/** status=400"]);
    assert_eq!(scene.run("").exits(1).report().summary(), "partial: 2 read, 1 unchanged, 1 refused");
    scene.has_contacts(&[Person::new(1).given_name("New"), Person::new(2)]);
    scene.faults(&[]);
    let former = [Person::new(1).given_name("Old"), Person::new(2)];
    scene.segment("newsletter", &former);
    scene.segment("vip", &[Person::new(2)]);
    let report = scene.run("").exits(0).report();
    assert!(report.summary().starts_with("succeeded: 2 read, 1 unchanged, 1 changed"), "{}", report.summary());
    scene.has_contacts(&former);
    assert_eq!(scene.comes_to("succeeded: 2 read, 2 unchanged").requests(), 0);
}
