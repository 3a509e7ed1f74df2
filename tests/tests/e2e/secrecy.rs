//! Neither the key nor anybody's data is anywhere but where it belongs.

use std::fs;
use std::path::{Path, PathBuf};

use segport_tests::{Ended, KEY, Person, Scene, csv};

/// Texts of the data that may be found nowhere else. Addresses and names are unlike anything else in the tests.
/// The last one is nobody's in them: the destination names somebody of its own.
const CANARIES: [&str; 6] = ["kanarie", "Kanarifugl", "KanariAS", "refuse.zebra", "leave.okapi", "Wellensittich"];

fn flock() -> Vec<Person> {
    let person = |number: u32, email: &str| Person {
        employer: "KanariAS".to_owned(),
        ..Person::new(number).email(email).given_name("Kanarifugl")
    };
    let mut flock: Vec<Person> =
        (1..=30).map(|number| person(number, &format!("kanarie{number}@example.com"))).collect();
    flock.push(person(31, "kanarie31 at example.com"));
    flock.push(person(32, "KANARIE1@example.com"));
    flock.push(person(33, "refuse.zebra@example.com"));
    flock.push(person(34, "leave.okapi@example.com"));
    flock
}

/// Every file below a directory, `data` left out.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "data") {
                files(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

fn is_clean(place: &str, bytes: &[u8]) {
    for text in CANARIES.into_iter().chain([KEY]) {
        assert!(!holds(bytes, text), "`{text}` is in {place}");
    }
}

#[track_caller]
fn says_nothing(words: &str, ended: &Ended) {
    is_clean(&format!("the output of `{words}`"), ended.stdout.as_bytes());
    is_clean(&format!("the messages of `{words}`"), ended.stderr.as_bytes());
}

#[test]
fn runs_of_all_kinds_leave_no_trace() {
    let echo = r#"body="{\"message\":\"Invalid value Kanarifugl of KANARIAS, conflicts with Wellensittich\"}""#;
    let scene = Scene::faulty(&[&format!("POST /contacts refuse-email=refuse.zebra@* status=400 {echo}")], &flock());
    let call = |words: &str| {
        let ended = scene.call(words);
        says_nothing(words, &ended);
        ended
    };
    call("check");
    call("plan -vv --out plan.json").exits(0);
    call("connect autopilot -vv").exits(0);
    let run = call("run -vv --output json");
    assert_eq!(run.exits(1).report().summary(), "partial: 34 read, 31 added, 1 invalid, 1 duplicate, 1 refused");
    assert!(call("rows latest").stdout.contains("Invalid value [...] of [...] conflicts with [...]"));

    let mut rest = flock();
    rest.pop();
    rest[2].given_name = "Kanarifugl2".to_owned();
    scene.segment("newsletter", &rest);
    scene.write("data/newsletter.csv", csv(&rest) + "c99,kanarie99@example.com,Kanarifugl,KanariAS,surplus\n");
    scene.faults(&["POST /contacts reset-after-body", "POST /list/** status=500 body=\"kanarie1@example.com\""]);
    let run = call("run -vv");
    run.exits(1);
    scene.faults(&["POST /contacts nth=1 status=400 body=\"kanarie1@example.com is not welcome\""]);
    call("run -vv");
    scene.segment("newsletter", &rest);
    scene.faults(&["POST /contacts nth=1 status=500 body=\"kanarie1@example.com\""]);
    call("run -vv");
    for words in ["status", "runs", "runs --output json", "retry -vv", "connectors list", "plan --output json"] {
        call(words);
    }
    let runs = scene.call("runs --output json").reports();
    assert!(runs.len() >= 4);
    for run in runs {
        call(&format!("rows {}", run.run_id()));
        call(&format!("rows {} --output json", run.run_id()));
        call(&format!("runs {}", run.run_id()));
    }
    let mut found = Vec::new();
    files(scene.dir(), &mut found);
    for name in ["state.db", "segport.lock", "plan.json"] {
        assert!(found.iter().any(|path| path.ends_with(name)), "{name} is not among {found:?}");
    }
    for path in found {
        is_clean(&path.display().to_string(), &fs::read(&path).unwrap());
    }
    // The search itself works: what was sent is found where it was sent to.
    assert!(holds(
        scene.sandbox.autopilot().contact("kanarie3@example.com").unwrap().to_string().as_bytes(),
        "Kanarifugl"
    ));
}

#[test]
fn what_waits_on_disk_is_not_readable_after_a_crash() {
    use segport_tests::{Gate, Hold};

    // More rows than one block holds in memory.
    let people: Vec<Person> = (1..=9000).map(|n| Person::new(n).email(&format!("kanarie{n}@example.com"))).collect();
    let mut scene = Scene::new(&people);
    let gate = Gate::new(&scene.sandbox);
    gate.hold("GET /lists", 1, Hold::Unseen);
    scene.through(&gate, "");
    let run = scene.segport("run").start();
    gate.wait();
    let mut found = Vec::new();
    files(scene.dir(), &mut found);
    for path in &found {
        is_clean(&path.display().to_string(), &fs::read(path).unwrap());
    }
    run.kill();
    gate.cut();
    scene.comes_to("succeeded: 9000 read, 9000 added");
}

#[test]
fn state_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    // Whoever makes the directory.
    for first in ["run", "connect autopilot"] {
        let scene = Scene::new(&flock()[..3]);
        scene.connection("requests_per_second = 100");
        scene.shell(&format!("umask 000 && exec segport {first}")).run().exits(0);
        scene.delivers();
        let mut found = Vec::new();
        files(&scene.path(".segport"), &mut found);
        assert!(!found.is_empty());
        let is_open = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077 != 0;
        let open: Vec<&PathBuf> = found.iter().filter(|path| is_open(path)).collect();
        assert!(!is_open(&scene.path(".segport")), "{first}: others can read {open:?}");
    }
}

