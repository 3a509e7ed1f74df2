//! Plans and reports as people read them.

use segport_core::harmless;
use segport_engine::report::{GuardVerdict, Problem, RunReport, Severity, Verdict};
use segport_engine::{PlanReport, PlannedCalls};
use segport_ledger::OutcomeKind;
use segport_manifest::Style;

use crate::exit::heading;
use crate::text::{between, count, counted, duration, table};

/// A line of counts: name, number, remark. Numbers are right-aligned. A remark may name what a source names.
struct Line(String, u64, String);

impl Line {
    fn top(name: &str, number: u64, remark: impl Into<String>) -> Self {
        Self(format!("  {name}"), number, remark.into())
    }

    fn below(name: &str, number: u64, remark: impl Into<String>) -> Self {
        Self(format!("    {name}"), number, remark.into())
    }
}

fn render_lines(lines: &[Line]) -> String {
    let names = lines.iter().map(|line| line.0.chars().count()).max().unwrap_or(0);
    let numbers = lines.iter().map(|line| count(line.1).len()).max().unwrap_or(0);
    let render = |Line(name, number, remark): &Line| {
        let line = format!("{name:names$}  {:>numbers$}  {}", count(*number), harmless(remark));
        format!("{}\n", line.trim_end())
    };
    lines.iter().map(render).collect()
}

/// Those of `lines` that count something.
fn counting<const N: usize>(lines: [(&str, u64, String); N]) -> Vec<Line> {
    lines
        .into_iter()
        .filter(|line| line.1 > 0)
        .map(|(name, number, remark)| Line::below(name, number, remark))
        .collect()
}

/// A plan.
pub(crate) fn plan(plan: &PlanReport, style: Style) -> String {
    let PlanReport { rows, leavers, .. } = plan;
    let segments: Vec<String> =
        plan.segments.iter().map(|segment| format!("{} {}", segment.id, count(segment.rows))).collect();
    let mut lines = vec![
        Line::top("rows read", rows.read, segments.join(", ")),
        Line::below("add", rows.add, ""),
        Line::below("change", rows.change, ""),
        Line::below("unchanged", rows.unchanged, ""),
    ];
    let outcomes = [
        (OutcomeKind::Invalid, rows.invalid),
        (OutcomeKind::Duplicate, rows.duplicate),
        (OutcomeKind::Suppressed, rows.suppressed),
        (OutcomeKind::Deferred, rows.deferred),
    ];
    for (outcome, number) in outcomes.into_iter().filter(|(_, number)| *number > 0) {
        lines.push(Line::below(outcome.as_str(), number, ""));
        for skipped in plan.skipped.iter().filter(|skipped| skipped.outcome == outcome) {
            lines.push(Line(format!("      {}", skipped.code), skipped.rows, skipped.reason.clone()));
        }
    }
    lines.push(Line::top("leavers", leavers.planned, ""));
    lines.extend(counting([
        ("remove", leavers.remove, "taken off the list; the contacts stay".to_owned()),
        ("keep", leavers.keep, "stay on lists that the export takes nobody off".to_owned()),
        ("deferred", leavers.deferred, "left alone: rows could not be read and might be among them".to_owned()),
    ]));
    let mut text = format!("{} -> {}\n\n{}", plan.export, plan.connection, render_lines(&lines));
    text.push_str(&calls(&plan.calls));
    text.push_str(&guards(&plan.guards, false));
    text.push_str(&problems(&plan.problems, style));
    text
}

fn calls(calls: &PlannedCalls) -> String {
    let number = if calls.at_least == calls.at_most {
        counted(calls.at_most, "call")
    } else {
        format!("{} to {} calls", count(calls.at_least), count(calls.at_most))
    };
    let time = match (calls.seconds_at_least, calls.seconds_at_most) {
        (Some(least), Some(most)) if duration(least) == duration(most) => duration(most),
        (Some(least), Some(most)) => format!("{} to {}", duration(least), duration(most)),
        _ => String::new(),
    };
    let pace = match (calls.at_most, calls.requests_per_second) {
        (0, _) => String::new(),
        (_, rate) if rate > 0.0 => format!(", {time} at {rate} a second"),
        _ => ", no limit on their rate".to_owned(),
    };
    let mut text = format!("\n  {number}{pace}\n");
    for note in &calls.notes {
        text.push_str(&crate::text::wrap(&harmless(note), 72, "    "));
    }
    text
}

fn guards(guards: &[GuardVerdict], only_notable: bool) -> String {
    let rows: Vec<Vec<String>> = guards
        .iter()
        .filter(|guard| !only_notable || guard.verdict != Verdict::Passed)
        .map(|guard| {
            let verdict = match (guard.verdict, &guard.overridden_by) {
                (Verdict::Passed, _) => "passed".to_owned(),
                (Verdict::Stopped, _) => "stops the run".to_owned(),
                (Verdict::Exceeded, _) => "exceeded, with nothing left to stop".to_owned(),
                (Verdict::Overridden, None) => "overridden".to_owned(),
                (Verdict::Overridden, Some(by)) => format!("overridden by {by}"),
            };
            // A guard that is on or off has no limit to show.
            let found = match guard.limit.parse::<bool>() {
                Ok(_) => guard.found.clone(),
                Err(_) => format!("{} (limit: {})", guard.found, guard.limit),
            };
            let found = match &guard.reason {
                Some(reason) => format!("{found}: {reason}"),
                None => found,
            };
            vec![format!("  guard {}", guard.guard), verdict, found]
        })
        .collect();
    if rows.is_empty() { String::new() } else { format!("\n{}", table(&rows)) }
}

