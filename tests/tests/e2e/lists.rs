//! Segments and the lists they become.

use std::fs;

use segport_sandbox::Options;
use segport_tests::{Gate, Hold, Person, Scene, people};
use serde_json::json;

const ADD: &str = "POST /list/{list}/contact/{contact}";
const LOOK: &str = "GET /list/{list}/contacts";

#[test]
fn a_profile_in_two_segments_is_one_contact_on_two_lists() {
    let scene = Scene::new(&people(1..=4));
    scene.segment("vip", &[Person::new(3).given_name("Other"), Person::new(4), Person::new(5)]);
    scene.segments(&["newsletter", "vip"], "[guards]\nmax_removals = \"50%\"");
    scene.comes_to("succeeded: 5 read, 5 added");
    scene.has_contacts(&people(1..=5));
    scene.has_members("newsletter", &people(1..=4));
    scene.has_members("vip", &people(3..=5));
    assert_eq!(scene.comes_to("succeeded: 5 read, 5 unchanged").requests(), 0);

    scene.segment("vip", &[Person::new(1).given_name("Other"), Person::new(4), Person::new(5)]);
    scene.comes_to("succeeded: 5 read, 4 unchanged, 1 changed; 1 planned, 1 removed");
    scene.has_contacts(&people(1..=5));
    scene.has_members("newsletter", &people(1..=4));
    scene.has_members("vip", &[Person::new(1), Person::new(4), Person::new(5)]);
    assert_eq!(scene.comes_to("succeeded: 5 read, 5 unchanged").requests(), 0);
}

#[test]
fn values_come_from_the_first_segment_that_has_the_profile() {
    let scene = Scene::new(&[Person::new(1).given_name("Newsletter")]);
    scene.segment("vip", &[Person::new(1).given_name("Vip")]);
    let check = |segments: &[&str], given_name: &str, summary: &str| {
        scene.segments(segments, "");
        scene.comes_to(summary);
        scene.has_contacts(&[Person::new(1).given_name(given_name)]);
    };
    check(&["newsletter", "vip"], "Newsletter", "succeeded: 1 read, 1 added");
    check(&["vip", "newsletter"], "Vip", "succeeded: 1 read, 1 changed");
}

/// Where a row was read says nothing of its values.
#[test]
fn who_is_read_in_another_segment_with_the_same_values_is_not_sent_again() {
    let scene = Scene::new(&people(1..=20));
    scene.segment("vip", &people(11..=20));
    scene.segments(&["newsletter", "vip"], "");
    scene.comes_to("succeeded: 20 read, 20 added");
    scene.segments(&["vip", "newsletter"], "");
    assert_eq!(scene.comes_to("succeeded: 20 read, 20 unchanged").requests(), 0);
    scene.segments(&["newsletter", "vip"], "");
    scene.segment("newsletter", &people(1..=19));
    let written = scene.requests_to("POST /contacts");
    scene.comes_to("succeeded: 20 read, 20 unchanged; 1 planned, 1 removed");
    assert_eq!(scene.requests_to("POST /contacts"), written);
    scene.has_members("newsletter", &people(1..=19));
    scene.has_members("vip", &people(11..=20));
}

#[test]
fn a_segment_that_joins_the_export_later_joins_its_members() {
    let scene = Scene::new(&people(1..=6));
    scene.delivers();
    scene.segment("vip", &people(5..=8));
    scene.segments(&["newsletter", "vip"], "");
    scene.comes_to("succeeded: 8 read, 4 unchanged, 2 added, 2 changed");
    scene.has_members("vip", &people(5..=8));
    scene.has_members("newsletter", &people(1..=6));
    scene.has_contacts(&people(1..=8));
}

#[test]
fn a_list_is_found_by_its_title_and_made_once() {
    let scene = Scene::new(&people(1..=2));
    scene.edit("segments/newsletter.toml", "source =", "display_name = \"Nyhetsbrev 📰 \\\"A/B\\\"\"\nsource =");
    let title = "Nyhetsbrev 📰 \"A/B\"";
    scene.delivers();
    scene.segment("newsletter", &people(1..=3));
    scene.delivers();
    assert_eq!(scene.requests_to("POST /list"), 1);
    assert_eq!(scene.sandbox.autopilot().counts().lists.len(), 1);
    scene.has_members(title, &people(1..=3));
}

