//! A project and the destination it exports to.

use std::fs;
use std::path::{Path, PathBuf};

use segport_sandbox::{Fault, Options, Sandbox};
use tempfile::TempDir;

use crate::people::csv;
use crate::{Ended, Gate, Person, Report, Segport};

/// The API key that every scene uses; it must never be seen anywhere.
pub const KEY: &str = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";

const EXPORT: &str = r#"connection = "autopilot"
segments = ["newsletter"]

[fields]
email = "email_address"
first_name = "given_name"
company = "employer"
"#;

const CONSENT: &str = r#"
[consent]
accepted_by = "anna@example.org"
accepted_at = 2026-11-23T10:00:00Z
"#;

/// A project with a source, a segment `newsletter`, a connection `autopilot` and an export `newsletter`, and a stand-in
/// Autopilot in this process.
#[derive(Debug)]
pub struct Scene {
    /// The stand-in.
    pub sandbox: Sandbox,
    base_url: String,
    project: TempDir,
    home: TempDir,
}

impl Scene {
    /// A scene whose newsletter has these people.
    pub fn new(newsletter: &[Person]) -> Self {
        Self::with(Options::default(), newsletter)
    }

    /// A scene whose stand-in has these faults.
    pub fn faulty(faults: &[&str], newsletter: &[Person]) -> Self {
        let scene = Self::new(newsletter);
        scene.faults(faults);
        scene
    }

    /// A scene with a stand-in that behaves like this.
    pub fn with(options: Options, newsletter: &[Person]) -> Self {
        let sandbox = Sandbox::start(options).unwrap();
        let (project, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let scene = Self { base_url: sandbox.base_url(), sandbox, project, home };
        scene.write("segport.toml", "[project]\nname = \"tests\"\n\n[egress]\nallow_private = true\n");
        scene.write("sources/crm.toml", "plugin = \"files\"\n\n[settings]\nroot = \"data\"\n");
        scene.connection("");
        scene.segment("newsletter", newsletter);
        scene.export("");
        scene
    }

    /// The project's directory.
    pub fn dir(&self) -> &Path {
        self.project.path()
    }

    /// A path in the project.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir().join(path)
    }

