//! What tokens say about a client or a person: the same in access token, ID token and introspection.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{ClientContext, Rules};
use crate::error::Broken;
use crate::model::agency::Agency;
use crate::model::grant::{ClaimsRequest, GrantFacts};
use crate::model::person::Person;
use crate::model::scope::ScopeSet;
use crate::policy::claims::{Identity, Place, Subject};
use crate::policy::grant::Granted;

fn jurisdiction<'a>(rules: &Rules<'a>, agency: Option<&'a Arc<Agency>>) -> Option<&'a str> {
    agency
        .and_then(|agency| agency.settings.jurisdiction.as_deref())
        .or(rules.jurisdiction)
}

/// What tokens say about a client that acts for itself.
pub fn system_claims(rules: &Rules<'_>, context: &ClientContext, granted: &Granted) -> Map<String, Value> {
    let agency = context.client.agency.as_ref();
    let identity = Identity {
        issuer: rules.issuer,
        subject: Subject::System,
        name: None,
        organization_name: agency.map(|agency| agency.name.as_str()),
        organization_id: agency.and_then(|agency| agency.settings.identifier.as_deref()),
        npi: None,
        fhir_user: None,
        purposes: &granted.purposes,
        clearance: granted.clearance,
        integrity: None,
        jurisdiction: jurisdiction(rules, agency),
    };
    rules.policy.identity_claims(&identity, &granted.scopes)
}

/// What tokens say about a person: the same in access token, ID token and introspection.
pub fn person_claims(rules: &Rules<'_>, person: &Person, granted: &Granted) -> Map<String, Value> {
    let settings = &person.settings;
    let agency = rules.agencies.of(settings.agency.as_ref());
    let identity = Identity {
        issuer: rules.issuer,
        subject: Subject::Person {
            roles: &granted.roles,
        },
        name: Some(&person.name),
        organization_name: agency.map(|agency| agency.name.as_str()),
        organization_id: agency.and_then(|agency| agency.settings.identifier.as_deref()),
        npi: settings.npi.as_deref(),
        fhir_user: settings.fhir_user.as_deref(),
        purposes: &granted.purposes,
        clearance: granted.clearance,
        integrity: settings.integrity,
        jurisdiction: jurisdiction(rules, agency),
    };
    let mut claims = rules.policy.identity_claims(&identity, &granted.scopes);
    // Name, roles and agency are for a resource server that decides by them; `openid` alone tells who it is, and no more.
    if granted.target.is_none() {
        claims.retain(|name, _| name == "fhirUser");
    }
    claims
}

/// Adds how and when the person signed in (OpenID Connect Core §2).
pub fn add_authentication(claims: &mut Map<String, Value>, facts: &GrantFacts) {
    claims.insert("acr".to_owned(), json!(facts.acr));
    claims.insert("amr".to_owned(), json!(facts.amr));
    claims.insert("auth_time".to_owned(), json!(facts.auth_time));
}

/// Everything known about a person as OpenID standard claims (OpenID Connect Core §5.1).
pub fn stored_claims(person: &Person) -> Map<String, Value> {
    let mut claims = person.settings.claims.clone();
    claims.insert("name".to_owned(), json!(person.name));
    claims.insert("preferred_username".to_owned(), json!(person.username));
    claims.insert("updated_at".to_owned(), json!(person.updated_at));
    if let Some(email) = &person.settings.email {
        claims.insert("email".to_owned(), json!(email));
        claims.insert("email_verified".to_owned(), json!(person.settings.email_verified));
    }
    claims
}

/// Standard claims for a place: those that the scopes release there, and those that were granted by their names (§5.5).
/// What scopes release stands at the userinfo endpoint (§5.4), and in the ID token only for clients that look nowhere else.
///
/// # Errors
/// When the policy does not have the client's dataflow any more.
pub fn standard_claims(
    rules: &Rules<'_>,
    context: &ClientContext,
    person: &Person,
    (scopes, named): (&ScopeSet, &ClaimsRequest),
    place: Place,
) -> Result<Map<String, Value>, Broken> {
    let stored = stored_claims(person);
    let named = context.may_name(rules, named)?;
    let (by_scope, names) = match place {
        Place::IdToken => (context.client.client.settings.id_token_claims, named.id_token),
        Place::UserInfo => (true, named.userinfo),
    };
    let mut claims = if by_scope {
        rules.policy.standard_claims(scopes, &stored, place)
    } else {
        Map::new()
    };
    for name in names {
        if let Some(value) = stored.get(&name) {
            claims.insert(name, value.clone());
        }
    }
    Ok(claims)
}
