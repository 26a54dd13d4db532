//! Refreshing (RFC 6749 §6, RFC 9700 §4.14): rotation in families. One row decides; within the grace time the same
//! client gets the *same* successor, derived from the master key, since only hashes are stored.

use std::sync::Arc;

use super::client_authentication::{Authenticated, replayed_assertion};
use super::person_tokens::{self, PersonTokens};
use super::token_response::{Refused, TokenResponse, issued, replayed};
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::error::{Broken, Code, OAuthError};
use crate::issuance::{CERTIFY, ClientContext};
use crate::live::LiveClient;
use crate::model::client::GrantType;
use crate::model::grant::{Grant, RefreshToken};
use crate::model::identity_provider::IdentityProviderSettings;
use crate::model::person::Person;
use crate::model::scope::ScopeSet;
use crate::model::secret::SecretHash;
use crate::secrets::master_key::Derivation;
use crate::session::revocation::revoke_grant;
use crate::store::{Conn, Stored, Tx, grants, people, registered, tokens};
use crate::web::parameters::Parameters;

/// How long rows of refresh tokens outlive them, so that a late replay is known as one, in seconds.
const ROW_OUTLIVES_TOKEN: i64 = 24 * 3600;

/// How long access may be refreshed that began with a sign-in at an agency's provider, in seconds: only the agency knows
/// when somebody has left.
const PROVIDER_FAMILY_SECONDS: i64 = 12 * 3600;

/// When a refresh token ends that is made now: some time after its last use, and with its family, which began when the
/// person allowed it.
pub fn ends(app: &App, grant: &Grant, now: i64) -> i64 {
    let family_ends = family_ends(grant, app.config.refresh_family_seconds());
    (now + app.config.tokens.refresh_seconds).min(family_ends)
}

/// When the family of a grant ends, however its refresh tokens were written.
fn family_ends(grant: &Grant, family_seconds: i64) -> i64 {
    let family_seconds = match grant.facts.identity_provider {
        Some(_) => family_seconds.min(PROVIDER_FAMILY_SECONDS),
        None => family_seconds,
    };
    grant.created_at + family_seconds
}

/// What the configuration says of refreshing, in seconds.
#[derive(Debug, Clone, Copy)]
struct Limits {
    grace: i64,
    family: i64,
}

impl Limits {
    fn of(app: &App) -> Self {
        Self {
            grace: app.config.tokens.refresh_grace_seconds,
            family: app.config.refresh_family_seconds(),
        }
    }
}

/// What the database says.
#[derive(Debug, Clone)]
struct Facts {
    row: RefreshToken,
    successor: Option<RefreshToken>,
    grant: Grant,
    person: Option<Person>,
    /// Whether the agency's provider is gone or disabled at which the person signed in.
    provider_ended: bool,
}

/// How a refresh ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// First use: a successor is made.
    Rotate,
    /// The client is registered without rotation: the token stays.
    Keep,
    /// Used again within the grace time: the same successor.
    Repeat,
    /// Used again: the family ends. When the first use was, in seconds since the epoch.
    Replayed(i64),
    Refused(String),
}

/// The token that follows another one in its family.
fn successor(app: &App, row: &RefreshToken) -> String {
    app.master.derive(
        Derivation::RefreshToken,
        &[&row.grant_id, &(row.generation + 1).to_string(), &row.nonce],
    )
}

/// Decides; nothing is written here.
fn decide(facts: Option<&Facts>, client: &LiveClient, limits: Limits, now: i64) -> Verdict {
    let refused = |text: &str| Verdict::Refused(text.to_owned());
    let Some(facts) = facts.filter(|facts| facts.grant.client_id == client.client.id) else {
        return refused("the refresh token is unknown, or was issued to another client");
    };
    let person_generation = facts.person.as_ref().map_or(-1, |person| person.generation);
    let grant = &facts.grant;
    if grant.revoked_at.is_some() {
        return refused("the refresh token was revoked: the person must sign in again");
    }
    if (client.client.generation, person_generation) != (grant.client_generation, grant.person_generation) {
        return refused(
            "the client or the person's account has changed since: the person must sign in again",
        );
    }
    if facts.provider_ended {
        return refused(
            "the agency's sign-in that the person used was switched off: the person must sign in again",
        );
    }
    if now >= facts.row.expires_at || now >= family_ends(grant, limits.family) {
        return refused("the refresh token has expired: the person must sign in again");
    }
    match (facts.row.used_at, &facts.successor) {
        (None, _) if client.client.settings.refresh_rotation.0 => Verdict::Rotate,
        (None, _) => Verdict::Keep,
        (Some(used_at), Some(successor))
            if limits.grace > 0 && now - used_at <= limits.grace && successor.used_at.is_none() =>
        {
            Verdict::Repeat
        }
        (Some(used_at), _) => Verdict::Replayed(used_at),
    }
}

