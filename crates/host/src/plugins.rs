//! The plugins of a project.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Builder};

use tokio::runtime::Handle;

use crate::copy::{self, PrivateCopy};
use crate::error::{Attempt, LoadError, LoadErrorKind, Problem};
use crate::library::{LibraryPlugin, Loaded};
use crate::lock::{self, Pin};
use crate::plugin::Plugin;
use crate::search::{Search, Unpinned, is_id};

/// Finds and loads the plugins of a project.
#[derive(Debug)]
pub struct Plugins {
    search: Search,
    runtime: Handle,
    /// What was verified and loaded. To find out again whether a file has changed takes longer than many a run.
    verified: Mutex<BTreeMap<String, Arc<dyn Plugin>>>,
}

/// A plugin's file as it lies there, without having been loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The plugin's id.
    pub id: String,
    /// Its file.
    pub file: PathBuf,
    /// How the file and the lock file agree.
    pub state: PinState,
}

/// How a plugin's file and the lock file agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinState {
    /// It is the file that was accepted.
    Pinned(Pin),
    /// Nothing was accepted yet; this is its SHA-256 in hexadecimal.
    Unpinned(String),
    /// It is not the file that was accepted.
    Changed {
        /// What was accepted.
        pin: Pin,
        /// SHA-256 of the file in hexadecimal.
        sha256: String,
    },
    /// It would not be loaded, whatever the lock file says, for this reason.
    Refused(String),
    /// It was accepted, but there is no file any more.
    Missing(Pin),
}

impl Plugins {
    /// The plugins that `search` leads to; their HTTP requests run on `runtime`.
    pub fn new(search: Search, runtime: Handle) -> Self {
        Self { search, runtime, verified: Mutex::default() }
    }

    /// Finds, verifies and loads plugin `id`; a file that changes after that is noticed by the next process.
    ///
    /// The first call reads, hashes and copies the library: tens of milliseconds, on the calling thread.
    ///
    /// # Errors
    /// [`LoadError`] with every place that was looked at.
    pub fn load(&self, id: &str) -> Result<Arc<dyn Plugin>, LoadError> {
        if !is_id(id) {
            return Err(LoadError::bad_id(id));
        }
        if let Some(plugin) = self.verified().get(id) {
            return Ok(Arc::clone(plugin));
        }
        let plugin = self.verify(id)?;
        Ok(Arc::clone(self.verified().entry(id.to_owned()).or_insert(plugin)))
    }

