//! The key without which the ledger says nothing about anybody.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use segport_core::Secret;
use sha2::{Digest, Sha256};

use crate::files;
use crate::{Error, Result};

/// The 32 bytes that key every hash and checksum of one state. Never printed.
#[derive(Clone)]
pub struct StateKey([u8; 32]);

/// What a key derived from the state key is used for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subkey {
    Identity,
    Key,
    Fingerprint,
    Page,
    Check,
}

impl Subkey {
    fn label(self) -> &'static str {
        match self {
            Self::Identity => "segport identity v1",
            Self::Key => "segport key v1",
            Self::Fingerprint => "segport fingerprint v1",
            Self::Page => "segport page v1",
            Self::Check => "segport check v1",
        }
    }
}

impl StateKey {
    /// Name of the key's file in the state directory.
    pub const FILE: &'static str = "state.key";

    /// Shortest secret that [`StateKey::from_secret`] takes, in bytes.
    pub const SHORTEST_SECRET: usize = 16;

    /// Reads the key of a state directory, or makes directory (0700) and key (0600) at first use. Of several processes that
    /// make one at once, one wins and all use its key.
    ///
    /// # Errors
    /// If the file cannot be read or made, is not a key, or may be read by others.
    pub fn load_or_create(directory: &Path) -> Result<Self> {
        let path = directory.join(Self::FILE);
        if !path.try_exists().map_err(|error| Error::io("read the state key", &path, error))? {
            Self::create(directory, &path)?;
        }
        let key = Self::load(directory)?;
        // Whoever made the key may have died before its name was on disk, and a state without its key cannot be read.
        files::sync_directory(directory).map_err(|error| Error::io("keep the state key", &path, error))?;
        Ok(key)
    }

    /// Reads the key of a state that there is already; makes none.
    ///
    /// # Errors
    /// As [`StateKey::load_or_create`], and if there is no key.
    pub fn load(directory: &Path) -> Result<Self> {
        let path = directory.join(Self::FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Self::from_file(&path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::BadKey {
                place: path.display().to_string(),
                problem: "it is missing; restore it from a backup",
            }),
            Err(error) => Err(Error::io("read the state key", &path, error)),
        }
    }

    /// The key of a secret kept elsewhere. The text of a `state.key` gives the key of that file, so it can be moved to a secret
    /// store; any other text is hashed.
    ///
    /// # Errors
    /// If the secret is shorter than [`StateKey::SHORTEST_SECRET`].
    pub fn from_secret(secret: &Secret) -> Result<Self> {
        let text = secret.expose().trim();
        if let Some(key) = Self::parse(text) {
            return Ok(key);
        }
        if text.len() < Self::SHORTEST_SECRET {
            return Err(Error::BadKey {
                place: "of `[state] key`".to_owned(),
                problem: "it is shorter than 16 characters; make one with `openssl rand -hex 32`",
            });
        }
        Ok(Self(Sha256::new().chain_update("segport state key v1\0").chain_update(text).finalize().into()))
    }

    pub(crate) fn subkey(&self, use_: Subkey) -> [u8; 16] {
        let digest = Sha256::new().chain_update(self.0).chain_update(use_.label()).finalize();
        let mut key = [0; 16];
        for (byte, of_digest) in key.iter_mut().zip(digest) {
            *byte = of_digest;
        }
        key
    }

    /// What a database remembers of its key: enough to tell another key, useless to find this one.
    pub(crate) fn check_value(&self) -> String {
        hex::encode(self.subkey(Subkey::Check))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).ok()?;
        Some(Self(key))
    }

    fn from_file(path: &Path, text: &str) -> Result<Self> {
        let bad = |problem| Error::BadKey { place: path.display().to_string(), problem };
        if files::others_may_read(path).map_err(|error| Error::io("inspect the state key", path, error))? {
            return Err(bad("other users of this machine may read it; take that away with `chmod 600`"));
        }
        Self::parse(text.trim()).ok_or_else(|| bad("it does not hold 64 hexadecimal digits; restore it from a backup"))
    }

    /// Writes the whole file under a name of its own, then links it into place: nobody ever sees half a key, and an existing
    /// key is never replaced.
    fn create(directory: &Path, path: &Path) -> Result<()> {
        files::create_directory(directory)?;
        let mut random = [0; 32 + 8];
        getrandom::fill(&mut random)
            .map_err(|error| Error::io("find random bytes for the state key", path, io::Error::other(error)))?;
        let (key, name) = random.split_at(32);
        let draft: PathBuf = directory.join(format!(".{}.{}", Self::FILE, hex::encode(name)));
        let failed = |error| Error::io("write the state key", path, error);
        let written = files::create_private(&draft).and_then(|mut file| {
            writeln!(file, "{}", hex::encode(key))?;
            file.sync_all()?;
            fs::hard_link(&draft, path)
        });
        let removed = fs::remove_file(&draft);
        match written {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
            _ => removed.map_err(failed),
        }
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join(".segport");
        let first = StateKey::load_or_create(&directory).unwrap();
        let again = StateKey::load_or_create(&directory).unwrap();
        assert_eq!(first.0, again.0);
        assert!(!files::others_may_read(&directory.join(StateKey::FILE)).unwrap());
        let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [StateKey::FILE]);

        let moved = Secret::new(fs::read_to_string(directory.join(StateKey::FILE)).unwrap());
        assert_eq!(StateKey::from_secret(&moved).unwrap().0, first.0);
        assert_eq!(format!("{first:?}"), "StateKey(..)");
    }

    #[test]
    fn a_key_that_is_only_looked_for_is_not_made() {
        let place = tempfile::tempdir().unwrap();
        let error = StateKey::load(place.path()).unwrap_err().to_string();
        assert!(error.contains("state.key") && error.contains("restore it from a backup"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        let made = StateKey::load_or_create(place.path()).unwrap();
        assert_eq!(StateKey::load(place.path()).unwrap().0, made.0);
    }

    #[test]
    fn a_key_that_cannot_be_right_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(StateKey::FILE);
        files::create_private(&path).unwrap().write_all(b"0123").unwrap();
        assert!(StateKey::load_or_create(place.path()).unwrap_err().to_string().contains("64 hexadecimal digits"));
        assert!(matches!(StateKey::from_secret(&Secret::new("short")), Err(Error::BadKey { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        StateKey::load_or_create(place.path()).unwrap();
        let path = place.path().join(StateKey::FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(StateKey::load_or_create(place.path()).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn processes_that_make_a_key_at_once_agree() {
        let place = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| StateKey::load_or_create(place.path()).unwrap().0)).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| Some(key) == keys.first()));
    }
}
