//! What is simulated: a project, and runs with whatever happens to them.

use std::collections::BTreeSet;
use std::time::Duration;

use segport_core::{Capabilities, Limits};
use segport_ledger::Folding;
use segport_manifest::Leavers;

use super::dice::Dice;

/// What a seed stands for.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// People there are; not all are in a segment.
    pub(super) people: u64,
    /// Segments of the export.
    pub(super) segments: usize,
    pub(super) limits: Limits,
    pub(super) capabilities: Capabilities,
    pub(super) leavers: Leavers,
    pub(super) folding: Folding,
    /// Runs that something may happen to; each is a process of its own.
    pub(super) rounds: Vec<Round>,
}

/// One run and what happens to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    pub(super) mode: Wanted,
    /// Whether the guards are overridden.
    pub(super) overrides: bool,
    /// Whether it may send any number of rows.
    pub(super) uncapped: bool,
    pub(super) weather: Weather,
    pub(super) crash: Option<Crash>,
    /// The durable operation that fails, counted from the first.
    pub(super) failing: Option<u32>,
    pub(super) cancelled_at: Option<Duration>,
    /// Changes of the suppression list: when, whom, and whether they are put on it.
    pub(super) suppressing: Vec<(Duration, u64, bool)>,
    /// The page that the source fails to read.
    pub(super) unreadable_page: Option<u32>,
    /// Rows at the end of the first segment that nobody can read.
    pub(super) unreadable_rows: u64,
    /// A row that is gone when the source is read for the second time.
    pub(super) moves: bool,
    /// Whose presence makes the destination refuse a batch.
    pub(super) poison: BTreeSet<u64>,
    /// Lists that somebody deletes before the run begins, so that it finds others in their place.
    pub(super) gone: BTreeSet<u16>,
    pub(super) key: Key,
}

/// Whose key the run is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Key {
    /// That of the account that the user means, as before.
    #[default]
    Same,
    /// That of another account, to which the user lets the export go from here on.
    Moved,
    /// That of another account, by mistake. Nothing may be sent there.
    MixedUp,
}

/// Which rows a run considers; [`crate::Scope`] without the id of the run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Wanted {
    #[default]
    Changes,
    Full,
    /// What the run before left undone.
    Undone,
}

/// How a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    /// At one of the moments in which its main task goes on.
    Turn(u32),
    /// Before or after a durable operation.
    Operation(u32),
    /// While a request is under way, which the destination may have got or not.
    Request(u32),
    /// After so much time.
    Time(Duration),
}

/// What the destination and the way to it are like: how many of a hundred requests meet each trouble.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather {
    pub(super) unconnected: u64,
    pub(super) broken: u64,
    pub(super) slow: u64,
    pub(super) failing: u64,
    pub(super) throttled: u64,
    /// Answers that leave rows out, refuse or postpone them.
    pub(super) partial: u64,
    pub(super) locked: u64,
    /// When nothing can be reached, and when everything is throttled.
    pub(super) outage: Option<(Duration, Duration)>,
    pub(super) storm: Option<(Duration, Duration)>,
}

impl Case {
    /// The case of a seed.
    pub(super) fn new(dice: &Dice) -> Self {
        let most = dice.pick(&[3, 10, 10, 30]);
        let people = dice.within(1, most);
        let limits = Limits {
            rows_per_batch: dice.within(1, 5) as u32,
            bytes_per_batch: dice.pick(&[0, 50, 100, 1 << 20, 1 << 20]),
            requests_per_second: dice.pick(&[0.0, 0.0, 1.0, 5.0, 20.0, 200.0]),
            rows_per_export: dice.maybe(15, |dice| dice.within(1, people)),
            max_in_flight: dice.within(1, 4) as u32,
            request_timeout_ms: dice.pick(&[300, 2_000, 30_000]),
        };
        let capabilities =
            Capabilities { remove: true, repeatable: dice.chance(75), several_segments: true, settle: dice.chance(50) };
        let segments = dice.within(1, 3);
        Self {
            people,
            segments: segments as usize,
            limits,
            capabilities,
            leavers: if dice.chance(85) { Leavers::Remove } else { Leavers::Keep },
            folding: Folding {
                idle_records: dice.pick(&[0, 10, 50_000]),
                rows_at_a_time: dice.pick(&[3, 500_000]),
                ..Folding::default()
            },
            rounds: (0..dice.pick(&[1, 1, 2, 2, 3, 4])).map(|_| Round::new(dice, people, segments)).collect(),
        }
    }
}

impl Round {
    fn new(dice: &Dice, people: u64, segments: u64) -> Self {
        let anybody = |dice: &Dice| dice.below(people);
        let crash = dice.maybe(40, |dice| match dice.below(4) {
            0 => Crash::Turn(dice.within(1, 60) as u32),
            1 => Crash::Operation(dice.within(1, 40) as u32),
            2 => Crash::Request(dice.within(1, 6) as u32),
            _ => Crash::Time(dice.wait(3_000)),
        });
        let change = |dice: &Dice| (dice.wait(3_000), anybody(dice), dice.chance(70));
        let mut suppressing: Vec<_> =
            if dice.chance(40) { (0..dice.within(1, 6)).map(|_| change(dice)).collect() } else { Vec::new() };
        suppressing.sort_unstable();
        Self {
            mode: dice.pick(&[Wanted::Changes, Wanted::Changes, Wanted::Changes, Wanted::Full, Wanted::Undone]),
            overrides: dice.chance(80),
            uncapped: false,
            weather: Weather::new(dice),
            crash,
            failing: dice.maybe(10, |dice| dice.within(1, 60) as u32),
            cancelled_at: dice.maybe(15, |dice| dice.wait(4_000)),
            suppressing,
            unreadable_page: dice.maybe(5, |dice| dice.below(4) as u32),
            unreadable_rows: dice.maybe(10, |dice| dice.within(1, 3)).unwrap_or(0),
            moves: dice.chance(20),
            poison: if dice.chance(20) { (0..dice.within(1, 3)).map(|_| anybody(dice)).collect() } else { [].into() },
            gone: (0..segments as u16).filter(|_| dice.chance(10)).collect(),
            key: dice.pick(&[Key::Same, Key::Same, Key::Same, Key::Same, Key::Moved, Key::MixedUp]),
        }
    }
}

impl Weather {
    fn new(dice: &Dice) -> Self {
        if dice.chance(25) {
            return Self::default();
        }
        if dice.chance(10) {
            // Work that is done unseen, and then a key that is not known any more.
            return Self { broken: 30, failing: 10, locked: 15, ..Self::default() };
        }
        let severity = dice.pick(&[3, 10, 30]);
        let some = |dice: &Dice| if dice.chance(50) { dice.below(severity + 1) } else { 0 };
        let spell = |dice: &Dice| {
            let start = dice.wait(2_000);
            (start, start + dice.wait(8_000))
        };
        Self {
            unconnected: some(dice),
            broken: some(dice),
            slow: some(dice) / 2,
            failing: some(dice),
            throttled: some(dice),
            partial: some(dice),
            locked: dice.maybe(15, |_| 10).unwrap_or(0),
            outage: dice.maybe(10, spell),
            // A request puts up with ten minutes of 429.
            storm: dice.maybe(10, |dice| match (dice.chance(5), spell(dice)) {
                (true, (start, end)) => (start, end + Duration::from_secs(900)),
                (false, spell) => spell,
            }),
        }
    }
}