#[test]
fn a_segment_with_a_new_name_fills_a_new_list() {
    let scene = Scene::new(&people(1..=3));
    scene.delivers();
    scene.edit("segments/newsletter.toml", "source =", "display_name = \"Renamed\"\nsource =");
    scene.delivers();
    scene.has_members("Renamed", &people(1..=3));
    scene.has_members("newsletter", &people(1..=3));
    assert_eq!(scene.comes_to("succeeded: 3 read, 3 unchanged; 3 planned, 3 kept").requests(), 0);
}

#[test]
fn a_list_that_is_there_is_used() {
    let scene = Scene::new(&people(1..=2));
    scene.sandbox.autopilot().add_list("Newsletter");
    scene.sandbox.autopilot().add_list("newsletter ");
    let list = scene.sandbox.autopilot().add_list("newsletter");
    scene.delivers();
    assert_eq!(scene.requests_to("POST /list"), 0);
    scene.has_members(&list, &people(1..=2));
}

#[test]
fn of_several_lists_with_one_title_the_first_is_used() {
    let scene = Scene::new(&people(1..=2));
    let [first, second] = [(); 2].map(|()| scene.sandbox.autopilot().add_list("newsletter"));
    let report = scene.comes_to("succeeded: 2 read, 2 added");
    scene.has_members(&first, &people(1..=2));
    scene.has_members(&second, &[]);
    assert!(report.0["problems"].to_string().contains("several lists"), "{}", report.0);
}

#[test]
fn a_list_can_be_chosen_by_its_id() {
    let scene = Scene::new(&people(1..=2));
    let list = scene.sandbox.autopilot().add_list("Some other title");
    scene.connection(&format!("list_id = \"{list}\""));
    scene.delivers();
    scene.has_members(&list, &people(1..=2));
    assert_eq!(scene.sandbox.autopilot().counts().lists.len(), 1);
}

#[test]
fn a_list_id_that_does_not_exist_sends_nothing() {
    let scene = Scene::new(&people(1..=2));
    scene.connection("list_id = \"contactlist_00000000-0000-0000-0000-000000000000\"");
    let report = scene.run("").exits(1).report();
    assert_eq!(report.summary(), "failed: 2 read, 2 deferred");
    assert_eq!(report.problems(), ["SP0611"]);
    assert_eq!((scene.requests_to("POST /contacts"), scene.requests_to("POST /list")), (0, 0));
}

#[test]
fn of_a_list_whose_creation_failed_there_is_one_in_the_end() {
    for fault in [
        "POST /list nth=1 status=500 commit",
        "POST /list nth=1 reset-after-body commit",
        "POST /list nth=1 truncate",
        "POST /list to=2 status=503",
        "POST /list nth=1 status=500",
    ] {
        let scene = Scene::faulty(&[fault], &people(1..=3));
        scene.comes_to("succeeded: 3 read, 3 added");
        assert_eq!(scene.sandbox.autopilot().counts().lists.len(), 1, "{fault}");
        scene.has_members("newsletter", &people(1..=3));
    }
}

/// A list with this title, and two people on it: the first and the ninth.
fn with_members(scene: &Scene, title: &str) -> String {
    let autopilot = scene.sandbox.autopilot();
    let list = autopilot.add_list(title);
    for person in [Person::new(1), Person::new(9)] {
        autopilot.put_contact(&json!({ "Email": person.email, "_autopilot_list": list })).unwrap();
    }
    list
}

#[test]
fn a_first_run_tells_of_the_members_of_its_list_before_it_sends() {
    let mut scene = Scene::new(&people(1..=3));
    let list = with_members(&scene, "newsletter");
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "");
    gate.hold("POST /contacts", 1, Hold::Unseen);
    let mut run = scene.segport("run --output json").start();
    run.says("list `newsletter` has 2 members already");
    gate.wait();
    gate.open();
    let report = run.wait().exits(0).report();
    assert_eq!(report.summary(), "succeeded: 3 read, 3 added");
    assert_eq!(report.problems(), ["SP0624"]);
    assert_eq!(scene.requests_to(LOOK), 1);
    let both = [people(1..=3), people(9..=9)].concat();
    scene.has_members(&list, &both);

    // Once somebody is there by this export, it is its list; who was there before stays, but for those who were exported too.
    scene.segment("newsletter", &people(2..=4));
    scene.edit("exports/newsletter.toml", "[fields]", "[guards]\nmax_removals = \"100%\"\n\n[fields]");
    let report = scene.comes_to("succeeded: 3 read, 2 unchanged, 1 added; 1 planned, 1 removed");
    assert!(report.problems().is_empty(), "{}", report.0);
    assert_eq!(scene.requests_to(LOOK), 1);
    scene.has_members(&list, &[people(2..=4), people(9..=9)].concat());
}

