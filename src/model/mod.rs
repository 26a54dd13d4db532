//! Plain types, no I/O: what the product speaks about.

pub mod api_token;
pub mod client;
pub mod grant;
pub mod identity_provider;
pub mod kind;
pub mod link;
pub mod logout_notice;
pub mod names;
pub mod network;
pub mod person;
pub mod registered;
pub mod resource_server;
pub mod scope;
pub mod secret;
pub mod security_label;
pub mod session;
pub mod signing;
pub mod token;
pub mod vendor_link;
pub mod words;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The agency that a client, a person or a resource server belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// Its name as people know it.
    pub name: String,
    /// Its identifier, usually `urn:oid:…` (IHE IUA `subject_organization_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The jurisdiction it stands in, where that is not the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
}
