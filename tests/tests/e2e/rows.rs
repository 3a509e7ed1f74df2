//! Single rows: those that cannot be sent, and those whose values are trying.

use segport_tests::{Person, Scene, people};

/// Mapped so that every rule has something to say.
const EXPORT: &str = r#"connection = "autopilot"
segments = ["newsletter"]

[fields]
email = "email_address"
first_name = { column = "given_name", when_null = "skip_row" }

[fields.custom]
"Age" = { column = "age", type = "integer" }
"#;

fn scene_of(rows: &[&str]) -> Scene {
    let scene = Scene::new(&[]);
    scene.write("exports/newsletter.toml", EXPORT);
    scene.write("data/newsletter.csv", format!("customer_id,email_address,given_name,age\n{}\n", rows.join("\n")));
    scene
}

#[test]
fn rows_that_cannot_be_sent_say_why() {
    let check = |row: &str, outcome: &str, expected: &str| {
        let scene = scene_of(&["c1,ok@example.com,Ann,41", row]);
        scene.comes_to(&format!("succeeded: 2 read, 1 added, 1 {outcome}"));
        let rows: Vec<String> = scene.rows().into_iter().filter(|row| !row.starts_with("added")).collect();
        assert_eq!(rows, [format!("{outcome} {expected}")], "{row}");
        assert_eq!(scene.members("newsletter"), ["ok@example.com"]);
    };
    check("c2,,Bo,30", "invalid", "missing: no value for the required field `email` (column `email_address`)");
    check(
        "c2,bo at example.com,Bo,30",
        "invalid",
        "malformed_email: `email` is not an e-mail address (column `email_address`)",
    );
    check(
        "c2,bo@example.com,Bo,old",
        "invalid",
        "wrong_type: the value of `Age` is not of type integer (column `age`)",
    );
    check(
        "c2,bo@example.com,,30",
        "invalid",
        "skipped_when_null: `first_name` is empty and `when_null` is `skip_row` (column `given_name`)",
    );
    check(",bo@example.com,Bo,30", "invalid", "missing: the row has no key");
    check(
        "c2, OK@Example.com ,Bo,30",
        "duplicate",
        "duplicate: an earlier row has the same identity at the destination",
    );
}

#[test]
fn a_row_that_cannot_be_read_is_named_by_its_line() {
    let scene = scene_of(&["c1,ok@example.com,Ann,41", "c2,bo@example.com,Bo,30,surplus", "c3,cy@example.com,Cy,22"]);
    let report = scene.comes_to("succeeded: 3 read, 2 added, 1 invalid");
    assert_eq!(report.problems(), ["SP0601"]);
    let invalid: Vec<String> = scene.rows().into_iter().filter(|row| row.starts_with("invalid")).collect();
    assert_eq!(invalid.len(), 1);
    assert!(invalid[0].starts_with("invalid unreadable: newsletter.csv, line 3: "), "{invalid:?}");
    assert!(!invalid[0].contains("bo@"), "{invalid:?}");
}

#[test]
fn nobody_is_a_leaver_while_rows_cannot_be_read() {
    let scene = scene_of(&["c1,ok@example.com,Ann,41", "c2,bo@example.com,Bo,30"]);
    scene.delivers();
    scene.write(
        "data/newsletter.csv",
        "customer_id,email_address,given_name,age\nc1,ok@example.com,Ann,41\nc2,bo@example.com,\n",
    );
    scene.comes_to("partial: 2 read, 1 unchanged, 1 invalid; 1 planned, 1 deferred");
    assert_eq!(scene.members("newsletter").len(), 2);
}

/// A row without a key, whose address nobody knows, may be that of anybody who seems to have left.
#[test]
fn nobody_is_a_leaver_while_nobody_knows_whose_a_row_is() {
    for nameless in [",,Bo,30", ",new@example.com,Bo,30"] {
        let scene = scene_of(&["c1,ok@example.com,Ann,41", "c2,bo@example.com,Bo,30"]);
        scene.delivers();
        let rows = |row: &str| format!("customer_id,email_address,given_name,age\nc1,ok@example.com,Ann,41\n{row}\n");
        scene.write("data/newsletter.csv", rows(nameless));
        let report = scene.comes_to("partial: 2 read, 1 unchanged, 1 invalid; 1 planned, 1 deferred");
        assert_eq!(report.problems(), ["SP0601"], "{nameless}");
        assert_eq!(scene.members("newsletter").len(), 2, "{nameless}");
        // Where the address says whose it is, others may leave.
        scene.write("data/newsletter.csv", rows(",bo@example.com,Bo,30").replace("c1,ok@example.com,Ann,41\n", ""));
        scene.export("[guards]\nmax_removals = \"100%\"\nallow_empty = true\nmax_shrink = \"100%\"");
        scene.edit("exports/newsletter.toml", "company = \"employer\"", "");
        scene.comes_to("succeeded: 1 read, 1 invalid; 1 planned, 1 removed");
        assert_eq!(scene.members("newsletter"), ["bo@example.com"], "{nameless}");
    }
}