#[test]
fn a_first_run_looks_only_at_a_list_that_was_there() {
    let check = |settings: &dyn Fn(&Scene) -> String, looks: u64, problems: &[&str]| {
        let scene = Scene::new(&people(1..=3));
        let settings = settings(&scene);
        scene.connection(&settings);
        let report = scene.comes_to("succeeded: 3 read, 3 added");
        assert_eq!((scene.requests_to(LOOK), &*report.problems()), (looks, problems), "{settings}");
        assert_eq!(scene.comes_to("succeeded: 3 read, 3 unchanged").requests(), 0);
    };
    check(&|_| String::new(), 0, &[]);
    check(&|scene| format!("list_id = {:?}", scene.sandbox.autopilot().add_list("Empty")), 1, &[]);
    check(&|scene| format!("list_id = {:?}", with_members(scene, "Some other title")), 1, &["SP0624"]);
}

/// With a new ledger everybody is sent as new, but nobody is added who is on the list.
#[test]
fn whoever_is_on_a_list_is_not_added_again() {
    for bulk_lists in [true, false] {
        let scene = Scene::with(Options { bulk_lists, ..Options::default() }, &people(1..=800));
        scene.delivers();
        let [adds, pages] = [ADD, LOOK].map(|call| scene.requests_to(call));
        fs::remove_dir_all(scene.path(".segport")).unwrap();
        let planned = scene.call("plan --output json").objects().remove(0);
        let report = scene.comes_to("succeeded: 800 read, 800 added");
        assert_eq!(report.problems(), ["SP0624"]);
        // The first of eight pages is read twice, since it tells how many are on the list.
        assert_eq!((scene.requests_to(ADD) - adds, scene.requests_to(LOOK) - pages), (0, 9));
        let at_least = planned["calls"]["at_least"].as_u64().unwrap();
        assert!(at_least <= report.requests(), "{at_least} planned, {}", report.requests());
        scene.has_members("newsletter", &people(1..=800));
    }
}

#[test]
fn lists_are_filled_in_the_way_that_works() {
    let check = |membership: &str, bulk_lists: bool, single_adds: u64| {
        let scene = Scene::with(Options { bulk_lists, ..Options::default() }, &people(1..=120));
        scene.connection(&format!("list_membership = \"{membership}\""));
        scene.comes_to("succeeded: 120 read, 120 added");
        scene.has_members("newsletter", &people(1..=120));
        assert_eq!(scene.requests_to(ADD), single_adds, "{membership}, {bulk_lists}");
        assert_eq!(scene.comes_to("succeeded: 120 read, 120 unchanged").requests(), 0);
        scene.segment("newsletter", &people(1..=121));
        scene.comes_to("succeeded: 121 read, 120 unchanged, 1 added");
        scene.has_members("newsletter", &people(1..=121));
    };
    check("probe", true, 0);
    check("probe", false, 120);
    check("single", true, 120);
    check("single", false, 120);
    check("bulk", true, 0);
}

#[test]
fn a_member_whose_values_change_is_not_added_again() {
    let scene = Scene::with(Options { bulk_lists: false, ..Options::default() }, &people(1..=5));
    scene.delivers();
    let before = scene.requests_to(ADD);
    let changed: Vec<Person> = people(1..=5).into_iter().map(|person| person.given_name("New")).collect();
    scene.segment("newsletter", &changed);
    scene.comes_to("succeeded: 5 read, 5 changed");
    assert_eq!(scene.requests_to(ADD), before);
    scene.has_members("newsletter", &changed);
}

