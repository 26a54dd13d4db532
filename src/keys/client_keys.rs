//! The public keys of clients, and the assertions signed with them (RFC 7523 §3, SMART App Launch `private_key_jwt`).

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::signer::jose;
use crate::model::signing::Algorithm;

/// The longest assertion that is looked at, in bytes.
const LONGEST_ASSERTION: usize = 8 * 1024;
/// The smallest RSA modulus, in bits (RFC 7518 §3.3).
const SMALLEST_RSA: usize = 2048;

/// Why a JWKS is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JwksProblem(pub String);

/// One public key of a client.
#[derive(Clone)]
struct ClientKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    public: DecodingKey,
    ends: Option<i64>,
}

/// The public keys of a client, parsed once.
#[derive(Clone, Default)]
pub struct ClientKeys(Vec<ClientKey>);

impl std::fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.kid)).finish()
    }
}

impl ClientKeys {
    /// Parses a JWKS (RFC 7517 §5). Keys for encryption or of a kind that we do not verify with are passed over.
    ///
    /// # Errors
    /// When it is not a JWKS, holds a private or symmetric key, a weak RSA key, or no usable key at all.
    pub fn parse(jwks: &str) -> Result<Self, JwksProblem> {
        Self::parse_with(jwks, Err)
    }

    /// Parses a JWKS that was fetched: a key that cannot be used is passed over (RFC 7517 §5), for the client cannot be
    /// told here.
    ///
    /// # Errors
    /// When it is not a JWKS, or holds no usable key at all.
    pub fn parse_fetched(jwks: &str) -> Result<Self, JwksProblem> {
        Self::parse_with(jwks, |problem| {
            tracing::warn!(%problem, "a fetched key is passed over");
            Ok(())
        })
    }

    fn parse_with(
        jwks: &str,
        bad: impl Fn(JwksProblem) -> Result<(), JwksProblem>,
    ) -> Result<Self, JwksProblem> {
        let problem = |text: String| JwksProblem(text);
        // Windows editors put a byte order mark before what they save (RFC 8259 §8.1 lets us pass it over).
        let document: Value = serde_json::from_str(jwks.trim_start_matches('\u{feff}'))
            .map_err(|cause| problem(format!("the JWKS is not JSON: {cause}")))?;
        let listed = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| problem("the JWKS has no array \"keys\" (RFC 7517 §5)".to_owned()))?;
        let mut keys = Vec::new();
        for (place, jwk) in listed.iter().enumerate() {
            let name = jwk
                .get("kid")
                .and_then(Value::as_str)
                .map_or_else(|| format!("number {}", place + 1), |kid| format!("'{kid}'"));
            match parse_key(jwk) {
                Ok(key) => keys.extend(key),
                Err(text) => bad(problem(format!("key {name}: {text}")))?,
            }
        }
        if keys.is_empty() {
            return Err(problem(
                "the JWKS holds no public signing key for RS256 to RS512, PS256 to PS512, ES256, ES384 or EdDSA"
                    .to_owned(),
            ));
        }
        Ok(Self(keys))
    }

    /// The key ids, for messages.
    pub fn kids(&self) -> Vec<&str> {
        self.0.iter().filter_map(|key| key.kid.as_deref()).collect()
    }

    /// When the first of the keys ends that say so with `exp`, a member that RFC 7517 §4 leaves
    /// open; in seconds since the epoch.
    pub fn first_end(&self) -> Option<i64> {
        self.0.iter().filter_map(|key| key.ends).min()
    }

    /// Two keys with one `kid`, if there are: then neither can be chosen.
    pub fn duplicate_kid(&self) -> Option<&str> {
        let kids = self.kids();
        kids.iter()
            .enumerate()
            .find(|(place, kid)| kids.iter().take(*place).any(|other| other == *kid))
            .map(|(_, kid)| *kid)
    }
}

