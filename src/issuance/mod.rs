//! From the facts of a request to the policy's decision, and from the decision to claims and lifetimes.
//! Authorization, code, refresh and client credentials all ask here, so that they cannot differ, and the console's preview
//! of a token shows what they would issue.

mod licence;
mod rules;
pub mod smart_configuration;
pub mod token;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::error::{Broken, Code, OAuthError};
use crate::live::{Live, LiveClient, LiveServer};
use crate::model::Organization;
use crate::model::grant::GrantFacts;
use crate::model::person::Person;
use crate::model::scope::ScopeSet;
pub use crate::policy::CERTIFY;
use crate::policy::claims::{Identity, Place, Subject};
use crate::policy::dataflow::Dataflow;
use crate::policy::grant::{Ask, Asker, Granted, Refused, Target};
pub use licence::licence_ends;
pub use rules::Rules;

/// The scope that lets a bearer introspect.
pub const INTROSPECT: &str = "__mdi.introspect";

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct GrantRequest<'a> {
    /// `scope`
    pub scope: Option<&'a ScopeSet>,
    /// `resource`, `aud`, `audience`
    pub targets: &'a [String],
    /// `purpose_of_use`
    pub purposes: &'a [String],
}

/// A client with the resource servers that it may use, as they are registered now.
#[derive(Debug, Clone)]
pub struct ClientContext {
    /// The client.
    pub client: Arc<LiveClient>,
    servers: Vec<Arc<LiveServer>>,
}

impl ClientContext {
    /// A client and the resource servers that it may use.
    pub fn new(client: Arc<LiveClient>, servers: Vec<Arc<LiveServer>>) -> Self {
        Self { client, servers }
    }

    /// Looks the client's resource servers up; disabled ones do not exist for it.
    pub fn of(live: &Live, client: &Arc<LiveClient>) -> Self {
        let ids = &client.client.settings.resource_servers;
        let servers = ids
            .iter()
            .filter_map(|id| live.resource_server(id))
            .filter(|live| live.server.enabled);
        Self::new(Arc::clone(client), servers.collect())
    }

    /// The resource server of an id, if the client may use it.
    pub fn server(&self, id: Option<&str>) -> Option<&Arc<LiveServer>> {
        self.servers
            .iter()
            .find(|live| Some(live.server.id.as_str()) == id)
    }

    /// The client's dataflow.
    ///
    /// # Errors
    /// When the policy does not have it any more.
    pub fn dataflow<'a>(&self, rules: &Rules<'a>) -> Result<&'a Dataflow, Broken> {
        let id = &self.client.client.dataflow;
        rules.policy.dataflow(id).ok_or_else(|| {
            Broken::defect(format!(
                "the policy has no dataflow {id}, which client {} uses",
                self.client.client.id
            ))
        })
    }

    /// Asks the policy for a client that acts for itself.
    ///
    /// # Errors
    /// The policy's refusal.
    pub fn grant_system(
        &self,
        rules: &Rules<'_>,
        grant_request: GrantRequest<'_>,
    ) -> Result<Granted, OAuthError> {
        self.ask(rules, Asker::System, grant_request)
    }

    /// Asks the policy for a person.
    ///
    /// # Errors
    /// The policy's refusal.
    pub fn grant_person(
        &self,
        rules: &Rules<'_>,
        person: &Person,
        second_factor: bool,
        grant_request: GrantRequest<'_>,
        now: i64,
    ) -> Result<Granted, OAuthError> {
        let roles = roles_in_force(rules, person, now);
        let settings = &person.settings;
        let asker = Asker::Person {
            roles: &roles,
            second_factor,
            purposes: settings.purposes.as_deref(),
            clearance: settings.confidentiality,
        };
        self.ask(rules, asker, grant_request)
    }

    fn ask(
        &self,
        rules: &Rules<'_>,
        asker: Asker<'_>,
        grant_request: GrantRequest<'_>,
    ) -> Result<Granted, OAuthError> {
        let settings = &self.client.client.settings;
        let targets: Vec<Target<'_>> = self
            .servers
            .iter()
            .map(|live| Target {
                id: &live.server.id,
                audience: &live.server.audience,
                kind: live.server.settings.kind,
                scopes: live.server.settings.scopes.as_ref(),
            })
            .collect();
        let ask = Ask {
            asker,
            dataflow: self.dataflow(rules)?,
            client_scopes: settings.scopes.as_ref(),
            client_purposes: settings.purposes.as_deref(),
            client_clearance: settings.confidentiality,
            targets: &targets,
            requested: grant_request.scope,
            named: grant_request.targets,
            purposes: grant_request.purposes,
        };
        rules.policy.grant(&ask).map_err(|refused| refusal(&refused))
    }

    /// How long an access token lives, in seconds: the smaller of configuration and dataflow.
    pub fn access_seconds(&self, rules: &Rules<'_>, for_person: bool) -> Result<i64, Broken> {
        let configured = if for_person {
            rules.access_seconds
        } else {
            rules.system_access_seconds
        };
        Ok(configured.min(i64::from(self.dataflow(rules)?.access_seconds)))
    }

    /// When an access token of a person ends: one that may certify ends some minutes after sign-in, and one with a role
    /// that certifies ends with the licence.
    pub fn access_ends(
        &self,
        rules: &Rules<'_>,
        person: &Person,
        granted: &Granted,
        auth_time: i64,
        now: i64,
    ) -> Result<i64, Broken> {
        let mut ends = now + self.access_seconds(rules, true)?;
        if granted.scopes.contains(CERTIFY) {
            ends = ends.min(rules.certify_ends(auth_time));
        }
        if granted.roles.iter().any(|role| certifies(rules, role)) {
            ends = licence_ends(rules.time_zone, person).map_or(ends, |licence| ends.min(licence));
        }
        Ok(ends)
    }
}

