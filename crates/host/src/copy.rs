//! A private copy of a library, made of a file that not everybody may write.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use segport_core::without_temporary_path;

use crate::error::{LoadErrorKind, Problem};

/// The bit of a file's mode that lets everybody write.
const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// Bytes copied and hashed at a time.
const PIECE: usize = 1 << 20;

/// A library's bytes where nobody else can change them between hashing and loading: in a file without a name, of which nothing
/// is left however this process ends.
#[derive(Debug)]
pub(crate) struct PrivateCopy {
    file: File,
    sha256: String,
}

impl PrivateCopy {
    /// Copies the library at `path`, or says why it cannot be used.
    pub(crate) fn make(path: &Path) -> Result<Self, Problem> {
        let mut original = open_trusted(path)?;
        let failed = |error: io::Error| {
            let place = std::env::temp_dir();
            let text = format!(
                "cannot be copied to a private file in {}: {}",
                place.display(),
                without_temporary_path(&error)
            );
            Problem::new(LoadErrorKind::NoPlaceForCopy, text)
        };
        let mut file = tempfile::tempfile().map_err(failed)?;
        let sha256 = copy(&mut original, &mut file).map_err(failed)?;
        Ok(Self { file, sha256 })
    }

    /// A path to it that stays good, and no other file's, for as long as this process lives: the system's loader takes a path
    /// that it has seen for the library that it loaded from there.
    pub(crate) fn lasting_path(&self) -> io::Result<PathBuf> {
        let never_closed = self.file.try_clone()?.into_raw_fd();
        Ok(PathBuf::from(format!("/proc/self/fd/{never_closed}")))
    }

    /// SHA-256 of the copied bytes in hexadecimal.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// SHA-256 in hexadecimal of the library at `path`, or why it cannot be used.
pub(crate) fn sha256(path: &Path) -> Result<String, Problem> {
    copy(&mut open_trusted(path)?, &mut io::sink()).map_err(unreadable)
}

/// Opens a file that not everybody may write, nor replace, nor the directories above it. Of directories that are links only
/// where they are and where they end is looked at.
fn open_trusted(path: &Path) -> Result<File, Problem> {
    let real = path.canonicalize().map_err(|error| missing(path, &error))?;
    // Who may write where a link is decides what it leads to, so that counts as much as where the bytes are.
    let mut place = path.to_owned();
    loop {
        refuse_unsafe_directory(&place)?;
        let Ok(target) = fs::read_link(&place) else { break };
        place = directory_of(&place).join(target);
    }
    refuse_unsafe_directory(&real)?;
    let file = File::open(&real).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is no file".to_owned().into());
    }
    if world_writable(&metadata) {
        return Err(Problem::new(LoadErrorKind::Unsafe, "is refused: it is writable by everybody (`chmod o-w` it)"));
    }
    Ok(file)
}

fn refuse_unsafe_directory(file: &Path) -> Result<(), Problem> {
    let directory = directory_of(file);
    if world_writable(&directory.metadata().map_err(unreadable)?) {
        return Err(Problem::new(
            LoadErrorKind::Unsafe,
            "is refused: its directory is writable by everybody (`chmod o-w` it)",
        ));
    }
    let absolute = std::path::absolute(directory).map_err(unreadable)?;
    for above in absolute.ancestors().skip(1) {
        let metadata = above.metadata().map_err(unreadable)?;
        // Where the sticky bit is set, as in /tmp, only its owner can put another directory in the place of one.
        if world_writable(&metadata) && metadata.permissions().mode() & STICKY == 0 {
            let text =
                format!("is refused: `{}`, above it, is writable by everybody (`chmod o-w` it)", above.display());
            return Err(Problem::new(LoadErrorKind::Unsafe, text));
        }
    }
    Ok(())
}

/// The directory that a file is in.
pub(crate) fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn missing(path: &Path, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound if directory_of(path).is_dir() => {
            Problem::new(LoadErrorKind::NotInstalled, "no such file")
        }
        io::ErrorKind::NotFound => Problem::new(LoadErrorKind::NotInstalled, "no such directory"),
        _ => format!("cannot be read: {error}").into(),
    }
}

fn unreadable(error: io::Error) -> Problem {
    format!("cannot be read: {error}").into()
}

fn world_writable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & WORLD_WRITABLE != 0
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        to.write_all(read)?;
    }
    Ok(hex::encode(hash.finish()))
}
