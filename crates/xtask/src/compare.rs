//! `cargo xtask bench compare`: an unchanged run beside DuckDB and Polars doing the same comparison from the same files.
//!
//! They are installed by name into a virtual environment in the target folder, because whoever asks for this wants them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{MANY, Project, ROUNDS, Sandbox, measure, median, profiles, tempdir};
use crate::proc::{self, Done, root, say, target_dir};

/// The other programs: Python packages, each with a script in `tests/compare`.
const OTHERS: [&str; 2] = ["duckdb", "polars"];

pub(crate) fn run() -> Done {
    let python = python()?;
    let dir = tempdir()?;
    let csv = dir.path().join("profiles.csv");
    profiles(&csv, MANY)?;
    let parquet = dir.path().join("profiles.parquet");
    let convert = format!(
        "import duckdb; duckdb.execute(\"COPY (FROM read_csv('{}', all_varchar = true)) TO '{}' (FORMAT parquet)\")",
        csv.display(),
        parquet.display()
    );
    let mut command = Command::new(&python);
    command.args(["-c", &convert]);
    proc::output(command)?;
    for (name, data) in [("Parquet", &parquet), ("CSV", &csv)] {
        say(&format!("\ncompare: {} unchanged profiles of 12 columns from {name}", MANY));
        let sandbox = Sandbox::start(0)?;
        let project = Project::write(&dir.path().join(name), &sandbox, data, "requests_per_second = 0")?;
        project.run_counted("added", MANY)?;
        let mut rounds: Vec<(&str, Vec<_>)> =
            [&["segport"], &OTHERS[..]].concat().iter().map(|name| (*name, Vec::new())).collect();
        let snapshot = |other: &str| dir.path().join(format!("{other}.{name}")).to_string_lossy().into_owned();
        let data = data.to_string_lossy().into_owned();
        for other in OTHERS {
            measure(&python, &[&script(other), "snapshot", &data, &snapshot(other)], None)?;
        }
        // In turn, so that whatever else the machine does meets all of them.
        for _ in 0..ROUNDS {
            for (name, figures) in &mut rounds {
                figures.push(match *name {
                    "segport" => project.run_counted("unchanged", MANY)?,
                    other => measure(&python, &[&script(other), "compare", &data, &snapshot(other)], None)?,
                });
            }
        }
        let own = rounds.first().map_or(f64::NAN, |(_, figures)| median(figures).wall);
        for (name, figures) in &rounds {
            let figures = median(figures);
            say(&format!("  {name:8} {}  {:.2} times segport's time", figures.shown(MANY), figures.wall / own));
        }
    }
    Ok(())
}

fn script(other: &str) -> String {
    root().join(format!("tests/compare/{other}_unchanged.py")).to_string_lossy().into_owned()
}

/// A Python that has the other programs.
fn python() -> Done<PathBuf> {
    let environment = target_dir().join("compare");
    let python = environment.join("bin/python");
    if !has_packages(&python) {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&environment);
        proc::run(make)?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet"]).args(OTHERS);
        proc::run(install)?;
    }
    Ok(python)
}

fn has_packages(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", &format!("import {}", OTHERS.join(", "))])
        .output()
        .is_ok_and(|output| output.status.success())
}
