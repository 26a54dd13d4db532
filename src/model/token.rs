//! The claims of an access token (RFC 9068).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a token stands on, in a claim of ours: the grant (none for systems) with the generations of client and person
/// at its issue. A resource server has no use for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Footing {
    /// The grant; systems have none.
    pub grant: Option<String>,
    /// The client's generation.
    pub client_generation: i64,
    /// The person's generation; 0 for systems.
    pub person_generation: i64,
}

impl From<Footing> for String {
    fn from(footing: Footing) -> Self {
        format!(
            "{}.{}.{}",
            footing.grant.as_deref().unwrap_or("-"),
            footing.client_generation,
            footing.person_generation
        )
    }
}

impl TryFrom<String> for Footing {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(|| "footing is incomplete".to_owned());
        let grant = next()?.to_owned();
        let number = |text: &str| text.parse::<i64>().map_err(|cause| cause.to_string());
        Ok(Self {
            grant: (grant != "-").then_some(grant),
            client_generation: number(next()?)?,
            person_generation: number(next()?)?,
        })
    }
}

/// The longest life of an access token that can be configured, in seconds.
pub const LONGEST_LIFE: i64 = 24 * 3600;

/// The claims of an access token (RFC 9068 §2.2). Introspection answers the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessToken {
    /// The issuer.
    pub iss: String,
    /// The person, or the client that acts for itself.
    pub sub: String,
    /// The resource server's base, or the issuer.
    pub aud: Vec<String>,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// Its unique name.
    pub jti: String,
    /// The client.
    pub client_id: String,
    /// Scopes as the resource server reads them.
    pub scope: String,
    /// What it stands on.
    #[serde(rename = "mdi_grant")]
    pub footing: Footing,
    /// Everything else: `auth_time`, `acr`, `amr`, `username`, `fhirUser`, `security`, `jurisdiction`, `extensions`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}
