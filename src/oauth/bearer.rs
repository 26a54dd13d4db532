//! Access tokens that are presented to ourselves (RFC 6750): at userinfo and at introspection.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

use super::access_token;
use crate::app::App;
use crate::error::{Challenge, Code, OAuthError};
use crate::live::token_cache::Known;

/// The token of an `Authorization: Bearer` header (RFC 6750 §2.1).
pub fn in_header(request: &HttpRequest) -> Option<String> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("Bearer")
        .then(|| token.trim().to_owned())
}

/// Accepts a token of ours that is active and has a scope.
///
/// # Errors
/// RFC 6750 §3.1; 503 when we cannot know whether it was revoked.
pub async fn accept(app: &App, token: &str, scope: &str) -> Result<Arc<Known>, OAuthError> {
    app.live.require_fresh()?;
    let known = access_token::find(app, token)
        .await?
        .filter(|known| access_token::is_active(app, &known.claims, app.now()));
    let known = known.ok_or_else(|| {
        OAuthError::new(
            Code::InvalidToken,
            "the access token is unknown, expired or revoked",
        )
        .challenged(Challenge::Bearer)
    })?;
    if known.claims.scope.split(' ').any(|granted| granted == scope) {
        Ok(known)
    } else {
        Err(OAuthError::new(
            Code::InsufficientScope,
            format!("the access token lacks the scope {scope}"),
        )
        .challenged(Challenge::Bearer))
    }
}
