//! Seeds, one after the other, and what is told of one that fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use segport_core::{Capabilities, Secret};
use segport_ledger::{Memory, NoFaults, StateKey};

use super::case::{Key, Round, Wanted};
use super::process::{self, End};
use super::world::World;

/// Seeds of the test command, in as many tests.
const SEEDS: u64 = 10_000;
const PARTS: u64 = 4;
/// Runs after which a source that nothing disturbs must be delivered, by the rows that one of them sends.
const CLEAN_RUNS: u64 = 4;

/// Plays a seed: runs in whatever comes, then clean ones.
fn play(world: &Arc<World>) {
    let key = StateKey::from_secret(&Secret::new("of the simulation, and no other")).unwrap();
    let dice = Arc::clone(&world.dice);
    let memory = Memory::new(move || dice.wait(20));
    let store = process::store(world, &memory, &key, Arc::new(NoFaults));
    let case = &world.case;
    let mut before = None;
    let mut run = |round: &Round| {
        let known = process::runtime().block_on(super::check::known_account(world, &store));
        let round = Round { key: take_key(world, round.key, known.as_deref()), ..round.clone() };
        let end = process::run(world, &memory, &key, &round, before.as_deref());
        if round.key == Key::MixedUp {
            super::check::ends_badly(&end);
            world.state().take_other_key();
        }
        if let End::Returned(told) = &end {
            match &**told {
                Ok(report) => world.note(format_args!("{report:?}")),
                Err(error) => world.note(format_args!("{error}")),
            }
        }
        let told = process::runtime().block_on(super::check::after_a_run(world, &store, &end));
        before = told.or(before.take());
        end
    };
    for round in &case.rounds {
        change(world);
        for &list in &round.gone {
            world.note(format_args!("list {list} is deleted"));
            world.state().account.delete_list(list);
        }
        run(round);
    }

    change(world);
    // Where a row in doubt may not be repeated and cannot be looked up, somebody must say that it is to be sent all the same. That
    // the account is another one a run does not see that has nothing to send.
    let Capabilities { repeatable, settle, .. } = case.capabilities;
    let clean = Round { overrides: true, ..Round::default() };
    let known = process::runtime().block_on(super::check::known_account(world, &store));
    let is_elsewhere = known.is_some_and(|known| known != world.state().account.id());
    if !repeatable && !settle || is_elsewhere {
        run(&Round { mode: Wanted::Full, uncapped: true, ..clean.clone() });
    }
    // Twice as many where a move to another account has all of them sent again.
    let runs = CLEAN_RUNS + case.limits.rows_per_export.map_or(0, |cap| 2 * case.people.div_ceil(cap));
    let is_done = (0..runs).any(|_| super::check::is_done(&run(&clean)));
    assert!(is_done, "{runs} clean runs do not bring the destination up to date");
    assert_eq!(world.state().run.requests, 0, "unchanged data is not sent");
    process::runtime().block_on(super::check::at_the_end(world, &store));
}

/// Gives the connection its key; returns what this run is to be told of it. An account can be mixed up only where it is known, and
/// the user says that the export may go to another one until it is known that it did.
fn take_key(world: &World, key: Key, known: Option<&str>) -> Key {
    let mut state = world.state();
    match key {
        Key::MixedUp if known == Some(state.account.id()) => {
            state.take_other_key();
            return Key::MixedUp;
        }
        Key::Moved => {
            state.account.leave_behind();
            state.take_other_key();
        }
        Key::MixedUp | Key::Same => {}
    }
    match known.is_some_and(|known| known != state.account.id()) {
        true => Key::Moved,
        false => Key::Same,
    }
}

fn change(world: &World) {
    let case = &world.case;
    world.state().source.change(&world.dice, case.people, case.segments);
}

/// Plays the seeds that `cargo xtask simulate` asks for, or this part of those of the test command; says of the first that fails
/// how to see it again. Of a seed that is asked for alone it tells what happens.
fn check(part: u64) {
    let asked = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = asked("SEGPORT_SEED").unwrap_or(0);
    let seeds = asked("SEGPORT_SEEDS").unwrap_or(SEEDS);
    for seed in (first..first + seeds).filter(|seed| seed % PARTS == part) {
        let world = World::new(seed, seeds == 1);
        let is_well = catch_unwind(AssertUnwindSafe(|| play(&world))).is_ok();
        if let Some(story) = world.story() {
            #[expect(clippy::print_stderr, reason = "it was asked for")]
            {
                eprintln!("{:#?}\n{story}", world.case);
            }
        }
        assert!(is_well, "seed {seed} fails; see it again with `cargo xtask simulate --seed {seed}`");
    }
}

#[test]
fn whatever_happens_runs_end_well_1() {
    check(0);
}

#[test]
fn whatever_happens_runs_end_well_2() {
    check(1);
}

#[test]
fn whatever_happens_runs_end_well_3() {
    check(2);
}

#[test]
fn whatever_happens_runs_end_well_4() {
    check(3);
}

#[test]
fn a_seed_is_played_the_same_way_every_time() {
    let mut moments = 0;
    for seed in 0..100 {
        let story = || {
            let world = World::new(seed, true);
            play(&world);
            world.story().unwrap()
        };
        let (one, other) = (story(), story());
        assert_eq!(one, other, "seed {seed}");
        moments += one.lines().count();
    }
    assert!(moments > 10_000, "{moments} moments are too few to tell anything");
}
