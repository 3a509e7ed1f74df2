//! Looking back: runs, rows and status.

use std::collections::BTreeSet;

use segport_tests::{Ended, Person, Scene, people};
use serde_json::Value;

#[test]
fn runs_are_listed_newest_first() {
    let scene = Scene::new(&people(1..=3));
    assert_eq!(scene.call("runs --output json").exits(0).stdout, "");
    scene.call("runs").exits(0).says("no runs");
    let first = scene.delivers();
    let second = scene.delivers();
    let listed = scene.call("runs --output json");
    assert_eq!(listed.exits(0).reports(), [second.clone(), first.clone()]);
    let one = scene.call("runs --limit 1 --output json");
    assert_eq!(one.says("`--limit N` lists more").report(), second);
    assert_eq!(scene.call("runs --limit 2 --output json").stderr, "");
    scene.call(&format!("rows {}", second.run_id())).exits(0).says("every row that this run read was unchanged");
    scene.call("rows latest --outcome refused").exits(0).says("no row of this run was refused");
    scene.call("runs --export nothing").exits(2).says("SP0215");
    let table = scene.call("runs");
    table.exits(0).prints(first.run_id()).prints(second.run_id());
    assert!(table.stdout.find(second.run_id()) < table.stdout.find(first.run_id()), "{table}");
}

#[test]
fn a_run_is_named_by_the_beginning_of_its_id() {
    let scene = Scene::new(&people(1..=3));
    let report = scene.delivers();
    let shown = scene.call(&format!("runs {} --output json", report.run_id()));
    assert_eq!(shown.exits(0).report(), report);
    let begin = &report.run_id()[..20];
    assert_eq!(scene.call(&format!("runs {begin} --output json")).exits(0).report(), report);
    scene.call(&format!("runs {begin}")).exits(0).prints("added").prints(report.run_id());
    assert_eq!(scene.rows_of(begin).len(), 3);
    for words in ["runs ffff", "rows ffff", "retry ffff"] {
        scene.call(words).exits(2).says("ffff");
    }
}

#[test]
fn rows_are_named_by_hashes_that_stay() {
    let scene = Scene::new(&people(1..=3));
    let hashes = |report: &segport_tests::Report| -> Vec<String> {
        let rows = scene.call(&format!("rows {} --output json", report.run_id()));
        let mut hashes: Vec<_> =
            rows.exits(0).objects().iter().map(|row| row["identity_hash"].as_str().unwrap().to_owned()).collect();
        hashes.sort();
        hashes
    };
    let first = hashes(&scene.delivers());
    assert_eq!(first.len(), 3);
    let second = hashes(&scene.run("--full").report());
    assert_eq!(first, second);
    assert!(hashes(&scene.delivers()).is_empty(), "unchanged rows are not listed");
}

#[test]
fn rows_can_be_picked_by_outcome() {
    let mut customers = people(1..=30);
    customers[1].email = "nobody".to_owned();
    let scene = Scene::faulty(&["POST /contacts refuse-email=p3@*"], &customers);
    let report = scene.run("").exits(1).report();
    let count = |outcome: &str| {
        let rows = scene.call(&format!("rows {} --outcome {outcome} --output json", report.run_id()));
        let rows = rows.exits(0).objects();
        assert!(rows.iter().all(|row| row["outcome"] == outcome && row["run_id"] == report.run_id()));
        rows.len()
    };
    assert_eq!((count("added"), count("refused"), count("invalid"), count("unknown")), (28, 1, 1, 0));
    scene.call(&format!("rows {} --outcome unchanged", report.run_id())).exits(2).says("not listed");
    scene.call(&format!("rows {} --outcome nonsense", report.run_id())).exits(2).says("refused");
    scene.call(&format!("rows {} --outcome refused", report.run_id())).exits(0).prints("rejected");
}

#[test]
fn a_row_about_a_removal_is_told_from_one_about_a_delivery() {
    let scene = Scene::new(&people(1..=30));
    scene.delivers();
    scene.segment("newsletter", &people(3..=31));
    scene.faults(&["DELETE /list/** nth=1 status=400"]);
    scene.run("").exits(1);
    let rows = scene.call("rows latest --output json");
    let mut told: Vec<_> =
        rows.exits(0).objects().iter().map(|row| format!("{} {:?}", row["outcome"], row.get("leaver"))).collect();
    told.sort();
    assert_eq!(told, ["\"added\" None", "\"refused\" Some(Bool(true))", "\"removed\" Some(Bool(true))"]);
}