    /// Writes a file of the project, and its directory.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads a file of the project.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Replaces a piece of a file.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no `{from}`");
        self.write(path, text.replacen(from, to, 1));
    }

    /// Sets who is in a segment, and makes it if there is none.
    pub fn segment(&self, id: &str, people: &[Person]) {
        self.write(&format!("data/{id}.csv"), csv(people));
        let path = format!("segments/{id}.toml");
        if !self.path(&path).exists() {
            self.write(&path, format!("source = \"crm\"\nkey = \"customer_id\"\n\n[read]\npath = \"{id}.csv\"\n"));
        }
    }

    /// Writes the connection with further settings; without limit to its rate unless they say otherwise.
    pub fn connection(&self, settings: &str) {
        let rate = if settings.contains("requests_per_second") { "" } else { "requests_per_second = 0\n" };
        let base = &self.base_url;
        self.write(
            "connections/autopilot.toml",
            format!(
                "plugin = \"autopilot\"\n{CONSENT}\n[settings]\napi_key = {{ env = \"AUTOPILOT_API_KEY\" }}\n\
                 base_url = \"{base}\"\n{rate}{settings}\n"
            ),
        );
    }

    /// Puts a gate between the connection and the stand-in.
    pub fn through(&mut self, gate: &Gate, settings: &str) {
        self.base_url = gate.base_url();
        self.connection(settings);
    }

    /// Gives its stand-in for another one, which the connection then goes to.
    pub fn relocate(&mut self, other: &mut Sandbox, settings: &str) {
        std::mem::swap(&mut self.sandbox, other);
        self.base_url = self.sandbox.base_url();
        self.connection(settings);
    }

    /// Writes the export with further tables, such as `[guards]`.
    pub fn export(&self, tables: &str) {
        self.write("exports/newsletter.toml", format!("{EXPORT}\n{tables}\n"));
    }

    /// Writes the export with these segments.
    pub fn segments(&self, segments: &[&str], tables: &str) {
        let export = EXPORT.replace("[\"newsletter\"]", &format!("{segments:?}"));
        self.write("exports/newsletter.toml", format!("{export}\n{tables}\n"));
    }

    /// Replaces the stand-in's faults.
    pub fn faults(&self, faults: &[&str]) {
        let parse = |text: &&str| text.parse::<Fault>().unwrap_or_else(|error| panic!("{error}"));
        self.sandbox.set_faults(faults.iter().map(parse).collect());
    }

    /// `segport` with these words, the key in its environment.
    pub fn segport(&self, words: &str) -> Segport {
        self.keyless(words).env("AUTOPILOT_API_KEY", KEY)
    }

    /// A line that a shell carries out in the project, with `segport` in its path and the key in its environment.
    pub fn shell(&self, line: &str) -> Segport {
        Segport::shell(self.dir(), self.home.path(), line).env("AUTOPILOT_API_KEY", KEY)
    }

    /// `segport` with these words, so that a file that may not grow is an error and not the end of the process.
    pub fn on_a_small_disk(&self, words: &str) -> Segport {
        self.shell(&format!("trap '' XFSZ; exec segport {words}"))
    }

    /// The same without the right to pass over permissions, which root has.
    pub fn unprivileged(&self, words: &str) -> Segport {
        self.shell(&format!(
            "test $(id -u) = 0 && exec setpriv --bounding-set=-dac_override,-dac_read_search segport {words}\n\
             exec segport {words}"
        ))
    }

    /// `segport` with these words and nothing in its environment.
    pub fn keyless(&self, words: &str) -> Segport {
        Segport::new(self.dir(), self.home.path()).args(words.split_whitespace())
    }

    /// Runs `segport` with these words.
    pub fn call(&self, words: &str) -> Ended {
        self.segport(words).run()
    }

    /// `segport run --output json` with these further words.
    pub fn run(&self, words: &str) -> Ended {
        self.call(&format!("run --output json {words}"))
    }

    /// The report of `segport run`, which must exit with 0.
    #[track_caller]
    pub fn delivers(&self) -> Report {
        self.run("").exits(0).report()
    }

    /// The report of `segport run`, which must be as in [`Report::summary`].
    #[track_caller]
    pub fn comes_to(&self, summary: &str) -> Report {
        let ended = self.run("");
        let report = ended.report();
        assert_eq!(report.summary(), summary, "{ended}");
        report
    }

    /// What [`Scene::rows_of`] is for the newest run.
    #[track_caller]
    pub fn rows(&self) -> Vec<String> {
        let runs = self.call("runs --limit 1 --output json");
        let run = runs.exits(0).report().run_id().to_owned();
        self.rows_of(&run)
    }

    /// The rows of a run as `outcome code: reason`, sorted.
    #[track_caller]
    pub fn rows_of(&self, run: &str) -> Vec<String> {
        let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let ended = self.call(&format!("rows {run} --output json"));
        let rows = ended.exits(0).objects();
        let mut rows: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {}: {}", text(row, "outcome"), text(row, "code"), text(row, "reason")))
            .collect();
        rows.sort();
        rows
    }

    /// How many requests the stand-in has seen so far.
    pub fn requests(&self) -> u64 {
        self.sandbox.traffic().requests
    }

    /// How many requests to an endpoint, such as `POST /contacts`, the stand-in has seen.
    pub fn requests_to(&self, endpoint: &str) -> u64 {
        self.sandbox.traffic().by_endpoint.get(endpoint).copied().unwrap_or(0)
    }

    /// The addresses on a list, by title or id.
    #[track_caller]
    pub fn members(&self, list: &str) -> Vec<String> {
        self.sandbox.autopilot().list_members(list).unwrap_or_else(|| panic!("there is no list `{list}`"))
    }

    /// Checks that exactly these people are on a list.
    #[track_caller]
    pub fn has_members(&self, list: &str, people: &[Person]) {
        let mut emails: Vec<_> = people.iter().map(|person| person.email.clone()).collect();
        emails.sort();
        assert_eq!(self.members(list), emails, "members of `{list}`");
    }

    /// Checks that exactly these people are contacts, with the values they have.
    #[track_caller]
    pub fn has_contacts(&self, people: &[Person]) {
        let mut expected: Vec<_> = people
            .iter()
            .map(|person| [&person.email, &person.given_name, &person.employer].map(Clone::clone))
            .collect();
        expected.sort();
        let text = |contact: &serde_json::Value, name: &str| contact[name].as_str().unwrap_or_default().to_owned();
        let contacts = self.sandbox.autopilot().contacts();
        let mut found: Vec<_> =
            contacts.iter().map(|contact| ["Email", "FirstName", "Company"].map(|name| text(contact, name))).collect();
        found.sort();
        assert_eq!(found, expected, "contacts");
    }
}
