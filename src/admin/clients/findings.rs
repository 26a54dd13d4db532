//! What is right and what is wrong with something that a vendor's system sends or gets, line by line.

use serde_json::{Map, Value};
use url::Url;

use crate::app::App;
use crate::error::Broken;
use crate::keys::{AssertionProblem, ClientKeys, segments, verify_assertion};
use crate::model::client::{AuthMethod, Client, GrantType};
use crate::model::scope::ScopeSet;
use crate::model::signing::Algorithm;
use crate::oauth::client_authentication::{
    CLOCK_SKEW_SECONDS, LONGEST_ASSERTION_SECONDS, LONGEST_JTI, jti_hash,
};
use crate::store::tokens;
use crate::web::parameters::{Parameters, shown};

/// How a line of the report ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Has to be mended.
    Bad,
    /// Worth a look.
    Note,
}

impl Verdict {
    /// The word that says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "Good",
            Self::Bad => "Wrong",
            Self::Note => "Note",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, and what is wanted.
    pub text: String,
    /// Two texts that differ in one place: what was sent, and what is registered.
    pub difference: Option<(Marked, Marked)>,
}

/// A text with the part that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// What is the same before it.
    pub before: String,
    /// What differs.
    pub differs: String,
    /// What is the same behind it.
    pub after: String,
}

/// Who reads the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Somebody at the console.
    Office,
    /// Somebody with the vendor's link.
    Vendor,
}

/// What the pasted text is, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it was taken for.
    pub kind: &'static str,
    /// Line by line.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether something was judged, and not only explained.
    pub fn judges(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.verdict != Verdict::Note)
    }

    /// Whether nothing has to be mended.
    pub fn is_good(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.verdict != Verdict::Bad)
    }
}

fn line(what: &'static str, good: bool, text: impl Into<String>) -> Finding {
    let verdict = if good { Verdict::Good } else { Verdict::Bad };
    Finding {
        what,
        verdict,
        text: text.into(),
        difference: None,
    }
}

fn note(what: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        what,
        verdict: Verdict::Note,
        text: text.into(),
        difference: None,
    }
}

/// Looks at something pasted.
pub async fn of(app: &App, client: &Client, reader: Reader, pasted: &str) -> Result<Report, Broken> {
    let text = pasted.trim();
    let mut report = if let Some(assertion) = assertion_in(text) {
        Report {
            kind: "A signed assertion (client_assertion)",
            findings: assertion_findings(app, client, reader, assertion).await?,
        }
    } else if let Ok(url) = Url::parse(text) {
        address_findings(app, client, text, &url)
    } else if let Some(code) = error_in(text) {
        Report {
            kind: "An error that we answered",
            findings: vec![explain(client, &code, text)],
        }
    } else {
        let text =
            "This is neither a signed JWT (three parts with dots in between), nor an address, nor an error.";
        let hint = "Copy it whole, without quotes, line breaks or the name of the parameter.";
        Report {
            kind: "Something that we do not recognise",
            findings: vec![line("What you pasted", false, format!("{text} {hint}"))],
        }
    };
    if !client.enabled {
        report.findings.insert(
            0,
            line(
                "Client",
                false,
                "The client is disabled: everything is refused until it is enabled.",
            ),
        );
    }
    Ok(report)
}

/// The JWT in a text: by itself, or as a parameter of a request.
fn assertion_in(text: &str) -> Option<&str> {
    let behind = text.split("client_assertion=").nth(1).unwrap_or(text);
    let end = behind
        .find(|c: char| c == '&' || c == '"' || c == '\'' || c.is_whitespace())
        .unwrap_or(behind.len());
    let token = behind.get(..end)?;
    let parts: Vec<&str> = token.split('.').collect();
    let plain = |part: &&str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='))
    };
    (parts.len() == 3 && parts.iter().all(plain) && token.starts_with("ey")).then_some(token)
}

