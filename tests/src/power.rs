//! A disk that loses what was not synced when the power goes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Segport;
use crate::preload::Preload;

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 4096;

/// Watches what a process syncs of its state, so that the rest can be lost afterwards.
#[derive(Debug)]
pub struct Disk(Preload);

impl Default for Disk {
    /// Builds the library that is preloaded into the process.
    fn default() -> Self {
        let disk = Self(Preload::of(include_str!("power.c")));
        fs::create_dir(disk.synced()).unwrap();
        disk
    }
}

impl Disk {
    /// The same call, on this disk.
    #[must_use]
    pub fn under(&self, call: Segport) -> Segport {
        self.0.under(call).env("LOST_WRITES", self.synced())
    }

    /// The power goes: of the state in `directory` stays what was synced, and of what was written since, each sector or not, as
    /// `seed` says. The process must be gone.
    pub fn lose_power(&self, directory: &Path, seed: u64) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for name in ["state.db", "state.db-wal"] {
            let (path, synced) = (directory.join(name), fs::read(self.synced().join(name)));
            match (fs::read(&path), synced) {
                (Ok(written), synced) => {
                    fs::write(&path, mixed(&synced.unwrap_or_default(), &written, &mut random)).unwrap()
                }
                // It was deleted, which is on disk or not.
                (Err(_), Ok(synced)) if random.coin() => fs::write(&path, synced).unwrap(),
                (Err(_), _) => {}
            }
        }
        // Only in memory, as far as a disk is concerned.
        fs::remove_file(directory.join("state.db-shm")).ok();
    }

    fn synced(&self) -> PathBuf {
        self.0.directory().join("synced")
    }
}

/// What is on disk: synced sectors, and of those written since some.
fn mixed(synced: &[u8], written: &[u8], random: &mut Random) -> Vec<u8> {
    let length = if random.coin() { written.len() } else { synced.len() };
    let mut disk = vec![0; length];
    for (number, sector) in disk.chunks_mut(SECTOR).enumerate() {
        let of = |file: &[u8]| file.get(number * SECTOR..).map(<[u8]>::to_vec).unwrap_or_default();
        let (old, new) = (of(synced), of(written));
        // What was cut off is not overwritten by that.
        let kept = if new.is_empty() || !random.coin() { old } else { new };
        sector.iter_mut().zip(kept).for_each(|(to, from)| *to = from);
    }
    disk
}

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn coin(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 63 == 1
    }
}