fn load(conn: &mut Conn, hash: &str) -> Stored<Option<Facts>> {
    let Some(row) = tokens::lock_refresh(conn, hash)? else {
        return Ok(None);
    };
    let Some(grant) = grants::find(conn, &row.grant_id)? else {
        return Ok(None);
    };
    let successor = tokens::refresh_at(conn, &row.grant_id, row.generation + 1)?;
    let mut person = people::find(conn, &grant.person_id)?.filter(|person| person.enabled);
    if let Some(known) = &person
        && !registered::is_open(conn, known.settings.agency.as_ref())?
    {
        person = None;
    }
    let provider_ended = match &grant.facts.identity_provider {
        Some(id) => match registered::find::<IdentityProviderSettings>(conn, id)? {
            Some(provider) => {
                !(provider.enabled && registered::is_open(conn, provider.settings.agency.as_ref())?)
            }
            None => true,
        },
        None => false,
    };
    Ok(Some(Facts {
        provider_ended,
        row,
        successor,
        grant,
        person,
    }))
}

/// Refreshes.
///
/// # Errors
/// RFC 6749 §5.2.
pub async fn grant(
    app: &Arc<App>,
    caller: &Authenticated,
    client: &Arc<LiveClient>,
    parameters: &Parameters,
) -> Result<TokenResponse, Refused> {
    let hash = SecretHash::of(parameters.required("refresh_token")?)
        .as_str()
        .to_owned();
    let now = app.now();
    let limits = Limits::of(app);
    let mut caller = caller.clone();
    // Tokens are signed before the write. Where another request rotated in between, they are made again for its scope.
    for _ in 0..3 {
        let key = hash.clone();
        let facts = app.store.read(move |conn| load(conn, &key)).await?;
        let verdict = decide(facts.as_ref(), client, limits, now);
        let prepared = match (&facts, &verdict) {
            (Some(facts), Verdict::Rotate | Verdict::Keep | Verdict::Repeat) => Some(prepare(
                app,
                client,
                facts,
                verdict == Verdict::Repeat,
                parameters,
                now,
            )?),
            _ => None,
        };
        match write(app, &caller, client, hash.clone(), prepared, now).await? {
            Some(response) => return Ok(response),
            None => caller = caller.settled(),
        }
    }
    Err(OAuthError::invalid_grant(
        "the scope that the first refresh got is not allowed any more: the person must sign in again",
    )
    .into())
}

/// Applies the policy anew and makes the tokens; certifying is never refreshed.
fn prepare(
    app: &App,
    client: &Arc<LiveClient>,
    facts: &Facts,
    repeat: bool,
    parameters: &Parameters,
    now: i64,
) -> Result<PersonTokens, Refused> {
    let person = facts
        .person
        .as_ref()
        .ok_or_else(|| Broken::defect("a grant without a person"))?;
    let grant_facts = &facts.grant.facts;
    let asked = parameters.scope()?;
    if asked
        .as_ref()
        .is_some_and(|asked| !grant_facts.scope.covers(asked))
    {
        let told = "scope may narrow what was granted, never widen it (RFC 6749 §6)";
        return Err(OAuthError::new(Code::InvalidScope, told).into());
    }
    let requested = asked.as_ref().unwrap_or(&grant_facts.scope).without(CERTIFY);
    if requested.is_empty() {
        let told =
            format!("nothing of this scope can be refreshed: {CERTIFY} needs a fresh sign-in each time");
        return Err(OAuthError::new(Code::InvalidScope, told).into());
    }
    let requested = match (repeat, &facts.successor) {
        // A repeated refresh gets what the first one got.
        (true, Some(successor)) => successor
            .answered_scope
            .parse::<ScopeSet>()
            .map_err(|cause| Broken::defect(cause.to_string()))?,
        _ => requested,
    };
    let context = ClientContext::of(&app.live, client);
    let granted = person_tokens::grant_again(app, &context, person, grant_facts, &requested, parameters)?;
    // OpenID Connect Core §12.2: the nonce belongs to the sign-in.
    let mut grant = facts.grant.clone();
    grant.facts.nonce = None;
    Ok(person_tokens::mint(app, &context, person, &grant, granted, now)?)
}

/// What the write did; with the refresh token to answer.
enum Written {
    Issued(Option<String>),
    /// Another request rotated meanwhile and got another scope.
    Overtaken,
    AssertionReplayed,
    Replayed(i64),
    Refused(String),
}