fn status(scene: &Scene) -> Value {
    let status = scene.call("status --output json");
    let mut lines = status.exits(0).objects();
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

#[test]
fn status_tells_where_an_export_stands() {
    let scene = Scene::new(&people(1..=30));
    let standing = status(&scene);
    assert_eq!((&standing["last_run"], &standing["rows_held"]), (&Value::Null, &0.into()));
    scene.call("status").exits(0).prints("never");

    scene.faults(&["POST /contacts refuse-email=p3@*"]);
    let report = scene.run("").exits(1).report();
    let standing = status(&scene);
    assert_eq!(standing["last_run"]["run_id"], report.run_id());
    assert_eq!((&standing["last_run"]["status"], &standing["rows_held"]), (&"partial".into(), &29.into()));
    assert_eq!(standing["open_problems"], serde_json::json!(["1 row to retry"]));

    scene.faults(&[]);
    scene.delivers();
    let standing = status(&scene);
    assert_eq!((&standing["rows_held"], &standing["open_problems"]), (&30.into(), &serde_json::json!([])));
    assert_eq!(standing["next_run"], Value::Null);
    scene.export("[schedule]\ncron = \"0 6 * * *\"\ntime_zone = \"Europe/Oslo\"");
    assert!(status(&scene)["next_run"].is_string());
}

#[test]
fn a_report_tells_who_delivered_and_with_what() {
    let scene = Scene::new(&people(1..=3));
    let first = scene.delivers();
    assert_eq!(first.0["plugin"]["id"], "autopilot");
    assert_eq!(first.0["plugin"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&first.0["connection"], &first.0["trigger"]), (&"autopilot".into(), &"manual".into()));
    assert!(first.0["started_at"].as_str() <= first.0["finished_at"].as_str());
    let second = scene.delivers();
    assert_eq!(first.0["config_hash"], second.0["config_hash"]);
    scene.export("[guards]\nmax_removals = \"20%\"");
    assert_ne!(scene.delivers().0["config_hash"], first.0["config_hash"]);
    assert!(first.run_id() < second.run_id(), "ids grow with time");
}

#[test]
fn what_people_read_says_the_same() {
    let scene = Scene::new(&people(1..=3));
    let first = scene.call("run");
    first.exits(0).prints("newsletter -> autopilot: succeeded").prints("added");
    assert!(!first.stdout.contains('\u{1b}'), "colours without a terminal: {first}");
    scene.call("run --color always").exits(0);
    assert_eq!(scene.call("run -q").exits(0).stderr, "");
}

#[test]
fn help_goes_to_standard_output_and_mistakes_do_not() {
    let scene = Scene::new(&[]);
    scene.call("--help").exits(0).prints("Exit codes");
    scene.call("run --help").exits(0).prints("--override");
    scene.call("--version").exits(0).prints("segport");
    scene.call("completions bash").exits(0).prints("_segport");
    let mistake = scene.call("rnu");
    assert_eq!(mistake.exits(2).stdout, "");
    assert!(scene.call("rnu --color always").exits(2).stderr.contains('\u{1b}'));
}

#[test]
fn a_name_in_a_file_of_data_does_not_drive_the_terminal() {
    let scene = Scene::new(&[]);
    let column = "x\u{1b}[2J\u{1b}]0;y\u{7}";
    let data = format!("customer_id,email_address,given_name,employer,{column}\n1,ann@example.com,Ann,Acme,many\n");
    scene.write("data/newsletter.csv", &data);
    let named = column.replace('\u{1b}', "\\u001b").replace('\u{7}', "\\u0007");
    scene.export(&format!("[fields.custom]\nSize = {{ column = \"{named}\", type = \"integer\" }}\n"));
    let is_harmless = |ended: &Ended| {
        assert!(!(ended.stdout.clone() + &ended.stderr).contains(['\u{1b}', '\u{7}']), "{ended}");
    };
    let shown = column.escape_default().to_string();
    for words in ["plan", "run", "rows latest", "status", "runs latest"] {
        is_harmless(&scene.call(words));
    }
    scene.call("plan").prints(&shown);
    scene.call("rows latest").prints(&shown);
    scene.write("data/newsletter.csv", data.replace(column, &format!("{column}z")));
    for words in ["plan", "run", "check", "status"] {
        is_harmless(&scene.call(words));
    }
    scene.call("plan").exits(2).says(&shown);
}

/// Also where nothing of them changed with the row.
#[test]
fn rows_tell_the_segments_they_are_in() {
    let scene = Scene::new(&people(1..=2));
    scene.segment("vip", &people(2..=2));
    scene.segments(&["newsletter", "vip"], "");
    scene.delivers();
    scene.segment("newsletter", &[Person::new(1), Person::new(2).given_name("New")]);
    scene.comes_to("succeeded: 2 read, 1 unchanged, 1 changed");
    let rows = scene.call("rows latest --output json").exits(0).objects();
    assert_eq!(rows[0]["segments"], serde_json::json!(["newsletter", "vip"]));
}

/// The fields that a command's help names behind `JSON`, without what stands in brackets.
fn named_fields(help: &str) -> BTreeSet<String> {
    let at = help.find("JSON:").or_else(|| help.find("JSON,")).unwrap();
    let text = help[at..].split("\n\n").next().unwrap();
    let mut depth = 0;
    let outside: String = text
        .chars()
        .filter(|letter| {
            depth += i32::from(*letter == '(') - i32::from(*letter == ')');
            depth == 0
        })
        .collect();
    let words = outside.split('`').skip(1).step_by(2).filter(|word| *word != "null");
    words.map(str::to_owned).collect()
}

#[test]
fn help_names_the_fields_of_json() {
    let scene = Scene::new(&people(1..=4));
    scene.delivers();
    scene.segment("newsletter", &people(2..=4));
    scene.run("--override max_removals").exits(0);
    let check = |command: &str, arguments: &str, exit: i32| {
        let help = scene.call(&format!("{command} --help"));
        let objects = scene.call(&format!("{command} {arguments} --output json")).exits(exit).objects();
        let fields: BTreeSet<_> =
            objects.iter().flat_map(|object| object.as_object().unwrap().keys().cloned()).collect();
        assert_eq!(fields, named_fields(&help.exits(0).stdout), "{command}");
    };
    check("rows", "latest", 0);
    check("status", "", 0);
    check("suppress add", "p1@example.com", 0);
    check("suppress check", "p1@example.com", 1);
    check("suppress remove", "p1@example.com", 0);
    check("connect", "autopilot", 0);
    check("connectors list", "", 0);
    check("connectors lock", "", 0);
    check("connectors new", "mailgrid", 0);
    check("schema", "--out elsewhere", 0);
    check("explain", "SP0203", 0);
    check("init", "shop", 0);
    scene.edit("exports/newsletter.toml", "email", "e-mail");
    check("check", "", 1);
}
