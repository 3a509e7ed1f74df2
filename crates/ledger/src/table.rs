//! A compact hash table of rows by identity, in hash buckets: in memory up to a limit, beyond it in files.

mod file;
mod slots;

use std::io;
use std::path::PathBuf;

use prefetch_index::prefetch_index;

use self::file::SlotFile;
use self::slots::Slots;
use crate::Identity;
use crate::standing::Number;

/// What is kept of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What its next reading is compared with.
    pub(crate) mark: u64,
    pub(crate) standing: Number,
}

impl Entry {
    const NEW: Self = Self { mark: 0, standing: Number::NOTHING };
}

/// Where a row is; holds until another one is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(usize);

impl Place {
    fn new(part: usize, slot: usize) -> Self {
        Self(slot * Table::PARTS + part)
    }

    /// Less than [`Table::places`].
    pub(crate) fn get(self) -> usize {
        self.0
    }

    fn part(self) -> usize {
        self.0 % Table::PARTS
    }

    fn slot(self) -> usize {
        self.0 / Table::PARTS
    }
}

/// How much memory a table may take, and where the rest of it goes.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// Most bytes in memory.
    pub(crate) bytes: usize,
    /// Files without a name are made here. What is in them are parts of keyed hashes, as in the state itself.
    pub(crate) dir: PathBuf,
}

/// Rows in parts that grow one at a time, so that no more than one is in memory twice. Once they have grown they are between
/// 68 % and 85 % full: 23.5 to 29.4 bytes a row. A part that finds no room in memory when it grows goes to a file, of which there
/// are at most as many as parts, all of them open.
///
/// Of an identity 72 bits are kept, eight of them as the number of its part. Among n rows some two are taken for one with
/// probability n²·2⁻⁷³: among ten million 10⁻⁸.
#[derive(Debug)]
pub(crate) struct Table {
    parts: Vec<Part>,
    room: Room,
}

/// The rows whose identities end in the same byte.
#[derive(Debug)]
enum Part {
    Memory(Slots),
    File(SlotFile),
}

impl Default for Part {
    fn default() -> Self {
        Self::Memory(Slots::default())
    }
}

impl Table {
    /// As many as a byte has values.
    const PARTS: usize = 256;

    pub(crate) fn new(room: Room) -> Self {
        Self { parts: std::iter::repeat_with(Part::default).take(Self::PARTS).collect(), room }
    }

    pub(crate) fn find(&self, identity: Identity) -> io::Result<Option<(Place, Entry)>> {
        let number = part(identity);
        let found = match self.parts.get(number) {
            Some(Part::Memory(slots)) => slots.find(name(identity)),
            Some(Part::File(file)) => file.find(name(identity))?,
            None => None,
        };
        Ok(found.map(|(slot, entry)| (Place::new(number, slot), entry)))
    }

    /// The row of `identity`, which is new unless there is one.
    pub(crate) fn find_or_add(&mut self, identity: Identity) -> io::Result<(Place, Entry)> {
        let number = part(identity);
        loop {
            let found = match self.parts.get_mut(number) {
                Some(Part::Memory(slots)) => slots.find_or_add(name(identity)),
                Some(Part::File(file)) => file.find_or_add(name(identity))?,
                None => None,
            };
            match found {
                Some((slot, entry)) => return Ok((Place::new(number, slot), entry)),
                None => self.grow(number)?,
            }
        }
    }

    pub(crate) fn set(&mut self, place: Place, entry: Entry) -> io::Result<()> {
        match self.parts.get_mut(place.part()) {
            Some(Part::Memory(slots)) => slots.set(place.slot(), entry),
            Some(Part::File(file)) => file.set(place.slot(), entry)?,
            None => {}
        }
        Ok(())
    }

    /// Announces that these identities will be looked up, so that memory answers for many at once. Looked up one after the
    /// other, each would be waited for; in a large table that is what takes the time. Processors for which there is no prefetch
    /// are told nothing.
    pub(crate) fn warm(&self, identities: &[Identity]) {
        for identity in identities {
            let Some(Part::Memory(slots)) = self.parts.get(part(*identity)) else { continue };
            let home = slots.home(name(*identity));
            // Three slots in a cache line, and most searches end in the second; to announce a third costs more than it saves.
            for ahead in [0, 3, 6] {
                prefetch_index(slots.as_slice(), home + ahead);
            }
        }
    }

    /// Makes room for so many rows in all, and some more.
    pub(crate) fn reserve(&mut self, rows: usize) -> io::Result<()> {
        let size = rows.div_ceil(Self::PARTS).saturating_mul(5) / 4;
        (0..Self::PARTS).try_for_each(|number| self.resize(number, |now| size.max(now)))
    }

    /// Places are numbered up to here.
    pub(crate) fn places(&self) -> usize {
        self.parts.iter().map(Part::size).max().unwrap_or(0) * Self::PARTS
    }

