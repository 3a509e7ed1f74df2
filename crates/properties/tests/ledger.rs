//! Whatever happens to a run, the ledger never claims what the destination does not hold, and the next whole runs make the
//! destination equal to the source. `SEGPORT_CASES` sets how many stories are played.

#![allow(clippy::expect_used, reason = "a helper of a test fails the test")]

use proptest::prelude::*;
use segport_ledger::Undelivered;
use segport_properties::ledger::{Answer, Kept, Plan, Story};

fn plan(certain: bool) -> impl Strategy<Value = Plan> {
    let members = prop::collection::btree_map(0_u8..8, 0_u8..3, 0..7);
    let segments =
        prop::collection::btree_map(0_u8..4, members, 1..4).prop_map(|segments| segments.into_iter().collect());
    let answers = if certain {
        Just(vec![Answer::Acknowledged]).boxed()
    } else {
        prop::collection::vec(
            prop_oneof![
                4 => Just(Answer::Acknowledged),
                1 => Just(Answer::Refused),
                1 => Just(Answer::RefusedByLists),
                1 => Just(Answer::UnknownDone),
                1 => Just(Answer::UnknownLost),
                1 => Just(Answer::Deferred),
                1 => Just(Answer::Suppressed),
            ],
            1..9,
        )
        .boxed()
    };
    let dies = if certain { Just(None).boxed() } else { prop::option::of((0_usize..6, any::<bool>())).boxed() };
    let why = prop_oneof![Just(Undelivered::Suppressed), Just(Undelivered::Deferred)];
    let skipped = prop::collection::btree_map(0_u8..8, why, 0..if certain { 1 } else { 4 });
    let renews = if certain { Just(false).boxed() } else { prop::bool::weighted(0.2).boxed() };
    let gone = prop::collection::btree_set(0_u8..4, 0..if certain { 1 } else { 3 });
    let moves = if certain { Just(false).boxed() } else { prop::bool::weighted(0.2).boxed() };
    let all = (segments, skipped, 0_u8..3, renews, gone, moves, answers, dies);
    all.prop_map(|(segments, skipped, keys, renews, gone, moves, answers, dies_after)| Plan {
        segments,
        skipped,
        keys,
        renews,
        gone,
        moves,
        answers,
        dies_after,
    })
}

/// Stories without `SEGPORT_CASES`.
const CASES: u32 = 96;

fn config() -> ProptestConfig {
    let cases = std::env::var("SEGPORT_CASES").map_or(CASES, |cases| cases.parse().expect("SEGPORT_CASES is a number"));
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_next_whole_runs_put_everything_right(
        plans in prop::collection::vec(plan(false), 0..5),
        last in plan(true),
        kept in prop_oneof![Just(Kept::OnDisk), Just(Kept::InMemory)],
        folds in any::<bool>(),
        reopens in any::<bool>(),
    ) {
        Story { plans, last, kept, folds, reopens }.check();
    }
}
