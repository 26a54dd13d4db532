//! The case system of a demo, which people use with a browser: it sends them to the authorization server (authorization
//! code with PKCE, RFC 7636), redeems the code, and shows what came of it. Beside it, the page with the one-time codes
//! that would be on a phone.

use std::collections::HashMap;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde_json::Value;
use url::Url;

use super::fhir::System;
use super::parties::{CASE_SYSTEM_PEOPLE, Person};
use super::site::Site;
use crate::login::totp::totp;
use crate::model::secret::Secret;
use crate::policy::role::role_system;
use crate::web::pages::{self, FormAction, MessagePage, Shell};

/// What the case system asks for: what a certifier needs, so that another role is seen to get less.
const SCOPE: &str = "openid profile fhirUser user/Composition.crus user/Patient.rs user/Location.rs user/Observation.rs \
                     user/Bundle.cr __mdi.certify";

const SHELL: Shell<'static> = Shell {
    service_name: "Demo case system",
    jurisdiction: Some("Part of the MDI Auth demo"),
    logo: None,
    account: None,
};

/// The first page.
#[derive(Template, Debug)]
#[template(path = "demo_case_system.html")]
struct StartPage<'a> {
    shell: Shell<'a>,
    people: &'a [Person<'a>],
}

/// `GET /cms/`
pub async fn start_page(site: web::Data<Site>) -> HttpResponse {
    let page = StartPage {
        shell: SHELL,
        people: &site.parties.people(),
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

/// What this browser asked for last; the browser itself keeps it.
struct Attempt {
    state: String,
    nonce: String,
    verifier: String,
}

impl Attempt {
    fn cookie_name(site: &Site) -> String {
        // Cookies do not tell ports apart.
        format!("__Host-demo-attempt-{}", site.parties.site_port())
    }

    fn cookie(&self, site: &Site) -> Cookie<'static> {
        let value = format!("{}.{}.{}", self.state, self.nonce, self.verifier);
        Cookie::build(Self::cookie_name(site), value)
            .path("/")
            .secure(true)
            .http_only(true)
            .same_site(SameSite::Lax)
            .finish()
    }

    fn of(site: &Site, request: &HttpRequest) -> Option<Self> {
        let cookie = request.cookie(&Self::cookie_name(site))?;
        let mut parts = cookie.value().split('.').map(str::to_owned);
        Some(Self {
            state: parts.next()?,
            nonce: parts.next()?,
            verifier: parts.next()?,
        })
    }

    fn url(&self, site: &Site, prompt: Option<&str>) -> Result<Url, String> {
        let authorize = format!("{}/oauth2/authorize", site.parties.issuer());
        let mut url = Url::parse(&authorize).map_err(|cause| format!("{authorize}: {cause}"))?;
        let challenge = BASE64URL_NOPAD.encode(digest(&SHA256, self.verifier.as_bytes()).as_ref());
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", CASE_SYSTEM_PEOPLE)
            .append_pair("redirect_uri", &site.parties.redirect_uri())
            .append_pair("scope", SCOPE)
            .append_pair("aud", &site.parties.edrs_base())
            .append_pair("state", &self.state)
            .append_pair("nonce", &self.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(prompt.map(|prompt| ("prompt", prompt)));
        Ok(url)
    }
}

type Query = web::Query<HashMap<String, String>>;

/// `GET /cms/sign-in`: to the authorization server; with `again=yes`, even if somebody is signed in there.
pub async fn sign_in(site: web::Data<Site>, query: Query) -> HttpResponse {
    let attempt = Attempt {
        state: site.entropy.secret(),
        nonce: site.entropy.secret(),
        verifier: site.entropy.secret(),
    };
    match attempt.url(&site, query.get("again").map(|_| "login")) {
        Ok(url) => HttpResponse::SeeOther()
            .insert_header((LOCATION, url.to_string()))
            .insert_header((CACHE_CONTROL, "no-store"))
            .cookie(attempt.cookie(&site))
            .finish(),
        Err(cause) => failed(&cause),
    }
}

/// What is shown when somebody has signed in.
#[derive(Template, Debug)]
#[template(path = "demo_signed_in.html")]
struct SignedInPage<'a> {
    shell: Shell<'a>,
    name: &'a str,
    facts: Vec<(&'static str, String)>,
    granted: Vec<&'a str>,
    withheld: Vec<&'a str>,
    introspection: String,
    edrs_says: String,
}

/// `GET /cms/cb`: the authorization server sends the browser here.
pub async fn callback(site: web::Data<Site>, request: HttpRequest, query: Query) -> HttpResponse {
    let Some(attempt) = Attempt::of(&site, &request) else {
        return failed("This browser has begun no sign-in here, or has finished it already.");
    };
    match signed_in(&site, &attempt, &query).await {
        Ok(mut page) => {
            let mut used = Cookie::build(Attempt::cookie_name(&site), "")
                .path("/")
                .secure(true)
                .finish();
            used.make_removal();
            if let Err(cause) = page.add_cookie(&used) {
                tracing::warn!(%cause, "the cookie stays");
            }
            page
        }
        Err(cause) => failed(&cause),
    }
}

async fn signed_in(
    site: &Site,
    attempt: &Attempt,
    query: &HashMap<String, String>,
) -> Result<HttpResponse, String> {
    let parameter = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    if parameter("state") != attempt.state {
        return Err("The answer is not to the sign-in that this browser began (state).".to_owned());
    }
    if parameter("iss") != site.parties.issuer() {
        return Err("The answer comes from another authorization server (iss, RFC 9207).".to_owned());
    }
    if let Some(error) = query.get("error") {
        return Err(format!(
            "The authorization server says {error}: {}",
            parameter("error_description")
        ));
    }
    let tokens = redeem(site, attempt, parameter("code")).await?;
    let claims = id_claims(site, attempt, &tokens)?;
    let token = Secret::new(text(&tokens, "/access_token"));
    let introspection = System::Edrs.introspect(site, &token).await?;
    let edrs_says = match site
        .get(
            &format!("{}/Composition/$document", site.parties.edrs_base()),
            &token,
        )
        .await
    {
        Ok(answer) => format!("{answer:#}"),
        Err(cause) => cause,
    };
    let granted: Vec<&str> = text(&tokens, "/scope").split(' ').collect();
    let page = SignedInPage {
        shell: SHELL,
        name: text(&claims, "/name"),
        facts: facts(site, &introspection),
        withheld: SCOPE
            .split(' ')
            .filter(|scope| !granted.contains(scope))
            .collect(),
        granted,
        introspection: format!("{introspection:#}"),
        edrs_says,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

async fn redeem(site: &Site, attempt: &Attempt, code: &str) -> Result<Value, String> {
    let redirect_uri = site.parties.redirect_uri();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", attempt.verifier.as_str()),
    ];
    let client = (CASE_SYSTEM_PEOPLE, &site.parties.secrets.case_system_people);
    site.post("/oauth2/token", client, &form)
        .await
        .map_err(|cause| format!("The code could not be redeemed: {cause}"))
}

/// The claims of the ID token. It came from the token endpoint over TLS, so its signature need not be looked at
/// (OpenID Connect Core §3.1.3.7, 6).
fn id_claims(site: &Site, attempt: &Attempt, tokens: &Value) -> Result<Value, String> {
    let payload = text(tokens, "/id_token").split('.').nth(1).unwrap_or_default();
    let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap_or_default();
    let claims: Value =
        serde_json::from_slice(&payload).map_err(|cause| format!("The ID token cannot be read: {cause}"))?;
    let ends = claims.get("exp").and_then(Value::as_i64).unwrap_or_default();
    let wanted = text(&claims, "/iss") == site.parties.issuer()
        && (text(&claims, "/aud") == CASE_SYSTEM_PEOPLE || text(&claims, "/aud/0") == CASE_SYSTEM_PEOPLE)
        && text(&claims, "/nonce") == attempt.nonce
        && site.clock.now() < ends;
    if wanted {
        Ok(claims)
    } else {
        Err("The ID token is not the answer to this sign-in (iss, aud, nonce or exp).".to_owned())
    }
}

/// What introspection says of the person, in words.
fn facts(site: &Site, introspection: &Value) -> Vec<(&'static str, String)> {
    let ours = role_system(&site.parties.issuer());
    let codes = |pointer: &str, system: Option<&str>| {
        let codings = introspection
            .pointer(pointer)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let wanted = codings.filter(|coding| system.is_none_or(|system| text(coding, "/system") == system));
        wanted
            .map(|coding| text(coding, "/code"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let methods = introspection
        .get("amr")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let methods: Vec<&str> = methods
        .filter_map(Value::as_str)
        .map(|method| match method {
            "pwd" => "password",
            "otp" => "one-time code",
            other => other,
        })
        .collect();
    let facts = [
        ("Username", text(introspection, "/username").to_owned()),
        ("Roles", codes("/extensions/ihe_iua/subject_role", Some(&ours))),
        (
            "Office",
            text(introspection, "/extensions/ihe_iua/subject_organization").to_owned(),
        ),
        (
            "Purpose of use",
            codes("/extensions/ihe_iua/purpose_of_use", None),
        ),
        ("Practitioner record", text(introspection, "/fhirUser").to_owned()),
        ("Signed in with", methods.join(" and ")),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn failed(why: &str) -> HttpResponse {
    let page = MessagePage {
        shell: SHELL,
        heading: "The sign-in did not work",
        paragraphs: &[why, "Begin again at /cms/ on this server."],
    };
    pages::respond(&page, StatusCode::BAD_REQUEST, FormAction::SelfOnly)
}

/// The one-time codes of now.
#[derive(Template, Debug)]
#[template(path = "demo_code.html")]
struct CodePage<'a> {
    shell: Shell<'a>,
    codes: Vec<(Person<'a>, String)>,
    seconds: i64,
}

/// How long a code lasts, in seconds (RFC 6238 §5.2).
const STEP_SECONDS: i64 = 30;

/// `GET /code`
pub async fn code_page(site: web::Data<Site>) -> HttpResponse {
    let now = site.clock.now();
    let code = |person: Person<'_>| {
        let secret = BASE32_NOPAD.decode(person.totp.reveal().as_bytes()).ok()?;
        Some(totp(secret).ok()?.generate(u64::try_from(now).ok()?).to_string())
    };
    let page = CodePage {
        shell: SHELL,
        codes: site
            .parties
            .people()
            .into_iter()
            .filter_map(|person| Some((person, code(person)?)))
            .collect(),
        seconds: STEP_SECONDS - now.rem_euclid(STEP_SECONDS),
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}
