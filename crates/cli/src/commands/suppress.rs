//! `segport suppress`: who must not be sent anything, whatever the export.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;
use segport_engine::Address;
use segport_ledger::{Identity, Store};
use serde::Serialize;
use serde_json::json;

use crate::arguments::{Addresses, Import, Suppress};
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::project;
use crate::text::count;

/// Addresses that share a commit. Each commit of a long import writes most of the list's pages again, for its entries are
/// spread all over them.
const PER_COMMIT: usize = 250_000;
/// Most places that a message names.
const MOST_NAMED: usize = 20;

/// Changes the list, or looks somebody up.
pub(crate) async fn suppress(invocation: &Invocation, asked: Suppress) -> Result<Exit, Failure> {
    match asked {
        Suppress::Add(asked) => change(invocation, Input::given(asked)?, Change::Add).await,
        Suppress::Remove(asked) => change(invocation, Input::given(asked)?, Change::Remove).await,
        Suppress::Import(asked) => change(invocation, Input::file(invocation.dir(), &asked)?, Change::Add).await,
        Suppress::Check(asked) => check(invocation, Input::given(asked)?).await,
    }
}

/// Addresses that are read one after the other. They are profile data: no message has one, only their places.
struct Input {
    /// What a place is: the number of an `address` on the command line, or of a `line`.
    unit: &'static str,
    entries: Box<dyn Iterator<Item = Result<Entry, Failure>>>,
}

struct Entry {
    place: u64,
    /// `None` if it has not the form of one.
    address: Option<Address>,
}

impl Input {
    /// Those of the command line, or of standard input.
    fn given(Addresses { addresses }: Addresses) -> Result<Self, Failure> {
        if addresses == ["-"] {
            return Ok(Self::lines("standard input".to_owned(), io::stdin().lock()));
        }
        if addresses.iter().any(|address| address == "-") {
            return Err(Failure::new("`-` stands for standard input, and stands alone"));
        }
        let entries = (1..).zip(addresses).map(|(place, text)| Ok(Entry { place, address: Address::parse(&text) }));
        Ok(Self { unit: "address", entries: Box::new(entries) })
    }

    /// A file, whose path is relative to the project as all others are.
    fn file(dir: &Path, Import { file, column }: &Import) -> Result<Self, Failure> {
        let (name, stream): (_, Box<dyn Read>) = if file == Path::new("-") {
            ("standard input".to_owned(), Box::new(io::stdin().lock()))
        } else {
            let path = dir.join(file);
            let shown = path.strip_prefix(".").unwrap_or(&path);
            let opened = File::open(&path).map_err(|error| Failure::file("read", shown, &error))?;
            (shown.display().to_string(), Box::new(opened))
        };
        match column {
            Some(column) => Self::csv(&name, stream, column),
            None => Ok(Self::lines(name, BufReader::new(stream))),
        }
    }

    /// One a line; empty lines are nothing.
    fn lines(name: String, mut stream: impl BufRead + 'static) -> Self {
        let mut place = 0;
        let mut line = Vec::new();
        let next = move || loop {
            line.clear();
            place += 1;
            match stream.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(unreadable(&name, &error))),
            }
            let text = std::str::from_utf8(&line).map(|text| text.trim_start_matches('\u{feff}').trim());
            if text != Ok("") {
                return Some(Ok(Entry { place, address: text.ok().and_then(Address::parse) }));
            }
        };
        Self { unit: "line", entries: Box::new(std::iter::from_fn(next)) }
    }

    /// One column of a CSV file with a header.
    fn csv(name: &str, stream: impl Read + 'static, column: &str) -> Result<Self, Failure> {
        // Every line ends in a line feed, so that lines can be counted; a carriage return before it is space.
        let stream = stream.chain(&b"\n"[..]);
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .terminator(csv::Terminator::Any(b'\n'))
            .trim(csv::Trim::Headers)
            .from_reader(stream);
        let header = reader.byte_headers().map_err(|error| unreadable(name, &error))?;
        let places = (0..).zip(header).filter(|(_, header)| *header == column.as_bytes());
        let at = match *places.map(|(at, _)| at).collect::<Vec<usize>>() {
            [at] => at,
            [] => {
                return Err(Failure::new(format!("{name} has no column `{column}`"))
                    .help("its first line must name the columns, separated by commas"));
            }
            _ => {
                return Err(Failure::new(format!("{name} has several columns `{column}`"))
                    .help("whoever stands in one of them only would be missed: give each a name of its own"));
            }
        };
        let name = name.to_owned();
        let mut record = csv::ByteRecord::new();
        let next = move || loop {
            match reader.read_byte_record(&mut record) {
                Ok(false) => return None,
                Ok(true) => {}
                Err(error) => return Some(Err(unreadable(&name, &error))),
            }
            let bytes = record.as_slice();
            if record.len() == 1 && bytes.trim_ascii().is_empty() {
                continue;
            }
            let breaks = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            let place = reader.position().line().saturating_sub(1 + breaks);
            let text = record.get(at).and_then(|value| std::str::from_utf8(value).ok());
            return Some(Ok(Entry { place, address: text.and_then(Address::parse) }));
        };
        Ok(Self { unit: "line", entries: Box::new(std::iter::from_fn(next)) })
    }
}

