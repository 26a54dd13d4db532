//! What is done with an authorization request: a pure decision from the request, the facts, the rules and the time. The
//! order of the checks is the security argument.

use super::authorization_request::AuthorizationRequest;
use crate::error::{Code, OAuthError};
use crate::issuance::{CERTIFY, ClientContext, GrantRequest, Rules};
use crate::model::client::Consent;
use crate::model::grant::RememberedConsent;
use crate::model::person::Person;
use crate::model::session::Session;
use crate::policy::grant::Granted;
use crate::session::Due;

/// How long a sign-in that was made for a request counts as made just now, in seconds: time to read the consent page.
const JUST_NOW_SECONDS: i64 = 300;

/// What a client is told that asks without a page for what nobody allowed it.
const NOT_ASKED: &str = "the person has to be asked";

/// Why somebody cannot get a fresh sign-in.
const NEVER_FRESH: &str =
    "the agency's identity provider does not ask anew who somebody is: the person needs a password here";

/// What is known when a request is decided about: the client with its resource servers, and who is at the browser.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Who asks.
    pub context: ClientContext,
    /// Whether the answer goes to a program on the person's own machine.
    pub native: bool,
    /// The session, if there is one and it holds.
    pub session: Option<Session>,
    /// The person of the session.
    pub person: Option<Person>,
    /// Whether the sign-in was made for this very request.
    pub signed_in_for_this: bool,
    /// Whether the person was asked for it. One who never asks anew may have let her through.
    pub was_asked: bool,
    /// What comes before anything else in the session.
    pub due: Option<Due>,
    /// Whether the account has a second factor.
    pub has_second_factor: bool,
    /// Whether nothing of the account can make a sign-in fresh: its agency's identity provider does not ask anew, and there
    /// is no password here.
    pub never_fresh: bool,
    /// What the person allowed this client before.
    pub remembered: Option<RememberedConsent>,
}

impl Facts {
    /// A client asks, and nobody is signed in.
    pub fn of_nobody(context: ClientContext, native: bool) -> Self {
        Self {
            context,
            native,
            session: None,
            person: None,
            signed_in_for_this: false,
            was_asked: false,
            due: None,
            has_second_factor: false,
            never_fresh: false,
            remembered: None,
        }
    }
}

/// What to do with a request.
#[derive(Debug)]
pub enum Decision {
    /// The person has to sign in (again).
    LogIn,
    /// Something comes first: the second factor, a new password, setting up a second factor.
    Due(Due),
    /// The person has to be asked.
    AskConsent(Granted),
    /// A code may be issued.
    Issue(Granted),
}

