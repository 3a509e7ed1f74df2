//! The database as a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::database::Database;
use crate::page::Seal;
use crate::sqlite::Sqlite;
use crate::{
    Error, Faults, Folding, Hasher, Lease, NoFaults, OutcomeKind, Result, RowReader, RunRecord, RunStatus, Snapshot,
    StateKey,
};

/// The fact that tells whether a key fits.
const CHECK_OF_KEY: &str = "key_check";

/// The path that `[state] url` names: `sqlite:` and a path, relative to the project.
///
/// # Errors
/// For any other kind of database.
pub fn sqlite_path(url: &str, project: &Path) -> Result<PathBuf> {
    let (scheme, path) = url.split_once(':').unwrap_or((url, ""));
    let path = path.strip_prefix("//").unwrap_or(path);
    if scheme != "sqlite" || path.is_empty() {
        return Err(Error::UnsupportedUrl);
    }
    Ok(project.join(path))
}

/// The durable state of a project: one SQLite file, with a directory `locks` beside it.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    hasher: Hasher,
}

impl Store {
    /// Opens the state at `path`; makes it, and its directory, at first use.
    ///
    /// # Errors
    /// If the key is not the state's, the state is damaged or of a newer version, or the database fails.
    pub async fn open(path: &Path, key: &StateKey) -> Result<Self> {
        Self::open_with(path, key, Arc::new(NoFaults)).await
    }

    /// [`Store::open`], with durable operations that can be made to fail.
    ///
    /// # Errors
    /// As [`Store::open`], and what `faults` injects.
    pub async fn open_with(path: &Path, key: &StateKey, faults: Arc<dyn Faults>) -> Result<Self> {
        // Held until the database is there and up to date.
        let _opening = Sqlite::lock_opening(path).await?;
        let sqlite = Sqlite::open(path, Seal::new(key), Arc::clone(&faults)).await?;
        let database = Database::new(Arc::new(sqlite), path, faults);
        let check = key.check_value();
        if database.fact_or(CHECK_OF_KEY, &check).await? == check {
            Ok(Self { database, hasher: Hasher::new(key) })
        } else {
            Err(Error::WrongKey { path: path.to_owned() })
        }
    }

    /// Whether there is a state at `path`. What can be opened has a key; what cannot needs none.
    ///
    /// # Errors
    /// If that cannot be told, or there was a state whose suppression list was lost with it.
    pub fn exists(path: &Path) -> Result<bool> {
        Sqlite::exists(path)
    }

    /// Opens a state to look at only: nothing is made, changed or brought up to date.
    ///
    /// # Errors
    /// As [`Store::open`], and [`Error::NoState`] if there is none.
    pub async fn open_existing(path: &Path, key: &StateKey) -> Result<Self> {
        let sqlite = Sqlite::open_existing(path, Seal::new(key), Arc::new(NoFaults)).await?;
        let database = Database::new(Arc::new(sqlite), path, Arc::new(NoFaults));
        match database.fact(CHECK_OF_KEY).await? {
            Some(check) if check == key.check_value() => Ok(Self { database, hasher: Hasher::new(key) }),
            Some(_) => Err(Error::WrongKey { path: path.to_owned() }),
            None => Err(Error::NoState { path: path.to_owned() }),
        }
    }

    /// A state that is kept in memory, and outlives whoever writes to it. No file is opened and no thread started.
    #[cfg(feature = "simulation")]
    pub fn in_memory(memory: &crate::Memory, key: &StateKey, faults: Arc<dyn Faults>) -> Self {
        let database = Database::new(Arc::new(memory.clone()), Path::new("memory"), faults);
        Self { database, hasher: Hasher::new(key) }
    }

    /// The same store, whose runs fold pages in this way.
    #[must_use]
    pub fn with_folding(mut self, folding: Folding) -> Self {
        self.database.folding = folding;
        self
    }

    /// The same store, whose indexes take so many bytes of memory, and [`Index::MEMORY`] otherwise.
    ///
    /// [`Index::MEMORY`]: crate::Index::MEMORY
    #[must_use]
    pub fn with_index_memory(mut self, bytes: usize) -> Self {
        self.database.index_memory = bytes;
        self
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Makes the hashes of this state.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Takes an export over, to run it.
    ///
    /// # Errors
    /// [`Error::Held`] if somebody else runs it.
    pub async fn lease(&self, export: &str) -> Result<Lease> {
        Lease::take(self.database.clone(), export).await
    }

    /// What is held of an export, whose segments are these, in the order of its manifest. Needs no lease and writes nothing.
    ///
    /// # Errors
    /// If a page is damaged, there are too many segments, or the database fails.
    pub async fn snapshot(&self, export: &str, segments: &[String]) -> Result<Snapshot> {
        Snapshot::load(self.database.clone(), export, segments).await
    }

    /// The newest runs, of one export or of all, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn runs(&self, export: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        let mut runs = self.database.keeper.look().await?.runs(export, limit).await?;
        for run in &mut runs {
            self.look_after(run).await?;
        }
        Ok(runs)
    }

    /// The run with this id, or the only one whose id starts so.
    ///
    /// # Errors
    /// [`Error::NoRun`], [`Error::AmbiguousRun`], or if the database fails.
    pub async fn run(&self, run: &str) -> Result<RunRecord> {
        let mut found = self.database.keeper.look().await?.runs_like(run).await?.into_iter().map(|(_, run)| run);
        match (found.next(), found.next()) {
            (Some(mut run), None) => {
                self.look_after(&mut run).await?;
                Ok(run)
            }
            (None, _) => Err(Error::NoRun { run: run.to_owned() }),
            (Some(_), Some(_)) => Err(Error::AmbiguousRun { run: run.to_owned() }),
        }
    }

    /// Finds out what became of a run that has not ended as far as is written down: nobody writes down that it died.
    async fn look_after(&self, run: &mut RunRecord) -> Result<()> {
        if run.status != RunStatus::Running || self.database.keeper.is_held(&run.export)? {
            return Ok(());
        }
        // It may have ended after it was read and before its lease was looked at.
        if let Some((_, now)) = self.database.keeper.look().await?.runs_like(&run.run_id).await?.pop() {
            *run = now;
        }
        if run.status == RunStatus::Running {
            run.status = RunStatus::Interrupted;
        }
        Ok(())
    }

    /// Whether all rows of the run with this whole id are still kept: it is one of the last 50 of its export, and later runs have not
    /// taken the place of rows that it did not try ([`Folding::untried_rows`]).
    ///
    /// # Errors
    /// [`Error::NoRun`], or if the database fails.
    pub async fn keeps_rows(&self, run_id: &str) -> Result<bool> {
        let (number, run) = self.database.run(run_id).await?;
        let mut access = self.database.keeper.look().await?;
        let is_recent = access.runs_with_rows(&run.export).await?.iter().any(|(recent, _)| *recent == number);
        Ok(is_recent && !access.has_emptied(number).await?)
    }

    /// The rows of the run with this whole id, all but the unchanged ones, as far as they are kept.
    ///
    /// # Errors
    /// [`Error::NoRun`], or if the database fails.
    pub async fn rows(&self, run_id: &str, only: Option<OutcomeKind>) -> Result<RowReader> {
        RowReader::open(self.database.clone(), run_id, only).await
    }

    /// How many rows the destination is known to hold for an export.
    ///
    /// # Errors
    /// If a page is damaged or cannot be read.
    pub async fn held(&self, export: &str) -> Result<u64> {
        Ok(self.snapshot(export, &[]).await?.index.held_rows())
    }
}
