//! One-time codes of an authenticator app (RFC 6238): SHA-1, six digits, thirty seconds, which is what all apps know.

use crate::app::App;
use crate::error::Broken;
use crate::model::person::Person;
use crate::secrets::master_key::Purpose;

/// The length of secrets that we make, in bytes (RFC 4226 §4 recommends 160 bits).
const SECRET: usize = 20;

/// Generates and checks the codes of a secret. A code is good for its own 30 seconds and the step before and after.
pub(crate) fn totp(secret: Vec<u8>) -> Result<totp_rs::Totp, Broken> {
    totp_rs::Builder::new()
        .with_secret(secret)
        .build()
        .map_err(|cause| Broken::defect(format!("stored TOTP secret: {cause}")))
}

/// The time step that a code belongs to, if it is one of now.
///
/// # Errors
/// When the secret cannot be used.
pub fn step_of(secret: &[u8], typed: &str, now: i64) -> Result<Option<i64>, Broken> {
    let now = u64::try_from(now).unwrap_or_default();
    Ok(totp(secret.to_vec())?
        .check(typed, now)
        .and_then(|step| i64::try_from(step).ok()))
}

/// [`step_of`] with the secret of a person; none when she has none.
///
/// # Errors
/// When the secret cannot be opened or used.
pub fn step_of_person(app: &App, person: &Person, typed: &str) -> Result<Option<i64>, Broken> {
    let Some(wrapped) = &person.totp_secret else {
        return Ok(None);
    };
    let secret = app
        .master
        .open(Purpose::TotpSecret, &person.id, wrapped)
        .map_err(Broken::defect)?;
    step_of(&secret, typed, app.now())
}

/// When a code of the time step was used, in seconds since the epoch.
pub fn used_at(step: i64) -> Option<i64> {
    (step > 0).then_some(step.saturating_mul(30))
}

/// A code as it was typed: blanks fall away.
pub fn typed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// A new secret, wrapped for a person.
pub fn new_wrapped(app: &App, person: &Person) -> String {
    let secret = zeroize::Zeroizing::new(app.entropy.bytes::<SECRET>());
    app.master
        .seal(Purpose::TotpSecret, &person.id, secret.as_slice(), app.entropy)
}

/// What an app reads from the picture (the Key URI format), for a secret.
///
/// # Errors
/// When the secret cannot be used.
pub fn key_uri(secret: Vec<u8>, service: &str, username: &str) -> Result<String, Broken> {
    // A colon separates the two names.
    let plain = |text: &str| text.replace(':', " ");
    let built = totp_rs::Builder::new()
        .with_secret(secret)
        .with_issuer(Some(plain(service)))
        .with_account_name(plain(username))
        .build();
    built
        .map_err(|cause| Broken::defect(format!("new TOTP secret: {cause}")))?
        .to_url()
        .map_err(Broken::defect)
}