#[test]
fn a_key_in_an_address_is_refused_and_not_shown() {
    let scene = Scene::new(&flock()[..3]);
    scene.edit("connections/autopilot.toml", "/v1\"", &format!("/v1?apikey={KEY}\""));
    for words in ["check", "run -vv", "connect autopilot -vv"] {
        let ended = scene.call(words);
        assert_ne!(ended.code(), 0, "{words}");
        says_nothing(words, &ended);
    }
    assert_eq!(scene.requests(), 0);
}

#[test]
fn the_suppression_list_leaves_no_trace() {
    let scene = Scene::new(&flock());
    scene.write("data/out.csv", "id,email\n1,kanarie2@example.com\n2,kanarie at example.com\n");
    scene.write("data/out.txt", "kanarie3@example.com\nkanarie at example.com\n");
    let says_nothing_of = |name: &str, ended: Ended| {
        says_nothing(name, &ended);
        ended
    };
    let call = |words: &str| says_nothing_of("suppress", scene.call(&format!("suppress {words} -vv")));
    call("add kanarie1@example.com").exits(0);
    call("add kanarie1@example.com refuse.zebra --output json").exits(1);
    call("import --column email data/out.csv").exits(1);
    call("import --column kein data/out.csv").exits(2);
    call("import data/out.txt").exits(1);
    call("check kanarie1@example.com leave.okapi").exits(2);
    call("check kanarie1@example.com --output json").exits(1);
    call("remove kanarie3@example.com refuse.zebra").exits(1);
    call("add kanarie4@example.com -").exits(2);
    let typed = scene.segport("suppress add -").reading(&scene.path("data/out.txt")).run();
    says_nothing_of("suppress add -", typed).exits(1);

    let mut found = Vec::new();
    files(scene.dir(), &mut found);
    assert!(found.iter().any(|path| path.ends_with("state.db-suppression")), "{found:?}");
    for path in found {
        is_clean(&path.display().to_string(), &fs::read(&path).unwrap());
    }
}
