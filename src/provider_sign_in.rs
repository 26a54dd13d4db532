//! Signing in with an agency's identity provider: there with a sealed state, back with a code.
//!
//! The state carries what the person signs in for, bound to the browser's cookie: who brings it in another browser, a
//! second time or late is refused. What the provider says is verified in [`crate::outbound::identity_provider`]; whose account it leads to
//! is decided in [`crate::registry::identity_providers`].

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::audit::reason::Reason;
use crate::error::{Broken, PageError};
use crate::login::{banner, freshness};
use crate::model::identity_provider::{Identity, IdentityProvider, Reauthenticate};
use crate::model::network;
use crate::model::secret::{Secret, SecretHash};
use crate::model::session::Session;
use crate::outbound::identity_provider::{Journey, Returned, UpstreamError};
use crate::registry::identity_providers::{self, IdentityRefused};
use crate::registry::{Refused, Registry};
use crate::secrets::master_key::Purpose;
use crate::session::lockout::{self, Attempt};
use crate::session::{self, Authentication, Due, Origin, client_address};
use crate::store::{Stored, Tx, people, tokens};
use crate::web::browser::{self, CookieKind, Notice, Pending, PostedForm};
use crate::web::guard;
use crate::web::page::{Answered, CrossSite, Step, part};
use crate::web::parameters::{Parameters, shown};
use crate::web::refusals;

/// How long a person may take at the provider, in seconds.
const JOURNEY_SECONDS: i64 = 600;
/// How far a provider's clock may be from ours, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// A sign-in on its way through a provider: the `state` parameter, sealed to the browser.
#[derive(Serialize, Deserialize)]
struct State {
    /// Burned when the person comes back.
    id: String,
    provider: String,
    nonce: String,
    verifier: String,
    created_at: i64,
    /// How old the sign-in there may be, where somebody asked for a fresh one.
    max_age: Option<i64>,
    pending: Pending,
}

/// `POST /login/upstream/{provider}`
pub async fn start(step: Step, _: PostedForm) -> Answered {
    if banner::is_due(&step) {
        return Ok(step.on_to(banner::PATH));
    }
    let app = &step.app;
    let id = part(&step.request, "provider");
    let Some(provider) = app.live.identity_provider(id) else {
        return Ok(step.back_to("/login", Notice::ProviderNotAccepted));
    };
    // Who is signed in and comes here again was asked to sign in anew.
    let again = guard::session_of(app, &step.request).await?.is_some();
    let max_age = match provider.settings.reauthenticate {
        Reauthenticate::None if again && freshness::wanted_age(app, &step.pending).is_some() => {
            return Ok(step.back_to("/login", Notice::ProviderCannotConfirm));
        }
        Reauthenticate::None => None,
        _ if again => Some(0),
        _ => freshness::wanted_age(app, &step.pending),
    };
    let state = State {
        id: app.entropy.secret(),
        provider: provider.id.clone(),
        nonce: app.entropy.secret(),
        verifier: app.entropy.secret(),
        created_at: app.now(),
        max_age,
        pending: step.pending.clone(),
    };
    let plain = serde_json::to_vec(&state).map_err(Broken::defect)?;
    let sealed = app
        .master
        .seal(Purpose::UpstreamState, &step.browser, &plain, app.entropy);
    let journey = Journey {
        redirect_uri: &identity_providers::redirect_uri(app, &provider.id),
        state: &sealed,
        nonce: &state.nonce,
        verifier: &state.verifier,
        // Asked for in any case, for then the provider must say when the sign-in was (OpenID Connect Core §3.1.2.1).
        max_age: (provider.settings.reauthenticate == Reauthenticate::MaxAge)
            .then(|| state.max_age.unwrap_or(app.config.login.session_seconds)),
        again: state.max_age.is_some(),
    };
    match app
        .identity_providers
        .authorization_url(&provider, journey, app.now())
        .await
    {
        Ok(url) => Ok(browser::see_other(&url, &[])),
        Err(cause) => {
            tracing::warn!(provider = %provider.id, %cause, "nobody can sign in with an identity provider");
            Ok(step.back_to("/login", Notice::ProviderSilent))
        }
    }
}

