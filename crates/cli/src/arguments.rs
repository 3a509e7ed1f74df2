//! The command line: what a user may type, and the help for it.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use segport_engine::Guard;

const EXAMPLES: &str = "\
Getting started:
  segport demo                    see it work, offline, in a temporary directory
  segport init shop && cd shop    make a project with sample data
  segport check                   look for mistakes; sends nothing
  segport plan                    what a run would send
  segport run                     send it

Exit codes:
  0  done                                       4  stopped by a guard, nothing further sent
  1  rows failed, or `check` found errors       5  another run holds this export
  2  could not start                            130, 143  interrupted, state is consistent
  3  `plan --detailed-exitcode` with changes";

/// What excludes one another, which the usage that is made of the arguments does not tell.
const RUN_USAGE: &str = "\
segport run [OPTIONS] [EXPORT]...
       segport run [OPTIONS] --all
       segport run [OPTIONS] --plan <FILE>";

/// Exports segments of customer profiles to marketing tools.
///
/// A project is a directory of TOML files: where profiles are read from (sources), which of them belong together (segments),
/// the accounts they go to (connections), and what goes where (exports). Segport sends only what changed since the last run.
#[derive(Debug, Parser)]
#[command(name = "segport", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The project's directory; other paths are relative to it
    #[arg(short = 'C', value_name = "DIR", default_value = ".", global = true, hide_default_value = true)]
    pub(crate) dir: PathBuf,
    /// How results are printed; JSON is one object a line
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, global = true)]
    pub(crate) output: Format,
    /// No progress and no remarks, only results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// More on what happens, on standard error; -vv for details (see also SEGPORT_LOG)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Never ask anything; fail instead
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Whether output is coloured; `auto` also heeds NO_COLOR
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub(crate) color: Colour,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a runnable project with sample data
    ///
    /// 1,000 made-up profiles in two segments, a connection to the sandbox, one export, a `.gitignore` and the schemas.
    ///
    /// JSON: `directory`, `profiles` (how many were made up).
    #[command(after_help = "Example:\n  segport init shop\n\nExisting files are never overwritten.")]
    Init(Init),
    /// Look for mistakes in the project; calls no destination
    ///
    /// Reads all files, checks them against their schemas and against one another, looks whether the columns they name exist
    /// and whether secrets can be read, and asks each connector whether it accepts the mapping. All findings are shown at
    /// once, save what only a plugin can tell: that comes once the rest of its file is right, and of a `[read]` table one by one.
    ///
    /// JSON, one finding a line, nothing if there is none: `code`, `severity` (`error` or `warning`), `message`, `label` (what is
    /// wrong with the place), `file`, `line`, `column`, `help`; `null` where there is none.
    #[command(after_help = "\
Exit code 1 if there are errors, 2 if there is no project. `segport explain CODE` tells more about a
finding.")]
    Check,
    /// Accept a connection's data-privacy text and test the connection
    ///
    /// Shows the text, asks, writes into the connection's file who accepted it and when, and tests the connection. Consent is
    /// written before the test. A connection that was accepted before is tested only. If the test fails, the message names the
    /// layer: DNS, TCP, TLS, HTTP, authentication, permission, settings or the plugin itself.
    ///
    /// JSON: `connection`, `works`, `accepted_by` and `accepted_at` (`null` before it is accepted), `account` (`id`, `name` and
    /// further `facts`; `null` if it does not work), `error` (`layer`, `kind`, `message`; `null` if it works).
    #[command(after_help = "\
Examples:
  segport connect autopilot                                        show the text, ask, test
  segport connect autopilot --accept --by anna@example.com         for scripts

Nothing is sent through a connection whose text nobody has accepted. Who accepted it and when is
written into the connection's file.")]
    Connect(Connect),
    /// Show what a run would send; sends nothing
    #[command(after_help = "\
Examples:
  segport plan                                every export
  segport plan newsletter --out plan.json     keep the plan, then: segport run --plan plan.json

An export that cannot be planned does not keep the others from it; then the exit code is 2, and `--out` writes nothing.")]
    Plan(Plan),
    /// Send what is new or changed
    ///
    /// Takes leavers off their lists, too. Prints one report per export.
    #[command(override_usage = RUN_USAGE, after_help = "\
Examples:
  segport run newsletter
  segport run --all --output json
  segport run --plan plan.json                  refuses if anything moved since the plan was made
  segport run newsletter --override max_removals --reason 'the list was closed'

Several exports run one after another; the exit code is the worst of them. Ctrl-C stops after what
is under way, and the next run goes on from there.")]
    Run(Run),
    /// Send again what failed, was deferred or is unknown
    ///
    /// What was refused, deferred or is unknown in a run, and nothing else. Without a run it takes what is undone of each export:
    /// by its last run that read the source to its end, by retries after that, and by a run after it that came to a part only.
    #[command(after_help = "\
