//! The committed corpus, and what becomes of it when it is damaged.
//!
//! `cargo xtask fuzz` goes on from the same files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use segport_properties::{CHECKS, Check};

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn check_of(name: &str) -> Check {
    CHECKS.into_iter().find(|(of, _)| *of == name).unwrap().1
}

/// The corpus of a check, by the names of the files.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(fuzz_dir().join("corpus").join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// A change of some bytes: at a place, so many go and these come.
#[derive(Debug, Clone)]
struct Damage {
    at: prop::sample::Index,
    gone: usize,
    come: Vec<u8>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let interesting = prop::sample::select(b"\0\n\r\",;:={}[]\\'#\x7f\x80\xff".to_vec());
    let come = prop::collection::vec(prop_oneof![interesting, any::<u8>()], 0..4);
    (any::<prop::sample::Index>(), prop_oneof![4 => 0..4_usize, 1 => 0..400_usize], come)
        .prop_map(|(at, gone, come)| Damage { at, gone, come })
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for Damage { at, gone, come } in damages {
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..(at + gone).min(bytes.len()), come.iter().copied());
    }
    bytes
}

/// The corpus as it is, and then `cases` times a file of it with up to three changes, or any bytes at all.
fn check(name: &str, cases: u32) {
    let check = check_of(name);
    let files = corpus(name);
    for (path, bytes) in &files {
        let done = std::panic::catch_unwind(|| check(bytes));
        assert!(done.is_ok(), "{}", path.display());
    }
    let files: Vec<Vec<u8>> = files.into_iter().map(|(_, bytes)| bytes).collect();
    let changed = (prop::sample::select(files), prop::collection::vec(damage(), 1..4))
        .prop_map(|(bytes, damages)| damaged(bytes, &damages));
    let inputs = prop_oneof![7 => changed, 1 => prop::collection::vec(any::<u8>(), 0..300)];
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let done = TestRunner::new(config).run(&inputs, |bytes| {
        check(&bytes);
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

#[test]
fn answers_acknowledge_nobody_whom_they_do_not_name() {
    check("answer", 300);
}

#[test]
fn rows_of_csv_are_read_or_reported() {
    check("csv", 200);
}

#[test]
fn rows_of_json_lines_are_read_or_reported() {
    check("json_lines", 200);
}

#[test]
fn rows_of_parquet_are_read_or_reported() {
    check("parquet", 200);
}

#[test]
fn frames_and_their_rows_are_sound_or_refused() {
    check("frame", 300);
}

#[test]
fn stories_of_the_ledger_end_well() {
    check("ledger", 16);
}

#[test]
fn findings_in_manifests_point_into_them() {
    check("manifest", 64);
}

#[test]
fn every_check_has_a_fuzz_target_and_a_corpus() {
    for (name, _) in CHECKS {
        let target = fs::read_to_string(fuzz_dir().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("segport_properties::{name}")), "{name}");
        assert!(!corpus(name).is_empty(), "{name}");
    }
}
