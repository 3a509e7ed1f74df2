//! Writing consent into a connection's file.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use segport_core::without_temporary_path;
use tempfile::NamedTempFile;
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use crate::files::is_id;
use crate::project::Consent;

/// Why a file could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Reading or writing failed.
    #[error("cannot change `{file}`: {source}")]
    Io {
        /// The file, relative to the project.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not TOML, or has something else in the place.
    #[error("cannot change `{file}`, which is not as it should be: `segport check` says what is wrong")]
    Unusable {
        /// The file, relative to the project.
        file: String,
    },
}

/// Writes `consent` into `connections/<connection>.toml` and keeps comments, layout and the ends of lines.
///
/// The file is replaced as a whole: after a crash it is either the old or the new one.
///
/// # Errors
/// If the file cannot be read, is not TOML, or cannot be replaced.
pub fn write_consent(dir: &Path, connection: &str, consent: &Consent) -> Result<(), EditError> {
    let file = format!("connections/{connection}.toml");
    let io = |source| EditError::Io { file: file.clone(), source };
    let unusable = || EditError::Unusable { file: file.clone() };
    if !is_id(connection) {
        return Err(io(io::Error::new(io::ErrorKind::NotFound, "this is no id of a connection")));
    }
    // A link stays a link: what it leads to is replaced.
    let path = fs::canonicalize(dir.join(&file)).map_err(io)?;
    let text = fs::read_to_string(&path).map_err(io)?;
    let mut document: DocumentMut = text.parse().map_err(|_| unusable())?;
    let at = consent.accepted_at.to_string().parse::<toml_edit::Datetime>().map_err(|_| unusable())?;
    let table = consent_table(&mut document).ok_or_else(unusable)?;
    set(table, "accepted_by", value(consent.accepted_by.as_str()));
    set(table, "accepted_at", value(at));
    replace(&path, &with_line_ends_of(&text, document.to_string()))
        .map_err(|error| io(io::Error::new(error.kind(), without_temporary_path(&error))))
}

/// Gives lines the ends they had, which the parser does not keep.
fn with_line_ends_of(before: &str, after: String) -> String {
    if before.contains("\r\n") { after.replace("\r\n", "\n").replace('\n', "\r\n") } else { after }
}

/// The table as it is, or a new one at the end.
fn consent_table(document: &mut DocumentMut) -> Option<&mut dyn TableLike> {
    if !document.contains_key("consent") {
        let mut table = Table::new();
        table.decor_mut().set_prefix("\n");
        document.insert("consent", Item::Table(table));
    }
    document.get_mut("consent")?.as_table_like_mut()
}

/// Replaces a value and keeps the comment behind it.
fn set(table: &mut dyn TableLike, key: &str, new: Item) {
    match (table.get_mut(key), new) {
        (Some(Item::Value(old)), Item::Value(mut new)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        (_, new) => {
            table.insert(key, new);
        }
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut new = NamedTempFile::new_in(dir)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(fs::metadata(path)?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    File::open(dir)?.sync_all()
}
