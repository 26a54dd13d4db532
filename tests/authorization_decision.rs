//! The decision about an authorization request, without a server: a row for every refusal that goes back to a client,
//! with the section that asks for it, and for every way to go on.
//!
//! Not here, for this server never answers them: `server_error` and `temporarily_unavailable` (RFC 6749 §4.1.2.1: they
//! are about the server, not the request; `tests/faults.rs`), `interaction_required`, `account_selection_required`,
//! `invalid_request_uri`, `invalid_request_object` and `registration_not_supported` (OpenID Connect Core §3.1.2.6: there
//! is a more exact one, or nothing that could be refused).

use std::collections::BTreeSet;
use std::sync::Arc;

use mdi_auth::error::Code;
use mdi_auth::issuance::{ClientContext, Rules};
use mdi_auth::live::{LiveClient, LiveServer};
use mdi_auth::model::client::Client;
use mdi_auth::model::grant::RememberedConsent;
use mdi_auth::model::person::Person;
use mdi_auth::model::resource_server::ResourceServer;
use mdi_auth::model::session::{ACR_AAL1, ACR_AAL2, Session};
use mdi_auth::oauth::authorization_decision::{Decision, Facts, decide};
use mdi_auth::oauth::authorization_request::parse;
use mdi_auth::oauth::id_token::Hint;
use mdi_auth::policy::Policy;
use mdi_auth::session::Due;
use mdi_auth::web::parameters::Parameters;
use serde_json::json;
use url::form_urlencoded::Serializer;

const NOW: i64 = 1_795_226_400;
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub fn client(dataflow: &str, servers: &[&str]) -> Client {
    let settings = json!({
        "dataflow": dataflow, "auth_method": "client_secret_basic", "signing_algs": [], "resource_servers": servers,
        "redirect_uris": ["https://cms.fulton.example/cb"], "post_logout_redirect_uris": [],
        "grants": ["authorization_code", "refresh_token"], "require_pkce": true, "consent": "ask",
        "refresh_rotation": true, "cors_origins": [],
    });
    Client {
        id: "fulton-cms".to_owned(),
        name: "Fulton County CMS".to_owned(),
        settings: serde_json::from_value(settings).unwrap(),
        enabled: true,
        generation: 1,
        created_at: 0,
        updated_at: 0,
        secrets: Vec::new(),
        sealed: None,
    }
}

static UTC: jiff::tz::TimeZone = jiff::tz::TimeZone::UTC;

/// What every row is decided by.
pub fn rules(policy: &Policy) -> Rules<'_> {
    Rules {
        policy,
        agencies: Arc::default(),
        issuer: "https://as.example",
        jurisdiction: None,
        time_zone: &UTC,
        access_seconds: 900,
        system_access_seconds: 300,
        certify_seconds: 900,
    }
}

pub fn server(id: &str, audience: &str) -> Arc<LiveServer> {
    let settings = json!({
        "audience": audience, "kind": "edrs", "token_format": "jwt", "token_typ": "at+jwt", "signing_alg": "ES256", "scope_style": "v2",
        "introspect": "own",
    });
    let server = ResourceServer {
        id: id.to_owned(),
        name: id.to_owned(),
        settings: serde_json::from_value(settings).unwrap(),
        enabled: true,
        generation: 1,
        created_at: 0,
        updated_at: 0,
        secrets: Vec::new(),
        sealed: None,
    };
    Arc::new(LiveServer {
        server,
        keys: None,
        agency: None,
    })
}

fn person(role: &str) -> Person {
    let mut person = Person {
        id: "usr_jane".to_owned(),
        username: "jlehz".to_owned(),
        enabled: true,
        ..Person::unknown()
    };
    person.settings.roles = vec![role.to_owned()];
    person
}

