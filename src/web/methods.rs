//! Addresses that say which methods they know.

use std::borrow::Cow;

use actix_web::http::header;
use actix_web::{HttpResponse, Resource, web};
use serde_json::json;

/// A resource that says which methods it knows.
pub fn only(path: &str, allow: impl Into<Cow<'static, str>>) -> Resource {
    let allow: Cow<'static, str> = allow.into();
    web::resource(path).default_service(web::to(move || {
        let allow = allow.clone();
        async move {
            HttpResponse::MethodNotAllowed()
                .insert_header((header::ALLOW, allow.as_ref()))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .json(json!({
                    "error": "invalid_request",
                    "error_description": format!("this URL supports only {allow}"),
                }))
        }
    }))
}
