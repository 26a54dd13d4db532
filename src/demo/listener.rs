//! The one HTTPS listener of the systems around a demo: all their URLs.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App as HttpApp, HttpResponse, HttpServer, web};

use super::site::Site;
use super::{case_system, fhir};
use crate::server::security_headers;
use crate::tls::Tls;
use crate::web::assets;

/// How long requests that have begun may take after the order to stop, in seconds.
const SHUTDOWN_SECONDS: u64 = 2;

/// Begins to serve on a listener, until the server's handle stops it.
///
/// # Errors
/// When the listener or the settings of TLS are refused.
pub fn serve(site: web::Data<Site>, tls: &Tls, listener: TcpListener) -> std::io::Result<Server> {
    let factory = move || {
        HttpApp::new()
            .app_data(site.clone())
            .wrap(security_headers(true))
            .configure(urls)
    };
    let server = HttpServer::new(factory)
        .workers(2)
        .client_request_timeout(Duration::from_secs(10))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen_rustls_0_23(listener, tls.server_config().map_err(std::io::Error::other)?)?;
    Ok(server.run())
}

/// All URLs.
fn urls(config: &mut web::ServiceConfig) {
    config
        .service(web::redirect("/", "/cms/").see_other())
        .service(web::redirect("/cms", "/cms/").see_other())
        .route("/cms/", web::get().to(case_system::start_page))
        .route("/cms/sign-in", web::get().to(case_system::sign_in))
        .route("/cms/cb", web::get().to(case_system::callback))
        .route("/code", web::get().to(case_system::code_page))
        .configure(fhir::configure)
        .configure(assets::configure)
        .default_service(web::to(async || {
            HttpResponse::NotFound().body("there is no such page; begin at /cms/\n")
        }));
}
