//! One owner per export.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access::Guard;
use crate::database::Database;
use crate::journal::{Journal, Writer};
use crate::{Error, NewRun, Result, RunLedger, Snapshot, files};

/// How often an owner's lock is tried for while somebody looks.
const MOST_LOOKERS: u32 = 1000;

/// The right to run an export, from [`crate::Store::lease`]. Free again the moment it is dropped, or its process dies.
///
/// It is an operating-system lock on a file beside the database, with an epoch in the database that every write compares: were
/// the lock to fail, as on some network file systems, a former owner could still not write.
#[derive(Debug)]
pub struct Lease {
    database: Database,
    export: String,
    epoch: i64,
    lock: Guard,
}

impl Lease {
    pub(crate) async fn take(database: Database, export: &str) -> Result<Self> {
        let Some(lock) = database.lock(export)? else {
            let line = database.look().await?.export(export).await?;
            let holder = line.map_or_else(|| "it has just begun".to_owned(), |line| line.holder);
            return Err(Error::Held { export: export.to_owned(), holder });
        };
        let epoch = database.take_lease(export, &format!("process {}", std::process::id())).await?;
        Ok(Self { database, export: export.to_owned(), epoch, lock })
    }

    /// Id of the export.
    pub fn export(&self) -> &str {
        &self.export
    }

    /// How often this export was leased, this time included.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Writes down that a run begins, and loads what it starts from. A run that never ended is marked *interrupted*.
    ///
    /// # Errors
    /// If the lease was lost, a page is damaged, the export has too many segments, or the database fails.
    pub async fn begin(self, run: NewRun<'_>) -> Result<RunLedger> {
        let Self { database, export, epoch, lock } = self;
        // The epoch is durable, so nobody else can write to the export's pages while they are loaded.
        let mut snapshot = Snapshot::load(database.clone(), &export, run.segments).await?;

        database.fault("begin_run")?;
        let mut pen = database.pen().await?;
        let mut transaction = pen.write().await?;
        database.advance(&mut *transaction, &export, epoch, &snapshot.line).await?;
        let number = transaction.add_run(&export, epoch, run.run_id, run.started_at).await?;
        for segment in snapshot.new_segments() {
            transaction.add_segment(&export, segment).await?;
        }
        database.commit(transaction).await?;

        let mut writer = Writer {
            database,
            pen,
            export,
            epoch,
            run: number,
            line: snapshot.line.clone(),
            records: snapshot.records,
            live: snapshot.index.held_rows(),
            open: 0,
        };
        // Usually the run before has folded, unless it died. One that fails ends this run: it may have been committed all the same,
        // and then the pages are not where this writer takes them to be.
        writer.fold_if_heavy().await?;
        snapshot.line = writer.line.clone();
        let journal = Journal::start(writer, snapshot.current(), lock);
        Ok(RunLedger { snapshot, journal, accepted: None })
    }
}

/// Takes an export over; `None` if somebody else owns it.
pub(crate) fn lock(database: &Path, export: &str) -> Result<Option<Guard>> {
    let path = lock_file(database, export);
    let failed = |error| Error::io("lock", &path, error);
    files::create_directory(&lock_directory(database))?;
    let lock = files::open_private(&path).map_err(failed)?;
    match own(&lock) {
        Ok(()) => Ok(Some(Arc::new(lock))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Takes the lock of an owner. Who only looks has a shared one for a moment, beside which another shared one is granted;
/// beside an owner's none is.
fn own(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..MOST_LOOKERS {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => lock.try_lock_shared()?,
            done => return done,
        }
        lock.unlock().map_err(TryLockError::Error)?;
        std::thread::yield_now();
    }
    Err(TryLockError::WouldBlock)
}

/// Whether somebody owns an export now. Waits for nobody, makes nothing, and keeps no run from beginning.
pub(crate) fn is_held(database: &Path, export: &str) -> Result<bool> {
    let path = lock_file(database, export);
    let failed = |error| Error::io("look at the lock", &path, error);
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(failed)?,
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn lock_directory(database: &Path) -> PathBuf {
    database.parent().unwrap_or(Path::new("")).join("locks")
}

/// The file that is locked for an export. It is never deleted: somebody could be about to lock it.
fn lock_file(database: &Path, export: &str) -> PathBuf {
    let mut name = String::with_capacity(export.len() + 5);
    for byte in export.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    lock_directory(database).join(name + ".lock")
}

/// Locks what must not be done by two processes at once, such as making the database, until the file is dropped.
pub(crate) async fn lock_opening(database: &Path) -> Result<File> {
    let directory = lock_directory(database);
    files::create_directory(&directory)?;
    // No export has this file: a dot in an export's id is not a dot in its file's name.
    let path = directory.join(".open.lock");
    let lock = path.clone();
    let locked = tokio::task::spawn_blocking(move || {
        let file = files::open_private(&lock)?;
        file.lock()?;
        Ok(file)
    });
    locked.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| Error::io("lock", &path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_export_has_a_lock_file_of_its_own() {
        let database = Path::new("state/state.db");
        let name = |export| lock_file(database, export).file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name("newsletter-2_a"), "newsletter-2_a.lock");
        assert_eq!(name("../a b"), "%2e%2e%2fa%20b.lock");
        assert_ne!(name("a%20b"), name("a b"));
        assert_eq!(lock_file(database, "a"), Path::new("state/locks/a.lock"));
    }

    #[test]
    fn who_looks_makes_nothing_and_is_in_nobodys_way() {
        let place = tempfile::tempdir().unwrap();
        let database = place.path().join("state.db");
        assert!(!is_held(&database, "a").unwrap());
        assert!(!place.path().join("locks").exists());

        files::create_directory(&lock_directory(&database)).unwrap();
        let open = || files::open_private(&lock_file(&database, "a")).unwrap();
        let looker = open();
        looker.try_lock_shared().unwrap();
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let lock = open();
                own(&lock).map(|()| lock)
            });
            looker.unlock().unwrap();
            taking.join().unwrap().unwrap()
        });
        assert!(is_held(&database, "a").unwrap());
        assert!(matches!(own(&open()), Err(TryLockError::WouldBlock)));
        drop(taken);
        assert!(!is_held(&database, "a").unwrap());
    }
}
