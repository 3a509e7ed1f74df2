//! What is sent, and what is not.

use segport_sandbox::{Options, Sandbox};
use segport_tests::{Gate, Hold, Person, Scene, people};

/// Contacts written by the stand-in so far.
fn writes(scene: &Scene) -> u64 {
    scene.sandbox.autopilot().counts().tallies.contact_writes
}

#[test]
fn the_first_run_sends_all_and_the_second_nothing() {
    let scene = Scene::new(&people(1..=7));
    let report = scene.comes_to("succeeded: 7 read, 7 added");
    let sent = scene.requests();
    assert_eq!(report.requests(), sent);
    let report = scene.comes_to("succeeded: 7 read, 7 unchanged");
    assert_eq!((report.requests(), scene.requests()), (0, sent));
    scene.has_contacts(&people(1..=7));
    scene.has_members("newsletter", &people(1..=7));
}

#[test]
fn only_the_row_that_changed_is_sent_again() {
    let mut customers = people(1..=7);
    let scene = Scene::new(&customers);
    scene.delivers();
    let before = writes(&scene);
    customers[3] = Person::new(4).given_name("Another");
    scene.segment("newsletter", &customers);
    scene.comes_to("succeeded: 7 read, 6 unchanged, 1 changed");
    assert_eq!(writes(&scene) - before, 1);
    scene.has_contacts(&customers);
}

#[test]
fn calls_of_wide_rows_take_fewer_of_them() {
    let mut customers = people(1..=12);
    for customer in &mut customers[3..] {
        customer.employer = "a long story ".repeat(25_000);
    }
    let scene = Scene::new(&customers);
    scene.connection("list_membership = \"bulk\"");
    let plan = scene.call("plan --output json").exits(0).objects().remove(0);
    let report = scene.comes_to("succeeded: 12 read, 12 added");
    // Three rows of 325,000 bytes fit into one call.
    assert_eq!(scene.requests_to("POST /contacts"), 3);
    let [least, most] = ["at_least", "at_most"].map(|bound| plan["calls"][bound].as_u64().unwrap());
    assert!((least..=most).contains(&report.requests()), "{} of {least} to {most}", report.requests());
    scene.has_contacts(&customers);
    scene.has_members("newsletter", &customers);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let scene = Scene::new(&people(1..=7));
    scene.delivers();
    scene.segment("newsletter", &people(1..=7).into_iter().rev().collect::<Vec<_>>());
    assert_eq!(scene.comes_to("succeeded: 7 read, 7 unchanged").requests(), 0);
}

#[test]
fn a_changed_mapping_sends_the_rows_whose_payload_changed() {
    let mut customers = people(1..=4);
    customers[0].employer = "7".to_owned();
    let scene = Scene::new(&customers);
    scene.delivers();
    scene.edit(
        "exports/newsletter.toml",
        "company = \"employer\"",
        "company = { column = \"employer\", transform = [\"trim\"] }",
    );
    scene.comes_to("succeeded: 4 read, 4 unchanged");
    customers[0].employer = String::new();
    scene.segment("newsletter", &customers);
    scene.export("");
    scene.comes_to("succeeded: 4 read, 3 unchanged, 1 changed");
    scene.edit("exports/newsletter.toml", "company =", "lead_source =");
    scene.comes_to("succeeded: 4 read, 1 unchanged, 3 changed");
    let contact = scene.sandbox.autopilot().contact("p2@example.com").unwrap();
    assert_eq!((&contact["LeadSource"], &contact["Company"]), (&"Fjord AS".into(), &"Fjord AS".into()));
}

#[test]
fn full_sends_everything_once_more() {
    let scene = Scene::new(&people(1..=7));
    scene.delivers();
    let before = writes(&scene);
    let report = scene.run("--full").exits(0).report();
    assert_eq!(report.summary(), "succeeded: 7 read, 7 changed");
    assert_eq!(writes(&scene) - before, 7);
}