/// What others did to a list is not seen; a run that sends everything again mends it.
#[test]
fn full_puts_those_back_whom_others_took_off_the_list() {
    let check = |membership: &str, bulk_lists: bool, off: &[usize], stay_off: bool| {
        let scene = Scene::with(Options { bulk_lists, ..Options::default() }, &people(1..=120));
        scene.connection(&format!("list_membership = \"{membership}\"\nmax_in_flight = 1"));
        scene.comes_to("succeeded: 120 read, 120 added");
        let list = scene.sandbox.autopilot().counts().lists[0].list_id.clone();
        for &person in off {
            assert!(scene.sandbox.autopilot().take_off(&list, &people(1..=120)[person].email));
        }
        assert_eq!(scene.comes_to("succeeded: 120 read, 120 unchanged").requests(), 0);
        let planned = scene.call("plan --full --output json").objects().remove(0);
        let report = scene.run("--full").exits(0).report();
        assert_eq!(report.summary(), "succeeded: 120 read, 120 changed");
        let mut members = people(1..=120);
        if stay_off {
            off.iter().rev().for_each(|&person| drop(members.remove(person)));
        }
        scene.has_members("newsletter", &members);
        let calls = |which: &str| planned["calls"][which].as_u64().unwrap();
        let range = calls("at_least")..=calls("at_most");
        assert!(range.contains(&report.requests()), "{membership}: {} of {range:?}", report.requests());
    };
    check("probe", true, &[], false);
    check("probe", false, &[], false);
    check("probe", true, &[0, 7, 110], false);
    check("probe", false, &[0, 7, 110], false);
    check("probe", true, &[7, 110], false);
    // Bulk calls do nothing for them, and the first three of the run are where they were.
    check("probe", false, &[7, 110], true);
    check("single", false, &[7, 110], false);
    check("bulk", true, &[0, 7, 110], false);
}

/// The list of this export.
fn only_list(scene: &Scene) -> String {
    scene.sandbox.autopilot().counts().lists[0].list_id.clone()
}

#[test]
fn a_list_that_is_renamed_stays_the_list_of_its_segment() {
    for bulk_lists in [true, false] {
        let scene = Scene::with(Options { bulk_lists, ..Options::default() }, &people(1..=120));
        scene.delivers();
        let list = only_list(&scene);
        assert!(scene.sandbox.autopilot().rename_list(&list, "Spring"));
        let other = with_members(&scene, "newsletter");
        scene.segment("newsletter", &people(2..=121));
        let report = scene.comes_to("succeeded: 120 read, 119 unchanged, 1 added; 1 planned, 1 removed");
        assert!(report.0["problems"].to_string().contains("is named `Spring` now"), "{}", report.0);
        scene.has_members(&list, &people(2..=121));
        scene.has_members(&other, &[Person::new(1), Person::new(9)]);
        assert_eq!(scene.delivers().requests(), 0);
    }
}

#[test]
fn of_two_lists_with_one_title_the_export_keeps_its_own() {
    let scene = Scene::new(&people(1..=20));
    let first = scene.sandbox.autopilot().add_list("Another title");
    scene.delivers();
    assert!(scene.sandbox.autopilot().rename_list(&first, "newsletter"));
    scene.segment("newsletter", &people(2..=21));
    let report = scene.comes_to("succeeded: 20 read, 19 unchanged, 1 added; 1 planned, 1 removed");
    assert!(report.problems().is_empty(), "{}", report.0);
    scene.has_members(&first, &[]);
}

