//! Consent: the person is told in plain words who asks and for what, and decides; then a code is issued
//! (RFC 6749 §4.1.2).

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use super::authorization_decision::{Decision, Facts, decide};
use super::authorization_request::AuthorizationRequest;
use super::authorize::{load_facts, read, record};
use super::code_issuance::{Issue, Offered, issue};
use crate::app::App;
use crate::audit::event::Kind;
use crate::error::{Code, OAuthError, PageError};
use crate::issuance::{CERTIFY, GrantRequest, Rules};
use crate::model::grant::ClaimsRequest;
use crate::model::person::Person;
use crate::model::scope::ScopeSet;
use crate::policy::consent::claim_sentence;
use crate::policy::grant::{Granted, Reason};
use crate::policy::vocabulary::PURPOSE_SYSTEM;
use crate::session::client_address;
use crate::web::browser::{self, Pending, PostedForm};
use crate::web::page::{Answered, Step};
use crate::web::pages::{self, Account, ConsentClaim, ConsentPage, ConsentScope, Fact, FormAction, Withheld};
use crate::web::parameters::Parameters;
use crate::web::redirect_target::{self, RedirectTarget, redirect_error};

/// It knows what comes next.
const AUTHORIZE: &str = "/oauth2/authorize";

/// A request that was carried to the consent page, with everything that decides it.
struct Carried {
    redirect_target: RedirectTarget,
    request: AuthorizationRequest,
    facts: Facts,
}

async fn load(app: &App, request: &HttpRequest, pending: &Pending) -> Result<Carried, PageError> {
    let parameters = pending.parameters().ok_or_else(|| {
        PageError::new("This sign-in was not for an application.").details("Parameter: pending.")
    })?;
    let redirect_target = redirect_target::find(app, parameters)?;
    let parsed = read(app, &redirect_target.client, parameters)
        .map_err(|error| PageError::malformed(error.description))?;
    let facts = load_facts(app, request, &redirect_target, pending).await?;
    Ok(Carried {
        redirect_target,
        request: parsed,
        facts,
    })
}

/// `GET /consent`
pub async fn get(step: Step) -> Answered {
    let app = &step.app;
    let carried = load(app, &step.request, &step.pending).await?;
    Ok(
        match decide(&carried.request, &carried.facts, &Rules::of(app), app.now()) {
            Ok(Decision::AskConsent(granted)) => page(app, &carried, &granted, &step.pending, &step.browser),
            // Signed out meanwhile, or allowed in another tab: the authorization endpoint knows what comes next.
            _ => step.on_to(AUTHORIZE),
        },
    )
}

/// `POST /consent`
pub async fn post(step: Step, form: PostedForm) -> Answered {
    let (app, request) = (&step.app, &step.request);
    let carried = load(app, request, &step.pending).await?;
    let again = || Ok(step.on_to(AUTHORIZE));
    // Somebody else may have signed in in another tab: who is asked is who answers.
    let session = carried
        .facts
        .session
        .as_ref()
        .map(|session| session.hash.as_str());
    if step.pending.shown_to.as_deref() != session {
        return again();
    }
    let granted = match decide(&carried.request, &carried.facts, &Rules::of(app), app.now()) {
        Ok(Decision::AskConsent(granted) | Decision::Issue(granted)) => granted,
        _ => return again(),
    };
    let address = client_address::of(app, request);
    Ok(match form.fields.one("decision").ok().flatten() {
        Some("approve") => match choose(app, &carried, &granted, &form.fields) {
            Ok((chosen, claims)) => {
                let Carried {
                    redirect_target,
                    request,
                    facts,
                } = &carried;
                issue(
                    app,
                    address,
                    Issue {
                        redirect_target,
                        request,
                        facts,
                        granted: chosen,
                        claims,
                        offered: Some(Offered {
                            claims: app.policy.claims_beyond(&request.claims, &granted.scopes),
                            scopes: granted.scopes.clone(),
                        }),
                    },
                )
                .await
            }
            Err(error) => redirect_error(app, &carried.redirect_target, &error),
        },
        Some("deny") => {
            let error = OAuthError::new(Code::AccessDenied, "the person did not allow it");
            if let Some(person) = &carried.facts.person {
                record(
                    app,
                    address,
                    &carried.redirect_target,
                    person,
                    Kind::ConsentDenied,
                    &error,
                )
                .await;
            }
            redirect_error(app, &carried.redirect_target, &error)
        }
        _ => return again(),
    })
}

