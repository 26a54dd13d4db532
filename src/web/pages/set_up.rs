//! The pages on which a second factor is set up, and those for who has lost it.

use askama::Template;
use qrcodegen::{QrCode as Modules, QrCodeEcc};

use super::{FormError, Shell};

/// Blank modules around a QR code (ISO/IEC 18004 §9.1).
const QUIET_ZONE: i32 = 4;

/// A QR code, drawn as one path in a square of `size` units.
#[derive(Debug, Clone)]
pub struct QrCode {
    /// Width and height, in modules.
    pub size: i32,
    /// The `d` of an SVG path: a unit square for each dark module.
    pub path: String,
}

impl QrCode {
    /// Draws a text.
    ///
    /// # Errors
    /// When it is longer than a QR code holds.
    pub fn of(text: &str) -> Result<Self, qrcodegen::DataTooLong> {
        let modules = Modules::encode_text(text, QrCodeEcc::Medium)?;
        let places = (0..modules.size()).flat_map(|y| (0..modules.size()).map(move |x| (x, y)));
        let dark = places.filter(|(x, y)| modules.get_module(*x, *y));
        let path = dark
            .map(|(x, y)| format!("M{},{}h1v1h-1z", x + QUIET_ZONE, y + QUIET_ZONE))
            .collect();
        Ok(Self {
            size: modules.size() + 2 * QUIET_ZONE,
            path,
        })
    }
}

/// Asks what to set up; posts `csrf`, `pending`, `choice` to `/login/set-up`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "set_up.html")]
pub struct SetUpPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed sign-in.
    pub pending: &'a str,
    /// Whether the person's role requires it.
    pub required: bool,
    /// What was wrong with the last attempt.
    pub errors: &'a [FormError],
}

/// Shows the secret for an authenticator app and asks for a code; posts `csrf`, `pending`, `totp` to `/login/set-up/app`.
#[derive(Template, Clone, Debug)]
#[template(path = "set_up_app.html")]
pub struct SetUpAppPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed sign-in.
    pub pending: &'a str,
    /// The key URI as a picture.
    pub qr: QrCode,
    /// The secret in base32, in groups of four.
    pub secret: &'a str,
    /// Whether another app stops working.
    pub replaces: bool,
    /// What was wrong with the last attempt.
    pub errors: &'a [FormError],
}

/// Asks for a recovery code; posts `csrf`, `pending`, `recovery_code` to `/login/recovery`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "recovery.html")]
pub struct RecoveryPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed sign-in.
    pub pending: &'a str,
    /// Path on this server back to the second factor.
    pub back: &'a str,
    /// What was wrong with the last attempt.
    pub errors: &'a [FormError],
}

/// After a recovery code: what is left, and the way to a new second factor.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "recovered.html")]
pub struct RecoveredPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// How many codes are left.
    pub left: i64,
    /// Path on this server where a second factor is set up.
    pub set_up: &'a str,
    /// Path on this server where the person wanted to go.
    pub onward: &'a str,
}

/// Shows recovery codes until they are kept, or offers to make new ones; posts `csrf`, `pending`, `do` to
/// `/account/recovery-codes`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "recovery_codes.html")]
pub struct RecoveryCodesPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed sign-in to go on with, if there is one.
    pub pending: Option<&'a str>,
    /// The codes, or none when they are not to be shown.
    pub codes: &'a [String],
    /// How many of them are left.
    pub left: i64,
}

/// The authenticator app of an account; posts `csrf` to `/account/authenticator` to remove it.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "authenticator.html")]
pub struct AuthenticatorPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// Path on this server where another app is set up in its place.
    pub replace: &'a str,
    /// Whether it may be removed: another second factor is left, or none is needed.
    pub removable: bool,
}
