//! Our public keys (RFC 7517 §5): serialised when they change, cacheable for less time than a new key is published before it signs.

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::app::App;

/// How long a client may keep the keys, in seconds.
const KEPT_SECONDS: i64 = 300;

/// `GET /oauth2/jwks`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let keyring = app.live.keyring();
    let kept = KEPT_SECONDS.min(app.config.keys.publish_seconds / 2).max(0);
    let known = request
        .headers()
        .get(IF_NONE_MATCH)
        .is_some_and(|tag| tag.as_bytes() == keyring.etag().as_bytes());
    let mut answer = if known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer
        .insert_header((CACHE_CONTROL, format!("public, max-age={kept}")))
        .insert_header((ETAG, keyring.etag()))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    if known {
        return answer.finish();
    }
    answer
        .insert_header((CONTENT_TYPE, "application/json"))
        .body(keyring.jwks().to_owned())
}