Examples:
  segport retry              what is undone of each export
  segport retry 01935b1c     one run; the beginning of its id is enough")]
    Retry(Retry),
    /// List earlier runs, or show one
    ///
    /// Newest first. JSON: one report a line. A run that has not ended, or died, has only `schema_version`, `run_id`, `export`,
    /// `status` (`running` or `interrupted`), `started_at` and `finished_at`. It is `running` as long as its process lives.
    Runs(Runs),
    /// List what became of the rows of a run
    ///
    /// JSON, one row a line: `run_id`, `outcome`, `leaver` (`true` if it is about a removal, else absent), `code`, `reason`,
    /// `identity_hash` (`null` if the row has no readable identity), `segments`.
    #[command(after_help = "\
Examples:
  segport rows 01935b1c --outcome refused
  segport rows 01935b1c --output json
  segport rows latest --outcome invalid --reveal

Rows are named by a keyed hash: Segport keeps no profile data. Rows that were unchanged are not listed. `--reveal` \
reads the export's segments again and adds each row's `key` in the source (a list if there are several key columns) \
and its `identity` at the destination, which is `null` for a row that had none that could be read. Both are `null` for \
a row that is not in the source any more, and for one that had neither a key nor an identity that could be read. They \
are profile data, and go to standard output only.")]
    Rows(Rows),
    /// One line an export: last run, next run, rows held, open problems
    ///
    /// The next run is what the schedule says; in 0.1.0 nothing starts a run by itself. JSON: `export`, `connection`, `last_run`
    /// (`run_id`, `status`, `started_at`), `next_run`, `rows_held`, `open_problems`.
    Status,
    /// Keep people from being sent anything, whatever the export
    #[command(subcommand)]
    Suppress(Suppress),
    /// Plugins: what is installed, their fields and hashes, and a new one
    #[command(subcommand)]
    Connectors(Connectors),
    /// Write the JSON schemas of the project's files, for editors
    ///
    /// And those of plans and reports. The schemas of the installed plugins are included.
    ///
    /// JSON: `directory`, `files`; of one schema, itself on one line.
    #[command(after_help = "\
Examples:
  segport schema                     into the project's schemas/
  segport schema --out editor/       somewhere else
  segport schema export              one, to standard output")]
    Schema(Schema),
    /// Explain an error code
    ///
    /// JSON, one code a line: `code`, `title`, `page` (its text; only of one that was asked for).
    #[command(after_help = "Examples:\n  segport explain SP0203\n  segport explain            all codes")]
    Explain(Explain),
    /// Run a stand-in destination on this machine, to try things out
    #[command(subcommand)]
    Sandbox(Sandbox),
    /// See it work: a project, a stand-in destination and two runs, offline, in a temporary directory
    ///
    /// Exit code 1 unless all profiles are delivered by the first run and none by the second.
    Demo(Demo),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  segport completions bash > ~/.local/share/bash-completion/completions/segport")]
    Completions(Completions),
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to make it; made if it does not exist
    #[arg(value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The connection: the name of its file without `.toml`
    #[arg(value_name = "NAME")]
    pub(crate) connection: String,
    /// Accept the data-privacy text without being asked
    #[arg(long)]
    pub(crate) accept: bool,
    /// Who accepts it, such as an e-mail address; without it git's user.email, or user@host
    #[arg(long, value_name = "WHO", value_parser = somebody)]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The exports [default: all]
    #[arg(value_name = "EXPORT")]
    pub(crate) exports: Vec<String>,
    /// Write the plan to a file, for `run --plan`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Send every row again with its memberships, changed or not
    #[arg(long)]
    pub(crate) full: bool,
    /// Exit with 3 if a run would send something
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The exports; needed unless there is just one, or --all is given
    #[arg(value_name = "EXPORT", conflicts_with = "all")]
    pub(crate) exports: Vec<String>,
    /// Every export of the project
    #[arg(long)]
    pub(crate) all: bool,
    /// Do what this plan says, or refuse (exit code 2) if source, ledger, configuration or suppression list moved since; `runs` lists a refused
    /// run as failed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exports", "all", "full"])]
    pub(crate) plan: Option<PathBuf>,
    /// Send every row again with its memberships, changed or not; those that this run does not get to are sent by later ones
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) overriding: Overriding,
}

