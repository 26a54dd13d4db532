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
use crate::model::grant::{AuthorizationCode, ClaimsRequest, Grant, GrantFacts, RememberedConsent};
use crate::model::scope::{Scope, ScopeSet};
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
    /// The claims that were granted by their names, or by a scope that releases them.
    pub claims: ClaimsRequest,
    /// What the person was asked about just now; none when nobody was asked.
    pub offered: Option<Offered>,
}

/// What a person was asked about.
#[derive(Debug)]
pub struct Offered {
    /// The scopes.
    pub scopes: ScopeSet,
    /// The claims that none of them releases.
    pub claims: Vec<String>,
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
            claims: issue.claims,
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
        .map(|offered| remember(app, issue.facts, &offered, &grant));
    let job_app = Arc::clone(app);
    let roles = granted.roles.join(" ");
    let written = app.store.write(move |tx| {
        let code = (&row, purge_at);
        record_issue(&job_app, tx, (&grant, &roles), code, remember.as_ref(), address)
    });
    match written.await {
        Ok(()) => {
            app.sign_in_refusals
                .forget(&issue.redirect_target.client.client.id);
            redirect(app, issue.redirect_target, &[("code", &code)])
        }
        Err(broken) => browser::error_page(app, &broken.into()),
    }
}

/// What to remember: what was allowed now, and of what was allowed before all that was not asked about again.
fn remember(app: &App, facts: &Facts, offered: &Offered, grant: &Grant) -> RememberedConsent {
    let now = RememberedConsent {
        claims: app.policy.claims_beyond(&grant.facts.claims, &grant.facts.scope),
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
    let before: Vec<&RememberedConsent> = facts.remembered.iter().filter(same).collect();
    // Leave for a scope is leave for its claims: not where one of them was unticked just now.
    let unticked = || offered.claims.iter().filter(|name| !now.claims.contains(name));
    let released_unticked = |scope: &&Scope| {
        let scope = scope.to_string();
        unticked().any(|name| app.policy.scope_of_claim(name) == Some(scope.as_str()))
    };
    let kept: ScopeSet = before
        .iter()
        .flat_map(|before| before.scope.iter())
        .filter(|scope| scope.within(&offered.scopes).is_empty() && !released_unticked(scope))
        .cloned()
        .collect();
    let kept_claims = before
        .iter()
        .flat_map(|before| &before.claims)
        .filter(|name| !offered.claims.contains(name) && !now.claims.contains(name));
    RememberedConsent {
        scope: kept.join(&now.scope),
        claims: kept_claims.cloned().chain(now.claims.clone()).collect(),
        ..now
    }
}

fn record_issue(
    app: &App,
    tx: &mut Tx<'_>,
    (grant, roles): (&Grant, &str),
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
            .granted(grant.facts.target.as_deref(), roles)
    };
    let named = app.policy.claims_beyond(&grant.facts.claims, &grant.facts.scope);
    let event = |kind| match named.is_empty() {
        true => event(kind),
        false => event(kind).with("claims", named.join(" ")),
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
