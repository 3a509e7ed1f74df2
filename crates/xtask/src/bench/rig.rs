//! What benchmarks are made of: processes that are measured, a stand-in, a project.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};
use serde_json::Value;

use crate::proc::{self, Done, cargo, output, target_dir};

/// What one process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) wall: f64,
    cpu: f64,
    pub(crate) peak_kb: u64,
}

impl Figures {
    /// The same, and then so many seconds of something else.
    pub(crate) fn and_then(self, seconds: f64) -> Self {
        Self { wall: self.wall + seconds, ..self }
    }

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
pub(crate) fn measure_here(command: &[&str]) -> Done {
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
    pub(crate) address: String,
}

impl Sandbox {
    pub(crate) fn start(rate: u32) -> Done<Self> {
        Self::with(&["--rate", &rate.to_string()])
    }

    /// One without a limit to its rate, in which these things go wrong.
    pub(crate) fn faulty(faults: &[&str]) -> Done<Self> {
        let faults = faults.iter().flat_map(|fault| ["--fault", fault]);
        Self::with(&["--rate", "0"].into_iter().chain(faults).collect::<Vec<_>>())
    }

    /// One that acknowledges every contact and keeps none.
    pub(crate) fn forgetful() -> Done<Self> {
        Self::spawn(&mut Command::new(example("acknowledge")))
    }

    /// How many seconds a processor has spent on it so far.
    pub(crate) fn processor_time(&self) -> Done<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).map_err(problem)?;
        // The name of the program, in parentheses, may hold blanks; the two times are the 14th and 15th field (proc(5)).
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        let a_second = sysconf(SysconfVar::CLK_TCK).map_err(problem)?.ok_or("the system has no clock ticks")?;
        #[expect(clippy::cast_precision_loss, reason = "usually 100")]
        Ok(ticks / a_second as f64)
    }

    fn with(options: &[&str]) -> Done<Self> {
        let mut command = Command::new(target_dir().join("release/segport"));
        Self::spawn(command.args(["sandbox", "autopilot", "--listen", "127.0.0.1:0"]).args(options))
    }

    fn spawn(command: &mut Command) -> Done<Self> {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(problem)?;
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
    pub(crate) dir: PathBuf,
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
    pub(crate) fn replace(&self, data: &Path, other: &Path) -> Done {
        let file = data.file_name().ok_or("the data has no name")?;
        let place = self.dir.join("data").join(file);
        fs::remove_file(&place).map_err(problem)?;
        fs::hard_link(other, place).map_err(problem)
    }

    /// Plans the export.
    pub(crate) fn plan(&self) -> Done<Figures> {
        measure(&target_dir().join("release/segport"), &["-q", "plan", "bench"], Some(&self.dir))
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

/// Builds what is measured beside the program.
pub(crate) fn examples() -> Done {
    proc::run(cargo(&["build", "--release", "--locked", "-p", "segport-sandbox", "-p", "segport-host", "--examples"]))
}

pub(crate) fn example(name: &str) -> PathBuf {
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
