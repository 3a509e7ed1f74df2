//! Whatever the text is: it arrives byte for byte.

use proptest::prelude::*;
use serde_json::json;

use crate::folder::Folder;

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn text_arrives_byte_for_byte(rows in proptest::collection::vec(("[^\\x00]{1,20}", "[0-9+.e-]{1,6}"), 1..20)) {
        let expected: Vec<String> = rows.iter().map(|(text, number)| format!("{text}|{number}")).collect();
        let csv: Vec<String> = rows.iter().map(|(text, number)| format!("{},{number}\r\n", quoted(text))).collect();
        let csv = format!("text,number\r\n{}", csv.concat());
        let seen = Folder::with("f.csv", csv).read(json!({"path": "f.csv"})).unwrap();
        prop_assert_eq!(&seen.rows, &expected);
        let lines: Vec<String> = rows.iter().map(|(text, number)| format!("{{\"text\":{},\"number\":\"{number}\"}}", json!(text))).collect();
        let seen = Folder::with("f.jsonl", lines.join("\n")).read(json!({"path": "f.jsonl"})).unwrap();
        prop_assert_eq!(&seen.rows, &expected);
    }
    #[test]
    fn fields_without_quotes_arrive_whatever_their_length(
        rows in proptest::collection::vec(("[aé]{1,40}", "[b-d]{1,70}"), 1..20),
        end in prop::sample::select(vec!["", "\n"]),
    ) {
        let expected: Vec<String> = rows.iter().map(|(first, last)| format!("{first}|{last}")).collect();
        let csv: Vec<String> = rows.iter().map(|(first, last)| format!("{first},{last}")).collect();
        let csv = format!("first,last\n{}{end}", csv.join("\n"));
        let seen = Folder::with("f.csv", csv).read(json!({"path": "f.csv"})).unwrap();
        prop_assert_eq!(&seen.rows, &expected);
    }
}