#[test]
fn who_left_comes_off_the_list_and_stays_a_contact() {
    let scene = Scene::new(&people(1..=20));
    scene.delivers();
    scene.segment("newsletter", &people(2..=20));
    let report = scene.comes_to("succeeded: 19 read, 19 unchanged; 1 planned, 1 removed");
    assert_eq!(scene.requests_to("DELETE /list/{list}/contact/{contact}"), 1);
    assert_eq!(scene.requests_to("DELETE /contact/{contact}"), 0);
    assert_eq!(scene.rows_of(report.run_id()), ["removed : "]);
    scene.has_members("newsletter", &people(2..=20));
    scene.has_contacts(&people(1..=20));
    assert_eq!(scene.comes_to("succeeded: 19 read, 19 unchanged").requests(), 0);
    scene.segment("newsletter", &people(1..=20));
    scene.comes_to("succeeded: 20 read, 19 unchanged, 1 added");
    scene.has_members("newsletter", &people(1..=20));
}

#[test]
fn who_left_stays_on_the_list_where_the_export_says_so() {
    let scene = Scene::new(&people(1..=20));
    scene.export("[leavers]\npolicy = \"keep\"");
    scene.delivers();
    scene.segment("newsletter", &people(11..=20));
    let report = scene.comes_to("succeeded: 10 read, 10 unchanged; 10 planned, 10 kept");
    assert_eq!(report.requests(), 0);
    scene.has_members("newsletter", &people(1..=20));
    scene.segment("newsletter", &people(1..=20));
    assert_eq!(scene.comes_to("succeeded: 20 read, 20 unchanged").requests(), 0);
}

#[test]
fn a_cap_defers_the_rest_to_the_next_run() {
    let scene = Scene::new(&people(1..=7));
    scene.connection("rows_per_export = 3");
    let capped = scene.run("");
    let report = capped.exits(1).report();
    assert_eq!(report.summary(), "partial: 7 read, 3 added, 4 deferred");
    assert_eq!(report.problems(), ["SP0507"]);
    scene.has_contacts(&people(1..=3));
    scene.comes_to("partial: 7 read, 3 unchanged, 3 added, 1 deferred");
    scene.has_members("newsletter", &people(1..=6));
    scene.comes_to("succeeded: 7 read, 6 unchanged, 1 added");
    scene.has_contacts(&people(1..=7));
}

#[test]
fn a_deferred_row_is_no_leaver() {
    let scene = Scene::new(&people(1..=7));
    scene.delivers();
    scene.connection("rows_per_export = 3");
    let all: Vec<Person> = people(1..=7).into_iter().map(|person| person.given_name("New")).collect();
    scene.segment("newsletter", &all);
    scene.comes_to("partial: 7 read, 3 changed, 4 deferred");
    scene.has_members("newsletter", &people(1..=7));
    scene.comes_to("partial: 7 read, 3 unchanged, 3 changed, 1 deferred");
    scene.comes_to("succeeded: 7 read, 6 unchanged, 1 changed");
    scene.has_contacts(&all);
}

#[test]
fn another_destination_gets_everything() {
    let scene = Scene::new(&people(1..=5));
    scene.delivers();
    let other = Sandbox::start(Options::default()).unwrap();
    scene.edit("connections/autopilot.toml", &scene.sandbox.base_url(), &other.base_url());
    let report = scene.comes_to("succeeded: 5 read, 5 changed; 5 planned, 5 kept");
    assert_eq!(report.problems(), ["SP0610"]);
    assert_eq!(other.autopilot().list_members("newsletter").map(|members| members.len()), Some(5));
    assert_eq!(scene.comes_to("succeeded: 5 read, 5 unchanged; 5 planned, 5 kept").requests(), 0);
    let third = Sandbox::start(Options::default()).unwrap();
    scene.edit("connections/autopilot.toml", &other.base_url(), &third.base_url());
    let report = scene.comes_to("succeeded: 5 read, 5 changed; 10 planned, 10 kept");
    let told = report.0["problems"][0]["message"].as_str().unwrap();
    assert!(told.starts_with("members of `newsletter` stay on their former lists"), "{told}");
}

