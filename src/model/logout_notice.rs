//! A notice to a client that a session has ended (OpenID Connect Back-Channel Logout).

/// Whom to tell what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutNotice {
    /// `lgn_…`
    pub id: String,
    /// The client to tell.
    pub client_id: String,
    /// Who signed out, or was signed out: `sub`.
    pub person_id: String,
    /// The session that ended: `sid`.
    pub session_id: String,
    /// How often it was tried.
    pub attempts: i64,
}
