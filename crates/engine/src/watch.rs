//! Judging a run by its guards: limits that stop it before it does harm.

use segport_manifest::{Guards, Threshold};

use crate::guard::{Guard, Override};
use crate::report::{GuardVerdict, Verdict};

/// The guards of one run, with what the user overrode.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    guards: Guards,
    overridden: Override,
}

/// What the plan knows that guards judge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// Segments that gave no row although the whole export is empty or the ledger holds members of them.
    pub(crate) empty_segments: Vec<String>,
    /// Memberships that would be removed.
    pub(crate) removals: u64,
    /// Members of the export's lists; somebody on two of them counts twice, as among the removals.
    pub(crate) held: u64,
    /// The segments that an accepted run has read before.
    pub(crate) sizes: Vec<Size>,
}

/// How many rows a segment has, and had in the last run that accepted it as normal.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    pub(crate) segment: String,
    pub(crate) before: u64,
    pub(crate) now: u64,
}

/// In a segment that had fewer rows than this, a share judges only differences of at least as many: what a few rows do there
/// says nothing.
const FEW_ROWS: u64 = 100;

impl Size {
    fn growth(&self) -> u64 {
        self.now.saturating_sub(self.before)
    }

    fn loss(&self) -> u64 {
        self.before.saturating_sub(self.now)
    }

    /// Whether so many rows more or less are too many.
    fn is_abnormal(&self, difference: u64, limit: Threshold) -> bool {
        // A segment without rows is a matter of `allow_empty`, and one that had none says nothing of what is normal.
        let is_telling = self.before > 0 && self.now > 0;
        let is_noise = matches!(limit, Threshold::Percent(_)) && self.before < FEW_ROWS && difference < FEW_ROWS;
        is_telling && !is_noise && limit.is_exceeded(difference, self.before)
    }
}

impl Watch {
    pub(crate) fn new(guards: Guards, overridden: &Override) -> Self {
        Self { guards, overridden: overridden.clone() }
    }

    /// Judges a plan; no verdict is `Stopped` if the run may go on.
    pub(crate) fn judge_plan(&self, findings: &Findings) -> Vec<GuardVerdict> {
        let empty = !self.guards.allow_empty && !findings.empty_segments.is_empty();
        let found = if findings.empty_segments.is_empty() {
            "every segment has rows".to_owned()
        } else {
            format!("no rows in {}", findings.empty_segments.join(", "))
        };
        let too_many = self.guards.max_removals.is_exceeded(findings.removals, findings.held);
        vec![
            self.verdict(Guard::AllowEmpty, self.guards.allow_empty.to_string(), found, empty),
            self.verdict(
                Guard::MaxRemovals,
                self.guards.max_removals.to_string(),
                format!("{} of {}", findings.removals, findings.held),
                too_many,
            ),
            self.judge_sizes(Guard::MaxGrowth, self.guards.max_growth, &findings.sizes, Size::growth),
            self.judge_sizes(Guard::MaxShrink, self.guards.max_shrink, &findings.sizes, Size::loss),
        ]
    }

    /// Judges how many rows each segment gained or lost; the verdict names the worst of them.
    fn judge_sizes(
        &self,
        guard: Guard,
        limit: Threshold,
        sizes: &[Size],
        difference: fn(&Size) -> u64,
    ) -> GuardVerdict {
        let changes = sizes.iter().map(|size| {
            let difference = difference(size);
            (size.is_abnormal(difference, limit), difference, size)
        });
        let worst = changes.filter(|change| change.1 > 0).max_by_key(|change| (change.0, change.1));
        let found = match (worst, guard) {
            (Some((_, _, Size { segment, before, now })), _) => format!("`{segment}`: {now} rows, {before} before"),
            (None, _) if sizes.is_empty() => "nothing to compare with yet".to_owned(),
            (None, Guard::MaxGrowth) => "no segment grew".to_owned(),
            (None, _) => "no segment shrank".to_owned(),
        };
        let is_exceeded = matches!(worst, Some((true, ..)));
        self.verdict(guard, limit.to_string(), found, is_exceeded)
    }