fn refusal(refused: &Refused) -> OAuthError {
    let code = match refused {
        Refused::InvalidTarget(_) => Code::InvalidTarget,
        Refused::InvalidScope(_) => Code::InvalidScope,
        Refused::AccessDenied(_) => Code::AccessDenied,
        Refused::PurposeRefused(_) => Code::InvalidRequest,
    };
    OAuthError::new(code, refused.to_string())
}

/// Whether a role may certify.
fn certifies(rules: &Rules<'_>, code: &str) -> bool {
    rules.policy.may_hold(&[code.to_owned()]).contains(CERTIFY)
}

/// The roles that count today: a licence that has ended takes those roles away that certify.
pub fn roles_in_force(rules: &Rules<'_>, person: &Person, now: i64) -> Vec<String> {
    let ended = licence_ends(rules.time_zone, person).is_some_and(|ends| now >= ends);
    person
        .settings
        .roles
        .iter()
        .filter(|code| !(ended && certifies(rules, code)))
        .cloned()
        .collect()
}

fn jurisdiction<'a>(rules: &Rules<'a>, organization: Option<&'a Organization>) -> Option<&'a str> {
    organization
        .and_then(|organization| organization.jurisdiction.as_deref())
        .or(rules.jurisdiction)
}

/// What tokens say about a client that acts for itself.
pub fn system_claims(rules: &Rules<'_>, context: &ClientContext, granted: &Granted) -> Map<String, Value> {
    let organization = context.client.client.settings.organization.as_ref();
    let identity = Identity {
        issuer: rules.issuer,
        subject: Subject::System,
        name: None,
        organization_name: organization.map(|organization| organization.name.as_str()),
        organization_id: organization.and_then(|organization| organization.id.as_deref()),
        npi: None,
        fhir_user: None,
        purposes: &granted.purposes,
        clearance: granted.clearance,
        integrity: None,
        jurisdiction: jurisdiction(rules, organization),
    };
    rules.policy.identity_claims(&identity, &granted.scopes)
}

/// What tokens say about a person: the same in access token, ID token and introspection.
pub fn person_claims(rules: &Rules<'_>, person: &Person, granted: &Granted) -> Map<String, Value> {
    let settings = &person.settings;
    let organization = settings.organization.as_ref();
    let identity = Identity {
        issuer: rules.issuer,
        subject: Subject::Person {
            roles: &granted.roles,
        },
        name: Some(&person.name),
        organization_name: organization.map(|organization| organization.name.as_str()),
        organization_id: organization.and_then(|organization| organization.id.as_deref()),
        npi: settings.npi.as_deref(),
        fhir_user: settings.fhir_user.as_deref(),
        purposes: &granted.purposes,
        clearance: granted.clearance,
        integrity: settings.integrity,
        jurisdiction: jurisdiction(rules, organization),
    };
    rules.policy.identity_claims(&identity, &granted.scopes)
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

/// Standard claims for a place: those that the scopes release, and those asked for by name (§5.5) that they release
/// anywhere.
pub fn standard_claims(
    rules: &Rules<'_>,
    person: &Person,
    scopes: &ScopeSet,
    place: Place,
    named: &[String],
) -> Map<String, Value> {
    let stored = stored_claims(person);
    let mut claims = rules.policy.standard_claims(scopes, &stored, place);
    let releasable = rules.policy.standard_claims(scopes, &stored, Place::UserInfo);
    for name in named {
        if let Some(value) = releasable.get(name) {
            claims.insert(name.clone(), value.clone());
        }
    }
    claims
}
