//! The code systems that tokens, audit events and pages speak in: HL7 terminology (CC0), DICOM, and a few codes each of
//! SNOMED CT and NUCC, of which only code and display are carried.

use std::collections::HashMap;

use serde::Deserialize;

/// Code system of purposes of use.
pub const PURPOSE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";

const FILES: [(&str, &str); 8] = [
    (
        "confidentiality.json",
        include_str!("vocabulary/confidentiality.json"),
    ),
    ("dicom-audit.json", include_str!("vocabulary/dicom-audit.json")),
    ("integrity.json", include_str!("vocabulary/integrity.json")),
    ("obligation.json", include_str!("vocabulary/obligation.json")),
    (
        "purpose-of-use.json",
        include_str!("vocabulary/purpose-of-use.json"),
    ),
    ("refrain.json", include_str!("vocabulary/refrain.json")),
    (
        "security-roles.json",
        include_str!("vocabulary/security-roles.json"),
    ),
    ("sensitivity.json", include_str!("vocabulary/sensitivity.json")),
];

/// One code and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concept {
    /// URI of the code system.
    pub system: String,
    /// The code.
    pub code: String,
    /// A few words.
    pub display: String,
    /// A sentence, where the code system may be quoted.
    pub definition: Option<String>,
}

/// All embedded code systems.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    systems: HashMap<String, HashMap<String, Concept>>,
    purposes: Vec<Concept>,
}

impl Vocabulary {
    /// Reads the embedded files.
    ///
    /// # Errors
    /// One message for each file that cannot be read.
    pub fn built_in() -> Result<Self, Vec<String>> {
        let mut vocabulary = Self {
            systems: HashMap::new(),
            purposes: Vec::new(),
        };
        let mut mistakes = Vec::new();
        for (name, text) in FILES {
            match serde_json::from_str::<Vec<Concept>>(text) {
                Ok(concepts) => concepts.into_iter().for_each(|concept| vocabulary.add(concept)),
                Err(error) => mistakes.push(format!("vocabulary {name}: {error}")),
            }
        }
        if mistakes.is_empty() {
            Ok(vocabulary)
        } else {
            Err(mistakes)
        }
    }

    fn add(&mut self, concept: Concept) {
        if concept.system == PURPOSE_SYSTEM {
            self.purposes.push(concept.clone());
        }
        self.systems
            .entry(concept.system.clone())
            .or_default()
            .insert(concept.code.clone(), concept);
    }

    /// The concept, if it is embedded.
    pub fn concept(&self, system: &str, code: &str) -> Option<&Concept> {
        self.systems.get(system)?.get(code)
    }

    /// Up to `limit` concepts with a code or display that holds these words, letter case ignored, in the order of code
    /// systems and codes; and whether there are more.
    pub fn search(&self, wanted: &str, limit: usize) -> (Vec<&Concept>, bool) {
        let wanted = wanted.to_lowercase();
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        let all = self.systems.values().flat_map(HashMap::values);
        let mut found: Vec<&Concept> = all
            .filter(|found| holds(&found.code) || holds(&found.display))
            .collect();
        found.sort_by(|one, other| (&one.system, &one.code).cmp(&(&other.system, &other.code)));
        let more = found.len() > limit;
        found.truncate(limit);
        (found, more)
    }

    /// The display of a code.
    pub fn display(&self, system: &str, code: &str) -> Option<&str> {
        self.concept(system, code).map(|concept| concept.display.as_str())
    }

    /// True for the codes of v3-ActReason below `PurposeOfUse`.
    pub fn is_purpose_of_use(&self, code: &str) -> bool {
        self.concept(PURPOSE_SYSTEM, code).is_some()
    }

    /// All purposes of use, in the order of the code system.
    pub fn purposes_of_use(&self) -> &[Concept] {
        &self.purposes
    }
}