async fn assertion_findings(
    app: &App,
    client: &Client,
    reader: Reader,
    assertion: &str,
) -> Result<Vec<Finding>, Broken> {
    let mut findings = Vec::new();
    let method = client.settings.auth_method;
    if method != AuthMethod::PrivateKeyJwt {
        findings.push(line(
            "Registered proof",
            false,
            format!("The client is registered for {}, so no assertion is accepted from it. Change its proof, or send the secret.", method.as_str()),
        ));
    }
    let (header, claims) = segments(assertion);
    match header {
        None => findings.push(line(
            "Header",
            false,
            "The first part is not base64url of a JSON object.",
        )),
        Some(header) => header_findings(client, &header, &mut findings),
    }
    match claims {
        None => findings.push(line(
            "Claims",
            false,
            "The second part is not base64url of a JSON object.",
        )),
        Some(claims) => {
            claim_findings(app, client, &claims, &mut findings);
            jti_finding(app, client, &claims, &mut findings).await?;
        }
    }
    if method == AuthMethod::PrivateKeyJwt {
        findings.extend(signature_findings(app, client, reader, assertion).await);
    }
    Ok(findings)
}

fn header_findings(client: &Client, header: &Map<String, Value>, findings: &mut Vec<Finding>) {
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let allowed: &[Algorithm] = if client.settings.signing_algs.is_empty() {
        &Algorithm::ACCEPTED
    } else {
        &client.settings.signing_algs
    };
    let names = allowed
        .iter()
        .map(|algorithm| algorithm.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let alg = text("alg").unwrap_or_default();
    let good = Algorithm::parse(alg).is_some_and(|algorithm| allowed.contains(&algorithm));
    findings.push(line(
        "alg",
        good,
        format!("Found {:?}. Accepted: {names}.", shown(alg)),
    ));
    findings.push(match header.get("typ") {
        None => note(
            "typ",
            "It is missing. We read it as JWT; SMART asks for \"typ\":\"JWT\".",
        ),
        Some(Value::String(typ)) => {
            let good =
                typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("client-authentication+jwt");
            line("typ", good, format!("Found {:?}. Wanted: JWT.", shown(typ)))
        }
        Some(_) => line("typ", false, "It is not a text. Wanted: JWT."),
    });
    findings.push(match header.get("kid") {
        None => note(
            "kid",
            "It is missing. That works only while one key of the client fits; SMART asks for it.",
        ),
        Some(Value::String(kid)) => line("kid", true, format!("Found {:?}.", shown(kid))),
        Some(_) => line("kid", false, "It is not a text."),
    });
    if let Some(jku) = header.get("jku") {
        let registered = client.settings.jwks_uri.as_deref();
        let good = jku.as_str().is_some() && jku.as_str() == registered;
        let found = shown(jku.as_str().unwrap_or("something that is not a text"));
        findings.push(line(
            "jku",
            good,
            format!(
                "Found {found:?}. Registered: {}.",
                registered.unwrap_or("no address")
            ),
        ));
    }
    for embedded in ["jwk", "x5u", "x5c", "crit"] {
        if header.contains_key(embedded) {
            findings.push(line(
                "Header",
                false,
                format!("It holds {embedded}, which is not accepted: keys are registered, and named by kid."),
            ));
        }
    }
}

fn claim_findings(app: &App, client: &Client, claims: &Map<String, Value>, findings: &mut Vec<Finding>) {
    for what in ["iss", "sub"] {
        let found = claims.get(what).and_then(Value::as_str);
        let text = match found {
            None => format!("It is missing. Wanted: {}.", client.id),
            Some(found) => format!("Found {:?}. Wanted: {}.", shown(found), client.id),
        };
        findings.push(line(what, found == Some(client.id.as_str()), text));
    }
    let (issuer, token_endpoint) = (app.issuer(), app.url("/oauth2/token"));
    let named: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let good = matches!(named.as_slice(), [aud] if *aud == issuer || *aud == token_endpoint);
    let mut finding = line(
        "aud",
        good,
        format!("Wanted: {token_endpoint} (or {issuer}), and no other beside it."),
    );
    if let ([found], false) = (named.as_slice(), good) {
        finding.difference = Some(difference(&shown(found), &token_endpoint));
    }
    findings.push(finding);
    let now = app.now();
    let number = |name: &str| {
        claims
            .get(name)
            .and_then(Value::as_f64)
            .filter(|at| at.is_finite() && at.abs() < 1e15)
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded above, and whole seconds are enough"
    )]
    let seconds = |name: &str| number(name).map(|at| at.floor() as i64);
    findings.push(match seconds("exp") {
        None => line("exp", false, "It is missing or no number of seconds since 1970."),
        Some(exp) if exp <= now => line(
            "exp",
            false,
            format!(
                "It ended {} ago by our clock ({now}). Make a new assertion for each request.",
                span(now - exp)
            ),
        ),
        Some(exp) if exp > now + LONGEST_ASSERTION_SECONDS + CLOCK_SKEW_SECONDS => line(
            "exp",
            false,
            format!(
                "It ends {} from now by our clock ({now}). At most {} are accepted.",
                span(exp - now),
                span(LONGEST_ASSERTION_SECONDS)
            ),
        ),
        Some(exp) => line("exp", true, format!("It ends {} from now.", span(exp - now))),
    });
    for what in ["iat", "nbf"] {
        if let Some(at) = seconds(what) {
            let ahead = at - now;
            findings.push(if ahead > CLOCK_SKEW_SECONDS {
                line(
                    what,
                    false,
                    format!(
                        "It lies {} ahead of our clock ({now}). Set the clock of the sending machine.",
                        span(ahead)
                    ),
                )
            } else {
                line(
                    what,
                    true,
                    format!(
                        "{} by our clock.",
                        if ahead > 0 {
                            "A moment ahead".to_owned()
                        } else {
                            format!("{} ago", span(-ahead))
                        }
                    ),
                )
            });
        }
    }
}

