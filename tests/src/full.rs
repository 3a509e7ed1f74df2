//! A disk that fills up.

use std::fs;
use std::path::PathBuf;

use crate::Segport;
use crate::preload::Preload;

/// Lets a process find no space from its nth change of a directory on.
#[derive(Debug)]
pub struct FullDisk(Preload);

/// What becomes of the change that finds no space first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Nothing of it is done. Counted is whatever may need space: writing, changing a length, syncing, making a file or
    /// directory.
    Undone,
    /// Half of it is written. Counted are writes only.
    Half,
}

impl Default for FullDisk {
    /// Builds the library that is preloaded into the process.
    fn default() -> Self {
        Self(Preload::of(include_str!("full.c")))
    }
}

impl FullDisk {
    /// The same call, whose nth change in the state's directory finds no space.
    #[must_use]
    pub fn under(&self, call: Segport, nth: u32, last: Last) -> Segport {
        self.with(call, "/.segport/", nth, last)
    }

    /// The same call, whose nth change of files without a name in that directory finds no space: rows wait in one.
    #[must_use]
    pub fn under_nameless_files(&self, call: Segport, nth: u32, last: Last) -> Segport {
        self.with(call, " (deleted)/", nth, last)
    }

    fn with(&self, call: Segport, part: &str, nth: u32, last: Last) -> Segport {
        fs::remove_file(self.told()).ok();
        let call = self.0.under(call).env("FULL_DISK", part).env("FULL_DISK_AT", nth.to_string());
        let call = call.env("FULL_DISK_TELL", self.told());
        if last == Last::Half { call.env("FULL_DISK_HALF", "yes") } else { call }
    }

    /// What found no space first, if it came to that.
    pub fn struck(&self) -> Option<String> {
        fs::read_to_string(self.told()).ok()
    }

    fn told(&self) -> PathBuf {
        self.0.directory().join("struck")
    }
}