/// The list is deleted. What the next run sends is on the other one, which may be there; the run after that puts everybody else there.
#[test]
fn everybody_is_put_on_the_list_that_takes_the_place_of_one_that_is_gone() {
    for (bulk_lists, is_there, full) in [(true, false, false), (false, true, false), (true, true, true)] {
        let scene = Scene::with(Options { bulk_lists, ..Options::default() }, &people(1..=120));
        scene.delivers();
        assert!(scene.sandbox.autopilot().delete_list(&only_list(&scene)));
        let mut others = Vec::new();
        if is_there {
            // Whoever leaves the segment now is on the other list for somebody else's reasons.
            with_members(&scene, "newsletter");
            others = people(1..=1);
        }
        scene.segment("newsletter", &people(2..=121));
        if full {
            let report = scene.run("--full").exits(0).report();
            assert_eq!(report.summary(), "succeeded: 120 read, 1 added, 119 changed; 1 planned, 1 removed");
            assert!(report.problems().contains(&"SP0628"), "{}", report.0);
            scene.has_members("newsletter", &[&others[..], &people(2..=121)].concat());
        } else {
            let report = scene.comes_to("succeeded: 120 read, 119 unchanged, 1 added; 1 planned, 1 removed");
            assert!(report.problems().contains(&"SP0628"), "{}", report.0);
            let mut on = others.clone();
            on.extend(is_there.then(|| Person::new(9)));
            scene.has_members("newsletter", &[on, people(121..=121)].concat());
            assert!(scene.rows_of(report.run_id()).iter().any(|row| row.starts_with("removed")));
            let planned = scene.call("plan --output json").objects().remove(0);
            assert_eq!(planned["rows"]["add"], 119);
            let report = scene.comes_to("succeeded: 120 read, 1 unchanged, 119 added");
            assert!(!report.problems().contains(&"SP0628"), "{}", report.0);
        }
        scene.has_members("newsletter", &[others, people(2..=121)].concat());
        assert_eq!(scene.delivers().requests(), 0);
    }
}

#[test]
fn whom_a_killed_run_was_about_to_put_back_the_next_run_puts_back() {
    for (membership, hold) in [("probe", Hold::Unseen), ("probe", Hold::Done), ("single", Hold::Done)] {
        let mut scene = Scene::new(&people(1..=3));
        let gate = Gate::new(&scene.sandbox);
        scene.through(&gate, &format!("list_membership = \"{membership}\""));
        scene.delivers();
        let list = scene.sandbox.autopilot().counts().lists[0].list_id.clone();
        assert!(scene.sandbox.autopilot().take_off(&list, &Person::new(2).email));
        gate.hold("POST /contacts", 1, hold);
        let run = scene.segport("run --full").start();
        gate.wait();
        run.kill();
        gate.cut();
        scene.delivers();
        scene.has_members(&list, &people(1..=3));
    }
}

/// Whoever could not be put back is tried again by the next run, since nobody knows any more whether they are on the list.
#[test]
fn who_could_not_be_put_back_is_put_back_by_the_next_run() {
    let scene = Scene::new(&people(1..=3));
    scene.connection("list_membership = \"single\"\nmax_in_flight = 1");
    scene.delivers();
    let list = scene.sandbox.autopilot().counts().lists[0].list_id.clone();
    assert!(scene.sandbox.autopilot().take_off(&list, &Person::new(2).email));
    scene.faults(&["POST /list/** nth=2 status=400"]);
    assert_eq!(scene.run("--full").exits(1).report().summary(), "partial: 3 read, 2 changed, 1 refused");
    scene.comes_to("succeeded: 3 read, 2 unchanged, 1 changed");
    scene.has_members("newsletter", &people(1..=3));
}

#[test]
fn an_address_that_changes_moves_the_membership() {
    let scene = Scene::new(&people(1..=10));
    scene.delivers();
    let mut moved = people(1..=10);
    moved[0] = Person::new(1).email("new@example.com");
    scene.segment("newsletter", &moved);
    scene.comes_to("succeeded: 10 read, 9 unchanged, 1 added; 1 planned, 1 removed");
    scene.has_members("newsletter", &moved);
}

/// With these people in its segments one run comes to `summary`, and leaves these people on `vip`, which another run does not touch.
#[track_caller]
fn settles(scene: &Scene, newsletter: &[Person], vip: &[Person], summary: &str, members: &[Person]) {
    scene.segment("newsletter", newsletter);
    scene.segment("vip", vip);
    scene.comes_to(summary);
    for _ in 0..2 {
        scene.has_members("vip", members);
        assert_eq!(scene.delivers().requests(), 0);
    }
}

#[test]
fn a_row_whose_address_another_one_takes_stays_on_its_lists() {
    let scene = Scene::new(&people(1..=3));
    scene.segment("vip", &people(1..=2));
    scene.segments(&["newsletter", "vip"], "");
    scene.delivers();
    let newcomer = Person::new(9).email(&Person::new(1).email);
    let newsletter = [vec![newcomer], people(1..=3)].concat();
    let summary = "succeeded: 4 read, 2 unchanged, 1 changed, 1 duplicate";
    settles(&scene, &newsletter, &people(1..=2), summary, &people(1..=2));
}

