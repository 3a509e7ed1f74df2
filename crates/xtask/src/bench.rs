//! `cargo xtask bench`: whole processes measured beside named yardsticks in the same run; figures are ratios.

mod profiles;
mod rig;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use self::profiles::{changed_profiles, wide_profiles};
use self::rig::{example, examples, measure_here};
use crate::compare;
use crate::demo::release;
use crate::proc::{Done, output, say, target_dir};

pub(crate) use self::profiles::profiles;
pub(crate) use self::rig::{Figures, Project, Sandbox, measure, median, problem, tempdir};

/// Rounds of each comparison; the median counts.
pub(crate) const ROUNDS: usize = 3;
/// Profiles of the large benchmarks.
pub(crate) const MANY: u64 = 1_000_000;

/// Runs the named benchmarks, or all.
pub(crate) fn run(names: &[&str]) -> Done {
    if let ["measure", command @ ..] = names {
        return measure_here(command);
    }
    let all = ["engine", "paced", "unchanged", "call", "check"];
    // These take minutes, or install other programs, and run only by name.
    let on_demand = ["paced-single", "size", "wide", "compare", "memory"];
    if let Some(unknown) = names.iter().find(|name| !all.contains(name) && !on_demand.contains(name)) {
        let names = [&all[..], &on_demand].concat().join(", ");
        return Err(format!("there is no benchmark `{unknown}`; there are {names}"));
    }
    release()?;
    machine();
    let wanted = if names.is_empty() { &all[..] } else { names };
    wanted.iter().try_for_each(|name| match *name {
        "engine" => engine(),
        "paced" => paced(),
        "paced-single" => paced_single(),
        "unchanged" => unchanged(),
        "call" => call(),
        "size" => size(),
        "wide" => wide(),
        "compare" => compare::run(),
        "memory" => memory(),
        _ => check(),
    })
}

fn machine() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            info.lines()
                .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()))
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    say(&format!("machine: {cores} cores, {model}"));
}

/// (a) First run of 1,000,000 profiles, beside a bare client, a bare pipeline, the same that puts contacts on a list as a run does,
/// and a client and a pipeline of the usual libraries; and the least that a run could take. All of it with the stand-in that keeps
/// contacts, and then with one that acknowledges them and keeps none.
fn engine() -> Done {
    examples()?;
    let dir = tempdir()?;
    let data = dir.path().join("profiles.csv");
    profiles(&data, MANY)?;
    engine_beside("the sandbox", || Sandbox::start(0), &data)?;
    engine_beside("a stand-in that keeps nothing", Sandbox::forgetful, &data)
}

fn engine_beside(name: &str, stand_in: impl Fn() -> Done<Sandbox>, data: &Path) -> Done {
    let dir = tempdir()?;
    let (mut client, mut pipeline, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut usual_client, mut usual, mut export) = (Vec::new(), Vec::new(), Vec::new());
    let (mut answered, mut posted) = (Vec::new(), Vec::new());
    let (calls, file) = ((MANY / 100).to_string(), data.to_string_lossy());
    for round in 0..ROUNDS {
        let alone = |program, task, what: &str| -> Done<_> {
            let sandbox = stand_in()?;
            let figures = measure(&example(program), &[task, &sandbox.address, what], None)?;
            Ok((figures, sandbox.processor_time()?))
        };
        client.push(alone("yardstick", "client", &calls)?.0);
        pipeline.push(alone("yardstick", "pipeline", &file)?.0);
        let (figures, answering) = alone("yardstick", "listed", &file)?;
        listed.push(figures);
        let (posting, _) = alone("usual", "client", &calls)?;
        usual_client.push(posting);
        usual.push(alone("usual", "pipeline", &file)?.0);
        let sandbox = stand_in()?;
        let project =
            Project::write(&dir.path().join(format!("project-{round}")), &sandbox, data, "requests_per_second = 0")?;
        let plan = project.plan()?;
        export.push(project.run_counted("added", MANY)?);
        // Nothing is sent before the plan is judged. Then the stand-in's one thread takes its time, and so does the HTTP client.
        answered.push(plan.and_then(answering));
        posted.push(plan.and_then(posting.wall));
    }
    say(&format!("\nengine: 1,000,000 profiles of 12 columns from CSV to {name}, no rate limit"));
    let (bare, libraries) = (median(&pipeline).wall, median(&usual).wall);
    let all = [
        ("bare client", &client),
        ("bare pipeline", &pipeline),
        ("with a list", &listed),
        ("usual client", &usual_client),
        ("usual pipeline", &usual),
        ("segport run", &export),
    ];
    for (name, rounds) in all {
        let figures = median(rounds);
        let [of_bare, of_usual] = [bare, libraries].map(|wall| wall / figures.wall);
        let shown = figures.shown(MANY);
        say(&format!("  {name:14} {shown}  {of_bare:.2} of the bare pipeline, {of_usual:.2} of the usual one"));
    }
    let least = [
        ("what the stand-in computes for the pipeline with a list", &answered),
        ("the usual client, which posts ready-made bodies", &posted),
    ];
    for (what, rounds) in least {
        let wall = median(rounds).wall;
        say(&format!("  a plan and {what}: {wall:.2} s, {:.2} of the bare pipeline", bare / wall));
    }
    Ok(())
}