/// Answers none when another request was faster.
async fn write(
    app: &Arc<App>,
    caller: &Authenticated,
    client: &Arc<LiveClient>,
    hash: String,
    prepared: Option<PersonTokens>,
    now: i64,
) -> Result<Option<TokenResponse>, Refused> {
    let job_app = Arc::clone(app);
    let (job_caller, job_client, job_prepared) = (caller.clone(), Arc::clone(client), prepared.clone());
    let limits = Limits::of(app);
    let written = app.store.write(move |tx| {
        if !job_caller.settle(tx)? {
            tx.audit(replayed(&job_app, &job_caller));
            return Ok(Written::AssertionReplayed);
        }
        let facts = load(tx.conn(), &hash)?;
        match (
            decide(facts.as_ref(), &job_client, limits, now),
            &facts,
            &job_prepared,
        ) {
            (Verdict::Repeat, Some(facts), Some(tokens)) if answered_otherwise(facts, tokens) => {
                Ok(Written::Overtaken)
            }
            (verdict @ (Verdict::Rotate | Verdict::Keep | Verdict::Repeat), Some(facts), Some(tokens)) => {
                let token = apply(&job_app, tx, &verdict, facts, tokens, now)?;
                tokens.access.record(tx)?;
                audit_issued(
                    &job_app,
                    tx,
                    &job_caller,
                    facts,
                    tokens,
                    verdict == Verdict::Repeat,
                );
                Ok(Written::Issued(token))
            }
            (Verdict::Replayed(used_at), Some(facts), _) => {
                revoke_grant(tx, &facts.grant.id, now)?;
                let event = job_app
                    .event(
                        Kind::RefreshReplayed,
                        Actor::Client(job_caller.caller.id().to_owned()),
                    )
                    .outcome(Outcome::SeriousFailure)
                    .person(&facts.grant.person_id)
                    .from(job_caller.address.to_string())
                    .with("grant", facts.grant.id.clone());
                tx.audit(event);
                Ok(Written::Replayed(used_at))
            }
            (Verdict::Refused(reason), _, _) => Ok(Written::Refused(reason)),
            _ => Ok(Written::Refused(
                "the refresh token cannot be used just now".to_owned(),
            )),
        }
    });
    match (written.await?, prepared) {
        (Written::Issued(refresh_token), Some(tokens)) => Ok(Some(TokenResponse {
            access_token: tokens.access.token,
            token_type: "Bearer",
            expires_in: tokens.expires_in,
            scope: tokens.granted.scopes.to_string(),
            refresh_token,
            id_token: tokens.id_token,
        })),
        (Written::Overtaken, _) => Ok(None),
        (Written::AssertionReplayed, _) => Err(Refused::Done(replayed_assertion())),
        (Written::Replayed(used_at), _) => Err(Refused::Done(OAuthError::invalid_grant(format!(
            "the refresh token was already used, {} s ago; all tokens of its family are revoked now: the person must sign in again, \
             and the client must keep only the newest refresh token",
            now - used_at
        )))),
        (Written::Refused(reason), _) => Err(Refused::Settled(OAuthError::invalid_grant(reason))),
        (Written::Issued(_), None) => Err(Broken::defect("issued without tokens").into()),
    }
}

/// Whether the first refresh got another scope than the one that was prepared.
fn answered_otherwise(facts: &Facts, prepared: &PersonTokens) -> bool {
    facts
        .successor
        .as_ref()
        .is_some_and(|successor| successor.answered_scope != prepared.granted.scopes.to_string())
}

/// Writes what the verdict says; answers the refresh token that goes to the client.
fn apply(
    app: &App,
    tx: &mut Tx<'_>,
    verdict: &Verdict,
    facts: &Facts,
    minted: &PersonTokens,
    now: i64,
) -> Stored<Option<String>> {
    match verdict {
        Verdict::Rotate => {
            let token = successor(app, &facts.row);
            tokens::use_refresh(tx.conn(), &facts.row.hash, now)?;
            let next = RefreshToken {
                hash: SecretHash::of(&token).as_str().to_owned(),
                grant_id: facts.grant.id.clone(),
                generation: facts.row.generation + 1,
                nonce: app.entropy.secret(),
                answered_scope: minted.granted.scopes.to_string(),
                expires_at: ends(app, &facts.grant, now),
                used_at: None,
            };
            keep(app, tx, &next)?;
            Ok(Some(token))
        }
        Verdict::Repeat => Ok(Some(successor(app, &facts.row))),
        // RFC 6749 §6: without a new refresh token the client keeps the old one.
        _ => Ok(None),
    }
}

fn audit_issued(
    app: &App,
    tx: &mut Tx<'_>,
    caller: &Authenticated,
    facts: &Facts,
    minted: &PersonTokens,
    repeat: bool,
) {
    let scope = minted.granted.scopes.to_string();
    let event = issued(app, caller, GrantType::RefreshToken, &scope, &minted.access.jti)
        .person(&facts.grant.person_id)
        .purposes(&minted.granted.purposes)
        .granted(minted.granted.target.as_deref(), &minted.granted.roles.join(" "))
        .with("grant", facts.grant.id.clone());
    tx.audit(event);
    if repeat {
        let event = app
            .event(
                Kind::RefreshRepeated,
                Actor::Client(caller.caller.id().to_owned()),
            )
            .person(&facts.grant.person_id)
            .from(caller.address.to_string())
            .with("grant", facts.grant.id.clone());
        tx.audit(event);
    }
}

/// Writes a refresh token down, and keeps its grant at least as long.
pub fn keep(app: &App, tx: &mut Tx<'_>, token: &RefreshToken) -> Stored<()> {
    let purge_at = token.expires_at + ROW_OUTLIVES_TOKEN;
    tokens::add_refresh(tx.conn(), token, purge_at)?;
    grants::keep_until(
        tx.conn(),
        &token.grant_id,
        purge_at + app.config.tokens.access_seconds,
    )
}
