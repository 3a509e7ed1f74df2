//! The binary and the plugins under test.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory that holds `segport` and its plugins.
///
/// It is `$SEGPORT_TEST_BIN_DIR`, or else where cargo puts what it builds; then they are built first, once per process or, under
/// nextest, which starts a process per test, once per test run.
///
/// # Panics
/// If they cannot be built.
pub fn installation() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| match std::env::var_os("SEGPORT_TEST_BIN_DIR") {
        Some(directory) => fs::canonicalize(directory).expect("$SEGPORT_TEST_BIN_DIR is a directory"),
        None => built(),
    })
}

fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    // Tests lie in TARGET/PROFILE/deps.
    let directory = test.ancestors().nth(2).expect("cargo puts tests two directories deep").to_owned();
    match std::env::var("NEXTEST_RUN_ID") {
        Ok(test_run) => build_once(&directory, &test_run),
        Err(_) => build(&directory),
    }
    directory
}

/// Builds unless another process of the same test run has done so.
fn build_once(directory: &Path, test_run: &str) {
    let path = directory.join(".segport-tests-built");
    let mut stamp = File::options().create(true).read(true).write(true).truncate(false).open(path).unwrap();
    stamp.lock().unwrap();
    let mut done = String::new();
    stamp.read_to_string(&mut done).unwrap();
    if done != test_run {
        build(directory);
        stamp.rewind().unwrap();
        stamp.set_len(0).unwrap();
        stamp.write_all(test_run.as_bytes()).unwrap();
    }
}

fn build(directory: &Path) {
    let profile = directory.file_name().and_then(|name| name.to_str()).expect("profiles have plain names");
    // The directory of the profile `dev` has a name of its own.
    let profile = if profile == "debug" { "dev" } else { profile };
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "segport", "-p", "segport-autopilot", "-p", "segport-files"])
        .args(["--profile", profile, "--target-dir"])
        .arg(directory.parent().expect("a profile's directory lies in the target directory"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "segport and its plugins cannot be built");
}
