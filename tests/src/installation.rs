//! The binary and the plugins under test.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is run, beside one another as users have it.
const FILES: [&str; 3] = ["segport", "libsegport_autopilot.so", "libsegport_files.so"];

/// The directory that holds `segport` and its plugins.
///
/// It is `$SEGPORT_TEST_BIN_DIR`, or else a copy of what cargo builds, without debug information as in a release: each call of
/// the binary hashes and copies its plugins, which takes most of its time otherwise. It is made once per process or, under
/// nextest, which starts a process per test, once per test run.
///
/// # Panics
/// If it cannot be built.
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
    let directory = test.ancestors().nth(2).expect("cargo puts tests two directories deep");
    let installed = directory.join("segport-tests");
    fs::create_dir_all(&installed).unwrap();
    // Test processes come one after the other here, so that each file is built and copied once.
    let mut stamp =
        File::options().create(true).read(true).write(true).truncate(false).open(installed.join(".built")).unwrap();
    stamp.lock().unwrap();
    let mut done = String::new();
    stamp.read_to_string(&mut done).unwrap();
    let test_run = std::env::var("NEXTEST_RUN_ID").unwrap_or_default();
    let outcome = match done.strip_prefix(&test_run).filter(|_| !test_run.is_empty()) {
        Some(outcome) => outcome.to_owned(),
        None => {
            let outcome = if build(directory) { " built" } else { " failed" };
            stamp.rewind().unwrap();
            stamp.set_len(0).unwrap();
            if outcome == " built" {
                FILES.iter().for_each(|file| install(&directory.join(file), &installed.join(file)));
            }
            stamp.write_all(format!("{test_run}{outcome}").as_bytes()).unwrap();
            outcome.to_owned()
        }
    };
    assert_eq!(outcome, " built", "segport and its plugins cannot be built");
    installed
}

/// Whether it can be built; cargo says why not. The whole workspace, as `cargo xtask test` has built it: a selection of it would
/// have features of its own and be compiled anew.
fn build(directory: &Path) -> bool {
    let profile = directory.file_name().and_then(|name| name.to_str()).expect("profiles have plain names");
    // The directory of the profile `dev` has a name of its own.
    let profile = if profile == "debug" { "dev" } else { profile };
    Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--profile", profile, "--target-dir"])
        .arg(directory.parent().expect("a profile's directory lies in the target directory"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo can be started")
        .success()
}

/// Copies a file that is newer than its copy. The copy is replaced as a whole, since a process may run it.
fn install(from: &Path, to: &Path) {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if changed(to) > changed(from) {
        return;
    }
    let new = to.with_extension("new");
    let stripped = Command::new("strip").arg("--strip-debug").arg("-o").arg(&new).arg(from).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(from, &new).unwrap();
    }
    fs::rename(new, to).unwrap();
}
