//! Resource servers: listed, registered by what they are, changed, and the documents that their operators need.

pub mod documents;
pub mod edit;
pub mod form;
pub mod lifecycle;
pub mod list;
pub mod new;
pub mod preview;
pub mod secret;
pub mod show;

use std::sync::Arc;

use super::access::away;
use crate::app::App;
use crate::error::PageError;
use crate::live::LiveServer;
use crate::model::kind::Kind;
use crate::model::resource_server::ResourceServerSettings;
use crate::registry::said::Said;
use crate::registry::{Refused, Registry, noun};
use crate::web::guard::PageRefused;

/// What each kind is, in plain words.
pub const KINDS: [(Kind, &str, &str); 3] = [
    (
        Kind::Edrs,
        "Death registration system (EDRS)",
        "Registers deaths. Case systems send it death certificates, and people work in it.",
    ),
    (
        Kind::Cms,
        "Case management system (CMS)",
        "Keeps the cases of a medical examiner or coroner. Laboratories send it results.",
    ),
    (
        Kind::Other,
        "Something else",
        "Any other FHIR server. You say yourself which scopes it offers and which clients use it.",
    ),
];

/// What people call a kind.
pub fn kind_in_words(kind: Kind) -> &'static str {
    KINDS
        .iter()
        .find(|(known, _, _)| *known == kind)
        .map_or("", |(_, words, _)| words)
}

/// The page of a resource server.
pub fn path(id: &str) -> String {
    format!("/admin/resource-servers/{id}")
}

fn found(app: &App, id: &str) -> Result<Arc<LiveServer>, PageRefused> {
    app.live
        .resource_server(id)
        .ok_or_else(|| PageRefused::Error(PageError::not_found()))
}

/// What is said, with a signing key where one is missing: made before the transaction that needs it, for that takes long.
async fn prepared(registry: &Registry, said: Said) -> Result<Said, PageRefused> {
    let registry = registry.clone();
    match away(move || noun::prepared::<ResourceServerSettings>(&registry, said)).await? {
        Ok(said) => Ok(said),
        Err(Refused::Broken(broken)) => Err(broken.into()),
        Err(Refused::Mistakes(mistakes)) => {
            Err(PageRefused::Error(PageError::malformed(format!("{mistakes:?}"))))
        }
    }
}
