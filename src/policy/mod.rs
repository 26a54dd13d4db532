//! The policy: roles, dataflows, scopes and claims as data (`mdi.toml`, or a deployment's own file), and
//! the pure decisions made from it. Whatever the data does not allow is denied; nothing here does I/O or knows the time.

pub mod claims;
pub mod consent;
pub mod console;
mod data;
pub mod dataflow;
pub mod grant;
mod read;
pub mod role;
pub mod vocabulary;

pub use data::{AgencyKind, Askers, NamedScope, Policy};

/// The scope that signs a death certificate: never remembered, never skipped, never refreshed.
pub const CERTIFY: &str = "__mdi.certify";

impl Policy {
    /// The policy that comes with the product.
    ///
    /// # Errors
    /// Every mistake in the built-in data; a test sees to it that there is none.
    pub fn built_in() -> Result<Self, Vec<String>> {
        Self::from_toml(include_str!("mdi.toml"))
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// Every mistake in the file at once, each naming its place, what was found and what is wanted.
    pub fn from_toml(text: &str) -> Result<Self, Vec<String>> {
        read::policy(text)
    }
}
