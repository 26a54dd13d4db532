//! Redeeming an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.6). The database decides who is first; a replay by whoever
//! could have redeemed it revokes what the code produced (RFC 6749 §4.1.2, RFC 9700 §2.1.1).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;

use super::client_authentication::{Authenticated, replayed_assertion};
use super::person_tokens::{self, PersonTokens};
use super::token_response::{Refused, TokenResponse, issued, replayed};
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::error::{Broken, OAuthError};
use crate::issuance::{CERTIFY, ClientContext, Rules};
use crate::live::LiveClient;
use crate::model::client::GrantType;
use crate::model::grant::{AuthorizationCode, Grant, RefreshToken};
use crate::model::person::Person;
use crate::model::secret::SecretHash;
use crate::session::revocation::revoke_grant;
use crate::store::{Conn, Stored, Tx, grants, people, sessions};
use crate::web::parameters::Parameters;

/// What the request says.
#[derive(Debug, Clone)]
struct Redemption {
    hash: String,
    client_id: String,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
}

/// What the database says.
#[derive(Debug, Clone)]
struct Facts {
    code: AuthorizationCode,
    grant: Grant,
    person: Option<Person>,
    signed_out: bool,
}

/// How a redemption ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Redeem,
    /// Presented again by the client to which it belongs.
    Replayed,
    Refused(String),
}

/// RFC 7636 §4.1
fn is_verifier(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    (43..=128).contains(&text.len()) && text.chars().all(allowed)
}

/// RFC 7636 §4.6
fn verifier_fits(challenge: &str, verifier: &str) -> bool {
    BASE64URL_NOPAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref()) == challenge
}

/// Decides, in this order; nothing is written here.
fn redeem(facts: Option<&Facts>, request: &Redemption, generations: (i64, i64), now: i64) -> Verdict {
    let refused = |text: &str| Verdict::Refused(text.to_owned());
    // RFC 6749 §5.2: unknown, and issued to another client, look the same.
    let Some(facts) = facts.filter(|facts| facts.grant.client_id == request.client_id) else {
        return refused("the code is unknown, expired, or was issued to another client");
    };
    // RFC 6749 §4.1.3. This and PKCE come before the replay: who has nothing but the code can end nobody's tokens.
    if request.redirect_uri.as_deref() != Some(facts.code.redirect_uri.as_str()) {
        return refused("redirect_uri must be the same as in the authorization request");
    }
    // RFC 7636 §4.6; RFC 9700 §4.8.2: a verifier without a challenge is a downgrade.
    match (&facts.code.code_challenge, &request.code_verifier) {
        (Some(_), Some(verifier)) if !is_verifier(verifier) => {
            return refused(
                "code_verifier must have 43 to 128 of the characters A-Z a-z 0-9 - . _ ~ (RFC 7636 section 4.1)",
            );
        }
        (Some(challenge), Some(verifier)) if verifier_fits(challenge, verifier) => {}
        (Some(_), Some(_)) => {
            return refused("code_verifier does not fit the code_challenge of the authorization request");
        }
        (Some(_), None) => {
            return refused("code_verifier is missing: the authorization request had a code_challenge");
        }
        (None, Some(_)) => {
            return refused("code_verifier was sent, but the authorization request had no code_challenge");
        }
        (None, None) => {}
    }
    // RFC 6749 §4.1.2: used more than once.
    if facts.code.redeemed_at.is_some() {
        return Verdict::Replayed;
    }
    if now >= facts.code.expires_at {
        return refused("the code has expired: redeem it within a minute");
    }
    if facts.signed_out {
        return refused("the person has signed out since the code was issued");
    }
    if facts.grant.revoked_at.is_some()
        || generations != (facts.grant.client_generation, facts.grant.person_generation)
    {
        return refused("what the person allowed was revoked since the code was issued");
    }
    Verdict::Redeem
}

fn load(conn: &mut Conn, hash: &str) -> Stored<Option<Facts>> {
    let Some(code) = grants::lock_code(conn, hash)? else {
        return Ok(None);
    };
    let Some(grant) = grants::find(conn, &code.grant_id)? else {
        return Ok(None);
    };
    let person = people::find(conn, &grant.person_id)?.filter(|person| person.enabled);
    let signed_out = sessions::was_ended(conn, &grant.facts.session)?;
    Ok(Some(Facts {
        code,
        grant,
        person,
        signed_out,
    }))
}

fn decide(facts: Option<&Facts>, request: &Redemption, client: &LiveClient, now: i64) -> Verdict {
    // A person who is gone or disabled has no generation that could fit.
    let person_generation = facts
        .and_then(|facts| facts.person.as_ref())
        .map_or(-1, |person| person.generation);
    redeem(facts, request, (client.client.generation, person_generation), now)
}

/// Redeems a code.
///
/// # Errors
/// RFC 6749 §5.2.
pub async fn grant(
    app: &Arc<App>,
    caller: &Authenticated,
    client: &Arc<LiveClient>,
    parameters: &Parameters,
) -> Result<TokenResponse, Refused> {
    let request = Redemption {
        hash: SecretHash::of(parameters.required("code")?).as_str().to_owned(),
        client_id: client.client.id.clone(),
        redirect_uri: parameters.one("redirect_uri")?.map(str::to_owned),
        code_verifier: parameters.one("code_verifier")?.map(str::to_owned),
    };
    let now = app.now();
    let hash = request.hash.clone();
    // Tokens are signed before the write, so that the one writer never waits for an RSA signature.
    let facts = app.store.read(move |conn| load(conn, &hash)).await?;
    let prepared = match (&facts, decide(facts.as_ref(), &request, client, now)) {
        (Some(facts), Verdict::Redeem) => Some(prepare(app, client, facts, parameters, now)?),
        _ => None,
    };
    write(app, caller, client, request, prepared, now).await
}