async fn jti_finding(
    app: &App,
    client: &Client,
    claims: &Map<String, Value>,
    findings: &mut Vec<Finding>,
) -> Result<(), Broken> {
    let jti = claims.get("jti").and_then(Value::as_str).unwrap_or_default();
    if jti.is_empty() || jti.len() > LONGEST_JTI {
        findings.push(line(
            "jti",
            false,
            format!("It must be a text of 1 to {LONGEST_JTI} bytes, new for each request."),
        ));
        return Ok(());
    }
    let hash = jti_hash(&client.id, jti);
    let used = app
        .store
        .read(move |conn| tokens::jti_is_burned(conn, hash.as_str()))
        .await?;
    findings.push(if used {
        line(
            "jti",
            false,
            "We have accepted this assertion already. Each one works once: make a new one for each request.",
        )
    } else {
        line(
            "jti",
            true,
            "It was not used yet. Looking at it here does not use it up.",
        )
    });
    Ok(())
}

async fn signature_findings(app: &App, client: &Client, reader: Reader, assertion: &str) -> Vec<Finding> {
    let settings = &client.settings;
    let mut findings = Vec::new();
    let keys = match (&settings.jwks, &settings.jwks_uri) {
        (Some(jwks), _) => ClientKeys::parse(jwks)
            .map(std::sync::Arc::new)
            .map_err(|problem| problem.to_string()),
        (None, Some(uri)) => {
            let kid = kid_of(assertion);
            let keys = app.jwks.keys(uri, kid.as_deref(), app.now()).await;
            keys.map_err(|cause| cause.to_string())
        }
        (None, None) => Err("no keys are registered".to_owned()),
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err(cause) => {
            let place = settings.jwks_uri.as_deref().unwrap_or("this server");
            let cause = match reader {
                Reader::Office => cause,
                // What our network answers is not for somebody who could lead us anywhere in it.
                Reader::Vendor => "the office that sent you the link can see why".to_owned(),
            };
            findings.push(line(
                "Keys",
                false,
                format!("The client’s keys cannot be had from {place}: {cause}."),
            ));
            return findings;
        }
    };
    let kids = keys
        .kids()
        .iter()
        .map(|kid| shown(kid))
        .collect::<Vec<_>>()
        .join(", ");
    findings.push(note(
        "Keys",
        format!(
            "We have keys with the kid: {}.",
            if kids.is_empty() { "none" } else { kids.as_str() }
        ),
    ));
    let allowed: &[Algorithm] = if settings.signing_algs.is_empty() {
        &Algorithm::ACCEPTED
    } else {
        &settings.signing_algs
    };
    findings.push(match verify_assertion(&keys, allowed, settings.jwks_uri.as_deref(), assertion) {
        Ok(_) => line("Signature", true, "It was made with the client’s registered key."),
        Err(AssertionProblem::UnknownKey(kid)) => line(
            "Signature",
            false,
            format!(
                "No registered key has the kid {:?}. Publish the new key first, or send the kid of a registered one.",
                shown(&kid)
            ),
        ),
        Err(AssertionProblem::Key(cause) | AssertionProblem::Refused(cause)) => {
            line("Signature", false, format!("It cannot be verified: {cause}."))
        }
    });
    findings
}

