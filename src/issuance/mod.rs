//! From the facts of a request to the policy's decision, and from the decision to claims and lifetimes.
//! Authorization, code, refresh and client credentials all ask here, so that they cannot differ, and the console's preview
//! of a token shows what they would issue.

mod claims;
mod client_context;
pub mod draft;
mod licence;
mod rules;
pub mod smart_configuration;

pub use crate::policy::CERTIFY;
pub use claims::{add_authentication, person_claims, standard_claims, stored_claims, system_claims};
pub use client_context::{ClientContext, GrantRequest, roles_in_force};
pub use licence::licence_ends;
pub use rules::Rules;

/// The scope that lets a bearer introspect.
pub const INTROSPECT: &str = "__mdi.introspect";