    /// Judges the refusals so far against the rows that the run set out to send.
    pub(crate) fn judge_refusals(&self, refused: u64, planned: u64) -> GuardVerdict {
        let exceeded = self.guards.max_refused.is_exceeded(refused, planned);
        self.verdict(
            Guard::MaxRefused,
            self.limit_of_refusals().to_string(),
            format!("{refused} of {planned}"),
            exceeded,
        )
    }

    /// Whether the export may go to another account than before.
    pub(crate) fn allows_other_account(&self) -> bool {
        self.guards.allow_other_account || self.overridden.guards.contains(&Guard::AllowOtherAccount)
    }

    /// Judges the account that a session is with by that of earlier runs, in the destination's names of them. Where the two cannot
    /// be compared there is a verdict only if somebody has set the guard aside, to have that on record.
    pub(crate) fn judge_account(&self, known: Option<&str>, reached: Option<&str>) -> Option<GuardVerdict> {
        let (found, is_other) = match (known, reached) {
            (Some(known), Some(reached)) if known == reached => (format!("account {reached}, as before"), false),
            (Some(known), Some(reached)) => (format!("account {reached}, where earlier runs reached {known}"), true),
            _ if !self.overridden.guards.contains(&Guard::AllowOtherAccount) => return None,
            _ => ("no other account".to_owned(), false),
        };
        let allowed = self.guards.allow_other_account;
        Some(self.verdict(Guard::AllowOtherAccount, allowed.to_string(), found, is_other && !allowed))
    }

    fn limit_of_refusals(&self) -> Threshold {
        self.guards.max_refused
    }

