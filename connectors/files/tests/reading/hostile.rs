//! Whatever the bytes are: no panic, no endless reading, and every cursor leads to the same rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::folder::{Folder, reasons, shown};
use crate::parquet;

/// Reads warm and then again with every cursor cold, and compares.
fn same_from_every_cursor(folder: &mut Folder, read: &Value) {
    let mut pages = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = folder.page(read, cursor.as_deref());
        let next = page.as_ref().ok().and_then(|page| page.next.clone());
        pages.push((cursor, page));
        assert!(pages.len() < 1_000, "reading does not end");
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    for (cursor, warm) in pages.into_iter().rev() {
        folder.reopen();
        let cold = folder.page(read, cursor.as_deref());
        match (warm, cold) {
            (Ok(warm), Ok(cold)) => {
                assert_eq!(shown(&warm.rows), shown(&cold.rows));
                assert_eq!(reasons(&warm.unreadable), reasons(&cold.unreadable));
                assert_eq!(warm.next, cold.next);
            }
            (warm, cold) => assert_eq!(warm.is_err(), cold.is_err()),
        }
    }
}

/// A sequence of numbers that looks random and is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

fn mutated(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        let interesting =
            [0, b'"', b',', b'\n', b'\r', b'{', b'\\', 0x7f, 0x80, 0xff, u8::try_from(dice.below(256)).unwrap()];
        let byte = interesting[dice.below(interesting.len())];
        match dice.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            _ if !bytes.is_empty() => bytes[at] = byte,
            _ => {}
        }
    }
    bytes
}

fn mutate(name: &str, seed_bytes: &[u8], rounds: usize) {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let read = json!({"path": name});
    let mut folder = Folder::new();
    for round in 0..rounds {
        let bytes = mutated(seed_bytes, &mut dice);
        folder.write(name, &bytes);
        folder.reopen();
        let result = catch_unwind(AssertUnwindSafe(|| same_from_every_cursor(&mut folder, &read)));
        assert!(result.is_ok(), "round {round} of {name}: {bytes:?}");
    }
}

#[test]
fn mutated_csv() {
    mutate("f.csv", b"id,name,joined\r\n1,\"Zo\xc3\xab, \"\"x\"\"\",2026-11-23\n2,b,\n3,\"two\nlines\",x\n", 300);
}

#[test]
fn mutated_json_lines() {
    mutate(
        "f.jsonl",
        "{\"a\":1,\"b\":\"Zo\u{eb} \\u00e6\"}\n{\"a\":-2.5e3,\"b\":null,\"c\":{\"x\":[true]}}\n".as_bytes(),
        300,
    );
}

#[test]
fn mutated_parquet() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..40).map(|row| format!("text {row}"))));
    mutate("f.parquet", &parquet::file(vec![("n", numbers), ("t", texts)], 16), 300);
}

#[test]
fn cursors_work_cold_over_several_files_and_groups() {
    let mut folder = Folder::new();
    for part in 0..3 {
        let lines: Vec<String> = (0..9_000).map(|row| format!("{part},\"line\n{row}\"")).collect();
        folder.write(&format!("c/{part}.csv"), format!("part,text\n{}\n", lines.join("\n")));
        let lines: Vec<String> = (0..9_000).map(|row| json!({"part": part, "row": row}).to_string()).collect();
        folder.write(&format!("j/{part}.jsonl"), lines.join("\n"));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_000));
        folder.write(&format!("p/{part}.parquet"), parquet::file(vec![("n", numbers)], 9_000));
    }
    for (path, rows) in [("c", 27_000), ("j", 27_000), ("p", 60_000)] {
        let read = json!({"path": path});
        assert_eq!(folder.read(read.clone()).unwrap().rows.len(), rows);
        same_from_every_cursor(&mut folder, &read);
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[a,\"\\r\\n{}:1\\[\\]é]{0,200}") {
        for name in ["f.csv", "f.jsonl", "f.parquet"] {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                same_from_every_cursor(&mut Folder::with(name, bytes), &json!({"path": name}));
            }
        }
    }

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
}