/// What the client cannot do without.
fn is_required(scope: &str) -> bool {
    scope == "openid"
}

/// What is left after the person has unticked some of it.
fn choose(
    app: &App,
    carried: &Carried,
    granted: &Granted,
    fields: &Parameters,
) -> Result<(Granted, ClaimsRequest), OAuthError> {
    let ticked: Vec<&str> = fields.all("scope").collect();
    let kept: ScopeSet = granted
        .scopes
        .iter()
        .filter(|scope| ticked.contains(&scope.to_string().as_str()) || is_required(&scope.to_string()))
        .cloned()
        .collect();
    if kept.is_empty() {
        return Err(OAuthError::new(
            Code::AccessDenied,
            "the person allowed nothing of what was asked",
        ));
    }
    let (Some(person), Some(session)) = (&carried.facts.person, &carried.facts.session) else {
        return Err(OAuthError::new(Code::LoginRequired, "nobody is signed in"));
    };
    // The audience and the purposes follow from what is left. Without a scope of its own no server may be named.
    let opens = kept.iter().any(|scope| app.policy.opens_resource_server(scope));
    let targets: &[String] = if opens { &carried.request.targets } else { &[] };
    let grant_request = GrantRequest {
        scope: Some(&kept),
        targets,
        purposes: &carried.request.purposes,
        authenticated: false,
    };
    let second_factor = session.has_second_factor();
    let (context, rules) = (&carried.facts.context, Rules::of(app));
    let chosen = context.grant_person(&rules, person, second_factor, grant_request, app.now())?;
    // A claim stands by itself, or goes with the scope that releases it.
    let named = context.may_name(&rules, &carried.request.claims)?;
    let unticked: Vec<String> = app
        .policy
        .claims_beyond(&named, &chosen.scopes)
        .into_iter()
        .filter(|name| !fields.all("claim").any(|ticked| ticked == name))
        .collect();
    let left = |names: Vec<String>| {
        names
            .into_iter()
            .filter(|name| !unticked.contains(name))
            .collect()
    };
    let claims = ClaimsRequest {
        id_token: left(named.id_token),
        userinfo: left(named.userinfo),
    };
    Ok((chosen, claims))
}

fn page(
    app: &App,
    carried: &Carried,
    granted: &Granted,
    pending: &Pending,
    browser_cookie: &str,
) -> HttpResponse {
    let Some(person) = &carried.facts.person else {
        return browser::error_page(app, &PageError::new("You are not signed in any more."));
    };
    let context = &carried.facts.context;
    let named = match context.may_name(&Rules::of(app), &carried.request.claims) {
        Ok(named) => app.policy.claims_beyond(&named, &granted.scopes),
        Err(broken) => return browser::error_page(app, &broken.into()),
    };
    let named: Vec<(String, String)> = named
        .into_iter()
        .map(|name| (claim_sentence(&name), name))
        .collect();
    let claims: Vec<ConsentClaim<'_>> = named
        .iter()
        .map(|(sentence, name)| ConsentClaim { name, sentence })
        .collect();
    let sentences = app.policy.sentences(&granted.scopes);
    let certify_hint = format!(
        "Asked each time, and good for {} minutes after you signed in.",
        app.config.tokens.certify_minutes
    );
    let scopes: Vec<ConsentScope<'_>> = sentences
        .iter()
        .map(|item| ConsentScope {
            scope: &item.scope,
            sentence: &item.sentence,
            hint: (item.scope == CERTIFY).then_some(certify_hint.as_str()),
            required: is_required(&item.scope),
        })
        .collect();
    let withheld = withheld(app, person, granted);
    let withheld: Vec<Withheld<'_>> = withheld
        .iter()
        .map(|(sentence, reason)| Withheld { sentence, reason })
        .collect();
    let facts = told(app, person, granted);
    let facts: Vec<Fact<'_>> = facts.iter().map(|(label, value)| Fact { label, value }).collect();
    let seconds = context.access_seconds(&Rules::of(app), true).unwrap_or(0);
    let shown_to = carried.facts.session.as_ref().map(|session| session.hash.clone());
    let sealed = Pending {
        shown_to,
        ..pending.clone()
    }
    .seal(app, Some(browser_cookie));
    let csrf = browser::csrf_token(app, browser_cookie);
    let page = ConsentPage {
        shell: browser::shell_of(app, person, &csrf),
        csrf: &csrf,
        pending: &sealed,
        application: carried.redirect_target.application(),
        returns_to: &carried.redirect_target.host_in_words(),
        resource_server: context
            .server(granted.target.as_deref())
            .map(|live| live.server.name.as_str()),
        account: Account {
            name: &person.name,
            username: &person.username,
        },
        scopes: &scopes,
        claims: &claims,
        withheld: &withheld,
        facts: &facts,
        minutes: (seconds + 59) / 60,
        offline_access: granted.scopes.contains("offline_access"),
    };
    pages::respond(
        &page,
        StatusCode::OK,
        FormAction::ThenRedirect(&carried.redirect_target.redirect_uri),
    )
}

