//! A code is issued (RFC 6749 §4.1.2) in one write: grant, code, remembered consent, events.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpResponse;

use super::authorization_decision::Facts;
use super::authorization_request::AuthorizationRequest;
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::error::PageError;
use crate::issuance::CERTIFY;
use crate::model::grant::{AuthorizationCode, Grant, GrantFacts, RememberedConsent};
use crate::model::scope::ScopeSet;
use crate::model::secret::SecretHash;
use crate::policy::grant::Granted;
use crate::store::{Stored, Tx, grants};
use crate::web::browser;
use crate::web::redirect_target::{RedirectTarget, redirect};

/// How long rows of codes outlive them, so that a replay is known as one, in seconds.
const ROW_OUTLIVES_CODE: i64 = 24 * 3600;

/// Everything that a code is issued from.
pub struct Issue<'a> {
    /// Where it goes.
    pub redirect_target: &'a RedirectTarget,
    /// What was asked.
    pub request: &'a AuthorizationRequest,
    /// Who is at the browser.
    pub facts: &'a Facts,
    /// What was granted.
    pub granted: Granted,
    /// What the person was asked about just now; none when nobody was asked.
    pub offered: Option<ScopeSet>,
}

/// Issues a code and sends it to the client.
pub async fn issue(app: &Arc<App>, address: IpAddr, issue: Issue<'_>) -> HttpResponse {
    let (Some(person), Some(session)) = (&issue.facts.person, &issue.facts.session) else {
        return browser::error_page(app, &PageError::new("You are not signed in any more."));
    };
    let now = app.now();
    let client = &issue.redirect_target.client.client;
    let code = app.entropy.secret();
    let expires_at = now + app.config.tokens.code_seconds;
    let purge_at = expires_at + ROW_OUTLIVES_CODE;
    let granted = issue.granted;
    let grant = Grant {
        id: app.entropy.id("grt"),
        client_id: client.id.clone(),
        person_id: person.id.clone(),
        client_generation: client.generation,
        person_generation: person.generation,
        facts: GrantFacts {
            scope: granted.scopes.clone(),
            target: granted.target.clone(),
            purposes: granted.purposes.clone(),
            acr: session.acr.clone(),
            amr: session.amr.clone(),
            auth_time: session.auth_time,
            nonce: issue.request.nonce.clone(),
            claims: issue.request.claims.clone(),
            session: session.id.clone(),
            identity_provider: session.identity_provider.clone(),
        },
        created_at: now,
        revoked_at: None,
        purge_at: purge_at + app.config.tokens.access_seconds,
    };
    let row = AuthorizationCode {
        hash: SecretHash::of(&code).as_str().to_owned(),
        grant_id: grant.id.clone(),
        redirect_uri: issue.redirect_target.redirect_uri.clone(),
        code_challenge: issue.request.code_challenge.clone(),
        expires_at,
        redeemed_at: None,
    };
    let remember = issue
        .offered
        .map(|offered| remember(issue.facts, &offered, &grant));
    let job_app = Arc::clone(app);
    let written = app
        .store
        .write(move |tx| record_issue(&job_app, tx, &grant, (&row, purge_at), remember.as_ref(), address));
    match written.await {
        Ok(()) => redirect(app, issue.redirect_target, &[("code", &code)]),
        Err(broken) => browser::error_page(app, &broken.into()),
    }
}

/// What to remember: what was allowed now, and of what was allowed before all that was not asked about again.
fn remember(facts: &Facts, offered: &ScopeSet, grant: &Grant) -> RememberedConsent {
    let now = RememberedConsent {
        person_generation: grant.person_generation,
        client_generation: grant.client_generation,
        target: grant.facts.target.clone(),
        purposes: grant.facts.purposes.clone(),
        scope: grant.facts.scope.without(CERTIFY),
    };
    let same = |before: &&RememberedConsent| {
        (before.person_generation, before.client_generation, &before.target)
            == (now.person_generation, now.client_generation, &now.target)
            && before.purposes == now.purposes
    };
    let kept: ScopeSet = facts
        .remembered
        .iter()
        .filter(same)
        .flat_map(|before| before.scope.iter())
        .filter(|scope| scope.within(offered).is_empty())
        .cloned()
        .collect();
    RememberedConsent {
        scope: kept.join(&now.scope),
        ..now
    }
}

fn record_issue(
    app: &App,
    tx: &mut Tx<'_>,
    grant: &Grant,
    (code, purge_at): (&AuthorizationCode, i64),
    remember: Option<&RememberedConsent>,
    address: IpAddr,
) -> Stored<()> {
    grants::add(tx.conn(), grant)?;
    grants::add_code(tx.conn(), code, purge_at)?;
    let event = |kind| {
        app.event(kind, Actor::Person(grant.person_id.clone()))
            .client(&grant.client_id)
            .from(address.to_string())
            .purposes(&grant.facts.purposes)
            .with("grant", grant.id.clone())
            .with("scope", grant.facts.scope.to_string())
    };
    if let Some(remember) = remember {
        grants::remember_consent(
            tx.conn(),
            &grant.person_id,
            &grant.client_id,
            remember,
            grant.created_at,
        )?;
        tx.audit(event(Kind::ConsentGiven));
    }
    tx.audit(event(Kind::CodeIssued).with("acr", grant.facts.acr.clone()));
    Ok(())
}
