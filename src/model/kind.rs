//! What sort of system a resource server is: the dataflows of the MDI implementation guide go to one of these.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

/// The kind of a resource server, as in the apply file's `kind`.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// An electronic death registration system.
    Edrs,
    /// A medicolegal case management system.
    Cms,
    /// Anything else; reached by `custom` clients, or with a catalogue of its own.
    #[default]
    Other,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Edrs, Self::Cms, Self::Other];

    /// The spelling in files and in the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
