//! What users write: `[settings]` of a source and `[read]` of a segment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use segport_sdk::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::place::did_you_mean;

/// What stands under `[settings]` of a source.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Directory that holds the files, relative to the project. Nothing outside of it is ever read.
    pub root: PathBuf,
    /// The project's directory. Segport fills it in; leave it out.
    #[serde(default)]
    pub project_dir: Option<PathBuf>,
}

impl Settings {
    /// The root as a path that can be opened.
    pub(crate) fn directory(&self) -> PathBuf {
        match &self.project_dir {
            Some(project) => project.join(&self.root),
            None => self.root.clone(),
        }
    }
}

/// What stands under `[read]` of a segment.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// One file, a folder, or a pattern such as `2026-*/part-*.csv`, relative to the source's `root`. `*` and `?` stand for
    /// characters of one name, `[a-z]` for one character out of a set, `**` for any number of folders. Several files are
    /// read in the order of their names; a folder's own subfolders and names that begin with `.` or `_` are left out.
    pub path: String,
    /// The format of the files, which follows from their ending: `.csv`, `.tsv` and `.tab`; `.jsonl`, `.ndjson` and
    /// `.jsonlines`; `.parquet` and `.pq`. Default: by ending.
    #[serde(default)]
    pub format: Option<Format>,
    /// CSV only: the character between two fields, one ASCII character. Default: a comma, or a tab for `.tsv` and `.tab`.
    #[serde(default)]
    pub delimiter: Option<String>,
    /// CSV only: the character around quoted fields, one ASCII character; doubled inside a field it stands for itself. Empty:
    /// quotes have no meaning. Default: `"`.
    #[serde(default)]
    pub quote: Option<String>,
    /// CSV only: whether the first row names the columns; without a header `columns` names them. Default: `true`.
    #[serde(default)]
    pub header: Option<bool>,
    /// The columns to read, each of which must exist; of JSON lines, where a key may be missing in any row, that is not checked.
    /// For CSV files without a header: the names of all columns, in the order of the file. Default: all (JSON lines: the keys of the first 1,000 rows).
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub columns: Option<Vec<String>>,
    /// CSV only: the character encoding. Default: `"utf-8"`.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// CSV only: texts that mean "no value", whether quoted or not. Default: `[""]`.
    #[serde(default)]
    pub null_values: Option<Vec<String>>,
    /// CSV and JSON lines: types of columns, such as `{ age = "integer" }`. A row whose value does not fit is reported and
    /// left out. Columns not named here follow `infer_types`.
    #[serde(default)]
    pub types: BTreeMap<String, ColumnType>,
    /// CSV and JSON lines: whether a column may become integer, float or boolean when all its values in the first 1,000 rows
    /// are written exactly as Segport would write them (`007`, `1.50` and `+1` stay text). A value is never altered by this.
    /// Default: `true`.
    #[serde(default)]
    pub infer_types: Option<bool>,
    /// The longest field that is read, in bytes; a row with a longer one is reported and left out. Default: 1 MiB.
    #[serde(default)]
    #[schemars(range(min = 1, max = 67_108_864))]
    pub max_field_bytes: Option<u32>,
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Rows of fields separated by a character.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

/// The ending of a file's name, in small letters.
fn ending(name: &str) -> Option<String> {
    Some(Path::new(name).extension()?.to_str()?.to_ascii_lowercase())
}

impl Format {
    /// The format that a file's ending stands for.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match ending(name)?.as_str() {
            "csv" | "tsv" | "tab" => Some(Self::Csv),
            "jsonl" | "ndjson" | "jsonlines" => Some(Self::JsonLines),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// The format as it stands in TOML.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "json_lines",
            Self::Parquet => "parquet",
        }
    }
}

/// The character encoding of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1.
    #[serde(rename = "latin-1")]
    Latin1,
    /// Windows-1252, which Excel writes in Western Europe.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Text, kept byte for byte.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A number.
    Float,
    /// `true` or `false`, `yes` or `no`, `1` or `0`, in any case.
    Boolean,
    /// A date such as `2026-11-23`.
    Date,
}

/// Longest field unless `max_field_bytes` says otherwise.
const DEFAULT_FIELD_BYTES: u32 = 1 << 20;
/// Largest `max_field_bytes`, so that a column of one page stays far below Arrow's 2 GiB.
const LARGEST_FIELD_BYTES: u32 = 64 << 20;

