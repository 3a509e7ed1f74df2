//! Disks that lose what was not synced.

use segport_tests::{Disk, Gate, Hold, Scene, people};

/// Cuts the power while the nth request to an endpoint is held, done by the destination or not, and lets the next run put
/// everything right.
fn survives_a_cut_at(endpoint: &str, nth: u32, hold: Hold, seed: u64) {
    let mut scene = Scene::new(&people(1..=12));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "rows_per_batch = 5\nmax_in_flight = 2");
    let disk = Disk::default();
    disk.under(scene.segport("run")).run().exits(0);
    scene.segment("newsletter", &people(2..=34));
    scene.export("[guards]\nmax_removals = 1");

    gate.hold(endpoint, nth, hold);
    let run = disk.under(scene.segport("run")).start();
    gate.wait();
    run.kill();
    disk.lose_power(&scene.path(".segport"), seed);
    gate.cut();

    scene.delivers();
    scene.has_contacts(&people(1..=34));
    scene.has_members("newsletter", &people(2..=34));
    assert_eq!(scene.comes_to("succeeded: 33 read, 33 unchanged").requests(), 0);
}

#[test]
fn nothing_is_lost_when_the_power_goes_in_a_run() {
    for seed in 0..2 {
        for nth in 1..=3 {
            survives_a_cut_at("POST /contacts", nth, Hold::Done, seed);
            survives_a_cut_at("POST /contacts", nth, Hold::Unseen, seed);
        }
        survives_a_cut_at("DELETE /list/", 1, Hold::Done, seed);
    }
}

#[test]
fn a_report_that_was_printed_is_true_after_the_power_went() {
    for seed in 0..8 {
        let scene = Scene::new(&people(1..=30));
        scene.connection("rows_per_batch = 5");
        let disk = Disk::default();
        let run = disk.under(scene.segport("run --output json")).run();
        assert_eq!(run.exits(0).report().summary(), "succeeded: 30 read, 30 added");
        disk.lose_power(&scene.path(".segport"), seed);
        assert_eq!(scene.comes_to("succeeded: 30 read, 30 unchanged").requests(), 0, "seed {seed}");
    }
}
