//! The formats that segments are read from.

use std::fs::File;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, DurationSecondArray, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use segport_tests::{Person, Scene, csv, people};

/// A scene whose segment is read from other files.
fn scene_of(path: &str) -> Scene {
    let scene = Scene::new(&[]);
    scene.edit("segments/newsletter.toml", "newsletter.csv", path);
    scene
}

#[test]
fn json_lines() {
    let scene = scene_of("newsletter.jsonl");
    scene.write(
        "data/newsletter.jsonl",
        concat!(
            r#"{"customer_id":"c1","email_address":"p1@example.com","given_name":"Given \"1\"","employer":"Fjord AS"}"#,
            "\n",
            r#"{"given_name":"\ud83d\ude00","email_address":"p2@example.com","customer_id":"c2","employer":"Fjord AS","more":[1]}"#,
            "\n",
            r#"{"customer_id":"c3","email_address":"p3@example.com","given_name":"#,
            "\n",
            r#"{"customer_id":"c4","email_address":null,"given_name":"D","employer":null}"#,
            "\n",
        ),
    );
    scene.comes_to("succeeded: 4 read, 2 added, 2 invalid");
    scene.has_contacts(&[Person::new(1).given_name("Given \"1\""), Person::new(2).given_name("😀")]);
}

#[test]
fn parquet() {
    let scene = scene_of("newsletter.parquet");
    scene.write(
        "exports/newsletter.toml",
        "connection = \"autopilot\"\nsegments = [\"newsletter\"]\n\n[fields]\nemail = \"email_address\"\nfirst_name = \"given_name\"\n\
         company = \"employer\"\n\n[fields.custom]\n\"Orders\" = { column = \"orders\", type = \"integer\" }\n\"Ltv\" = { column = \"ltv\", type = \"float\" }\n",
    );
    let text = |values: &[Option<&str>]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("customer_id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("email_address", text(&[Some("p1@example.com"), Some("p2@example.com"), None])),
        ("given_name", text(&[Some("Given 1"), Some("Zoë \"Z\""), Some("C")])),
        ("employer", text(&[Some("Fjord AS"); 3])),
        ("orders", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-1), None]))),
        ("ltv", Arc::new(Float64Array::from(vec![Some(0.1), None, None]))),
        // Nobody asked for these, and nobody could export them.
        ("photo", Arc::new(BinaryArray::from_iter_values([[0xff, 0xd8]; 3]))),
        ("away_for", Arc::new(DurationSecondArray::from(vec![1, 2, 3]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(scene.path("data/newsletter.parquet")).unwrap(), rows.schema(), None)
            .unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    scene.call("check").exits(0);
    scene.comes_to("succeeded: 3 read, 2 added, 1 invalid");
    scene.has_contacts(&[Person::new(1), Person::new(2).given_name("Zoë \"Z\"")]);
    let contact = scene.sandbox.autopilot().contact("p1@example.com").unwrap().to_string();
    assert!(contact.contains(&i64::MAX.to_string()) && contact.contains("0.1"), "{contact}");
    assert_eq!(scene.comes_to("succeeded: 3 read, 2 unchanged, 1 invalid").requests(), 0);
}

#[test]
fn several_files_are_one_segment() {
    let scene = scene_of("2026-*/part-*.csv");
    scene.write("data/2026-01/part-1.csv", csv(&people(1..=3)));
    scene.write("data/2026-01/part-2.csv", csv(&people(4..=5)));
    scene.write("data/2026-02/part-1.csv", csv(&people(6..=6)));
    scene.write("data/2025-12/part-1.csv", csv(&people(7..=9)));
    scene.comes_to("succeeded: 6 read, 6 added");
    scene.has_contacts(&people(1..=6));
}

#[test]
fn other_delimiters_encodings_and_headers() {
    let scene = Scene::new(&[]);
    scene.write(
        "segments/newsletter.toml",
        "source = \"crm\"\nkey = [\"employer\", \"customer_id\"]\n\n[read]\npath = \"export.txt\"\nformat = \"csv\"\ndelimiter = \";\"\n\
         encoding = \"windows-1252\"\nheader = false\ncolumns = [\"customer_id\", \"email_address\", \"given_name\", \"employer\"]\n",
    );
    scene.write("data/export.txt", b"c1;p1@example.com;Zo\xeb \x80;Fjord AS\r\nc2;p2@example.com;\"a;b\";Fjord AS\r\n");
    scene.comes_to("succeeded: 2 read, 2 added");
    scene.has_contacts(&[Person::new(1).given_name("Zoë €"), Person::new(2).given_name("a;b")]);
}

#[test]
fn a_source_that_is_gone_sends_and_removes_nothing() {
    let scene = Scene::new(&people(1..=5));
    scene.delivers();
    let before = scene.requests();
    std::fs::remove_file(scene.path("data/newsletter.csv")).unwrap();
    scene.call("check").exits(1).prints("SP0601");
    let report = scene.run("").exits(1).report();
    assert_eq!((report.summary().as_str(), report.problems()), ("failed: ", vec!["SP0601"]));
    assert_eq!(scene.requests(), before);
    scene.has_members("newsletter", &people(1..=5));
}

#[test]
fn nothing_outside_the_root_is_read() {
    let scene = Scene::new(&people(1..=2));
    scene.write("outside.csv", csv(&people(8..=9)));
    for path in ["../outside.csv", "/etc/passwd", "sub/../../outside.csv"] {
        scene.write(
            "segments/newsletter.toml",
            format!("source = \"crm\"\nkey = \"customer_id\"\n\n[read]\npath = \"{path}\"\n"),
        );
        assert_ne!(scene.run("").code(), 0, "{path}");
    }
    std::os::unix::fs::symlink(scene.path("outside.csv"), scene.path("data/link.csv")).unwrap();
    scene.edit("segments/newsletter.toml", "sub/../../outside.csv", "link.csv");
    assert_ne!(scene.run("").code(), 0);
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_column_that_disappears_is_an_error_not_a_loss() {
    let scene = Scene::new(&people(1..=5));
    scene.delivers();
    let before = scene.requests();
    scene.write("data/newsletter.csv", "customer_id,email_address,given_name\nc1,p1@example.com,Given 1\n");
    assert_ne!(scene.run("").code(), 0);
    assert_eq!(scene.requests(), before);
    scene.has_contacts(&people(1..=5));
}

#[test]
fn a_source_that_cannot_be_read_has_one_code_in_every_command() {
    let check = |spoil: &dyn Fn(&Scene)| {
        let scene = Scene::new(&people(1..=3));
        scene.delivers();
        spoil(&scene);
        for (words, exit) in [("check", 1), ("plan", 2), ("run", 1), ("rows latest --reveal", 2)] {
            let ended = scene.call(words);
            assert!(format!("{}{}", ended.stdout, ended.stderr).contains("[SP0601]: "), "{words}: {ended}");
            ended.exits(exit);
        }
    };
    let spoil = |path: &'static str, text: Option<&'static str>| {
        move |scene: &Scene| match text {
            Some(text) => scene.write(path, text),
            None => std::fs::remove_file(scene.path(path)).unwrap(),
        }
    };
    check(&spoil("data/newsletter.csv", None));
    check(&spoil(
        "data/newsletter.csv",
        Some("customer_id,customer_id,email_address,given_name,employer\n1,2,3,4,5\n"),
    ));
    check(&spoil("data/newsletter.csv", Some("customer_id,email_address,given_name,employer\n1,\"never closed")));
}
