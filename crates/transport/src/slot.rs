//! The next slot of a connection, shared by all processes of a machine that use it, through a file of 16 bytes.
//!
//! The limiter of a process keeps its own calls apart. Two processes that use one connection at the same time would take its
//! rate twice; here each asks for the next slot under a lock of the file, and a pause that one was asked for holds for all.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// A pause that ends later than any can was written before the system's clock was put back; so was a slot that is more than
/// one interval ahead.
const FARTHEST: Duration = Duration::from_secs(6 * 60);

/// When to ask again after another process had the file.
const BUSY: Duration = Duration::from_millis(1);
/// How often a pause is tried to be written while another process has the file.
const TRIES: u32 = 1000;

/// A connection's place in a directory of slots; the file is made when the first call is about to be sent.
#[derive(Debug)]
pub(crate) struct SharedSlot {
    path: PathBuf,
    /// `None` if it cannot be opened: then this process keeps its own pace only. The lock of a file keeps processes apart, and the
    /// other one the threads of this process, which have the file in common.
    file: OnceLock<Option<Mutex<File>>>,
}

/// The two times in the file, as nanoseconds since 1970; 0 = none.
#[derive(Debug, Clone, Copy)]
struct Times {
    next: u64,
    paused_until: u64,
}

impl Times {
    /// What a wrong clock wrote would hide every pause until then, and hold all calls in the last minutes before.
    fn forget_impossible_pause(&mut self, now: u64) {
        if self.paused_until.saturating_sub(now) > whole(FARTHEST) {
            self.paused_until = 0;
        }
    }
}

impl SharedSlot {
    pub(crate) fn new(directory: &Path, connection: &str) -> Self {
        Self { path: directory.join(connection), file: OnceLock::new() }
    }

    /// Takes the next slot, or says how long to wait before asking again, also where another process has the file. A call may be
    /// up to `slack` late for its slot without moving all later ones.
    pub(crate) fn take(&self, now: SystemTime, interval: Duration, slack: Duration) -> Option<Duration> {
        let now = nanoseconds(now);
        let taken = self.try_change(|times| {
            times.forget_impossible_pause(now);
            let ahead = |time: u64| Duration::from_nanos(time.saturating_sub(now));
            let pause = ahead(times.paused_until);
            if !pause.is_zero() {
                return Some(pause);
            }
            let wait = ahead(times.next);
            if !wait.is_zero() && wait <= interval {
                return Some(wait);
            }
            let earliest = now.saturating_sub(whole(slack));
            let slot = if times.next > now { earliest } else { times.next.max(earliest) };
            times.next = slot.saturating_add(whole(interval));
            None
        });
        match taken {
            Ok(wait) => wait,
            Err(Unchanged::Busy) => Some(BUSY),
            Err(Unchanged::Unshared) => None,
        }
    }

    /// Lets no process send before `until`.
    pub(crate) fn pause(&self, until: SystemTime) {
        let until = nanoseconds(until);
        for _ in 0..TRIES {
            let pause = |times: &mut Times| {
                times.forget_impossible_pause(until);
                times.paused_until = times.paused_until.max(until);
            };
            match self.try_change(pause) {
                Err(Unchanged::Busy) => std::thread::yield_now(),
                Ok(()) | Err(Unchanged::Unshared) => return,
            }
        }
        // Whoever has the file for so long is stopped. The pause holds for this process all the same.
        tracing::debug!(path = %self.path.display(), "another process holds the connection's pace");
    }

    /// Changes the file under its lock, which is held for microseconds, unless its holder is stopped at that moment: so nobody
    /// waits for it here.
    fn try_change<T>(&self, change: impl FnOnce(&mut Times) -> T) -> Result<T, Unchanged> {
        let open = || open(&self.path).map(Mutex::new).inspect_err(|error| unshared(&self.path, error)).ok();
        let file = self.file.get_or_init(open).as_ref().ok_or(Unchanged::Unshared)?;
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Unchanged::Busy),
            Err(TryLockError::Error(_)) => return Err(Unchanged::Unshared),
        }
        let changed = exchange(&file, change).inspect_err(|error| unshared(&self.path, error));
        // It is released with the file at the latest.
        file.unlock().ok();
        changed.map_err(|_| Unchanged::Unshared)
    }
}

/// Why the file was not changed.
enum Unchanged {
    /// Another process has it at the moment.
    Busy,
    /// It cannot be used at all.
    Unshared,
}

pub(crate) fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        // It may be the first one to be made in the directory of the project's state, which is the owner's alone.
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn exchange<T>(file: &File, change: impl FnOnce(&mut Times) -> T) -> io::Result<T> {
    let mut bytes = [0; 16];
    // A new file is empty, and reads as zeros.
    file.read_at(&mut bytes, 0)?;
    let (next, paused_until) = bytes.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let mut times = Times { next: number(next), paused_until: number(paused_until) };
    let result = change(&mut times);
    let (next, paused_until) = bytes.split_at_mut(8);
    next.copy_from_slice(&times.next.to_le_bytes());
    paused_until.copy_from_slice(&times.paused_until.to_le_bytes());
    file.write_all_at(&bytes, 0)?;
    Ok(result)
}