/// Signed in a minute ago, with a second factor.
fn session() -> Session {
    Session {
        id: "ses_1".to_owned(),
        hash: "hash".to_owned(),
        person_id: "usr_jane".to_owned(),
        person_generation: 0,
        created_at: NOW - 60,
        auth_time: NOW - 60,
        last_seen_at: NOW - 60,
        acr: ACR_AAL2.to_owned(),
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        second_factor_at: Some(NOW - 60),
        second_factor_due: false,
        identity_provider: None,
        address: String::new(),
        user_agent: String::new(),
    }
}

/// A medical examiner who signed in with two factors, at a client with one resource server.
struct World {
    client: Client,
    servers: Vec<Arc<LiveServer>>,
    person: Option<Person>,
    session: Option<Session>,
    native: bool,
    signed_in_for_this: bool,
    was_asked: bool,
    due: Option<Due>,
    has_second_factor: bool,
    never_fresh: bool,
    remembered: Option<RememberedConsent>,
    hint: Option<Hint>,
}

impl World {
    fn new() -> Self {
        Self {
            client: client("cms-user-to-edrs", &["edrs-ga"]),
            servers: vec![server("edrs-ga", "https://edrs.ga.example/fhir")],
            person: Some(person("medical-examiner")),
            session: Some(session()),
            native: false,
            signed_in_for_this: false,
            was_asked: true,
            due: None,
            has_second_factor: true,
            never_fresh: false,
            remembered: None,
            hint: None,
        }
    }

    fn signed_in(&mut self, change: impl FnOnce(&mut Session)) {
        change(self.session.as_mut().unwrap());
    }

    fn remember(&mut self, scope: &str) {
        self.remembered = Some(RememberedConsent {
            person_generation: 0,
            client_generation: 1,
            target: Some("edrs-ga".to_owned()),
            purposes: vec!["HDECD".to_owned()],
            scope: scope.parse().unwrap(),
            claims: Vec::new(),
        });
    }

