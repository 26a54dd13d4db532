//! What commands read: files, secrets from stdin, and arguments that several of them have.

use std::io::Read;
use std::path::Path;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::outcome::CommandRefused;
use crate::model::agency::Organization;
use crate::model::secret::Secret;

pub(super) fn read_file(path: &Path) -> Result<String, CommandRefused> {
    std::fs::read_to_string(path)
        .map_err(|cause| CommandRefused(format!("cannot read {}: {cause}", path.display())))
}

/// A secret from stdin, without the line's end.
pub(super) fn read_secret() -> Result<Secret, CommandRefused> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|cause| CommandRefused(format!("cannot read stdin: {cause}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        Err(CommandRefused(
            "stdin is empty; a secret is wanted there".to_owned(),
        ))
    } else {
        Ok(Secret::new(line))
    }
}

/// Reads a word that the apply file knows too: `client_secret_basic`, `ES256`, `edrs`.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|cause| cause.to_string())
}

/// A list that was given, or nothing.
pub(super) fn given<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// The agency that a client or person belongs to.
#[derive(Debug, Args)]
pub(super) struct OrganizationArguments {
    /// The agency, by its id
    #[arg(long, value_name = "ID", conflicts_with = "organization_name")]
    pub(super) agency: Option<String>,
    /// The name of an agency that may not be registered yet: it is found by its identifier, or made
    #[arg(long, value_name = "NAME")]
    pub(super) organization_name: Option<String>,
    /// The agency's identifier, such as urn:oid:2.16.840.1.113883.3.9999.1
    #[arg(long, value_name = "URI", requires = "organization_name")]
    pub(super) organization_id: Option<String>,
}

impl OrganizationArguments {
    pub(super) fn into_organization(self) -> Option<Organization> {
        let (name, id) = (self.organization_name?, self.organization_id);
        Some(Organization {
            name,
            id,
            jurisdiction: None,
        })
    }
}
