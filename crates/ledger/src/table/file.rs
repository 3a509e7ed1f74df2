//! The slots of a part for which there is no room in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Entry;
use super::slots::{Slot, Slots, home, insert, is_full, search};

/// Bytes of a slot: its name, its mark and the number of its standing.
const SLOT: usize = 20;
/// Bytes of a name.
const NAME: usize = 8;
/// Slots that are read at a time: most searches end among them.
const STRETCH: usize = 16;
/// Slots that are written at a time where all are.
const CHUNK: usize = 4096;

/// The slots of a part in a file without a name. A free slot is all zeros there, and so need not be written.
#[derive(Debug)]
pub(super) struct SlotFile {
    file: File,
    size: usize,
    rows: usize,
}

impl SlotFile {
    /// Writes slots to a new file in this directory.
    pub(super) fn create(dir: &Path, slots: &Slots) -> io::Result<Self> {
        let created = Self { file: tempfile::tempfile_in(dir)?, size: slots.size(), rows: slots.rows() };
        created.file.set_len(offset(created.size))?;
        for (number, chunk) in slots.as_slice().chunks(CHUNK).enumerate() {
            if chunk.iter().any(|slot| !slot.is_free()) {
                created.write(number * CHUNK, chunk)?;
            }
        }
        Ok(created)
    }

    pub(super) fn into_slots(self) -> io::Result<Slots> {
        Ok(self.read(0, self.size)?.into())
    }

    pub(super) fn find(&self, name: u64) -> io::Result<Option<(usize, Entry)>> {
        let (home, near) = self.near(name)?;
        Ok(search(&near, name).ok().map(|(at, entry)| (home + at, entry)))
    }

    /// The row of this name, which is new unless there is one; `None` if the part must grow for it.
    pub(super) fn find_or_add(&mut self, name: u64) -> io::Result<Option<(usize, Entry)>> {
        let (home, mut near) = self.near(name)?;
        let at = match search(&near, name) {
            Ok((at, entry)) => return Ok(Some((home + at, entry))),
            Err(at) => at,
        };
        if is_full(self.rows, self.size) {
            return Ok(None);
        }
        let Some(changed) = insert(&mut near, at, name) else { return Ok(None) };
        self.write(home + at, changed)?;
        self.rows += 1;
        Ok(Some((home + at, Entry::NEW)))
    }

    pub(super) fn set(&mut self, slot: usize, entry: Entry) -> io::Result<()> {
        self.file.write_all_at(&encode(entry.mark, entry.standing.raw()), offset(slot) + NAME as u64)
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The slots from the home of this name on, up to a free one at least, unless there is none.
    fn near(&self, name: u64) -> io::Result<(usize, Vec<Slot>)> {
        let home = home(name, self.size);
        let mut near = Vec::new();
        loop {
            let from = home + near.len();
            let read = self.read(from, STRETCH.min(self.size - from))?;
            let is_last = read.len() < STRETCH || read.iter().any(Slot::is_free);
            near.extend(read);
            if is_last {
                return Ok((home, near));
            }
        }
    }

    fn read(&self, from: usize, count: usize) -> io::Result<Vec<Slot>> {
        let mut bytes = vec![0; count * SLOT];
        self.file.read_exact_at(&mut bytes, offset(from))?;
        Ok(bytes.as_chunks().0.iter().map(decode).collect())
    }

    fn write(&self, from: usize, slots: &[Slot]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(slots.len() * SLOT);
        for slot in slots {
            let (name, mark, standing) = slot.raw();
            bytes.extend_from_slice(&(!name).to_le_bytes());
            bytes.extend_from_slice(&encode(mark, standing));
        }
        self.file.write_all_at(&bytes, offset(from))
    }
}

/// Where in the file a slot begins.
fn offset(slot: usize) -> u64 {
    slot as u64 * SLOT as u64
}

/// What follows the name.
fn encode(mark: u64, standing: u32) -> [u8; SLOT - NAME] {
    let mut bytes = [0; SLOT - NAME];
    bytes[..8].copy_from_slice(&mark.to_le_bytes());
    bytes[8..].copy_from_slice(&standing.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SLOT]) -> Slot {
    let [n0, n1, n2, n3, n4, n5, n6, n7, m0, m1, m2, m3, m4, m5, m6, m7, standing @ ..] = *bytes;
    let name = !u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]);
    let mark = u64::from_le_bytes([m0, m1, m2, m3, m4, m5, m6, m7]);
    Slot::from_raw(name, mark, u32::from_le_bytes(standing))
}
