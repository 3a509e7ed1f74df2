//! The project that `init` and `demo` make.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::sample::{self, Quality};

/// Where `segport sandbox autopilot` listens unless told otherwise, and where a new project looks for it.
pub(crate) const SANDBOX_ADDRESS: &str = "127.0.0.1:8025";

/// What a new project is made of.
#[derive(Debug)]
pub(crate) struct Starter {
    /// The project's name.
    pub(crate) name: String,
    /// Address of the stand-in destination.
    pub(crate) base_url: String,
    /// Most calls a second; 0 = no limit.
    pub(crate) requests_per_second: u32,
    /// How many profiles are made up.
    pub(crate) profiles: u64,
    /// How good they are.
    pub(crate) quality: Quality,
    /// Whether there is a second segment, of the profiles with most orders.
    pub(crate) vip: bool,
}

const NEWSLETTER: &str = "data/newsletter.csv";
const VIP: &str = "data/vip.csv";
const KEY: &str = "secrets/autopilot.key";
pub(crate) const GITIGNORE: &str = ".gitignore";
/// What must not be committed.
pub(crate) const IGNORED: &str = "# Segport's own state, and secrets\n.segport/\nsecrets/\n";

const SOURCE: &str = r#"#:schema ../schemas/source.json
# Where profiles are read from. The plugin `files` reads CSV, JSON lines and Parquet.
plugin = "files"
display_name = "Customer files"

[settings]
root = "data"                         # relative to the project; nothing outside of it is read
"#;

const SEGMENT_NEWSLETTER: &str = r#"#:schema ../schemas/segment.json
# A named set of profiles. Its list at the destination gets the display name.
source = "crm"
display_name = "Newsletter"
key = "customer_id"                   # which profile a row is

[read]
path = "newsletter.csv"
"#;

const SEGMENT_VIP: &str = r#"#:schema ../schemas/segment.json
source = "crm"
display_name = "VIP customers"
key = "customer_id"

[read]
path = "vip.csv"
"#;

