//! `rows --reveal`: who the rows are, read again from the source.

use segport_tests::{Ended, Person, Scene, people};
use serde_json::Value;

/// A scene whose newsletter is this CSV file.
fn scene_of(rows: &[&str]) -> Scene {
    let scene = Scene::new(&[]);
    scene.edit(
        "exports/newsletter.toml",
        "company = \"employer\"",
        "company = \"employer\"\n\n[fields.custom]\n\"Age\" = { column = \"age\", type = \"integer\" }",
    );
    source(&scene, rows);
    scene
}

fn source(scene: &Scene, rows: &[&str]) {
    let head = "customer_id,email_address,given_name,employer,age";
    scene.write("data/newsletter.csv", format!("{head}\n{}\n", rows.join("\n")));
}

/// The rows of the newest run as `outcome: key = identity`, without the order in which outcomes came in.
#[track_caller]
fn revealed(scene: &Scene) -> Vec<String> {
    let ended = scene.call("rows latest --reveal --output json");
    assert_eq!(ended.exits(0).stderr, "", "{ended}");
    let row = |row: &Value| {
        assert!(row["identity_hash"].is_string() || row["identity"].is_null(), "{row}");
        format!("{}: {} = {}", row["outcome"].as_str().unwrap(), row["key"], row["identity"]).replace('"', "")
    };
    let mut rows: Vec<String> = ended.objects().iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn rows_are_revealed_by_key_and_address() {
    let scene = scene_of(&[
        "c1,ok@example.com,Ann,,41",
        "c2, OK@Example.com ,Twin,,1",
        "c3,old@example.com,Old,,old",
        "c4,ok@example.com,Triplet,,2",
        "c5,,Nobody,,3",
        "c6,bad@example.com,Bad,,4",
        "c7,surplus@example.com,S,,5,surplus",
        ",,Neither,,6",
    ]);
    scene.faults(&["POST /contacts refuse-email=bad@*"]);
    scene.run("").exits(1);
    assert_eq!(
        revealed(&scene),
        [
            "added: c1 = ok@example.com",
            "duplicate: c2 = ok@example.com",
            "duplicate: c4 = ok@example.com",
            "invalid: c3 = old@example.com",
            "invalid: c5 = null",
            "invalid: null = null",
            "invalid: null = null",
            "refused: c6 = bad@example.com",
        ]
    );
    let text = scene.call("rows latest --reveal");
    text.exits(0).prints("c3  old@example.com").prints("c5  -").prints("newsletter.csv, line 8");
    let one = scene.call("rows latest --reveal --outcome duplicate --output json");
    let keys: Vec<_> = one.exits(0).objects().iter().map(|row| row["key"].clone()).collect();
    assert_eq!(keys, ["c2", "c4"]);
}

#[test]
fn nothing_is_revealed_unless_asked_for() {
    let scene = Scene::new(&people(1..=3));
    scene.delivers();
    for row in scene.call("rows latest --output json").exits(0).objects() {
        assert!(row.get("key").is_none() && row.get("identity").is_none(), "{row}");
    }
    // Not for the log, and without the connection's secret.
    let ended = scene.keyless("rows latest --reveal -vvv").run();
    ended.exits(0).prints("p1@example.com");
    assert!(!ended.stderr.contains("p1@"), "{ended}");
}

#[test]
fn what_the_source_has_lost_cannot_be_revealed() {
    let scene = Scene::new(&people(1..=30));
    scene.delivers();
    scene.segment("newsletter", &people(2..=30));
    scene.delivers();
    assert_eq!(revealed(&scene), ["removed: null = null"]);
    scene.call("rows latest --reveal").exits(0).prints("not in the source any more");
    let gone = |ended: &Ended| ended.exits(2).says("newsletter").stdout.is_empty();
    scene.write("exports/other.toml", scene.read("exports/newsletter.toml"));
    std::fs::remove_file(scene.path("exports/newsletter.toml")).unwrap();
    assert!(gone(&scene.call("rows latest --reveal")));
    scene.write("exports/newsletter.toml", scene.read("exports/other.toml"));
    std::fs::remove_file(scene.path("data/newsletter.csv")).unwrap();
    assert!(gone(&scene.call("rows latest --reveal")));
    scene.call("rows latest").exits(0).prints("removed");
}

#[test]
fn a_profile_in_two_segments_is_no_duplicate_of_itself() {
    let scene = Scene::new(&people(1..=2));
    scene.segment("vip", &[Person::new(2), Person::new(3), Person::new(9).email("p3@example.com")]);
    scene.segments(&["newsletter", "vip"], "");
    scene.comes_to("succeeded: 4 read, 3 added, 1 duplicate");
    assert_eq!(
        revealed(&scene),
        [
            "added: c1 = p1@example.com",
            "added: c2 = p2@example.com",
            "added: c3 = p3@example.com",
            "duplicate: c9 = p3@example.com",
        ]
    );
}

#[test]
fn a_key_of_several_columns_is_shown_whole() {
    let scene = Scene::new(&[Person::new(1).given_name("\u{1b}[31mred")]);
    scene.edit("segments/newsletter.toml", "\"customer_id\"", "[\"given_name\", \"customer_id\"]");
    scene.delivers();
    assert_eq!(revealed(&scene), ["added: [\\u001b[31mred,c1] = p1@example.com"]);
    let text = scene.call("rows latest --reveal");
    text.exits(0).prints("\\u{1b}[31mred, c1  p1@example.com");
}