#[test]
fn a_person_whom_segments_know_by_different_keys_is_told_of() {
    let scene = Scene::new(&[Person::new(1), Person::new(2)]);
    scene.segment("vip", &[Person::new(7).email("p1@example.com"), Person::new(2)]);
    scene.segments(&["newsletter", "vip"], "");
    let report = scene.comes_to("succeeded: 3 read, 2 added, 1 duplicate");
    assert_eq!(report.problems(), ["SP0625"]);
    scene.has_members("vip", &[Person::new(2)]);
    let rows = scene.rows();
    assert!(
        rows.iter().any(|row| row.starts_with("duplicate duplicate: ") && row.ends_with("under another key")),
        "{rows:?}"
    );
    let plan = scene.call("plan");
    plan.exits(0).prints("SP0625").prints("the `email` of 1 row is that of a row of an earlier segment");
}

#[test]
fn a_leaver_who_could_not_be_told_from_unreadable_rows_is_retried() {
    let staying = (1..=20).map(|number| format!("c{number},p{number}@example.com,Ann,41\n")).collect::<String>();
    let rows = |more: &str| format!("customer_id,email_address,given_name,age\n{staying}{more}");
    let scene = scene_of(&[]);
    scene.write("data/newsletter.csv", rows("c21,gone@example.com,Bo,30\n"));
    scene.delivers();
    scene.write("data/newsletter.csv", rows("c22,cy@example.com,\n"));
    scene.comes_to("partial: 21 read, 20 unchanged, 1 invalid; 1 planned, 1 deferred");
    let told = scene.rows();
    assert_eq!(told.iter().filter(|row| row.starts_with("deferred unreadable_rows: ")).count(), 1, "{told:?}");
    scene.write("data/newsletter.csv", rows(""));
    let retried = scene.call("retry --output json").exits(0).report();
    assert_eq!((retried.count("leavers", "removed"), scene.members("newsletter").len()), (1, 20));
}

#[test]
fn a_row_that_is_not_sent_counts_once_however_many_segments_have_it() {
    let scene = Scene::new(&[Person::new(1), Person::new(2).email("P1@example.com"), Person::new(3).email("nobody")]);
    scene.segment("vip", &[Person::new(2).email("P1@example.com"), Person::new(3).email("nobody"), Person::new(4)]);
    scene.segments(&["newsletter", "vip"], "");
    scene.comes_to("succeeded: 4 read, 2 added, 1 invalid, 1 duplicate");
    assert_eq!(scene.rows().iter().filter(|row| row.starts_with("duplicate")).count(), 1);
}

#[test]
fn a_row_that_became_invalid_is_no_leaver() {
    let scene = scene_of(&["c1,ok@example.com,Ann,41", "c2,bo@example.com,Bo,30"]);
    scene.delivers();
    for row in ["c2,bo@example.com,,30", "c2,bo@example.com,Bo,old", "c2,,Bo,30"] {
        scene.write(
            "data/newsletter.csv",
            format!("customer_id,email_address,given_name,age\nc1,ok@example.com,Ann,41\n{row}\n"),
        );
        scene.comes_to("succeeded: 2 read, 1 unchanged, 1 invalid");
        assert_eq!(scene.members("newsletter").len(), 2, "{row}");
    }
}

#[test]
fn the_first_of_two_rows_with_one_address_wins() {
    let twins = [Person::new(1).given_name("First"), Person::new(2).email("P1@Example.COM").given_name("Second")];
    let scene = Scene::new(&twins);
    scene.comes_to("succeeded: 2 read, 1 added, 1 duplicate");
    scene.has_contacts(&[Person::new(1).given_name("First")]);
    scene.comes_to("succeeded: 2 read, 1 unchanged, 1 duplicate");
}