#[test]
fn an_address_that_gets_a_new_owner_is_on_the_lists_of_that_one() {
    let scene = Scene::new(&people(2..=4));
    scene.segment("vip", &people(1..=2));
    scene.segments(&["newsletter", "vip"], "[guards]\nmax_removals = \"100%\"");
    scene.delivers();
    // The former owner is still there, with an address that cannot be used.
    let vip = [Person::new(1).email(&Person::new(3).email), Person::new(2)];
    let newsletter = [people(2..=4), vec![Person::new(9).email(&Person::new(1).email)]].concat();
    let summary = "succeeded: 5 read, 3 unchanged, 1 changed, 1 duplicate; 1 planned, 1 removed";
    settles(&scene, &newsletter, &vip, summary, &people(2..=2));
}

#[test]
fn who_is_over_the_cap_with_a_new_address_stays_on_all_lists() {
    let (mut newsletter, vip) = (people(1..=3), people(1..=3));
    let scene = Scene::new(&newsletter);
    scene.segment("vip", &vip);
    scene.segments(&["newsletter", "vip"], "");
    scene.comes_to("succeeded: 3 read, 3 added");
    newsletter[0] = Person::new(1).given_name("Other");
    newsletter[1] = Person::new(2).email("new@example.com");
    scene.segment("newsletter", &newsletter);
    scene.segment("vip", &newsletter);
    scene.connection("rows_per_export = 1");
    assert_eq!(scene.run("").exits(1).report().summary(), "partial: 3 read, 1 unchanged, 1 changed, 1 deferred");
    scene.has_members("newsletter", &people(1..=3));
    scene.has_members("vip", &vip);
}

#[test]
fn who_is_not_delivered_under_a_new_address_stays_on_the_list_under_the_old_one() {
    let everybody = people(1..=3);
    let scene = Scene::new(&everybody);
    scene.segments(&["newsletter"], "[guards]\nmax_removals = \"100%\"\nmax_refused = \"100%\"");
    scene.comes_to("succeeded: 3 read, 3 added");
    let moved = [Person::new(1), Person::new(2).email("new@example.com"), Person::new(3)];
    scene.segment("newsletter", &moved);
    scene.faults(&["POST /contacts refuse-email=new@*"]);
    let report = scene.run("").exits(1).report();
    assert_eq!(report.summary(), "partial: 3 read, 2 unchanged, 1 refused; 1 planned, 1 deferred");
    let rows = scene.rows_of(report.run_id());
    assert!(rows.iter().any(|row| row.starts_with("deferred row_not_delivered: ")), "{rows:?}");
    scene.has_members("newsletter", &everybody);

    scene.faults(&[]);
    scene.comes_to("succeeded: 3 read, 2 unchanged, 1 added; 1 planned, 1 removed");
    scene.has_members("newsletter", &moved);
}

#[test]
fn a_row_with_a_new_key_stays_on_its_lists_when_its_address_breaks() {
    let scene = Scene::new(&people(1..=3));
    scene.export("[guards]\nmax_removals = 1");
    scene.delivers();
    let rekeyed = Person { id: "c77".to_owned(), ..Person::new(3) };
    scene.segment("newsletter", &[Person::new(1), Person::new(2), rekeyed.clone()]);
    assert_eq!(scene.comes_to("succeeded: 3 read, 3 unchanged").requests(), 0);
    scene.segment("newsletter", &[Person::new(1), Person::new(2), rekeyed.email("no address")]);
    assert_eq!(scene.comes_to("succeeded: 3 read, 2 unchanged, 1 invalid").requests(), 0);
    scene.has_members("newsletter", &people(1..=3));
    scene.segment("newsletter", &people(1..=2));
    scene.comes_to("succeeded: 2 read, 2 unchanged; 1 planned, 1 removed");
    scene.has_members("newsletter", &people(1..=2));
}

