//! Fills the disk at the nth change of the state, for one n after the other. A full disk stays full until the run has ended;
//! then there is space again, and a run without further ado must put everything right.

use super::Figures;
use super::dice::Dice;
use super::pair::{Pair, Shape};
use crate::{FullDisk, Last};

/// Which runs find a disk that fills up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The first runs of new projects, which make the state.
    New,
    /// Later runs of one project, which have rows to send, to change and to remove.
    Later,
}

/// Which changes of the state find no space first: the one of number `from`, counted from 1, and every `step`th after it, until
/// a run has no more of them.
#[derive(Debug, Clone, Copy)]
pub struct Fill {
    /// Which runs.
    pub of: Of,
    /// What becomes of that change.
    pub last: Last,
    /// Number of the first.
    pub from: u32,
    /// How many further on the next one is.
    pub step: u32,
}

/// 25 rows in batches of 5.
const SHAPE: Shape = Shape {
    customers: 25,
    segments: 2,
    rows_per_batch: 5,
    max_in_flight: 2,
    list_membership: "bulk",
    bulk_lists: true,
    folds: true,
    index_in_files: false,
    accounts: 1,
};

/// How many leave and come before a later run; the others change.
const RENEWED: u32 = 10;

/// Fills the disk of one run after the other, and says which change found no space.
///
/// # Panics
/// If any is not survived.
pub fn fill(fill: Fill, say: impl Fn(&str)) -> Figures {
    let Fill { of, last, from, step } = fill;
    let (figures, disk) = (Figures::default(), FullDisk::default());
    let mut dice = Dice::new(0, 0);
    let mut pair = Pair::new(SHAPE, &mut dice);
    if of == Of::Later {
        pair.settle(&figures);
    }
    for nth in (from..).step_by(step as usize) {
        match of {
            Of::New => pair = Pair::new(SHAPE, &mut dice),
            Of::Later => pair.world.renew(RENEWED, &mut dice),
        }
        let struck = pair.fill_disk(&disk, nth, last, &figures);
        say(&format!("{of:?}, {last:?}, {nth}: {}", struck.as_deref().unwrap_or("not reached")));
        pair.settle(&figures);
        pair.ledgers_hold_the_same();
        figures.cases.add(1);
        if struck.is_none() {
            assert!(nth > from, "no disk was full: the first run has fewer than {from} changes, or they are not seen");
            break;
        }
    }
    figures
}
