//! Where one row stands, and how each record moves it. The index and the folding of pages share these rules.

use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::{Memberships, Undelivered};

/// What of a row is sent again, even if nothing of it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Again {
    #[default]
    Nothing,
    /// Its values: later ones than the acknowledged may have been written.
    Values,
    /// Its memberships too: somebody asked for it.
    All,
}

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
    pub(crate) again: Again,
    /// The destination once gave an id of its own.
    pub(crate) has_destination_id: bool,
    /// Segments in which this run has read the row.
    pub(crate) seen: Memberships,
    /// Segments in which this run has read it but could not use it.
    pub(crate) present: Memberships,
    /// This run means to send it.
    pub(crate) sending: bool,
    /// This run does not send it, although it would have to.
    pub(crate) left_out: bool,
    /// This run must read it once more, for its values.
    pub(crate) wanted: bool,
    /// It is one of the rows that this run was asked to consider.
    pub(crate) asked: bool,
}

impl Standing {
    /// Whether the destination may hold something else than what was acknowledged.
    pub(crate) fn uncertain(&self) -> bool {
        self.intended || self.doubtful
    }

    /// Whether anything of it is held or may be, or is to be sent again.
    pub(crate) fn matters(&self) -> bool {
        self.held || self.uncertain() || self.again != Again::Nothing
    }

    /// Whether the ledger must remember the row. One that was refused may be on some list all the same, where only another one did
    /// not take it; once it is acknowledged it can be taken off that.
    pub(crate) fn is_remembered(&self) -> bool {
        self.matters() || !self.possible.is_empty()
    }

    /// Whether this run has read the row.
    pub(crate) fn is_seen(&self) -> bool {
        !self.seen.is_empty()
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
        // Whoever is put on a list again may be off it by now.
        self.possible = self.possible.union(memberships);
        self.acknowledged = self.acknowledged.without(memberships);
    }

    pub(crate) fn intend_removal(&mut self, memberships: Memberships) {
        self.possible = self.possible.union(memberships);
        self.acknowledged = self.acknowledged.without(memberships);
    }

    pub(crate) fn done(&mut self, memberships: Memberships, has_destination_id: bool) {
        // Of a row that was asked for, those that were not sent with it, since it has left them, must not be trusted if it returns.
        if self.again == Again::All {
            self.possible = self.possible.union(self.acknowledged);
            self.acknowledged = Memberships::NONE;
        }
        self.acknowledged = self.acknowledged.union(memberships);
        self.possible = self.possible.without(memberships);
        self.held = true;
        self.intended = false;
        self.doubtful = false;
        self.again = Again::Nothing;
        self.sending = false;
        self.has_destination_id |= has_destination_id;
    }

    pub(crate) fn undelivered(&mut self, outcome: Undelivered) {
        // What is refused or put off may have been written in part, as where a list did not take a contact that was written.
        if self.held && self.intended && outcome.settles_an_intent() && self.again == Again::Nothing {
            self.again = Again::Values;
        }
        self.intended &= !outcome.settles_an_intent();
        self.doubtful |= outcome == Undelivered::Unknown;
    }

    pub(crate) fn left(&mut self, memberships: Memberships) {
        self.acknowledged = self.acknowledged.without(memberships);
        self.possible = self.possible.without(memberships);
        // A row on no list is forgotten, doubts and all: when it comes back, it is sent as new. A delivery under way would make
        // a membership possible.
        if self.acknowledged.union(self.possible).is_empty() {
            let Self { seen, present, sending, left_out, wanted, asked, .. } = *self;
            *self = Self { seen, present, sending, left_out, wanted, asked, ..Self::default() };
        }
    }

    /// The lists of these segments are gone.
    pub(crate) fn vacate(&mut self, lists: Memberships) {
        if self.acknowledged.union(self.possible).intersection(lists).is_empty() {
            return;
        }
        // Unlike one that has left, the row may be sent by the very run that finds the list gone, or the next one.
        let (intended, doubtful) = (self.intended, self.doubtful);
        self.left(lists);
        (self.intended, self.doubtful) = (intended, doubtful);
    }

    /// From here on nothing that was acknowledged spares the row a call, and no doubt makes anybody look it up first: somebody
    /// asked for all rows.
    pub(crate) fn renew(&mut self) {
        if self.matters() {
            self.again = Again::All;
        }
        self.intended = false;
        self.doubtful = false;
    }

    /// What an intent without an outcome becomes when its run is over.
    pub(crate) fn run_over(&mut self) {
        self.doubtful |= self.intended;
        self.intended = false;
    }
}

/// Stands for a standing in [`Standings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(NonZeroU32);

impl Number {
    /// That of [`Standing::default`].
    pub(crate) const NOTHING: Self = Self(NonZeroU32::MIN);

