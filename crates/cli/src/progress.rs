//! Progress of runs: bars on a terminal, a line now and then elsewhere.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use segport_core::harmless;
use segport_engine::report::Problem;
use segport_engine::{Calls, Progress, Silent, Stage};

use crate::text::{count, counted, duration};

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// Most characters of an export's id on a bar, so that much of a line is left for the bar.
const NAME_WIDTH: usize = 20;

/// All bars of the process. Whatever else is printed goes through [`aside`], so that it does not tear them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Does `work`, which prints, while no bar is on the screen.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    if BARS.clear().is_err() {
        // The terminal is gone, which the run may outlive. Bars that are told to make room would panic.
        BARS.set_draw_target(ProgressDrawTarget::hidden());
    }
    BARS.suspend(work)
}

/// What suits the terminal, or the lack of one; nothing if `quiet`.
pub(crate) fn watcher(quiet: bool) -> Box<dyn Progress> {
    // A terminal may be unable to draw bars, as `TERM=dumb` says.
    match (quiet, io::stderr().is_terminal() && !BARS.is_hidden()) {
        (true, _) => Box::new(Silent),
        (false, true) => Box::new(Bars::default()),
        (false, false) => Box::new(Lines::default()),
    }
}

/// One bar an export: rows, rate, time left, and whether the destination holds it back.
#[derive(Debug, Default)]
struct Bars(Mutex<HashMap<String, ProgressBar>>);

impl Bars {
    fn with(&self, export: &str, work: impl FnOnce(&ProgressBar)) {
        let bars = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bars.get(export) {
            work(bar);
        }
    }
}

/// The bar itself takes what is left of the line.
fn look(template: &str) -> ProgressStyle {
    let template = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    template.progress_chars("=> ").with_key("rate", rate).with_key("left", left)
}

/// Rows a second on average: a batch of single adds takes minutes, in which the latest rate would say nothing.
#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^52")]
fn average(rows: u64, elapsed: Duration) -> f64 {
    rows as f64 / elapsed.as_secs_f64().max(0.001)
}

/// The time that is left at the average rate. Nothing is foretold from less than a hundredth.
#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^52")]
fn time_left(rows: u64, total: u64, elapsed: Duration) -> Option<String> {
    let seconds = total.saturating_sub(rows) as f64 / average(rows, elapsed);
    (rows > 0 && rows >= total / 100)
        .then(|| if seconds < 10.0 { format!("{seconds:.0} s") } else { duration(seconds) })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and far below 2^64")]
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // What cannot be written on a line of progress is not missed.
    write!(out, "{}/s", count(average(state.pos(), state.elapsed()).round() as u64)).unwrap_or(());
}

fn left(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    if let Some(left) = time_left(state.pos(), state.len().unwrap_or(0), state.elapsed()) {
        write!(out, "{left} left").unwrap_or(());
    }
}

fn shown(Calls { made, throttled }: Calls) -> String {
    format!("{}{}", counted(made, "call"), if throttled { ", throttled" } else { "" })
}

fn name(export: &str) -> String {
    if export.chars().count() <= NAME_WIDTH {
        return export.to_owned();
    }
    export.chars().take(NAME_WIDTH - 2).chain("..".chars()).collect()
}

fn note(export: &str, problem: &Problem) -> String {
    format!("{export}: {} ({})\n", harmless(&problem.message), problem.code)
}

fn say(line: &str) {
    // Whoever listens may have gone; the run goes on.
    io::stderr().lock().write_all(line.as_bytes()).unwrap_or(());
}

impl Progress for Bars {
    fn stage(&self, export: &str, stage: Stage) {
        let mut bars = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = bars.remove(export) {
            old.finish_and_clear();
        }
        let bar = match stage {
            Stage::Reading => {
                ProgressBar::new_spinner().with_style(look("{prefix}  reading  {human_pos} rows  {rate}"))
            }
            Stage::Delivering { total } => ProgressBar::new(total)
                .with_style(look("{prefix}  sending [{wide_bar}] {human_pos}/{human_len} rows  {rate}  {left}  {msg}")),
        };
        let bar = BARS.add(bar.with_prefix(name(export)));
        bar.enable_steady_tick(Duration::from_millis(200));
        bars.insert(export.to_owned(), bar);
    }

    fn advance(&self, export: &str, rows: u64) {
        self.with(export, |bar| bar.inc(rows));
    }

    fn noted(&self, export: &str, problem: &Problem) {
        aside(|| say(&note(export, problem)));
    }

