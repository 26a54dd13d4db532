//! The master key: kept outside the database, it wraps signing keys, TOTP secrets and our secrets at identity providers,
//! seals what the browser carries, and derives what must be the same on every server that shares a database.

use std::fmt;
use std::io::Write;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use zeroize::Zeroizing;

use crate::clock::Entropy;
use crate::model::secret::key_bytes;

const NONCE: usize = 12;

/// What can be wrong with the master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The text is not 32 bytes in base64 or hexadecimal.
    #[error("{0} does not hold 32 bytes in base64 or hexadecimal; restore the key from its backup")]
    Malformed(String),
    /// The file cannot be read or written.
    #[error("cannot read or create the master key file {path}: {cause}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A sealed value does not open: altered, from another installation, or made for something else.
    #[error("sealed value does not open")]
    DoesNotOpen,
}

/// What a sealed value is for. A value sealed for one purpose never opens for another.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// Private signing keys at rest.
    SigningKey,
    /// TOTP secrets at rest.
    TotpSecret,
    /// An authorization request that the browser carries through login and consent.
    PendingAuthorization,
    /// A passkey ceremony that the browser carries.
    Ceremony,
    /// Our secrets at identity providers, at rest.
    UpstreamSecret,
    /// A sign-in on its way through an identity provider (`state`).
    UpstreamState,
    /// A secret or link that the console shows once, carried by the browser from the change to the page.
    ShownOnce,
    /// The answer to a request of the admin API that may be sent again, at rest.
    IdempotentAnswer,
    /// When a form of the console was shown, to whom and where.
    FormShown,
    /// What was typed into a form that is shown again, carried by the browser meanwhile.
    Typed,
    /// The private keys of checkpoints of the record, at rest.
    CheckpointKey,
}

impl Purpose {
    const ALL: [Self; 11] = [
        Self::SigningKey,
        Self::TotpSecret,
        Self::PendingAuthorization,
        Self::Ceremony,
        Self::UpstreamSecret,
        Self::UpstreamState,
        Self::ShownOnce,
        Self::IdempotentAnswer,
        Self::FormShown,
        Self::Typed,
        Self::CheckpointKey,
    ];

    /// Each purpose has a key of its own: strangers can have any number of pending authorizations sealed.
    fn label(self) -> &'static [u8] {
        match self {
            Self::SigningKey => b"seal v1 signing key",
            Self::TotpSecret => b"seal v1 totp secret",
            Self::PendingAuthorization => b"seal v1 pending authorization",
            Self::Ceremony => b"seal v1 passkey ceremony",
            Self::UpstreamSecret => b"seal v1 upstream secret",
            Self::UpstreamState => b"seal v1 upstream state",
            Self::ShownOnce => b"seal v1 shown once",
            Self::IdempotentAnswer => b"seal v1 idempotent answer",
            Self::FormShown => b"seal v1 form shown",
            Self::Typed => b"seal v1 typed",
            Self::CheckpointKey => b"seal v1 checkpoint key",
        }
    }
}

/// What a derived value is for.
#[derive(Debug, Clone, Copy)]
pub enum Derivation {
    /// The successor of a refresh token.
    RefreshToken,
    /// The CSRF token of a browser.
    Csrf,
    /// The keyed hash of a username: people type passwords into the wrong field.
    Username,
    /// A recovery code, and its keyed hash.
    RecoveryCode,
    /// The mark of a browser that has signed a person in.
    KnownBrowser,
    /// The keyed hash of a request that may be sent again: it may hold a password.
    Request,
}

impl Derivation {
    fn label(self) -> &'static [u8] {
        match self {
            Self::RefreshToken => b"refresh token",
            Self::Csrf => b"csrf",
            Self::Username => b"username",
            Self::RecoveryCode => b"recovery code",
            Self::KnownBrowser => b"known browser",
            Self::Request => b"request",
        }
    }
}

/// The key-encryption key of an installation, with the keys derived from it.
pub struct MasterKey {
    seals: [LessSafeKey; 11],
    derive: Prk,
    fingerprint: String,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.fingerprint)
    }
}