/// The state of a request, with the browser that it is sealed to.
fn open_state(app: &App, request: &HttpRequest, query: &Parameters) -> Result<(State, String), PageError> {
    let foreign = || {
        PageError::new(
            "This sign-in began in another browser, or cookies are switched off. Parameter: state.",
        )
    };
    let sealed = query
        .one("state")
        .map_err(|error| PageError::new(error.description))?;
    let sealed = sealed.ok_or_else(|| PageError::new("Parameter state is missing."))?;
    let browser = browser::cookie(app, request, CookieKind::Browser).ok_or_else(foreign)?;
    let opened = app.master.open(Purpose::UpstreamState, &browser, sealed);
    let plain = opened.map_err(|cause| foreign().because(cause))?;
    let state = serde_json::from_slice(&plain)
        .map_err(|cause| PageError::new("Parameter state cannot be read.").because(cause))?;
    Ok((state, browser))
}

/// Why somebody who came back is not signed in.
struct NotSignedIn {
    notice: Notice,
    reason: String,
    outcome: Outcome,
    person_id: Option<String>,
    subject_hash: Option<String>,
}

impl NotSignedIn {
    fn because(notice: Notice, reason: impl Into<String>) -> Self {
        Self {
            notice,
            reason: reason.into(),
            outcome: Outcome::MinorFailure,
            person_id: None,
            subject_hash: None,
        }
    }

    /// Somebody may be trying something.
    fn serious(mut self) -> Self {
        self.outcome = Outcome::SeriousFailure;
        self
    }
}

/// `GET /login/upstream/{provider}/callback`
pub async fn callback(sent: CrossSite) -> Answered {
    let CrossSite { app, request } = &sent;
    let came_from = part(request, "provider");
    let address = client_address::of(app, request);
    let query = Parameters::parse(request.query_string().as_bytes())
        .map_err(|error| PageError::new(error.description))?;
    let (state, browser) = match open_state(app, request, &query) {
        Ok(opened) => opened,
        Err(error) => {
            let refused = NotSignedIn::because(Notice::ProviderNotAccepted, error.what.clone()).serious();
            record_refusal(app, address, None, refused).await?;
            return Err(error.into());
        }
    };
    let back = |pending: Pending, notice: Notice| {
        let sealed = pending.saying(notice).seal(app, Some(&browser));
        let answer = browser::see_other(&browser::page_url("/login", &sealed), &[]);
        Ok(refusals::refusing(answer))
    };
    if state.provider != came_from {
        // RFC 9700 §4.4: the code is another provider's, and must not reach the one that the person chose.
        let reason = format!("the answer came to the redirect URI of {}", shown(came_from));
        let refused = NotSignedIn::because(Notice::ProviderNotAccepted, reason).serious();
        record_refusal(app, address, Some(&state.provider), refused).await?;
        return back(state.pending, Notice::ProviderNotAccepted);
    }
    let Some(provider) = app.live.identity_provider(&state.provider) else {
        return back(state.pending, Notice::ProviderNotAccepted);
    };
    if !app
        .failure_counts
        .reserve(address, app.config.login.address_attempts_per_minute, app.now())
    {
        return back(state.pending, Notice::TooMany);
    }
    let coming = ComingBack {
        app,
        request,
        provider: &provider,
        state: &state,
    };
    match coming.finish(&query).await? {
        Err(refused) => {
            let notice = refused.notice;
            record_refusal(app, address, Some(&provider.id), refused).await?;
            back(state.pending, notice)
        }
        Ok((session, cookie)) => {
            app.failure_counts.release(address, app.now());
            let mut pending = state.pending;
            pending.signed_in(session.hash.clone());
            let location = if session.second_factor_due {
                browser::page_url(Due::SecondFactor.path(), &pending.seal(app, Some(&browser)))
            } else {
                pending.onward(app, &browser)
            };
            Ok(browser::see_other(
                &location,
                &[browser::set_cookie(app, CookieKind::Session, &cookie)],
            ))
        }
    }
}

/// Somebody who came back from a provider.
struct ComingBack<'a> {
    app: &'a Arc<App>,
    request: &'a HttpRequest,
    provider: &'a Arc<IdentityProvider>,
    state: &'a State,
}