fn unreadable(name: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot read {name}: {error}"))
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Add,
    Remove,
}

impl Change {
    /// Returns for how many of these that changed something.
    async fn carry_out(self, store: &Store, identities: &[Identity]) -> Result<u64, Failure> {
        Ok(match self {
            Self::Add => store.suppress(identities, Timestamp::now()).await?,
            Self::Remove => store.unsuppress(identities).await?,
        })
    }
}

/// What shares a commit.
#[derive(Debug, Default)]
struct Waiting {
    people: Vec<Identity>,
    /// Whoever is on the list is so however a row spells their address.
    other_spellings: Vec<Identity>,
}

/// What came of a change.
#[derive(Debug, Default)]
struct Tally {
    changed: u64,
    /// They were on the list before, or not on it before.
    unchanged: u64,
    /// Places of what is no address.
    invalid: Vec<u64>,
}

/// As it stands in JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Added { new: u64, known: u64, invalid: usize, invalid_at: &'a [u64], listed: u64 },
    Removed { removed: u64, not_listed: u64, invalid: usize, invalid_at: &'a [u64], listed: u64 },
}

async fn change(invocation: &Invocation, input: Input, change: Change) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let settings = segport_manifest::read_settings(dir)?;
    let store = project::state(dir, &settings.state).await?;
    let Input { unit, entries } = input;
    let mut tally = Tally::default();
    let mut waiting = Waiting::default();
    let mut broken = None;
    for entry in entries {
        match entry {
            Ok(Entry { address: Some(address), .. }) => {
                waiting.people.push(address.identity(store.hasher()));
                waiting.other_spellings.extend(address.other_spellings(store.hasher()));
            }
            Ok(Entry { place, address: None }) => tally.invalid.push(place),
            // What was read so far counts: whoever is on a list that breaks off must not be written to.
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
        if waiting.people.len() >= PER_COMMIT {
            tally.apply(&store, change, std::mem::take(&mut waiting)).await?;
        }
    }
    tally.apply(&store, change, waiting).await?;
    let listed = store.suppressed_count().await?;
    if output.is_json() {
        output.json(&tally.as_json(change, listed))?;
    } else {
        output.text(&tally.as_text(change, listed))?;
    }
    match broken {
        Some(error) => Err(error.help("what was read before that has been done")),
        None if tally.invalid.is_empty() => Ok(Exit::Done),
        None => Err(not_addresses(unit, &tally.invalid, ", left out").exit_with(Exit::Unfinished)),
    }
}

impl Tally {
    async fn apply(&mut self, store: &Store, change: Change, waiting: Waiting) -> Result<(), Failure> {
        let Waiting { people, other_spellings } = waiting;
        let changed = change.carry_out(store, &people).await?;
        if !other_spellings.is_empty() {
            change.carry_out(store, &other_spellings).await?;
        }
        self.changed += changed;
        self.unchanged += (people.len() as u64).saturating_sub(changed);
        Ok(())
    }

    fn as_json(&self, change: Change, listed: u64) -> Line<'_> {
        let Self { changed, unchanged, invalid: invalid_at } = self;
        let invalid = invalid_at.len();
        match change {
            Change::Add => Line::Added { new: *changed, known: *unchanged, invalid, invalid_at, listed },
            Change::Remove => Line::Removed { removed: *changed, not_listed: *unchanged, invalid, invalid_at, listed },
        }
    }

    fn as_text(&self, change: Change, listed: u64) -> String {
        let (changed, unchanged, invalid) = (count(self.changed), count(self.unchanged), self.invalid.len());
        let listed = count(listed);
        match change {
            Change::Add => format!("{changed} new, {unchanged} known, {invalid} invalid; {listed} on the list\n"),
            Change::Remove => {
                format!("{changed} removed, {unchanged} not on the list, {invalid} invalid; {listed} on the list\n")
            }
        }
    }
}

