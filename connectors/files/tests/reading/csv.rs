//! Reading CSV.

use serde_json::{Value, json};

use crate::folder::{Folder, reasons};

fn check(bytes: impl AsRef<[u8]>, options: Value, schema: &str, rows: &[&str], unreadable: &[&str]) {
    let mut read = json!({"path": "f.csv"});
    read.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let seen = Folder::with("f.csv", &bytes).read(read).unwrap();
    let input = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    assert_eq!(seen.schema, schema, "{input:?}");
    assert_eq!(seen.rows, rows, "{input:?}");
    assert_eq!(reasons(&seen.unreadable), unreadable, "{input:?}");
    assert!(seen.unreadable.iter().all(|row| row.place == "f.csv"));
}

fn refused(bytes: impl AsRef<[u8]>, options: Value, part: &str) {
    let mut read = json!({"path": "f.csv"});
    read.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let message = Folder::with("f.csv", &bytes).refusal(read);
    assert!(message.contains(part), "{message}");
    assert!(message.contains("f.csv"), "{message}");
}

#[test]
fn every_way_to_end_a_row_is_understood() {
    for end in ["\n", "\r\n", "\r"] {
        check(format!("a,b{end}1,x{end}{end}2,y{end}"), json!({}), "a:Int64 b:Utf8", &["1|x", "2|y"], &[]);
        check(format!("a,b{end}1,x{end}2,y"), json!({}), "a:Int64 b:Utf8", &["1|x", "2|y"], &[]);
    }
}

#[test]
fn quoted_fields_keep_delimiters_line_ends_and_quotes() {
    check(
        "a,b\n\"x, y\",\"say \"\"hi\"\"\"\n\"two\r\nlines\",\"\"\"\"\n",
        json!({}),
        "a:Utf8 b:Utf8",
        &["x, y|say \"hi\"", "two\r\nlines|\""],
        &[],
    );
    check("a,b\nx\"y,' z '\n", json!({}), "a:Utf8 b:Utf8", &["x\"y|' z '"], &[]);
    check("a,b\n'x,y',\"z\"\n", json!({"quote": "'"}), "a:Utf8 b:Utf8", &["x,y|\"z\""], &[]);
    check("a,b\n\"x,y\"\n", json!({"quote": ""}), "a:Utf8 b:Utf8", &["\"x|y\""], &[]);
}

#[test]
fn delimiters_and_the_byte_order_mark() {
    check("\u{feff}a;b\n1;2\n", json!({"delimiter": ";"}), "a:Int64 b:Int64", &["1|2"], &[]);
    for name in ["f.tsv", "f.tab", "F.TSV", "f.Tab"] {
        let seen = Folder::with(name, "a\tb\n1\tx,y\n").read(json!({"path": name})).unwrap();
        assert_eq!(seen.rows, ["1|x,y"], "{name}");
    }
}

#[test]
fn text_that_a_number_would_alter_stays_text() {
    for values in
        [["007", "8"], ["+1", "2"], ["1.50", "2.25"], ["1e3", "2"], ["-0", "1"], ["1.5", "2"], ["TRUE", "true"]]
    {
        let [one, two] = values;
        check(format!("a\n{one}\n{two}\n"), json!({}), "a:Utf8", &[one, two], &[]);
    }
    check(
        "a,b,c\n1,1.5,true\n,,\n-2,-0.25,false\n",
        json!({}),
        "a:Int64 b:Float64 c:Boolean",
        &["1|1.5|true", "∅|∅|∅", "-2|-0.25|false"],
        &[],
    );
    check("a,b\n1,true\n", json!({"infer_types": false}), "a:Utf8 b:Utf8", &["1|true"], &[]);
}

#[test]
fn a_value_after_the_sample_that_does_not_fit_arrives_as_text() {
    let mut text = String::from("a\n");
    let mut expected: Vec<String> = (1..=1500).map(|number| number.to_string()).collect();
    expected.push("0042".to_owned());
    text.push_str(&expected.join("\n"));
    let seen = Folder::with("f.csv", text).read(json!({"path": "f.csv"})).unwrap();
    assert_eq!((seen.schema.as_str(), seen.rows), ("a:Int64", expected));
}

