//! A grant: what one person allowed one client, once. It is the family of its refresh tokens and the name in its access tokens.

use serde::{Deserialize, Serialize};

use crate::model::scope::ScopeSet;

/// What was decided when the grant was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantFacts {
    /// What was granted.
    pub scope: ScopeSet,
    /// The resource server whose scopes are among them.
    pub target: Option<String>,
    /// Purposes of use (codes of v3-ActReason).
    pub purposes: Vec<String>,
    /// Assurance level of the sign-in.
    pub acr: String,
    /// Authentication methods of the sign-in.
    pub amr: Vec<String>,
    /// When the person signed in, in seconds since the epoch.
    pub auth_time: i64,
    /// The client's `nonce` for the ID token.
    pub nonce: Option<String>,
    /// Claims asked for one by one (OpenID Connect Core §5.5), as far as they were allowed. Earlier versions kept what was
    /// asked under another name.
    #[serde(default, rename = "named_claims")]
    pub claims: ClaimsRequest,
    /// Id of the session in which it was made.
    pub session: String,
    /// The agency's identity provider, if the person signed in there.
    #[serde(default)]
    pub identity_provider: Option<String>,
}

/// What a person allowed a client before, with what the page had told.
#[derive(Debug, Clone, PartialEq)]
pub struct RememberedConsent {
    /// The person's generation then.
    pub person_generation: i64,
    /// The client's generation then.
    pub client_generation: i64,
    /// The resource server whose scopes are among them.
    pub target: Option<String>,
    /// Purposes of use.
    pub purposes: Vec<String>,
    /// What was allowed.
    pub scope: ScopeSet,
    /// Claims that were allowed by their names.
    pub claims: Vec<String>,
}

/// Names from the `claims` parameter (OpenID Connect Core §5.5), by where they are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClaimsRequest {
    /// Wanted in the ID token.
    #[serde(default)]
    pub id_token: Vec<String>,
    /// Wanted at the userinfo endpoint.
    #[serde(default)]
    pub userinfo: Vec<String>,
}

/// A grant as the database keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// `grt_…`
    pub id: String,
    /// The client.
    pub client_id: String,
    /// The person.
    pub person_id: String,
    /// The client's generation when it was made.
    pub client_generation: i64,
    /// The person's generation when it was made.
    pub person_generation: i64,
    /// What was decided.
    pub facts: GrantFacts,
    /// When it was made, in seconds since the epoch.
    pub created_at: i64,
    /// When it was revoked, if it was.
    pub revoked_at: Option<i64>,
    /// When its row may go.
    pub purge_at: i64,
}

/// A code as the database keeps it (RFC 6749 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// SHA-256 of the code.
    pub hash: String,
    /// The grant that it redeems.
    pub grant_id: String,
    /// The redirect URI that it was sent to.
    pub redirect_uri: String,
    /// The PKCE challenge, S256 (RFC 7636 §4.2).
    pub code_challenge: Option<String>,
    /// When it ends, in seconds since the epoch.
    pub expires_at: i64,
    /// When it was redeemed, if it was.
    pub redeemed_at: Option<i64>,
}

/// A refresh token as the database keeps it (RFC 6749 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// SHA-256 of the token.
    pub hash: String,
    /// Its family.
    pub grant_id: String,
    /// Its place in the family, from 0.
    pub generation: i64,
    /// What its successor is derived from.
    pub nonce: String,
    /// The scope of the access token that was answered together with this token.
    pub answered_scope: String,
    /// When it ends, in seconds since the epoch.
    pub expires_at: i64,
    /// When it was first used, if it was.
    pub used_at: Option<i64>,
}