fn problems(problems: &[Problem], style: Style) -> String {
    let mut text = String::new();
    for problem in problems {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let code = Some(problem.code.as_str()).filter(|code| !code.is_empty());
        text.push('\n');
        // A destination's texts, such as titles of lists, may be in it.
        text.push_str(&heading(severity, code, &harmless(&problem.message), problem.help.as_deref(), style));
    }
    text
}

/// The report of a run.
pub(crate) fn run(report: &RunReport, style: Style) -> String {
    let RunReport { rows, leavers, calls, .. } = report;
    let mut lines = vec![
        Line::top("rows read", rows.read, ""),
        Line::below("added", rows.added, ""),
        Line::below("changed", rows.changed, ""),
        Line::below("unchanged", rows.unchanged, ""),
    ];
    lines.extend(counting([
        ("invalid", rows.invalid, "not sendable as they are".to_owned()),
        ("duplicate", rows.duplicate, "a row with the same identity came before".to_owned()),
        ("suppressed", rows.suppressed, "on the suppression list".to_owned()),
        ("deferred", rows.deferred, "put off; the next run takes them".to_owned()),
        ("refused", rows.refused, "rejected by the destination".to_owned()),
        ("unknown", rows.unknown, "sent without a usable answer; the next run settles them".to_owned()),
    ]));
    lines.push(Line::top("leavers", leavers.planned, ""));
    lines.extend(counting([
        ("removed", leavers.removed, "off the list".to_owned()),
        ("kept", leavers.kept, "stay on lists that the export takes nobody off".to_owned()),
        ("deferred", leavers.deferred, "put off".to_owned()),
        ("refused", leavers.refused, "the destination rejected the removal".to_owned()),
        ("unknown", leavers.unknown, "no usable answer".to_owned()),
    ]));
    let mut remarks = Vec::new();
    if calls.retried > 0 {
        remarks.push(format!("{} retried", count(calls.retried)));
    }
    if calls.throttled > 0 {
        remarks.push(format!("{} throttled", count(calls.throttled)));
    }
    lines.push(Line::top("calls", calls.requests, remarks.join(", ")));

    let status = report.status.as_str();
    let time = between(report.started_at, report.finished_at);
    let mut text = format!("{} -> {}: {status} in {time}\n\n", report.export, report.connection);
    text.push_str(&render_lines(&lines));
    text.push_str(&guards(&report.guards, true));
    text.push_str(&problems(&report.problems, style));
    text.push_str(&format!("\n  run {}\n", report.run_id));
    if let Some(hint) = hint(report) {
        text.push_str(&format!("  {hint}\n"));
    }
    text
}