#[test]
fn declared_types_refuse_the_row_that_does_not_fit() {
    check(
        "id,age,score,member,since\n1,042,1e2,YES,2026-11-23\n2,old,1,no,2026-01-01\n3,1,x,no,2026-01-01\n4,1,1,perhaps,2026-01-01\n5,1,1,no,01.02.2026\n6,,,,\n",
        json!({"types": {"age": "integer", "score": "float", "member": "boolean", "since": "date", "id": "string"}}),
        "id:Utf8 age:Int64 score:Float64 member:Boolean since:Date32",
        &["1|42|100.0|true|2026-11-23", "6|∅|∅|∅|∅"],
        &[
            "2@3: the value of column `age` is not a whole number of 64 bits",
            "3@4: the value of column `score` is not a number",
            "4@5: the value of column `member` is not true or false",
            "5@6: the value of column `since` is not a date written as 2026-11-23",
        ],
    );
}

#[test]
fn rows_that_cannot_be_read_are_reported_and_reading_goes_on() {
    check(
        "a,b\n1,2\n3\n4,5,6\n\"x\"y,7\n8,9\n",
        json!({}),
        "a:Int64 b:Int64",
        &["1|2", "8|9"],
        &[
            "2@3: the row has 1 field, but there are 2 columns",
            "3@4: the row has 3 fields, but there are 2 columns",
            "4@5: the field of column 1 goes on after its closing quote; a quote inside a quoted field must be doubled",
        ],
    );
    check(
        b"a,b\n\"1\n1\",2\nx\0y,3\nz,\xff\xfe\nw,4\n",
        json!({}),
        "a:Utf8 b:Int64",
        &["1\n1|2", "w|4"],
        &["2@4: the value of column 1 contains a NUL character", "3@5: the value of column 2 is not valid UTF-8"],
    );
}

#[test]
fn half_a_character_in_each_of_two_fields_is_not_a_whole_one() {
    check(
        b"a,b\n\xc3,x\n\xa6,y\nz,z\n",
        json!({"columns": ["a"]}),
        "a:Utf8",
        &["z"],
        &["1@2: the value of column `a` is not valid UTF-8", "2@3: the value of column `a` is not valid UTF-8"],
    );
}

#[test]
fn a_quote_that_is_never_closed_hides_rows_and_so_refuses_the_file() {
    let part = "the quoted field of column 2 that begins in line 3 of `f.csv` is never closed";
    refused("a,b\n1,2\n3,\"oops\n4,5\n6,7\n", json!({}), part);
    refused("a,b\n1,2\n3,\"oops", json!({}), part);
    refused("a,b\n1,2\n\"x\"y,\"oops\n3,4\n", json!({}), part);
}

#[test]
fn a_field_of_ten_megabytes_is_reported_and_not_kept() {
    let long = "x".repeat(10 << 20);
    for field in [long.clone(), format!("\"{long}\"")] {
        check(
            format!("a,b\n1,y\n2,{field}\n3,z\n"),
            json!({}),
            "a:Int64 b:Utf8",
            &["1|y", "3|z"],
            &["2@3: the field of column 2 is longer than 1048576 bytes (`max_field_bytes`)"],
        );
    }
    check(
        "a,b\nxyz,1\nwxyz,2\n",
        json!({"max_field_bytes": 3}),
        "a:Utf8 b:Int64",
        &["xyz|1"],
        &["2@3: the field of column 1 is longer than 3 bytes (`max_field_bytes`)"],
    );
}

#[test]
fn null_values_are_texts_that_mean_nothing() {
    check("a,b\n\"\",x\nNA,y\n", json!({}), "a:Utf8 b:Utf8", &["∅|x", "NA|y"], &[]);
    check("a,b\n,x\nNA,-\n", json!({"null_values": ["NA", "-"]}), "a:Utf8 b:Utf8", &["|x", "∅|∅"], &[]);
    check("a,b\n,x\n", json!({"null_values": []}), "a:Utf8 b:Utf8", &["|x"], &[]);
}

#[test]
fn single_byte_encodings() {
    check(
        b"navn,by\nBj\xf8rn,\x80uro\n",
        json!({"encoding": "windows-1252"}),
        "navn:Utf8 by:Utf8",
        &["Bjørn|€uro"],
        &[],
    );
    check(b"n\xe5,b\nBj\xf8rn,1\n", json!({"encoding": "latin-1"}), "nå:Utf8 b:Int64", &["Bjørn|1"], &[]);
    check(
        b"n,b\nna\xefve,x\nx,y\n",
        json!({"encoding": "latin-1", "null_values": ["naïve"]}),
        "n:Utf8 b:Utf8",
        &["∅|x", "x|y"],
        &[],
    );
}