fn unshared(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "other processes cannot be told of this connection's pace");
}

fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, whole)
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::limits::SLACK;

    const INTERVAL: Duration = Duration::from_millis(50);

    fn at(milliseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_millis(milliseconds)
    }

    /// Two processes, as far as files go.
    fn two(directory: &Path) -> [SharedSlot; 2] {
        [SharedSlot::new(&directory.join("pace"), "autopilot"), SharedSlot::new(&directory.join("pace"), "autopilot")]
    }

    #[test]
    fn two_processes_together_keep_the_rate_of_one() {
        let directory = tempfile::tempdir().unwrap();
        let processes = two(directory.path());
        let mut sent = 0;
        for millisecond in 0..=1_000 {
            for process in &processes {
                sent += u32::from(process.take(at(millisecond), INTERVAL, SLACK).is_none());
            }
        }
        assert_eq!(sent, 21, "one at the beginning, then one every 50 ms");
    }

    #[test]
    fn a_pause_holds_for_every_process_and_ends() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = two(directory.path());
        assert_eq!(one.take(at(0), INTERVAL, SLACK), None);
        one.pause(at(3_000));
        one.pause(at(1_000));
        assert_eq!(other.take(at(500), INTERVAL, SLACK), Some(Duration::from_millis(2_500)), "the longer wish counts");
        assert_eq!(other.take(at(3_000), INTERVAL, SLACK), None);
        assert_eq!(one.take(at(3_000), INTERVAL, SLACK), Some(INTERVAL - SLACK));
    }

    #[test]
    fn a_clock_that_was_put_back_stops_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = two(directory.path());
        for back in [60_000, 3_600_000] {
            let waited = other.take(at(0), INTERVAL, SLACK);
            assert!(waited.is_none_or(|wait| wait <= INTERVAL), "{back}: {waited:?}");
            one.take(at(back), INTERVAL, SLACK);
        }
        let hour = 7_200_000;
        assert_eq!(one.take(at(hour), INTERVAL, SLACK), None);
        one.pause(at(hour + 100));
        assert_eq!(other.take(at(0), INTERVAL, SLACK), None);
        assert!(other.take(at(0), INTERVAL, SLACK).is_some_and(|wait| wait <= INTERVAL), "and there is a pace again");
    }

    #[test]
    fn a_pause_from_a_wrong_clock_hides_no_other() {
        let (minute, day) = (60_000, 86_400_000);
        let wrong = || {
            let directory = tempfile::tempdir().unwrap();
            let [one, other] = two(directory.path());
            one.pause(at(day));
            (directory, one, other)
        };
        let (_directory, one, other) = wrong();
        one.pause(at(5 * minute));
        one.pause(at(minute));
        assert_eq!(other.take(at(0), INTERVAL, SLACK), Some(Duration::from_secs(300)));
        let (_directory, one, other) = wrong();
        assert_eq!(one.take(at(0), INTERVAL, SLACK), None);
        assert_eq!(other.take(at(day - minute), INTERVAL, SLACK), None, "it was forgotten");
    }

    #[test]
    fn threads_of_one_process_keep_apart_too() {
        let directory = tempfile::tempdir().unwrap();
        let [slot, other] = two(directory.path());
        let is_through = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let changed = slot.try_change(|_| {
                scope.spawn(|| {
                    slot.pause(at(3_000));
                    is_through.store(true, Ordering::Relaxed);
                });
                // As often as it would take if nothing kept it back, and then some.
                (0..10_000).any(|_| {
                    std::thread::yield_now();
                    is_through.load(Ordering::Relaxed)
                })
            });
            assert!(changed.is_ok_and(|is_through| !is_through));
        });
        assert_eq!(other.take(at(0), INTERVAL, SLACK), Some(Duration::from_secs(3)));
    }

    #[test]
    fn what_is_made_is_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let [one, _] = two(&directory.path().join("state"));
        one.take(at(0), INTERVAL, SLACK);
        let mode = |path: &str| std::fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(["state", "state/pace", "state/pace/autopilot"].map(mode), [0o700, 0o700, 0o600]);
    }

    #[test]
    fn nobody_waits_for_a_process_that_was_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = two(directory.path());
        assert_eq!(one.take(at(0), INTERVAL, SLACK), None);
        let held = File::open(directory.path().join("pace/autopilot")).unwrap();
        held.lock().unwrap();
        assert_eq!(other.take(at(1_000), INTERVAL, SLACK), Some(BUSY));
        other.pause(at(3_000));
        held.unlock().unwrap();
        assert_eq!(other.take(at(1_000), INTERVAL, SLACK), None);
    }

    #[test]
    fn without_a_directory_each_process_keeps_its_own_pace() {
        let nowhere = SharedSlot::new(Path::new("/dev/null/pace"), "autopilot");
        assert_eq!(nowhere.take(at(0), INTERVAL, SLACK), None);
        assert_eq!(nowhere.take(at(0), INTERVAL, SLACK), None);
    }
}
