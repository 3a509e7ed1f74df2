//! Keys of other accounts.

use segport_sandbox::{Options, Sandbox};
use segport_tests::{Person, Scene, people};

/// People who were delivered to their account; and then the connection has the key of another one.
fn with_another_key(people: &[Person]) -> (Scene, Sandbox) {
    let scene = Scene::new(people);
    scene.delivers();
    let other = Sandbox::start(Options { account: "other".to_owned(), ..Options::default() }).unwrap();
    scene.sandbox.autopilot().exchange(other.autopilot());
    (scene, other)
}

const ACCOUNT: &str = "GET /account";

#[test]
fn with_the_key_of_another_account_nothing_is_sent() {
    for words in ["", "--full"] {
        let (scene, other) = with_another_key(&people(1..=120));
        let before = scene.requests();
        // Without anything to send no account is asked for.
        assert_eq!(scene.delivers().requests(), 0);
        scene.segment("newsletter", &people(2..=121));

        let report = scene.run(words).exits(4).report();
        assert_eq!((report.guard("allow_other_account"), &*report.problems()), (Some("stopped"), &["SP0511"][..]));
        let problem = report.0["problems"][0]["message"].as_str().unwrap();
        let expected =
            "guard `allow_other_account` stopped the run: account other, where earlier runs reached segport-sandbox";
        assert_eq!(problem, expected);
        let counts = scene.sandbox.autopilot().counts();
        assert_eq!((counts.contacts, counts.lists.len()), (0, 0));
        assert_eq!((scene.requests() - before, scene.requests_to(ACCOUNT)), (2, 2), "the lists and the account");
        let leaver = scene.rows_of(report.run_id());
        assert!(leaver.contains(&"deferred not_sent: not tried: a guard stopped the run".to_owned()), "{leaver:?}");

        // With the right key the next run goes on where the last one ended, and whoever has left in the meantime comes off.
        scene.sandbox.autopilot().exchange(other.autopilot());
        scene.segment("newsletter", &people(3..=121));
        let report = scene.run("").exits(0).report();
        assert!(report.problems().is_empty(), "{}", report.0);
        scene.has_members("newsletter", &people(3..=121));
        assert_eq!(scene.delivers().requests(), 0);
    }
}

#[test]
fn who_says_so_goes_to_another_account() {
    let (scene, other) = with_another_key(&people(1..=120));
    let go = |words: &str| {
        let words = format!("--override allow_other_account --reason moved {words}");
        let report = scene.run(&words).exits(0).report();
        assert_eq!(report.guard("allow_other_account"), Some("overridden"));
        assert!(report.problems().contains(&"SP0628"), "{}", report.0);
        report
    };
    scene.segment("newsletter", &people(2..=121));
    assert_eq!(go("").summary(), "succeeded: 120 read, 119 unchanged, 1 added; 1 planned, 1 removed");
    scene.has_members("newsletter", &people(121..=121));
    scene.comes_to("succeeded: 120 read, 1 unchanged, 119 added");
    scene.has_members("newsletter", &people(2..=121));
    scene.has_contacts(&people(2..=121));
    assert_eq!(scene.delivers().requests(), 0);

    // Back again, where everybody is as they were, and where nobody has come off since.
    scene.sandbox.autopilot().exchange(other.autopilot());
    scene.segment("newsletter", &people(3..=121));
    let report = go("--full");
    assert_eq!(report.summary(), "succeeded: 119 read, 119 changed; 1 planned, 1 removed");
    scene.has_members("newsletter", &people(1..=121));
    assert_eq!(scene.delivers().requests(), 0);
}

/// What was acknowledged at one account says nothing of another, though the address of both is one.
#[test]
fn a_row_that_was_changed_for_another_account_is_changed_at_the_first_one_too() {
    let mut changed = people(1..=3);
    changed[0] = changed[0].clone().given_name("New");
    let (scene, other) = with_another_key(&people(1..=3));
    scene.export("[guards]\nallow_other_account = true");
    scene.edit("segments/newsletter.toml", "source =", "display_name = \"Other\"\nsource =");
    scene.segment("newsletter", &changed);
    scene.delivers();
    scene.has_contacts(&changed);
    scene.sandbox.autopilot().exchange(other.autopilot());
    scene.edit("segments/newsletter.toml", "display_name = \"Other\"\n", "");
    scene.segment("newsletter", &[changed.clone(), people(4..=4)].concat());
    scene.delivers();
    scene.delivers();
    scene.has_contacts(&[changed, people(4..=4)].concat());
    assert_eq!(scene.delivers().requests(), 0);
}