fn kid_of(assertion: &str) -> Option<String> {
    segments(assertion).0?.get("kid")?.as_str().map(str::to_owned)
}

/// An address: our authorization endpoint with a request, an answer with an error, or a redirect address.
fn address_findings(app: &App, client: &Client, text: &str, url: &Url) -> Report {
    let parameters = Parameters::parse(url.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let one = |name: &str| parameters.one(name).ok().flatten();
    if text.starts_with(&app.url("/oauth2/authorize")) {
        return Report {
            kind: "An authorization request",
            findings: request_findings(app, client, &parameters),
        };
    }
    if let Some(code) = one("error") {
        let finding = explain(client, code, one("error_description").unwrap_or_default());
        return Report {
            kind: "An answer with an error",
            findings: vec![finding],
        };
    }
    Report {
        kind: "A redirect address",
        findings: vec![redirect_finding(client, text)],
    }
}

fn request_findings(app: &App, client: &Client, parameters: &Parameters) -> Vec<Finding> {
    let one = |name: &str| parameters.one(name).ok().flatten();
    let mut findings = Vec::new();
    if let Some(name) = parameters.repeated() {
        findings.push(line(
            "Parameters",
            false,
            format!("{} stands there twice.", shown(name)),
        ));
    }
    let equals = |what: &'static str, wanted: &str| match one(what) {
        None => line(what, false, format!("It is missing. Wanted: {wanted}.")),
        Some(found) => line(
            what,
            found == wanted,
            format!("Found {:?}. Wanted: {wanted}.", shown(found)),
        ),
    };
    findings.push(equals("response_type", "code"));
    findings.push(equals("client_id", &client.id));
    if !client.may_use(GrantType::AuthorizationCode) {
        findings.push(line(
            "Grant",
            false,
            "This client gets tokens by itself (client_credentials). It sends nobody to sign in.",
        ));
    }
    findings.push(match one("redirect_uri") {
        None => line("redirect_uri", false, "It is missing."),
        Some(uri) => redirect_finding(client, uri),
    });
    findings.push(match (one("code_challenge"), one("code_challenge_method")) {
        (Some(challenge), Some("S256")) if challenge.len() == 43 => {
            line("code_challenge", true, "S256, of the right length.")
        }
        (Some(_), Some("S256")) => line(
            "code_challenge",
            false,
            "It must have 43 characters: BASE64URL(SHA-256(code_verifier)) without =.",
        ),
        (Some(_), method) => line(
            "code_challenge",
            false,
            format!(
                "code_challenge_method must be S256; found {:?}.",
                shown(method.unwrap_or("none"))
            ),
        ),
        (None, _) if client.settings.require_pkce.0 => line(
            "code_challenge",
            false,
            "It is missing, and this client needs PKCE (RFC 7636).",
        ),
        (None, _) => note(
            "code_challenge",
            "It is missing. This client may leave it out, but should not.",
        ),
    });
    findings.push(match one("state") {
        None => note(
            "state",
            "It is missing. Your system needs it to know its own request again.",
        ),
        Some(_) => line("state", true, "It is there."),
    });
    findings.push(scope_finding(app, client, one("scope")));
    for target in parameters.targets().unwrap_or_default() {
        findings.push(target_finding(app, client, &target));
    }
    findings
}