    /// What becomes of a request: the word for a way to go on, or the error's code and description.
    fn outcome(self, parameters: &[(&str, &str)]) -> (String, String) {
        let mut sent = vec![
            ("response_type", "code"),
            ("scope", "openid user/Patient.rs"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("aud", "https://edrs.ga.example/fhir"),
            ("purpose_of_use", "HDECD"),
        ];
        sent.retain(|(name, _)| parameters.iter().all(|(other, _)| other != name));
        sent.extend(parameters.iter().copied().filter(|(_, value)| !value.is_empty()));
        let query = Serializer::new(String::new()).extend_pairs(sent).finish();
        let parameters = Parameters::parse(query.as_bytes()).unwrap();
        let policy = Policy::built_in().unwrap();
        let live = Arc::new(LiveClient {
            agency: None,
            client: self.client,
            keys: None,
        });
        let hint = self.hint;
        let decided = parse(&policy, &live, &parameters, |_| hint).and_then(|request| {
            let rules = rules(&policy);
            let facts = Facts {
                context: ClientContext::new(live, self.servers),
                session: self.session,
                person: self.person,
                native: self.native,
                signed_in_for_this: self.signed_in_for_this,
                was_asked: self.was_asked,
                due: self.due,
                has_second_factor: self.has_second_factor,
                never_fresh: self.never_fresh,
                remembered: self.remembered,
            };
            decide(&request, &facts, &rules, NOW)
        });
        match decided {
            Ok(Decision::LogIn) => ("log in".to_owned(), String::new()),
            Ok(Decision::Due(due)) => (format!("{due:?}"), String::new()),
            Ok(Decision::AskConsent(granted)) => ("ask".to_owned(), granted.scopes.to_string()),
            Ok(Decision::Issue(granted)) => ("issue".to_owned(), granted.scopes.to_string()),
            Err(error) => (error.code.as_str().to_owned(), error.description),
        }
    }
}

type Change = fn(&mut World);

const SAME: Change = |_| {};
const NOBODY: Change = |world| (world.person, world.session) = (None, None);
const LONG_AGO: Change = |world| world.signed_in(|session| session.auth_time = NOW - 3600);
const ONE_FACTOR: Change = |world| world.signed_in(|session| session.acr = ACR_AAL1.to_owned());
const FOR_THIS: Change = |world| world.signed_in_for_this = true;
const NEVER_FRESH: Change = |world| {
    LONG_AGO(world);
    world.never_fresh = true;
};
const NATIVE: Change = |world| world.native = true;
const OTHER_HINT: Change = |world| {
    world.hint = Some(Hint {
        client_id: "fulton-cms".to_owned(),
        sub: "usr_other".to_owned(),
        sid: None,
    });
};
const TWO_SERVERS: Change = |world| {
    world
        .servers
        .push(server("edrs-al", "https://edrs.al.example/fhir"));
};

#[test]
fn every_refusal_and_every_way_to_go_on() {
    const ACR: &str = "{\"id_token\":{\"acr\":{\"essential\":true,\"values\":[\"urn:mdi:acr:aal2\"]}}}";
    const OTHER_ACR: &str = "{\"id_token\":{\"acr\":{\"essential\":true,\"value\":\"urn:other\"}}}";
    const OTHER_SUB: &str = "{\"id_token\":{\"sub\":{\"value\":\"usr_other\"}}}";
    let long = "A".repeat(44);
    // Section, what is different in the world, what is different in the request, what becomes of it, and what is told.
    #[rustfmt::skip]
    let rows: &[(&str, Change, &[(&str, &str)], &str, &str)] = &[
        // RFC 6749 §4.1.2.1
        ("RFC 6749 §4.1.2.1 invalid_request", SAME, &[("response_type", "")], "invalid_request", "response_type"),
        ("RFC 6749 §3.1 repeated", SAME, &[("scope", "openid"), ("scope", "email")], "invalid_request", "parameter scope must not be repeated"),
        ("RFC 6749 §4.1.2.1 unauthorized_client", |world| world.client.settings.grants.clear(), &[], "unauthorized_client", "authorization_code"),
        ("RFC 6749 §4.1.2.1 access_denied", |world| world.person = Some(person("funeral-director")), &[("scope", "__mdi.certify")], "access_denied", "__mdi.certify"),
        ("RFC 6749 §4.1.2.1 unsupported_response_type", SAME, &[("response_type", "token")], "unsupported_response_type", "must be code"),
        ("RFC 6749 §4.1.2.1 invalid_scope", SAME, &[("scope", "user/Patient.sr")], "invalid_scope", "user/Patient.sr"),
        ("Multiple Response Types §2.1", SAME, &[("response_mode", "fragment")], "invalid_request", "response_mode must be query or form_post"),
        // OpenID Connect Core §3.1.2.6
        ("OpenID Core §3.1.2.6 login_required", NOBODY, &[("prompt", "none")], "login_required", "nobody is signed in"),
        ("OpenID Core §3.1.2.6 login_required, max_age", LONG_AGO, &[("prompt", "none"), ("max_age", "60")], "login_required", "older than max_age"),
        ("OpenID Core §3.1.2.1 max_age=0", SAME, &[("prompt", "none"), ("max_age", "0")], "login_required", "older than max_age"),
        ("OpenID Core §3.1.2.1 id_token_hint", OTHER_HINT, &[("prompt", "none"), ("id_token_hint", "x")], "login_required", "somebody else"),
        ("OpenID Core §5.5.1 sub", SAME, &[("prompt", "none"), ("claims", OTHER_SUB)], "login_required", "somebody else"),
        ("OpenID Core §3.1.2.6 login_required, second factor", |world| world.due = Some(Due::SecondFactor), &[("prompt", "none")], "login_required", "second factor"),
        ("OpenID Core §3.1.2.6 login_required, password", |world| world.due = Some(Due::NewPassword), &[("prompt", "none")], "login_required", "has expired"),
        ("OpenID Core §3.1.2.6 consent_required", SAME, &[("prompt", "none")], "consent_required", "has to be asked"),
        ("OpenID Core §3.1.2.6 consent_required before what the roles lack is told", |world| world.person = Some(person("funeral-director")), &[("prompt", "none"), ("scope", "__mdi.certify")], "consent_required", "has to be asked"),
        ("RFC 8252 §8.6 interaction_required", |world| { NATIVE(world); world.remember("openid user/Patient.rs"); }, &[("prompt", "none")], "interaction_required", "redirect_uri"),
        ("OpenID Core §3.1.2.6 request_not_supported", SAME, &[("request", "x")], "request_not_supported", "request objects"),
        ("OpenID Core §3.1.2.6 request_uri_not_supported", SAME, &[("request_uri", "https://x")], "request_uri_not_supported", "request_uri"),
        ("OpenID Core §3.1.2.1 prompt", SAME, &[("prompt", "create")], "invalid_request", "prompt must be"),
        ("OpenID Core §3.1.2.1 prompt=none alone", SAME, &[("prompt", "none login")], "invalid_request", "must stand alone"),
        ("OpenID Core §3.1.2.1 max_age", SAME, &[("max_age", "-1")], "invalid_request", "max_age"),
        ("OpenID Core §3.1.2.1 id_token_hint of others", SAME, &[("id_token_hint", "x")], "invalid_request", "id_token_hint"),
        ("OpenID Core §5.5 claims", SAME, &[("claims", "{")], "invalid_request", "claims"),
        ("OpenID Core §3.1.2.2 another subject signed in", |world| { FOR_THIS(world); OTHER_HINT(world); }, &[("id_token_hint", "x")], "login_required", "somebody else signed in"),
        ("Unmet Authentication Requirements §2", SAME, &[("claims", OTHER_ACR)], "unmet_authentication_requirements", "acr"),
        // RFC 7636
        ("RFC 7636 §4.4.1 missing", SAME, &[("code_challenge", ""), ("code_challenge_method", "")], "invalid_request", "code_challenge is missing"),
        ("RFC 7636 §4.4.1 plain", SAME, &[("code_challenge_method", "plain")], "invalid_request", "must be S256"),
        ("RFC 7636 §4.3 no method means plain", SAME, &[("code_challenge_method", "")], "invalid_request", "must be S256"),
        ("RFC 7636 §4.2 malformed", SAME, &[("code_challenge", "x")], "invalid_request", "43 characters"),
        ("RFC 7636 §4.2 too long", SAME, &[("code_challenge", &long)], "invalid_request", "43 characters"),
        ("RFC 7636 §4.3 method alone", |world| world.client.settings.require_pkce.0 = false, &[("code_challenge", "")], "invalid_request", "without code_challenge"),
        // RFC 8707, and what SMART App Launch calls aud
        ("RFC 8707 §2 unknown resource", SAME, &[("aud", ""), ("resource", "https://other.example/fhir")], "invalid_target", "https://other.example/fhir"),
        ("RFC 8707 §2 known before anybody signs in", NOBODY, &[("aud", ""), ("resource", "https://other.example/fhir")], "invalid_target", "https://other.example/fhir"),
        ("RFC 8707 §2 two resources", TWO_SERVERS, &[("aud", ""), ("resource", "https://edrs.ga.example/fhir"), ("resource", "https://edrs.al.example/fhir")], "invalid_target", "one"),
        ("RFC 8707 §2 none of several", TWO_SERVERS, &[("aud", "")], "invalid_target", "name one with the parameter resource; its hand-off sheet lists them"),
        ("RFC 8707 §2 the list is the client's alone", SAME, &[("aud", "https://other.example/fhir")], "invalid_target", "of this client; its hand-off sheet lists them"),
        ("SMART App Launch 2.2 §2.0.9 aud", SAME, &[("aud", "https://other.example/fhir")], "invalid_target", "https://other.example/fhir"),
        ("SMART App Launch 2.2 §2.0.9 aud repeated", SAME, &[("aud", "https://edrs.ga.example/fhir"), ("aud", "https://edrs.al.example/fhir")], "invalid_request", "parameter aud must not be repeated"),
        // Ours
        ("purpose of use", SAME, &[("purpose_of_use", "HMARKT")], "invalid_request", "HMARKT"),
        ("certifying by a silent request", |world| { LONG_AGO(world); }, &[("prompt", "none"), ("scope", "__mdi.certify user/Patient.rs")], "login_required", "fresh sign-in"),
        ("certifying, where the agency never asks anew", |world| { NEVER_FRESH(world); FOR_THIS(world); }, &[("scope", "__mdi.certify user/Patient.rs")], "access_denied", "needs a password here"),
        ("max_age, where the agency never asks anew", |world| { NEVER_FRESH(world); FOR_THIS(world); }, &[("max_age", "60")], "access_denied", "needs a password here"),
        ("prompt=login, where the agency never asks anew", |world| { NEVER_FRESH(world); FOR_THIS(world); }, &[("prompt", "login")], "access_denied", "needs a password here"),
        // Ways to go on
        ("log in: nobody is here", NOBODY, &[], "log in", ""),
        ("log in: OpenID Core §3.1.2.1 prompt=login", SAME, &[("prompt", "login")], "log in", ""),
        ("log in: OpenID Core §3.1.2.1 prompt=select_account", SAME, &[("prompt", "select_account")], "log in", ""),
        ("log in: OpenID Core §3.1.2.1 max_age", LONG_AGO, &[("max_age", "60")], "log in", ""),
        ("log in: OpenID Core §3.1.2.1 id_token_hint", OTHER_HINT, &[("id_token_hint", "x")], "log in", ""),
        ("log in: a certificate wants a fresh sign-in", LONG_AGO, &[("scope", "__mdi.certify user/Patient.rs")], "log in", ""),
        ("log in: a certificate wants both factors together", |world| world.signed_in(|session| session.second_factor_at = Some(session.created_at + 121)), &[("scope", "__mdi.certify user/Patient.rs")], "log in", ""),
        ("log in: for this request, by an agency that did not ask", |world| { FOR_THIS(world); world.was_asked = false; }, &[("prompt", "login")], "log in", ""),
        ("log in: even for this request, when it took too long", |world| { FOR_THIS(world); LONG_AGO(world); }, &[("prompt", "login")], "log in", ""),
        ("log in: somebody else may, where nothing makes this sign-in fresh", NEVER_FRESH, &[("prompt", "login")], "log in", ""),
        ("second factor: of the session", |world| world.due = Some(Due::SecondFactor), &[], "SecondFactor", ""),
        ("second factor: RFC 9470 §4", ONE_FACTOR, &[("acr_values", ACR_AAL2)], "SecondFactor", ""),
        ("second factor: OpenID Core §5.5.1.1 acr", ONE_FACTOR, &[("claims", ACR)], "SecondFactor", ""),
        ("second factor: set up first", |world| { ONE_FACTOR(world); world.has_second_factor = false; }, &[("acr_values", ACR_AAL2)], "Enrolment", ""),
        ("a new password first", |world| world.due = Some(Due::NewPassword), &[], "NewPassword", ""),
        ("a second factor has to be set up first", |world| world.due = Some(Due::Enrolment), &[], "Enrolment", ""),
        ("consent: never given", SAME, &[], "ask", "openid user/Patient.rs"),
        ("consent: OpenID Core §3.1.2.1 prompt=login, done", FOR_THIS, &[("prompt", "login")], "ask", "openid user/Patient.rs"),
        ("consent: OpenID Core §3.1.2.1 prompt=consent", |world| world.remember("openid user/Patient.rs"), &[("prompt", "consent")], "ask", "openid user/Patient.rs"),
        ("consent: more than was allowed", |world| world.remember("openid"), &[], "ask", "openid user/Patient.rs"),
        ("consent: RFC 8252 §8.6, though remembered", |world| { NATIVE(world); world.remember("openid user/Patient.rs"); }, &[], "ask", "openid user/Patient.rs"),
        ("consent: RFC 8252 §8.6, though an administrator vouches", |world| { NATIVE(world); world.client.settings.consent = serde_json::from_value(json!("skip")).unwrap(); }, &[], "ask", "openid user/Patient.rs"),
        ("consent: for another server", |world| { world.remember("openid user/Patient.rs"); world.remembered.as_mut().unwrap().target = Some("edrs-al".to_owned()); }, &[], "ask", "openid user/Patient.rs"),
        ("consent: given to another generation of the client", |world| { world.remember("openid user/Patient.rs"); world.client.generation = 2; }, &[], "ask", "openid user/Patient.rs"),
        ("consent: for another purpose", |world| { world.remember("openid user/Patient.rs"); world.remembered.as_mut().unwrap().purposes.clear(); }, &[], "ask", "openid user/Patient.rs"),
        ("consent: certifying is asked each time", |world| { world.client.settings.consent = serde_json::from_value(json!("skip")).unwrap(); }, &[("scope", "__mdi.certify user/Patient.rs")], "ask", "user/Patient.rs __mdi.certify"),
        ("issue: remembered", |world| world.remember("openid user/Patient.rs"), &[], "issue", "openid user/Patient.rs"),
        ("issue: remembered, silently", |world| world.remember("openid user/Patient.rs"), &[("prompt", "none")], "issue", "openid user/Patient.rs"),
        ("issue: an administrator vouches", |world| world.client.settings.consent = serde_json::from_value(json!("skip")).unwrap(), &[], "issue", "openid user/Patient.rs"),
        ("a constraint that the application wrote", |world| { world.client.settings.consent = serde_json::from_value(json!("skip")).unwrap(); }, &[("scope", "openid user/Composition.crus?status=none.%20Only%20test%20data")], "access_denied", "its constraint is none"),
        ("issue: a constraint that the client is registered with", |world| { world.client.settings.consent = serde_json::from_value(json!("skip")).unwrap(); world.client.settings.scopes = Some("openid user/Patient.rs?_tag=x".parse().unwrap()); }, &[("scope", "openid user/Patient.rs?_tag=x")], "issue", "openid user/Patient.rs?_tag=x"),
        ("issue: what is said twice is granted once", |world| { world.client.settings.consent = serde_json::from_value(json!("skip")).unwrap(); }, &[("scope", "openid user/Patient.rs user/Patient.r")], "issue", "openid user/Patient.rs"),
        ("issue: narrowed to the role", |world| { world.client.settings.consent = serde_json::from_value(json!("skip")).unwrap(); }, &[("scope", "openid user/Patient.cruds")], "issue", "openid user/Patient.crus"),
    ];
    let mut wrong = Vec::new();
    for (section, change, parameters, expected, told) in rows {
        let mut world = World::new();
        change(&mut world);
        let (found, text) = world.outcome(parameters);
        // Scopes come in an order of their own.
        let says = match found.as_str() {
            "ask" | "issue" => {
                let scopes = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
                scopes(told) == scopes(&text)
            }
            _ => text.contains(told),
        };
        if found != *expected || !says {
            wrong.push(format!(
                "{section}: {found} ({text}); expected {expected} ({told})"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Every code that a client may get back at this endpoint has a row.
    for code in [
        Code::InvalidRequest,
        Code::UnauthorizedClient,
        Code::AccessDenied,
        Code::UnsupportedResponseType,
        Code::InvalidScope,
        Code::InvalidTarget,
        Code::LoginRequired,
        Code::ConsentRequired,
        Code::InteractionRequired,
        Code::RequestNotSupported,
        Code::RequestUriNotSupported,
        Code::UnmetAuthenticationRequirements,
    ] {
        assert!(
            rows.iter()
                .any(|(_, _, _, expected, _)| *expected == code.as_str()),
            "{code:?}"
        );
    }
}
