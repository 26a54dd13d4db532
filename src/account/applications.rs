//! What somebody allowed applications, and taking it back: their tokens end at once, and what was remembered is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use url::form_urlencoded;

use super::done::back;
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::clock::local_time::Zone;
use crate::error::PageError;
use crate::model::client::Consent;
use crate::model::grant::{Grant, RememberedConsent};
use crate::model::person::Person;
use crate::model::scope::ScopeSet;
use crate::policy::CERTIFY;
use crate::policy::consent::claim_sentence;
use crate::session::{client_address, revocation};
use crate::store::{Conn, Stored, grants, tokens};
use crate::web::browser::{self, Notice, PostedForm};
use crate::web::page::{Answered, Own};
use crate::web::pages::account::{Allowed, EndApplicationPage};
use crate::web::pages::{self, FormAction};
use crate::web::parameters::Parameters;

const END_PATH: &str = "/account/applications/end";

/// What the database knows of what somebody allowed.
pub struct AllowedFacts {
    grants: Vec<Grant>,
    /// When the refresh tokens of grants end.
    refresh_ends: BTreeMap<String, i64>,
    /// By client, with when.
    consents: Vec<(String, RememberedConsent, i64)>,
}

impl AllowedFacts {
    /// Reads it.
    pub fn load(conn: &mut Conn, person_id: &str) -> Stored<Self> {
        Ok(Self {
            grants: grants::of_person(conn, person_id)?,
            refresh_ends: tokens::refresh_ends(conn, person_id)?.into_iter().collect(),
            consents: grants::consents_of_person(conn, person_id)?,
        })
    }
}

/// The page that asks whether to end what a client was allowed.
fn end_path(client_id: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", client_id)
        .finish();
    format!("{END_PATH}?{query}")
}

/// The applications that can do something for the person, or could without asking, by name.
pub fn listed(app: &App, person: &Person, facts: &AllowedFacts, zone: &Zone) -> Vec<Allowed> {
    let granted = facts.grants.iter().map(|grant| grant.client_id.as_str());
    let clients: BTreeSet<&str> = granted
        .chain(facts.consents.iter().map(|(client, ..)| client.as_str()))
        .collect();
    let mut listed: Vec<Allowed> = clients
        .into_iter()
        .filter_map(|client| allowed(app, person, client, facts, zone))
        .collect();
    listed.sort_by_key(|allowed| allowed.name.to_lowercase());
    listed
}

fn allowed(
    app: &App,
    person: &Person,
    client_id: &str,
    facts: &AllowedFacts,
    zone: &Zone,
) -> Option<Allowed> {
    let live = app.live.client(client_id).filter(|live| live.is_served())?;
    let client = &live.client;
    let now = app.now();
    let generations = (person.generation, client.generation);
    let of_client = facts.grants.iter().filter(|grant| {
        grant.client_id == client_id && (grant.person_generation, grant.client_generation) == generations
    });
    let alive: Vec<(&Grant, i64)> = of_client
        .map(|grant| (grant, ends(app, grant, facts)))
        .filter(|(_, ends)| *ends > now)
        .collect();
    let remembered = facts.consents.iter().find(|(id, consent, _)| {
        id == client_id && (consent.person_generation, consent.client_generation) == generations
    });
    if alive.is_empty() && remembered.is_none() {
        return None;
    }
    let scopes = alive
        .iter()
        .map(|(grant, _)| in_force(app, grant))
        .chain(remembered.map(|(_, c, _)| c.scope.clone()));
    let scope = scopes.reduce(|all, more| all.join(&more)).unwrap_or_default();
    let of_grants = alive
        .iter()
        .flat_map(|(grant, _)| app.policy.claims_beyond(&grant.facts.claims, &scope));
    let of_memory = remembered
        .iter()
        .flat_map(|(_, consent, _)| consent.claims.iter().cloned());
    let claims: BTreeSet<String> = of_grants.chain(of_memory).collect();
    let since = alive
        .iter()
        .map(|(grant, _)| grant.created_at)
        .min()
        .or(remembered.map(|(.., at)| *at));
    Some(Allowed {
        client_id: client_id.to_owned(),
        name: client.name.clone(),
        organization: live.agency.as_ref().map(|agency| agency.name.clone()),
        end_path: end_path(client_id),
        sentences: app
            .policy
            .sentences(&scope)
            .into_iter()
            .map(|item| item.sentence)
            .chain(claims.iter().map(|name| claim_sentence(name)))
            .collect(),
        since: since.map(|at| zone.when(at)),
        until: alive.iter().map(|(_, ends)| *ends).max().map(|at| zone.when(at)),
        remembered: remembered.is_some(),
    })
}

/// When the last token of a grant ends if its client does nothing.
fn ends(app: &App, grant: &Grant, facts: &AllowedFacts) -> i64 {
    let tokens = &app.config.tokens;
    let first = grant.created_at + tokens.code_seconds + tokens.access_seconds;
    facts
        .refresh_ends
        .get(&grant.id)
        .map_or(first, |refresh| first.max(*refresh))
}

/// What a grant allows now: certifying is over some minutes after the sign-in.
fn in_force(app: &App, grant: &Grant) -> ScopeSet {
    let over = app.now() >= grant.facts.auth_time + app.config.tokens.certify_minutes * 60;
    if over {
        grant.facts.scope.without(CERTIFY)
    } else {
        grant.facts.scope.clone()
    }
}

/// `GET /account/applications/end`: asks first, and says what it means.
pub async fn ask_end(own: Own) -> Answered {
    let query = Parameters::parse(own.request.query_string().as_bytes());
    let query = query.map_err(|error| PageError::malformed(error.description))?;
    let client_id = query.one("client_id").ok().flatten().unwrap_or_default();
    let (app, signed_in) = (&own.app, &own.signed_in);
    let person = &signed_in.person;
    let id = person.id.clone();
    let facts = app.store.read(move |conn| AllowedFacts::load(conn, &id)).await?;
    let zone = Zone::of(&person.settings, &app.config.policy.time_zone);
    let allowed = allowed(app, person, client_id, &facts, &zone).ok_or_else(PageError::not_found)?;
    let csrf = browser::csrf_token(app, &signed_in.browser);
    let client = app.live.client(client_id);
    let page = EndApplicationPage {
        shell: browser::shell_of(app, person, &csrf),
        csrf: &csrf,
        allowed: &allowed,
        vouched: client.is_some_and(|live| live.client.settings.consent == Consent::Skip),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /account/applications/end`: takes back what the application `client_id` was allowed.
pub async fn end(own: Own, form: PostedForm) -> Answered {
    let client_id = form.field("client_id")?.to_owned();
    let (app, request, me) = (&own.app, &own.request, own.signed_in.person.id);
    let event = app
        .event(Kind::ConsentRevoked, Actor::Person(me.clone()))
        .from(client_address::of(app, request).to_string());
    let now = app.now();
    let taken = app
        .store
        .write(move |tx| revocation::take_back(tx, (&me, &client_id), None, &event, now));
    // What others allowed, and what nobody allowed, is nothing to this person.
    if taken.await? {
        Ok(back(app, &form.browser, Notice::ApplicationEnded))
    } else {
        Err(PageError::not_found().into())
    }
}