/// That the account is another one must be known before anything is sent there.
#[test]
fn to_an_account_that_cannot_be_told_no_export_goes() {
    let (scene, _other) = with_another_key(&people(1..=3));
    scene.faults(&["GET /account status=404"]);
    let words = "--full --override allow_other_account";
    assert_eq!(scene.run(words).exits(1).report().problems(), ["SP0614"]);
    assert_eq!(scene.sandbox.autopilot().counts().lists.len(), 0);
    scene.faults(&[]);
    assert_eq!(scene.run(words).exits(0).report().guard("allow_other_account"), Some("overridden"));
    scene.has_members("newsletter", &people(1..=3));
    scene.segment("newsletter", &people(1..=4));
    scene.comes_to("succeeded: 4 read, 3 unchanged, 1 added");
}

#[test]
fn that_the_account_may_be_another_is_on_record_where_it_is_not() {
    let scene = Scene::new(&people(1..=3));
    let check = || {
        let report = scene.run("--override allow_other_account --reason testing").exits(0).report();
        let guards = report.0["guards"].as_array().unwrap().clone();
        let guard = guards.into_iter().find(|guard| guard["guard"] == "allow_other_account").unwrap();
        assert_eq!((&guard["verdict"], &guard["reason"]), (&"passed".into(), &"testing".into()));
    };
    check();
    check();
    scene.segment("newsletter", &people(1..=4));
    check();
    assert_eq!(scene.requests_to(ACCOUNT), 1);
}

/// A run that sends nothing makes no size the normal one.
#[test]
fn a_segment_grows_too_much_whatever_a_run_with_another_account_has_read() {
    let (scene, other) = with_another_key(&people(1..=200));
    scene.segment("newsletter", &people(1..=390));
    let report = scene.run("").exits(4).report();
    assert_eq!((report.guard("max_growth"), report.guard("allow_other_account")), (Some("passed"), Some("stopped")));
    scene.sandbox.autopilot().exchange(other.autopilot());
    scene.segment("newsletter", &people(1..=500));
    assert_eq!(scene.run("").exits(4).report().guard("max_growth"), Some("stopped"));
}

/// A segment that has no list yet would get one there.
#[test]
fn a_list_is_not_made_at_another_account_either() {
    let (scene, _other) = with_another_key(&people(1..=3));
    scene.edit("segments/newsletter.toml", "source =", "display_name = \"Renamed\"\nsource =");
    let report = scene.run("").exits(4).report();
    assert_eq!(report.guard("allow_other_account"), Some("stopped"));
    assert_eq!(scene.sandbox.autopilot().counts().lists.len(), 0);
}

#[test]
fn an_account_that_cannot_be_told_is_in_nobodys_way() {
    let scene = Scene::faulty(&["GET /account status=404"], &people(1..=3));
    assert!(scene.delivers().problems().is_empty());
    scene.segment("newsletter", &people(1..=4));
    scene.comes_to("succeeded: 4 read, 3 unchanged, 1 added");
    assert_eq!(scene.requests_to(ACCOUNT), 2, "until it is known");

    // Once it can be told it is not asked for any more.
    scene.faults(&[]);
    for last in 5..=7 {
        scene.segment("newsletter", &people(1..=last));
        scene.delivers();
    }
    assert_eq!(scene.requests_to(ACCOUNT), 3);

    // Whether a list is missing because this is another account must be known before another takes its place.
    scene.faults(&["GET /account status=404"]);
    let list = scene.sandbox.autopilot().counts().lists[0].list_id.clone();
    assert!(scene.sandbox.autopilot().delete_list(&list));
    scene.segment("newsletter", &people(1..=8));
    let report = scene.run("").exits(1).report();
    assert_eq!(
        (report.summary(), report.problems()),
        ("failed: 8 read, 7 unchanged, 1 deferred".to_owned(), vec!["SP0614"])
    );
    scene.faults(&[]);
    assert_eq!(scene.comes_to("succeeded: 8 read, 7 unchanged, 1 added").problems(), ["SP0628"]);
}

#[test]
fn what_was_not_sent_to_another_account_can_be_retried() {
    let (scene, other) = with_another_key(&people(1..=20));
    scene.segment("newsletter", &people(2..=21));
    scene.run("").exits(4);
    scene.call("retry").exits(4);
    scene.sandbox.autopilot().exchange(other.autopilot());
    let report = scene.call("retry --output json").exits(0).report();
    assert_eq!(report.summary(), "succeeded: 1 read, 1 added; 1 planned, 1 removed");
    scene.has_members("newsletter", &people(2..=21));
}