    /// For the standing at this position; 2³² of them would take hundreds of gigabytes, so memory ends before the numbers do.
    fn of(position: usize) -> Self {
        Self(u32::try_from(position).map_or(NonZeroU32::MAX, |position| NonZeroU32::MIN.saturating_add(position)))
    }

    fn position(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The number as it is written to a file; never zero.
    pub(crate) fn raw(self) -> u32 {
        self.0.get()
    }

    /// The number that was written so; `None` for zero.
    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        NonZeroU32::new(raw).map(Self)
    }
}

/// The distinct standings of an index, and how many rows have each. There are few, since rows differ in little more than
/// memberships.
#[derive(Debug)]
pub(crate) struct Standings {
    numbered: Vec<Shared>,
    numbers: HashMap<Standing, Number>,
    /// Numbers that no row has any more, to be given again.
    free: Vec<Number>,
    latest: (Standing, Number),
}

/// A standing, and how many rows have it.
#[derive(Debug, Clone, Copy, Default)]
struct Shared {
    standing: Standing,
    rows: u64,
}

impl Shared {
    /// Whether its number may not be given to another standing.
    fn is_in_use(&self, number: Number) -> bool {
        self.rows > 0 || number == Number::NOTHING
    }
}

impl Default for Standings {
    fn default() -> Self {
        let nothing = (Standing::default(), Number::NOTHING);
        Self { numbered: vec![Shared::default()], numbers: HashMap::from([nothing]), free: Vec::new(), latest: nothing }
    }
}

impl Standings {
    pub(crate) fn get(&self, number: Number) -> Standing {
        self.numbered.get(number.position()).map(|shared| shared.standing).unwrap_or_default()
    }

