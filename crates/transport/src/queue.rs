//! One after the other, among all that use a connection: in this process by a lock, and between those of the machine by that of a
//! file.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::clock::Clock;
use crate::slot::open;

/// When to ask again for a file that another process has.
const BUSY: Duration = Duration::from_millis(20);

/// Those who come one after the other.
#[derive(Debug)]
pub(crate) struct Queue {
    here: Arc<Mutex<()>>,
    /// `None` if this process is the only one.
    file: Option<PathBuf>,
}

/// Everybody else who uses the connection waits until this is dropped; from
/// [`Connection::exclusive`](crate::Connection::exclusive).
#[derive(Debug)]
pub struct Exclusive {
    _here: OwnedMutexGuard<()>,
    _file: Option<File>,
}

impl Queue {
    /// A queue with a file in a directory, which is made when it is first needed.
    pub(crate) fn new(directory: Option<&Path>, connection: &str) -> Self {
        // No id of a connection has a dot.
        Self { here: Arc::default(), file: directory.map(|directory| directory.join(format!("{connection}.lock"))) }
    }

    /// Waits for everybody who came before. Where the file cannot be used this process keeps its own order only.
    pub(crate) async fn exclusive(&self, clock: &dyn Clock) -> Exclusive {
        let here = Arc::clone(&self.here).lock_owned().await;
        let file = self.file.as_deref().and_then(|path| {
            let told =
                |error: &_| tracing::warn!(path = %path.display(), %error, "other processes cannot be waited for");
            open(path).inspect_err(told).ok()
        });
        let mut has_waited = false;
        while let Some(file) = &file {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(path = ?self.file, %error, "other processes cannot be waited for");
                    break;
                }
            }
            if !has_waited {
                tracing::debug!(path = ?self.file, "waiting for another process that uses the connection");
                has_waited = true;
            }
            clock.sleep_until(clock.now() + BUSY).await;
        }
        Exclusive { _here: here, _file: file }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn everybody_waits_for_who_came_first() {
        let directory = tempfile::tempdir().unwrap();
        let queue = |connection: &str| Queue::new(Some(&directory.path().join("pace")), connection);
        // Two processes, as far as files go.
        let (one, other) = (queue("autopilot"), queue("autopilot"));
        let first = one.exclusive(&SystemClock).await;
        assert!(one.exclusive(&SystemClock).now_or_never().is_none());
        let mut waiting = Box::pin(other.exclusive(&SystemClock));
        assert!((&mut waiting).now_or_never().is_none());
        drop(queue("second").exclusive(&SystemClock).await);
        drop(first);
        drop(waiting.await);
        drop(one.exclusive(&SystemClock).await);
    }

    #[tokio::test]
    async fn without_a_directory_each_process_keeps_its_own_order() {
        for directory in [None, Some(Path::new("/dev/null/pace"))] {
            let queue = Queue::new(directory, "autopilot");
            let first = queue.exclusive(&SystemClock).await;
            assert!(queue.exclusive(&SystemClock).now_or_never().is_none());
            drop(first);
            drop(queue.exclusive(&SystemClock).await);
        }
    }
}
