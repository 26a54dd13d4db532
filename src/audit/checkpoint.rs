//! Signed checkpoints: what a log was at a size, as a note of c2sp.org/tlog-checkpoint and c2sp.org/signed-note; and
//! bundles, which name all logs and their checkpoints of one moment. The key is another one than those of tokens.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList, key_id};
use tlog_tiles::checkpoint::Checkpoint;
use tlog_tiles::tlog::Hash;

use crate::clock::Entropy;
use crate::model::secret::Secret;
use crate::secrets::master_key::{MasterKey, Purpose};
use crate::store::audit::StoredCheckpointKey;

/// The kind of key, in front of its bytes (c2sp.org/signed-note).
const ED25519: u8 = 1;
/// What the text of a bundle begins with.
const BUNDLE: &str = "mdi-auth record bundle v1";

/// Why something cannot be signed, or does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CheckpointError(String);

impl CheckpointError {
    fn of(what: &str, cause: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}

/// A key that signs. One key signs for all logs, and each log's signatures name its origin: a key of the format belongs
/// to a name.
pub struct CheckpointKey {
    public: Vec<u8>,
    seed: Secret,
}

impl std::fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckpointKey({})", BASE64.encode(&self.public))
    }
}

/// What the wrapping of a private key is bound to.
pub fn context(public_key: &str) -> String {
    format!("checkpoint {public_key}")
}

/// Makes a key, its private part wrapped.
///
/// # Errors
/// What the cryptographic library says.
pub fn generate(
    master: &MasterKey,
    entropy: Entropy,
    now: i64,
) -> Result<StoredCheckpointKey, CheckpointError> {
    let seed = zeroize::Zeroizing::new(entropy.bytes::<32>());
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
        .map_err(|cause| CheckpointError::of("cannot make a checkpoint key", cause))?;
    let public_key = BASE64.encode(pair.public_key().as_ref());
    Ok(StoredCheckpointKey {
        id: 1,
        private_key: master.seal(
            Purpose::CheckpointKey,
            &context(&public_key),
            seed.as_slice(),
            entropy,
        ),
        public_key,
        created_at: now,
    })
}

fn typed(bytes: &[u8]) -> Vec<u8> {
    [&[ED25519], bytes].concat()
}

impl CheckpointKey {
    /// Unwraps a stored key.
    ///
    /// # Errors
    /// It does not open under this master key, or is none.
    pub fn open(stored: &StoredCheckpointKey, master: &MasterKey) -> Result<Self, CheckpointError> {
        let seed = master
            .open(
                Purpose::CheckpointKey,
                &context(&stored.public_key),
                &stored.private_key,
            )
            .map_err(|cause| CheckpointError::of("checkpoint key", cause))?;
        let public = BASE64
            .decode(stored.public_key.as_bytes())
            .map_err(|cause| CheckpointError::of("checkpoint key", cause))?;
        Ok(Self {
            public,
            seed: Secret::new(BASE64.encode(&typed(&seed))),
        })
    }

    fn sign(&self, name: &str, text: &[u8]) -> Result<String, CheckpointError> {
        let failed = |cause: &dyn std::fmt::Display| CheckpointError::of("cannot sign", cause);
        let id = key_id(name, &typed(&self.public));
        let key = format!("PRIVATE+KEY+{name}+{id:08x}+{}", self.seed.reveal());
        let signer = StandardSigner::new(&key).map_err(|cause| failed(&cause))?;
        let mut note = Note::new(text, &[]).map_err(|cause| failed(&cause))?;
        note.add_sigs(&[&signer]).map_err(|cause| failed(&cause))?;
        String::from_utf8(note.to_bytes()).map_err(|cause| failed(&cause))
    }

    /// Signs what a log is at a size. The same size and root always give the same note.
    ///
    /// # Errors
    /// What the libraries say.
    pub fn checkpoint(&self, origin: &str, size: u64, root: Hash) -> Result<String, CheckpointError> {
        let checkpoint = Checkpoint::new(origin, size, root, "")
            .map_err(|cause| CheckpointError::of("cannot sign", cause))?;
        self.sign(origin, &checkpoint.to_bytes())
    }

    /// Signs which logs there are at a moment, and their checkpoints.
    ///
    /// # Errors
    /// What the libraries say.
    pub fn bundle(&self, bundle: &Bundle) -> Result<String, CheckpointError> {
        self.sign(&bundle.name, bundle.text().as_bytes())
    }
}

/// The public keys that notes may be signed with, of now and of before.
#[derive(Debug, Clone)]
pub struct PublicKeys(Vec<Vec<u8>>);

