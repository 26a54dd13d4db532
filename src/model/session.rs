//! A session: one person signed in with one browser.

/// Assurance level reached with a password alone.
pub const ACR_AAL1: &str = "urn:mdi:acr:aal1";
/// Assurance level reached with a second factor (NIST SP 800-63B AAL2).
pub const ACR_AAL2: &str = "urn:mdi:acr:aal2";

/// How soon after the first factor the second must come where the sign-in has to be fresh, in seconds.
pub const TOGETHER_SECONDS: i64 = 120;

/// A session as the database keeps it. The cookie's value is kept only as its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `ses_…`: the `sid` that clients learn (OpenID Connect Back-Channel Logout §2.1). It stays when the cookie changes.
    pub id: String,
    /// SHA-256 of the cookie, which changes at each change of assurance.
    pub hash: String,
    /// Who is signed in.
    pub person_id: String,
    /// The person's generation at sign-in.
    pub person_generation: i64,
    /// When the person last signed in from the first factor on: the absolute limit counts from here.
    pub created_at: i64,
    /// When the person last proved who she is (OpenID Connect Core §2 `auth_time`).
    pub auth_time: i64,
    /// When the session was last used, to the minute.
    pub last_seen_at: i64,
    /// The assurance level that was reached.
    pub acr: String,
    /// Authentication methods (RFC 8176), in order.
    pub amr: Vec<String>,
    /// When the second factor was shown, if it was.
    pub second_factor_at: Option<i64>,
    /// The first factor was right, the second is still to come: good for nothing else.
    pub second_factor_due: bool,
    /// The identity provider of the agency that the person signed in with, if it was not our own page.
    pub identity_provider: Option<String>,
    /// The address that the person last signed in from.
    pub address: String,
    /// What the browser calls itself.
    pub user_agent: String,
}

impl Session {
    /// Whether a second factor was shown.
    pub fn has_second_factor(&self) -> bool {
        !self.second_factor_due && self.acr == ACR_AAL2
    }

    /// Whether its factors were shown together, as a fresh sign-in wants it: the second soon after the first.
    pub fn factors_are_together(&self) -> bool {
        self.second_factor_at
            .is_none_or(|at| at - self.created_at <= TOGETHER_SECONDS)
    }

    /// What was shown as the second factor counts no more: it was somebody else's.
    pub fn forget_second_factor(&mut self) {
        ACR_AAL1.clone_into(&mut self.acr);
        self.amr.retain(|method| method == "pwd");
        self.second_factor_at = None;
    }

    /// Whether a method was used.
    pub fn used(&self, method: &str) -> bool {
        self.amr.iter().any(|used| used == method)
    }
}
