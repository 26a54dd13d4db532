//! Passkeys and security keys (Web Authentication Level 2), and the only module that knows `webauthn-rs`. A ceremony is
//! stateless: what the library wants kept travels sealed in the page, bound to the browser, to the purpose and to the
//! person, good for five minutes; the write that accepts an answer decides that it is the first. The authenticator has to
//! verify its user in every ceremony, so that a passkey is two factors by itself.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::clock::{Entropy, SharedClock};
use crate::config::Issuer;
use crate::error::Broken;
use crate::model::person::Person;
use crate::model::secret::SecretHash;
use crate::secrets::master_key::{MasterKey, Purpose};
use crate::store::passkeys::StoredPasskey;
use crate::store::{Conn, Stored, tokens};

/// How long a ceremony may take, from the page to the answer, in seconds.
const CEREMONY_SECONDS: i64 = 300;
/// How long the browser waits for the authenticator: the rest is for whoever reads the page first.
const AUTHENTICATOR_PATIENCE: Duration = Duration::from_secs(120);
/// The longest id of a credential, in bytes (WebAuthn Level 2 §5.8.3 `credentialId`).
const LONGEST_CREDENTIAL_ID: usize = 1023;

/// This server as a relying party: its id is the issuer's host, its only origin the issuer.
#[derive(Debug)]
pub struct RelyingParty {
    library: Webauthn,
    seals: Seals,
}

/// What a state is sealed and opened with.
#[derive(Debug)]
struct Seals {
    master: Arc<MasterKey>,
    clock: SharedClock,
    entropy: Entropy,
}

/// What a ceremony is for. An answer never counts for another purpose or person.
#[derive(Debug, Clone, Copy)]
pub enum Ceremony<'a> {
    /// A passkey is added to the account of this person.
    Adding(&'a str),
    /// Somebody signs in with a passkey alone.
    SigningIn,
    /// This person shows the second factor.
    SecondFactor(&'a str),
}

impl Ceremony<'_> {
    /// What the state is sealed to.
    fn context(self, browser: &str) -> String {
        match self {
            Self::Adding(person) => format!("add {browser} {person}"),
            Self::SigningIn => format!("sign in {browser}"),
            Self::SecondFactor(person) => format!("second factor {browser} {person}"),
        }
    }
}

/// A ceremony that has begun, as the page carries it.
#[derive(Debug, Clone)]
pub struct Begun {
    /// What the browser's script passes on (JSON: `PublicKeyCredentialCreationOptions` or `…RequestOptions`).
    pub options: String,
    /// Our state, sealed.
    pub state: String,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct State<S> {
    id: String,
    begun_at: i64,
    library: S,
}

/// An answer that holds is used up under this hash.
#[derive(Debug, Clone)]
pub struct Once {
    hash: String,
    purge_at: i64,
}

impl Once {
    /// Uses the answer up. Answers false when it was used before: the database decides the race.
    pub fn burn(&self, conn: &mut Conn) -> Stored<bool> {
        tokens::burn_jti(conn, &self.hash, self.purge_at)
    }
}

/// Why an answer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasskeyRefused {
    /// The page was open for too long, or belongs to another browser: nobody is to blame, a new page helps.
    Stale,
    /// The counter of the authenticator went back: the passkey may have been copied.
    Copied,
    /// Something else, in words for the record.
    Invalid(&'static str),
}

impl PasskeyRefused {
    /// In words for the record.
    pub fn why(self) -> &'static str {
        match self {
            Self::Stale => "passkey: the page was open for too long, or belongs to another browser",
            Self::Copied => "passkey: its counter went back, it may have been copied",
            Self::Invalid(why) => why,
        }
    }
}

impl From<WebauthnError> for PasskeyRefused {
    fn from(error: WebauthnError) -> Self {
        tracing::info!(%error, "passkey refused");
        Self::Invalid(match error {
            WebauthnError::CredentialPossibleCompromise => return Self::Copied,
            WebauthnError::MismatchedChallenge => "passkey: it answers another challenge",
            WebauthnError::InvalidRPOrigin => "passkey: it was used at another origin",
            WebauthnError::InvalidRPIDHash => "passkey: it was used for another relying party",
            WebauthnError::UserNotVerified => "passkey: the authenticator did not verify its user",
            WebauthnError::UserNotPresent => "passkey: nobody was present",
            WebauthnError::AuthenticationFailure => "passkey: wrong signature",
            WebauthnError::InvalidClientDataType => "passkey: it answers another kind of ceremony",
            _ => "passkey: the answer cannot be used",
        })
    }
}

