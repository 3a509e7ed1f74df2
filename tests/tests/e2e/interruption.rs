//! Runs that end in the middle.

use segport_tests::{Gate, Hold, Person, Scene, people};

/// A scene whose connection goes through a gate.
fn gated(newsletter: &[Person], settings: &str) -> (Scene, Gate) {
    let mut scene = Scene::new(newsletter);
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, settings);
    (scene, gate)
}

/// 30 people are delivered; then 3 leave, 4 change, 26 come, and 21 of them all are in a second segment.
struct Upheaval {
    scene: Scene,
    gate: Gate,
    newsletter: Vec<Person>,
    vip: Vec<Person>,
}

impl Upheaval {
    fn new() -> Self {
        let (scene, gate) = gated(&people(4..=33), "rows_per_batch = 5\nmax_in_flight = 2");
        scene.delivers();
        let mut newsletter = people(7..=59);
        newsletter.iter_mut().take(4).for_each(|person| person.given_name = "New".to_owned());
        let vip = people(20..=40);
        scene.segment("newsletter", &newsletter);
        scene.segment("vip", &vip);
        scene.segments(&["newsletter", "vip"], "");
        Self { scene, gate, newsletter, vip }
    }

    /// Whatever happened before, one run makes everything right, and another one has nothing to do.
    fn is_settled_by_a_run(&self) {
        let Self { scene, newsletter, vip, .. } = self;
        scene.delivers();
        scene.has_contacts(&[people(4..=6), newsletter.clone()].concat());
        scene.has_members("newsletter", newsletter);
        scene.has_members("vip", vip);
        assert_eq!(scene.sandbox.autopilot().counts().lists.len(), 2);
        let report = scene.comes_to("succeeded: 53 read, 53 unchanged");
        assert_eq!(report.requests(), 0);
    }
}

/// Kills a run at its nth request to an endpoint, before the destination saw it and after the destination did it.
fn survives_death_at(endpoint: &str, nth: u32) {
    for hold in [Hold::Unseen, Hold::Done] {
        let upheaval = Upheaval::new();
        let gate = &upheaval.gate;
        gate.hold(endpoint, nth, hold);
        let run = upheaval.scene.segport("run --output json").start();
        gate.wait();
        let killed = run.kill();
        assert_eq!(killed.stdout, "", "{killed}");
        gate.cut();
        upheaval.is_settled_by_a_run();
    }
}

#[test]
fn killed_while_it_looks_for_lists() {
    survives_death_at("GET /lists", 1);
}

#[test]
fn killed_while_it_makes_a_list() {
    survives_death_at("POST /list", 1);
}

#[test]
fn killed_at_its_first_batch() {
    survives_death_at("POST /contacts", 1);
}

#[test]
fn killed_while_it_tests_bulk_lists() {
    survives_death_at("GET /list/", 1);
}

#[test]
fn killed_in_the_middle() {
    survives_death_at("POST /contacts", 5);
}

#[test]
fn killed_while_it_removes_leavers() {
    survives_death_at("DELETE /list/", 2);
}

#[test]
fn a_killed_run_can_be_retried_and_is_listed_as_interrupted() {
    let (scene, gate) = gated(&people(1..=3), "");
    gate.hold("POST /contacts", 1, Hold::Done);
    let run = scene.segport("run").start();
    gate.wait();
    let running = scene.call("runs --output json");
    assert_eq!(running.exits(0).objects()[0]["status"], "running", "{running}");
    run.kill();
    gate.cut();
    is_interrupted(&scene);
    let retried = scene.call("retry --output json");
    assert_eq!(retried.exits(0).report().summary(), "succeeded: 3 read, 3 added");
    scene.has_members("newsletter", &people(1..=3));
    let runs = scene.call("runs --output json");
    let statuses: Vec<_> = runs.exits(0).objects().iter().map(|run| run["status"].clone()).collect();
    assert_eq!(statuses, ["succeeded", "interrupted"]);
}

/// Nobody but the looker says so: the run could write nothing down, and no other one took over.
#[track_caller]
fn is_interrupted(scene: &Scene) {
    let runs = scene.call("runs --output json");
    assert_eq!(runs.exits(0).objects()[0]["status"], "interrupted", "{runs}");
    scene.call("runs").exits(0).prints("interrupted").says("the next run of `newsletter` settles what has no outcome");
    scene.call("runs latest").exits(0).prints("newsletter: interrupted").prints("segport run newsletter");
    let status = scene.call("status --output json");
    let standing = &status.exits(0).objects()[0];
    assert_eq!(standing["last_run"]["status"], "interrupted", "{status}");
    assert!(standing["open_problems"][0].as_str().unwrap().contains("died"), "{status}");
    scene.call("status").exits(0).prints("interrupted");
}

#[test]
fn looking_keeps_no_run_from_beginning() {
    let scene = Scene::new(&people(1..=3));
    scene.delivers();
    for _ in 0..5 {
        let lookers: Vec<_> = (0..4).map(|_| scene.segport("status").start()).collect();
        scene.run("").exits(0);
        lookers.into_iter().for_each(|looker| {
            looker.wait().exits(0);
        });
    }
}

/// A scene whose run is held at its third batch of five rows, one batch at a time.
fn held(hold: Hold) -> (Scene, Gate) {
    let (scene, gate) = gated(&people(1..=30), "rows_per_batch = 5\nmax_in_flight = 1");
    gate.hold("POST /contacts", 3, hold);
    (scene, gate)
}

