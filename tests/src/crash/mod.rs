//! The crash driver: runs the binary against a stand-in, strikes it down, lets it go on, and compares with an undisturbed twin.
//!
//! A *case* is one project with its twin, made from a seed and a number. In each round the source changes; then runs are
//! struck, at a moment, at a request or at a durable operation; then one is let through. Some rounds begin with a move to
//! another account or back, and in some the first runs are asked for all rows again. After that
//!
//! * both destinations hold the same contacts, with the same values, on the same lists, and no list twice,
//! * both ledgers hold as many rows, and a further run sends nothing,
//! * the disturbed one wrote no more rows again than were in flight when it was struck.
//!
//! Sometimes the source changes between a blow and the run that is let through. Who came and left in between may then stay
//! where the struck run put them, and is counted as a *stray*: the ledger has hashes only, and the destination's answer, which
//! would have told where to take them off, was lost.

mod blow;
mod dice;
mod full;
mod pair;
mod picture;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use blow::Action;
pub use full::{Fill, Of, fill};

use blow::Blow;
use dice::Dice;
use pair::{Pair, Shape};

/// How much is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What everything is made from.
    pub seed: u64,
    /// The first case.
    pub from: u64,
    /// Cases are begun until so many runs were killed.
    pub kills: u64,
    /// Cases at once.
    pub at_once: usize,
}

/// A number that several threads count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::SeqCst);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What happened.
#[derive(Debug, Default)]
pub struct Figures {
    /// Projects.
    pub cases: Count,
    /// Settled and compared.
    pub rounds: Count,
    /// Runs that died.
    pub kills: Count,
    /// Runs that failed because an operation did.
    pub failures: Count,
    /// Runs that were over before they could be struck.
    pub missed: Count,
    /// Moves to another account or back.
    pub moves: Count,
    /// Rounds in which all rows were asked for again.
    pub renewals: Count,
    /// Rows written again.
    pub repeated: Count,
    /// People left on a list by a struck run, gone from the source before the next one.
    pub strays: Count,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, rounds, kills, failures, missed, moves, renewals, repeated, strays } = self;
        let [cases, rounds, kills, failures, missed, moves, renewals, repeated, strays] =
            [cases, rounds, kills, failures, missed, moves, renewals, repeated, strays].map(Count::get);
        write!(
            f,
            "{kills} kills and {failures} failures ({missed} too late) in {cases} cases of {rounds} rounds, {moves} begun at \
             another account and {renewals} with everything; {repeated} rows repeated, {strays} strays"
        )
    }
}

/// Plays cases until enough runs were killed.
///
/// # Panics
/// If a case fails; it says how to play it again.
pub fn drive(plan: Plan, say: impl Fn(&str) + Sync) -> Figures {
    let (figures, next, failed) = (Figures::default(), AtomicU64::new(plan.from), AtomicU64::new(0));
    let begun = Instant::now();
    let worker = || {
        while figures.kills.get() < plan.kills && failed.load(Ordering::SeqCst) == 0 {
            let case = next.fetch_add(1, Ordering::SeqCst);
            let mut log = Vec::new();
            if catch_unwind(AssertUnwindSafe(|| play(plan.seed, case, &figures, &mut log))).is_err() {
                failed.fetch_add(1, Ordering::SeqCst);
                let again = format!("cargo xtask crash --kills 1 --seed {} --from {case}", plan.seed);
                say(&format!("case {case} failed; play it again with `{again}`\n  {}", log.join("\n  ")));
            }
            figures.cases.add(1);
            if case % 20 == 19 {
                say(&format!("{} in {}", figures, seconds(begun.elapsed())));
            }
        }
    };
    std::thread::scope(|scope| (0..plan.at_once.max(1)).for_each(|_| drop(scope.spawn(worker))));
    assert_eq!(failed.into_inner(), 0, "a case failed");
    say(&format!("{} in {}", figures, seconds(begun.elapsed())));
    figures
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Plays one case. What it does goes to the log first.
fn play(seed: u64, case: u64, figures: &Figures, log: &mut Vec<String>) {
    let mut dice = Dice::new(seed, case);
    let shape = Shape::roll(&mut dice);
    log.push(format!("{shape:?}"));
    let mut pair = Pair::new(shape, &mut dice);
    // Half of the cases are disturbed from the first run on.
    if dice.hits(50) {
        pair.settle(figures);
    }
    for round in 1..=dice.between(2..=3) {
        if round > 1 || dice.hits(50) {
            pair.world.turn(40, &mut dice);
        }
        if round > 1 && dice.hits(60) && pair.relocate() {
            log.push(format!("round {round}: to the other account"));
            figures.moves.add(1);
        }
        if round > 1 && dice.hits(30) {
            figures.renewals.add(1);
            loop {
                let blow = Blow::roll(pair.usual_requests(), &mut dice);
                log.push(format!("round {round}: asked for everything, {blow}"));
                if pair.strike_full(blow, &mut dice, figures) {
                    break;
                }
            }
        }
        for _ in 0..dice.between(3..=8) {
            let blow = Blow::roll(pair.usual_requests(), &mut dice);
            log.push(format!("round {round}: {blow}"));
            if !pair.strike(blow, figures) {
                log.push("that was too late".to_owned());
            }
            if dice.hits(5) {
                log.push(format!("round {round}: the source changes"));
                pair.detour(&mut dice);
            }
        }
        log.push(format!("round {round}: settles"));
        pair.settle(figures);
    }
    pair.ledgers_hold_the_same();
}

/// Strikes at the first, second, third ... durable operation of a run, each time of a run of its own, until a run has no more
/// of them.
///
/// # Panics
/// If any is not survived.
pub fn sweep(action: Action) -> Figures {
    let figures = Figures::default();
    let mut dice = Dice::new(0, 0);
    let shape = Shape {
        customers: 30,
        segments: 2,
        rows_per_batch: 20,
        max_in_flight: 1,
        list_membership: "bulk",
        bulk_lists: true,
        folds: true,
        index_in_files: false,
        accounts: 1,
    };
    // The state and what is in it first are made only once in a project's life.
    for nth in 1..=FIRST_OPERATIONS {
        let mut pair = Pair::new(shape, &mut dice);
        assert!(pair.strike(Blow::Failpoint("any", nth, action), &figures), "a new project has too few operations");
        pair.settle(&figures);
        figures.cases.add(1);
    }
    let mut pair = Pair::new(shape, &mut dice);
    pair.settle(&figures);
    for nth in 1.. {
        pair.world.turn(10, &mut dice);
        let struck = pair.strike(Blow::Failpoint("any", nth, action), &figures);
        pair.settle(&figures);
        let enough = if action == Action::Kill { 1 } else { MISSES_OF_A_FOLD + 1 };
        if !struck && figures.missed.get() >= enough {
            break;
        }
    }
    pair.ledgers_hold_the_same();
    figures.cases.add(1);
    figures
}

/// Operations before the lease is taken for the first time: making the file and the tables, and the check value of the key.
const FIRST_OPERATIONS: u32 = 6;

/// A fold that fails is of no consequence, which looks as if the run had no such operation. It has that many.
const MISSES_OF_A_FOLD: u64 = 5;