    fn verdict(&self, guard: Guard, limit: String, found: String, is_exceeded: bool) -> GuardVerdict {
        let Override { guards, by, reason } = &self.overridden;
        let is_overridden = guards.contains(&guard);
        let verdict = match (is_exceeded, is_overridden) {
            (false, _) => Verdict::Passed,
            (true, true) => Verdict::Overridden,
            (true, false) => Verdict::Stopped,
        };
        // That somebody was ready to go on is worth knowing even if nothing was in the way.
        let said = |text: &Option<String>| text.clone().filter(|_| is_overridden);
        let (overridden_by, reason) = (said(by), said(reason));
        GuardVerdict { guard: guard.into(), limit, found, verdict, overridden_by, reason }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(removals: u64, held: u64, empty: &[&str], overridden: &[Guard], expected: [Verdict; 2]) {
        let empty_segments = empty.iter().map(ToString::to_string).collect();
        let findings = Findings { empty_segments, removals, held, sizes: Vec::new() };
        let overridden = Override { guards: overridden.to_vec(), ..Override::default() };
        let verdicts = Watch::new(Guards::default(), &overridden).judge_plan(&findings);
        assert_eq!(verdicts.iter().take(2).map(|verdict| verdict.verdict).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn plans() {
        use Verdict::{Overridden, Passed, Stopped};
        check(0, 0, &[], &[], [Passed, Passed]);
        check(10, 100, &[], &[], [Passed, Passed]);
        check(11, 100, &[], &[], [Passed, Stopped]);
        check(11, 100, &[], &[Guard::MaxRemovals], [Passed, Overridden]);
        check(0, 100, &["vip"], &[Guard::MaxRemovals], [Stopped, Passed]);
    }

    #[test]
    fn an_override_is_recorded_even_if_nothing_was_in_the_way() {
        let by = Some("anna@example.com".to_owned());
        let overridden = Override { guards: vec![Guard::MaxRemovals], by: by.clone(), ..Override::default() };
        let verdicts = Watch::new(Guards::default(), &overridden).judge_plan(&Findings::default());
        let recorded = verdicts.iter().filter(|verdict| verdict.overridden_by.is_some());
        let recorded: Vec<_> =
            recorded.map(|verdict| (verdict.guard.as_str(), verdict.verdict, &verdict.overridden_by)).collect();
        assert_eq!(recorded, [("max_removals", Verdict::Passed, &by)]);
    }

    /// The verdicts on growth and loss of segments with so many rows before and now, named `0`, `1` and so on.
    fn judged(guards: Guards, sizes: &[(u64, u64)]) -> [(Verdict, String); 2] {
        let sizes = sizes.iter().enumerate().map(|(id, &(before, now))| Size { segment: id.to_string(), before, now });
        let findings = Findings { sizes: sizes.collect(), ..Findings::default() };
        let verdicts = Watch::new(guards, &Override::default()).judge_plan(&findings);
        let of = |guard: Guard| {
            let verdict = verdicts.iter().find(|verdict| verdict.guard == guard).unwrap();
            (verdict.verdict, verdict.found.clone())
        };
        [of(Guard::MaxGrowth), of(Guard::MaxShrink)]
    }

    #[test]
    fn sizes_of_segments() {
        use Verdict::{Passed, Stopped};
        let shares = Guards::default();
        let numbers = Guards { max_growth: Threshold::Rows(5), max_shrink: Threshold::Rows(3), ..shares };
        let check = |guards: Guards, before: u64, now: u64, growth: Verdict, loss: Verdict| {
            let verdicts = judged(guards, &[(before, now)]).map(|(verdict, _)| verdict);
            assert_eq!(verdicts, [growth, loss], "{before} to {now}");
        };
        check(shares, 1000, 1000, Passed, Passed);
        check(shares, 1000, 2000, Passed, Passed);
        check(shares, 1000, 2001, Stopped, Passed);
        check(shares, 1000, 500, Passed, Passed);
        check(shares, 1000, 499, Passed, Stopped);
        // Few rows are noise.
        check(shares, 99, 198, Passed, Passed);
        check(shares, 99, 199, Stopped, Passed);
        check(shares, 1, 100, Passed, Passed);
        check(shares, 1, 101, Stopped, Passed);
        check(shares, 99, 1, Passed, Passed);
        check(shares, 100, 49, Passed, Stopped);
        // A number of rows is meant as it is.
        check(numbers, 10, 15, Passed, Passed);
        check(numbers, 10, 16, Stopped, Passed);
        check(numbers, 10, 7, Passed, Passed);
        check(numbers, 10, 6, Passed, Stopped);
        // Nothing is known of a segment that had no rows, and one that has none is not a matter of its size.
        check(numbers, 0, 1000, Passed, Passed);
        check(numbers, 1000, 0, Passed, Passed);
    }

    #[test]
    fn the_worst_segment_is_named() {
        let check = |sizes: &[(u64, u64)], growth: &str, loss: &str| {
            let found = judged(Guards::default(), sizes).map(|(_, found)| found);
            assert_eq!(found, [growth, loss]);
        };
        check(&[], "nothing to compare with yet", "nothing to compare with yet");
        check(&[(7, 7), (9, 9)], "no segment grew", "no segment shrank");
        check(&[(7, 7), (0, 9), (9, 0)], "`1`: 9 rows, 0 before", "`2`: 0 rows, 9 before");
        check(&[(400, 500), (400, 1200), (400, 600)], "`1`: 1200 rows, 400 before", "no segment shrank");
        check(&[(9000, 8000), (300, 100)], "no segment grew", "`1`: 100 rows, 300 before");
        check(&[(10, 12), (12, 10)], "`0`: 12 rows, 10 before", "`1`: 10 rows, 12 before");
    }

    proptest! {
        #[test]
        fn whoever_stays_within_the_limits_passes(before: u32, now: u32, growth in 0..=100_u32, loss in 0..=100_u32) {
            let (max_growth, max_shrink) = (Threshold::Percent(growth.into()), Threshold::Percent(loss.into()));
            let [(grew, _), (shrank, _)] =
                judged(Guards { max_growth, max_shrink, ..Guards::default() }, &[(before.into(), now.into())]);
            let (before, now) = (i64::from(before), i64::from(now));
            let is_judged = before > 0 && now > 0 && (before >= 100 || (now - before).abs() >= 100);
            prop_assert_eq!(grew == Verdict::Stopped, is_judged && (now - before) * 100 > before * i64::from(growth));
            prop_assert_eq!(shrank == Verdict::Stopped, is_judged && (before - now) * 100 > before * i64::from(loss));
        }
    }

    #[test]
    fn refusals() {
        let watch = Watch::new(Guards::default(), &Override::default());
        assert_eq!(watch.judge_refusals(5, 100).verdict, Verdict::Passed);
        assert_eq!(watch.judge_refusals(6, 100).verdict, Verdict::Stopped);
    }
}