#[test]
fn columns_without_a_header_and_columns_chosen_from_one() {
    check(
        "1,x\n2,y\n",
        json!({"header": false, "columns": ["id", "name"]}),
        "id:Int64 name:Utf8",
        &["1|x", "2|y"],
        &[],
    );
    check("", json!({"header": false, "columns": ["id", "name"]}), "id:Utf8 name:Utf8", &[], &[]);
    check(
        "a,b,c\n1,2,3\n4,5\n",
        json!({"columns": ["c", "a"]}),
        "c:Int64 a:Int64",
        &["3|1"],
        &["2@3: the row has 2 fields, but there are 3 columns"],
    );
    check(",a,\n0,x,9\n", json!({}), "a:Utf8", &["x"], &[]);
    check("a,b\n", json!({}), "a:Utf8 b:Utf8", &[], &[]);
}

#[test]
fn a_header_that_cannot_work_is_an_error() {
    refused("", json!({}), "is empty: there is not even a header");
    refused("\n\n", json!({}), "is empty");
    refused("a,b,,,a\n1,2,3,4,5\n", json!({}), "gives columns 1 and 5 the same name");
    refused("a,\"b\n1,2\n", json!({}), "never closed");
    refused(b"a,\xff\n1,2\n", json!({}), "name of column 2 is not valid UTF-8; set `encoding`");
    refused(b"\xff\xfea\0,\0b\0", json!({}), "UTF-16");
    refused(",".repeat(20_000), json!({}), "more than 10000: check `delimiter`");
    refused(
        "email,name\n",
        json!({"columns": ["emial", "name"]}),
        "has no column `emial`, which `columns` names; did you mean `email`?",
    );
    refused(
        "email,name\n",
        json!({"types": {"email": "string", "nam": "date"}}),
        "`types` names the column `nam`, which `f.csv` does not have; did you mean `name`?",
    );
}

#[test]
fn files_of_a_folder_are_read_by_name_and_match_by_header() {
    let folder = Folder::with("d/2.csv", "b,a\nx,2\n")
        .and("d/1.csv", "a,b\n1,w\n")
        .and("d/3.csv", "a,b\n")
        .and("d/_tmp.csv", "??");
    let seen = folder.read(json!({"path": "d"})).unwrap();
    assert_eq!((seen.schema.as_str(), seen.rows), ("a:Int64 b:Utf8", vec!["1|w".to_owned(), "2|x".to_owned()]));

    folder.write("d/4.csv", "a,c\n3,z\n");
    let message = folder.refusal(json!({"path": "d"}));
    assert!(message.contains("`d/1.csv` and `d/4.csv`") && message.contains("has column 2 of `d/1.csv`"), "{message}");
    folder.write("d/4.csv", "c,b,a\n3,z,1\n");
    let message = folder.refusal(json!({"path": "d"}));
    assert!(message.contains("has column 1 of `d/4.csv`"), "{message}");
    assert_eq!(folder.read(json!({"path": "d", "columns": ["a"]})).unwrap().rows, ["1", "2", "1"]);
}

#[test]
fn a_profile_in_the_place_of_a_header_is_in_no_message() {
    let profile = "1,anna.berg@example.com,Anna";
    for rows in ["2,\"bo@example.com,Bo", "2,\"b\"o,Bo", "2,b\0o,Bo", "2,abcdefghijklmnopqrstuvwxyz012345,Bo"] {
        let folder = Folder::with("f.csv", format!("{profile}\n{rows}\n"));
        let message = match folder.read(json!({"path": "f.csv", "max_field_bytes": 30})) {
            Ok(seen) => reasons(&seen.unreadable).concat(),
            Err(error) => error.to_string(),
        };
        assert!(message.contains("column 2") && !message.contains("anna"), "{message}");
    }
    let folder = Folder::with("f.csv", "anna.berg,Anna\n2,Bo\n");
    for read in
        [json!({"path": "f.csv", "columns": ["anna.berg2"]}), json!({"path": "f.csv", "types": {"anna.be": "string"}})]
    {
        let message = folder.refusal(read);
        assert!(message.contains("have") || message.contains("has no column"), "{message}");
        assert!(!message.contains("did you mean"), "{message}");
    }
    let message = Folder::with("f.csv", format!("{profile},Anna\n")).refusal(json!({"path": "f.csv"}));
    assert!(message.contains("columns 3 and 4 the same name") && message.contains("`header = false`"), "{message}");
    let folder = Folder::with("d/1.csv", format!("{profile}\n")).and("d/2.csv", "2,bo@example.com,Bo\n");
    let message = folder.refusal(json!({"path": "d"}));
    assert!(message.contains("has column 1 of `d/1.csv`") && message.contains("`header = false`"), "{message}");
}
