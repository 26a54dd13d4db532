//! Access tokens whose signature was verified, or whose row was read, lately, with their introspection answer written
//! out. This never answers for revocation: whether a token is active is asked anew each time.

use std::sync::Arc;

use quick_cache::sync::Cache;
use serde_json::{Map, Value};

use crate::model::token::AccessToken;

/// How many tokens are remembered: some 2 KiB each.
const REMEMBERED: usize = 8_192;

/// A token that is ours, with its introspection answer written out. Whether it is active is asked anew each time.
#[derive(Debug)]
pub struct Known {
    /// Its claims, without `more`, which the answer holds.
    pub claims: AccessToken,
    /// The answer of introspection while it is active (RFC 7662 §2.2).
    pub answer: String,
    /// The key that signed it; opaque tokens have none.
    pub kid: Option<String>,
}

impl Known {
    /// One of the claims beyond those that every token has.
    pub fn claim(&self, name: &str) -> Option<Value> {
        serde_json::from_str::<Map<String, Value>>(&self.answer)
            .ok()?
            .remove(name)
    }

    fn new(claims: AccessToken, kid: Option<String>) -> Result<Self, serde_json::Error> {
        let answer = serde_json::to_string(&answer(&claims)?)?;
        // The answer has them; keeping them twice would take most of the memory.
        Ok(Self {
            claims: AccessToken {
                more: Map::new(),
                ..claims
            },
            answer,
            kid,
        })
    }
}

/// What introspection answers about a token that is active.
///
/// # Errors
/// When the claims cannot be written as JSON.
pub fn answer(claims: &AccessToken) -> Result<Map<String, Value>, serde_json::Error> {
    let mut answer = Map::new();
    answer.insert("active".to_owned(), Value::Bool(true));
    answer.insert("token_type".to_owned(), Value::from("Bearer"));
    if let Value::Object(mut rest) = serde_json::to_value(claims)? {
        rest.remove("mdi_grant");
        answer.append(&mut rest);
    }
    Ok(answer)
}

/// Tokens whose signature was verified, or whose row was read, lately. It never answers for revocation.
#[derive(Debug)]
pub struct TokenCache(Cache<[u8; 32], Arc<Known>>);

impl Default for TokenCache {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl TokenCache {
    /// A token that was remembered.
    pub fn get(&self, token: &str) -> Option<Arc<Known>> {
        self.0.get(&sha256(token))
    }

    /// Remembers a token with its claims, which the caller has verified.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn remember(
        &self,
        token: &str,
        claims: AccessToken,
        kid: Option<String>,
    ) -> Result<Arc<Known>, serde_json::Error> {
        let known = Arc::new(Known::new(claims, kid)?);
        self.0.insert(sha256(token), Arc::clone(&known));
        Ok(known)
    }
}

fn sha256(token: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(digest.as_ref());
    key
}