    /// The standings that rows have, and how many rows. Those that stand at nothing are not counted.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Standing, u64)> {
        self.numbered.iter().filter(|shared| shared.rows > 0).map(|shared| (shared.standing, shared.rows))
    }

    /// Notes that a row moves, and returns the number of where it stands then.
    pub(crate) fn change(&mut self, from: Number, to: Standing) -> Number {
        let number = self.number(to);
        self.count(from, |rows| rows - 1);
        self.count(number, |rows| rows + 1);
        number
    }

    fn count(&mut self, number: Number, change: impl FnOnce(u64) -> u64) {
        if let Some(shared) = self.numbered.get_mut(number.position()).filter(|_| number != Number::NOTHING) {
            shared.rows = change(shared.rows);
        }
    }

    fn number(&mut self, standing: Standing) -> Number {
        if self.latest.0 == standing {
            return self.latest.1;
        }
        let number = match self.numbers.get(&standing) {
            Some(number) => *number,
            None => self.add(standing),
        };
        self.latest = (standing, number);
        number
    }

    fn add(&mut self, standing: Standing) -> Number {
        if self.free.is_empty() && self.numbered.len() == self.numbered.capacity() {
            self.sweep();
            // So that the next search comes after half as many additions as it looks at.
            if self.free.len() < self.numbered.len() / 2 {
                self.numbered.reserve(self.numbered.len());
            }
        }
        let shared = Shared { standing, rows: 0 };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(free) = self.numbered.get_mut(number.position()) {
                    *free = shared;
                }
                number
            }
            None => {
                self.numbered.push(shared);
                Number::of(self.numbered.len() - 1)
            }
        };
        self.numbers.insert(standing, number);
        number
    }

    /// Frees the numbers that no row has any more: where there are many segments, a row stands here and there before it stands
    /// where it stays.
    fn sweep(&mut self) {
        let Self { numbered, numbers, free, latest } = self;
        numbers.retain(|_, number| numbered.get(number.position()).is_some_and(|shared| shared.is_in_use(*number)));
        let in_order = (0..).map(Number::of).zip(numbered);
        *free = in_order.filter(|(number, shared)| !shared.is_in_use(*number)).map(|(number, _)| number).collect();
        *latest = (Standing::default(), Number::NOTHING);
    }

    /// Changes where every row stands. Those that stand at nothing stay there.
    pub(crate) fn change_all(&mut self, change: impl Fn(&mut Standing)) {
        self.sweep();
        self.numbered.iter_mut().for_each(|shared| change(&mut shared.standing));
        let in_order = (0..).map(Number::of).zip(&self.numbered).filter(|(number, shared)| shared.is_in_use(*number));
        self.numbers = in_order.map(|(number, shared)| (shared.standing, number)).collect();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.numbered.capacity() * size_of::<Shared>()
            + self.numbers.capacity() * (size_of::<(Standing, Number)>() + 1)
            + self.free.capacity() * size_of::<Number>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SegmentNumber;

    /// Where rows stand, and how many.
    type Count = (Standing, u64);

    #[test]
    fn a_membership_that_is_sent_again_is_uncertain_until_it_is_acknowledged_again() {
        let [news, vip] = [0, 1].map(|number| Memberships::from(SegmentNumber::new(number).unwrap()));
        let held = Standing { acknowledged: news.union(vip), held: true, ..Standing::default() };
        let mut standing = held;
        standing.intend_delivery(news);
        assert_eq!((standing.acknowledged, standing.possible), (vip, news));
        assert_eq!(standing.left_behind(), news.union(vip), "whoever leaves is taken off both lists");
        let mut refused = standing;
        refused.undelivered(Undelivered::Refused);
        assert_eq!((refused.acknowledged, refused.possible, refused.uncertain()), (vip, news, false));
        standing.done(news, false);
        assert_eq!(standing, held);
    }

    #[test]
    fn a_membership_that_was_left_when_all_was_asked_for_is_not_trusted_when_the_row_returns() {
        let [news, vip] = [0, 1].map(|number| Memberships::from(SegmentNumber::new(number).unwrap()));
        let mut standing = Standing { acknowledged: news.union(vip), held: true, ..Standing::default() };
        standing.renew();
        standing.intend_delivery(news);
        standing.done(news, false);
        assert_eq!((standing.acknowledged, standing.possible), (news, vip));
        assert_eq!(Standing { seen: news, ..standing }.left_behind(), vip, "whoever stays away is taken off");
        standing.left(vip);
        assert_eq!(standing, Standing { acknowledged: news, held: true, ..Standing::default() });
    }

    #[test]
    fn a_row_in_doubt_stays_so_when_its_list_is_gone() {
        let [news, vip] = [0, 1].map(|number| Memberships::from(SegmentNumber::new(number).unwrap()));
        let doubtful = Standing { possible: news, doubtful: true, ..Standing::default() };
        let mut standing = doubtful;
        standing.vacate(vip);
        assert_eq!(standing, doubtful);
        standing.vacate(news);
        assert_eq!(standing, Standing { doubtful: true, ..Standing::default() });
        let mut held = Standing { acknowledged: news.union(vip), held: true, ..Standing::default() };
        held.vacate(news);
        assert_eq!(held, Standing { acknowledged: vip, held: true, ..Standing::default() });
        held.vacate(vip);
        assert_eq!(held, Standing::default());
    }

    #[test]
    fn rows_are_counted_where_they_stand() {
        let held = Standing { held: true, ..Standing::default() };
        let intended = Standing { intended: true, ..held };
        let doubtful = Standing { doubtful: true, ..held };
        let mut standings = Standings::default();
        #[track_caller]
        fn check(standings: &Standings, expected: &[Count]) {
            assert_eq!(standings.rows().collect::<Vec<_>>(), expected);
        }
        check(&standings, &[]);
        let mut rows = [Number::NOTHING; 5];
        let moves: [(usize, Standing, &[Count]); 7] = [
            (0, held, &[(held, 1)]),
            (1, held, &[(held, 2)]),
            (2, intended, &[(held, 2), (intended, 1)]),
            (1, intended, &[(held, 1), (intended, 2)]),
            (1, intended, &[(held, 1), (intended, 2)]),
            (0, Standing::default(), &[(intended, 2)]),
            (3, doubtful, &[(intended, 2), (doubtful, 1)]),
        ];
        for (row, to, expected) in moves {
            rows[row] = standings.change(rows[row], to);
            assert_eq!(standings.get(rows[row]), to);
            check(&standings, expected);
        }
        // Two that were different are the same now; whoever had either has it, and leaves it one by one.
        standings.change_all(Standing::run_over);
        check(&standings, &[(Standing { intended: false, ..doubtful }, 2), (doubtful, 1)]);
        for row in [1, 2, 3] {
            assert_eq!(standings.get(rows[row]), doubtful);
            rows[row] = standings.change(rows[row], held);
        }
        check(&standings, &[(held, 3)]);
    }

    #[test]
    fn rows_that_pass_through_many_standings_leave_none_behind() {
        let mut standings = Standings::default();
        let mut rows = [(Standing::default(), Number::NOTHING); 40];
        for step in 0..20_000_u64 {
            let row = &mut rows[usize::try_from(step.wrapping_mul(0x9e37_79b9)).unwrap() % 40];
            let acknowledged = Memberships::from_bits(step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (step % 60));
            let standing = Standing { acknowledged, held: true, ..Standing::default() };
            *row = (standing, standings.change(row.1, standing));
            assert!(rows.iter().all(|(standing, number)| standings.get(*number) == *standing), "step {step}");
        }
        let mut counted: HashMap<Standing, u64> = HashMap::new();
        for (standing, _) in rows.iter().filter(|(_, number)| *number != Number::NOTHING) {
            *counted.entry(*standing).or_default() += 1;
        }
        assert_eq!(standings.rows().collect::<HashMap<_, _>>(), counted);
        assert!(standings.bytes() < 40_000, "{} bytes", standings.bytes());
    }
}
