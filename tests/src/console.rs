//! What a README tells its readers to type, and a place to type it in.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Ended, Running, Segport};

/// The address that a new project expects its stand-in at.
const USUAL: &str = "http://127.0.0.1:8025/v1";

/// One line that a reader is to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Go to another directory.
    Cd(String),
    /// Call `segport`.
    Segport {
        /// The line as it stands there, without prompt and remark.
        line: String,
        /// The exit code, from a remark such as `# exit code 3`; 0 without one.
        exit: i32,
    },
}

/// The steps of the fenced blocks marked `console`: lines that begin with `$ segport ` or `$ cd `. A backslash at the end goes
/// on in the next line.
pub fn steps(markdown: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut fence: Option<(String, bool)> = None;
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let text = line.trim();
        match &fence {
            None => fence = opening(text),
            Some((mark, _)) if text.starts_with(mark.as_str()) && text.trim_start_matches(&mark[..1]).is_empty() => {
                fence = None
            }
            Some((_, true)) => {
                let Some(typed) = text.strip_prefix("$ ") else { continue };
                let mut typed = typed.to_owned();
                while typed.ends_with('\\') {
                    typed.pop();
                    let rest = lines.next().unwrap_or_default().trim();
                    typed = format!("{} {}", typed.trim_end(), rest.strip_prefix('>').unwrap_or(rest).trim());
                }
                steps.extend(step(&typed));
            }
            Some((_, false)) => {}
        }
    }
    steps
}

/// The mark of a fence, and whether its block is a console.
fn opening(line: &str) -> Option<(String, bool)> {
    let letter = line.chars().next().filter(|letter| matches!(letter, '`' | '~'))?;
    let mark: String = line.chars().take_while(|other| *other == letter).collect();
    let info = line[mark.len()..].split_whitespace().next().unwrap_or_default();
    (mark.len() >= 3).then(|| (mark, info == "console"))
}

fn step(typed: &str) -> Option<Step> {
    let (line, remark) = without_remark(typed);
    if let Some(dir) = line.strip_prefix("cd ") {
        return Some(Step::Cd(dir.trim().to_owned()));
    }
    line.starts_with("segport ").then(|| Step::Segport {
        line: line.to_owned(),
        exit: remark.split_once("exit code ").map_or(0, |(_, code)| {
            let digits: String = code.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_else(|_| panic!("`{typed}` names no exit code"))
        }),
    })
}

/// Splits at a `#` that begins a word outside quotes.
fn without_remark(typed: &str) -> (&str, &str) {
    let mut quote = None;
    let mut before = ' ';
    for (at, letter) in typed.char_indices() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '#') if before.is_whitespace() => return (typed[..at].trim(), &typed[at..]),
            _ => {}
        }
        before = letter;
    }
    (typed.trim(), "")
}

/// A reader who does what a README says, in an empty directory.
#[derive(Debug)]
pub struct Play {
    root: TempDir,
    home: TempDir,
    dir: PathBuf,
    /// The stand-in, which runs until the end, and its address.
    sandbox: Option<(Running, String)>,
}

impl Default for Play {
    fn default() -> Self {
        let (root, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        Self { dir: root.path().to_owned(), root, home, sandbox: None }
    }
}

impl Play {
    /// Does a step.
    ///
    /// A stand-in is started on a free port and goes on in the background, whether or not the line ends in `&`; projects are
    /// led to it. Where a text has one running in another terminal, which is no step, `segport connect` starts it. `RUN`, or what looks like the id of a run, stands for the newest run.
    ///
    /// # Panics
    /// If it does not end as it should.
    pub fn perform(&mut self, step: &Step) {
        match step {
            Step::Cd(dir) => {
                self.dir = self.dir.join(dir);
                assert!(self.dir.is_dir(), "`cd {dir}`: there is no such directory");
                assert!(self.dir.starts_with(self.root.path()), "`cd {dir}` leaves the place");
            }
            Step::Segport { line, .. } if line.starts_with("segport sandbox ") && !line.contains("--help") => {
                self.start_sandbox(line.trim_end_matches(['&', ' ']));
            }
            Step::Segport { line, exit } => {
                self.lead_to_sandbox(line);
                let ended = self.call(&self.with_run(line));
                assert_eq!(ended.code(), *exit, "$ {line}\n{ended}");
            }
        }
    }

    fn call(&self, line: &str) -> Ended {
        Segport::shell(&self.dir, self.home.path(), line).env("AUTOPILOT_API_KEY", crate::KEY).run()
    }