    fn calls(&self, export: &str, calls: Calls) {
        self.with(export, |bar| bar.set_message(shown(calls)));
    }

    fn finished(&self, export: &str) {
        let mut bars = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bars.remove(export) {
            bar.finish_and_clear();
        }
    }
}

/// One line every ten seconds.
#[derive(Debug, Default)]
struct Lines(Mutex<HashMap<String, Tally>>);

#[derive(Debug)]
struct Tally {
    stage: Stage,
    rows: u64,
    since: Instant,
    told: Instant,
    calls: Calls,
}

impl Tally {
    fn new(stage: Stage, now: Instant) -> Self {
        Self { stage, rows: 0, since: now, told: now, calls: Calls::default() }
    }

    /// Counts `rows`; a line if one is due.
    fn advance(&mut self, export: &str, rows: u64, now: Instant) -> Option<String> {
        self.rows += rows;
        if now.duration_since(self.told) < EVERY {
            return None;
        }
        self.told = now;
        Some(self.line(export, now))
    }

    fn line(&self, export: &str, now: Instant) -> String {
        let elapsed = now.duration_since(self.since);
        let rate = average(self.rows, elapsed);
        let calls = shown(self.calls);
        let rows = count(self.rows);
        match self.stage {
            Stage::Reading => format!("{export}: {rows} rows read, {rate:.0} a second\n"),
            Stage::Delivering { total } => {
                let left =
                    time_left(self.rows, total, elapsed).map_or_else(String::new, |left| format!(", {left} left"));
                let total = count(total);
                format!("{export}: {rows} of {total} rows done, {rate:.0} a second{left}, {calls}\n")
            }
        }
    }
}

impl Lines {
    fn tallies(&self) -> MutexGuard<'_, HashMap<String, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a tally and writes the line that is due then.
    fn change(&self, export: &str, change: impl FnOnce(&mut Tally) -> Option<String>) {
        if let Some(line) = self.tallies().get_mut(export).and_then(change) {
            say(&line);
        }
    }
}

impl Progress for Lines {
    fn stage(&self, export: &str, stage: Stage) {
        self.tallies().insert(export.to_owned(), Tally::new(stage, Instant::now()));
    }

    fn advance(&self, export: &str, rows: u64) {
        self.change(export, |tally| tally.advance(export, rows, Instant::now()));
    }

    fn noted(&self, export: &str, problem: &Problem) {
        say(&note(export, problem));
    }

    fn calls(&self, export: &str, calls: Calls) {
        self.change(export, |tally| {
            tally.calls = calls;
            // A destination that holds everything back is told of as well.
            tally.advance(export, 0, Instant::now())
        });
    }

    fn finished(&self, export: &str) {
        self.tallies().remove(export);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_every_ten_seconds() {
        let start = Instant::now();
        let mut tally = Tally::new(Stage::Delivering { total: 10_000 }, start);
        let mut at = |seconds, rows| tally.advance("newsletter", rows, start + Duration::from_secs(seconds));
        assert_eq!(at(9, 900), None);
        assert_eq!(
            at(10, 100).as_deref(),
            Some("newsletter: 1,000 of 10,000 rows done, 100 a second, 90 s left, 0 calls\n")
        );
        assert_eq!(at(19, 900), None);
        assert_eq!(
            at(20, 100).as_deref(),
            Some("newsletter: 2,000 of 10,000 rows done, 100 a second, 80 s left, 0 calls\n")
        );
    }

    #[test]
    fn no_time_is_foretold_from_little() {
        let start = Instant::now();
        for rows in [0, 99] {
            let mut tally = Tally::new(Stage::Delivering { total: 10_000 }, start);
            tally.calls.made = 412;
            let line = tally.advance("newsletter", rows, start + EVERY * 100);
            assert_eq!(line, Some(format!("newsletter: {rows} of 10,000 rows done, 0 a second, 412 calls\n")));
        }
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(name("newsletter"), "newsletter");
        assert_eq!(name("newsletter-of-the-north-and-south"), "newsletter-of-the-..");
    }

    #[test]
    fn throttling_is_told() {
        let start = Instant::now();
        let lines = Lines::default();
        lines.stage("vip", Stage::Delivering { total: 10 });
        lines.calls("vip", Calls { made: 1, throttled: true });
        let line = lines.tallies().get_mut("vip").and_then(|tally| tally.advance("vip", 5, start + EVERY * 2));
        assert!(line.unwrap().ends_with("left, 1 call, throttled\n"));
        lines.finished("vip");
        lines.advance("vip", 1);
    }
}
