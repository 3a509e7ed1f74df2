//! Installed plugins for a test: copies of the library with the test plugins, each under the name of one of them.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, StringArray};
use segport_core::rows::EncodedRows;
use segport_core::{ExportSegment, ExportSpec, FieldType, MappedField, Session};
use segport_host::{ConnectorInstance, Plugins, Search};
use segport_sdk::test::Script;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// Long enough never to be reached.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// The library with the test plugins, which `cargo test` builds with the examples.
pub(crate) fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let library = test.parent().and_then(Path::parent).unwrap().join("examples/libplugins.so");
    if !library.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "-p", "segport-host", "--example", "plugins"]).status();
        assert!(built.unwrap().success());
    }
    library
}

/// A directory of plugins and a lock file, removed in the end.
pub(crate) struct Project {
    pub(crate) directory: TempDir,
}

impl Project {
    /// A project in which the plugins of these ids are installed.
    pub(crate) fn with(ids: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let project = Self { directory };
        fs::create_dir(project.plugins()).unwrap();
        for id in ids {
            project.install(id);
        }
        project
    }

    pub(crate) fn plugins(&self) -> PathBuf {
        self.directory.path().join("plugins")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.directory.path().join("segport.lock")
    }

    pub(crate) fn file(&self, id: &str) -> PathBuf {
        self.plugins().join(format!("libsegport_{id}.so"))
    }

    pub(crate) fn install(&self, id: &str) -> PathBuf {
        fs::copy(library(), self.file(id)).unwrap();
        fs::set_permissions(self.file(id), Permissions::from_mode(0o644)).unwrap();
        self.file(id)
    }

    pub(crate) fn search(&self) -> Search {
        Search::new(vec![self.plugins()], self.lock_file())
    }

    pub(crate) fn load(&self) -> Plugins {
        Plugins::new(self.search(), Handle::current())
    }

    /// The probe, open with these settings besides its key.
    pub(crate) fn probe(&self, settings: Value, http: &Script) -> segport_core::Result<ConnectorInstance> {
        let plugin = self.load().load("probe").unwrap();
        ConnectorInstance::open(&*plugin, with_key(settings), http.client())
    }
}

/// Settings of the probe with its key.
pub(crate) fn with_key(mut settings: Value) -> Value {
    settings["api_key"] = json!("hunter2");
    settings
}

/// A batch of one text column.
pub(crate) fn batch(names: &[&str]) -> EncodedRows {
    let names = Arc::new(StringArray::from(names.to_vec()));
    EncodedRows::new(&RecordBatch::try_from_iter([("f0", names as _)]).unwrap()).unwrap()
}

/// A session whose state tells the probe's `write` what to do.
pub(crate) fn session(state: Value) -> Session {
    Session { state, ..Session::default() }
}

/// An export of one segment and one field.
pub(crate) fn export() -> ExportSpec {
    ExportSpec {
        id: "newsletter".to_owned(),
        segments: vec![ExportSegment {
            id: "vip".to_owned(),
            display_name: "VIP".to_owned(),
            first_run: true,
            list: None,
        }],
        fields: vec![MappedField {
            name: "email".to_owned(),
            field_type: FieldType::Email,
            custom: false,
            clear_null: false,
        }],
        account: None,
        may_move: false,
    }
}