/// A new credential, checked.
#[derive(Debug, Clone)]
pub struct Added {
    /// Its id, in base64url.
    pub id: String,
    /// What the database keeps.
    pub credential: String,
    /// To be used up with it.
    pub once: Once,
}

/// A use of a credential, checked.
#[derive(Debug, Clone)]
pub struct Used {
    /// The credential as it is after this use.
    pub credential: String,
    /// To be used up with it.
    pub once: Once,
}

/// What a browser says about the use of a credential; nothing of it is checked yet.
#[derive(Debug)]
pub struct Assertion(PublicKeyCredential);

impl Assertion {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no such JSON.
    pub fn parse(text: &str) -> Result<Self, PasskeyRefused> {
        let read = serde_json::from_str(text).map(Self);
        read.map_err(|_| PasskeyRefused::Invalid("passkey: the answer cannot be read"))
    }

    /// The id of the credential that it names, in base64url.
    pub fn credential_id(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0.raw_id)
    }
}

impl RelyingParty {
    /// That of an issuer, by the name that devices show; none when its host is an address.
    pub fn of(
        issuer: &Issuer,
        name: &str,
        master: Arc<MasterKey>,
        clock: SharedClock,
        entropy: Entropy,
    ) -> Option<Self> {
        Some(Self {
            library: library(issuer, name)?,
            seals: Seals {
                master,
                clock,
                entropy,
            },
        })
    }

    /// Whether an issuer can be one.
    pub fn is_possible(issuer: &Issuer, name: &str) -> bool {
        library(issuer, name).is_some()
    }

    /// Begins to add a passkey to an account that has the ones of `known`, which are not offered again.
    ///
    /// # Errors
    /// When stored credentials cannot be read.
    pub fn begin_adding(
        &self,
        person: &Person,
        known: &[StoredPasskey],
        browser: &str,
    ) -> Result<Begun, Broken> {
        let known: Vec<CredentialID> = known
            .iter()
            .map(|stored| Ok(read(stored)?.cred_id().clone()))
            .collect::<Result<_, Broken>>()?;
        let begun = self.library.start_passkey_registration(
            user_handle(&person.id),
            &person.username,
            &person.name,
            Some(known),
        );
        let (challenge, state) = begun.map_err(Broken::defect)?;
        let mut options = json!(challenge.public_key);
        // A passkey that the authenticator keeps can sign in without a username.
        if let Some(Value::Object(selection)) = options.get_mut("authenticatorSelection") {
            selection.insert("residentKey".to_owned(), json!("preferred"));
        }
        Ok(Begun {
            options: options.to_string(),
            state: self.seals.seal(Ceremony::Adding(&person.id), browser, state)?,
        })
    }

    /// Begins a ceremony that uses a passkey. `allowed` are those of the person, if it is known who it is; the browser
    /// offers no other.
    ///
    /// # Errors
    /// When stored credentials cannot be read.
    pub fn begin_using(
        &self,
        ceremony: Ceremony<'_>,
        allowed: &[StoredPasskey],
        browser: &str,
    ) -> Result<Begun, Broken> {
        let (challenge, state) = self
            .library
            .start_discoverable_authentication()
            .map_err(Broken::defect)?;
        let mut options = json!(challenge.public_key);
        if let Some(options) = options.as_object_mut() {
            let described = |stored: &StoredPasskey| {
                let credential: Value = serde_json::from_str(&stored.credential).map_err(Broken::defect)?;
                let transports = credential
                    .pointer("/cred/transports")
                    .filter(|known| known.is_array());
                let transports = transports.cloned().unwrap_or_else(|| json!([]));
                Ok(json!({ "type": "public-key", "id": stored.id, "transports": transports }))
            };
            let allowed = allowed
                .iter()
                .map(described)
                .collect::<Result<Vec<Value>, Broken>>()?;
            options.insert("allowCredentials".to_owned(), Value::Array(allowed));
        }
        Ok(Begun {
            options: options.to_string(),
            state: self.seals.seal(ceremony, browser, state)?,
        })
    }

    /// Checks the answer to [`RelyingParty::begin_adding`].
    ///
    /// # Errors
    /// Why it does not count.
    pub fn finish_adding(
        &self,
        person_id: &str,
        browser: &str,
        state: &str,
        answer: &str,
    ) -> Result<Added, PasskeyRefused> {
        let (state, once) =
            self.seals
                .open::<PasskeyRegistration>(Ceremony::Adding(person_id), browser, state)?;
        let answer: RegisterPublicKeyCredential = serde_json::from_str(answer)
            .map_err(|_| PasskeyRefused::Invalid("passkey: the answer cannot be read"))?;
        let passkey = self.library.finish_passkey_registration(&answer, &state)?;
        if passkey.cred_id().len() > LONGEST_CREDENTIAL_ID {
            return Err(PasskeyRefused::Invalid("passkey: its id is too long"));
        }
        let id = BASE64URL_NOPAD.encode(passkey.cred_id());
        // How the authenticator is reached: unattested, so the library leaves it out, but only browsers read it.
        let mut credential = json!(passkey);
        if let Some(Value::Object(inner)) = credential.get_mut("cred") {
            inner.insert("transports".to_owned(), json!(answer.response.transports));
        }
        Ok(Added {
            id,
            credential: credential.to_string(),
            once,
        })
    }

