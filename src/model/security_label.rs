//! Security labels: how confidential the data may be that somebody is cleared for, and how far his statements are
//! relied on. Codes are HL7's; the words are those of the `security` claim.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Code system of [`Confidentiality`].
pub const CONFIDENTIALITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
/// Code system of [`Integrity`].
pub const INTEGRITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

/// HL7 v3 Confidentiality, least confidential first: the derived order is the order of clearances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Confidentiality {
    /// U
    Unrestricted,
    /// L
    Low,
    /// M
    Moderate,
    /// N
    Normal,
    /// R
    Restricted,
    /// V
    VeryRestricted,
}

impl Confidentiality {
    /// Every level, ascending.
    pub const ALL: [Self; 6] = [
        Self::Unrestricted,
        Self::Low,
        Self::Moderate,
        Self::Normal,
        Self::Restricted,
        Self::VeryRestricted,
    ];

    /// The v3-Confidentiality code, which is also the stored form.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unrestricted => "U",
            Self::Low => "L",
            Self::Moderate => "M",
            Self::Normal => "N",
            Self::Restricted => "R",
            Self::VeryRestricted => "V",
        }
    }

    /// The word for people and for the `security` claim.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unrestricted => "Unrestricted",
            Self::Low => "Low",
            Self::Moderate => "Moderate",
            Self::Normal => "Normal",
            Self::Restricted => "Restricted",
            Self::VeryRestricted => "Very restricted",
        }
    }
}

/// How reliable a person's statements are held to be (HL7 v3 SecurityIntegrityConfidence).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Integrity {
    /// UNCERTREL
    Low,
    /// RELIABLE
    Medium,
    /// HRELIABLE
    High,
}

impl Integrity {
    /// Every level, ascending.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// The v3-ObservationValue code, which is also the stored form.
    pub fn code(self) -> &'static str {
        match self {
            Self::Low => "UNCERTREL",
            Self::Medium => "RELIABLE",
            Self::High => "HRELIABLE",
        }
    }

    /// The word for people and for the `security` claim.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

/// A text that is neither the code nor the word of a label.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is not one of {wanted}")]
pub struct LabelError {
    found: String,
    wanted: &'static str,
}

impl FromStr for Confidentiality {
    type Err = LabelError;

    /// Reads the code (`R`) or the word (`Restricted`), whatever its case.
    fn from_str(text: &str) -> Result<Self, LabelError> {
        Self::ALL
            .into_iter()
            .find(|level| level.code() == text || level.word().eq_ignore_ascii_case(text))
            .ok_or_else(|| LabelError {
                found: text.into(),
                wanted: "U, L, M, N, R, V (v3-Confidentiality)",
            })
    }
}

impl FromStr for Integrity {
    type Err = LabelError;

    /// Reads the code (`HRELIABLE`) or the word (`High`), whatever its case.
    fn from_str(text: &str) -> Result<Self, LabelError> {
        Self::ALL
            .into_iter()
            .find(|level| level.code() == text || level.word().eq_ignore_ascii_case(text))
            .ok_or_else(|| LabelError {
                found: text.into(),
                wanted: "High, Medium, Low",
            })
    }
}

impl TryFrom<String> for Confidentiality {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl TryFrom<String> for Integrity {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl From<Confidentiality> for String {
    fn from(level: Confidentiality) -> Self {
        level.code().into()
    }
}

impl From<Integrity> for String {
    fn from(level: Integrity) -> Self {
        level.code().into()
    }
}

impl fmt::Display for Confidentiality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
