//! The suppression list: who must not be sent anything, whatever the export.
//!
//! A run must notice a change that another process makes before its next batch, and there may be thousands of batches a second.
//! So every change leaves a mark: one byte at the end of a file beside the database, after its commit and before the change is
//! reported. A run compares the file's length, which is one system call, and reads the list again only if that has grown.
//!
//! Marks may be lost with a process that dies between commit and mark, or with a power cut. Neither hurts: the change was not
//! reported then, every change leaves a mark, even one that finds nothing to do, and a run reads the list when it begins.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::access::{Access, Marks};
use crate::database::Database;
use crate::{Identity, Result, Store};

impl Store {
    /// Puts people on the suppression list; returns how many of them were not on it. When it returns, no batch that any process
    /// begins from then on has one of them ([`Suppressions::now`]).
    ///
    /// # Errors
    /// If the database fails, or runs under way cannot be told. Whoever calls it again makes up for that.
    pub async fn suppress(&self, identities: &[Identity], at: Timestamp) -> Result<u64> {
        let mut transaction = self.database().keeper.write().await?;
        let added = transaction.suppress(identities, at).await?;
        self.tell(transaction).await?;
        Ok(added)
    }

    /// Takes people off the suppression list; returns how many of them were on it.
    ///
    /// # Errors
    /// As [`Store::suppress`].
    pub async fn unsuppress(&self, identities: &[Identity]) -> Result<u64> {
        let mut transaction = self.database().keeper.write().await?;
        let removed = transaction.unsuppress(identities).await?;
        self.tell(transaction).await?;
        Ok(removed)
    }

    /// Whether somebody is on the suppression list.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn is_suppressed(&self, identity: Identity) -> Result<bool> {
        self.database().keeper.look().await?.is_suppressed(identity).await
    }

    /// How many people are on the suppression list.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn suppressed_count(&self) -> Result<u64> {
        self.database().keeper.look().await?.suppressed_count().await
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
        let marks = database.keeper.marks()?;
        // Counted before the list is read: what changes meanwhile is noticed by the next who asks.
        let count = marks.count()?;
        let list = Arc::new(load(&database).await?);
        let seen = Mutex::new(Seen { marks: count, list });
        Ok(Suppressions { database, marks, seen, reading: Semaphore::new(1) })
    }

    /// Commits a change, and tells runs under way of it, whether or not it changed anything: an earlier change may have died
    /// before its mark.
    async fn tell(&self, change: Box<dyn Access>) -> Result<()> {
        let database = self.database();
        database.commit(change).await?;
        database.fault("mark_suppression")?;
        database.keeper.marks()?.leave()?;
        database.keeper.gather().await;
        Ok(())
    }
}

/// The suppression list as a run goes by it.
#[derive(Debug)]
pub struct Suppressions {
    database: Database,
    marks: Box<dyn Marks>,
    seen: Mutex<Seen>,
    /// Whose turn it is to read the list again.
    reading: Semaphore,
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
        if let Some(list) = self.seen_at(self.marks.count()?) {
            return Ok(list);
        }
        // A list may be large: one call reads it, and those that waited for their turn find it read.
        let _turn = self.reading.acquire().await;
        loop {
            let marks = self.marks.count()?;
            if let Some(list) = self.seen_at(marks) {
                return Ok(list);
            }
            let list = Arc::new(load(&self.database).await?);
            // It may have changed after it was read: look again.
            *self.seen() = Seen { marks, list };
        }
    }

    /// The list, if it was read when there were so many marks.
    fn seen_at(&self, marks: u64) -> Option<Arc<HashSet<Identity>>> {
        let seen = self.seen();
        (seen.marks == marks).then(|| Arc::clone(&seen.list))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn load(database: &Database) -> Result<HashSet<Identity>> {
    database.keeper.view().await?.suppressed().await
}
