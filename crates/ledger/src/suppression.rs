//! The suppression list: who must not be sent anything, whatever the export.
//!
//! A run must notice a change that another process makes before its next batch, and there may be thousands of batches a second.
//! So every change leaves a mark: one byte at the end of a file beside the database, after its commit and before the change is
//! reported. A run compares the file's length, which is one system call, and reads the list again only if that has grown.
//!
//! Marks may be lost with a process that dies between commit and mark, or with a power cut. Neither hurts: the change was not
//! reported then, every change leaves a mark, even one that finds nothing to do, and a run reads the list when it begins.

use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::database::Database;
use crate::{Error, Identity, Result, Store, files};

impl Store {
    /// Puts people on the suppression list; returns how many of them were not on it. When it returns, no batch that any process
    /// begins from then on has one of them ([`Suppressions::now`]).
    ///
    /// # Errors
    /// If the database fails, or runs under way cannot be told. Whoever calls it again makes up for that.
    pub async fn suppress(&self, identities: &[Identity], at: Timestamp) -> Result<u64> {
        let database = self.database();
        let mut connection = database.acquire().await?;
        let mut transaction = database.write(&mut connection).await?;
        let at = at.to_string();
        let mut added = 0;
        for identity in identities {
            let done =
                sqlx::query("INSERT INTO suppression (identity, added_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(bytes(*identity))
                    .bind(&at)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database.failed("write the suppression list"))?;
            added += done.rows_affected();
        }
        database.commit(transaction).await?;
        self.leave_mark()?;
        database.gather(&mut connection).await;
        Ok(added)
    }

    /// Takes people off the suppression list; returns how many of them were on it.
    ///
    /// # Errors
    /// As [`Store::suppress`].
    pub async fn unsuppress(&self, identities: &[Identity]) -> Result<u64> {
        let database = self.database();
        let mut connection = database.acquire().await?;
        let mut transaction = database.write(&mut connection).await?;
        let mut removed = 0;
        for identity in identities {
            let done = sqlx::query("DELETE FROM suppression WHERE identity = $1")
                .bind(bytes(*identity))
                .execute(&mut *transaction)
                .await
                .map_err(database.failed("write the suppression list"))?;
            removed += done.rows_affected();
        }
        database.commit(transaction).await?;
        self.leave_mark()?;
        database.gather(&mut connection).await;
        Ok(removed)
    }

    /// Whether somebody is on the suppression list.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn is_suppressed(&self, identity: Identity) -> Result<bool> {
        let database = self.database();
        let mut connection = database.acquire().await?;
        sqlx::query_scalar("SELECT count(*) > 0 FROM suppression WHERE identity = $1")
            .bind(bytes(identity))
            .fetch_one(&mut *connection)
            .await
            .map_err(database.failed("read the suppression list"))
    }

    /// How many people are on the suppression list.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn suppressed_count(&self) -> Result<u64> {
        let database = self.database();
        let mut connection = database.acquire().await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM suppression")
            .fetch_one(&mut *connection)
            .await
            .map_err(database.failed("read the suppression list"))?;
        Ok(count.unsigned_abs())
    }

    /// Everybody on the suppression list.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn suppressed(&self) -> Result<HashSet<Identity>> {
        load(self.database()).await
    }

    /// The suppression list for a run, which must heed it while others change it.
    ///
    /// # Errors
    /// If the database fails, or the file of marks cannot be made.
    pub async fn suppressions(&self) -> Result<Suppressions> {
        let database = self.database().clone();
        let marks = Marks::open(database.path())?;
        // Counted before the list is read: what changes meanwhile is noticed by the next who asks.
        let count = marks.count()?;
        let list = Arc::new(load(&database).await?);
        Ok(Suppressions { database, marks, seen: Mutex::new(Seen { marks: count, list }) })
    }

    /// To be called after a commit, whether or not it changed anything: an earlier change may have died before its mark.
    fn leave_mark(&self) -> Result<()> {
        self.database().fault("mark_suppression")?;
        let path = path_of_marks(self.database().path());
        Marks::open(self.database().path())?
            .leave()
            .map_err(|error| Error::io("tell runs under way of the change (call it again) through", &path, error))
    }
}

/// The suppression list as a run goes by it.
#[derive(Debug)]
pub struct Suppressions {
    database: Database,
    marks: Marks,
    seen: Mutex<Seen>,
}

/// The list as it was when there were so many marks.
#[derive(Debug)]
struct Seen {
    marks: u64,
    list: Arc<HashSet<Identity>>,
}

impl Suppressions {
    /// Everybody on the list now: whoever was put on it by a [`Store::suppress`] that returned before this does, in whatever
    /// process, and not taken off since. One system call, unless the list has changed; while it changes all the time, as in a long
    /// import, this waits.
    ///
    /// # Errors
    /// If the list or its file of marks cannot be read. Nothing may be sent then.
    pub async fn now(&self) -> Result<Arc<HashSet<Identity>>> {
        loop {
            let marks = self.marks.count()?;
            {
                let seen = self.seen();
                if seen.marks == marks {
                    return Ok(Arc::clone(&seen.list));
                }
            }
            let list = Arc::new(load(&self.database).await?);
            let mut seen = self.seen();
            // Another call may have read a later list meanwhile. And the list may have changed after it was read: look again.
            if seen.marks < marks {
                *seen = Seen { marks, list };
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file that grows by a byte with every change.
#[derive(Debug)]
struct Marks {
    file: File,
    path: PathBuf,
}

impl Marks {
    fn open(database: &Path) -> Result<Self> {
        let path = path_of_marks(database);
        let failed = |error| Error::io("open", &path, error);
        let options = &mut OpenOptions::new();
        let file = files::private(options.append(true).create(true)).open(&path).map_err(failed)?;
        Ok(Self { file, path })
    }

    fn count(&self) -> Result<u64> {
        let looked = self.file.metadata().and_then(|found| match is_deleted(&found) {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "it was deleted while a run was under way")),
            false => Ok(found.len()),
        });
        looked.map_err(|error| Error::io("look for changes of the suppression list in", &self.path, error))
    }

    fn leave(&mut self) -> io::Result<()> {
        self.file.write_all(b".")
    }
}

/// Beside the database, as SQLite's own files are.
fn path_of_marks(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-suppression");
    name.into()
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

async fn load(database: &Database) -> Result<HashSet<Identity>> {
    let mut connection = database.acquire().await?;
    let identities: Vec<Vec<u8>> = sqlx::query_scalar("SELECT identity FROM suppression")
        .fetch_all(&mut *connection)
        .await
        .map_err(database.failed("read the suppression list"))?;
    let identity = |bytes: Vec<u8>| bytes.try_into().ok().map(|bytes| Identity::from_bits(u128::from_le_bytes(bytes)));
    identities
        .into_iter()
        .map(|bytes| identity(bytes).ok_or_else(|| database.damaged("an entry of the suppression list is cut short")))
        .collect()
}

fn bytes(identity: Identity) -> Vec<u8> {
    identity.bits().to_le_bytes().to_vec()
}
