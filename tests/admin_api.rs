//! The admin API: who may call, what is refused and how, and that nothing is lost or done twice.

use mdi_auth::model::api_token::ApiScope;
use mdi_auth::registry::api_tokens::{self, ApiTokenForm};

use crate::harness::{Harness, blocking};

/// The text of a new token with a scope.
pub fn token(harness: &Harness, scope: &str) -> String {
    let form = ApiTokenForm { scope: Some(ApiScope::parse(scope).unwrap()), ..ApiTokenForm::default() };
    let registry = harness.registry();
    let made = blocking(move || registry.blocking(move |registry, tx| api_tokens::create(registry, tx, &form)));
    made.unwrap().1.reveal().to_owned()
}
