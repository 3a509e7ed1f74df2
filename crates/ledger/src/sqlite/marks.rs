//! The file of marks beside the database: it tells of changes of the suppression list, and that there was a state at all.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::access::Marks;
use crate::{Error, Result, files};

/// The file that grows by a byte with every change.
#[derive(Debug)]
pub(crate) struct FileOfMarks {
    file: File,
    path: PathBuf,
}

impl FileOfMarks {
    pub(crate) fn open(database: &Path) -> Result<Self> {
        let path = path_of_marks(database);
        let failed = |error| Error::io("open", &path, error);
        let options = &mut OpenOptions::new();
        let file = files::private(options.append(true).create(true)).open(&path).map_err(failed)?;
        Ok(Self { file, path })
    }
}

impl Marks for FileOfMarks {
    fn count(&self) -> Result<u64> {
        let looked = self.file.metadata().and_then(|found| match is_deleted(&found) {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "it was deleted while a run was under way")),
            false => Ok(found.len()),
        });
        looked.map_err(|error| Error::io("look for changes of the suppression list in", &self.path, error))
    }

    fn leave(&self) -> Result<()> {
        let told = (&self.file).write_all(b".");
        told.map_err(|error| Error::io("tell runs under way of the change (call it again) through", &self.path, error))
    }
}

/// Beside the database, as SQLite's own files are.
fn path_of_marks(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-suppression");
    name.into()
}

/// Refuses to begin a state where there was one: whom it had suppressed would be sent again, and who has left since would stay on
/// the lists, and nobody would be told.
///
/// # Errors
/// If there is the file of marks, which the first run makes, or if that cannot be told.
pub(crate) fn refuse_lost(database: &Path) -> Result<()> {
    let path = path_of_marks(database);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("look for", &path, error)),
        Ok(marks) => {
            let held = if marks.len() > 0 { "a suppression list" } else { "a ledger" };
            Err(Error::Lost { database: database.to_owned(), marks: path, held })
        }
    }
}

/// Whether nobody can find the file any more, and so nobody leaves marks in it.
fn is_deleted(file: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.nlink() == 0
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}
