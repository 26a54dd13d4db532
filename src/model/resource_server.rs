//! A resource server: the FHIR server that accepts our tokens (RFC 6749 §1.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use crate::model::agency::Organization;
use crate::model::kind::Kind;
use crate::model::registered::Registered;
use crate::model::scope::{ScopeSet, ScopeStyle};
use crate::model::signing::Algorithm;
use crate::model::words::{self, Words};

/// What an access token looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// A signed JWT (RFC 9068).
    #[default]
    Jwt,
    /// A random text that only introspection explains.
    Opaque,
}

/// The `typ` of JWT access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, IntoStaticStr)]
pub enum TokenType {
    /// RFC 9068 §2.1
    #[default]
    #[serde(rename = "at+jwt")]
    #[strum(serialize = "at+jwt")]
    AccessToken,
    /// For software that refuses the other.
    #[serde(rename = "JWT")]
    #[strum(serialize = "JWT")]
    Plain,
}

impl TokenType {
    /// As the header has it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whose tokens a resource server may ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Introspect {
    /// Those that name it as audience.
    #[default]
    Own,
    /// All.
    Any,
}

/// What is registered about a resource server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ResourceServerSettings {
    /// Its FHIR base: what `aud` says and `resource`, `audience` and SMART's `aud` name.
    #[schema(examples("https://cms.fulton.example/fhir"))]
    pub audience: String,
    /// What it is in the dataflows.
    pub kind: Kind,
    /// Mail addresses of those who look after it.
    pub contacts: Vec<String>,
    /// The agency that runs it, by its id.
    pub agency: Option<String>,
    /// The agency, where it may not be registered yet: it is found by its identifier, or made.
    #[serde(skip_serializing)]
    pub organization: Option<Organization>,
    /// What its access tokens look like: `jwt`, or `opaque`, which only introspection explains.
    pub token_format: TokenFormat,
    /// The `typ` of its JWTs: `at+jwt` (RFC 9068 §2.1), or `JWT` for software that knows no other.
    pub token_typ: TokenType,
    /// The algorithm that signs its JWTs.
    pub signing_alg: Algorithm,
    /// How SMART scopes are spelled in its tokens.
    pub scope_style: ScopeStyle,
    /// Spellings of single scopes that its software needs.
    pub scope_map: BTreeMap<String, String>,
    /// Whose tokens it may ask about.
    pub introspect: Introspect,
    /// Its catalogue of scopes; without it, what the dataflows of its kind use.
    #[serde(deserialize_with = "words::scopes", serialize_with = "words::as_list")]
    #[schema(value_type = Option<Words>)]
    pub scopes: Option<ScopeSet>,
    /// Its public keys (JWKS), when it authenticates by assertion.
    #[serde(deserialize_with = "words::text_or_table")]
    #[schema(schema_with = words::text_or_table_schema)]
    pub jwks: Option<String>,
    /// Where its public keys are fetched.
    pub jwks_uri: Option<String>,
}

impl ResourceServerSettings {
    /// Whether it proves itself by keys, and not by a secret.
    pub fn has_keys(&self) -> bool {
        self.jwks.is_some() || self.jwks_uri.is_some()
    }
}

/// A registered resource server. It authenticates for introspection with its id as `client_id`; a disabled one gets no
/// tokens and no answers.
pub type ResourceServer = Registered<ResourceServerSettings>;