impl ComingBack<'_> {
    async fn finish(&self, query: &Parameters) -> Result<Result<(Session, String), NotSignedIn>, PageError> {
        let one = |name: &str| query.one(name).map_err(|error| PageError::new(error.description));
        let now = self.app.now();
        if now - self.state.created_at > JOURNEY_SECONDS {
            return Ok(Err(NotSignedIn::because(
                Notice::ProviderDenied,
                "the person was away for too long",
            )));
        }
        if let Some(error) = one("error")? {
            return Ok(Err(told_error(error)));
        }
        let Some(code) = one("code")? else {
            return Ok(Err(NotSignedIn::because(
                Notice::ProviderNotAccepted,
                "parameter code is missing",
            )));
        };
        if !self.burn().await? {
            let reason = "parameter state was used before";
            return Ok(Err(
                NotSignedIn::because(Notice::ProviderNotAccepted, reason).serious()
            ));
        }
        let secret = self.secret()?;
        let returned = Returned {
            code,
            iss: one("iss")?,
            redirect_uri: &identity_providers::redirect_uri(self.app, &self.provider.id),
            nonce: &self.state.nonce,
            verifier: &self.state.verifier,
            secret: secret.as_ref(),
        };
        let identity = match self
            .app
            .identity_providers
            .identity(self.provider, returned, self.network(), now)
            .await
        {
            Ok(identity) => identity,
            Err(UpstreamError::Silent(cause)) => {
                return Ok(Err(NotSignedIn::because(Notice::ProviderSilent, cause)));
            }
            Err(UpstreamError::Refused(cause)) => {
                return Ok(Err(
                    NotSignedIn::because(Notice::ProviderNotAccepted, cause).serious()
                ));
            }
        };
        if let Some(reason) = self.too_old(&identity) {
            return Ok(Err(NotSignedIn::because(Notice::ProviderNotAccepted, reason)));
        }
        Ok(self.sign_in(identity).await?)
    }

    fn network(&self) -> IpAddr {
        network::of(client_address::of(self.app, self.request))
    }

    /// Uses the state up: the database decides who is first.
    async fn burn(&self) -> Result<bool, Broken> {
        // No `jti` hashes to the same: before it stands a client's id, which has no blanks.
        let hash = SecretHash::of(&format!("upstream state\n{}", self.state.id))
            .as_str()
            .to_owned();
        let purge_at = self.state.created_at + JOURNEY_SECONDS + LEEWAY_SECONDS;
        self.app
            .store
            .write(move |tx| tokens::burn_jti(tx.conn(), &hash, purge_at))
            .await
    }

    fn secret(&self) -> Result<Option<Secret>, Broken> {
        let Some(wrapped) = &self.provider.sealed else {
            return Ok(None);
        };
        let plain = self
            .app
            .master
            .open(Purpose::UpstreamSecret, &self.provider.id, wrapped)
            .map_err(Broken::defect)?;
        Ok(Some(Secret::new(
            std::str::from_utf8(&plain).map_err(Broken::defect)?,
        )))
    }

    /// OpenID Connect Core §3.1.2.1: who was asked for a fresh sign-in has to say when it was; but who only knows
    /// `prompt=login` has asked the person since she left.
    fn too_old(&self, identity: &Identity) -> Option<&'static str> {
        let max_age = self.state.max_age?;
        match identity.auth_time {
            None if self.reauthenticate() == Reauthenticate::PromptLogin => None,
            None => Some("ID token: auth_time is missing, although max_age was sent"),
            Some(at) if at < self.state.created_at - max_age - LEEWAY_SECONDS => {
                Some("ID token: auth_time is older than max_age allows")
            }
            Some(_) => None,
        }
    }

    fn reauthenticate(&self) -> Reauthenticate {
        self.provider.settings.reauthenticate
    }

    /// When the person signed in there. Who does not say when counts as signed in as long ago as a session may be old,
    /// unless the person was made to sign in anew: then it was after she left for there.
    fn auth_time(&self, identity: &Identity) -> i64 {
        let now = self.app.now();
        let asked_anew = self.state.max_age.is_some() && self.reauthenticate() == Reauthenticate::PromptLogin;
        match identity.auth_time {
            Some(at) => at.min(now),
            None if asked_anew => self.state.created_at,
            None => now - self.app.config.login.session_seconds,
        }
    }

    /// One write decides whose account it is and begins the session.
    async fn sign_in(&self, identity: Identity) -> Result<Result<(Session, String), NotSignedIn>, Broken> {
        let arrival = Arrival {
            provider: Arc::clone(self.provider),
            auth_time: self.auth_time(&identity),
            identity,
            origin: Origin::of(self.app, self.request),
            replaced: browser::session_hash(self.app, self.request),
            known: browser::cookie(self.app, self.request, CookieKind::Known),
        };
        let registry = Registry::new(Arc::clone(self.app), Actor::Server);
        let subject_hash =
            identity_providers::subject_hash(&registry, &self.provider.id, &arrival.identity.subject);
        let subject = arrival.identity.subject.clone();
        let signed_in = registry
            .run(move |registry, tx| Ok(Ok(arrival.record(registry, tx)?)))
            .await;
        match signed_in {
            Ok(Ok(begun)) => Ok(Ok(begun)),
            Ok(Err(IdentityRefused { reason, person_id })) => {
                // Here alone, for the one who has to link it: some providers show it nowhere.
                tracing::info!(provider = %self.provider.id, %subject, %reason, "an identity leads to no account");
                let refused = NotSignedIn::because(Notice::ProviderNotAccepted, reason);
                Ok(Err(NotSignedIn {
                    person_id,
                    subject_hash: Some(subject_hash),
                    ..refused
                }))
            }
            Err(Refused::Broken(broken)) => Err(broken),
            Err(mistakes) => Err(Broken::defect(mistakes)),
        }
    }
}

