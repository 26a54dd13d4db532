//! A resource server: the FHIR server that accepts our tokens (RFC 6749 §1.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::client::StoredSecret;
use crate::model::kind::Kind;
use crate::model::scope::{ScopeSet, ScopeStyle};
use crate::model::signing::Algorithm;

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

/// What is registered about a resource server beyond its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourceServerSettings {
    /// What it is in the dataflows.
    pub kind: Kind,
    /// JWT or opaque.
    pub token_format: TokenFormat,
    /// The `typ` of its JWTs: `at+jwt` (RFC 9068 §2.1), or `JWT` for software that knows no other.
    pub token_typ: String,
    /// The algorithm that signs its JWTs.
    pub signing_alg: Algorithm,
    /// How SMART scopes are spelled in its tokens.
    pub scope_style: ScopeStyle,
    /// Spellings of single scopes that its software needs.
    #[serde(default)]
    pub scope_map: BTreeMap<String, String>,
    /// Whose tokens it may ask about.
    pub introspect: Introspect,
    /// Its catalogue of scopes; none: what the dataflows of its kind use.
    #[schema(value_type = Option<String>)]
    pub scopes: Option<ScopeSet>,
    /// Its public keys, when it authenticates by assertion.
    pub jwks: Option<String>,
    /// Where its public keys are fetched.
    pub jwks_uri: Option<String>,
}

/// A registered resource server. It authenticates for introspection with its id as `client_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceServer {
    /// Its id, and its `client_id` for introspection.
    pub id: String,
    /// Its name as people know it.
    pub name: String,
    /// Its FHIR base: what `aud` says and `resource`, `audience` and SMART's `aud` name.
    pub audience: String,
    /// Everything else that is registered.
    pub settings: ResourceServerSettings,
    /// A disabled resource server gets no tokens and no answers.
    pub enabled: bool,
    /// Raised when it is disabled.
    pub generation: i64,
    /// When it was registered, in seconds since the epoch.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// Its secrets.
    pub secrets: Vec<StoredSecret>,
}