/// What to do next, if anything.
fn hint(report: &RunReport) -> Option<String> {
    let RunReport { rows, run_id, .. } = report;
    let odd = rows.invalid + rows.duplicate + rows.suppressed + rows.refused + rows.unknown;
    (odd > 0).then(|| format!("`segport rows {run_id}` lists what became of each row"))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use segport_engine::report::{CallCounts, LeaverCounts, PluginRef, RowCounts, Trigger};
    use segport_engine::{Guard, PlannedLeavers, PlannedRows, PlannedSegment, Skipped};
    use segport_ledger::RunEnd;
    use segport_manifest::Code;

    use super::*;

    fn a_plan() -> PlanReport {
        PlanReport {
            full: false,
            schema_version: 1,
            export: "newsletter".to_owned(),
            connection: "autopilot".to_owned(),
            config_hash: String::new(),
            source_digest: String::new(),
            suppressed_digest: String::new(),
            ledger_generation: String::new(),
            rows: PlannedRows {
                read: 12_004,
                add: 985,
                change: 10,
                unchanged: 11_000,
                invalid: 9,
                ..PlannedRows::default()
            },
            leavers: PlannedLeavers { planned: 3, remove: 3, ..PlannedLeavers::default() },
            segments: vec![
                PlannedSegment { id: "newsletter".to_owned(), display_name: "Newsletter".to_owned(), rows: 12_004 },
                PlannedSegment { id: "vip".to_owned(), display_name: "VIP".to_owned(), rows: 80 },
            ],
            skipped: vec![Skipped {
                outcome: OutcomeKind::Invalid.into(),
                code: "identity_missing".to_owned(),
                reason: "`email` is empty".to_owned(),
                rows: 9,
            }],
            calls: PlannedCalls {
                at_least: 14,
                at_most: 1100,
                requests_per_second: 5.0,
                seconds_at_least: Some(2.8),
                seconds_at_most: Some(220.0),
                notes: vec!["the first batch tests whether bulk calls put contacts on the list".to_owned()],
            },
            guards: vec![
                verdict(Guard::AllowEmpty, "false", "every segment has rows", Verdict::Passed),
                verdict(Guard::MaxRemovals, "10%", "3 of 11,003", Verdict::Passed),
            ],
            problems: Vec::new(),
        }
    }

    fn verdict(guard: Guard, limit: &str, found: &str, verdict: Verdict) -> GuardVerdict {
        let overridden_by = (verdict == Verdict::Overridden).then(|| "anna@example.com".to_owned());
        let reason = overridden_by.as_ref().map(|_| "the list was closed".to_owned());
        let (limit, found) = (limit.to_owned(), found.to_owned());
        GuardVerdict { guard: guard.into(), limit, found, verdict, overridden_by, reason }
    }

    fn a_report() -> RunReport {
        RunReport {
            schema_version: 1,
            run_id: "01935b1c-6d2a".to_owned(),
            export: "newsletter".to_owned(),
            connection: "autopilot".to_owned(),
            trigger: Trigger::Manual,
            retry_of: Vec::new(),
            status: RunEnd::Succeeded,
            started_at: "2026-11-23T10:00:00Z".parse().unwrap(),
            finished_at: "2026-11-23T10:00:04.2Z".parse().unwrap(),
            config_hash: String::new(),
            plugin: PluginRef::default(),
            rows: RowCounts { read: 1000, added: 1000, ..RowCounts::default() },
            leavers: LeaverCounts::default(),
            calls: CallCounts { requests: 14, ..CallCounts::default() },
            guards: vec![verdict(Guard::MaxRemovals, "10%", "0 of 0", Verdict::Passed)],
            problems: Vec::new(),
        }
    }

    #[test]
    fn a_plan_says_what_would_be_sent() {
        assert_snapshot!(plan(&a_plan(), Style::Plain));
    }

    #[test]
    fn a_plan_of_nothing_is_short() {
        let nothing = PlanReport {
            rows: PlannedRows { read: 10, unchanged: 10, ..PlannedRows::default() },
            leavers: PlannedLeavers::default(),
            skipped: Vec::new(),
            calls: PlannedCalls { requests_per_second: 5.0, ..PlannedCalls::default() },
            ..a_plan()
        };
        assert_snapshot!(plan(&nothing, Style::Plain));
    }

    #[test]
    fn a_good_run_is_short() {
        assert_snapshot!(run(&a_report(), Style::Plain));
    }

    #[test]
    fn a_bad_run_says_what_to_do() {
        let rows = RowCounts { read: 100, added: 60, unchanged: 20, refused: 15, unknown: 5, ..RowCounts::default() };
        let problem = Problem {
            severity: Severity::Warning,
            code: Code::Rejected.into(),
            message: "15 rows were refused".to_owned(),
            help: Some("correct them at the source".to_owned()),
        };
        let report = RunReport {
            status: RunEnd::Partial,
            rows,
            leavers: LeaverCounts { planned: 4, removed: 3, unknown: 1, ..LeaverCounts::default() },
            calls: CallCounts { requests: 1214, retried: 3, throttled: 1 },
            guards: vec![verdict(Guard::MaxRefused, "5%", "15 of 80", Verdict::Overridden)],
            problems: vec![problem],
            ..a_report()
        };
        assert_snapshot!(run(&report, Style::Plain));
    }

    #[test]
    fn a_text_of_the_destination_does_not_drive_the_terminal() {
        let problem = Problem {
            severity: Severity::Note,
            code: Code::ConnectorNote.into(),
            message: "list `\u{1b}[2JNews` has\nmembers".to_owned(),
            help: None,
        };
        let shown = run(&RunReport { problems: vec![problem], ..a_report() }, Style::Plain);
        assert!(shown.contains("note[SP0609]: list `\\u{1b}[2JNews` has\\nmembers\n"), "{shown}");
    }

    #[test]
    fn a_name_of_the_source_does_not_drive_the_terminal() {
        let skipped = Skipped {
            outcome: OutcomeKind::Invalid.into(),
            code: "value".to_owned(),
            reason: "`\u{1b}]0;x\u{7}` is no number".to_owned(),
            rows: 9,
        };
        let shown = plan(&PlanReport { skipped: vec![skipped], ..a_plan() }, Style::Plain);
        assert!(shown.contains("`\\u{1b}]0;x\\u{7}` is no number\n"), "{shown}");
    }

    #[test]
    fn a_stopped_run_shows_its_guard() {
        let report = RunReport {
            status: RunEnd::Stopped,
            rows: RowCounts { read: 100, deferred: 100, ..RowCounts::default() },
            guards: vec![verdict(Guard::MaxRemovals, "10%", "300 of 1000", Verdict::Stopped)],
            ..a_report()
        };
        assert_snapshot!(run(&report, Style::Plain));
    }
}
