//! Introspection (RFC 7662).

/// Access tokens whose signature was verified lately.
#[derive(Debug, Default)]
pub struct VerifiedTokens;
