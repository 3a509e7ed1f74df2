//! `segport.lock`: which file of each plugin the user has accepted.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::copy::directory_of;
use crate::error::LoadError;

const HEAD: &str = "# Plugins that this project has accepted. Written by `segport connectors lock`; keep it under version control.\n\n";

/// One accepted file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The plugin's id.
    pub id: String,
    /// The name of its file when it was accepted.
    pub file: String,
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
    /// The version that the plugin states.
    pub version: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, rename = "plugin")]
    plugins: Vec<Pin>,
}

/// Reads the pins by id; none if there is no file.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Pin>, LoadError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(LoadError::lock_file(path.to_owned(), format!("cannot be read: {error}"))),
    };
    let document: Document = toml::from_str(&text)
        .map_err(|error| LoadError::lock_file(path.to_owned(), format!("is not as it was written: {error}")))?;
    Ok(document.plugins.into_iter().map(|pin| (pin.id.clone(), pin)).collect())
}

/// Lets nobody else change the lock file, in this process or another, until the result is dropped.
pub(crate) fn hold(path: &Path) -> Result<File, LoadError> {
    let failed = |error: io::Error| LoadError::unwritable_lock_file(path.to_owned(), &error);
    // The file itself is replaced with every change, so its directory is what can be held.
    let directory = File::open(directory_of(path)).map_err(failed)?;
    match directory.lock() {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(failed(error)),
        _ => Ok(directory),
    }
}

/// Writes the pins in one step: a reader sees the old file or the new one.
pub(crate) fn write(path: &Path, pins: &BTreeMap<String, Pin>) -> Result<(), LoadError> {
    let failed = |error: io::Error| LoadError::unwritable_lock_file(path.to_owned(), &error);
    let document = Document { plugins: pins.values().cloned().collect() };
    let text = toml::to_string(&document).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let directory = directory_of(path);
    let put = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".segport.lock")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(directory)?;
        file.write_all(HEAD.as_bytes())?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(directory)?.sync_all()
    };
    put().map_err(failed)
}