#[test]
fn what_another_account_has_acknowledged_since_is_sent_to_the_first_one_too() {
    let scene = Scene::new(&people(1..=5));
    scene.delivers();
    let other = Sandbox::start(Options::default()).unwrap();
    let [here, there] = [scene.sandbox.base_url(), other.base_url()];
    scene.edit("connections/autopilot.toml", &here, &there);
    let changed: Vec<Person> = people(1..=5).into_iter().map(|person| person.given_name("New")).collect();
    scene.segment("newsletter", &changed);
    scene.comes_to("succeeded: 5 read, 5 changed; 5 planned, 5 kept");
    scene.edit("connections/autopilot.toml", &there, &here);
    scene.comes_to("succeeded: 5 read, 5 changed; 5 planned, 5 kept");
    scene.has_contacts(&changed);
}

/// Each account has ids of its own: who leaves is taken off the list by that of the account where the list is.
#[test]
fn who_leaves_after_a_change_of_account_and_back_comes_off_the_list() {
    let scene = Scene::new(&people(1..=20));
    scene.delivers();
    let other = Sandbox::start(Options::default()).unwrap();
    let [here, there] = [scene.sandbox.base_url(), other.base_url()];
    scene.edit("connections/autopilot.toml", &here, &there);
    scene.comes_to("succeeded: 20 read, 20 changed; 20 planned, 20 kept");
    scene.edit("connections/autopilot.toml", &there, &here);
    scene.segment("newsletter", &people(2..=20));
    let report = scene.run("").exits(0).report();
    assert_eq!(report.count("leavers", "removed"), 1);
    scene.has_members("newsletter", &people(2..=20));
    assert_eq!(other.autopilot().list_members("newsletter").map(|members| members.len()), Some(20));
}

/// Nobody can tell what to take off, in this run or any later one.
#[test]
fn who_was_never_acknowledged_at_an_account_and_left_keeps_no_run_from_succeeding() {
    let mut scene = Scene::new(&people(1..=20));
    scene.delivers();
    let other = Sandbox::start(Options::default()).unwrap();
    let gate = Gate::new(&other);
    scene.through(&gate, "");
    gate.hold("POST /contacts", 1, Hold::Done);
    let run = scene.segport("run").start();
    gate.wait();
    run.kill();
    gate.cut();
    scene.segment("newsletter", &people(2..=20));
    for _ in 0..2 {
        let report = scene.run("").exits(0).report();
        assert_eq!((report.count("leavers", "kept"), report.count("leavers", "planned")), (21, 21));
    }
    assert_eq!(other.autopilot().list_members("newsletter").map(|members| members.len()), Some(20));
}

#[test]
fn several_exports_run_one_after_another_and_the_worst_end_counts() {
    let scene = Scene::new(&people(1..=3));
    scene.segment("vip", &people(3..=4));
    let export = scene.read("exports/newsletter.toml");
    scene.write("exports/vip.toml", export.replace("\"newsletter\"", "\"vip\""));
    scene.run("").exits(2).says("--all");
    scene.run("nonsense").exits(2).says("newsletter, vip");
    let summaries = |words: &str, code| -> Vec<String> {
        scene.run(words).exits(code).reports().iter().map(|report| report.summary()).collect()
    };
    assert_eq!(summaries("--all", 0), ["succeeded: 3 read, 3 added", "succeeded: 2 read, 2 added"]);
    scene.faults(&["POST /contacts refuse-email=p4@*"]);
    scene.export("[guards]\nmax_refused = \"100%\"");
    scene.write("data/vip.csv", segport_tests::csv(&[Person::new(3), Person::new(4).given_name("New")]));
    scene.edit("exports/vip.toml", "[fields]", "[guards]\nmax_refused = \"100%\"\n\n[fields]");
    assert_eq!(summaries("--all", 1), ["succeeded: 3 read, 3 unchanged", "partial: 2 read, 1 unchanged, 1 refused"]);
    assert_eq!(summaries("vip", 1).len(), 1);
}
