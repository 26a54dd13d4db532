//! A try of a JWKS URL: what is found there now, for somebody who registers it.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use crate::app::App;
use crate::keys::ClientKeys;

/// The largest JWKS that is read, in bytes.
const LARGEST: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(5);

/// What was found at a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Where.
    pub url: String,
    /// Why its keys cannot be used.
    pub problem: Option<String>,
    /// Its keys, usable or not.
    pub keys: Vec<FoundKey>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// `kid`, empty when it has none.
    pub kid: String,
    /// `kty` and, where there is one, `crv`.
    pub kty: String,
    /// `alg`, empty when it says none.
    pub alg: String,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Fetches the keys at a URL, past everything that is kept, and looks at each.
pub async fn look(app: &App, url: &str) -> Findings {
    let found = match fetch(app, url).await {
        Ok(text) => examine(&text),
        Err(problem) => (Some(problem), Vec::new()),
    };
    Findings {
        url: url.to_owned(),
        problem: found.0,
        keys: found.1,
    }
}

async fn fetch(app: &App, url: &str) -> Result<String, String> {
    let url = Url::parse(url).map_err(|cause| format!("{url:?} is not a URL: {cause}"))?;
    let fetched = app
        .jwks
        .outbound()
        .get_json(&url, LARGEST, TIMEOUT)
        .await
        .map_err(|cause| cause.to_string())?;
    String::from_utf8(fetched.body).map_err(|_| "what is there is not UTF-8".to_owned())
}

/// What is wrong with a JWKS as a whole, and its keys.
fn examine(text: &str) -> (Option<String>, Vec<FoundKey>) {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let listed = document
        .get("keys")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let keys: Vec<FoundKey> = listed.iter().map(found_key).collect();
    let problem = match ClientKeys::parse_fetched(text) {
        Err(problem) => Some(problem.to_string()),
        Ok(usable) => usable
            .duplicate_kid()
            .map(|kid| format!("several keys have the kid {kid:?}, so none of them can be chosen")),
    };
    (problem, keys)
}

fn found_key(jwk: &Value) -> FoundKey {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap_or_default();
    let kty = [text("kty"), text("crv")].join(" ");
    let alone = ClientKeys::parse(&json!({ "keys": [jwk] }).to_string());
    FoundKey {
        kid: text("kid").to_owned(),
        kty: kty.trim().to_owned(),
        alg: text("alg").to_owned(),
        problem: alone.err().map(|problem| problem.to_string()),
    }
}