fn parse_key(jwk: &Value) -> Result<Option<ClientKey>, String> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.get("d").is_some() {
        return Err(
            "has its private part \"d\": publish public keys only, and replace this key, it is not secret any more"
                .to_owned(),
        );
    }
    if text("kty") == Some("oct") {
        return Err("is symmetric (kty \"oct\"): use an RSA, EC or OKP key".to_owned());
    }
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Ok(None);
    }
    if let Some(member) = ["n", "e", "x", "y"]
        .into_iter()
        .find(|member| text(member).is_some_and(|value| BASE64URL_NOPAD.decode(value.as_bytes()).is_err()))
    {
        return Err(format!(
            "its member {member:?} is not base64url without padding: A-Z a-z 0-9 - _, no = at the end (RFC 7515 section 2)"
        ));
    }
    let algorithms: &[Algorithm] = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => {
            let bits = text("n")
                .and_then(|n| BASE64URL_NOPAD.decode(n.as_bytes()).ok())
                .map_or(0, |n| bits(&n));
            if bits < SMALLEST_RSA {
                return Err(format!(
                    "is an RSA key of {bits} bits: at least {SMALLEST_RSA} are needed (RFC 7518 §3.3)"
                ));
            }
            &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ]
        }
        (Some("EC"), Some("P-256")) => &[Algorithm::ES256],
        (Some("EC"), Some("P-384")) => &[Algorithm::ES384],
        (Some("OKP"), Some("Ed25519")) => &[Algorithm::EdDSA],
        _ => return Ok(None),
    };
    let algorithms = match text("alg") {
        Some(named) => algorithms
            .iter()
            .copied()
            .filter(|algorithm| algorithm.as_str() == named)
            .collect(),
        None => algorithms.to_vec(),
    };
    if algorithms.is_empty() {
        return Ok(None);
    }
    // Only what names the key: unknown members must not stop the parser.
    let bare: Map<String, Value> = ["kty", "crv", "n", "e", "x", "y"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), jwk.get(*name)?.clone())))
        .collect();
    let parsed: jsonwebtoken::jwk::Jwk =
        serde_json::from_value(Value::Object(bare)).map_err(|cause| format!("cannot be read: {cause}"))?;
    let public = DecodingKey::from_jwk(&parsed).map_err(|cause| format!("cannot be read: {cause}"))?;
    let ends = jwk.get("exp").and_then(Value::as_i64);
    Ok(Some(ClientKey {
        kid: text("kid").map(str::to_owned),
        algorithms,
        public,
        ends,
    }))
}

fn bits(modulus: &[u8]) -> usize {
    let significant: Vec<u8> = modulus.iter().copied().skip_while(|byte| *byte == 0).collect();
    significant
        .first()
        .map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}

/// Why an assertion is refused. The texts tell what was sent and what is public, nothing of the keys that we hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssertionProblem {
    /// Wrong in itself; the text is for the client's engineer.
    Refused(String),
    /// No key has this `kid`; a fetched JWKS may be out of date.
    UnknownKey(String),
    /// The registered keys do not fit or do not verify it; the text is for our log.
    Key(String),
}

/// The claims of an assertion (RFC 7523 §3).
#[derive(Debug, Clone, Deserialize)]
pub struct AssertionClaims {
    /// Issuer: the client.
    pub iss: String,
    /// Subject: the client.
    pub sub: String,
    /// Audience: one or several.
    pub aud: Value,
    /// When it ends, in seconds since the epoch.
    #[serde(deserialize_with = "numeric_date")]
    pub exp: i64,
    /// When it was made.
    #[serde(default, deserialize_with = "optional_numeric_date")]
    pub iat: Option<i64>,
    /// From when it holds.
    #[serde(default, deserialize_with = "optional_numeric_date")]
    pub nbf: Option<i64>,
    /// Its unique name.
    pub jti: String,
}

/// A NumericDate may have a fraction (RFC 7519 §2); whole seconds are enough for us.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = number.as_i64().or_else(|| {
        let seconds = number.as_f64()?.floor();
        // Far beyond every date, and within what both types hold exactly.
        (seconds.abs() < 1e15)
            .then(|| format!("{seconds:.0}").parse().ok())
            .flatten()
    });
    whole.ok_or_else(|| serde::de::Error::custom("not a NumericDate"))
}

fn optional_numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    numeric_date(deserializer).map(Some)
}

impl AssertionClaims {
    /// The one audience, as a text or in a list. An assertion for several is good for none: each of them could use it at
    /// the others (RFC 7523bis, CVE-2025-27370).
    pub fn audience(&self) -> Option<&str> {
        match &self.aud {
            Value::Array(list) => match list.as_slice() {
                [only] => only.as_str(),
                _ => None,
            },
            one => one.as_str(),
        }
    }
}

fn refused(text: impl Into<String>) -> AssertionProblem {
    AssertionProblem::Refused(text.into())
}

