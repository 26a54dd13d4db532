//! Whole journeys through identity providers: a second instance of this server, and node-oidc-provider, which others wrote.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Once;

use mdi_auth::config::Config;
use mdi_auth::registry::identity_providers;
use mdi_auth::store::people;
use mdi_auth::tls::Tls;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use url::Url;

use crate::harness::agent::{Agent, Page, attribute, hidden_fields};
use crate::harness::{Db, Harness, PASSWORD, blocking};
use crate::on_both;
use crate::person_flow::{authorize_url, redeem};
use crate::support::TempDir;
use crate::upstream::events;

/// A server that trusts the authority of its provider.
fn relying_party(db: Db, ca: PathBuf) -> Harness {
    Harness::start_with(db, |config| {
        config.outbound.allow_loopback = true;
        config.outbound.extra_ca_file = Some(ca);
    })
}

fn claims_of(jwt: &str) -> Value {
    let claims = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap()
}

async fn told(harness: &Harness, agent: &mut Agent<'_>, consent: &Page) -> Value {
    let code = match consent {
        Page::Elsewhere(_) => consent.parameter("code"),
        Page::Ours { .. } => agent.approve(consent).await.parameter("code"),
    };
    claims_of(redeem(harness, &code.unwrap()).await.str("id_token"))
}

