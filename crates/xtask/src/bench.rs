//! `cargo xtask bench`: whole processes measured beside named yardsticks in the same run; figures are ratios.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;

use crate::compare;
use crate::demo::release;
use crate::proc::{self, Done, cargo, output, say, target_dir};

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
    let on_demand = ["paced-single", "size", "compare", "memory"];
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

/// (a) First run of 1,000,000 profiles, beside a bare client, a bare pipeline and one of the usual libraries.
fn engine() -> Done {
    examples()?;
    let dir = tempdir()?;
    let data = dir.path().join("profiles.csv");
    profiles(&data, MANY)?;
    let (mut client, mut pipeline, mut usual, mut export) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let address = |sandbox: &Sandbox| sandbox.address.clone();
        let calls = (MANY / 100).to_string();
        let sandbox = Sandbox::start(0)?;
        client.push(measure(&example("yardstick"), &["client", &address(&sandbox), &calls], None)?);
        let sandbox = Sandbox::start(0)?;
        pipeline.push(measure(
            &example("yardstick"),
            &["pipeline", &address(&sandbox), &data.to_string_lossy()],
            None,
        )?);
        let sandbox = Sandbox::start(0)?;
        usual.push(measure(&example("usual"), &[&address(&sandbox), &data.to_string_lossy()], None)?);
        let sandbox = Sandbox::start(0)?;
        let project =
            Project::write(&dir.path().join(format!("project-{round}")), &sandbox, &data, "requests_per_second = 0")?;
        export.push(project.run_counted("added", MANY)?);
    }
    say("\nengine: 1,000,000 profiles of 12 columns from CSV to the sandbox, no rate limit");
    let (bare, libraries) = (median(&pipeline).wall, median(&usual).wall);
    let all =
        [("bare client", &client), ("bare pipeline", &pipeline), ("usual pipeline", &usual), ("segport run", &export)];
    for (name, rounds) in all {
        let figures = median(rounds);
        let [of_bare, of_usual] = [bare, libraries].map(|wall| wall / figures.wall);
        let shown = figures.shown(MANY);
        say(&format!("  {name:14} {shown}  {of_bare:.2} of the bare pipeline, {of_usual:.2} of the usual one"));
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

/// How a first run, an unchanged one and one with 1 % of the rows changed grow from 1,000,000 to 10,000,000 profiles.
fn size() -> Done {
    examples()?;
    let dir = tempdir()?;
    say("\nsize: 1,000,000 and 10,000,000 profiles, no rate limit");
    let mut smaller: Option<[Figures; 4]> = None;
    for rows in [MANY, 10 * MANY] {
        let data = dir.path().join("profiles.csv");
        profiles(&data, rows)?;
        // The stand-in grows too, and shares the processor.
        let pipeline = {
            let sandbox = Sandbox::start(0)?;
            measure(&example("yardstick"), &["pipeline", &sandbox.address, &data.to_string_lossy()], None)?
        };
        let sandbox = Sandbox::start(0)?;
        let project = Project::write(&dir.path().join(rows.to_string()), &sandbox, &data, "requests_per_second = 0")?;
        let first = project.run_counted("added", rows)?;
        let unchanged = project.run_counted("unchanged", rows)?;
        changed_profiles(&data, rows, 100)?;
        project.replace(&data)?;
        let changed = project.run_counted("changed", rows / 100)?;
        for (position, (name, figures)) in
            [("bare pipeline", pipeline), ("first", first), ("unchanged", unchanged), ("1 % changed", changed)]
                .into_iter()
                .enumerate()
        {
            let growth = smaller.as_ref().and_then(|smaller| smaller.get(position));
            let growth = growth.map_or_else(String::new, |of| format!("  {:.1} times as long", figures.wall / of.wall));
            say(&format!("  {rows:>10} {name:13} {}{growth}", figures.shown(rows)));
        }
        smaller = Some([pipeline, first, unchanged, changed]);
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

/// What one process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) wall: f64,
    cpu: f64,
    peak_kb: u64,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^52")]
    pub(crate) fn shown(self, rows: u64) -> String {
        let rate = rows as f64 / self.wall;
        format!("{rate:>9.0} rows/s {:>7.2} s {:>6.2} CPU s {:>5} MB", self.wall, self.cpu, self.peak_kb / 1024)
    }
}

/// The round with the median wall time.
pub(crate) fn median(rounds: &[Figures]) -> Figures {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(|left, right| left.wall.total_cmp(&right.wall));
    sorted.get(sorted.len() / 2).copied().unwrap_or(Figures { wall: f64::NAN, cpu: f64::NAN, peak_kb: 0 })
}

/// Runs a program in a process of its own that does nothing else, so that the system's account of it is exact.
pub(crate) fn measure(program: &Path, arguments: &[&str], dir: Option<&Path>) -> Done<Figures> {
    // What others have written, such as the build, would else be brought to the disk meanwhile.
    Command::new("sync").status().map_err(problem)?;
    let own = std::env::current_exe().map_err(problem)?;
    let mut command = Command::new(own);
    command.args(["bench", "measure"]).arg(program).args(arguments);
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    let text = output(command)?;
    let numbers: Vec<f64> =
        text.lines().last().unwrap_or_default().split(' ').filter_map(|number| number.parse().ok()).collect();
    let [wall, cpu, peak] = numbers.as_slice() else { return Err(format!("no figures of {}", program.display())) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of kilobytes")]
    Ok(Figures { wall: *wall, cpu: *cpu, peak_kb: *peak as u64 })
}

/// The other side of [`measure`]: runs a command and prints wall seconds, processor seconds and peak kilobytes.
fn measure_here(command: &[&str]) -> Done {
    let [program, arguments @ ..] = command else { return Err("nothing to measure".to_owned()) };
    let start = Instant::now();
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status().map_err(problem)?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("`{}` failed ({status})", command.join(" ")));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(problem)?;
    #[expect(clippy::cast_precision_loss, reason = "times of minutes")]
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    writeln!(std::io::stdout(), "{wall} {cpu} {}", usage.max_rss()).map_err(problem)
}

/// A stand-in Autopilot in a process of its own.
pub(crate) struct Sandbox {
    process: Child,
    url: String,
    address: String,
}

impl Sandbox {
    pub(crate) fn start(rate: u32) -> Done<Self> {
        Self::with(&["--rate", &rate.to_string()])
    }

    /// One without a limit to its rate, in which these things go wrong.
    fn faulty(faults: &[&str]) -> Done<Self> {
        let faults = faults.iter().flat_map(|fault| ["--fault", fault]);
        Self::with(&["--rate", "0"].into_iter().chain(faults).collect::<Vec<_>>())
    }

    fn with(options: &[&str]) -> Done<Self> {
        let mut process = Command::new(target_dir().join("release/segport"))
            .args(["sandbox", "autopilot", "--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(problem)?;
        let mut url = String::new();
        let stdout = process.stdout.take().ok_or("the sandbox has no output")?;
        BufReader::new(stdout).read_line(&mut url).map_err(problem)?;
        let url = url.trim().to_owned();
        let address = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
        Ok(Self { process, url, address })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It may be gone already; either way nothing is left of it.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A project with one export.
pub(crate) struct Project {
    dir: PathBuf,
}

impl Project {
    pub(crate) fn write(dir: &Path, sandbox: &Sandbox, data: &Path, settings: &str) -> Done<Self> {
        let folder = data.parent().ok_or("the data has no folder")?;
        let file = data.file_name().ok_or("the data has no name")?.to_string_lossy();
        let plugins = target_dir().join("release");
        let files = [
            (
                "segport.toml",
                format!(
                    "[project]\nname = \"bench\"\n[plugins]\npath = [{:?}]\n[egress]\nallow_private = true\n",
                    plugins
                ),
            ),
            ("sources/csv.toml", "plugin = \"files\"\n[settings]\nroot = \"data\"\n".to_owned()),
            ("segments/everybody.toml", format!("source = \"csv\"\nkey = \"customer_id\"\n[read]\npath = {file:?}\n")),
            (
                "connections/autopilot.toml",
                format!(
                    "plugin = \"autopilot\"\ndisplay_name = \"Sandbox\"\n[consent]\naccepted_by = \"bench\"\n\
                     accepted_at = 2026-01-01T00:00:00Z\n[settings]\napi_key = {{ file = \"key\" }}\nbase_url = {:?}\n\
                     rows_per_export = 10000000\n{settings}\n",
                    sandbox.url
                ),
            ),
            ("exports/bench.toml", EXPORT.to_owned()),
            ("key", "0123456789abcdef0123456789abcdef\n".to_owned()),
        ];
        for (path, text) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(problem)?;
            fs::write(path, text).map_err(problem)?;
        }
        fs::create_dir_all(dir.join("data")).map_err(problem)?;
        fs::hard_link(folder.join(&*file), dir.join("data").join(&*file)).map_err(problem)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Puts another file in the place of the data.
    fn replace(&self, data: &Path) -> Done {
        let file = data.file_name().ok_or("the data has no name")?;
        let place = self.dir.join("data").join(file);
        fs::remove_file(&place).map_err(problem)?;
        fs::hard_link(data, place).map_err(problem)
    }

    /// Runs the export and makes sure that it did what is measured.
    pub(crate) fn run_counted(&self, outcome: &str, rows: u64) -> Done<Figures> {
        let binary = target_dir().join("release/segport");
        let figures = measure(&binary, &["-q", "run", "bench"], Some(&self.dir))?;
        let mut runs = Command::new(&binary);
        runs.args(["--output", "json", "runs"]).current_dir(&self.dir);
        let text = output(runs)?;
        let report: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).map_err(problem)?;
        let counted = report.pointer(&format!("/rows/{outcome}")).and_then(Value::as_u64);
        let requests = report.pointer("/calls/requests").and_then(Value::as_u64);
        let silent = outcome != "unchanged" || requests == Some(0);
        if counted == Some(rows) && silent {
            Ok(figures)
        } else {
            Err(format!("the run did not count {rows} rows {outcome}: {report}"))
        }
    }
}

const EXPORT: &str = r#"connection = "autopilot"
segments = ["everybody"]
[fields]
email = "email"
first_name = "first_name"
last_name = "last_name"
company = "company"
phone = "phone"
mailing_street = "street"
mailing_city = "city"
mailing_postal_code = "postal_code"
mailing_country = "country"
lead_source = "source"
industry = "industry"
"#;

/// Writes a file of 12 columns and about 150 bytes a row.
pub(crate) fn profiles(path: &Path, count: u64) -> Done {
    changed_profiles(path, count, u64::MAX)
}

/// The same, where every row whose number is a multiple of `every` works elsewhere.
fn changed_profiles(path: &Path, count: u64, every: u64) -> Done {
    let first = ["Ada", "Zoë", "Søren", "Мария", "José", "Anne-Marie", "Li", "Fatima"];
    let last = ["Lovelace", "O'Neil", "Ångström", "Иванова", "García", "van der Berg", "Wang", "Haddad"];
    let city = ["Oslo", "London", "São Paulo", "Praha", "Nairobi", "Kyoto", "Lyon"];
    let pick = |words: &[&'static str], row: u64| {
        words.get(usize::try_from(row).unwrap_or(0) % words.len()).copied().unwrap_or_default()
    };
    // A file of its own each time: an earlier one may have other names that must keep what it holds.
    fs::remove_file(path).ok();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(problem)?);
    writeln!(
        file,
        "customer_id,email,first_name,last_name,company,phone,street,city,postal_code,country,source,industry"
    )
    .map_err(problem)?;
    for row in 0..count {
        writeln!(
            file,
            "c{row:08},person.{row}@customers.example,{},{},\"Company {}, Ltd\",+47 22 {:06},{} High Street,{},{:05},Norway,web,retail",
            pick(&first, row),
            pick(&last, row / 3),
            if row % every == 0 && every != u64::MAX { row % 977 + 1 } else { row % 977 },
            row % 1_000_000,
            row % 300,
            pick(&city, row / 7),
            row % 99_999,
        )
        .map_err(problem)?;
    }
    // What is not on disk yet would be written while a run waits for the same disk.
    let file = file.into_inner().map_err(|error| problem(error.into_error()))?;
    file.sync_all().map_err(problem)
}

/// Builds what is measured beside the program.
fn examples() -> Done {
    proc::run(cargo(&["build", "--release", "--locked", "-p", "segport-sandbox", "-p", "segport-host", "--examples"]))
}

fn example(name: &str) -> PathBuf {
    target_dir().join("release/examples").join(name)
}

pub(crate) fn tempdir() -> Done<tempfile::TempDir> {
    // In the target folder: the system's temporary folder is often memory, and a ledger belongs on a disk.
    let parent = target_dir().join("bench");
    fs::create_dir_all(&parent).map_err(problem)?;
    tempfile::tempdir_in(parent).map_err(problem)
}

pub(crate) fn problem(error: impl std::fmt::Display) -> String {
    error.to_string()
}