fn scope_finding(app: &App, client: &Client, scope: Option<&str>) -> Finding {
    let Some(scope) = scope else {
        return note(
            "scope",
            "It is missing: then everything that the client may have is asked for.",
        );
    };
    let asked = match scope.parse::<ScopeSet>() {
        Ok(asked) => asked,
        Err(cause) => return line("scope", false, cause.to_string()),
    };
    let flow = app.policy.dataflow(&client.settings.dataflow);
    let ceiling = flow.map_or_else(ScopeSet::default, |flow| {
        flow.ceiling(client.settings.scopes.as_ref())
    });
    let beyond: Vec<String> = asked
        .iter()
        .filter(|scope| scope.within(&ceiling).is_empty())
        .map(ToString::to_string)
        .collect();
    if beyond.is_empty() {
        return line("scope", true, "The client may have all of it.");
    }
    line(
        "scope",
        false,
        format!(
            "The client may not have: {}. People are narrowed and told; a system is refused.",
            beyond.join(" ")
        ),
    )
}

fn target_finding(app: &App, client: &Client, target: &str) -> Finding {
    let bases: Vec<String> = client
        .settings
        .resource_servers
        .iter()
        .filter_map(|id| app.live.resource_server(id))
        .map(|live| live.server.settings.audience.clone())
        .collect();
    let same = |base: &String| base.trim_end_matches('/') == target.trim_end_matches('/');
    if bases.iter().any(same) {
        return line("aud", true, "It is a FHIR server of this client.");
    }
    let mut finding = line(
        "aud",
        false,
        format!("The client’s FHIR servers are: {}.", bases.join(", ")),
    );
    if let Some(nearest) = nearest(target, &bases) {
        finding.difference = Some(difference(&shown(target), nearest));
    }
    finding
}

fn redirect_finding(client: &Client, uri: &str) -> Finding {
    let registered = &client.settings.redirect_uris;
    if registered.is_empty() {
        return line(
            "redirect_uri",
            false,
            "This client has no redirect addresses: nobody signs in for it.",
        );
    }
    if registered.iter().any(|known| known == uri) {
        return line("redirect_uri", true, "It is registered, letter by letter.");
    }
    let mut finding = line(
        "redirect_uri",
        false,
        "It is not registered. Addresses are compared letter by letter. The nearest one that is:",
    );
    if let Some(nearest) = nearest(uri, registered) {
        finding.difference = Some(difference(uri, nearest));
    }
    finding
}

/// The one that shares most at both ends.
fn nearest<'a>(text: &str, others: &'a [String]) -> Option<&'a String> {
    others.iter().max_by_key(|other| {
        let (before, after) = shared(text, other);
        before + after
    })
}

/// How many characters two texts share at their beginning, and at their end behind that.
fn shared(one: &str, other: &str) -> (usize, usize) {
    let before = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let rest = one.chars().count().min(other.chars().count()) - before;
    let after = one
        .chars()
        .rev()
        .zip(other.chars().rev())
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    (before, after)
}