on_both! {
    async fn another_instance_of_this_server(db) {
        let agency = Harness::start(db);
        let harness = relying_party(db, agency.ca_file.clone());
        agency.apply(&format!(r#"
            [[client]]
            client_id = "state"
            name = "State sign-in"
            dataflow = "custom"
            grants = ["authorization_code"]
            scopes = ["openid", "profile", "email"]
            secret = "a-secret-of-32-characters-or-more"
            redirect_uris = ["{}/login/upstream/fulton/callback"]
            require_pkce = true
            consent = "skip"
        "#, harness.issuer));
        harness.apply(&format!(r#"
            [[identity_provider]]
            id = "fulton"
            name = "Fulton County"
            issuer = "{}"
            client_id = "state"
            secret = "a-secret-of-32-characters-or-more"
            trusted_acr = ["urn:mdi:acr:aal2"]
        "#, agency.issuer));
        // They have passwords here as well: an administrator says who is who.
        for username in ["jlehz", "norole"] {
            let subject = id_of(&agency, username);
            let registry = harness.registry();
            blocking(move || {
                registry.blocking(move |registry, tx| identity_providers::link(registry, tx, "fulton", &subject, username)).unwrap()
            });
        }
        // Dr. Lehz certifies with what she has at her agency: password and code there, none of it here.
        let (mut here, mut there) = (Agent::new(&harness), Agent::new(&agency));
        let login = here.get(&authorize_url(&harness, &[])).await;
        let sent = here.submit_to(&login, "/login/upstream/fulton", &[]).await.elsewhere().clone();
        assert!(sent.as_str().starts_with(&agency.issuer) && sent.as_str().contains("prompt=login"), "{sent}");
        let login = there.get(sent.as_str()).await;
        assert!(login.answer().text.contains("State sign-in"));
        let back = there.sign_in(login, "jlehz", PASSWORD).await.elsewhere().clone();
        let consent = here.get(back.as_str()).await;
        let id = told(&harness, &mut here, &consent).await;
        assert_eq!((&id["acr"], &id["amr"]), (&json!("urn:mdi:acr:aal2"), &json!(["fed", "mfa"])));
        assert_eq!(id["fhirUser"], "https://edrs.ga.example/fhir/Practitioner/77", "her account here");
        assert_eq!(events(&harness, "identity.linked").len(), 2);
        // Her code was used there; here it was not asked.
        assert!(!here.hops.iter().any(|hop| hop.starts_with("/login/second-factor")), "{:?}", here.hops);

        // The next browser: the agency's session is enough, and she is the one who was linked.
        let mut here = Agent::new(&harness);
        agency.clock.advance(60);
        harness.clock.advance(60);
        let login = here.get(&authorize_url(&harness, &[("scope", "openid profile"), ("aud", ""), ("acr_values", "")])).await;
        let sent = here.submit_to(&login, "/login/upstream/fulton", &[]).await.elsewhere().clone();
        let back = there.get(sent.as_str()).await.elsewhere().clone();
        let consent = here.get(back.as_str()).await;
        let id = told(&harness, &mut here, &consent).await;
        assert_eq!(id["auth_time"], agency.now() - 60, "when she signed in there");
        assert_eq!(events(&harness, "identity.linked").len(), 2);

        // Somebody who is signed in and has to sign in again does so at the agency.
        let login = here.get(&authorize_url(&harness, &[("prompt", "login")])).await;
        let sent = here.submit_to(&login, "/login/upstream/fulton", &[]).await.elsewhere().clone();
        let login = there.get(sent.as_str()).await;
        assert_eq!(login.at(), "/login");
        // She changes her mind there: no answer comes back, and the page here still takes a password.
        let login = here.get(&authorize_url(&harness, &[("prompt", "login"), ("scope", "openid"), ("aud", ""), ("acr_values", "")])).await;
        let page = here.submit(&login, &[("username", "norole"), ("password", PASSWORD)]).await;
        assert_eq!(page.at(), "/consent");
        // Where nothing is trusted, nothing is asked for, and the person is told as what she is.
        harness.apply("[[identity_provider]]\nid = \"fulton\"\ntrusted_acr = []\n");
        let (mut here, mut there) = (Agent::new(&harness), Agent::new(&agency));
        let login = here.get(&authorize_url(&harness, &[("scope", "openid profile"), ("aud", ""), ("acr_values", "")])).await;
        let sent = here.submit_to(&login, "/login/upstream/fulton", &[]).await.elsewhere().clone();
        let login = there.get(sent.as_str()).await;
        let back = there.sign_in(login, "norole", PASSWORD).await.elsewhere().clone();
        let consent = here.get(back.as_str()).await;
        let id = told(&harness, &mut here, &consent).await;
        assert_eq!((&id["acr"], &id["amr"]), (&json!("urn:mdi:acr:aal1"), &json!(["fed"])));
        // Disabled here: what the agency says does not matter.
        harness.disable_user("norole");
        let login = here.get(&authorize_url(&harness, &[("scope", "openid profile"), ("aud", ""), ("acr_values", "")])).await;
        let sent = here.submit_to(&login, "/login/upstream/fulton", &[]).await.elsewhere().clone();
        let back = there.get(sent.as_str()).await.elsewhere().clone();
        let page = here.get(back.as_str()).await;
        assert!(page.answer().text.contains("We could not sign you in with your agency’s account"));
        // Gone: people here still sign in.
        drop(there);
        drop(agency);
        harness.clock.advance(601);
        let mut here = Agent::new(&harness);
        let login = here.get(&authorize_url(&harness, &[])).await;
        let login = here.submit_to(&login, "/login/upstream/fulton", &[]).await;
        assert!(login.answer().text.contains("<bdi>Fulton County</bdi> does not answer just now"));
        assert_eq!(here.sign_in(login, "jlehz", PASSWORD).await.at(), "/consent");
    }
}

/// Who somebody is at the agency: `sub`.
fn id_of(agency: &Harness, username: &'static str) -> String {
    let store = agency.app.store.clone();
    blocking(move || {
        store
            .read_blocking(move |conn| people::find_by_username(conn, username))
            .unwrap()
            .unwrap()
            .id
    })
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from} in {text}"));
    &text[start..start + text[start..].find(to).unwrap()]
}

/// node-oidc-provider in a process of its own.
struct Node {
    process: Child,
    issuer: String,
    ca: PathBuf,
    _output: BufReader<ChildStdout>,
    _dir: TempDir,
}

impl Node {
    fn start(redirect_uri: &str, dir: TempDir) -> Self {
        static FETCH: Once = Once::new();
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider");
        FETCH.call_once(|| {
            let fetched = Command::new(scripts.join("fetch"))
                .arg(&packages)
                .status()
                .unwrap();
            assert!(
                fetched.success(),
                "node-oidc-provider could not be fetched: run tests/run --install-only"
            );
        });
        let config = Config::default_with(dir.path());
        let tls = Tls::open(&config.server, jiff::Timestamp::now().as_second()).unwrap();
        let ca = tls.ca_file().unwrap();
        let file = |name: &str| ca.parent().unwrap().join(name);
        let mut process = Command::new("node")
            .arg(scripts.join("provider.mjs"))
            .args([&packages, &file("server.pem"), &file("server-key.pem")])
            .arg(redirect_uri)
            .env("NODE_NO_WARNINGS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let issuer = loop {
            let mut line = String::new();
            assert!(
                output.read_line(&mut line).unwrap() > 0,
                "node ended before it listened"
            );
            if line.starts_with("https://") {
                break line.trim().to_owned();
            }
        };
        Self {
            process,
            issuer,
            ca,
            _output: output,
            _dir: dir,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A browser at the provider: goes where it is sent until somebody else's address comes.
struct Visitor {
    http: reqwest::Client,
    issuer: String,
    cookies: std::collections::BTreeMap<String, String>,
}

impl Visitor {
    async fn follow(&mut self, mut request: reqwest::RequestBuilder) -> Result<String, Url> {
        for _ in 0..10 {
            let cookies: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
            for cookie in response.headers().get_all(SET_COOKIE) {
                let (name, value) = cookie
                    .to_str()
                    .unwrap()
                    .split(';')
                    .next()
                    .unwrap()
                    .split_once('=')
                    .unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            if !response.status().is_redirection() {
                return Ok(response.text().await.unwrap());
            }
            let next = response
                .url()
                .join(response.headers()[LOCATION].to_str().unwrap())
                .unwrap();
            if !next.as_str().starts_with(&self.issuer) {
                return Err(next);
            }
            request = self.http.get(next);
        }
        panic!("too many redirects");
    }

    /// Fills in the page's form; fields of its own take precedence over hidden ones.
    async fn submit(&mut self, page: &str, fields: &[(&str, &str)]) -> Result<String, Url> {
        let form = between(page, "<form", "</form>");
        let action = attribute(form, "action").unwrap();
        let url = Url::parse(&self.issuer).unwrap().join(&action).unwrap();
        let mut sent = hidden_fields(form);
        sent.extend(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        self.follow(self.http.post(url).form(&sent)).await
    }
}

on_both! {
    async fn a_provider_that_others_wrote(db) {
        // It has to know our redirect URI, and we its authority: that is made first.
        let dir = TempDir::new();
        let tls = Tls::open(&Config::default_with(dir.path()).server, jiff::Timestamp::now().as_second()).unwrap();
        let harness = relying_party(db, tls.ca_file().unwrap());
        // It lives by the real time.
        harness.clock.advance(jiff::Timestamp::now().as_second() - harness.now());
        let node = Node::start(&harness.url("/login/upstream/node/callback"), dir);
        harness.apply(&format!(r#"
            [[identity_provider]]
            id = "node"
            name = "Other agency"
            issuer = "{}"
            client_id = "mdi-auth"
            secret = "a-secret-of-32-characters-or-more"
            accounts = "create"
            roles = [{{ claim = "groups", value = "registrars", role = "registrar" }}]
            manage_roles = true
        "#, node.issuer));
        let found = harness.app.identity_providers.examine(&harness.app.live.identity_provider("node").unwrap(), &harness.url("/login/upstream/node/callback")).await;
        assert!(found.iter().all(|finding| !finding.problem), "{found:?}");
        let (http, issuer) = (crate::harness::client(&node.ca), node.issuer.clone());
        let mut there = Visitor { http, issuer, cookies: Default::default() };
        let mut here = Agent::new(&harness);
        let login = here.get(&authorize_url(&harness, &[("scope", "openid profile"), ("aud", ""), ("acr_values", "")])).await;
        let sent = here.submit_to(&login, "/login/upstream/node", &[]).await.elsewhere().clone();
        let page = there.follow(there.http.get(sent)).await.unwrap();
        let page = there.submit(&page, &[("login", "rita"), ("password", "any")]).await.unwrap();
        let back = there.submit(&page, &[]).await.unwrap_err();
        assert!(back.query_pairs().any(|(name, value)| name == "iss" && value == node.issuer), "RFC 9207: {back}");
        // Made just now, with the role; a second factor is wanted here before anything else.
        let page = here.get(back.as_str()).await;
        assert_eq!(page.at(), "/login/set-up", "{}", page.answer().text);
        let login = events(&harness, "login.succeeded").pop().unwrap();
        assert_eq!(login["detail"]["provider"], "node");
        let person = events(&harness, "person.changed").pop().unwrap();
        let after: Value = serde_json::from_str(person["detail"]["after"].as_str().unwrap()).unwrap();
        assert_eq!((&after["username"], &after["roles"]), (&json!("rita"), &json!(["registrar"])));
        assert_eq!((&after["email"], &after["name"]), (&json!("rita@agency.example"), &json!("Person rita")));
        // The same answer again.
        let mut other = Agent::new(&harness);
        other.cookies = here.cookies.clone();
        let page = other.get(back.as_str()).await;
        assert!(page.answer().text.contains("We could not sign you in with your agency’s account"));
        // Turned back there.
        let mut here = Agent::new(&harness);
        let login = here.get(&authorize_url(&harness, &[("prompt", "login"), ("scope", "openid"), ("aud", ""), ("acr_values", "")])).await;
        let sent = here.submit_to(&login, "/login/upstream/node", &[]).await.elsewhere().clone();
        let page = there.follow(there.http.get(sent)).await.unwrap();
        let abort = format!("{}/abort", between(&page, "/interaction/", "\""));
        let back = there.follow(there.http.get(format!("{}{abort}", node.issuer))).await.unwrap_err();
        let page = here.get(back.as_str()).await;
        assert!(page.answer().text.contains("You did not finish signing in with your agency"), "{}", page.answer().text);
    }
}
