//! Where a plugin's library is looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Attempt, LoadErrorKind, Problem};

/// Where plugins and their lock file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Directories, in the order in which they are looked at.
    pub directories: Vec<PathBuf>,
    /// `segport.lock`, which need not exist.
    pub lock_file: PathBuf,
    /// What happens to a plugin that the lock file does not name.
    pub unpinned: Unpinned,
}

/// What happens to a plugin that the lock file does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpinned {
    /// The file found at its first use is written to the lock file.
    Pin,
    /// It is refused until the user accepts it.
    Refuse,
}

impl Search {
    /// Looks in `directories` and pins what it meets first.
    pub fn new(directories: Vec<PathBuf>, lock_file: impl Into<PathBuf>) -> Self {
        Self { directories, lock_file: lock_file.into(), unpinned: Unpinned::Pin }
    }

    /// Looks beside the running executable too, and in `../lib/segport/plugins` from there: where a build of this workspace
    /// and an installation have them.
    #[must_use]
    pub fn beside_executable(mut self) -> Self {
        let directory = std::env::current_exe().ok().and_then(|file| Some(file.parent()?.to_owned()));
        if let Some(directory) = directory {
            let installed = directory.join("../lib/segport/plugins");
            for directory in [directory, installed] {
                if !self.directories.contains(&directory) {
                    self.directories.push(directory);
                }
            }
        }
        self
    }

    /// Refuses plugins that the lock file does not name.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.unpinned = Unpinned::Refuse;
        self
    }

    /// The files that plugin `id` may be in, in the order in which they are tried.
    pub(crate) fn candidates(&self, id: &str) -> Vec<PathBuf> {
        self.directories.iter().flat_map(|directory| names(id).map(|name| directory.join(name))).collect()
    }

    /// The first file of every plugin there is, by id. Those of a directory that cannot be listed are found if they are among
    /// the `known` ones.
    pub(crate) fn all<'a>(&self, known: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, PathBuf> {
        let entries = self.directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
        let listed = entries.filter_map(|entry| id_of(&entry.path()));
        let known = known.into_iter().filter(|id| is_id(id)).cloned();
        let ids: BTreeSet<String> = listed.chain(known).collect();
        let first = |id: &String| self.candidates(id).into_iter().find(|file| file.exists());
        ids.into_iter().filter_map(|id| first(&id).map(|file| (id, file))).collect()
    }

    /// The directories that are there and do not tell what is in them.
    pub(crate) fn unlistable(&self) -> Vec<Attempt> {
        let problem = |directory: &PathBuf| {
            let error = fs::read_dir(directory).err().filter(|error| error.kind() != ErrorKind::NotFound)?;
            let problem = Problem::new(LoadErrorKind::Unloadable, format!("cannot be listed: {error}"));
            Some(problem.at(directory.clone()))
        };
        self.directories.iter().filter_map(problem).collect()
    }
}

/// The names that the library of plugin `id` may have, the preferred one first.
fn names(id: &str) -> [String; 2] {
    [format!("libsegport_{id}.so"), format!("{id}.so")]
}

/// The plugin that a file of this name is.
fn id_of(file: &Path) -> Option<String> {
    let stem = file.file_name()?.to_str()?.strip_suffix(".so")?;
    // Any other name with `lib` is some other library.
    let id = stem.strip_prefix("libsegport_").or_else(|| (!stem.starts_with("lib")).then_some(stem))?;
    is_id(id).then(|| id.to_owned())
}

/// Whether `id` is lower-case letters, digits and underscores, a letter first.
pub(crate) fn is_id(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_lowercase())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_listed_is_told_of() {
        let place = tempfile::tempdir().unwrap();
        let (absent, file) = (place.path().join("absent"), place.path().join("file"));
        fs::write(&file, "").unwrap();
        let search = Search::new(vec![place.path().to_owned(), absent, file.clone()], "segport.lock");
        let told = search.unlistable();
        let told: Vec<_> = told.iter().map(|attempt| (&attempt.place, attempt.problem.as_str())).collect();
        assert_eq!(told, [(&file, "cannot be listed: Not a directory (os error 20)")]);
    }

    #[test]
    fn a_directory_is_looked_at_once() {
        let beside = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let search = Search::new(vec![beside.clone()], "segport.lock").beside_executable();
        assert_eq!(search.directories.iter().filter(|directory| **directory == beside).count(), 1);
        let search = Search::new(Vec::new(), "segport.lock").beside_executable();
        assert_eq!(search.directories[0], beside);
    }
}
