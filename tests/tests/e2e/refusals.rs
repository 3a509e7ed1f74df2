//! Rows that the destination rejects or loses.

use segport_tests::{Scene, people};

#[test]
fn a_refused_row_is_found_in_its_batch_and_can_be_retried() {
    let scene = Scene::faulty(&["POST /contacts refuse-email=p17@*"], &people(1..=100));
    let report = scene.run("").exits(1).report();
    assert_eq!(report.summary(), "partial: 100 read, 99 added, 1 refused");
    let refused = scene.call(&format!("rows {} --outcome refused --output json", report.run_id()));
    let refused = refused.exits(0).objects();
    assert_eq!(refused.len(), 1);
    assert_eq!(
        (&refused[0]["code"], &refused[0]["segments"]),
        (&"rejected".into(), &serde_json::json!(["newsletter"]))
    );
    let others: Vec<_> = people(1..=100).into_iter().filter(|person| person.id != "c17").collect();
    scene.has_contacts(&others);
    scene.has_members("newsletter", &others);

    let again = scene.call("retry --output json");
    assert_eq!(again.exits(1).report().summary(), "partial: 1 read, 1 refused");
    scene.faults(&[]);
    let before = scene.sandbox.autopilot().counts().tallies.contact_writes;
    let retried = scene.call(&format!("retry {} --output json", report.run_id()));
    let retried = retried.exits(0).report();
    assert_eq!((retried.summary(), &retried.0["trigger"]), ("succeeded: 1 read, 1 added".to_owned(), &"retry".into()));
    assert_eq!(scene.sandbox.autopilot().counts().tallies.contact_writes - before, 1);
    scene.has_members("newsletter", &people(1..=100));
    scene.call("retry").exits(0).says("nothing to retry");
    assert_eq!(scene.comes_to("succeeded: 100 read, 100 unchanged").requests(), 0);
}

#[test]
fn exactly_the_refused_rows_are_refused() {
    let check = |fault: &str, refused: &[u32]| {
        let scene = Scene::faulty(&[fault], &people(1..=60));
        scene.export("[guards]\nmax_refused = \"100%\"");
        let all = people(1..=60);
        let (bad, good): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|person| refused.contains(&person.id[1..].parse().unwrap()));
        let report = scene.run("").exits(1).report();
        assert_eq!(
            report.summary(),
            format!("partial: 60 read, {} added, {} refused", good.len(), bad.len()),
            "{fault}"
        );
        scene.has_contacts(&good);
        scene.has_members("newsletter", &good);
    };
    check("POST /contacts refuse-email=p1@*", &[1]);
    check("POST /contacts refuse-email=p60@* status=422", &[60]);
    check("POST /contacts refuse-email=p5*@*", &[5, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59]);
    check("POST /contacts refuse-email=p30@* body=nonsense", &[30]);
}

#[test]
fn a_batch_is_not_halved_any_further_once_too_many_are_refused() {
    let scene = Scene::faulty(&["POST /contacts status=400"], &people(1..=100));
    scene.connection("max_in_flight = 1\nlist_membership = \"bulk\"");
    scene.export("[guards]\nmax_refused = 2");
    let report = scene.run("").exits(4).report();
    assert_eq!(report.summary(), "stopped: 100 read, 79 deferred, 21 refused");
    assert!(report.requests() < 70, "{}", report.requests());
}

#[test]
fn a_row_that_the_answer_leaves_out_is_refused() {
    let check = |fault: &str| {
        let scene = Scene::faulty(&[fault], &people(1..=30));
        let report = scene.run("").exits(1).report();
        assert_eq!(report.summary(), "partial: 30 read, 29 added, 1 refused", "{fault}");
        let rows = scene.rows_of(report.run_id());
        assert_eq!(rows.iter().filter(|row| row.starts_with("refused missing_from_answer: ")).count(), 1, "{rows:?}");
        scene.faults(&[]);
        scene.comes_to("succeeded: 30 read, 29 unchanged, 1 added");
        scene.has_contacts(&people(1..=30));
        scene.has_members("newsletter", &people(1..=30));
    };
    check("POST /contacts drop-email=p9@*");
    check("POST /contacts nth=1 partial-map=1");
}

