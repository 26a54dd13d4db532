//! The systems around the authorization server of a demo: one HTTPS listener that plays the EDRS, the MDI CMS and the
//! case system that people use. It knows the authorization server by its URLs alone.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App as HttpApp, HttpResponse, HttpServer, web};
use serde_json::Value;
use url::Url;

use super::parties::Parties;
use super::{case_system, fhir};
use crate::clock::{Entropy, SharedClock};
use crate::model::secret::Secret;
use crate::outbound::{Fetched, Outbound};
use crate::server::security_headers;
use crate::tls::Tls;
use crate::web::assets;

/// How long an answer of the authorization server is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is taken, in bytes.
const LARGEST: usize = 64 * 1024;
/// How long requests that have begun may take after the order to stop, in seconds.
const SHUTDOWN_SECONDS: u64 = 2;

/// What the systems share.
#[derive(Debug)]
pub struct Site {
    /// Who takes part.
    pub parties: Parties,
    /// How one asks the other.
    pub outbound: Outbound,
    /// The time.
    pub clock: SharedClock,
    /// Random bytes.
    pub entropy: Entropy,
}

impl Site {
    /// Posts a form to the authorization server as a client.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(
        &self,
        path: &str,
        client: (&str, &Secret),
        form: &[(&str, &str)],
    ) -> Result<Value, String> {
        let url = parse(&format!("{}{path}", self.parties.issuer()))?;
        let fetched = self
            .outbound
            .post_form(&url, client, form, LARGEST, TIMEOUT)
            .await;
        document(fetched.map_err(|cause| cause.to_string())?)
    }

    /// Gets a FHIR answer with an access token.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get(&self, url: &str, token: &Secret) -> Result<Value, String> {
        let fetched = self
            .outbound
            .get_json_with(&parse(url)?, token, LARGEST, TIMEOUT)
            .await;
        document(fetched.map_err(|cause| cause.to_string())?)
    }

    /// Waits until both listeners answer: the authorization server that it is ready, the EDRS what it can do.
    ///
    /// # Errors
    /// Which of them does not, and why.
    pub async fn wait(&self) -> Result<(), String> {
        for url in [
            format!("{}/readyz", self.parties.issuer()),
            format!("{}/metadata", self.parties.edrs_base()),
        ] {
            let answer = self.outbound.get_json(&parse(&url)?, LARGEST, TIMEOUT).await;
            answer.map_err(|cause| format!("{url} does not answer: {cause}"))?;
        }
        Ok(())
    }
}

fn parse(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|cause| format!("{url}: {cause}"))
}

fn document(fetched: Fetched) -> Result<Value, String> {
    serde_json::from_slice(&fetched.body).map_err(|cause| format!("the answer is not JSON: {cause}"))
}

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
