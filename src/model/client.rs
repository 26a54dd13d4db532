//! A client: a case system, a registration system, a laboratory system (RFC 6749 §2).

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

use crate::model::agency::Organization;
use crate::model::registered::Registered;
use crate::model::scope::ScopeSet;
use crate::model::security_label::Confidentiality;
use crate::model::signing::Algorithm;
use crate::model::words::{self, Usually, Words};

/// How a client proves who it is (RFC 7591 §2, OpenID Connect Core §9).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AuthMethod {
    /// HTTP Basic with the secret (RFC 6749 §2.3.1).
    #[default]
    ClientSecretBasic,
    /// The secret in the form (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// A signed assertion (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// A public client: nothing but its id.
    None,
}

impl AuthMethod {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the client proves itself with a secret.
    pub fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// A grant that a client may use (`grant_type`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 §4.1
    AuthorizationCode,
    /// RFC 6749 §4.4
    ClientCredentials,
    /// RFC 6749 §6
    RefreshToken,
}

impl GrantType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The grant of that name, if it is one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Whether people are asked before the client gets a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Asked, and remembered until more is wanted.
    #[default]
    Ask,
    /// An administrator vouches; `__mdi.certify` is asked all the same.
    Skip,
}

/// What is registered about a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ClientSettings {
    /// The dataflow of the policy that it takes part in.
    pub dataflow: String,
    /// Mail addresses of those who look after it.
    pub contacts: Vec<String>,
    /// The agency that runs it, by its id.
    pub agency: Option<String>,
    /// The agency, where it may not be registered yet: it is found by its identifier, or made.
    #[serde(skip_serializing)]
    pub organization: Option<Organization>,
    /// How it authenticates. A secret may come in the header or in the form; any other way is refused.
    pub auth_method: AuthMethod,
    /// Whether the secret must come the way that `auth_method` says.
    pub auth_method_strict: bool,
    /// Its public keys (JWKS, RFC 7517 §5).
    #[serde(deserialize_with = "words::text_or_table")]
    #[schema(schema_with = words::text_or_table_schema)]
    pub jwks: Option<String>,
    /// Where its public keys are fetched.
    pub jwks_uri: Option<String>,
    /// The signature algorithms that its assertions may use; empty: all that we accept.
    pub signing_algs: Vec<Algorithm>,
    /// Ids of the resource servers that it may ask tokens for; without it, the only one of the dataflow's kind.
    pub resource_servers: Vec<String>,
    /// Redirect URIs, compared exactly.
    pub redirect_uris: Vec<String>,
    /// Where a browser may go after sign-out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a session has ended (OpenID Connect Back-Channel Logout §2.2).
    pub backchannel_logout_uri: Option<String>,
    /// Whether it cannot do without `sid` in what it is told; ours always have it.
    pub backchannel_logout_session_required: bool,
    /// The grants it may use; narrows the dataflow's.
    #[serde(deserialize_with = "words::known")]
    #[schema(value_type = Words)]
    pub grants: Vec<GrantType>,
    /// What it may ask for; without it, all that its dataflow allows.
    #[serde(deserialize_with = "words::scopes", serialize_with = "words::as_list")]
    #[schema(value_type = Option<Words>)]
    pub scopes: Option<ScopeSet>,
    /// The purposes of use it may state; without it, those of its dataflow.
    #[serde(deserialize_with = "words::list")]
    #[schema(value_type = Option<Words>)]
    pub purposes: Option<Vec<String>>,
    /// Whether a code needs PKCE (public clients: always).
    #[schema(value_type = bool)]
    pub require_pkce: Usually,
    /// Whether people are asked.
    pub consent: Consent,
    /// Whether each refresh makes a new refresh token.
    #[schema(value_type = bool)]
    pub refresh_rotation: Usually,
    /// Whether what the scopes release is in the ID token too, and not at the userinfo endpoint only (OpenID Connect
    /// Core §5.4): for software that looks nowhere else.
    pub id_token_claims: bool,
    /// Origins of browser code that may call the token endpoint.
    pub cors_origins: Vec<String>,
    /// The highest confidentiality that its tokens carry.
    #[schema(value_type = Option<String>, examples("R"))]
    pub confidentiality: Option<Confidentiality>,
}

/// Whether a redirect URI leads to a program on the person's own machine (RFC 8252 §7), which any other program there can
/// pretend to be: whatever is not https.
pub fn is_native(redirect_uri: &str) -> bool {
    !redirect_uri.starts_with("https://")
}

impl ClientSettings {
    /// Whether it may authenticate by a method. Much software tries a secret both ways, or switches between them.
    pub fn allows(&self, method: AuthMethod) -> bool {
        let either = self.auth_method.uses_secret() && method.uses_secret() && !self.auth_method_strict;
        self.auth_method == method || either
    }
}

/// A registered client; `id` is its `client_id`, `name` its `client_name`. A disabled client gets nothing, and its tokens
/// are inactive.
pub type Client = Registered<ClientSettings>;

impl Registered<ClientSettings> {
    /// Whether it is a public client (RFC 6749 §2.1).
    pub fn is_public(&self) -> bool {
        self.settings.auth_method == AuthMethod::None
    }

    /// Whether it may use a grant.
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.settings.grants.contains(&grant)
    }
}