/// Guards that may not stop a run.
#[derive(Debug, Args)]
pub(crate) struct Overriding {
    /// Go on although this guard would stop the run: max_removals, max_growth, max_shrink, max_refused, allow_empty or
    /// allow_other_account. May be given several times. Recorded in the run
    #[arg(long = "override", value_name = "GUARD")]
    pub(crate) overrides: Vec<Guard>,
    /// Why a guard is overridden. Recorded in the run
    #[arg(long, value_name = "TEXT", requires = "overrides")]
    pub(crate) reason: Option<String>,
    /// Who overrides it [default: your e-mail address as git knows it, or user and host]
    #[arg(long, value_name = "WHO", requires = "overrides", value_parser = somebody)]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The run: its id, the beginning of it, or `latest` [default: the runs that left something undone, of each export]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) overriding: Overriding,
}

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Show this run: its id, the beginning of it, or `latest`
    #[arg(conflicts_with_all = ["export", "limit"])]
    pub(crate) run: Option<String>,
    /// Only runs of this export
    #[arg(long, value_name = "EXPORT")]
    pub(crate) export: Option<String>,
    /// Most runs to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole(1, u32::MAX))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// The run: its id, the beginning of it, or `latest`
    pub(crate) run: String,
    /// Only rows with this outcome: added, changed, removed, invalid, duplicate, suppressed, deferred, refused or unknown
    #[arg(long, value_name = "OUTCOME")]
    pub(crate) outcome: Option<String>,
    /// Show each row's key and its identity at the destination, read again from the source; profile data
    #[arg(long)]
    pub(crate) reveal: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Suppress {
    /// Put people on the suppression list
    ///
    /// They are not sent to any destination any more, and stay what they are there. No request that is sent after this command has
    /// ended writes any of them, in runs under way too; one that is just making its connection counts as sent.
    ///
    /// JSON: `new`, `known`, `invalid`, `invalid_at` (their places), `listed` (how many the list has now, an address once for each of
    /// its spellings).
    #[command(after_help = "\
Examples:
  segport suppress add anna@example.com ben@example.com
  segport suppress add - < addresses.txt        so that no address is in the list of processes

Exit code 1 if something is not an e-mail address; the others are on the list then.")]
    Add(Addresses),
    /// Take people off the suppression list
    ///
    /// The next run sends those who are still in a segment.
    ///
    /// JSON: `removed`, `not_listed`, `invalid`, `invalid_at` (their places), `listed` (how many the list has now, an address once
    /// for each of its spellings).
    #[command(after_help = "Exit code 1 if something is not an e-mail address; the others are off the list then.")]
    Remove(Addresses),
    /// Put everybody in a file on the suppression list
    ///
    /// One address a line, or one column of a CSV file with a header. Output as that of `suppress add`; what is not an address is
    /// named by its line.
    #[command(after_help = "\
Examples:
  segport suppress import unsubscribed.txt
  segport suppress import --column email unsubscribed.csv

Exit code 1 if something is not an e-mail address; the others are on the list then. The whole file may be
imported again: who is known stays on the list.")]
    Import(Import),
    /// Say whether people are on the suppression list
    ///
    /// JSON, one address a line: `at` (its place), `suppressed` (`null` if it is none), `identity_hash` (as `segport rows` has it;
    /// `null` before there is a state).
    #[command(after_help = "\
Exit code 0 if nobody is on the list, 1 if somebody is, 2 if something is not an e-mail address, whoever else is on it, or if the list cannot be read.")]
    Check(Addresses),
}

