//! The files of `static/`, embedded in the binary and served under a URL that names their content,
//! so that browsers may keep them for ever and an upgrade is seen at once.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, guard, web};
use std::sync::LazyLock;

use crate::app::App;
use crate::app::logo::url_of;

/// Name in `static/`, content type, content.
const FILES: [(&str, &str, &[u8]); 10] = [
    (
        "app.css",
        "text/css; charset=utf-8",
        include_bytes!("../../static/app.css"),
    ),
    (
        "console.css",
        "text/css; charset=utf-8",
        include_bytes!("../../static/console.css"),
    ),
    (
        "console.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/console.js"),
    ),
    (
        "consent.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/consent.js"),
    ),
    (
        "form-post.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/form-post.js"),
    ),
    (
        "password-strength.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/password-strength.js"),
    ),
    (
        "passkey.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/passkey.js"),
    ),
    (
        "refresh.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/refresh.js"),
    ),
    (
        "show-password.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/show-password.js"),
    ),
    (
        "mark.svg",
        "image/svg+xml",
        include_bytes!("../../static/mark.svg"),
    ),
];

struct Asset {
    name: &'static str,
    url: String,
    content_type: &'static str,
    content: &'static [u8],
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    FILES
        .into_iter()
        .map(|(name, content_type, content)| {
            let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
            Asset {
                name,
                url: url_of(stem, content, extension),
                content_type,
                content,
            }
        })
        .collect()
});

/// The URL path of the file `name` of `static/`: `/static/<stem>.<first 16 hex of its SHA-256>.<extension>`.
/// Empty for a name that does not exist; the tests of the pages look for such.
pub fn url(name: &str) -> &'static str {
    ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map_or("", |asset| &asset.url)
}

/// Registers `/static/…` for GET and HEAD. An unknown name or the hash of another release answers 404.
pub fn configure(cfg: &mut web::ServiceConfig) {
    let get_or_head = guard::Any(guard::Get()).or(guard::Head());
    cfg.service(web::resource("/static/{file}").route(web::route().guard(get_or_head).to(serve)));
}

async fn serve(request: HttpRequest) -> HttpResponse {
    let logo = request
        .app_data::<web::Data<App>>()
        .and_then(|app| app.logo.as_ref());
    if let Some(logo) = logo.filter(|logo| logo.url == request.path()) {
        // As an image it runs nothing. Opened by itself it must not run anything either.
        return HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, logo.content_type))
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .insert_header((
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            ))
            .body(logo.content.clone());
    }
    match ASSETS.iter().find(|asset| asset.url == request.path()) {
        Some(asset) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, asset.content_type))
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(asset.content),
        None => HttpResponse::NotFound()
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish(),
    }
}
