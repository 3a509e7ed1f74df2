//! Running the binary.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{Report, installation};

/// Far more than any command needs: a test that gets here has found a hang.
const PATIENCE: Duration = Duration::from_secs(150);

/// A call of the binary that was not made yet. Its environment is empty but for `PATH` and a home of its own.
#[derive(Debug)]
pub struct Segport(Command);

impl Segport {
    /// `segport` in the directory `dir`.
    pub fn new(dir: &Path, home: &Path) -> Self {
        Self::of(&installation().join("segport"), dir, home)
    }

    /// Another copy of `segport`.
    pub fn of(binary: &Path, dir: &Path, home: &Path) -> Self {
        let mut command = Command::new(binary);
        command.current_dir(dir).env_clear().env("HOME", home).stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Self(command)
    }

    /// The same through a shell, which finds `segport` in its path.
    pub fn shell(dir: &Path, home: &Path, line: &str) -> Self {
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["-c", line]).current_dir(dir).env_clear().env("HOME", home).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", installation().display()));
        Self(command)
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// With further arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.0.args(arguments);
        self
    }

    /// With a file as its standard input.
    #[must_use]
    pub fn reading(mut self, file: &Path) -> Self {
        self.0.stdin(std::fs::File::open(file).unwrap());
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let mut child =
            self.0.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary can be started");
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
        Running { child: Some(child), id, stdout, stderr }
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Ended {
        self.start().wait()
    }
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
    id: Pid,
    stdout: Lines,
    stderr: Lines,
}

impl Running {
    /// Waits for the next line on standard output.
    pub fn line(&mut self) -> String {
        self.stdout.next().expect("the process prints another line")
    }

    /// Waits for a line on standard error that contains `text`.
    pub fn says(&mut self, text: &str) {
        while let Some(line) = self.stderr.next() {
            if line.contains(text) {
                return;
            }
        }
        panic!("the process ended without saying `{text}`; it said:\n{}", self.stderr.all);
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        kill(self.id, Signal::SIGINT).unwrap();
    }

    /// What a service manager sends.
    pub fn terminate(&self) {
        kill(self.id, Signal::SIGTERM).unwrap();
    }

    /// Stops it where it is, as a machine does that goes to sleep.
    pub fn stop(&self) {
        kill(self.id, Signal::SIGSTOP).unwrap();
    }

    /// Lets it go on after [`Running::stop`].
    pub fn resume(&self) {
        kill(self.id, Signal::SIGCONT).unwrap();
    }

    /// Waits until it has printed everything, for no longer than `time`; says whether it has.
    pub fn is_done_within(&mut self, time: Duration) -> bool {
        self.stdout.drain_until(Instant::now() + time)
    }

    /// Waits until it has printed everything, which is right before its end.
    pub fn is_done(&mut self) {
        self.stdout.drain();
    }

    /// What kills it without warning, from any thread.
    pub fn killer(&self) -> impl FnOnce() + Send + use<> {
        let id = self.id;
        move || kill(id, Signal::SIGKILL).unwrap()
    }

    /// From now on no file that it writes may grow beyond the size of `file`, as if the disk were full. It must have been
    /// started so that it ignores the signal that comes with the error.
    pub fn fill_disk_at(&self, file: &Path) {
        let size = std::fs::metadata(file).unwrap().len();
        let pid = self.id.to_string();
        let limit = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={size}")]).status().unwrap();
        assert!(limit.success(), "prlimit: {limit}");
    }

    /// Empties the files without a name that it has in this directory, as a damaged disk might; says how many there were.
    pub fn lose_nameless_files(&self, directory: &Path) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.id)).unwrap().map(|file| file.unwrap().path());
        let is_lost = |file: &PathBuf| {
            std::fs::read_link(file)
                .is_ok_and(|place| place.starts_with(directory) && place.to_string_lossy().ends_with(" (deleted)"))
        };
        let lost: Vec<PathBuf> = files.filter(is_lost).collect();
        lost.iter().for_each(|file| drop(std::fs::File::create(file).unwrap()));
        lost.len()
    }

    /// Kills it without warning and waits until it is gone.
    pub fn kill(mut self) -> Ended {
        kill(self.id, Signal::SIGKILL).unwrap();
        self.end()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        self.end()
    }

    fn end(&mut self) -> Ended {
        let mut child = self.child.take().unwrap();
        let (sender, exited) = mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait()));
        let status = exited.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            kill(self.id, Signal::SIGKILL).unwrap();
            self.stderr.drain();
            panic!("the process does not end; it said:\n{}", self.stderr.all)
        });
        self.stdout.drain();
        self.stderr.drain();
        let (stdout, stderr) = (std::mem::take(&mut self.stdout.all), std::mem::take(&mut self.stderr.all));
        Ended { status: status.unwrap(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The lines of a stream as they come.
#[derive(Debug)]
struct Lines {
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    all: String,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8(std::mem::take(&mut line)).expect("output is UTF-8");
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self { lines, reader: Some(reader), all: String::new() }
    }

    fn next(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.all.push_str(&line);
                Some(line)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the process is silent; it said:\n{}", self.all),
        }
    }

    /// Takes what comes until the stream is closed, and says whether it was before the deadline.
    fn drain_until(&mut self, deadline: Instant) -> bool {
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.all.push_str(&line),
                Err(error) => return error == mpsc::RecvTimeoutError::Disconnected,
            }
        }
    }

    /// Takes what is left until the stream is closed.
    fn drain(&mut self) {
        while self.next().is_some() {}
        if let Some(reader) = self.reader.take() {
            reader.join().expect("output is UTF-8");
        }
    }
}

/// A process that ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    status: ExitStatus,
    /// Its results.
    pub stdout: String,
    /// Everything else it said.
    pub stderr: String,
}

impl Ended {
    /// Its exit code.
    ///
    /// # Panics
    /// If a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("a signal ended the process\n{self}"))
    }

    /// Whether it ended without warning: by SIGKILL, or by itself at a failpoint.
    pub fn was_killed(&self) -> bool {
        let died = [Signal::SIGKILL, Signal::SIGABRT].map(|signal| Some(signal as i32));
        died.contains(&self.status.signal())
    }

    /// Checks its exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// Checks that standard error contains `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "nothing says `{text}`\n{self}");
        self
    }

    /// Checks that standard output contains `text`.
    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "nothing prints `{text}`\n{self}");
        self
    }

    /// The objects of `--output json`.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        let object =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}\n{self}"));
        self.stdout.lines().map(object).collect()
    }

    /// The reports of `--output json`, each of which keeps to its schema and balances.
    #[track_caller]
    pub fn reports(&self) -> Vec<Report> {
        self.objects().into_iter().map(Report::new).collect()
    }

    /// The one report.
    #[track_caller]
    pub fn report(&self) -> Report {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "{self}");
        reports.remove(0)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}
