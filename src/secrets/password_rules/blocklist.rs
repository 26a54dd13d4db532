//! The passwords that an installation refuses beside those that the program knows: a file, one a line, letter case
//! ignored. It is read again when it has changed, so that a list can be renewed while the server runs.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use unicode_normalization::UnicodeNormalization;

/// A list and the file that it comes from.
#[derive(Debug)]
pub(super) struct Blocklist {
    path: PathBuf,
    keys: RandomState,
    read: Mutex<Read>,
}

/// What was read last. Lists have millions of lines: 64 bits of each are enough.
#[derive(Debug)]
struct Read {
    version: Version,
    hashes: HashSet<u64>,
}

/// When the file was changed, and its size in bytes.
type Version = (Option<SystemTime>, u64);

impl Blocklist {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let keys = RandomState::new();
        let read = Read::from(path, &keys).map_err(|cause| {
            format!(
                "cannot read {} ([login] password_blocklist_file): {cause}",
                path.display()
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            keys,
            read: Mutex::new(read),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .hashes
            .len()
    }

    pub(super) fn contains(&self, password: &str) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match version(&self.path) {
            Ok(version) if version == read.version => {}
            _ => match Read::from(&self.path, &self.keys) {
                Ok(new) => *read = new,
                Err(cause) => {
                    tracing::warn!(%cause, file = %self.path.display(), "the list of refused passwords cannot be read; the last one counts");
                }
            },
        }
        read.hashes.contains(&self.keys.hash_one(key(password)))
    }
}

impl Read {
    fn from(path: &Path, keys: &RandomState) -> std::io::Result<Self> {
        let version = version(path)?;
        let lines = BufReader::new(std::fs::File::open(path)?).lines();
        let hashes = lines
            .filter(|line| !line.as_ref().is_ok_and(String::is_empty))
            .map(|line| line.map(|line| keys.hash_one(key(&line))))
            .collect::<std::io::Result<_>>()?;
        Ok(Self { version, hashes })
    }
}

fn version(path: &Path) -> std::io::Result<Version> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.modified().ok(), metadata.len()))
}

fn key(line: &str) -> String {
    line.nfc().collect::<String>().to_lowercase()
}
