//! What an access token says, before it is signed or written down.

use serde_json::{Map, Value};

use super::{ClientContext, Rules, add_authentication, system_claims};
use crate::clock::Entropy;
use crate::error::Broken;
use crate::model::grant::Grant;
use crate::model::person::Person;
use crate::model::resource_server::ResourceServer;
use crate::model::scope::{ScopeSet, ScopeStyle};
use crate::model::token::{AccessToken, Footing};
use crate::policy::grant::Granted;

/// What a token is made of.
#[derive(Debug)]
pub struct Draft<'a> {
    /// `sub`
    pub sub: &'a str,
    /// `client_id`
    pub client_id: &'a str,
    /// What was granted.
    pub scopes: &'a ScopeSet,
    /// The resource server, when one of its scopes was granted.
    pub target: Option<&'a ResourceServer>,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
    /// What it stands on.
    pub footing: Footing,
    /// Further claims.
    pub more: Map<String, Value>,
}

impl<'a> Draft<'a> {
    /// The token of a client that acts for itself.
    ///
    /// # Errors
    /// When the policy does not have the client's dataflow any more.
    pub fn of_system(
        rules: &Rules<'_>,
        context: &'a ClientContext,
        granted: &'a Granted,
        now: i64,
    ) -> Result<Self, Broken> {
        let client = &context.client.client;
        Ok(Self {
            sub: &client.id,
            client_id: &client.id,
            scopes: &granted.scopes,
            target: context.server(granted.target.as_deref()).map(|live| &live.server),
            exp: now + context.access_seconds(rules, false)?,
            footing: Footing {
                grant: None,
                client_generation: client.generation,
                person_generation: 0,
            },
            more: system_claims(rules, context, granted),
        })
    }

    /// The token of a person; `claims` are those that [`person_claims`](super::person_claims) says.
    pub fn of_person(
        rules: &Rules<'_>,
        context: &'a ClientContext,
        person: &'a Person,
        grant: &'a Grant,
        granted: &'a Granted,
        (claims, now): (Map<String, Value>, i64),
    ) -> Result<Self, Broken> {
        let mut more = claims;
        add_authentication(&mut more, &grant.facts);
        if granted.target.is_some() {
            more.insert("username".to_owned(), person.username.clone().into());
        }
        Ok(Self {
            sub: &person.id,
            client_id: &grant.client_id,
            scopes: &granted.scopes,
            target: context.server(granted.target.as_deref()).map(|live| &live.server),
            exp: context.access_ends(rules, person, granted, grant.facts.auth_time, now)?,
            footing: Footing {
                grant: Some(grant.id.clone()),
                client_generation: grant.client_generation,
                person_generation: grant.person_generation,
            },
            more,
        })
    }

    /// The claims, with a name that no other token has.
    pub fn into_claims(self, issuer: &str, entropy: Entropy, now: i64) -> AccessToken {
        let audience = self
            .target
            .map_or_else(|| issuer, |server| &server.settings.audience);
        let scope = match self.target.map(|server| &server.settings) {
            Some(settings) => self.scopes.project(settings.scope_style, &settings.scope_map),
            None => self
                .scopes
                .project(ScopeStyle::V2, &std::collections::BTreeMap::new()),
        };
        AccessToken {
            iss: issuer.to_owned(),
            sub: self.sub.to_owned(),
            aud: vec![audience.to_owned()],
            exp: self.exp,
            iat: now,
            jti: entropy.id("at"),
            client_id: self.client_id.to_owned(),
            scope,
            footing: self.footing,
            more: self.more,
        }
    }
}
