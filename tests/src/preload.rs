//! Libraries that are preloaded into the binary, so that a test stands between it and the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Segport;

/// A library that was built, and a directory of its own for what it writes.
#[derive(Debug)]
pub(crate) struct Preload(TempDir);

impl Preload {
    /// Builds the library from a file of C.
    pub(crate) fn of(source: &str) -> Self {
        let this = Self(TempDir::new().unwrap());
        let file = this.directory().join("preload.c");
        fs::write(&file, source).unwrap();
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(this.library()).arg(&file).status().unwrap();
        assert!(built.success(), "cc: {built}");
        this
    }

    /// The same call with the library in it.
    pub(crate) fn under(&self, call: Segport) -> Segport {
        call.env("LD_PRELOAD", self.library())
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    fn library(&self) -> PathBuf {
        self.directory().join("preload.so")
    }
}
