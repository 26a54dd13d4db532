//! ID tokens (OpenID Connect Core §2), signed with RS256, which every client can verify.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::error::Broken;
use crate::model::grant::GrantFacts;
use crate::model::signing::Algorithm;

/// What an ID token is made of.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The person.
    pub sub: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// What the grant says of the sign-in.
    pub facts: &'a GrantFacts,
    /// The access token beside it, for `at_hash`.
    pub access_token: &'a str,
    /// Claims about the person.
    pub more: Map<String, Value>,
}

/// Makes an ID token.
///
/// # Errors
/// When there is no RS256 key.
pub fn mint(app: &App, draft: Draft<'_>, now: i64) -> Result<String, Broken> {
    let mut claims = draft.more;
    crate::issuance::add_authentication(&mut claims, draft.facts);
    claims.insert("iss".to_owned(), json!(app.issuer()));
    claims.insert("sub".to_owned(), json!(draft.sub));
    claims.insert("aud".to_owned(), json!(draft.client_id));
    claims.insert("iat".to_owned(), json!(now));
    claims.insert("exp".to_owned(), json!(now + app.config.tokens.id_seconds));
    // OpenID Connect Back-Channel Logout §2.1: what a logout token will name.
    claims.insert("sid".to_owned(), json!(draft.facts.session));
    claims.insert("at_hash".to_owned(), json!(at_hash(draft.access_token)));
    if let Some(nonce) = &draft.facts.nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    app.live
        .keyring()
        .sign(Algorithm::RS256, "JWT", &claims, now)
        .map_err(Broken::defect)
}

/// The left half of SHA-256 (OpenID Connect Core §3.1.3.6, for RS256).
fn at_hash(access_token: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access_token.as_bytes());
    BASE64URL_NOPAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}

/// What an ID token of ours says that comes back as a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The client to which it was issued.
    pub client_id: String,
    /// The person.
    pub sub: String,
    /// The session; none in those of old versions.
    pub sid: Option<String>,
}

/// Reads an `id_token_hint` (OpenID Connect Core §3.1.2.1, RP-Initiated Logout §2): an ID token of ours, however old.
pub fn read_hint(app: &App, hint: &str) -> Option<Hint> {
    let claims: Map<String, Value> = app.live.keyring().verify(hint)?.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // A logout token has the same issuer and audience, and only `events` tells it apart (Back-Channel Logout §4).
    if text("iss") != Some(app.issuer()) || claims.contains_key("events") {
        return None;
    }
    Some(Hint {
        client_id: text("aud")?.to_owned(),
        sub: text("sub")?.to_owned(),
        sid: text("sid").map(str::to_owned),
    })
}
