//! Runs made of bytes: each choice takes one, and what is left out is zero, so that every input is a story.

use std::collections::{BTreeMap, BTreeSet};

use segport_ledger::Undelivered;

use super::{Answer, KEYS, Kept, PAYLOADS, PEOPLE, Plan, Story};

pub(super) struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    pub(super) fn story(mut self) -> Story {
        let last = self.certain();
        let (folds, reopens) = (self.flag(), self.flag());
        let kept = if self.flag() { Kept::InMemory } else { Kept::OnDisk };
        let plans = (0..self.below(5)).map(|_| self.plan()).collect();
        Story { plans, last, kept, folds, reopens }
    }

    /// A run in which nothing goes wrong.
    fn certain(&mut self) -> Plan {
        let segments = (0..=self.below(3)).map(|_| (self.below(4), self.members()));
        // A segment is named once.
        let segments: BTreeMap<_, _> = segments.collect();
        Plan {
            segments: segments.into_iter().collect(),
            skipped: BTreeMap::new(),
            keys: 0,
            renews: false,
            gone: BTreeSet::new(),
            moves: false,
            answers: vec![Answer::Acknowledged],
            dies_after: None,
        }
    }

    fn plan(&mut self) -> Plan {
        let skipped = (0..self.below(4)).map(|_| {
            let why = if self.flag() { Undelivered::Suppressed } else { Undelivered::Deferred };
            (self.below(PEOPLE), why)
        });
        let skipped = skipped.collect();
        let answers = (0..=self.below(8)).map(|_| self.answer()).collect();
        let dies_after = if self.flag() { Some((self.below(6).into(), self.flag())) } else { None };
        let renews = self.below(4) == 1;
        let plan = Plan { skipped, renews, answers, dies_after, ..self.certain() };
        let keys = self.below(KEYS);
        let gone = (0..self.below(3)).map(|_| self.below(4)).collect();
        let moves = self.below(6) == 1;
        Plan { keys, gone, moves, ..plan }
    }

    /// Who is in a segment, and with which payload.
    fn members(&mut self) -> BTreeMap<u8, u8> {
        (0..self.below(PEOPLE - 1)).map(|_| (self.below(PEOPLE), self.below(PAYLOADS))).collect()
    }

    fn answer(&mut self) -> Answer {
        match self.below(7) {
            0 => Answer::Acknowledged,
            1 => Answer::Refused,
            2 => Answer::UnknownDone,
            3 => Answer::UnknownLost,
            4 => Answer::Deferred,
            5 => Answer::RefusedByLists,
            _ => Answer::Suppressed,
        }
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn below(&mut self, limit: u8) -> u8 {
        self.0.next().map_or(0, |byte| byte % limit)
    }
}
