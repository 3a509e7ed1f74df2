//! Where one row stands, and how each record moves it. The index and the folding of pages share these rules.

use std::collections::HashMap;

use crate::{Memberships, Undelivered};

/// Where one row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Standing {
    /// Memberships that were acknowledged.
    pub(crate) acknowledged: Memberships,
    /// Memberships that may exist: something was sent to begin or end them, and has no outcome.
    pub(crate) possible: Memberships,
    /// Whether a payload was acknowledged and the row has not left since.
    pub(crate) held: bool,
    /// A delivery was intended and has no outcome yet.
    pub(crate) intended: bool,
    /// An earlier delivery never got an outcome, so that only an acknowledgement makes the row certain again.
    pub(crate) doubtful: bool,
    /// The destination once gave an id of its own.
    pub(crate) has_destination_id: bool,
    /// Segments in which this run has read the row.
    pub(crate) seen: Memberships,
    /// Segments in which this run has read it but could not use it.
    pub(crate) present: Memberships,
    /// This run means to send it.
    pub(crate) sending: bool,
}

impl Standing {
    /// Whether the destination may hold something else than what was acknowledged.
    pub(crate) fn uncertain(&self) -> bool {
        self.intended || self.doubtful
    }

    /// Whether the ledger must remember the row.
    pub(crate) fn matters(&self) -> bool {
        self.held || self.uncertain()
    }

    /// The segments that the row has left.
    pub(crate) fn left_behind(&self) -> Memberships {
        if self.held {
            self.acknowledged.union(self.possible).without(self.seen.union(self.present))
        } else {
            Memberships::NONE
        }
    }

    pub(crate) fn intend_delivery(&mut self, memberships: Memberships) {
        // A second intent without an outcome in between: a refusal now would say nothing of the first.
        self.doubtful |= self.intended;
        self.intended = true;
        self.possible = self.possible.union(memberships.without(self.acknowledged));
    }

    pub(crate) fn intend_removal(&mut self, memberships: Memberships) {
        self.possible = self.possible.union(memberships);
        self.acknowledged = self.acknowledged.without(memberships);
    }

    pub(crate) fn done(&mut self, memberships: Memberships, has_destination_id: bool) {
        self.acknowledged = self.acknowledged.union(memberships);
        self.possible = self.possible.without(memberships);
        self.held = true;
        self.intended = false;
        self.doubtful = false;
        self.sending = false;
        self.has_destination_id |= has_destination_id;
    }

    pub(crate) fn undelivered(&mut self, outcome: Undelivered) {
        match outcome {
            // Read and not sent, or taken out of its batch: either way nothing of this run is under way.
            Undelivered::Refused | Undelivered::Deferred | Undelivered::Suppressed => self.intended = false,
            Undelivered::Unknown => {
                self.intended = false;
                self.doubtful = true;
            }
            // These speak of a row of the source, perhaps another row than the one with this identity.
            Undelivered::Invalid | Undelivered::Duplicate => {}
        }
    }

    pub(crate) fn left(&mut self, memberships: Memberships) {
        self.acknowledged = self.acknowledged.without(memberships);
        self.possible = self.possible.without(memberships);
        // A row on no list is forgotten, doubts and all: when it comes back, it is sent as new. A delivery under way would make
        // a membership possible.
        if self.acknowledged.union(self.possible).is_empty() {
            *self = Self { seen: self.seen, present: self.present, sending: self.sending, ..Self::default() };
        }
    }

    /// What an intent without an outcome becomes when its run is over.
    pub(crate) fn run_over(&mut self) {
        self.doubtful |= self.intended;
        self.intended = false;
    }
}

/// The distinct standings of an index. Rows share them: there are few, since rows differ in little more than memberships.
#[derive(Debug)]
pub(crate) struct Standings {
    numbered: Vec<Standing>,
    numbers: HashMap<Standing, u32>,
    latest: (Standing, u32),
}

impl Default for Standings {
    fn default() -> Self {
        let nothing = Standing::default();
        Self { numbered: vec![nothing], numbers: HashMap::from([(nothing, 0)]), latest: (nothing, 0) }
    }
}

impl Standings {
    /// The number of [`Standing::default`].
    pub(crate) const NOTHING: u32 = 0;

    pub(crate) fn get(&self, number: u32) -> Standing {
        self.numbered.get(number as usize).copied().unwrap_or_default()
    }

    /// Whether there is such a standing. A row may have had it once and have another now.
    pub(crate) fn any(&self, is_such: impl FnMut(&Standing) -> bool) -> bool {
        self.numbered.iter().any(is_such)
    }

    pub(crate) fn number(&mut self, standing: Standing) -> u32 {
        if self.latest.0 == standing {
            return self.latest.1;
        }
        let next = u32::try_from(self.numbered.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(standing).or_insert(next);
        if number == next {
            self.numbered.push(standing);
        }
        self.latest = (standing, number);
        number
    }

    /// Changes every standing at once, for all rows that have it.
    pub(crate) fn change_all(&mut self, change: impl Fn(&mut Standing)) {
        self.numbered.iter_mut().for_each(change);
        self.numbers = self.numbered.iter().zip(0..).map(|(standing, number)| (*standing, number)).collect();
        self.latest = (self.get(Self::NOTHING), Self::NOTHING);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.numbered.capacity() * size_of::<Standing>() + self.numbers.capacity() * (size_of::<(Standing, u32)>() + 1)
    }
}