impl Starter {
    /// Every file but the profiles: path in the project, and text.
    fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = vec![
            ("segport.toml", self.settings()),
            ("sources/crm.toml", SOURCE.to_owned()),
            ("segments/newsletter.toml", SEGMENT_NEWSLETTER.to_owned()),
            ("connections/autopilot.toml", self.connection()),
            ("exports/newsletter.toml", self.export()),
        ];
        if self.vip {
            files.push(("segments/vip.toml", SEGMENT_VIP.to_owned()));
        }
        files
    }

    fn settings(&self) -> String {
        let name = toml_edit::Value::from(self.name.as_str());
        format!(
            r#"#:schema schemas/segport.json
[project]
name = {name}

[egress]
# Destinations on this machine and in private networks are refused unless this is true. The sandbox is one, so it is true
# here; take it out once you send to the real service.
allow_private = true

# Exports without a schedule of their own run with the refresh, once it is there:
# [refresh]
# cron = "0 5 * * *"
# time_zone = "Europe/Oslo"
"#
        )
    }

    fn connection(&self) -> String {
        let Self { base_url, requests_per_second, .. } = self;
        format!(
            r#"#:schema ../schemas/connection.json
# One account at a destination. This one is the sandbox: `segport sandbox autopilot` runs it.
plugin = "autopilot"
display_name = "Autopilot (sandbox)"
usable_by = ["administrators"]        # add "contributors" to share it

# `segport connect autopilot` shows the data-privacy text and records here who accepted it; without it nothing is sent.

[settings]
base_url = "{base_url}"   # leave it out for the real Autopilot
requests_per_second = {requests_per_second}              # 0 = no limit; the real Autopilot takes 1 to 20
# A secret is always a reference: a file, or {{ env = "AUTOPILOT_API_KEY" }}, or {{ credential = "autopilot" }} under systemd.
api_key = {{ file = "{KEY}" }}
"#
        )
    }

    fn export(&self) -> String {
        let segments = if self.vip { r#"["newsletter", "vip"]"# } else { r#"["newsletter"]"# };
        format!(
            r#"#:schema ../schemas/export.json
# Which segments go through which connection, and what of each profile.
display_name = "Newsletter to Autopilot"
connection = "autopilot"
segments = {segments}

[fields]                              # destination field = profile column; `segport connectors show autopilot` lists them
email = "email_address"
first_name = "given_name"
last_name = "family_name"
company = {{ column = "employer", transform = ["trim"] }}
mailing_city = "city"
mailing_country = "country"

[fields.custom]
"Lifetime Value" = {{ column = "ltv", type = "float" }}
"Orders" = {{ column = "orders", type = "integer" }}
"Last Order" = {{ column = "last_order", type = "date" }}

[leavers]
policy = "remove"                     # who left a segment is taken off its list; contacts are never deleted

[guards]                              # what stops a run; `--override NAME` goes on all the same
max_removals = "10%"                  # of the rows held: taken off their lists
max_growth = "100%"                   # of a segment's rows in the last run: more than then
max_shrink = "50%"                    # of a segment's rows in the last run: fewer than then
max_refused = "5%"                    # of the rows sent: refused by the destination
allow_empty = false
allow_other_account = false           # the key of another account stops a run
"#
        )
    }

    /// Everything that [`Starter::write`] makes, relative to the project.
    pub(crate) fn paths(&self) -> Vec<&'static str> {
        let mut paths: Vec<&str> = self.files().into_iter().map(|(path, _)| path).collect();
        paths.push(NEWSLETTER);
        if self.vip {
            paths.push(VIP);
        }
        paths.push(KEY);
        paths
    }

    /// Makes the project in `dir`; a file that exists is never replaced.
    ///
    /// # Errors
    /// If a file exists or cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Failure> {
        for (path, text) in self.files() {
            create(&dir.join(path), &text)?;
        }
        let [newsletter, vip] = [NEWSLETTER, VIP].map(|path| dir.join(path));
        directory_of(&newsletter)?;
        sample::write(&newsletter, self.vip.then_some(vip.as_path()), self.profiles, self.quality)
            .map_err(|error| Failure::file("write", &newsletter, &error))?;
        let key = dir.join(KEY);
        directory_of(&key)?;
        write_key(&key).map_err(|error| Failure::file("write", &key, &error))
    }
}

/// Writes a new file, and makes its directory.
///
/// # Errors
/// If it exists or cannot be written.
pub(crate) fn create(path: &Path, text: &str) -> Result<(), Failure> {
    directory_of(path)?;
    let write = || OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes());
    write().map_err(|error| Failure::file("write", path, &error))
}

fn directory_of(path: &Path) -> Result<(), Failure> {
    let directory = path.parent().map(PathBuf::from).unwrap_or_default();
    fs::create_dir_all(&directory).map_err(|error| Failure::file("make", &directory, &error))
}

/// A key that the sandbox takes: 32 hexadecimal digits, readable by their owner only.
fn write_key(path: &Path) -> io::Result<()> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", hex::encode(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starter(vip: bool) -> Starter {
        Starter {
            name: "Anna's \"shop\"".to_owned(),
            base_url: format!("http://{SANDBOX_ADDRESS}/v1"),
            requests_per_second: 20,
            profiles: 10,
            quality: Quality::Real,
            vip,
        }
    }

    #[test]
    fn every_file_is_toml_and_names_its_schema() {
        for (path, text) in starter(true).files() {
            assert!(
                text.starts_with("#:schema ") && text.lines().next().is_some_and(|line| line.ends_with(".json")),
                "{path}"
            );
            assert!(text.parse::<toml_edit::DocumentMut>().is_ok(), "{path}: {text}");
        }
    }

    #[test]
    fn what_is_announced_is_what_is_written() {
        for vip in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let starter = starter(vip);
            starter.write(dir.path()).unwrap();
            for path in starter.paths() {
                assert!(dir.path().join(path).exists(), "{path}");
            }
            assert!(starter.write(dir.path()).is_err(), "nothing is overwritten");
        }
    }
}