/// Decides about a request whose parameters hold, in this order.
///
/// # Errors
/// What goes back to the client.
pub fn decide(
    request: &AuthorizationRequest,
    facts: &Facts,
    rules: &Rules<'_>,
    now: i64,
) -> Result<Decision, OAuthError> {
    let silent = request.prompts("none");
    let log_in = |why: &str| {
        if silent {
            Err(OAuthError::new(Code::LoginRequired, why))
        } else {
            Ok(Decision::LogIn)
        }
    };
    let context = &facts.context;
    let grant_request = GrantRequest {
        scope: request.scope.as_ref(),
        targets: &request.targets,
        purposes: &request.purposes,
        authenticated: false,
    };
    let (Some(session), Some(person)) = (&facts.session, &facts.person) else {
        // What can never be granted is told before anybody types a password.
        check_targets(rules, context, grant_request, now)?;
        return log_in("nobody is signed in");
    };
    let comes_first = |due: Due| {
        if silent {
            Err(OAuthError::new(Code::LoginRequired, due.why()))
        } else {
            Ok(Decision::Due(due))
        }
    };
    if let Some(due) = facts.due {
        return comes_first(due);
    }
    // Signed in for this very request, and lately: prompt and max_age are satisfied.
    let age = now - session.auth_time;
    let just_now = facts.signed_in_for_this && facts.was_asked && age <= JUST_NOW_SECONDS;
    // Who has signed in for this request, and cannot get any fresher, is not sent round in circles.
    let log_in_anew = |why: &str| {
        if facts.never_fresh && facts.signed_in_for_this {
            Err(OAuthError::new(
                Code::AccessDenied,
                format!("{why}, and {NEVER_FRESH}"),
            ))
        } else {
            log_in(why)
        }
    };
    if let Some(why) = asks_for_fresh(request, just_now, age) {
        return log_in_anew(why);
    }
    if request.expects_another_than(&person.id) {
        if just_now {
            return Err(OAuthError::new(
                Code::LoginRequired,
                "somebody else signed in than the client asked for",
            ));
        }
        return log_in("somebody else is signed in");
    }
    // RFC 9470 §5: what the account can reach is asked for, what it cannot is told where it is essential.
    if let Some(due) = request.step_up(session, facts.has_second_factor) {
        return comes_first(due);
    }
    if !request.essential_acr.is_empty() && !request.essential_acr.contains(&session.acr) {
        return Err(OAuthError::new(
            Code::UnmetAuthenticationRequirements,
            "the account cannot reach the acr that the client marked essential",
        ));
    }
    let client = &context.client.client;
    let asked = client.settings.consent == Consent::Ask;
    let before = facts.remembered.as_ref().filter(|before| {
        (before.person_generation, before.client_generation) == (person.generation, client.generation)
    });
    if silent && facts.native {
        // RFC 8252 §8.6: every program on the machine can ask as this one does.
        return Err(OAuthError::new(
            Code::InteractionRequired,
            "redirect_uri leads to a program on the person's machine: each sign-in shows a page, and prompt=none cannot",
        ));
    }
    let granted = context
        .grant_person(rules, person, session.has_second_factor(), grant_request, now)
        .map_err(|error| {
            // What somebody's roles lack is no affair of a client that she was never asked about.
            let unasked = silent && asked && before.is_none();
            if unasked && error.code == Code::AccessDenied {
                OAuthError::new(Code::ConsentRequired, NOT_ASKED)
            } else {
                error
            }
        })?;
    let certifies = granted.scopes.contains(CERTIFY);
    let is_fresh = now < rules.certify_ends(session.auth_time) && session.factors_are_together();
    if certifies && !is_fresh {
        return log_in_anew("signing a certificate needs a fresh sign-in");
    }
    let named = context.may_name(rules, &request.claims)?;
    let beyond = rules.policy.claims_beyond(&named, &granted.scopes);
    let remembered = before.is_some_and(|before| covers(rules, before, &granted, &beyond));
    if certifies || facts.native || request.prompts("consent") || (asked && !remembered) {
        return if silent {
            Err(OAuthError::new(Code::ConsentRequired, NOT_ASKED))
        } else {
            Ok(Decision::AskConsent(granted))
        };
    }
    Ok(Decision::Issue(granted))
}

/// Why the sign-in must be made anew for a request, if it must: unless it was made for it just now.
fn asks_for_fresh(request: &AuthorizationRequest, just_now: bool, age: i64) -> Option<&'static str> {
    let too_old = |max_age: i64| max_age == 0 || age > max_age;
    if just_now {
        None
    } else if request.prompts("login") || request.prompts("select_account") {
        Some("the client asks for a fresh sign-in")
    } else if request.max_age.is_some_and(too_old) {
        Some("the sign-in is older than max_age")
    } else {
        None
    }
}

/// Whether what was allowed before is all that is granted now.
fn covers(rules: &Rules<'_>, before: &RememberedConsent, granted: &Granted, beyond: &[String]) -> bool {
    let allowed = |name: &String| {
        let scope = rules.policy.scope_of_claim(name);
        before.claims.contains(name) || scope.is_some_and(|scope| before.scope.contains(scope))
    };
    beyond.iter().all(allowed)
        && (granted.target.is_none() || before.target == granted.target)
        && granted.purposes.iter().all(|code| before.purposes.contains(code))
        && before.scope.covers(&granted.scopes)
}

/// Targets and purposes that no person could be granted: told at once.
fn check_targets(
    rules: &Rules<'_>,
    context: &ClientContext,
    grant_request: GrantRequest<'_>,
    now: i64,
) -> Result<(), OAuthError> {
    let nobody = Person::unknown();
    match context.grant_person(rules, &nobody, false, grant_request, now) {
        Err(error) if error.code == Code::InvalidTarget => Err(error),
        _ => Ok(()),
    }
}