impl PublicKeys {
    /// Reads keys as they are stored: 32 bytes in base64.
    ///
    /// # Errors
    /// A text that is none.
    pub fn read<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self, CheckpointError> {
        let read = |key: &str| {
            let bytes = BASE64.decode(key.as_bytes());
            let bytes = bytes.map_err(|cause| CheckpointError::of("public key", cause))?;
            if bytes.len() == 32 {
                Ok(bytes)
            } else {
                Err(CheckpointError("public key: it must have 32 bytes".to_owned()))
            }
        };
        Ok(Self(keys.into_iter().map(read).collect::<Result<_, _>>()?))
    }

    /// None: nothing verifies.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The keys as verifier keys of a name (c2sp.org/signed-note): what tools of others ask for.
    pub fn verifier_keys(&self, name: &str) -> Vec<String> {
        let key = |key: &Vec<u8>| {
            let typed = typed(key);
            format!("{name}+{:08x}+{}", key_id(name, &typed), BASE64.encode(&typed))
        };
        self.0.iter().map(key).collect()
    }

    /// The text of a note that one of the keys signed in this name.
    fn open(&self, name: &str, note: &str) -> Result<String, CheckpointError> {
        let parsed = Note::from_bytes(note.as_bytes())
            .map_err(|_| CheckpointError("it is not a signed note".to_owned()))?;
        let mut verifiers: Vec<Box<dyn signed_note::Verifier>> = Vec::new();
        for key in self.verifier_keys(name) {
            let verifier = StandardVerifier::new(&key)
                .map_err(|_| CheckpointError("a public key is not one of Ed25519".to_owned()))?;
            verifiers.push(Box::new(verifier));
        }
        parsed
            .verify(&VerifierList::new(verifiers))
            .map_err(|_| CheckpointError("it is not signed with the key of this server".to_owned()))?;
        String::from_utf8(parsed.text().to_vec())
            .map_err(|_| CheckpointError("it is not a signed note".to_owned()))
    }

    /// Reads a checkpoint and verifies its signature.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checkpoint(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let origin = note.lines().next().unwrap_or_default();
        let text = self.open(origin, note)?;
        // The library wants the blank line that ends a text, which is not a part of what is signed.
        Checkpoint::from_bytes(format!("{text}\n").as_bytes())
            .or_else(|_| Checkpoint::from_bytes(text.as_bytes()))
            .map_err(|_| CheckpointError("it is not a checkpoint".to_owned()))
    }

    /// Reads a bundle and verifies its signature.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn bundle(&self, note: &str) -> Result<Bundle, CheckpointError> {
        let name = note.lines().nth(1).unwrap_or_default();
        let text = self.open(name, note)?;
        Bundle::read(&text).ok_or_else(|| CheckpointError("it is not a bundle".to_owned()))
    }
}

/// The signed notes of a text that has one or several, whatever stands between them: a note is some lines without a blank
/// one, a blank one, and its signatures.
pub fn split(text: &str) -> Vec<String> {
    let (mut notes, mut lines, mut signatures) = (Vec::new(), Vec::new(), Vec::new());
    let mut has_ended = false;
    for line in text.lines().chain([""]) {
        if line.starts_with("\u{2014} ") {
            signatures.push(line);
            continue;
        }
        if !signatures.is_empty() {
            notes.push(format!("{}\n\n{}\n", lines.join("\n"), signatures.join("\n")));
            signatures.clear();
            has_ended = true;
        }
        if line.is_empty() {
            has_ended = true;
        } else {
            if std::mem::take(&mut has_ended) {
                lines.clear();
            }
            lines.push(line);
        }
    }
    notes
}

/// Whether a note is a bundle, and not a checkpoint.
pub fn is_bundle(note: &str) -> bool {
    note.lines().next() == Some(BUNDLE)
}

/// What the logs were at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Whose record it is: host and `/audit`.
    pub name: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// All logs: origin, size, root.
    pub logs: Vec<(String, u64, Hash)>,
}

impl Bundle {
    /// As it is signed: what it is, whose, when, and a line a log.
    fn text(&self) -> String {
        let lines = self.logs.iter();
        let lines = lines.map(|(origin, size, root)| format!("{origin} {size} {root}\n"));
        format!(
            "{BUNDLE}\n{}\n{}\n{}",
            self.name,
            self.at_ms,
            lines.collect::<String>()
        )
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(BUNDLE) {
            return None;
        }
        let name = lines.next()?.to_owned();
        let at_ms = lines.next()?.parse().ok()?;
        let log = |line: &str| {
            let mut words = line.split(' ');
            let log = (
                words.next()?.to_owned(),
                words.next()?.parse().ok()?,
                Hash::parse_hash(words.next()?).ok()?,
            );
            words.next().is_none().then_some(log)
        };
        let logs = lines.map(log).collect::<Option<_>>()?;
        Some(Self { name, at_ms, logs })
    }
}
