//! The guards: limits that stop a run before it does harm.

use std::str::FromStr;

use segport_manifest::{Guards, Threshold};

use crate::report::{GuardVerdict, Verdict};

/// A guard by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// More removals than allowed.
    MaxRemovals,
    /// More refused rows than allowed.
    MaxRefused,
    /// A segment without any row.
    AllowEmpty,
}

impl Guard {
    /// The name in the manifest and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxRemovals => "max_removals",
            Self::MaxRefused => "max_refused",
            Self::AllowEmpty => "allow_empty",
        }
    }
}

impl FromStr for Guard {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::MaxRemovals, Self::MaxRefused, Self::AllowEmpty]
            .into_iter()
            .find(|guard| guard.as_str() == name)
            .ok_or_else(|| {
                format!("there is no guard `{name}`; the guards are max_removals, max_refused and allow_empty")
            })
    }
}

/// What a user set aside for one run; the run keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// Guards that may not stop it.
    pub guards: Vec<Guard>,
    /// Who said so.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

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
    /// Memberships that the ledger holds.
    pub(crate) held: u64,
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
        ]
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

    fn limit_of_refusals(&self) -> Threshold {
        self.guards.max_refused
    }

    fn verdict(&self, guard: Guard, limit: String, found: String, is_exceeded: bool) -> GuardVerdict {
        let Override { guards, by, reason } = &self.overridden;
        let verdict = match (is_exceeded, guards.contains(&guard)) {
            (false, _) => Verdict::Passed,
            (true, true) => Verdict::Overridden,
            (true, false) => Verdict::Stopped,
        };
        let said = |text: &Option<String>| text.clone().filter(|_| verdict == Verdict::Overridden);
        let (overridden_by, reason) = (said(by), said(reason));
        GuardVerdict { guard: guard.as_str().to_owned(), limit, found, verdict, overridden_by, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(removals: u64, held: u64, empty: &[&str], overridden: &[Guard], expected: [Verdict; 2]) {
        let findings = Findings { empty_segments: empty.iter().map(ToString::to_string).collect(), removals, held };
        let overridden = Override { guards: overridden.to_vec(), ..Override::default() };
        let verdicts = Watch::new(Guards::default(), &overridden).judge_plan(&findings);
        assert_eq!(verdicts.iter().map(|verdict| verdict.verdict).collect::<Vec<_>>(), expected);
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
    fn refusals() {
        let watch = Watch::new(Guards::default(), &Override::default());
        assert_eq!(watch.judge_refusals(5, 100).verdict, Verdict::Passed);
        assert_eq!(watch.judge_refusals(6, 100).verdict, Verdict::Stopped);
    }

    #[test]
    fn names_are_those_of_the_manifest() {
        assert_eq!("max_refused".parse(), Ok(Guard::MaxRefused));
        assert!("max_refusals".parse::<Guard>().unwrap_err().contains("max_removals"));
    }
}