    fn start_sandbox(&mut self, line: &str) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        match words.iter().position(|word| *word == "--listen") {
            Some(at) => words[at + 1] = "127.0.0.1:0",
            None => words.extend(["--listen", "127.0.0.1:0"]),
        }
        let mut sandbox = Segport::shell(&self.dir, self.home.path(), &format!("exec {}", words.join(" "))).start();
        let url = sandbox.line().trim().to_owned();
        self.sandbox = Some((sandbox, url));
    }

    fn lead_to_sandbox(&mut self, line: &str) {
        if line.starts_with("segport connect ") && self.sandbox.is_none() {
            self.start_sandbox("segport sandbox autopilot");
        }
        let Some((_, url)) = &self.sandbox else { return };
        for connection in files(&self.dir.join("connections")) {
            let text = fs::read_to_string(&connection).unwrap();
            fs::write(&connection, text.replace(USUAL, url)).unwrap();
        }
    }

    fn with_run(&self, line: &str) -> String {
        let mut words: Vec<&str> = line.split(' ').collect();
        if !matches!(words.get(1), Some(&"rows" | &"runs" | &"retry")) || !words.iter().any(|word| is_run(word)) {
            return line.to_owned();
        }
        let newest = self.call("segport runs --limit 1 --output json").report();
        words.iter_mut().filter(|word| is_run(word)).for_each(|word| *word = newest.run_id());
        words.join(" ")
    }
}

fn is_run(word: &str) -> bool {
    let id =
        word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') && word.starts_with("01") && word.len() >= 6;
    id || matches!(word, "RUN" | "<RUN>" | "$RUN")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(markdown: &str, expected: &[(&str, i32)]) {
        let found: Vec<(String, i32)> = steps(markdown)
            .into_iter()
            .map(|step| match step {
                Step::Cd(dir) => (format!("cd {dir}"), 0),
                Step::Segport { line, exit } => (line, exit),
            })
            .collect();
        let expected: Vec<(String, i32)> = expected.iter().map(|(line, exit)| (line.to_string(), *exit)).collect();
        assert_eq!(found, expected, "{markdown}");
    }

    #[test]
    fn only_typed_lines_of_consoles_are_steps() {
        check("", &[]);
        check("$ segport run", &[]);
        check("```\n$ segport run\n```", &[]);
        check(
            "```sh\n$ segport run\n```\n```console\n$ segport check\nproject ok\n```\n$ segport plan",
            &[("segport check", 0)],
        );
        check("```console\nsegport run\n# segport run\n$ cargo xtask demo\n$ segport run\n```", &[("segport run", 0)]);
        check("```console title=x\n$ segport init shop\n$ cd shop\n```", &[("segport init shop", 0), ("cd shop", 0)]);
        check("- in a list:\n\n  ```console\n  $ segport plan\n  ```\n", &[("segport plan", 0)]);
    }

    #[test]
    fn fences_end_where_markdown_says() {
        check("````console\n```\n$ segport run\n````\n$ segport plan", &[("segport run", 0)]);
        check("~~~console\n$ segport run\n```\n$ segport plan\n~~~", &[("segport run", 0), ("segport plan", 0)]);
        check("```text\n```console\n```\n```console\n$ segport run\n```", &[("segport run", 0)]);
        check("```console\n$ segport run", &[("segport run", 0)]);
    }

    #[test]
    fn remarks_name_exit_codes() {
        check(
            "```console\n$ segport plan --detailed-exitcode   # exit code 3: changes\n```",
            &[("segport plan --detailed-exitcode", 3)],
        );
        check("```console\n$ segport run # sends it\n```", &[("segport run", 0)]);
        check(
            "```console\n$ segport connect a --by 'x # exit code 4' \"#\" a#b\n```",
            &[("segport connect a --by 'x # exit code 4' \"#\" a#b", 0)],
        );
    }

    #[test]
    fn long_lines_go_on() {
        check(
            "```console\n$ segport run \\\n    --full \\\n>   --all # now\nout\n```",
            &[("segport run --full --all", 0)],
        );
        check("```console\n$ segport run \\", &[("segport run", 0)]);
    }

    #[test]
    fn runs_are_told_from_words() {
        for run in ["RUN", "<RUN>", "01935b1c", "01935b1c-6d2a-7abc"] {
            assert!(is_run(run), "{run}");
        }
        for word in ["rows", "--limit", "20", "0102", "refused", "deferred"] {
            assert!(!is_run(word), "{word}");
        }
    }
}