/// An error of the authorization endpoint (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
fn told_error(error: &str) -> NotSignedIn {
    let notice = match error {
        "access_denied" => Notice::ProviderDenied,
        "server_error" | "temporarily_unavailable" => Notice::ProviderSilent,
        _ => Notice::ProviderNotAccepted,
    };
    NotSignedIn::because(notice, format!("the provider answered {}", shown(error)))
}

/// A verified identity, and where it came from.
struct Arrival {
    provider: Arc<IdentityProvider>,
    identity: Identity,
    auth_time: i64,
    origin: Origin,
    /// Hash of the session that the browser had.
    replaced: Option<String>,
    /// Whom the browser says to have signed in before.
    known: Option<String>,
}

impl Arrival {
    fn record(
        &self,
        registry: &Registry,
        tx: &mut Tx<'_>,
    ) -> Stored<Result<(Session, String), IdentityRefused>> {
        let app = registry.app();
        let person = match identity_providers::arrive(registry, tx, &self.provider, &self.identity)? {
            Ok(person) => person,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let now = app.now();
        let refuse = |reason: &str| IdentityRefused {
            reason: reason.to_owned(),
            person_id: Some(person.id.clone()),
        };
        // The person first, then what failed: one order everywhere.
        people::lock(tx.conn(), &person.id)?;
        let attempt = Attempt::new(app, &person.username, Some(&person), self.known.as_deref());
        if lockout::covers_account(app) && person.password.is_some() && attempt.hold(tx, now)? {
            return Ok(Err(refuse("account locked")));
        }
        let trusted = self.provider.settings.trusts_second_factor(&self.identity);
        let has_own = session::has_second_factor(tx.conn(), &person)?;
        let amr: &[&str] = if trusted { &["fed", "mfa"] } else { &["fed"] };
        let how = Authentication {
            identity_provider: Some(self.provider.id.clone()),
            ..Authentication::by(amr, trusted).with_second_factor_due(has_own && !trusted)
        };
        let (session, cookie) = session::begin(app, &person, &self.origin, how);
        let session = Session {
            auth_time: self.auth_time,
            ..session
        };
        if !session::record_anew(app, tx, &session, self.replaced.as_deref())? {
            return Ok(Err(refuse("the browser's session was used up meanwhile")));
        }
        let second_factor = match (trusted, session.second_factor_due) {
            (true, _) => "trusted",
            (false, true) => "due",
            (false, false) => "none",
        };
        let subject_hash =
            identity_providers::subject_hash(registry, &self.provider.id, &self.identity.subject);
        let event = app
            .event(Kind::LoginSucceeded, Actor::Person(person.id.clone()))
            .from(self.origin.address.clone())
            .with("amr", session.amr.join(" "))
            .with("second_factor", second_factor)
            .with("provider", &self.provider.id)
            .with("subject_hash", subject_hash);
        // Nobody gets here without (NIST SP 800-53 AC-8).
        tx.audit(if app.config.server.banner.is_some() {
            event.with("notice", "acknowledged")
        } else {
            event
        });
        Ok(Ok((session, cookie)))
    }
}

/// Records the first refusal of a minute, and has the others counted.
async fn record_refusal(
    app: &Arc<App>,
    address: IpAddr,
    provider: Option<&str>,
    refused: NotSignedIn,
) -> Result<(), Broken> {
    let at_provider = format!("identity provider {}", provider.unwrap_or("?"));
    let failed = refused
        .person_id
        .as_deref()
        .map_or(Failed::SignIn(&at_provider), Failed::Account);
    if app.failure_counts.note(address, failed, app.now()) == Noted::Counted {
        return Ok(());
    }
    let mut event = app
        .event(Kind::LoginFailed, Actor::Stranger)
        .outcome(refused.outcome)
        .from(address.to_string())
        .because(Reason::Provider, refused.reason);
    if let Some(provider) = provider {
        event = event.with("provider", provider);
    }
    if let Some(hash) = refused.subject_hash {
        event = event.with("subject_hash", hash);
    }
    if let Some(id) = refused.person_id {
        event = event.person(id);
    }
    app.store
        .write(move |tx| {
            tx.audit(event.clone());
            Ok(())
        })
        .await
}
