//! What tokens say about somebody, made in one place for the access token, the ID token and introspection alike.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::model::{
    grant::ClaimsRequest,
    scope::ScopeSet,
    security_label::{CONFIDENTIALITY_SYSTEM, Confidentiality, INTEGRITY_SYSTEM, Integrity},
};

use super::{
    Policy,
    role::{Coding, role_system},
    vocabulary::PURPOSE_SYSTEM,
};

/// Who a token speaks of.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A client that acts for itself.
    System,
    /// A person, with the roles that counted: [`Granted::roles`](super::grant::Granted::roles).
    Person {
        /// Role codes.
        roles: &'a [String],
    },
}

/// The facts about somebody that tokens may carry.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// This server's issuer, the base of our role codes.
    pub issuer: &'a str,
    /// System or person.
    pub subject: Subject<'a>,
    /// The person's name.
    pub name: Option<&'a str>,
    /// Name of the person's organization; for systems, of the client's.
    pub organization_name: Option<&'a str>,
    /// Its identifier, `urn:oid:…`.
    pub organization_id: Option<&'a str>,
    /// National provider identifier.
    pub npi: Option<&'a str>,
    /// URL of the person's Practitioner resource.
    pub fhir_user: Option<&'a str>,
    /// Purposes of use that were granted.
    pub purposes: &'a [String],
    /// Clearance that was granted.
    pub clearance: Option<Confidentiality>,
    /// How far the person is relied on, where it was set.
    pub integrity: Option<Integrity>,
    /// Jurisdiction of the organization or of the installation.
    pub jurisdiction: Option<&'a str>,
}

/// Where OpenID Connect standard claims are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The ID token.
    IdToken,
    /// The userinfo endpoint.
    UserInfo,
}

impl Policy {
    /// `fhirUser`, `security`, `jurisdiction` and `extensions` (IHE IUA ITI-71, JWT option), as far as there is
    /// something to say. Console roles that hold no scope are nobody else's business and are left out.
    pub fn identity_claims(&self, identity: &Identity<'_>, scopes: &ScopeSet) -> Map<String, Value> {
        let mut claims = Map::new();
        let fhir_user = identity.fhir_user.filter(|_| scopes.contains("fhirUser"));
        put(&mut claims, "fhirUser", fhir_user.map(Value::from));
        put(&mut claims, "security", some_object(security(identity)));
        put(
            &mut claims,
            "jurisdiction",
            identity.jurisdiction.map(Value::from),
        );
        let mut extensions = Map::new();
        put(&mut extensions, "ihe_iua", some_object(self.ihe_iua(identity)));
        put(
            &mut extensions,
            "mdi_security",
            labels(identity).map(|labels| json!({ "labels": labels })),
        );
        put(&mut claims, "extensions", some_object(extensions));
        claims
    }

    /// The stored OpenID Connect standard claims that these scopes release here (OpenID Connect Core §5.4). Claims
    /// that the policy does not list are released to nobody.
    pub fn standard_claims(
        &self,
        scopes: &ScopeSet,
        stored: &Map<String, Value>,
        place: Place,
    ) -> Map<String, Value> {
        let released = self.claims.iter().filter(|(scope, _)| scopes.contains(scope));
        let names = released.flat_map(|(_, release)| match place {
            Place::IdToken => &release.id_token,
            Place::UserInfo => &release.userinfo,
        });
        names
            .filter_map(|name| stored.get(name).map(|value| (name.clone(), value.clone())))
            .collect()
    }

    /// The scope that releases a standard claim (OpenID Connect Core §5.4).
    pub fn scope_of_claim(&self, name: &str) -> Option<&str> {
        let mut releases = self.claims.iter();
        releases
            .find(|(_, release)| release.userinfo.iter().any(|known| known == name))
            .map(|(scope, _)| scope.as_str())
    }

    /// The names among these that no scope of `scopes` releases, each once, in order.
    pub fn claims_beyond(&self, claims: &ClaimsRequest, scopes: &ScopeSet) -> Vec<String> {
        let names: BTreeSet<&String> = claims.id_token.iter().chain(&claims.userinfo).collect();
        let released = |name: &str| {
            self.scope_of_claim(name)
                .is_some_and(|scope| scopes.contains(scope))
        };
        names
            .into_iter()
            .filter(|name| !released(name))
            .cloned()
            .collect()
    }

    /// Every standard claim that some scope releases, for the metadata's `claims_supported`.
    pub fn standard_claim_names(&self) -> impl Iterator<Item = &str> {
        self.claims
            .values()
            .flat_map(|release| &release.userinfo)
            .map(String::as_str)
    }

    fn ihe_iua(&self, identity: &Identity<'_>) -> Map<String, Value> {
        let mut iua = Map::new();
        put(&mut iua, "subject_name", identity.name.map(Value::from));
        put(
            &mut iua,
            "subject_organization",
            identity.organization_name.map(Value::from),
        );
        put(
            &mut iua,
            "subject_organization_id",
            identity.organization_id.map(Value::from),
        );
        put(
            &mut iua,
            "national_provider_identifier",
            identity.npi.map(Value::from),
        );
        put(&mut iua, "subject_role", some_array(self.subject_role(identity)));
        let purposes = identity
            .purposes
            .iter()
            .map(|code| json!({"system": PURPOSE_SYSTEM, "code": code}));
        put(&mut iua, "purpose_of_use", some_array(purposes.collect()));
        iua
    }

    /// Our code for each role, followed by its standard codes; each coding once.
    fn subject_role(&self, identity: &Identity<'_>) -> Vec<Value> {
        let system = role_system(identity.issuer);
        let with_own = |code: &str, codings: &[Coding]| {
            let own = json!({"system": system, "code": code});
            std::iter::once(own)
                .chain(codings.iter().map(Coding::claim))
                .collect::<Vec<_>>()
        };
        let all = match identity.subject {
            Subject::System => with_own(&self.system_role.code, &self.system_role.codings),
            Subject::Person { roles } => {
                let held = roles
                    .iter()
                    .filter_map(|code| self.role(code))
                    .filter(|role| !role.scopes.is_empty());
                held.flat_map(|role| with_own(&role.code, &role.codings))
                    .collect()
            }
        };
        let mut unique = Vec::with_capacity(all.len());
        for coding in all {
            if !unique.contains(&coding) {
                unique.push(coding);
            }
        }
        unique
    }
}

fn security(identity: &Identity<'_>) -> Map<String, Value> {
    let mut security = Map::new();
    put(
        &mut security,
        "confidentiality",
        identity.clearance.map(|level| level.word().into()),
    );
    put(
        &mut security,
        "integrity",
        identity.integrity.map(|level| level.word().into()),
    );
    security
}

fn labels(identity: &Identity<'_>) -> Option<Value> {
    let confidentiality = identity
        .clearance
        .map(|level| (CONFIDENTIALITY_SYSTEM, level.code()));
    let integrity = identity.integrity.map(|level| (INTEGRITY_SYSTEM, level.code()));
    let labels = confidentiality.into_iter().chain(integrity);
    some_array(
        labels
            .map(|(system, code)| json!({"system": system, "code": code}))
            .collect(),
    )
}

fn put(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(name.into(), value);
    }
}

fn some_object(map: Map<String, Value>) -> Option<Value> {
    (!map.is_empty()).then_some(Value::Object(map))
}

fn some_array(values: Vec<Value>) -> Option<Value> {
    (!values.is_empty()).then_some(Value::Array(values))
}
