//! Reading JSON lines.

use serde_json::{Value, json};

use crate::folder::{Folder, reasons};

fn check(text: impl AsRef<[u8]>, options: Value, schema: &str, rows: &[&str], unreadable: &[&str]) {
    let mut read = json!({"path": "f.jsonl"});
    read.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let seen = Folder::with("f.jsonl", text).read(read).unwrap();
    assert_eq!(seen.schema, schema);
    assert_eq!(seen.rows, rows);
    assert_eq!(reasons(&seen.unreadable), unreadable);
}

#[test]
fn keys_are_columns_and_missing_ones_have_no_value() {
    check(
        "\u{feff}{\"a\":1,\"b\":\"x\"}\r\n\n{\"c\":true,\"b\":null}\n{\"b\":\"\",\"a\":-2}",
        json!({}),
        "a:Int64 b:Utf8 c:Boolean",
        &["1|x|∅", "∅|∅|true", "-2||∅"],
        &[],
    );
}

#[test]
fn numbers_and_texts_arrive_as_written() {
    check(
        concat!(
            "{\"n\":12345678901234567890123,\"f\":1.50,\"s\":\"007\",\"d\":\"1\",\"u\":\"\\u00e6 \\\"q\\\" \\n\"}\n",
            "{\"n\":1,\"f\":1e3,\"s\":\"8\",\"d\":\"2\",\"u\":\"æ\"}\n"
        ),
        json!({}),
        "n:Utf8 f:Utf8 s:Utf8 d:Utf8 u:Utf8",
        &["12345678901234567890123|1.50|007|1|æ \"q\" \n", "1|1e3|8|2|æ"],
        &[],
    );
}

#[test]
fn nested_values_are_compact_json() {
    check(
        "{\"a\": { \"b\" : [ 1.0, \"x \\\" y\" ] }, \"t\": [] }\n",
        json!({}),
        "a:Utf8 t:Utf8",
        &["{\"b\":[1.0,\"x \\\" y\"]}|[]"],
        &[],
    );
}

#[test]
fn lines_that_cannot_be_read_are_reported_without_their_data() {
    check(
        b"{\"a\":1}\n{\"a\":}\n[\"secret\"]\n\"secret\"\n{\"a\":2} x\n{\"a\":1,\"a\":2}\n{\"a\":\"\xff\"}\n{\"a\":\"\\u0000\"}\n{\"a\":\"\\ud800\"}\n{\"a\":3}\n",
        json!({"types": {"a": "string"}}),
        "a:Utf8",
        &["1", "3"],
        &[
            "2@2: the line is not valid JSON at byte 6",
            "3@3: the line is not a JSON object",
            "4@4: the line is not a JSON object",
            "5@5: the line is not valid JSON at byte 9",
            "6@6: a key occurs twice",
            "7@7: the line is not valid UTF-8",
            "8@8: the value of column `a` contains a NUL character",
            "9@9: the value of column `a` is not a valid JSON string",
        ],
    );
}

#[test]
fn columns_and_types_may_be_declared() {
    check(
        "{\"b\":1,\"a\":\"5\",\"c\":0}\n{\"a\":\"x\"}\n",
        json!({"columns": ["a", "z"], "types": {"a": "integer"}}),
        "a:Int64 z:Utf8",
        &["5|∅"],
        &["2@2: the value of column `a` is not a whole number of 64 bits"],
    );
    check("", json!({"columns": ["a"]}), "a:Utf8", &[], &[]);
}

#[test]
fn a_long_field_is_reported() {
    check(
        format!("{{\"a\":\"{}\"}}\n{{\"a\":\"ok\"}}\n", "x".repeat(2 << 20)),
        json!({}),
        "a:Utf8",
        &["ok"],
        &["1@1: the field of a column is longer than 1048576 bytes (`max_field_bytes`)"],
    );
}

#[test]
fn a_file_that_shows_no_columns_is_an_error() {
    for text in ["", "\n\n", "[1,2]\n", "{}\n"] {
        let message = Folder::with("f.jsonl", text).refusal(json!({"path": "f.jsonl"}));
        assert!(message.contains("`f.jsonl` shows no columns") && message.contains("`columns`"), "{message}");
    }
}

#[test]
fn an_address_in_the_place_of_a_key_is_in_no_message() {
    let key = "anna.berg@example.com";
    check(
        format!("{{\"{key}\":1,\"{key}\":2}}\n{{\"{key}\":\"\\u0000\"}}\n{{\"{key}\":\"\\ud800\"}}\n"),
        json!({}),
        &format!("{key}:Utf8"),
        &[],
        &[
            "1@1: a key occurs twice",
            "2@2: the value of a column contains a NUL character",
            "3@3: the value of a column is not a valid JSON string",
        ],
    );
}