#[test]
fn a_refused_change_keeps_the_row_on_its_list_and_is_sent_again() {
    let mut customers = people(1..=30);
    let scene = Scene::new(&customers);
    scene.delivers();
    customers[6].given_name = "New".to_owned();
    scene.segment("newsletter", &customers);
    scene.faults(&["POST /contacts refuse-email=p7@*"]);
    let report = scene.run("").exits(1).report();
    assert_eq!(report.summary(), "partial: 30 read, 29 unchanged, 1 refused");
    assert_eq!(report.guard("max_refused"), Some("exceeded"), "there was nothing left to stop");
    scene.has_members("newsletter", &customers);
    scene.faults(&[]);
    scene.comes_to("succeeded: 30 read, 29 unchanged, 1 changed");
    scene.has_contacts(&customers);
}

#[test]
fn a_retry_takes_nobody_off_whose_row_is_there() {
    let mut customers = people(1..=30);
    let scene = Scene::new(&customers);
    scene.delivers();
    let mut changed = customers.remove(0);
    customers.push(changed.clone());
    customers[29].given_name = "New".to_owned();
    scene.segment("newsletter", &customers);
    scene.faults(&["POST /contacts refuse-email=p1@*"]);
    let run = scene.run("").exits(1).report().run_id().to_owned();
    // Its row has the address of another by now, or one that is new, which a retry is not asked about.
    scene.faults(&[]);
    for email in ["p2@example.com", "elsewhere@example.com"] {
        changed.email = email.to_owned();
        customers[29] = changed.clone();
        scene.segment("newsletter", &customers);
        let retried = scene.call(&format!("retry {run} --output json"));
        assert_eq!(retried.exits(0).report().count("leavers", "planned"), 0, "{email}");
        scene.has_members("newsletter", &people(1..=30));
    }
}

/// Rows that were not tried are kept of the last 50 runs, so that nobody knows any more which the others left undone.
#[test]
fn a_retry_of_a_run_whose_rows_are_gone_takes_all_that_is_not_acknowledged() {
    let scene = Scene::new(&people(1..=20));
    scene.connection("rows_per_export = 15");
    let run = scene.run("").exits(1).report().run_id().to_owned();
    let rows = || scene.call(&format!("rows {run} --output json")).exits(0).objects().len();
    assert_eq!(rows(), 20);
    scene.segment("newsletter", &[]);
    for _ in 0..49 {
        scene.run("").exits(4);
    }
    assert_eq!(rows(), 20);
    // It is one run too old as soon as its retry has begun.
    scene.segment("newsletter", &people(1..=21));
    let retried = scene.call(&format!("retry {run} --output json"));
    assert_eq!(retried.exits(0).report().summary(), "succeeded: 21 read, 15 unchanged, 6 added");
    assert_eq!(rows(), 15);
    scene.call(&format!("rows {run}")).exits(0).says("rows of this run may be missing");
}

#[test]
fn a_refused_removal_is_tried_again() {
    let scene = Scene::new(&people(1..=30));
    scene.delivers();
    scene.segment("newsletter", &people(3..=30));
    scene.faults(&["DELETE /list/** nth=1 status=400"]);
    let report = scene.run("").exits(1).report();
    assert_eq!(report.summary(), "partial: 28 read, 28 unchanged; 2 planned, 1 removed, 1 refused");
    scene.comes_to("succeeded: 28 read, 28 unchanged; 1 planned, 1 removed");
    scene.has_members("newsletter", &people(3..=30));
}

#[test]
fn a_removal_of_who_is_gone_already_counts_as_removed() {
    let scene = Scene::new(&people(1..=30));
    scene.delivers();
    scene.segment("newsletter", &people(3..=30));
    scene.faults(&["DELETE /list/** nth=1 status=200 commit body=\"{\\\"not_modified\\\":true}\""]);
    scene.comes_to("succeeded: 28 read, 28 unchanged; 2 planned, 2 removed");
    scene.has_members("newsletter", &people(3..=30));
}

#[test]
fn a_failed_single_add_leaves_the_row_undelivered() {
    let scene = Scene::faulty(&["POST /list/** nth=4 status=400"], &people(1..=30));
    scene.connection("list_membership = \"single\"");
    let report = scene.run("").exits(1).report();
    assert_eq!(report.summary(), "partial: 30 read, 29 added, 1 refused");
    assert_eq!(scene.members("newsletter").len(), 29);
    scene.comes_to("succeeded: 30 read, 29 unchanged, 1 added");
    scene.has_members("newsletter", &people(1..=30));
}