/// (b) 100,000 profiles at 20 requests a second: 1,000 bulk calls are 50 seconds.
fn paced() -> Done {
    let dir = tempdir()?;
    let data = dir.path().join("profiles.csv");
    profiles(&data, 100_000)?;
    let sandbox = Sandbox::start(0)?;
    let settings = "requests_per_second = 20\nlist_membership = \"bulk\"";
    let project = Project::write(&dir.path().join("project"), &sandbox, &data, settings)?;
    let figures = project.run_counted("added", 100_000)?;
    say("\npaced: 100,000 profiles at 20 requests a second with bulk lists");
    say(&format!("  segport run    {}  {:.3} of 50 s", figures.shown(100_000), figures.wall / 50.0));
    Ok(())
}

/// The pace of single adds, each of which takes a call: fast, at an ordinary rate, and where answers take a quarter of a second.
fn paced_single() -> Done {
    let dir = tempdir()?;
    say("\npaced-single: as many calls a second as the limit allows, nearly all of them single adds to a list");
    for (rows, rate, faults) in [(100_000_u32, 1000_u32, &[][..]), (10_000, 100, &[]), (2_000, 20, &["delay=250ms"])] {
        let data = dir.path().join("profiles.csv");
        profiles(&data, rows.into())?;
        let sandbox = Sandbox::faulty(faults)?;
        let settings = format!("requests_per_second = {rate}\nlist_membership = \"single\"");
        let project = Project::write(&dir.path().join(rate.to_string()), &sandbox, &data, &settings)?;
        let figures = project.run_counted("added", rows.into())?;
        // One call finds that there is no list, one makes it, and the last of all needs no further wait.
        let ideal = f64::from(rows + rows / 100 + 2 - 1) / f64::from(rate);
        let (shown, share) = (figures.shown(rows.into()), ideal / figures.wall * 100.0);
        say(&format!("  {rate:>4} a second  {shown}  {share:.1} % of the rate  {}", faults.join(", ")));
    }
    Ok(())
}

/// (c) A second run of 1,000,000 unchanged profiles.
fn unchanged() -> Done {
    let dir = tempdir()?;
    let data = dir.path().join("profiles.csv");
    profiles(&data, MANY)?;
    let sandbox = Sandbox::start(0)?;
    let project = Project::write(&dir.path().join("project"), &sandbox, &data, "requests_per_second = 0")?;
    project.run_counted("added", MANY)?;
    let rounds = (0..ROUNDS).map(|_| project.run_counted("unchanged", MANY)).collect::<Done<Vec<_>>>()?;
    say("\nunchanged: 1,000,000 profiles that the destination has already");
    say(&format!("  segport run    {}  0 requests", median(&rounds).shown(MANY)));
    Ok(())
}

/// How a first run, an unchanged one and one with 1 % of the rows changed grow from 1,000,000 to 10,000,000 profiles. The stand-in
/// keeps none of them, but for one first run that shows what it costs if it does.
fn size() -> Done {
    const SIZES: [u64; 2] = [MANY, 10 * MANY];
    examples()?;
    let dir = tempdir()?;
    for rows in SIZES {
        profiles(&dir.path().join(format!("{rows}.csv")), rows)?;
        changed_profiles(&dir.path().join(format!("{rows}-changed.csv")), rows, 100)?;
    }
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (rows, rounds) in SIZES.into_iter().zip(&mut rounds) {
            rounds.push(of_size(dir.path(), rows)?);
        }
    }
    say("\nsize: 1,000,000 and 10,000,000 profiles, no rate limit");
    let [smaller, larger] = rounds.each_ref().map(|rounds| medians(rounds));
    for ((name, smaller), (_, larger)) in smaller.into_iter().zip(larger) {
        say(&format!("  {name:15}  1,000,000 {}", smaller.shown(MANY)));
        let growth = larger.wall / smaller.wall;
        say(&format!("  {name:15} 10,000,000 {}  {growth:.1} times as long", larger.shown(10 * MANY)));
    }
    Ok(())
}