fn difference(found: &str, wanted: &str) -> (Marked, Marked) {
    let (before, after) = shared(found, wanted);
    let marked = |text: &str| {
        let characters: Vec<char> = text.chars().collect();
        let end = characters.len() - after;
        let part = |range: std::ops::Range<usize>| {
            characters
                .get(range)
                .unwrap_or_default()
                .iter()
                .collect::<String>()
        };
        Marked {
            before: part(0..before),
            differs: part(before..end),
            after: part(end..characters.len()),
        }
    };
    (marked(found), marked(wanted))
}

/// The code of an error that we answered, in a text of JSON or as it stands.
fn error_in(text: &str) -> Option<String> {
    let json: Option<Value> = serde_json::from_str(text).ok();
    let named = json
        .as_ref()
        .and_then(|json| json.get("error"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    named.or_else(|| {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words
            .filter(|word| EXPLAINED.iter().any(|(code, _)| code == word))
            .map(str::to_owned)
            .next()
    })
}

/// What the errors mean for whoever has to mend them.
const EXPLAINED: [(&str, &str); 16] = [
    (
        "invalid_client",
        "The client could not prove who it is: an unknown client ID, a wrong or ended secret, another way of sending it than the registered one, or an assertion that does not verify. Paste the assertion here to see which part is wrong.",
    ),
    (
        "invalid_grant",
        "The code or refresh token is unknown, ended, was used before, belongs to another client, or was asked for with another redirect address; or code_verifier does not fit code_challenge. A code lasts one minute and works once.",
    ),
    (
        "invalid_scope",
        "A scope is misspelled, or the client may not have it. A system gets all that it asks for or nothing. The scopes that it may ask for stand on its hand-off sheet.",
    ),
    (
        "invalid_target",
        "resource, aud or audience names no FHIR server of this client. It must be the FHIR base on the hand-off sheet, letter by letter; one slash at the end is forgiven.",
    ),
    (
        "invalid_request",
        "A parameter is missing, stands there twice or is malformed; the description names it. Two ways of proving who the client is in one request are refused too.",
    ),
    (
        "unauthorized_client",
        "The client may not use this grant_type or response_type. Its dataflow decides that.",
    ),
    (
        "unsupported_grant_type",
        "grant_type must be authorization_code, refresh_token or client_credentials. The password grant does not exist here (RFC 9700).",
    ),
    ("unsupported_response_type", "response_type must be code."),
    (
        "access_denied",
        "The person said no, or none of her roles allows what was asked for.",
    ),
    (
        "login_required",
        "prompt=none was asked for and the person has to sign in, or to sign in anew.",
    ),
    (
        "consent_required",
        "prompt=none was asked for and the person has not allowed this yet.",
    ),
    (
        "interaction_required",
        "prompt=none was asked for and the person has something to do first, such as setting up a second factor.",
    ),
    (
        "invalid_token",
        "The access token has ended, was revoked, or is not one of ours. Ask for a new one.",
    ),
    (
        "insufficient_scope",
        "The access token does not allow this. Ask for the scope that is missing.",
    ),
    (
        "temporarily_unavailable",
        "The server is busy or cannot reach its database. Try again after a few seconds.",
    ),
    (
        "server_error",
        "Something broke on our side. The log has the cause under the reference number of the answer.",
    ),
];

fn explain(client: &Client, code: &str, said: &str) -> Finding {
    let known = EXPLAINED.iter().find(|(known, _)| *known == code);
    let mut text = match known {
        Some((code, text)) => format!("{code}: {text}"),
        None => format!(
            "We never answer the error {:?}. It comes from another server.",
            shown(code)
        ),
    };
    if code == "invalid_client" {
        text = format!(
            "{text} This client is registered for {}.",
            client.settings.auth_method.as_str()
        );
    }
    let description = said.trim();
    if known.is_some() && !description.is_empty() && description != code && !description.starts_with('{') {
        text = format!("{text} It said: {}", shown(description));
    }
    Finding {
        what: "Error",
        verdict: if known.is_some() {
            Verdict::Note
        } else {
            Verdict::Bad
        },
        text,
        difference: None,
    }
}

/// A span of time in words.
fn span(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