    /// Memory in use, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum::<usize>() + self.parts.capacity() * size_of::<Part>()
    }

    fn grow(&mut self, number: usize) -> io::Result<()> {
        self.resize(number, |now| now + (now / 4).max(8))
    }

    /// Gives a part so many slots, no fewer than it has, in memory if there is room. After an error it is lost.
    fn resize(&mut self, number: usize, size: impl FnOnce(usize) -> usize) -> io::Result<()> {
        let Some(part) = self.parts.get_mut(number) else { return Ok(()) };
        let mut slots = match std::mem::take(part) {
            Part::Memory(slots) => slots,
            Part::File(file) => file.into_slots()?,
        };
        slots.resize(size(slots.size()));
        let others: usize = self.parts.iter().map(Part::bytes).sum();
        let resized = if others + slots.bytes() <= self.room.bytes {
            Part::Memory(slots)
        } else {
            Part::File(SlotFile::create(&self.room.dir, &slots)?)
        };
        if let Some(part) = self.parts.get_mut(number) {
            *part = resized;
        }
        Ok(())
    }
}

impl Part {
    /// How many slots it has.
    fn size(&self) -> usize {
        match self {
            Self::Memory(slots) => slots.size(),
            Self::File(file) => file.size(),
        }
    }

    /// The memory it takes.
    fn bytes(&self) -> usize {
        match self {
            Self::Memory(slots) => slots.bytes(),
            Self::File(_) => 0,
        }
    }
}

fn part(identity: Identity) -> usize {
    usize::from(identity.bits().to_le_bytes()[0])
}

fn name(identity: Identity) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = identity.bits().to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Bits spread like a hash's.
    fn identity(number: u64) -> Identity {
        let mut mixed = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
        mixed ^= mixed >> 61;
        Identity::from_bits(mixed.wrapping_mul(0x2545_f491_4f6c_dd1d_9e37_79b9_7f4a_7c15))
    }

    fn table(memory: usize, dir: &Path) -> Table {
        Table::new(Room { bytes: memory, dir: dir.to_owned() })
    }

    /// Adds all of these, each with its number as its mark; and then finds each at a place of its own, and nobody else. Whether
    /// there was room for none, half or all of them makes no difference, nor whether they are in memory or in files.
    #[track_caller]
    fn check(rows: u64, identity: impl Fn(u64) -> Identity) {
        let dir = tempfile::tempdir().unwrap();
        for memory in [usize::MAX, rows as usize * 13, 0] {
            for room in [0, rows / 2, rows] {
                let mut table = table(memory, dir.path());
                table.reserve(room as usize).unwrap();
                check_table(&mut table, rows, &identity);
                assert!(table.bytes() <= memory.saturating_add(Table::PARTS * size_of::<Part>()));
                let files = table.parts.iter().filter(|part| matches!(part, Part::File(_))).count();
                assert_eq!(files > 0, memory < usize::MAX && rows > 0, "{files} files");
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files have no name");
    }

    #[track_caller]
    fn check_table(table: &mut Table, rows: u64, identity: impl Fn(u64) -> Identity) {
        for number in 0..rows {
            assert_eq!(table.find(identity(number)).unwrap(), None);
            let (place, entry) = table.find_or_add(identity(number)).unwrap();
            assert_eq!(entry, Entry::NEW);
            let entry = Entry { mark: number, ..Entry::NEW };
            table.set(place, entry).unwrap();
            assert_eq!(table.find_or_add(identity(number)).unwrap(), (place, entry));
        }
        let mut places: Vec<usize> = (0..rows)
            .map(|number| {
                let (place, entry) = table.find(identity(number)).unwrap().unwrap();
                assert_eq!(entry.mark, number);
                place.get()
            })
            .collect();
        assert!(places.iter().all(|place| *place < table.places()));
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len() as u64, rows);
        assert_eq!(table.find(identity(rows)).unwrap(), None);
    }

    #[test]
    fn everything_added_is_found_at_its_place() {
        check(0, identity);
        check(1, identity);
        check(30_000, identity);
    }

    #[test]
    fn identities_that_are_looked_for_at_one_place_are_kept_apart() {
        let alike = |upper: u64, lower: u64| Identity::from_bits(u128::from(upper) << 64 | u128::from(lower));
        check(300, |number| alike(number, 7));
        // The last home, and on into the slots that are spare.
        check(300, |number| alike(u64::MAX - number, 7));
        check(255, |number| alike(7, number));
    }

    #[test]
    fn a_row_takes_at_most_thirty_bytes() {
        let mut table = table(usize::MAX, Path::new(""));
        let mut most = 0.0_f64;
        for number in 1..600_000 {
            table.find_or_add(identity(number)).unwrap();
            if number > 200_000 && number % 1000 == 0 {
                most = most.max(table.bytes() as f64 / number as f64);
            }
        }
        assert!(most <= crate::Index::BYTES_A_ROW as f64, "{most} bytes a row");
    }

    #[test]
    fn a_limit_is_kept_while_rows_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let memory = 2 << 20;
        let mut table = table(memory, dir.path());
        for number in 0..200_000 {
            table.find_or_add(identity(number)).unwrap();
        }
        let most = memory + Table::PARTS * size_of::<Part>();
        assert!((memory / 2..most).contains(&table.bytes()), "{} bytes, and the rest in files", table.bytes());
    }

    #[test]
    fn where_no_file_can_be_made_it_says_so() {
        let mut table = table(0, Path::new("/nowhere/at/all"));
        assert_eq!(table.find_or_add(identity(1)).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
