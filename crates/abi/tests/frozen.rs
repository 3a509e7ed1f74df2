//! The layout of a released version never changes: `layout/<version>.txt` keeps it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use segport_abi::{
    HOST_MAGIC, LAYOUT, LEVEL_DEBUG, LEVEL_ERROR, LEVEL_INFO, LEVEL_OFF, LEVEL_TRACE, LEVEL_WARN, MAJOR, MINOR,
    NO_TIMEOUT, PLUGIN_MAGIC, STATUS_ERROR, STATUS_OK, SYMBOL_PREFIX,
};

/// Layout and constants as text.
fn layout() -> String {
    let mut text = String::new();
    for (name, value) in LAYOUT {
        writeln!(text, "{name} {value}").unwrap();
    }
    writeln!(text, "PLUGIN_MAGIC {PLUGIN_MAGIC:#x}\nHOST_MAGIC {HOST_MAGIC:#x}\nSYMBOL_PREFIX {SYMBOL_PREFIX}")
        .unwrap();
    writeln!(text, "STATUS_OK {STATUS_OK}\nSTATUS_ERROR {STATUS_ERROR}\nNO_TIMEOUT {NO_TIMEOUT:#x}").unwrap();
    writeln!(text, "LEVELS {LEVEL_OFF} {LEVEL_ERROR} {LEVEL_WARN} {LEVEL_INFO} {LEVEL_DEBUG} {LEVEL_TRACE}").unwrap();
    text
}

#[test]
fn the_layout_changes_with_its_version_only() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("layout/{MAJOR}.{MINOR}.txt"));
    // A version that was written down once is not written anew.
    if env::var_os("SEGPORT_UPDATE").is_some() && !file.exists() {
        fs::write(&file, layout()).unwrap();
    }
    let frozen = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        layout(),
        frozen,
        "version {MAJOR}.{MINOR} is frozen: raise MINOR, write the history in src/lib.rs and ABI.md, \
         and run `SEGPORT_UPDATE=1 cargo test -p segport-abi`"
    );
}

#[test]
fn later_versions_only_append() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("layout");
    let now = layout();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with(&format!("{MAJOR}.")) {
            continue;
        }
        for line in fs::read_to_string(entry.path()).unwrap().lines() {
            let may_grow = line.contains("Table.size ");
            assert!(may_grow || now.lines().any(|current| current == line), "{name} had `{line}`");
        }
    }
}

#[test]
fn the_magic_numbers_can_be_read_in_a_dump() {
    assert_eq!(&PLUGIN_MAGIC.to_le_bytes(), b"SEGPLUG1");
    assert_eq!(&HOST_MAGIC.to_le_bytes(), b"SEGHOST1");
}

#[test]
fn the_documents_tell_of_this_version() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let version = format!("* {MAJOR}.{MINOR}");
    for file in ["src/lib.rs", "ABI.md"] {
        let text = fs::read_to_string(here.join(file)).unwrap();
        assert!(text.contains(&version), "the history in {file} lacks `{version}`");
    }
}