/// What [`Read`] says about the values, for both formats of text.
#[derive(Debug, Clone)]
pub(crate) struct TextOptions {
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) types: BTreeMap<String, ColumnType>,
    pub(crate) infer: bool,
    pub(crate) max_field_bytes: usize,
}

impl TextOptions {
    /// How messages call a column: by its name where the project has it, otherwise as `else_called`. What only the file calls a
    /// name may be somebody's address, as where the file has lost its header.
    pub(crate) fn called(&self, column: &str, else_called: impl FnOnce() -> String) -> String {
        // `columns` names every column that is read.
        if self.columns.is_some() || self.types.contains_key(column) {
            format!("column `{column}`")
        } else {
            else_called()
        }
    }

    /// `; did you mean ...?` if one of the columns that a file has is called much like `column`. A file that has none of those
    /// the project names may begin with a profile, and nothing of it is shown then.
    pub(crate) fn nearest(&self, column: &str, names: &[String]) -> String {
        let mut named = self.columns.iter().flatten().chain(self.types.keys());
        match named.any(|named| names.contains(named)) {
            true => did_you_mean(column, names.iter().map(String::as_str)),
            false => String::new(),
        }
    }
}

/// What [`Read`] means for CSV.
#[derive(Debug, Clone)]
pub(crate) struct CsvOptions {
    pub(crate) text: TextOptions,
    /// `None`: a tab for `.tsv` and `.tab`, a comma otherwise.
    pub(crate) delimiter: Option<u8>,
    pub(crate) quote: Option<u8>,
    pub(crate) header: bool,
    pub(crate) encoding: Encoding,
    pub(crate) null_values: Vec<String>,
}

impl CsvOptions {
    /// What separates the values of a file with this name.
    pub(crate) fn delimiter_of(&self, name: &str) -> u8 {
        let by_ending = || if matches!(ending(name).as_deref(), Some("tsv" | "tab")) { b'\t' } else { b',' };
        self.delimiter.unwrap_or_else(by_ending)
    }
}

/// What [`Read`] means for Parquet.
#[derive(Debug, Clone)]
pub(crate) struct ParquetOptions {
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) max_field_bytes: usize,
}

impl Read {
    /// The options of CSV.
    ///
    /// # Errors
    /// `config_invalid` for a value that cannot work.
    pub(crate) fn csv(&self) -> Result<CsvOptions> {
        let delimiter = match &self.delimiter {
            None => None,
            Some(text) => Some(one_character("delimiter", text)?),
        };
        let quote = match self.quote.as_deref() {
            None => Some(b'"'),
            Some("") => None,
            Some(text) => Some(one_character("quote", text)?),
        };
        if quote.is_some_and(|quote| quote == delimiter.unwrap_or(b',')) {
            return Err(invalid("`delimiter` and `quote` are the same character: choose two"));
        }
        let header = self.header.unwrap_or(true);
        if !header && self.columns.is_none() {
            return Err(invalid("`header = false` needs the names of the columns: add `columns = [\"...\", ...]`"));
        }
        Ok(CsvOptions {
            text: self.text()?,
            delimiter,
            quote,
            header,
            encoding: self.encoding.unwrap_or_default(),
            null_values: self.null_values.clone().unwrap_or_else(|| vec![String::new()]),
        })
    }

    /// The options of JSON lines.
    ///
    /// # Errors
    /// `config_invalid` for a value that cannot work, or a key that means nothing for JSON lines.
    pub(crate) fn json_lines(&self) -> Result<TextOptions> {
        self.refuse_csv_keys(Format::JsonLines)?;
        self.text()
    }

    /// The options of Parquet.
    ///
    /// # Errors
    /// `config_invalid` for a value that cannot work, or a key that means nothing for Parquet.
    pub(crate) fn parquet(&self) -> Result<ParquetOptions> {
        self.refuse_csv_keys(Format::Parquet)?;
        let meaningless = [("types", !self.types.is_empty()), ("infer_types", self.infer_types.is_some())]
            .into_iter()
            .find(|key| key.1);
        if let Some((key, _)) = meaningless {
            return Err(invalid(format!(
                "`{key}` has no meaning for Parquet, whose files state their types: remove it"
            )));
        }
        Ok(ParquetOptions { columns: self.checked_columns()?, max_field_bytes: self.field_bytes()? })
    }