#[test]
fn a_signal_ends_a_run_after_what_is_under_way() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (scene, gate) = held(Hold::Done);
        let mut run = scene.segport("run --output json").start();
        gate.wait();
        if signal == "INT" {
            run.interrupt()
        } else {
            run.terminate()
        }
        run.says("stopping");
        gate.open();
        let report = run.wait().exits(code).report();
        assert_eq!(report.summary(), "cancelled: 30 read, 15 added, 15 deferred", "{signal}");
        scene.has_contacts(&people(1..=15));
        scene.has_members("newsletter", &people(1..=15));
        scene.comes_to("succeeded: 30 read, 15 unchanged, 15 added");
        scene.has_members("newsletter", &people(1..=30));
    }
}

#[test]
fn all_that_an_interrupted_run_put_off_is_in_its_problems() {
    let (scene, gate) = gated(&people(1..=100), "rows_per_batch = 5\nmax_in_flight = 1\nrequests_per_second = 5");
    gate.hold("POST /contacts", 2, Hold::Done);
    let mut run = scene.segport("run --output json").start();
    gate.wait();
    run.terminate();
    run.says("stopping");
    gate.open();
    let report = run.wait().exits(143).report();
    assert_eq!(report.summary(), "cancelled: 100 read, 10 added, 90 deferred");
    let counted = |problem: &serde_json::Value| {
        let message = problem["message"].as_str()?;
        message.split_once(" rows deferred")?.0.parse::<u64>().ok()
    };
    let problems = report.0["problems"].as_array().unwrap();
    assert_eq!(problems.iter().filter_map(counted).sum::<u64>(), 90, "{problems:?}");
}

#[test]
fn what_an_interrupted_run_had_not_sent_is_deferred_and_not_unknown() {
    let check = |endpoint: &str, settings: &str, expected: &str| {
        let (scene, gate) = gated(&people(1..=30), &format!("rows_per_batch = 5\n{settings}"));
        gate.hold(endpoint, 1, Hold::Unseen);
        let mut run = scene.segport("run --output json").start();
        gate.wait();
        run.terminate();
        run.says("stopping");
        assert_eq!(run.wait().exits(143).report().summary(), expected, "{endpoint}");
        gate.cut();
        scene.delivers();
        scene.has_members("newsletter", &people(1..=30));
    };
    std::thread::scope(|threads| {
        // One batch is on the wire, and others wait for what it finds out about its list.
        let probe = "max_in_flight = 4";
        threads.spawn(|| check("POST /contacts", probe, "cancelled: 30 read, 25 deferred, 5 unknown"));
        // Contacts are written, and the first of them is being put on the list.
        let single = "max_in_flight = 1\nlist_membership = \"single\"";
        threads.spawn(|| check("POST /list/", single, "cancelled: 30 read, 29 deferred, 1 unknown"));
    });
}

#[test]
fn a_second_signal_ends_a_run_at_once() {
    let (scene, gate) = held(Hold::Done);
    let mut run = scene.segport("run --output json").start();
    gate.wait();
    run.interrupt();
    run.says("stopping");
    run.interrupt();
    let ended = run.wait();
    assert_eq!(ended.exits(130).stdout, "");
    gate.cut();
    assert_eq!(scene.delivers().count("rows", "read"), 30);
    scene.has_contacts(&people(1..=30));
    scene.has_members("newsletter", &people(1..=30));
}

#[test]
fn a_signal_before_the_first_batch_sends_nothing() {
    let (scene, gate) = gated(&people(1..=30), "");
    gate.hold("GET /lists", 1, Hold::Unseen);
    let mut run = scene.segport("run --output json").start();
    gate.wait();
    run.interrupt();
    run.says("stopping");
    let report = run.wait().exits(130).report();
    assert_eq!(report.summary(), "cancelled: 30 read, 30 deferred");
    assert_eq!(report.0["problems"][0]["message"], "30 rows deferred: not tried: the run was interrupted");
    gate.cut();
    assert_eq!(scene.requests_to("POST /contacts"), 0);
    scene.comes_to("succeeded: 30 read, 30 added");
}

#[test]
fn an_export_has_one_run_at_a_time() {
    let (scene, gate) = held(Hold::Unseen);
    let run = scene.segport("run --output json").start();
    gate.wait();
    scene.run("").exits(5).says("newsletter");
    scene.call("plan").exits(0);
    scene.call("status").exits(0);
    gate.open();
    assert_eq!(run.wait().exits(0).report().summary(), "succeeded: 30 read, 30 added");
    scene.comes_to("succeeded: 30 read, 30 unchanged");
}

#[test]
fn exports_do_not_wait_for_one_another() {
    let (scene, gate) = held(Hold::Unseen);
    scene.segment("vip", &people(31..=32));
    let export = scene.read("exports/newsletter.toml");
    scene.write("exports/vip.toml", export.replace("\"newsletter\"", "\"vip\"").replace("\"autopilot\"", "\"second\""));
    let connection = scene.read("connections/autopilot.toml");
    scene.write("connections/second.toml", connection.replace(&gate.base_url(), &scene.sandbox.base_url()));
    let run = scene.segport("run newsletter --output json").start();
    gate.wait();
    assert_eq!(scene.run("vip").exits(0).report().summary(), "succeeded: 2 read, 2 added");
    gate.open();
    assert_eq!(run.wait().exits(0).report().summary(), "succeeded: 30 read, 30 added");
}