    /// Checks the answer to [`RelyingParty::begin_using`], with the credential as the database has it now.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn finish_using(
        &self,
        ceremony: Ceremony<'_>,
        browser: &str,
        state: &str,
        (answer, stored): (&Assertion, &StoredPasskey),
    ) -> Result<Used, PasskeyRefused> {
        let (state, once) = self
            .seals
            .open::<DiscoverableAuthentication>(ceremony, browser, state)?;
        // Who was not known before is told by the passkey itself; else it may be silent, but not name another.
        let handle = answer.0.get_user_unique_id().filter(|handle| !handle.is_empty());
        let fits = match (ceremony, handle) {
            (Ceremony::SigningIn, None) => false,
            (_, None) => true,
            (_, Some(handle)) => handle == user_handle(&stored.person_id).as_bytes(),
        };
        if !fits {
            return Err(PasskeyRefused::Invalid(
                "passkey: its user handle is another person's",
            ));
        }
        let unreadable = |_| PasskeyRefused::Invalid("passkey: the stored credential cannot be read");
        let mut passkey = read(stored).map_err(unreadable)?;
        let used = self
            .library
            .finish_discoverable_authentication_v2(&answer.0, state, &passkey)?;
        passkey.update_credential(&used);
        Ok(Used {
            credential: written(&passkey)?,
            once,
        })
    }
}

/// What the library needs of an issuer. Passkeys belong to names, not to addresses (WebAuthn Level 2 §5.1.2).
fn library(issuer: &Issuer, name: &str) -> Option<Webauthn> {
    let origin = Url::parse(issuer.as_str()).ok()?;
    let host = origin.domain()?;
    let builder = WebauthnBuilder::new(host, &origin).ok()?;
    builder.rp_name(name).timeout(AUTHENTICATOR_PATIENCE).build().ok()
}

/// The user handle of a person: it tells nothing (WebAuthn Level 2 §14.6.1), for the id is random, and it outlives a change
/// of the master key.
fn user_handle(person_id: &str) -> Uuid {
    let hash = digest(&SHA256, format!("webauthn user handle {person_id}").as_bytes());
    hash.as_ref()
        .first_chunk()
        .map_or_else(Uuid::nil, |bytes| Uuid::from_bytes(*bytes))
}

fn read(stored: &StoredPasskey) -> Result<Passkey, Broken> {
    serde_json::from_str(&stored.credential)
        .map_err(|cause| Broken::defect(format!("stored passkey: {cause}")))
}

fn written(passkey: &Passkey) -> Result<String, PasskeyRefused> {
    serde_json::to_string(passkey)
        .map_err(|_| PasskeyRefused::Invalid("passkey: the credential cannot be written"))
}

impl Seals {
    fn seal<S: Serialize>(
        &self,
        ceremony: Ceremony<'_>,
        browser: &str,
        library: S,
    ) -> Result<String, Broken> {
        let state = State {
            id: self.entropy.id("cer"),
            begun_at: self.clock.now(),
            library,
        };
        let plain = serde_json::to_vec(&state).map_err(Broken::defect)?;
        Ok(self.master.seal(
            Purpose::Ceremony,
            &ceremony.context(browser),
            &plain,
            self.entropy,
        ))
    }

    fn open<S: DeserializeOwned>(
        &self,
        ceremony: Ceremony<'_>,
        browser: &str,
        sealed: &str,
    ) -> Result<(S, Once), PasskeyRefused> {
        let opened = self
            .master
            .open(Purpose::Ceremony, &ceremony.context(browser), sealed)
            .map_err(|_| PasskeyRefused::Stale)?;
        let state: State<S> = serde_json::from_slice(&opened).map_err(|_| PasskeyRefused::Stale)?;
        let ends_at = state.begun_at + CEREMONY_SECONDS;
        if self.clock.now() >= ends_at {
            return Err(PasskeyRefused::Stale);
        }
        let hash = SecretHash::of(&format!("webauthn ceremony {}", state.id))
            .as_str()
            .to_owned();
        Ok((
            state.library,
            Once {
                hash,
                purge_at: ends_at + CEREMONY_SECONDS,
            },
        ))
    }
}
