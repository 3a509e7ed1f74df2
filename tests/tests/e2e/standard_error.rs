//! Standard streams that cannot be written to, or that nobody reads.

use std::fs::File;
use std::io;

use segport_tests::{Gate, Hold, Scene, people};

/// How a shell makes its own standard error fail: the disk is full, or whoever read it has gone.
const BROKEN: [&str; 2] = ["exec 2>/dev/full", "mkfifo gone && { true <gone & } && exec 2>gone && wait"];

#[test]
fn a_log_that_cannot_be_written_changes_nothing() {
    for broken in BROKEN {
        for verbosity in ["", "-vv", "-vvv"] {
            let scene = Scene::new(&people(1..=30));
            scene.connection("rows_per_batch = 5");
            // No directory, and so there is something to warn of.
            scene.write(".segport/pace", "");
            let run = scene.shell(&format!("{broken} && exec segport {verbosity} run --output json")).run();
            assert_eq!(run.exits(0).report().summary(), "succeeded: 30 read, 30 added", "{broken} {verbosity}");
            scene.has_members("newsletter", &people(1..=30));
        }
        let scene = Scene::new(&people(1..=3));
        scene.write("plugins/libsegport_odd.so", "not a library");
        scene.write("segport.toml", format!("{}\n[plugins]\npath = [\"plugins\"]\n", scene.read("segport.toml")));
        scene.shell(&format!("{broken} && exec segport schema --out written")).run().exits(0);
        assert!(scene.path("written/export.json").is_file());
    }
}

#[test]
fn a_report_that_cannot_be_written_keeps_no_other_export_from_its_run() {
    let scene = Scene::new(&people(1..=3));
    scene.write("exports/again.toml", scene.read("exports/newsletter.toml"));
    let told = scene.shell("exec segport run --all >/dev/full").run();
    told.exits(1).says("cannot write to standard output");
    let runs = scene.call("runs --output json").exits(0).stdout.clone();
    assert_eq!(runs.lines().filter(|run| run.contains("\"status\":\"succeeded\"")).count(), 2, "{runs}");
}

#[test]
fn a_filter_that_cannot_be_read_is_told_of_where_that_can_be() {
    let scene = Scene::new(&people(1..=3));
    let filter = |call: segport_tests::Segport| call.env("SEGPORT_LOG", "segport=debug,a=b=c, é=loud").run();
    let told = filter(scene.segport("status"));
    told.exits(0).says("SEGPORT_LOG: ignoring `a=b=c`").says("SEGPORT_LOG: ignoring `é=loud`");
    assert!(!told.stderr.contains("`segport=debug`"), "{told}");
    for broken in BROKEN {
        filter(scene.shell(&format!("{broken} && exec segport status"))).exits(0);
    }
}

#[test]
fn a_run_outlives_its_terminal() {
    let mut scene = Scene::new(&people(1..=30));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "rows_per_batch = 5\nmax_in_flight = 1");
    gate.hold("POST /contacts", 3, Hold::Done);
    // Opened for both, so that the shell does not wait for a reader.
    let line = "trap \"\" HUP; exec segport -vv run --output json 1<>report";
    let terminal = scene.shell(&format!("mkfifo report && exec script -qc '{line}' /dev/null")).start();
    gate.wait();
    // Only the run writes there, and so this ends when it does.
    let printed = File::open(scene.path("report")).unwrap();
    terminal.kill();
    gate.open();
    let report = io::read_to_string(printed).unwrap();
    assert!(report.contains("\"status\":\"succeeded\""), "{report}");
    scene.has_members("newsletter", &people(1..=30));
}

#[test]
fn signals_end_a_run_whose_standard_error_takes_nothing_more() {
    // Without a reader and full to the brim.
    let full = "mkfifo full && exec 2<>full && { dd if=/dev/zero of=full bs=4096 oflag=nonblock conv=notrunc >/dev/null 2>&1; true; }";
    for filter in ["segport=warn", "segport_transport=debug"] {
        let mut scene = Scene::new(&people(1..=30));
        let gate = Gate::new(&scene.sandbox);
        scene.through(&gate, "rows_per_batch = 5\nmax_in_flight = 1");
        gate.hold("GET /lists", 1, Hold::Done);
        let call = scene.shell(&format!("{full} && exec segport run --output json")).env("SEGPORT_LOG", filter);
        let run = call.start();
        gate.wait();
        if filter.ends_with("debug") {
            // The answer is told of, which does not end.
            gate.open();
        }
        run.interrupt();
        run.terminate();
        let ended = run.wait();
        assert!([130, 143].contains(&ended.code()), "{filter}: {ended}");
    }
}
