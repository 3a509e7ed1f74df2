//! Runs that are asked to end while the destination does not answer, and runs that are stopped and go on later.

use std::fs;
use std::time::{Duration, Instant};

use segport_tests::{Gate, Hold, Scene, people};

/// A scene whose run is held at its third batch of five rows.
fn held(max_in_flight: u32, hold: Hold) -> (Scene, Gate) {
    let mut scene = Scene::new(&people(1..=40));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, &format!("rows_per_batch = 5\nmax_in_flight = {max_in_flight}\nlist_membership = \"bulk\""));
    gate.hold("POST /contacts", 3, hold);
    (scene, gate)
}

#[test]
fn a_service_that_is_stopped_does_not_wait_for_ever() {
    let (scene, gate) = held(2, Hold::Unseen);
    let mut run = scene.segport("run --output json").start();
    gate.wait();
    let asked = Instant::now();
    run.terminate();
    run.says("stopping");
    let ended = run.wait();
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    let report = ended.exits(143).report();
    assert_eq!(report.0["status"], "cancelled", "{ended}");
    let [added, unknown] = ["added", "unknown"].map(|name| report.count("rows", name));
    assert_eq!(added, 10, "{ended}");
    assert!((5..=10).contains(&unknown), "{ended}");
    gate.cut();
    scene.delivers();
    scene.has_contacts(&people(1..=40));
    scene.has_members("newsletter", &people(1..=40));
}

#[test]
fn a_pause_of_the_destination_keeps_no_run_from_ending() {
    let scene = Scene::faulty(&["POST /contacts status=429 retry-after=60"], &people(1..=40));
    scene.connection("rows_per_batch = 5\nmax_in_flight = 6\nlist_membership = \"bulk\"");
    let mut run = scene.segport("run -vv --output json").start();
    run.says("status=429");
    run.terminate();
    let ended = run.wait();
    // Calls that are waited for in vain are unknown.
    assert_eq!(ended.exits(143).report().summary(), "cancelled: 40 read, 40 deferred", "{ended}");
}

#[test]
fn a_run_that_sleeps_keeps_its_export() {
    let (scene, gate) = held(1, Hold::Done);
    let run = scene.segport("run --output json").start();
    gate.wait();
    run.stop();
    // There is no time after which an owner counts as gone: it is one as long as its process is there.
    scene.run("").exits(5).says("newsletter");
    gate.open();
    scene.run("").exits(5);
    run.resume();
    assert_eq!(run.wait().exits(0).report().summary(), "succeeded: 40 read, 40 added");
    scene.comes_to("succeeded: 40 read, 40 unchanged");
}

#[test]
fn a_run_that_lost_its_export_while_it_slept_writes_nothing_more() {
    for hold in [Hold::Unseen, Hold::Done] {
        let (scene, gate) = held(1, hold);
        let sleeper = scene.segport("run --output json").start();
        gate.wait();
        sleeper.stop();
        // Somebody tidies up, and so the next run has a lock of its own.
        fs::remove_file(scene.path(".segport/locks/newsletter.lock")).unwrap();
        gate.open();
        let second = scene.delivers();
        let after = (scene.requests_to("POST /contacts"), scene.rows_of(second.run_id()));

        sleeper.resume();
        let ended = sleeper.wait();
        let report = ended.exits(1).report();
        assert_eq!(report.0["status"], "failed", "{ended}");
        assert_eq!(report.problems(), ["SP0602"], "{ended}");
        assert!(ended.stdout.contains("lost to a newer run"), "{ended}");
        assert_eq!((report.count("rows", "added"), report.count("rows", "unknown")), (10, 5), "{ended}");
        assert_eq!((scene.requests_to("POST /contacts"), scene.rows_of(second.run_id())), after, "{hold:?}");
        let runs = scene.call("runs --output json");
        let statuses: Vec<_> = runs.exits(0).objects().iter().map(|run| run["status"].clone()).collect();
        assert_eq!(statuses, ["succeeded", "interrupted"], "{runs}");

        assert_eq!(scene.comes_to("succeeded: 40 read, 40 unchanged").requests(), 0);
        scene.has_contacts(&people(1..=40));
        scene.has_members("newsletter", &people(1..=40));
    }
}