/// Why something is not given, for the one who signs in; the engineer reads [`Reason`]'s own words.
fn in_plain_words(reason: Reason, person: &Person) -> String {
    let text = match reason {
        Reason::LicenceEnded => {
            let day = person.settings.license_expires.as_deref().unwrap_or_default();
            return format!(
                "The license on file for your role ended on {day}. Ask your administrator to enter the new date."
            );
        }
        Reason::NotOfRole => "Your role does not include this.",
        Reason::SecondFactorMissing => "Your role includes this only when you sign in with a security code.",
        Reason::NotOfClient => "This application is not registered for this.",
        Reason::NoResourceServer | Reason::WrongKind | Reason::NotOffered => {
            "The records system does not offer this."
        }
        Reason::UnknownConstraint => "The application asked for a part of this that is not set up here.",
        Reason::PeopleOnly | Reason::SystemsOnly | Reason::NeverGranted => "This cannot be given here.",
    };
    text.to_owned()
}

/// What was asked and will not be given, in words.
fn withheld(app: &App, person: &Person, granted: &Granted) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> = Vec::new();
    for narrowed in &granted.narrowed {
        // In words of ours alone: what the application wrote beside a scope, or as one, is no sentence of this page.
        let plain = narrowed.scope.split('?').next().unwrap_or_default();
        let known = plain
            .parse::<ScopeSet>()
            .ok()
            .filter(|scopes| scopes.iter().all(|scope| app.policy.has_words_for(scope)));
        let Some(sentence) = known.and_then(|scopes| app.policy.sentences(&scopes).into_iter().next()) else {
            continue;
        };
        let sentence = sentence.sentence;
        if !told.iter().any(|(known, _)| *known == sentence) {
            let mut reason = in_plain_words(narrowed.reason, person);
            if !narrowed.left.is_empty() {
                reason = format!("In part: {reason}");
            }
            told.push((sentence, reason));
        }
    }
    told
}

/// What the client will learn about the person.
fn told(app: &App, person: &Person, granted: &Granted) -> Vec<(&'static str, String)> {
    // As the tokens do: name, roles and agency are for a records system that decides by them.
    let to_server = granted.target.is_some();
    let mut facts = Vec::new();
    if to_server || granted.scopes.contains("profile") {
        facts.push(("Name", person.name.clone()));
    }
    let agencies = app.live.agencies();
    if let Some(agency) = agencies.of(person.settings.agency.as_ref()).filter(|_| to_server) {
        facts.push(("Agency", agency.name.clone()));
    }
    let roles: Vec<&str> = granted
        .roles
        .iter()
        .filter(|_| to_server)
        .filter_map(|code| app.policy.role(code))
        .filter(|role| !role.console)
        .map(|role| role.label.as_str())
        .collect();
    if !roles.is_empty() {
        facts.push(("Roles", roles.join(", ")));
    }
    let purposes: Vec<String> = granted
        .purposes
        .iter()
        .map(|code| {
            app.policy
                .vocabulary()
                .display(PURPOSE_SYSTEM, code)
                .map_or_else(|| code.clone(), |display| format!("{display} ({code})"))
        })
        .collect();
    if !purposes.is_empty() {
        facts.push(("Purpose of use", purposes.join(", ")));
    }
    facts
}
