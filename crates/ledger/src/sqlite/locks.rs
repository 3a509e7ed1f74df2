//! The locks beside the database: one for each export, and one for opening it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access::Guard;
use crate::{Error, Result, files};

/// How often an owner's lock is tried for while somebody looks.
const MOST_LOOKERS: u32 = 1000;

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
