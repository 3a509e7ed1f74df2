//! Secret references: what they look like, and what they stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use segport_core::Secret;
use serde_json::Value;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::file;
use crate::walk::walk;

/// Most bytes of a secret file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `{ env = "NAME" }`: an environment variable.
    Env(String),
    /// `{ file = "PATH" }`: a file, relative to the project; one trailing line break is dropped.
    File(PathBuf),
    /// `{ credential = "NAME" }`: a file in systemd's credentials directory (`$CREDENTIALS_DIRECTORY`).
    Credential(String),
}

/// Letters and digits in a row, digits among them, from which on a text is taken for a secret and not for the name of one.
const KEY_CHARS: usize = 20;

/// What is wrong where a secret stands in the place of its name.
pub(crate) const IN_PLACE_OF_ITS_NAME: &str = "a secret is written where its name belongs";
/// And what to do.
pub(crate) const WRITE_ITS_NAME: &str = "this looks like the secret itself; put it in a variable and write the variable's name here, such as \
     `{ env = \"NAME\" }`; if the file was ever shared or committed, replace the secret";

const WHERE_IT_IS: &str = "the path is relative to the project's directory; the file must be readable by this user";
const WHAT_IT_HOLDS: &str = "the file holds the secret itself as UTF-8 text, and nothing else";

/// A value that is not a secret reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAReference(&'static str);

impl TryFrom<&Value> for SecretRef {
    type Error = NotAReference;

    fn try_from(value: &Value) -> Result<Self, NotAReference> {
        let one =
            "a secret reference has exactly one of the keys `env`, `file` and `credential`, and its value is a text";
        let table = value.as_object().filter(|table| table.len() == 1).ok_or(NotAReference(one))?;
        let (key, text) = table.iter().next().ok_or(NotAReference(one))?;
        let text = text.as_str().filter(|text| !text.is_empty()).ok_or(NotAReference(one))?;
        match key.as_str() {
            "env" if is_variable(text) => Ok(Self::Env(text.to_owned())),
            "env" => Err(NotAReference("`env` is the name of an environment variable: letters, digits and `_`")),
            "file" if !text.contains(['\n', '\0']) => Ok(Self::File(text.into())),
            "file" => Err(NotAReference("`file` is the path of a file, in one line")),
            "credential" if is_file_name(text) => Ok(Self::Credential(text.to_owned())),
            "credential" => Err(NotAReference("`credential` is a file name: letters, digits, `.`, `_` and `-`")),
            _ => Err(NotAReference(one)),
        }
    }
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_file_name(text: &str) -> bool {
    !text.starts_with('.') && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Whether a reference has a secret in the place of a name.
pub(crate) fn names_a_secret(reference: &Value) -> bool {
    let mut names = reference.as_object().into_iter().flat_map(|table| table.values());
    names.any(|name| name.as_str().is_some_and(looks_like_a_secret))
}

/// The finding about such a reference.
pub(crate) fn misplaced() -> Diagnostic {
    Diagnostic::error(Code::SecretLiteral, IN_PLACE_OF_ITS_NAME).help(WRITE_ITS_NAME)
}

/// Whether a text looks like a key: nobody calls a variable or a file so, and so it is never shown.
fn looks_like_a_secret(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word.len() >= KEY_CHARS && word.contains(|c: char| c.is_ascii_digit()))
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::File(path) => write!(f, "file `{}`", path.display()),
            Self::Credential(name) => write!(f, "credential `{name}`"),
        }
    }
}

/// The environment variables that secret references may name.
pub trait Environment {
    /// The value of a variable; `None` if it is not set.
    fn variable(&self, name: &str) -> Option<OsString>;
}

/// The variables of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl Environment for BTreeMap<String, String> {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }
}

impl SecretRef {
    /// The secret itself.
    ///
    /// # Errors
    /// A finding that names the variable, file or credential and never shows what it holds: `SP0303` to `SP0306`; `SP0301` if
    /// the name is probably the secret itself.
    pub fn resolve(&self, project_dir: &Path, env: &dyn Environment) -> Result<Secret, Box<Diagnostic>> {
        let text = self.read(project_dir, env).map_err(|finding| self.without_a_secret(finding))?;
        if text.is_empty() {
            let finding = Diagnostic::error(Code::SecretEmpty, format!("{self} is empty"));
            return Err(Box::new(finding.help("put the secret itself there, without quotes")));
        }
        Ok(Secret::new(text))
    }

    /// `finding` about this reference, unless that would show a secret.
    fn without_a_secret(&self, finding: Box<Diagnostic>) -> Box<Diagnostic> {
        let name = match self {
            Self::Env(name) | Self::Credential(name) => name.into(),
            Self::File(path) => path.to_string_lossy(),
        };
        if looks_like_a_secret(&name) {
            return Box::new(misplaced());
        }
        finding
    }

    fn read(&self, project_dir: &Path, env: &dyn Environment) -> Result<String, Box<Diagnostic>> {
        Ok(match self {
            Self::Env(name) => {
                let value = env.variable(name).ok_or_else(|| {
                    Diagnostic::error(Code::SecretNotInEnvironment, format!("{self} is not set"))
                        .help(format!("set it for this process, such as `export {name}=...`"))
                })?;
                value.into_string().map_err(|_| {
                    Diagnostic::error(Code::SecretNotInEnvironment, format!("{self} does not hold UTF-8 text"))
                        .help("a secret is sent as text: set the variable to the secret as the destination gave it")
                })?
            }
            Self::File(path) => read(&project_dir.join(path)).map_err(|error| {
                // What the system did not say is about what stands there.
                let help = if error.raw_os_error().is_some() { WHERE_IT_IS } else { WHAT_IT_HOLDS };
                Diagnostic::error(Code::SecretFileUnreadable, format!("cannot read the secret's {self}: {error}"))
                    .help(help)
            })?,
            Self::Credential(name) => {
                let dir = env.variable("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    Diagnostic::error(
                        Code::SecretCredentialMissing,
                        format!("cannot read {self}: `CREDENTIALS_DIRECTORY` is not set"),
                    )
                    .help(format!("systemd sets it for units with `LoadCredential={name}:...`"))
                })?;
                read(&Path::new(&dir).join(name)).map_err(|error| {
                    Diagnostic::error(Code::SecretCredentialMissing, format!("cannot read {self}: {error}"))
                        .help(format!("add `LoadCredential={name}:...` to the systemd unit"))
                })?
            }
        })
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    file::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("it is larger than 64 KiB"));
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|_| io::Error::other("it is not UTF-8 text; it may be in UTF-16 or Latin-1"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The JSON pointers in `value` of everything that `schema` marks as secret, whatever stands there.
pub(crate) fn secret_pointers(value: &Value, schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(value, schema, &mut |pointer, value, schema| {
        if schema.get(Secret::MARK) == Some(&Value::Bool(true)) && !value.is_null() {
            found.insert(pointer.to_owned());
        }
    });
    found
}

pub(crate) fn resolve_at(value: &Value, project_dir: &Path, env: &dyn Environment) -> Result<Secret, Box<Diagnostic>> {
    let reference =
        SecretRef::try_from(value).map_err(|error| Diagnostic::error(Code::BadSecretReference, error.to_string()))?;
    reference.resolve(project_dir, env)
}
