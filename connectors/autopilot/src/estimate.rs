//! What an export costs in calls, told before anything is sent.

use segport_sdk::{Estimate, Workload};

use crate::settings::ListMembership;

/// Most look-ups of a batch that tests a list: three before its bulk call, and one after. Where nothing can be told from one
/// batch, the next one tests.
const TEST: u64 = 4;
/// Most look-ups of a batch to find out whether members from before are still on a list.
const LOOK: u64 = 3;
/// How often the bulk call of a test is made again without the list, because naming it was refused.
const AGAIN: u64 = 1;

/// How many contacts that are on a list already, of those that take a call each, pay for reading a page of it.
const FOUND_PER_PAGE: u64 = crate::roll::FOUND_PER_PAGE as u64;

const TESTED: &str = "the first batch tests whether bulk calls put contacts on the list; if they do not, each new member takes a call of its own";
const LOOKED_AT: &str = "bulk calls name the list again; if the first contacts are not on it any more, and bulk calls do not put them there, each \
     contact takes a call of its own";

/// The calls of `workload`; `fixed_list` when no list is ever made.
pub(crate) fn estimate(workload: &Workload, mode: ListMembership, fixed_list: bool) -> Estimate {
    let Workload { batches, batches_at_most, rows, joins, rejoins, leavers, segments, in_doubt, batches_in_doubt } =
        *workload;
    let most_batches = batches.max(batches_at_most);
    if batches == 0 && leavers == 0 {
        return Estimate::default();
    }
    // A list that is not there is made, and one that is there may be looked at before it gets its first members. Lists that are
    // looked for by name may be those of another account, which is asked for then.
    let lists_prepared = if fixed_list && joins + rejoins == 0 { 0 } else { segments };
    let account = u64::from(!fixed_list);
    // A batch in doubt is there as a whole, which takes a look at each row; or not at all, which takes one look, and a call; or
    // in part, which takes a look at each row and a call. So one row takes one call or more, and several take two or more.
    let fewest_to_settle = in_doubt.min(batches_in_doubt + 1);
    let fewest_batches = batches.saturating_sub(batches_in_doubt);
    let links = joins + rejoins;
    let fewest_links = links.saturating_sub(in_doubt.saturating_mul(segments.max(1)));
    // One call finds the lists.
    let begun = 1 + leavers;
    // A row's first list fits into its bulk call. How many rows join several is not known: as few as can be, or as many.
    let fewest_singles = links.saturating_sub(rows).min(fewest_links);
    let most_singles = links - links.div_ceil(segments.max(1)).min(links);
    let (fewest, most, notes) = match mode {
        ListMembership::Single => (fewest_links, links, Vec::new()),
        ListMembership::Bulk => (fewest_singles, most_singles, Vec::new()),
        ListMembership::Probe if links == 0 => (0, 0, Vec::new()),
        ListMembership::Probe => (
            fewest_singles + u64::from(fewest_links > 0),
            links
                + links / FOUND_PER_PAGE
                + most_batches * (TEST + if rejoins > 0 { LOOK } else { 0 })
                + AGAIN * segments.max(1),
            if joins > 0 { vec![TESTED.to_owned()] } else { vec![LOOKED_AT.to_owned()] },
        ),
    };
    Estimate {
        at_least: begun + fewest_to_settle + fewest_batches + fewest,
        at_most: begun + account + in_doubt + most_batches + lists_prepared + most,
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_follows_the_mode() {
        use ListMembership::*;
        let check = |mode, (batches, rows, joins, leavers, segments), at_least, at_most, notes| {
            let workload = Workload { batches, rows, joins, leavers, segments, ..Workload::default() };
            let found = estimate(&workload, mode, false);
            assert_eq!((found.at_least, found.at_most, found.notes.len()), (at_least, at_most, notes), "{mode:?}");
        };
        for mode in [Probe, Single, Bulk] {
            check(mode, (0, 0, 0, 0, 1), 0, 0, 0);
            check(mode, (0, 0, 0, 5, 1), 6, 8, 0);
            check(mode, (3, 300, 0, 0, 1), 4, 6, 0);
        }
        check(Single, (1000, 100_000, 100_000, 0, 1), 101_001, 101_003, 0);
        check(Bulk, (1000, 100_000, 100_000, 0, 1), 1001, 1003, 0);
        check(Probe, (1000, 100_000, 100_000, 0, 1), 1002, 115_004, 1);
        check(Bulk, (2, 200, 300, 0, 2), 103, 156, 0);
        check(Bulk, (2, 200, 400, 0, 2), 203, 206, 0);
        let one = Workload { batches: 1, rows: 1, joins: 1, segments: 1, ..Workload::default() };
        let fixed = estimate(&one, Bulk, true);
        assert_eq!((fixed.at_least, fixed.at_most), (2, 3), "the list may be looked at");
        let fixed = estimate(&Workload { joins: 0, ..one }, Bulk, true);
        assert_eq!((fixed.at_least, fixed.at_most), (2, 2));
        let again = Workload { batches: 1000, rows: 100_000, rejoins: 100_000, segments: 1, ..Workload::default() };
        let mut calls = [Single, Bulk, Probe].map(|mode| estimate(&again, mode, false)).into_iter();
        let mut check = |at_least, at_most, notes| {
            let found = calls.next().unwrap();
            assert_eq!((found.at_least, found.at_most, found.notes.len()), (at_least, at_most, notes));
        };
        check(101_001, 101_003, 0);
        check(1001, 1003, 0);
        check(1002, 118_004, 1);
        let doubtful = Workload { batches: 3, rows: 300, joins: 300, in_doubt: 100, batches_in_doubt: 1, ..one };
        let looked_up = estimate(&doubtful, Bulk, true);
        assert_eq!((looked_up.at_least, looked_up.at_most), (1 + 2 + 2, 1 + 100 + 3 + 1));
        // A hundred that are not there, and one that is.
        let two = Workload { batches: 2, rows: 101, joins: 101, in_doubt: 101, batches_in_doubt: 2, ..one };
        assert_eq!(estimate(&two, Bulk, true).at_least, 1 + 3);
        let wide = Workload { batches: 5, batches_at_most: 9, rows: 100, joins: 100, segments: 1, ..one };
        let found = [Bulk, Probe].map(|mode| estimate(&wide, mode, true)).map(|found| [found.at_least, found.at_most]);
        assert_eq!(found, [[1 + 5, 1 + 9 + 1], [1 + 5 + 1, 1 + 9 + 1 + 100 + 100 / FOUND_PER_PAGE + 9 * TEST + 1]]);
        let all_doubtful = estimate(&Workload { in_doubt: 1, batches_in_doubt: 1, ..one }, Probe, true);
        assert_eq!((all_doubtful.at_least, all_doubtful.at_most), (2, 1 + 1 + 1 + 1 + 1 + 4 + 1));
    }
}