fn segment(assertion: &str, place: usize) -> Option<Map<String, Value>> {
    let bytes = BASE64URL_NOPAD
        .decode(assertion.split('.').nth(place)?.as_bytes())
        .ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A JSON object of a JWT.
pub type Segment = Map<String, Value>;

/// Header and claims of an assertion as they stand, whatever they say: for whoever looks for what is wrong.
pub fn segments(assertion: &str) -> (Option<Segment>, Option<Segment>) {
    (segment(assertion, 0), segment(assertion, 1))
}

/// Header and claims of an assertion before its signature is verified: they say whose keys to try, and what to tell a client
/// whose assertion is wrong in itself.
///
/// # Errors
/// When it is no JWT, its header asks for what is not accepted, or it lacks a claim.
pub fn unverified_claims(assertion: &str) -> Result<AssertionClaims, AssertionProblem> {
    if assertion.len() > LONGEST_ASSERTION {
        return Err(refused(format!(
            "client_assertion is longer than {LONGEST_ASSERTION} bytes"
        )));
    }
    if assertion.split('.').count() != 3 {
        return Err(refused(
            "client_assertion is not a signed JWT of three parts (RFC 7515 §3.1)",
        ));
    }
    check_header(&header(assertion)?)?;
    let claims = segment(assertion, 1)
        .ok_or_else(|| refused("the claims of client_assertion are not base64url of a JSON object"))?;
    let missing = ["iss", "sub", "aud", "exp", "jti"]
        .into_iter()
        .find(|name| !claims.contains_key(*name));
    if let Some(missing) = missing {
        return Err(refused(format!(
            "client_assertion lacks the claim {missing} (RFC 7523 §3)"
        )));
    }
    serde_json::from_value(Value::Object(claims)).map_err(|_| {
        refused("iss, sub and jti of client_assertion must be text, exp, iat and nbf numbers (RFC 7519 §4.1)")
    })
}

/// Verifies header and signature of an assertion. Times, audience and `jti` are the caller's to check.
///
/// # Errors
/// What is wrong with it.
pub fn verify_assertion(
    keys: &ClientKeys,
    allowed: &[Algorithm],
    jwks_uri: Option<&str>,
    assertion: &str,
) -> Result<AssertionClaims, AssertionProblem> {
    let header = header(assertion)?;
    let algorithm = check_header(&header)?;
    if !allowed.contains(&algorithm) {
        return Err(AssertionProblem::Key(format!(
            "the client is not registered for alg {}",
            algorithm.as_str()
        )));
    }
    if header
        .get("jku")
        .is_some_and(|jku| jku.as_str().is_none() || jku.as_str() != jwks_uri)
    {
        return Err(AssertionProblem::Key(
            "jku is not the registered jwks_uri".to_owned(),
        ));
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.as_str()),
        Some(_) => return Err(refused("kid in the header of client_assertion must be a string")),
    };
    let fitting: Vec<&ClientKey> = keys
        .0
        .iter()
        .filter(|key| key.algorithms.contains(&algorithm) && (kid.is_none() || key.kid.as_deref() == kid))
        .collect();
    let key = match (fitting.as_slice(), kid) {
        ([key], _) => *key,
        ([], Some(kid)) => return Err(AssertionProblem::UnknownKey(kid.to_owned())),
        ([], None) => {
            return Err(AssertionProblem::Key(format!(
                "no registered key fits alg {}",
                algorithm.as_str()
            )));
        }
        (_, Some(kid)) => {
            return Err(AssertionProblem::Key(format!(
                "several registered keys have the kid {kid}"
            )));
        }
        (_, None) => {
            return Err(AssertionProblem::Key(
                "no kid was sent and several registered keys fit".to_owned(),
            ));
        }
    };
    match jsonwebtoken::decode::<AssertionClaims>(assertion, &key.public, &signature_only(algorithm)) {
        Ok(verified) => Ok(verified.claims),
        Err(cause) => Err(AssertionProblem::Key(format!(
            "the signature does not verify: {cause}"
        ))),
    }
}

fn header(assertion: &str) -> Result<Map<String, Value>, AssertionProblem> {
    segment(assertion, 0)
        .ok_or_else(|| refused("the header of client_assertion is not base64url of a JSON object"))
}

/// What is wrong with a header whoever sent it; what depends on the client's registration is not told to strangers.
fn check_header(header: &Map<String, Value>) -> Result<Algorithm, AssertionProblem> {
    let named = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let algorithm = Algorithm::parse(named).ok_or_else(|| {
        let names: Vec<&str> = Algorithm::ACCEPTED
            .iter()
            .map(|algorithm| algorithm.as_str())
            .collect();
        refused(format!(
            "alg '{}' of client_assertion is not accepted; use one of {}",
            printable(named),
            names.join(" ")
        ))
    })?;
    for embedded in ["jwk", "x5u", "x5c"] {
        if header.contains_key(embedded) {
            return Err(refused(format!(
                "{embedded} in the header of client_assertion is not accepted: keys are registered, and named by kid"
            )));
        }
    }
    if header.contains_key("crit") {
        return Err(refused(
            "crit in the header of client_assertion names an extension that is not understood (RFC 7515 §4.1.11)",
        ));
    }
    let typ = header
        .get("typ")
        .map_or(Some("JWT"), Value::as_str)
        .unwrap_or_default();
    if !typ.eq_ignore_ascii_case("JWT") && !typ.eq_ignore_ascii_case("client-authentication+jwt") {
        return Err(refused("typ in the header of client_assertion must be JWT"));
    }
    Ok(algorithm)
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(20).collect()
}

/// Checks the signature and nothing else: times are checked against our clock, and the rest where it is used.
pub(super) fn signature_only(algorithm: Algorithm) -> jsonwebtoken::Validation {
    let mut validation = jsonwebtoken::Validation::new(jose(algorithm));
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}
