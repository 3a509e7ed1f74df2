//! What an export costs in calls, told before anything is sent.

use segport_sdk::{Estimate, Workload};

use crate::settings::ListMembership;

/// Most calls that a list's test adds: three look-ups before, three after, and the batch once more without the list.
const TEST: u64 = 7;

/// The calls of `workload`; `fixed_list` when no list is ever made.
pub(crate) fn estimate(workload: &Workload, mode: ListMembership, fixed_list: bool) -> Estimate {
    let Workload { batches, rows, joins, leavers, segments } = *workload;
    if batches == 0 && leavers == 0 {
        return Estimate::default();
    }
    let lists_made = if fixed_list { 0 } else { segments };
    // One call finds the lists.
    let begun = 1 + batches + leavers;
    // A row's first list fits into its bulk call. How many rows join several is not known: as few as can be, or as many.
    let fewest_singles = joins.saturating_sub(rows);
    let most_singles = joins - joins.div_ceil(segments.max(1)).min(joins);
    let (fewest, most, notes) = match mode {
        ListMembership::Single => (joins, joins, Vec::new()),
        ListMembership::Bulk => (fewest_singles, most_singles, Vec::new()),
        ListMembership::Probe if joins == 0 => (0, 0, Vec::new()),
        ListMembership::Probe => (
            fewest_singles + 1,
            joins + TEST * segments.max(1),
            vec![
                "the first batch tests whether bulk calls put contacts on the list; if they do not, each new member takes a \
                 call of its own"
                    .to_owned(),
            ],
        ),
    };
    Estimate { at_least: begun + fewest, at_most: begun + lists_made + most, notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_follows_the_mode() {
        use ListMembership::*;
        let check = |mode, (batches, rows, joins, leavers, segments), at_least, at_most, notes| {
            let found = estimate(&Workload { batches, rows, joins, leavers, segments }, mode, false);
            assert_eq!((found.at_least, found.at_most, found.notes.len()), (at_least, at_most, notes), "{mode:?}");
        };
        for mode in [Probe, Single, Bulk] {
            check(mode, (0, 0, 0, 0, 1), 0, 0, 0);
            check(mode, (0, 0, 0, 5, 1), 6, 7, 0);
            check(mode, (3, 300, 0, 0, 1), 4, 5, 0);
        }
        check(Single, (1000, 100_000, 100_000, 0, 1), 101_001, 101_002, 0);
        check(Bulk, (1000, 100_000, 100_000, 0, 1), 1001, 1002, 0);
        check(Probe, (1000, 100_000, 100_000, 0, 1), 1002, 101_009, 1);
        check(Bulk, (2, 200, 300, 0, 2), 103, 155, 0);
        check(Bulk, (2, 200, 400, 0, 2), 203, 205, 0);
        let fixed = estimate(&Workload { batches: 1, rows: 1, joins: 1, leavers: 0, segments: 1 }, Bulk, true);
        assert_eq!((fixed.at_least, fixed.at_most), (2, 2));
    }
}