#[test]
fn hostile_names_arrive_byte_for_byte() {
    let names = [
        "O'Brien \"The, Comma\"",
        "line\nbreak\r\nand\ttab",
        "  spaces around  ",
        "👩‍👩‍👧‍👦🏴‍☠️",
        "\u{202e}txet desrever\u{202c} שלום مرحبا",
        "e\u{301} is not \u{e9}",
        "\u{1}\u{7}\u{1b}[31mred\u{7f}",
        "\u{2028}\u{2029}\u{feff}\u{200b}",
        "</script><!--",
        "=cmd|' /C calc'!A0",
        "'; DROP TABLE contacts;--",
        "{\"Email\":\"other@example.com\"}",
        "\\u0041\\n\\",
        "%00%2F..%2f${jndi:ldap://x}{{7*7}}",
        "null",
        "NaN",
        "007",
        "1e5",
        "𝕿𐍈\u{10fffd}",
        "ﬀ İ ẞ Ω",
    ];
    let hostile: Vec<Person> = (1..).zip(names).map(|(number, name)| Person::new(number).given_name(name)).collect();
    let long = Person::new(999).given_name(&"ø".repeat(5000));
    let all = [hostile, vec![long]].concat();
    let scene = Scene::new(&all);
    scene.comes_to("succeeded: 21 read, 21 added");
    scene.has_contacts(&all);
    assert_eq!(scene.comes_to("succeeded: 21 read, 21 unchanged").requests(), 0);
}

#[test]
fn addresses_may_hold_what_addresses_may_hold() {
    let emails =
        ["o'brien+tag@example.com", "a_b-c.d@sub.example.co.uk", "x!#$%&'*/=?^`{|}~@example.com", "UPPER@EXAMPLE.COM"];
    let all: Vec<Person> = (1..).zip(emails).map(|(number, email)| Person::new(number).email(email)).collect();
    let scene = Scene::new(&all);
    scene.connection("list_membership = \"single\"");
    scene.export("[guards]\nmax_removals = \"100%\"\nallow_empty = true");
    scene.comes_to("succeeded: 4 read, 4 added");
    let mut expected: Vec<String> = emails.iter().map(|email| email.to_lowercase()).collect();
    expected.sort();
    assert_eq!(scene.members("newsletter"), expected);
    scene.segment("newsletter", &[]);
    scene.comes_to("succeeded: ; 4 planned, 4 removed");
    assert!(scene.members("newsletter").is_empty());
}

#[test]
fn custom_fields_keep_their_types() {
    let scene = Scene::new(&[]);
    scene.write(
        "data/newsletter.csv",
        "customer_id,email_address,n,x,b,d,t\n007,a@example.com,42,1.5,true,2026-11-23,0042\n",
    );
    let fields = r#"
[fields.custom]
"Orders" = { column = "n", type = "integer" }
"Lifetime Value" = { column = "x", type = "float" }
"Is Vip" = { column = "b", type = "boolean" }
"Last Order" = { column = "d", type = "date" }
"Post Code" = "t"
"#;
    scene.write(
        "exports/newsletter.toml",
        format!(
            "connection = \"autopilot\"\nsegments = [\"newsletter\"]\n\n[fields]\nemail = \"email_address\"\n{fields}"
        ),
    );
    scene.comes_to("succeeded: 1 read, 1 added");
    let contact = scene.sandbox.autopilot().contact("a@example.com").unwrap();
    let values = contact["custom_fields"].as_array().unwrap_or_else(|| panic!("{contact}"));
    let value = |name: &str| {
        let field = values.iter().find(|field| field["kind"] == name);
        field.unwrap_or_else(|| panic!("no {name} in {contact}"))["value"].clone()
    };
    assert_eq!(value("Orders"), 42);
    assert_eq!(value("Lifetime Value"), 1.5);
    assert_eq!(value("Is Vip"), true);
    assert_eq!(value("Post Code"), "0042");
    assert!(value("Last Order").as_str().is_some_and(|date| date.starts_with("2026-11-23")), "{contact}");
}

#[test]
fn many_batches_arrive_whole() {
    let all = people(1..=1234);
    let scene = Scene::new(&all);
    scene.comes_to("succeeded: 1234 read, 1234 added");
    assert_eq!(scene.requests_to("POST /contacts"), 13);
    scene.has_contacts(&all);
    scene.has_members("newsletter", &all);
}

#[test]
fn that_no_row_can_be_sent_is_told_even_though_nothing_failed() {
    let scene = Scene::new(&people(1..=3));
    scene.delivers();
    let broken: Vec<Person> = people(1..=3).into_iter().map(|person| person.email("no address")).collect();
    scene.segment("newsletter", &broken);
    let report = scene.comes_to("succeeded: 3 read, 3 invalid");
    assert_eq!(report.problems(), ["SP0627"]);
    scene.has_members("newsletter", &people(1..=3));
    scene.call("plan").exits(0).prints("the source has 3 rows, and none can be sent as it is");
    scene.segment("newsletter", &[broken[0].clone(), Person::new(2), broken[2].clone()]);
    assert!(scene.comes_to("succeeded: 3 read, 1 unchanged, 2 invalid").problems().is_empty());
}