/// What each thing that is measured took.
type Round = [(&'static str, Figures); 5];

fn medians(rounds: &[Round]) -> Vec<(&'static str, Figures)> {
    let names = rounds.first().into_iter().flatten().map(|(name, _)| *name);
    let of = |name| {
        let rounds = rounds.iter().flatten().filter(|(other, _)| *other == name);
        median(&rounds.map(|(_, figures)| *figures).collect::<Vec<_>>())
    };
    names.map(|name| (name, of(name))).collect()
}

/// One round of [`size`].
fn of_size(dir: &Path, rows: u64) -> Done<Round> {
    let (data, newer) = (dir.join(format!("{rows}.csv")), dir.join(format!("{rows}-changed.csv")));
    let projects = tempfile::tempdir_in(dir).map_err(problem)?;
    let settings = "requests_per_second = 0\nlist_membership = \"bulk\"";
    let project = |name, stand_in: &Sandbox| Project::write(&projects.path().join(name), stand_in, &data, settings);
    let forgetful = Sandbox::forgetful()?;
    let yardstick = ["pipeline", &forgetful.address, &data.to_string_lossy()];
    let pipeline = measure(&example("yardstick"), &yardstick, None)?;
    let export = project("forgotten", &forgetful)?;
    let first = export.run_counted("added", rows)?;
    let unchanged = export.run_counted("unchanged", rows)?;
    export.replace(&data, &newer)?;
    let changed = export.run_counted("changed", rows / 100)?;
    let keeping = Sandbox::start(0)?;
    let kept = project("kept", &keeping)?.run_counted("added", rows)?;
    Ok([
        ("bare pipeline", pipeline),
        ("first run", first),
        ("nothing changed", unchanged),
        ("1 % changed", changed),
        ("first run, kept", kept),
    ])
}

/// What a run of wide rows takes in memory, which a batch of a hundred of them would fill.
fn wide() -> Done {
    let dir = tempdir()?;
    say("\nwide: profiles with one long value each, no rate limit");
    for (rows, length) in [(400_000, 1_000), (4_000, 100_000), (440, 900_000)] {
        let data = dir.path().join("profiles.csv");
        wide_profiles(&data, rows, length)?;
        let sandbox = Sandbox::start(0)?;
        let project = Project::write(&dir.path().join(length.to_string()), &sandbox, &data, "requests_per_second = 0")?;
        let figures = project.run_counted("added", rows)?;
        say(&format!("  {rows:>7} of {length:>7} bytes {}", figures.shown(rows)));
    }
    Ok(())
}

/// How fast the system takes a file into memory that has been free for a while, and into memory that was in use just before:
/// a virtual machine may give free memory back to its host, and what waits on disk pays for that.
fn memory() -> Done {
    const CHUNKS: u32 = 2000;
    let dir = tempdir()?;
    let chunk = vec![1; 1 << 20];
    say("\nmemory: a file of 2,000 MiB, written and not brought to the disk");
    std::thread::sleep(Duration::from_secs(30));
    for state in ["free for a while", "in use just before"] {
        let path = dir.path().join("file");
        let start = Instant::now();
        let mut file = File::create(&path).map_err(problem)?;
        for _ in 0..CHUNKS {
            file.write_all(&chunk).map_err(problem)?;
        }
        let taken = f64::from(CHUNKS) / 1024.0 / start.elapsed().as_secs_f64();
        drop(file);
        fs::remove_file(&path).map_err(problem)?;
        say(&format!("  into memory that was {state:18} {taken:.1} GiB a second"));
    }
    Ok(())
}

/// (d) One plugin call beside a direct call.
fn call() -> Done {
    examples()?;
    say("\ncall: a call through the plugin boundary beside a direct call");
    let mut example = Command::new(example("call_cost"));
    example.stdout(Stdio::piped());
    output(example)?.lines().for_each(|line| say(&format!("  {line}")));
    Ok(())
}

/// (e) `check` of a project with 200 exports, and `--help`.
fn check() -> Done {
    let dir = tempdir()?;
    let data = dir.path().join("profiles.csv");
    profiles(&data, 1_000)?;
    let sandbox = Sandbox::start(0)?;
    let project = Project::write(&dir.path().join("project"), &sandbox, &data, "")?;
    let export = project.dir.join("exports/bench.toml");
    for copy in 1..200 {
        fs::copy(&export, project.dir.join(format!("exports/bench-{copy}.toml"))).map_err(problem)?;
    }
    let binary = target_dir().join("release/segport");
    let empty = measure(Path::new("true"), &[], None)?;
    let rounds = |arguments: &[&str]| {
        (0..2 * ROUNDS).map(|_| measure(&binary, arguments, Some(&project.dir))).collect::<Done<Vec<_>>>()
    };
    let (checks, helps) = (median(&rounds(&["check"])?), median(&rounds(&["--help"])?));
    say("\ncheck: a project with 200 exports");
    say(&format!("  segport check  {:.0} ms, {} MB", checks.wall * 1e3, checks.peak_kb / 1024));
    say(&format!("  segport --help {:.1} ms ({:.1} ms for `true`)", helps.wall * 1e3, empty.wall * 1e3));
    Ok(())
}