async fn check(invocation: &Invocation, input: Input) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let settings = segport_manifest::read_settings(dir)?;
    // Without a state nobody is on a list.
    let store = project::existing_state(dir, &settings.state).await?;
    let Input { unit, entries } = input;
    let (mut exit, mut invalid) = (Exit::Done, Vec::new());
    for entry in entries {
        let Entry { place, address } = entry?;
        let identity = address.as_ref().zip(store.as_ref()).map(|(address, store)| address.identity(store.hasher()));
        let is_suppressed = match (&store, identity) {
            (Some(store), Some(identity)) => store.is_suppressed(identity).await?,
            _ => false,
        };
        if is_suppressed {
            exit = Exit::Unfinished;
        }
        let (verdict, known) = match &address {
            Some(_) if is_suppressed => ("suppressed", Some(true)),
            Some(_) => ("not suppressed", Some(false)),
            None => {
                invalid.push(place);
                ("no address", None)
            }
        };
        let hash = identity.map(|identity| identity.to_string());
        if output.is_json() {
            output.json(&json!({ "at": place, "suppressed": known, "identity_hash": hash }))?;
        } else {
            output.text(&format!("{unit} {place}  {verdict:<14}  {}\n", hash.as_deref().unwrap_or("-")))?;
        }
    }
    if invalid.is_empty() { Ok(exit) } else { Err(not_addresses(unit, &invalid, "")) }
}

/// Says which entries are no addresses, by their places.
fn not_addresses(unit: &str, places: &[u64], and: &str) -> Failure {
    let named: Vec<String> = places.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    let more = match places.len() - named.len() {
        0 => String::new(),
        more => format!(" and {} more", count(more as u64)),
    };
    let what = match (unit, places) {
        ("address", [_]) => "not an e-mail address",
        ("address", _) => "not e-mail addresses",
        (_, [_]) => "without an e-mail address",
        _ => "without e-mail addresses",
    };
    Failure::new(format!("{what}{and}: {unit} {}{more}", named.join(", "))).help(match unit {
        "line" => {
            "a line holds one address, like name@example.com; of a table, `--column NAME` says which column has them"
        }
        _ => "an address is written like name@example.com, without a name or brackets around it",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(input: Input) -> Vec<(u64, bool)> {
        let entries = input.entries.map(|entry| entry.unwrap());
        entries.map(|Entry { place, address }| (place, address.is_some())).collect()
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let check = |text: &'static [u8], expected: &[(u64, bool)]| {
            assert_eq!(places(Input::lines("a file".to_owned(), text)), expected, "{}", text.escape_ascii());
        };
        check(b"", &[]);
        check(b"a@example.com", &[(1, true)]);
        check(b"\xef\xbb\xbfa@example.com\r\n\r\n  B@Example.com \nnobody\n", &[(1, true), (3, true), (4, false)]);
        check(b"\n\xff@example.com\n", &[(2, false)]);
    }

    #[test]
    fn a_column_of_a_table_is_read_by_its_name() {
        let input = |text: &'static str| Input::csv("a file", text.as_bytes(), "email");
        let check = |text, expected: &[(u64, bool)]| assert_eq!(places(input(text).unwrap()), expected, "{text}");
        check("id,email\n1,a@example.com\n2,nobody\n3\n", &[(2, true), (3, false), (4, false)]);
        check(
            "\u{feff}email , note\r\na@example.com,\"two\r\nlines\"\r\n\r\nb@example.com,\r\nnobody,",
            &[(2, true), (5, true), (6, false)],
        );
        check("id,email\n\n\n1,\"a@example.com\"\n\n2,b@example.com", &[(4, true), (6, true)]);
        check("id,email\r\n1,\"a@example.com\"\r\n", &[(2, true)]);
        check("email\n", &[]);
        let failure = input("1,a@example.com\n").err().unwrap().to_string();
        assert!(failure.contains("no column `email`") && !failure.contains("a@example.com"), "{failure}");
    }

    #[test]
    fn standard_input_stands_alone() {
        let given = |addresses: &[&str]| {
            Input::given(Addresses { addresses: addresses.iter().map(|&address| address.to_owned()).collect() })
        };
        assert_eq!(places(given(&["a@example.com", "nobody"]).unwrap()), [(1, true), (2, false)]);
        assert!(given(&["a@example.com", "-"]).is_err());
    }

    #[test]
    fn messages_name_places_and_nobody() {
        let check = |places: &[u64], unit, so, expected: &str| {
            assert_eq!(not_addresses(unit, places, so).to_string().lines().next(), Some(expected));
        };
        check(&[2], "address", "", "error: not an e-mail address: address 2");
        check(&[3, 17], "line", ", left out", "error: without e-mail addresses, left out: line 3, 17");
        let many: Vec<u64> = (1..=25).collect();
        let twenty = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20";
        check(&many, "line", "", &format!("error: without e-mail addresses: line {twenty} and 5 more"));
    }
}
