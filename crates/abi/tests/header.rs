//! `include/segport_plugin.h` is what cbindgen makes of the Rust types, and a C compiler agrees with their layout.
//!
//! `SEGPORT_UPDATE=1 cargo test -p segport-abi` writes the file anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use segport_abi::LAYOUT;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> PathBuf {
    here().join("include/segport_plugin.h")
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let config = cbindgen::Config::from_file(here().join("cbindgen.toml")).unwrap();
    let sources = ["lib", "buffer", "tables"].map(|name| here().join("src").join(name).with_extension("rs"));
    let builder = sources.iter().fold(cbindgen::Builder::new().with_config(config), cbindgen::Builder::with_src);
    let mut generated = Vec::new();
    builder.generate().unwrap().write(&mut generated);
    let generated = String::from_utf8(generated).unwrap();
    if env::var_os("SEGPORT_UPDATE").is_some() {
        fs::write(header(), &generated).unwrap();
    }
    let committed = fs::read_to_string(header()).unwrap_or_default();
    assert!(committed == generated, "run `SEGPORT_UPDATE=1 cargo test -p segport-abi`; it would be:\n{generated}");
}

#[test]
fn a_c_compiler_sees_the_same_sizes_and_offsets() {
    let mut code = format!("#include \"{}\"\n", header().display());
    for (name, value) in LAYOUT {
        let expression = match name.split_once('.') {
            Some((of, "size")) => format!("sizeof(Segport{of})"),
            Some((of, field)) => format!("offsetof(Segport{of}, {field})"),
            None => continue,
        };
        writeln!(code, "_Static_assert({expression} == {value}, \"{name}\");").unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("layout.c");
    fs::write(&file, code).unwrap();
    let output =
        Command::new("cc").args(["-std=c11", "-Wall", "-Werror", "-fsyntax-only"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