impl MasterKey {
    /// Builds the key from its 32 bytes.
    ///
    /// # Errors
    /// When the cryptographic library refuses the bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, MasterKeyError> {
        let derive = Salt::new(HKDF_SHA256, b"mdi-auth").extract(bytes);
        let seal = |purpose: Purpose| {
            let mut sealing = Zeroizing::new([0u8; 32]);
            expand(&derive, purpose.label(), sealing.as_mut_slice())?;
            let key =
                UnboundKey::new(&AES_256_GCM, sealing.as_slice()).map_err(|_| MasterKeyError::DoesNotOpen)?;
            Ok(LessSafeKey::new(key))
        };
        let [
            signing,
            totp,
            pending,
            ceremony,
            secret,
            state,
            once,
            answer,
            shown,
            typed,
            checkpoint,
        ] = Purpose::ALL.map(seal);
        let seals = [
            signing?,
            totp?,
            pending?,
            ceremony?,
            secret?,
            state?,
            once?,
            answer?,
            shown?,
            typed?,
            checkpoint?,
        ];
        let mut printed = [0u8; 32];
        expand(&derive, b"fingerprint", &mut printed)?;
        let fingerprint = HEXLOWER.encode(digest(&SHA256, &printed).as_ref().get(..8).unwrap_or_default());
        Ok(Self {
            seals,
            derive,
            fingerprint,
        })
    }

    /// Reads the key from text: base64 or hexadecimal of 32 bytes. `origin` names where the text stood.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn from_text(text: &str, origin: &str) -> Result<Self, MasterKeyError> {
        let bytes = key_bytes(text).ok_or_else(|| MasterKeyError::Malformed(origin.to_owned()))?;
        Self::from_bytes(&bytes)
    }

    /// Reads the key file, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn read_file(path: &Path) -> Result<Option<Self>, MasterKeyError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_text(&text, &path.display().to_string()).map(Some),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(broken(path, cause)),
        }
    }

    /// Reads the key file, or makes it when there is none.
    ///
    /// # Errors
    /// As [`MasterKey::read_file`] and [`MasterKey::make_file`].
    pub fn from_file(path: &Path, entropy: Entropy) -> Result<Self, MasterKeyError> {
        match Self::read_file(path)? {
            Some(key) => Ok(key),
            None => Self::make_file(path, entropy),
        }
    }

    /// Makes the key file (mode 0600). Where another process was first, its key is the key.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn make_file(path: &Path, entropy: Entropy) -> Result<Self, MasterKeyError> {
        // Written whole under another name first: nobody ever reads half a key.
        let draft = path.with_extension(format!("draft-{}", entropy.id("key")));
        let made = write_private(&draft, &entropy)
            .and_then(|()| std::fs::hard_link(&draft, path))
            .and_then(|()| sync_directory(path));
        let _ = std::fs::remove_file(&draft);
        match made {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => Err(broken(path, cause)),
            _ => Self::read_file(path)?
                .ok_or_else(|| broken(path, std::io::Error::from(std::io::ErrorKind::NotFound))),
        }
    }

    /// Tells keys apart without telling anything of them; the database keeps it and refuses another key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn seal_of(&self, purpose: Purpose) -> &LessSafeKey {
        let [
            signing,
            totp,
            pending,
            ceremony,
            secret,
            state,
            once,
            answer,
            shown,
            typed,
            checkpoint,
        ] = &self.seals;
        match purpose {
            Purpose::SigningKey => signing,
            Purpose::TotpSecret => totp,
            Purpose::PendingAuthorization => pending,
            Purpose::Ceremony => ceremony,
            Purpose::UpstreamSecret => secret,
            Purpose::UpstreamState => state,
            Purpose::ShownOnce => once,
            Purpose::IdempotentAnswer => answer,
            Purpose::FormShown => shown,
            Purpose::Typed => typed,
            Purpose::CheckpointKey => checkpoint,
        }
    }

    /// Seals bytes for a purpose, bound to a context that must be the same when they are opened.
    pub fn seal(&self, purpose: Purpose, context: &str, plain: &[u8], entropy: Entropy) -> String {
        let nonce = entropy.bytes::<NONCE>();
        let mut sealed = plain.to_vec();
        // AES-GCM fails only for inputs of more than 64 GiB.
        if self
            .seal_of(purpose)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut sealed,
            )
            .is_err()
        {
            std::process::abort();
        }
        let mut whole = nonce.to_vec();
        whole.append(&mut sealed);
        BASE64URL_NOPAD.encode(&whole)
    }

    /// Opens what [`MasterKey::seal`] made for the same purpose and context.
    ///
    /// # Errors
    /// When the text was altered, is of another installation, or was sealed for something else.
    pub fn open(
        &self,
        purpose: Purpose,
        context: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let mut whole = BASE64URL_NOPAD
            .decode(sealed.as_bytes())
            .map_err(|_| MasterKeyError::DoesNotOpen)?;
        let (nonce, body) = whole
            .split_at_mut_checked(NONCE)
            .ok_or(MasterKeyError::DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| MasterKeyError::DoesNotOpen)?;
        let plain = self
            .seal_of(purpose)
            .open_in_place(nonce, Aad::from(context.as_bytes()), body)
            .map_err(|_| MasterKeyError::DoesNotOpen)?;
        Ok(Zeroizing::new(plain.to_vec()))
    }

    /// HMAC-SHA-256 over length-prefixed parts, as base64url: the same on every server that holds this key.
    pub fn derive(&self, what: Derivation, parts: &[&str]) -> String {
        let mut key = Zeroizing::new([0u8; 32]);
        if expand(&self.derive, what.label(), key.as_mut_slice()).is_err() {
            std::process::abort();
        }
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()));
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        BASE64URL_NOPAD.encode(context.sign().as_ref())
    }
}

/// Who else may touch a file: the permission bits of others, and of its group. Container platforms give their volumes to a
/// group that the process has beside its own: that one is no other, whereas its own may be shared by all who work here.
#[cfg(unix)]
pub fn open_to_others(metadata: &std::fs::Metadata) -> u32 {
    use rustix::process::{getegid, getgroups};
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    let group = std::os::unix::fs::MetadataExt::gid(metadata);
    let own = getegid().as_raw() != group
        && getgroups().is_ok_and(|groups| groups.iter().any(|own| own.as_raw() == group));
    mode & if own { 0o007 } else { 0o077 }
}

/// Who else may touch a file: not known on this system.
#[cfg(not(unix))]
pub fn open_to_others(_: &std::fs::Metadata) -> u32 {
    0
}

/// Writes a new key to a file that only its owner may read.
fn write_private(path: &Path, entropy: &Entropy) -> std::io::Result<()> {
    let bytes = Zeroizing::new(entropy.bytes::<32>());
    let text = Zeroizing::new(format!("{}\n", BASE64.encode(bytes.as_slice())));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn broken(path: &Path, cause: std::io::Error) -> MasterKeyError {
    MasterKeyError::File {
        path: path.display().to_string(),
        cause,
    }
}

/// The directory too: a database must not outlive its key in a power cut.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

fn expand(key: &Prk, label: &[u8], out: &mut [u8]) -> Result<(), MasterKeyError> {
    let info = [label];
    key.expand(&info, HKDF_SHA256)
        .and_then(|okm| okm.fill(out))
        .map_err(|_| MasterKeyError::DoesNotOpen)
}