/// As a join of tables gives it.
#[test]
fn a_row_that_is_there_twice_leaves_its_former_address_as_one_that_is_there_once() {
    let twice = |email: &str| [Person::new(1).email(email), Person::new(2), Person::new(1).email(email)];
    let scene = Scene::new(&twice("old@example.com"));
    scene.export("[guards]\nmax_removals = 1");
    scene.comes_to("succeeded: 3 read, 2 added, 1 duplicate");
    let moved = twice("new@example.com");
    scene.segment("newsletter", &moved);
    scene.comes_to("succeeded: 3 read, 1 unchanged, 1 added, 1 duplicate; 1 planned, 1 removed");
    scene.has_members("newsletter", &moved[..2]);
    assert_eq!(scene.comes_to("succeeded: 3 read, 2 unchanged, 1 duplicate").requests(), 0);
}

#[test]
fn every_row_without_a_key_is_told_of() {
    let scene = Scene::new(&[Person::new(1), Person { id: String::new(), ..Person::new(2) }]);
    let keyless = [3, 4, 5].map(|number| Person { id: String::new(), ..Person::new(number) });
    scene.segment("vip", &[&[Person::new(6)], &keyless[..]].concat());
    scene.segments(&["newsletter", "vip"], "");
    let report = scene.run("").exits(0).report();
    assert_eq!(report.summary(), "succeeded: 6 read, 2 added, 4 invalid");
    assert_eq!(scene.rows_of(report.run_id()).iter().filter(|row| row.starts_with("invalid")).count(), 4);
}

/// Each of two that found no list would make one, and the next run knows of one of them only.
#[test]
fn two_runs_that_begin_at_once_make_one_list() {
    let mut scene = Scene::new(&people(1..=5));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "");
    scene.write("exports/again.toml", scene.read("exports/newsletter.toml"));
    gate.hold("POST /list", 1, Hold::Unseen);
    let first = scene.segport("run newsletter").start();
    gate.wait();
    let mut second = scene.segport("-vv run again").start();
    second.says("waiting for another process that uses the connection");
    gate.open();
    first.wait().exits(0);
    second.wait().exits(0);
    assert_eq!(scene.sandbox.autopilot().counts().lists.len(), 1);
    scene.has_members("newsletter", &people(1..=5));
}

/// As after an address was corrected in the source and at the destination: there it is one contact, and whoever leaves under the
/// former address must not take it off the list.
#[test]
fn who_is_still_there_as_the_same_contact_stays_on_the_list() {
    let scene = Scene::new(&people(1..=20));
    scene.delivers();
    let contact = scene.sandbox.autopilot().contact("p5@example.com").unwrap();
    let id = contact["contact_id"].as_str().unwrap();
    let moved = || {
        people(1..=20)
            .into_iter()
            .map(|person| if person.id == "c5" { person.email("new5@example.com") } else { person })
    };
    scene.segment("newsletter", &moved().collect::<Vec<_>>());
    let answer = json!({"email_contact_map": {"new5@example.com": id}}).to_string().replace('"', "\\\"");
    scene.faults(&[&format!("POST /contacts status=200 body=\"{answer}\"")]);
    let report = scene.comes_to("succeeded: 20 read, 19 unchanged, 1 added; 1 planned, 1 kept");
    assert_eq!(report.problems(), ["SP0626"]);
    assert_eq!(scene.members("newsletter").len(), 20);

    // Later runs know it from the ledger.
    scene.segment("newsletter", &moved().filter(|person| person.id != "c6").collect::<Vec<_>>());
    scene.call("plan").exits(0).prints("SP0626");
    let report = scene.comes_to("succeeded: 19 read, 19 unchanged; 2 planned, 1 removed, 1 kept");
    assert_eq!(report.problems(), ["SP0626"]);
    assert!(scene.members("newsletter").contains(&"p5@example.com".to_owned()));

    // When nobody is the contact any more, it comes off.
    scene.segment("newsletter", &moved().filter(|person| !["c5", "c6"].contains(&&*person.id)).collect::<Vec<_>>());
    let report = scene.run("").exits(0).report();
    assert_eq!(report.count("leavers", "removed"), 2);
    assert!(!scene.members("newsletter").contains(&"p5@example.com".to_owned()));
    assert_eq!(scene.comes_to("succeeded: 18 read, 18 unchanged").requests(), 0);
}
