//! One file: its text, its value, and where in the text each part of the value stands.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, FileText, Location};
use crate::file_kind::FileKind;
use crate::mask;
use crate::pointer;

/// Where one part of a document stands.
#[derive(Debug, Clone)]
struct Place {
    /// The key, for an entry of a table.
    key: Option<Range<usize>>,
    /// The value; for a table with a header, the header.
    value: Range<usize>,
}

/// A parsed file.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    kind: FileKind,
    file: FileText,
    value: Value,
    places: HashMap<String, Place>,
}

impl Document {
    /// Parses `text`. Findings show no value of a kind of file that may hold secrets, as long as nobody knows which they are.
    pub(crate) fn parse(kind: FileKind, path: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let shown = || unparsed(kind, path, text);
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(syntax_errors(&shown(), &errors));
        }
        let mut reader = Reader { text, places: HashMap::new(), misfits: Vec::new() };
        let value = reader.table("", root.get_ref());
        reader.places.insert(String::new(), Place { key: None, value: 0..0 });
        let Reader { places, misfits, .. } = reader;
        if misfits.is_empty() {
            return Ok(Self { kind, file: FileText::new(path, text), value, places });
        }
        let file = shown();
        let report = |(span, what)| Diagnostic::error(Code::OutOfRange, what).at(Location::new(&file, span), "");
        Err(misfits.into_iter().map(report).collect())
    }

    /// The text as it may be shown.
    pub(crate) fn text(&self) -> &FileText {
        &self.file
    }

    pub(crate) fn kind(&self) -> FileKind {
        self.kind
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Whether anything stands at `pointer`, right or wrong.
    pub(crate) fn contains(&self, pointer: &str) -> bool {
        self.places.contains_key(pointer)
    }

    /// Hides the values at these pointers, and everything below them, whenever the text is shown.
    pub(crate) fn mask(&mut self, pointers: &[String]) {
        let spans: Vec<_> = pointers.iter().flat_map(|pointer| self.scalars_below(pointer)).collect();
        if !spans.is_empty() {
            self.file = FileText::new(self.file.path(), &mask::spans(self.file.text(), &spans));
        }
    }

    fn scalars_below(&self, pointer: &str) -> Vec<Range<usize>> {
        let below = format!("{pointer}/");
        let is_scalar = |at: &str| self.value.pointer(at).is_some_and(|value| !value.is_object() && !value.is_array());
        let inside = self.places.iter().filter(|(at, _)| *at == pointer || at.starts_with(&below));
        inside.filter(|(at, _)| is_scalar(at)).map(|(_, place)| place.value.clone()).collect()
    }

    /// The value at `pointer`; for what is not there, the nearest table around it.
    pub(crate) fn at_value(&self, pointer: &str) -> Location {
        self.locate(pointer, |place| place.value.clone())
    }

    /// The key at `pointer`, or the value of what has no key.
    pub(crate) fn at_key(&self, pointer: &str) -> Location {
        self.locate(pointer, |place| place.key.clone().unwrap_or_else(|| place.value.clone()))
    }

    fn locate(&self, pointer: &str, span: impl Fn(&Place) -> Range<usize>) -> Location {
        let mut at = Some(pointer);
        while let Some(pointer) = at {
            if let Some(place) = self.places.get(pointer) {
                return Location::new(&self.file, span(place));
            }
            at = pointer::parent(pointer);
        }
        Location::new(&self.file, 0..0)
    }

    /// The value at `pointer` as it may be shown; a text without its quotes, unless they may be the mistake.
    pub(crate) fn shown(&self, pointer: &str) -> String {
        let span = self.at_value(pointer).span();
        let text = self.file.text().get(span).unwrap_or_default();
        let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let needs_none = |text: &&str| !matches!(*text, "true" | "false") && text.parse::<f64>().is_err();
        inside.filter(needs_none).unwrap_or(text).lines().next().unwrap_or_default().to_owned()
    }

    /// The value at `pointer` as people name it; an entry of an array has its array's name.
    pub(crate) fn name_of(&self, pointer: &str) -> String {
        match pointer::parent(pointer) {
            Some(parent) if self.value.pointer(parent).is_some_and(Value::is_array) => self.name_of(parent),
            _ => pointer::dotted(pointer),
        }
    }

    /// The pointers of the entries of the table or array at `pointer`.
    pub(crate) fn entries(&self, pointer: &str) -> Vec<String> {
        let below = |at: &&String| pointer::parent(at) == Some(pointer);
        self.places.keys().filter(below).cloned().collect()
    }

    /// The keys of the table at `pointer` in the file's order.
    pub(crate) fn keys_in_order(&self, pointer: &str) -> Vec<String> {
        let Some(Value::Object(table)) = self.value.pointer(pointer) else { return Vec::new() };
        let mut keys: Vec<_> =
            table.keys().map(|key| (self.at_key(&pointer::join(pointer, key)).span().start, key.clone())).collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

/// A text whose values nobody knows, as it may be shown.
fn unparsed(kind: FileKind, path: &str, text: &str) -> FileText {
    if kind.may_hold_secrets() { FileText::new(path, &mask::unparsed(text)) } else { FileText::new(path, text) }
}

/// The text of a file, which must be UTF-8.
///
/// # Errors
/// A finding at the first byte that is not.
pub(crate) fn decoded(kind: FileKind, path: &str, bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    let (mut readable, mut bad) = (String::with_capacity(bytes.len()), None);
    for chunk in bytes.utf8_chunks() {
        readable.push_str(chunk.valid());
        bad = bad.or(Some(readable.len()));
        // As many bytes as there were, so that the place is that in the file.
        readable.extend(chunk.invalid().iter().map(|_| '?'));
    }
    let bad = bad.unwrap_or_default();
    let location = Location::new(&unparsed(kind, path, &readable), bad..bad + 1);
    let finding = Diagnostic::error(Code::Unreadable, format!("cannot read `{path}`: it is not UTF-8 text"))
        .at(location, "the first byte that is not UTF-8")
        .help("save the file as UTF-8; it may be in Latin-1, Windows-1252 or UTF-16 now");
    Err(Box::new(finding))
}

fn syntax_errors(file: &FileText, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    let mut lines = Vec::new();
    let mut findings = Vec::new();
    for error in errors {
        let location = Location::new(file, error.span().unwrap_or(0..0));
        let (line, _) = location.line_column();
        // What follows the first error of a line is mostly the parser's search for its way back.
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        let (message, label) = error.message().split_once(", ").unwrap_or((error.message(), ""));
        findings.push(if error.span().is_some_and(|span| lacks_quotes(file.text(), span.start)) {
            let label = "neither a text in quotes, nor a number, `true` or `false`";
            Diagnostic::error(Code::Syntax, "not valid TOML: this is no value").at(location, label).help(QUOTES)
        } else {
            Diagnostic::error(Code::Syntax, format!("not valid TOML: {message}")).at(location, label)
        });
    }
    findings
}

const QUOTES: &str = "a text stands in straight double quotes, such as \"newsletter\"";
/// What a word processor makes of a quote.
const CURLY_QUOTES: [char; 4] = ['\u{201c}', '\u{201d}', '\u{201e}', '\u{2019}'];

/// Whether a text without quotes, or with those of a word processor, stands where there is an error.
fn lacks_quotes(text: &str, error: usize) -> bool {
    let Some((before, after)) = text.split_at_checked(error) else { return false };
    let line = before.rsplit('\n').next().unwrap_or_default();
    let rest = after.lines().next().unwrap_or_default();
    // One that is open tells of itself.
    if ['"', '\''].iter().any(|quote| line.matches(*quote).count() % 2 == 1) {
        return false;
    }
    let before_word = line.trim_end_matches(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-');
    let word = line.get(before_word.len()..).unwrap_or_default().chars().chain(rest.chars()).next();
    let is_value = line.contains('=') && before_word.trim_end().ends_with(['=', '[', ',']);
    is_value && word.is_some_and(|letter| letter.is_alphabetic() || CURLY_QUOTES.contains(&letter))
}

struct Reader<'t> {
    text: &'t str,
    places: HashMap<String, Place>,
    /// Numbers that JSON cannot hold.
    misfits: Vec<(Range<usize>, &'static str)>,
}

impl Reader<'_> {
    fn table(&mut self, pointer: &str, table: &DeTable<'_>) -> Value {
        let mut object = Map::new();
        for (key, entry) in table.iter() {
            let name = key.get_ref().as_ref();
            let at = pointer::join(pointer, name);
            let value = self.entry(&at, Some(key.span()), entry);
            object.insert(name.to_owned(), value);
        }
        Value::Object(object)
    }

    fn entry(&mut self, pointer: &str, key: Option<Range<usize>>, entry: &Spanned<DeValue<'_>>) -> Value {
        let span = entry.span();
        let value = match entry.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(yes) => Value::Bool(*yes),
            DeValue::Datetime(when) => Value::String(when.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => self.misfit(&span, "this whole number does not fit 64 bits"),
            },
            DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => self.misfit(&span, "this is not a finite number"),
            },
            DeValue::Array(entries) => Value::Array(
                entries
                    .iter()
                    .enumerate()
                    .map(|(index, entry)| self.entry(&pointer::join(pointer, &index.to_string()), None, entry))
                    .collect(),
            ),
            DeValue::Table(table) => self.table(pointer, table),
        };
        self.places.insert(pointer.to_owned(), Place { key, value: self.trimmed(span) });
        value
    }

    fn misfit(&mut self, span: &Range<usize>, what: &'static str) -> Value {
        self.misfits.push((span.clone(), what));
        Value::Null
    }

    /// A mark of a table or array that goes over several lines would hide what it marks: only its first line is kept.
    fn trimmed(&self, span: Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        span.start..span.start + first.trim_end().len()
    }
}