fn prepare(
    app: &App,
    client: &Arc<LiveClient>,
    facts: &Facts,
    parameters: &Parameters,
    now: i64,
) -> Result<(PersonTokens, Option<String>), Refused> {
    let person = facts
        .person
        .as_ref()
        .ok_or_else(|| Broken::defect("a code without a person"))?;
    let context = ClientContext::of(&app.live, client);
    let grant_facts = &facts.grant.facts;
    // The sign-in may have become too old to certify between consent and here.
    let stale = now >= Rules::of(app).certify_ends(grant_facts.auth_time);
    let scope = if stale {
        grant_facts.scope.without(CERTIFY)
    } else {
        grant_facts.scope.clone()
    };
    let granted = person_tokens::grant_again(app, &context, person, grant_facts, &scope, parameters)?;
    let refreshable =
        granted.scopes.contains("offline_access") && client.client.may_use(GrantType::RefreshToken);
    let tokens = person_tokens::mint(app, &context, person, &facts.grant, granted, now)?;
    Ok((tokens, refreshable.then(|| app.entropy.secret())))
}

/// What the write did.
enum Written {
    Issued,
    AssertionReplayed,
    CodeReplayed,
    Refused(String),
}

async fn write(
    app: &Arc<App>,
    caller: &Authenticated,
    client: &Arc<LiveClient>,
    request: Redemption,
    prepared: Option<(PersonTokens, Option<String>)>,
    now: i64,
) -> Result<TokenResponse, Refused> {
    let job_app = Arc::clone(app);
    let (job_caller, job_client, job_prepared) = (caller.clone(), Arc::clone(client), prepared.clone());
    let written = app.store.write(move |tx| {
        if !job_caller.settle(tx)? {
            tx.audit(replayed(&job_app, &job_caller));
            return Ok(Written::AssertionReplayed);
        }
        let facts = load(tx.conn(), &request.hash)?;
        match (
            decide(facts.as_ref(), &request, &job_client, now),
            &facts,
            &job_prepared,
        ) {
            (Verdict::Redeem, Some(facts), Some((tokens, refresh))) => {
                record(
                    &job_app,
                    tx,
                    &job_caller,
                    facts,
                    (tokens, refresh.as_deref()),
                    now,
                )?;
                Ok(Written::Issued)
            }
            (Verdict::Replayed, Some(facts), _) => {
                revoke_grant(tx, &facts.grant.id, now)?;
                tx.audit(code_replayed(&job_app, &job_caller, &facts.grant));
                Ok(Written::CodeReplayed)
            }
            (Verdict::Refused(reason), _, _) => Ok(Written::Refused(reason)),
            // The facts changed for the better between the read and the write, which only time going backwards does.
            _ => Ok(Written::Refused(
                "the code cannot be redeemed just now".to_owned(),
            )),
        }
    });
    match (written.await?, prepared) {
        (Written::Issued, Some((tokens, refresh_token))) => Ok(response(tokens, refresh_token)),
        (Written::AssertionReplayed, _) => Err(Refused::Done(replayed_assertion())),
        (Written::CodeReplayed, _) => Err(Refused::Done(OAuthError::invalid_grant(
            "the code was redeemed before: the tokens that it produced are revoked now, the person must sign in again",
        ))),
        (Written::Refused(reason), _) => Err(Refused::Settled(OAuthError::invalid_grant(reason))),
        (Written::Issued, None) => Err(Broken::defect("issued without tokens").into()),
    }
}

fn record(
    app: &App,
    tx: &mut Tx<'_>,
    caller: &Authenticated,
    facts: &Facts,
    (tokens, refresh): (&PersonTokens, Option<&str>),
    now: i64,
) -> Stored<()> {
    let grant = &facts.grant;
    grants::redeem_code(tx.conn(), &facts.code.hash, now)?;
    tokens.access.record(tx)?;
    let scope = tokens.granted.scopes.to_string();
    if let Some(refresh) = refresh {
        let expires_at = super::refresh_token::ends(app, grant, now);
        let first = RefreshToken {
            hash: SecretHash::of(refresh).as_str().to_owned(),
            grant_id: grant.id.clone(),
            generation: 0,
            nonce: app.entropy.secret(),
            answered_scope: scope.clone(),
            expires_at,
            used_at: None,
        };
        super::refresh_token::keep(app, tx, &first)?;
    }
    let event = issued(
        app,
        caller,
        GrantType::AuthorizationCode,
        &scope,
        &tokens.access.jti,
    )
    .person(&grant.person_id)
    .purposes(&tokens.granted.purposes)
    .granted(tokens.granted.target.as_deref(), &tokens.granted.roles.join(" "))
    .with("grant", grant.id.clone());
    tx.audit(event);
    Ok(())
}

fn code_replayed(app: &App, caller: &Authenticated, grant: &Grant) -> Event {
    app.event(Kind::CodeReplayed, Actor::Client(caller.caller.id().to_owned()))
        .outcome(Outcome::SeriousFailure)
        .person(&grant.person_id)
        .from(caller.address.to_string())
        .with("grant", grant.id.clone())
}

fn response(tokens: PersonTokens, refresh_token: Option<String>) -> TokenResponse {
    TokenResponse {
        access_token: tokens.access.token,
        token_type: "Bearer",
        expires_in: tokens.expires_in,
        scope: tokens.granted.scopes.to_string(),
        refresh_token,
        id_token: tokens.id_token,
    }
}