/// Profile data, so their `Debug` does not show them.
#[derive(Args)]
pub(crate) struct Addresses {
    /// E-mail addresses; `-` reads them from standard input, one a line
    #[arg(value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<String>,
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addresses({})", self.addresses.len())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; `-` is standard input
    pub(crate) file: PathBuf,
    /// Take the addresses from this column of a CSV file
    #[arg(long, value_name = "NAME")]
    pub(crate) column: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Connectors {
    /// List the plugins that can be found, without loading them
    ///
    /// States: `accepted` (as in segport.lock), `new` (not in it yet), `changed`, `refused` (it would not be loaded), `missing`
    /// (in segport.lock, and not installed).
    ///
    /// JSON, one plugin a line: `id`, `state`, `version`, `sha256`, `file`, `remark`; `null` where nothing is known.
    List,
    /// Show a plugin: its fields, limits and settings
    ///
    /// Loads it. JSON: what the plugin says of itself, and the `sha256` of its file.
    Show {
        /// The plugin's id, such as `autopilot`
        id: String,
    },
    /// Compare the plugins with segport.lock; exit code 1 if they differ
    ///
    /// They differ if one is changed, refused or missing. Needs a project. JSON as that of `connectors list`.
    Verify,
    /// Accept the plugins as they are now: write their hashes to segport.lock
    ///
    /// All that are found. Needs a project.
    ///
    /// JSON, one plugin a line: `id`, `version`, `sha256`, `file`.
    Lock,
    /// Write a new connector crate, ready to build and to fill in
    ///
    /// JSON: `directory`, `package`, `files`.
    #[command(after_help = "\
Example:
  segport connectors new mailgrid

Inside a Segport workspace the crate goes to connectors/NAME, elsewhere to NAME in the current
directory, or in that of `-C`. No existing file is touched.")]
    New {
        /// The plugin's id: lower-case letters, digits and single underscores, a letter first
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Print this one: segport, source, segment, connection, export, run-report or plan
    #[arg(conflicts_with = "out")]
    pub(crate) name: Option<String>,
    /// Where to write them [default: schemas/ in the project]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, such as SP0203 [default: list all]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sandbox {
    /// A stand-in for Autopilot; its address is the first line on standard output
    #[command(after_help = "\
Examples:
  segport sandbox autopilot
  segport sandbox autopilot --listen 127.0.0.1:0 --rate 0
  segport sandbox autopilot --fault 'POST /contacts every=10 status=503' --fault 'reset nth=3'

A fault is [METHOD] [PATH] and words in any order:
  when    nth=N every=N from=N to=N times=N
  action  status=CODE body=TEXT reset reset-after-body truncate timeout[=TIME]
          commit-then-timeout[=TIME] partial-map=N bulk-lists=on|off refuse-email=GLOB
          drop-email=GLOB
  also    delay=TIME retry-after=N commit

A text with blanks stands in quotation marks, and those inside of it behind a backslash:
  --fault 'GET /lists body=\"{\\\"lists\\\": []}\"'

Look inside at /_sandbox/state, /_sandbox/requests and /_sandbox/counts.")]
    Autopilot(Standin),
}

#[derive(Debug, Args)]
pub(crate) struct Standin {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = crate::starter::SANDBOX_ADDRESS)]
    pub(crate) listen: SocketAddr,
    /// Most requests a second and key; 0 = no limit. Above it: 429
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole(0, u32::MAX))]
    pub(crate) rate: u32,
    /// The only good API key [default: any 32 hexadecimal digits]
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Something that is to go wrong; may be repeated
    #[arg(long = "fault", value_name = "SPEC")]
    pub(crate) faults: Vec<segport_sandbox::Fault>,
    /// Whether bulk calls put contacts on the list they name; nobody outside knows what the real service does
    #[arg(long, value_enum, value_name = "on|off", default_value_t = Switch::On, hide_possible_values = true)]
    pub(crate) bulk_lists: Switch,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many profiles to make up and send, 1 to 100,000
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole(1_u64, 100_000))]
    pub(crate) profiles: u64,
    /// Keep the project's directory and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
    /// Most requests a second; 0 = no limit
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole(0, u32::MAX))]
    pub(crate) rate: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Whoever did something is written down, and so has a name.
fn somebody(who: &str) -> Result<String, &'static str> {
    match who.trim() {
        "" => Err("a name is needed, such as an e-mail address"),
        who => Ok(who.to_owned()),
    }
}

/// Takes a whole number from `least` to `most`, and says so of anything else.
fn whole<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
        number.ok_or_else(|| format!("a whole number from {least} to {most} is needed"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_behind_the_command() {
        let arguments =
            Arguments::try_parse_from(["segport", "plan", "-C", "shop", "--output", "json", "-vv"]).unwrap();
        assert_eq!(arguments.global.dir, PathBuf::from("shop"));
        assert_eq!((arguments.global.output, arguments.global.verbose), (Format::Json, 2));
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        let check = |line: &str| {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        };
        check("segport run a --all");
        check("segport run --plan p.json a");
        check("segport run a --override nonsense");
        check("segport retry --reason mistyped");
        check("segport runs 0193 --limit 3");
        check("segport runs --limit 0");
        check("segport connect a --accept --by=");
        check("segport schema export --out x");
        check("segport suppress add");
        check("segport sandbox autopilot --fault nonsense");
        check("segport demo --profiles 0");
    }

    #[test]
    fn what_is_no_number_or_too_great_a_one_is_told_in_words() {
        let check = |line: &str, expected: &str| {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        };
        check("segport runs --limit abc", "a whole number from 1 to 4294967295 is needed");
        check("segport runs --limit 4294967296", "a whole number from 1 to 4294967295 is needed");
        check("segport demo --profiles 1e3", "a whole number from 1 to 100000 is needed");
        check("segport demo --rate -1", "unexpected argument");
        check("segport demo --rate=-1", "a whole number from 0 to 4294967295 is needed");
        check("segport sandbox autopilot --rate abc", "a whole number from 0 to 4294967295 is needed");
    }
}