    /// Loads several plugins, each as [`Plugins::load`] does, but reads, hashes and copies them side by side; what came of them
    /// in the order of `ids`.
    pub fn load_all<'a>(&self, ids: impl IntoIterator<Item = &'a String>) -> Vec<Result<Arc<dyn Plugin>, LoadError>> {
        thread::scope(|scope| {
            let start = |id: &'a String| (id, Builder::new().spawn_scoped(scope, move || self.load(id)));
            let loading: Vec<_> = ids.into_iter().map(start).collect();
            let mut loaded = Vec::with_capacity(loading.len());
            for (id, started) in loading {
                loaded.push(match started {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    // There is no thread to be had.
                    Err(_) => self.load(id),
                });
            }
            loaded
        })
    }

    fn verify(&self, id: &str) -> Result<Arc<dyn Plugin>, LoadError> {
        let pin = lock::read(&self.search.lock_file)?.remove(id);
        let mut attempts = Vec::new();
        for file in self.search.candidates(id) {
            match self.load_file(id, &file, pin.as_ref()) {
                Ok(loaded) => {
                    if pin.is_none() {
                        let pinned = self.pin(pin_of(loaded, &file))?;
                        if pinned.sha256 != loaded.sha256() {
                            attempts.push(changed(&pinned, loaded.sha256()).at(file));
                            break;
                        }
                    }
                    return Ok(Arc::new(LibraryPlugin::new(loaded, self.runtime.clone())));
                }
                Err(problem) => {
                    let is_distrusted = problem.is_distrust();
                    attempts.push(problem.at(file));
                    // Another copy further on would hide that somebody has touched the one that comes first.
                    if is_distrusted {
                        break;
                    }
                }
            }
        }
        Err(LoadError::plugin(id, attempts))
    }

    fn load_file(&self, id: &str, file: &Path, pin: Option<&Pin>) -> Result<&'static Loaded, Problem> {
        let copy = PrivateCopy::make(file)?;
        let sha256 = copy.sha256();
        match pin {
            Some(pin) if pin.sha256 != sha256 => Err(changed(pin, sha256)),
            None if self.search.unpinned == Unpinned::Refuse => Err(Problem::new(
                LoadErrorKind::NotAccepted,
                format!("was not accepted yet: segport.lock does not name it (SHA-256 {sha256})"),
            )),
            _ => Ok(loaded(id, &copy)?),
        }
    }

    /// The ids of all plugins there are, going by the names of their files. Loads none.
    pub fn ids(&self) -> Vec<String> {
        self.search.all([]).into_keys().collect()
    }

    /// The directories that are there and do not tell what is in them, and why not. A plugin in one can be loaded, but is among
    /// those that are listed only if it was accepted.
    pub fn unlistable(&self) -> Vec<Attempt> {
        self.search.unlistable()
    }

    /// Every plugin there is and every plugin that was accepted, in the order of their ids. Loads none.
    ///
    /// # Errors
    /// [`LoadError`] if the lock file cannot be read.
    pub fn installed(&self) -> Result<Vec<Installed>, LoadError> {
        let mut pins = lock::read(&self.search.lock_file)?;
        let files = self.search.all(pins.keys());
        let mut installed: Vec<Installed> = files
            .into_iter()
            .map(|(id, file)| {
                let state = match (copy::sha256(&file), pins.remove(&id)) {
                    (Err(problem), _) => PinState::Refused(problem.text),
                    (Ok(sha256), None) => PinState::Unpinned(sha256),
                    (Ok(sha256), Some(pin)) if sha256 == pin.sha256 => PinState::Pinned(pin),
                    (Ok(sha256), Some(pin)) => PinState::Changed { pin, sha256 },
                };
                Installed { id, file, state }
            })
            .collect();
        let missing = pins.into_values().map(|pin| Installed {
            id: pin.id.clone(),
            file: PathBuf::from(&pin.file),
            state: PinState::Missing(pin),
        });
        installed.extend(missing);
        installed.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(installed)
    }

    /// Accepts the files that are there now: loads each one to learn its version, and writes the lock file anew. A plugin that
    /// somebody else is just loading stays as it was accepted before.
    ///
    /// # Errors
    /// [`LoadError`] for the first plugin that cannot be loaded, or a lock file that cannot be written; nothing is
    /// accepted then.
    pub fn lock(&self) -> Result<Vec<Pin>, LoadError> {
        let _pinning = lock::hold(&self.search.lock_file)?;
        // A lock file that cannot be read is written anew.
        let accepted = lock::read(&self.search.lock_file).unwrap_or_default();
        let mut pins = BTreeMap::new();
        for (id, file) in self.search.all(accepted.keys()) {
            let loaded = PrivateCopy::make(&file)
                .and_then(|copy| Ok(loaded(&id, &copy)?))
                .map_err(|problem| LoadError::plugin(&id, vec![problem.at(file.clone())]))?;
            pins.insert(id, pin_of(loaded, &file));
        }
        lock::write(&self.search.lock_file, &pins)?;
        self.verified().clear();
        Ok(pins.into_values().collect())
    }

    /// Adds a pin to the lock file, and returns the one that stands there: others may have pinned since.
    fn pin(&self, pin: Pin) -> Result<Pin, LoadError> {
        let _pinning = lock::hold(&self.search.lock_file)?;
        let mut pins = lock::read(&self.search.lock_file)?;
        let pinned = pins.entry(pin.id.clone()).or_insert(pin).clone();
        lock::write(&self.search.lock_file, &pins)?;
        Ok(pinned)
    }

    fn verified(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn Plugin>>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The library of that copy, loaded now or earlier. Its own code runs meanwhile, so nobody but who wants the same library waits.
fn loaded(id: &str, copy: &PrivateCopy) -> Result<&'static Loaded, String> {
    /// What this process has loaded or is loading, by id and hash.
    static LOADED: Mutex<BTreeMap<(String, String), Loading>> = Mutex::new(BTreeMap::new());

    let all = || LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (id.to_owned(), copy.sha256().to_owned());
    let loading = Arc::clone(all().entry(key.clone()).or_default());
    let load = || {
        let loaded = Loaded::load(id, copy);
        if loaded.is_err() {
            // What was wrong may be put right, so that the next attempt is a new one.
            all().remove(&key);
        }
        loaded
    };
    loading.get_or_init(load).clone()
}

/// Filled by the first who wants a library, while others who want it wait.
type Loading = Arc<OnceLock<Result<&'static Loaded, String>>>;

fn changed(pin: &Pin, sha256: &str) -> Problem {
    let Pin { sha256: accepted, version, .. } = pin;
    let text = format!("has changed: its SHA-256 is {sha256}, segport.lock has {accepted} (version {version})");
    Problem::new(LoadErrorKind::Changed, text)
}

fn pin_of(loaded: &Loaded, file: &Path) -> Pin {
    Pin {
        id: loaded.id().to_owned(),
        file: file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        sha256: loaded.sha256().to_owned(),
        version: loaded.descriptor().version.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_two_that_pin_a_plugin_the_first_counts() {
        let directory = tempfile::tempdir().unwrap();
        let plugins = || {
            let search = Search::new(Vec::new(), directory.path().join("segport.lock"));
            Plugins::new(search, Handle::current())
        };
        let pin = |sha256: &str| Pin {
            id: "probe".to_owned(),
            file: "libprobe.so".to_owned(),
            sha256: sha256.to_owned(),
            version: "1.0.0".to_owned(),
        };
        let (first, second) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(plugins().pin(pin(&first)).unwrap().sha256, first);
        assert_eq!(plugins().pin(pin(&second)).unwrap().sha256, first, "whoever has the second file must not use it");
        let problem = changed(&pin(&first), &second).text;
        assert_eq!(problem, format!("has changed: its SHA-256 is {second}, segport.lock has {first} (version 1.0.0)"));
    }
}
