//! Where files are: from `path` to a sorted list of regular files, none of them outside the root.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use segport_sdk::{Error, ErrorKind, Result};

use crate::glob;
use crate::settings::{Format, invalid};

/// One file as it was when the read began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFile {
    /// The path relative to the root, with slashes.
    pub(crate) name: String,
    path: PathBuf,
    pub(crate) size: u64,
    version: Version,
}

/// What tells a file, as it was once, from any other and from itself after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Of contents or anything else. Unlike the time above it cannot be set.
    changed: (i64, i64),
}

impl Version {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl SourceFile {
    /// Opens the file. It is the one that was found below the root, whatever stands in its place by now.
    ///
    /// # Errors
    /// Names the file and what the system said; `unavailable` if it is not what it was when the read began.
    pub(crate) fn open(&self) -> Result<File> {
        let failed = |error: io::Error| self.failed("opened", &error);
        let file = hold(&self.path).map_err(failed)?;
        self.check_version(&file.metadata().map_err(failed)?)?;
        File::open(place_of(&file)).map_err(failed)
    }

    /// Makes sure the file is still what it was when the read began.
    ///
    /// # Errors
    /// `unavailable` if another is in its place, or its size or a time of change differ.
    pub(crate) fn unchanged(&self) -> Result<()> {
        self.check_version(&fs::metadata(&self.path).map_err(|error| self.failed("looked at", &error))?)
    }

    fn check_version(&self, now: &Metadata) -> Result<()> {
        if now.len() == self.size && Version::of(now) == self.version { Ok(()) } else { Err(changed(&self.name)) }
    }

    /// The error for an operation that the system refused.
    pub(crate) fn failed(&self, done: &str, error: &io::Error) -> Error {
        io_error(&format!("the file `{}` could not be {done}", self.name), error)
    }
}

/// Takes hold of what is at `path`, a link itself and not what it leads to, without opening it to be read: of a pipe that would
/// wait for a writer.
fn hold(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)
}

/// The link that the system keeps from an open file to where it lies.
fn place_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The error for data that moved while it was read.
pub(crate) fn changed(name: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("`{name}` changed while it was being read: run again when nothing writes there"),
    )
}

/// A number that differs, in all likelihood, when any of the files is another or has changed.
pub(crate) fn fingerprint(files: &[SourceFile]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for file in files {
        feed(file.name.as_bytes());
        feed(&[0]);
        feed(&file.size.to_le_bytes());
        let Version { device, inode, modified, changed } = file.version;
        [device, inode].iter().for_each(|number| feed(&number.to_le_bytes()));
        [modified.0, modified.1, changed.0, changed.1].iter().for_each(|number| feed(&number.to_le_bytes()));
    }
    hash
}

/// The directory that everything is read from.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    directory: PathBuf,
}

impl Root {
    /// A root at `directory`, which need not exist yet.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The files that `path` stands for, sorted by name; at least one. With a folder, those that fit `format`.
    ///
    /// # Errors
    /// `not_found` for what is not there, `config_invalid` for a path that leaves the root.
    pub(crate) fn files(&self, path: &str, format: Option<Format>) -> Result<Vec<SourceFile>> {
        let real_root = fs::canonicalize(&self.directory).map_err(|error| {
            io_error(&format!("the source's root `{}` could not be opened", self.directory.display()), &error)
        })?;
        let place = Place { real_root, path };
        let components = place.components()?;
        let literal = place.real_root.join(components.iter().collect::<PathBuf>());
        let mut files = match fs::metadata(&literal) {
            Ok(found) if found.is_dir() => place.folder(&literal, format)?,
            Ok(_) => vec![place.file(&literal)?],
            Err(_) if glob::is_pattern(path) => place.matching(&components)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(place.missing(&components)),
            Err(error) => return Err(io_error(&format!("`{path}` could not be opened"), &error)),
        };
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

/// One search below one root.
struct Place<'a> {
    real_root: PathBuf,
    path: &'a str,
}

impl Place<'_> {
    fn components(&self) -> Result<Vec<String>> {
        let mut components = Vec::new();
        for component in Path::new(self.path).components() {
            match component {
                Component::Normal(name) => components.push(name.to_string_lossy().into_owned()),
                Component::CurDir => {}
                Component::ParentDir => {
                    return Err(invalid(format!("`path` is `{}`, but `..` would leave the source's root", self.path)));
                }
                Component::RootDir | Component::Prefix(_) => {
                    return Err(invalid(format!(
                        "`path` is `{}`, but must be relative to the source's root",
                        self.path
                    )));
                }
            }
        }
        if self.path.is_empty() {
            return Err(invalid("`path` is empty: name a file, a folder (`.` for the root itself) or a pattern"));
        }
        Ok(components)
    }