    fn text(&self) -> Result<TextOptions> {
        Ok(TextOptions {
            columns: self.checked_columns()?,
            types: self.types.clone(),
            infer: self.infer_types.unwrap_or(true),
            max_field_bytes: self.field_bytes()?,
        })
    }

    fn checked_columns(&self) -> Result<Option<Vec<String>>> {
        let Some(columns) = &self.columns else { return Ok(None) };
        if columns.is_empty() {
            return Err(invalid("`columns` is empty: name at least one column, or remove it"));
        }
        for (index, column) in columns.iter().enumerate() {
            if columns.iter().take(index).any(|earlier| earlier == column) {
                return Err(invalid(format!("`columns` names `{column}` twice")));
            }
        }
        Ok(Some(columns.clone()))
    }

    fn field_bytes(&self) -> Result<usize> {
        let bytes = self.max_field_bytes.unwrap_or(DEFAULT_FIELD_BYTES);
        if bytes == 0 || bytes > LARGEST_FIELD_BYTES {
            return Err(invalid(format!("`max_field_bytes` is {bytes}, but must be 1 to {LARGEST_FIELD_BYTES}")));
        }
        usize::try_from(bytes).map_err(|_| invalid("`max_field_bytes` is too large for this machine"))
    }

    fn refuse_csv_keys(&self, format: Format) -> Result<()> {
        let given = [
            ("delimiter", self.delimiter.is_some()),
            ("quote", self.quote.is_some()),
            ("header", self.header.is_some()),
            ("encoding", self.encoding.is_some()),
            ("null_values", self.null_values.is_some()),
        ];
        match given.into_iter().find(|key| key.1) {
            Some((key, _)) => {
                Err(invalid(format!("`{key}` is only for CSV, but the format is `{}`: remove it", format.as_str())))
            }
            None => Ok(()),
        }
    }
}

fn one_character(key: &str, text: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte @ (b'\t' | b' '..=b'~')] => Ok(*byte),
        _ => Err(invalid(format!("`{key}` must be one visible ASCII character or a tab (`\"\\t\"`)"))),
    }
}

/// An error in what the user wrote.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ConfigInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Read {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_key_named() {
        for (json, part) in [
            (r#"{"path":"a","delimiter":";;"}"#, "`delimiter` must be one"),
            (r#"{"path":"a","delimiter":"æ"}"#, "`delimiter` must be one"),
            (r#"{"path":"a","delimiter":"\n"}"#, "`delimiter` must be one"),
            (r#"{"path":"a","delimiter":"\""}"#, "same character"),
            (r#"{"path":"a","header":false}"#, "add `columns"),
            (r#"{"path":"a","columns":[]}"#, "`columns` is empty"),
            (r#"{"path":"a","columns":["x","y","x"]}"#, "names `x` twice"),
            (r#"{"path":"a","max_field_bytes":0}"#, "must be 1 to 67108864"),
        ] {
            let error = read(json).csv().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{json}");
            assert!(error.message().contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn keys_of_another_format_are_refused() {
        for (json, part) in [
            (r#"{"path":"a","quote":"'"}"#, "`quote` is only for CSV"),
            (r#"{"path":"a","null_values":["-"]}"#, "`null_values` is only for CSV"),
            (r#"{"path":"a","types":{"x":"date"}}"#, "`types` has no meaning"),
        ] {
            assert!(read(json).parquet().unwrap_err().message().contains(part), "{json}");
        }
        assert!(read(r#"{"path":"a","types":{"x":"date"}}"#).json_lines().is_ok());
    }

    #[test]
    fn unknown_keys_are_errors_and_the_project_directory_is_accepted() {
        assert!(serde_json::from_str::<Read>(r#"{"path":"a","delimeter":";"}"#).is_err());
        assert!(serde_json::from_str::<Settings>(r#"{"root":"a","rot":"b"}"#).is_err());
        let settings: Settings = serde_json::from_str(r#"{"root":"data","project_dir":"/p"}"#).unwrap();
        assert_eq!(settings.directory(), Path::new("/p/data"));
    }
}
