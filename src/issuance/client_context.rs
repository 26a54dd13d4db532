//! A client with what it may use, and the policy's decision about what it asks for.

use std::sync::Arc;

use super::{Rules, licence_ends};
use crate::error::{Broken, Code, OAuthError};
use crate::live::{Live, LiveClient, LiveServer};
use crate::model::grant::ClaimsRequest;
use crate::model::person::Person;
use crate::model::scope::ScopeSet;
use crate::policy::CERTIFY;
use crate::policy::dataflow::Dataflow;
use crate::policy::grant::{Ask, Asker, Granted, Refused, Target};

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct GrantRequest<'a> {
    /// `scope`
    pub scope: Option<&'a ScopeSet>,
    /// `resource`, `aud`, `audience`
    pub targets: &'a [String],
    /// `purpose_of_use`
    pub purposes: &'a [String],
    /// Whether the client has authenticated: what it may use is not told to others who ask in its name.
    pub authenticated: bool,
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
            .filter(|live| live.is_served());
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
        let id = &self.client.client.settings.dataflow;
        rules.policy.dataflow(id).ok_or_else(|| {
            Broken::defect(format!(
                "the policy has no dataflow {id}, which client {} uses",
                self.client.client.id
            ))
        })
    }

    /// Of claims asked for by their names (OpenID Connect Core §5.5), those that a scope covers for which the client is
    /// registered.
    ///
    /// # Errors
    /// When the policy does not have the client's dataflow any more.
    pub fn may_name(&self, rules: &Rules<'_>, asked: &ClaimsRequest) -> Result<ClaimsRequest, Broken> {
        let ceiling = self
            .dataflow(rules)?
            .ceiling(self.client.client.settings.scopes.as_ref());
        let may = |names: &[String]| {
            let covered = |name: &&String| {
                let scope = rules.policy.scope_of_claim(name);
                scope.is_some_and(|scope| ceiling.contains(scope))
            };
            names.iter().filter(covered).cloned().collect()
        };
        Ok(ClaimsRequest {
            id_token: may(&asked.id_token),
            userinfo: may(&asked.userinfo),
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
        let mut lapsed = settings.all_roles();
        lapsed.retain(|code| !roles.contains(code));
        let asker = Asker::Person {
            roles: &roles,
            lapsed: &lapsed,
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
                audience: &live.server.settings.audience,
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
        rules
            .policy
            .grant(&ask)
            .map_err(|refused| refusal(&refused, grant_request.authenticated))
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

fn refusal(refused: &Refused, authenticated: bool) -> OAuthError {
    let code = match refused {
        Refused::InvalidTarget { .. } => Code::InvalidTarget,
        Refused::InvalidScope(_) => Code::InvalidScope,
        Refused::AccessDenied(_) => Code::AccessDenied,
        Refused::PurposeRefused(_) => Code::InvalidRequest,
    };
    if authenticated {
        OAuthError::new(code, refused.to_string())
    } else {
        OAuthError::new(code, refused.to_strangers()).because(refused)
    }
}

/// Whether a role may certify.
fn certifies(rules: &Rules<'_>, code: &str) -> bool {
    rules.policy.may_hold(&[code.to_owned()]).contains(CERTIFY)
}

/// The roles that count today: those of agencies that are enabled and may have them, but none that certifies where a
/// licence has ended.
pub fn roles_in_force(rules: &Rules<'_>, person: &Person, now: i64) -> Vec<String> {
    let ended = licence_ends(rules.time_zone, person).is_some_and(|ends| now >= ends);
    let mut roles = rules.policy.roles_that_count(&person.settings, &rules.agencies);
    roles.retain(|code| !(ended && certifies(rules, code)));
    roles
}