    /// The path below the root, as text.
    fn name(&self, path: &Path) -> Result<String> {
        let below = path.strip_prefix(&self.real_root).unwrap_or(path);
        below.to_str().map(str::to_owned).ok_or_else(|| {
            invalid(format!(
                "the name of the file `{}` is no text in UTF-8: rename it, or choose others with a pattern in `path`",
                below.as_os_str().as_encoded_bytes().escape_ascii()
            ))
        })
    }

    fn file(&self, path: &Path) -> Result<SourceFile> {
        let name = self.name(path)?;
        let failed = |error: io::Error| io_error(&format!("`{name}` could not be opened"), &error);
        let real = fs::canonicalize(path).map_err(failed)?;
        let file = hold(&real).map_err(failed)?;
        // Where the file itself lies: what its path leads to can become another at any moment.
        if !fs::read_link(place_of(&file)).map_err(failed)?.starts_with(&self.real_root) {
            return Err(invalid(format!("`{name}` is a symbolic link that leads out of the source's root")));
        }
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(invalid(format!("`{name}` is not a regular file")));
        }
        Ok(SourceFile { name, path: real, size: found.len(), version: Version::of(&found) })
    }

    fn folder(&self, folder: &Path, format: Option<Format>) -> Result<Vec<SourceFile>> {
        let real = fs::canonicalize(folder)
            .map_err(|error| io_error(&format!("`{}` could not be opened", self.path), &error))?;
        if !real.starts_with(&self.real_root) {
            return Err(invalid(format!("`{}` is a symbolic link that leads out of the source's root", self.path)));
        }
        let entries = self.entries(folder)?;
        let mut files = Vec::new();
        for entry in &entries {
            let shown = entry.to_string_lossy();
            let fits = Format::of(&shown).is_some_and(|of| format.is_none_or(|wanted| wanted == of));
            let path = folder.join(entry);
            if fits && !glob::is_left_out(&shown) && !path.is_dir() {
                files.push(self.file(&path)?);
            }
        }
        if files.is_empty() {
            let wanted =
                format.map_or("CSV, JSON lines or Parquet".to_owned(), |format| format!("`{}`", format.as_str()));
            return Err(not_found(format!(
                "the folder `{}` holds no {wanted} file{}; other endings need a pattern such as `*.txt` and `format`",
                self.path,
                listing(&entries)
            )));
        }
        Ok(files)
    }

    fn matching(&self, components: &[String]) -> Result<Vec<SourceFile>> {
        let mut found = Vec::new();
        self.expand(&self.real_root, components, &mut found)?;
        if found.is_empty() {
            let fixed: PathBuf = components.iter().take_while(|component| !glob::is_pattern(component)).collect();
            let there = self.entries(&self.real_root.join(fixed)).unwrap_or_default();
            return Err(not_found(format!("nothing matches `{}`{}", self.path, listing(&there))));
        }
        found.sort();
        found.dedup();
        found.iter().map(|path| self.file(path)).collect()
    }

    /// Adds the files below `folder` that fit the rest of the pattern.
    fn expand(&self, folder: &Path, rest: &[String], found: &mut Vec<PathBuf>) -> Result<()> {
        let Some((first, rest)) = rest.split_first() else { return Ok(()) };
        if first == "**" {
            // As the last component it means every file below, otherwise it also stands for no folder at all.
            let every = ["*".to_owned()];
            self.expand(folder, if rest.is_empty() { &every } else { rest }, found)?;
        }
        for entry in self.entries(folder)? {
            let (path, shown) = (folder.join(&entry), entry.to_string_lossy());
            if first == "**" {
                // Links to folders are not followed here: they may lead back up.
                let real_folder = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
                if real_folder && !glob::is_left_out(&shown) {
                    let again: Vec<String> = std::iter::once("**".to_owned()).chain(rest.iter().cloned()).collect();
                    self.expand(&path, &again, found)?;
                }
            } else if glob::fits(first, &shown) {
                match (rest.is_empty(), path.is_dir()) {
                    (true, false) => found.push(path),
                    (false, true) => self.expand(&path, rest, found)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn entries(&self, folder: &Path) -> Result<Vec<OsString>> {
        let shown = match folder.strip_prefix(&self.real_root) {
            Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
            Ok(below) => below.display().to_string(),
            Err(_) => folder.display().to_string(),
        };
        let failed = |error: &io::Error| {
            io_error(&format!("the folder `{shown}` of `{}` could not be listed", self.path), error)
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| failed(&error))? {
            names.push(entry.map_err(|error| failed(&error))?.file_name());
        }
        names.sort();
        Ok(names)
    }

    /// The error for a name that is not there: what is, and what may have been meant.
    fn missing(&self, components: &[String]) -> Error {
        let mut folder = self.real_root.clone();
        for component in components {
            let next = folder.join(component);
            if !next.exists() {
                let there = self.entries(&folder).unwrap_or_default();
                let hint = did_you_mean(component, there.iter().filter_map(|name| name.to_str()));
                let hint = if hint.is_empty() { listing(&there) } else { hint };
                return not_found(format!("`{}` does not exist in the source's root{hint}", self.path));
            }
            folder = next;
        }
        not_found(format!("`{}` does not exist in the source's root", self.path))
    }
}

/// `; did you mean ...?` if one of `known` is close to `name`, or nothing.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let closest = known.map(|known| (strsim::jaro_winkler(name, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match closest {
        Some((likeness, known)) if likeness > 0.8 => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

fn listing(names: &[OsString]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
    let shown: Vec<String> =
        names.iter().filter(|name| !name.starts_with('.')).take(SHOWN).map(|name| format!("`{name}`")).collect();
    match (shown.is_empty(), names.len() > SHOWN) {
        (true, _) => "; the folder is empty".to_owned(),
        (false, false) => format!("; there is {}", shown.join(", ")),
        (false, true) => format!("; there is {} and more", shown.join(", ")),
    }
}

fn not_found(message: String) -> Error {
    Error::new(ErrorKind::NotFound, message)
}

fn io_error(message: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, message).because(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_takes_the_place_of_a_file_is_not_read() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("in.csv"), "a\nsecret").unwrap();
        let check = |replace: &dyn Fn(&Path)| {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("lists")).unwrap();
            let listed = folder.path().join("lists/in.csv");
            fs::write(&listed, "a\npublic").unwrap();
            let files = Root::new(folder.path().to_owned()).files("lists", None).unwrap();
            let [file] = files.as_slice() else { panic!("{files:?}") };
            assert!(file.open().is_ok() && file.unchanged().is_ok());

            let modified = fs::metadata(&listed).unwrap().modified().unwrap();
            let other = File::options().write(true).open(outside.path().join("in.csv")).unwrap();
            other.set_modified(modified).unwrap();
            replace(folder.path());
            for refused in [file.open().map(drop), file.unchanged()] {
                let message = refused.unwrap_err().to_string();
                assert!(message.contains("`lists/in.csv` changed while it was being read"), "{message}");
            }
        };
        check(&|folder| {
            fs::remove_file(folder.join("lists/in.csv")).unwrap();
            symlink(outside.path().join("in.csv"), folder.join("lists/in.csv")).unwrap();
        });
        check(&|folder| {
            fs::rename(folder.join("lists"), folder.join("former")).unwrap();
            symlink(outside.path(), folder.join("lists")).unwrap();
        });
        check(&|folder| {
            fs::rename(folder.join("lists/in.csv"), folder.join("lists/former.csv")).unwrap();
            fs::hard_link(outside.path().join("in.csv"), folder.join("lists/in.csv")).unwrap();
        });
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_named_by_its_place_below_the_root() {
        let place = Place { real_root: PathBuf::from("/no/such/root"), path: "**/customers.csv" };
        for (below, shown) in [("", "."), ("2026/november", "2026/november")] {
            let message = place.entries(&place.real_root.join(below)).unwrap_err().to_string();
            let expected = format!("the folder `{shown}` of `**/customers.csv` could not be listed");
            assert!(message.contains(&expected), "{message}");
        }
    }
}
