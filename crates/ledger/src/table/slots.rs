//! The slots of one part, sorted by name: each row in the slot where its search starts or soon after it, with no free slot in
//! between.

use super::Entry;
use crate::standing::Number;

/// Room for one row: 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(super) struct Slot {
    name: u64,
    mark: u64,
    /// `None` while there is no row.
    standing: Option<Number>,
}

impl Slot {
    /// No name is greater, so that a search ends here.
    pub(super) const FREE: Self = Self { name: u64::MAX, mark: 0, standing: None };

    /// From the raw values of a slot; a standing of zero is none.
    pub(super) fn from_raw(name: u64, mark: u64, standing: u32) -> Self {
        Self { name, mark, standing: Number::from_raw(standing) }
    }

    /// The raw values of the slot.
    pub(super) fn raw(self) -> (u64, u64, u32) {
        (self.name, self.mark, self.standing.map_or(0, Number::raw))
    }

    pub(super) fn is_free(&self) -> bool {
        self.standing.is_none()
    }

    fn of(name: u64, Entry { mark, standing }: Entry) -> Self {
        Self { name, mark, standing: Some(standing) }
    }

    fn entry(&self) -> Option<Entry> {
        self.standing.map(|standing| Entry { mark: self.mark, standing })
    }
}

/// The slot where the search for a name starts, of so many. Names are uniformly distributed, so that this spreads them evenly,
/// in their order; after the last home there is room for those that do not find theirs free.
pub(super) fn home(name: u64, size: usize) -> usize {
    let homes = size - size.div_ceil(64);
    usize::try_from((u128::from(name) * homes as u128) >> 64).unwrap_or(0)
}

/// Whether a further row in so many slots would make searches slow.
pub(super) fn is_full(rows: usize, size: usize) -> bool {
    (rows + 1) * 20 > size * 17
}

/// Searches for a name from its home on: where it is and what is kept there, or where it belongs.
pub(super) fn search(near: &[Slot], name: u64) -> Result<(usize, Entry), usize> {
    let at = near.iter().position(|slot| slot.name >= name).unwrap_or(near.len());
    match near.get(at).filter(|slot| slot.name == name).and_then(Slot::entry) {
        Some(entry) => Ok((at, entry)),
        None => Err(at),
    }
}

/// Puts a new row where it belongs, and moves what is there up to the next free slot. Gives the slots that changed, or `None` if
/// none is free.
pub(super) fn insert(near: &mut [Slot], at: usize, name: u64) -> Option<&[Slot]> {
    let free = near.iter().skip(at).position(Slot::is_free)?;
    let moved = near.get_mut(at..=at + free)?;
    moved.rotate_right(1);
    moved.iter_mut().take(1).for_each(|first| *first = Slot::of(name, Entry::NEW));
    Some(moved)
}

/// The slots of a part that is in memory.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    rows: usize,
}

impl From<Vec<Slot>> for Slots {
    fn from(slots: Vec<Slot>) -> Self {
        let rows = slots.iter().filter(|slot| !slot.is_free()).count();
        Self { slots, rows }
    }
}

impl Slots {
    pub(super) fn find(&self, name: u64) -> Option<(usize, Entry)> {
        let home = self.home(name);
        let (at, entry) = search(self.slots.get(home..)?, name).ok()?;
        Some((home + at, entry))
    }

    /// The row of this name, which is new unless there is one; `None` if the part must grow for it.
    pub(super) fn find_or_add(&mut self, name: u64) -> Option<(usize, Entry)> {
        let (home, is_full) = (self.home(name), is_full(self.rows, self.slots.len()));
        let near = self.slots.get_mut(home..)?;
        let at = match search(near, name) {
            Ok((at, entry)) => return Some((home + at, entry)),
            Err(at) => at,
        };
        if is_full {
            return None;
        }
        insert(near, at, name)?;
        self.rows += 1;
        Some((home + at, Entry::NEW))
    }

    pub(super) fn set(&mut self, slot: usize, entry: Entry) {
        self.slots.get_mut(slot).into_iter().for_each(|slot| *slot = Slot::of(slot.name, entry));
    }

    /// Moves the rows to so many slots, no fewer than there were.
    pub(super) fn resize(&mut self, size: usize) {
        let slots = std::mem::replace(&mut self.slots, vec![Slot::FREE; size]);
        let mut next = 0;
        for slot in slots.into_iter().filter(|slot| !slot.is_free()) {
            let at = self.home(slot.name).max(next);
            // It is there: every home is at least as far from the end as it was before.
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
            next = at + 1;
        }
    }

    pub(super) fn home(&self, name: u64) -> usize {
        home(name, self.slots.len())
    }

    pub(super) fn as_slice(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn size(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }
}
