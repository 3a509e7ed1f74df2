//! The first minutes: `init`, `sandbox` and `demo`.

use segport_tests::{Play, Scene, Step, steps};

fn play(lines: &str) {
    let mut play = Play::default();
    for step in steps(&format!("```console\n{lines}\n```")) {
        play.perform(&step);
    }
}

#[test]
fn a_new_project_works_from_its_first_minute() {
    play(
        "$ segport init shop
         $ cd shop
         $ segport check
         $ segport plan
         $ segport plan --detailed-exitcode     # exit code 3
         $ segport run                          # exit code 2: nobody has accepted the text
         $ segport sandbox autopilot --rate 0 &
         $ segport connect autopilot --accept --by anna@example.org
         $ segport plan --out plan.json
         $ segport run --plan plan.json
         $ segport rows RUN
         $ segport plan --detailed-exitcode
         $ segport run
         $ segport status
         $ segport runs
         $ segport connectors list
         $ segport connectors verify
         $ segport connectors lock",
    );
}

#[test]
fn init_never_overwrites() {
    let scene = Scene::new(&[]);
    let before = scene.read("segport.toml");
    scene.call("init").exits(2).says("segport.toml");
    scene.call("init .").exits(2);
    assert_eq!(scene.read("segport.toml"), before);
    scene.call("init inner").exits(0);
    scene.call("-C inner check").exits(0);
}

#[test]
fn the_demo_does_what_it_promises() {
    let scene = Scene::new(&[]);
    let demo = scene.call("demo --profiles 300");
    demo.exits(0).prints("300 delivered").prints("0 sent");
    let demo = scene.call("demo --profiles 120 --output json");
    let objects = demo.exits(0).objects();
    assert_eq!(objects.len(), 3, "a plan and two reports: {demo}");
    assert_eq!((&objects[1]["rows"]["added"], &objects[2]["rows"]["unchanged"]), (&120.into(), &120.into()));
}

#[test]
fn the_sandbox_says_where_it_is_and_ends_when_told() {
    let scene = Scene::new(&[]);
    for (signal, code) in [("INT", 0), ("TERM", 0)] {
        let mut sandbox = scene.keyless("sandbox autopilot --listen 127.0.0.1:0 --rate 0").start();
        let url = sandbox.line();
        assert!(url.starts_with("http://127.0.0.1:") && url.trim_end().ends_with("/v1"), "{url}");
        let text = scene.read("connections/autopilot.toml");
        scene.write("connections/autopilot.toml", text.replace(&scene.sandbox.base_url(), url.trim()));
        scene.call("connect autopilot").exits(0);
        scene.write("connections/autopilot.toml", text);
        if signal == "INT" {
            sandbox.interrupt()
        } else {
            sandbox.terminate()
        }
        sandbox.wait().exits(code);
    }
}

#[test]
fn a_play_is_strict() {
    let steps = steps("```console\n$ segport explain SP9999\n```");
    assert_eq!(steps, [Step::Segport { line: "segport explain SP9999".to_owned(), exit: 0 }]);
    let failed = std::panic::catch_unwind(|| Play::default().perform(&steps[0]));
    assert!(failed.is_err(), "an exit code that the text does not announce is a failure");
}
