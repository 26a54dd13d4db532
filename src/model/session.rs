//! A session: one person signed in with one browser.

/// Assurance level reached with a password alone.
pub const ACR_AAL1: &str = "urn:mdi:acr:aal1";
/// Assurance level reached with a second factor (NIST SP 800-63B AAL2).
pub const ACR_AAL2: &str = "urn:mdi:acr:aal2";

/// A session as the database keeps it. The cookie's value is kept only as its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the cookie.
    pub hash: String,
    /// Who is signed in.
    pub person_id: String,
    /// The person's generation at sign-in.
    pub person_generation: i64,
    /// When the session began, in seconds since the epoch.
    pub created_at: i64,
    /// When the person last proved who she is (OpenID Connect Core §2 `auth_time`).
    pub auth_time: i64,
    /// When the session was last used, to the minute.
    pub last_seen_at: i64,
    /// Authentication methods (RFC 8176), in order.
    pub amr: Vec<String>,
    /// The password was right, the second factor is still to come: good for nothing else.
    pub second_factor_due: bool,
}

impl Session {
    /// The assurance level that was reached.
    #[must_use]
    pub fn acr(&self) -> &'static str {
        if self.has_second_factor() { ACR_AAL2 } else { ACR_AAL1 }
    }

    /// Whether a second factor was shown.
    #[must_use]
    pub fn has_second_factor(&self) -> bool {
        !self.second_factor_due && self.amr.len() > 1
    }
}
