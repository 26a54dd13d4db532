//! Resource servers: their fields and words, the documents that their operators need, and a preview of their tokens.

pub mod documents;
pub mod fields;
pub mod preview;

use std::sync::Arc;

use crate::app::App;
use crate::error::PageError;
use crate::live::LiveServer;
use crate::model::kind::Kind;
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

fn found(app: &App, id: &str) -> Result<Arc<LiveServer>, PageRefused> {
    app.live
        .resource_server(id)
        .ok_or_else(|| PageRefused::Error(PageError::not_found()))
}
