//! What a person does at the pages, once: the session that the code flows use, and the form of the login storm.

use std::collections::BTreeMap;

use crate::http::{Connection, Peer, encoded, get, post};
use crate::scene::{CALLBACK, EDRS_BASE, PASSWORD, Scene, TOTP_SECRET};

/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The authorization request of the case system.
pub fn authorize_path() -> String {
    let query = encoded(&[
        ("response_type", "code"),
        ("client_id", "people"),
        ("redirect_uri", CALLBACK),
        (
            "scope",
            "openid fhirUser user/Composition.crus user/Patient.rs offline_access",
        ),
        ("state", "af0ifjsldkj98f3b2c1d0e9f8a7b6c5d"),
        ("nonce", "n-0S6_WzA2Mj"),
        ("aud", EDRS_BASE),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    format!("/oauth2/authorize?{query}")
}

struct Browser<'a> {
    connection: Connection,
    issuer: &'a str,
    cookies: BTreeMap<String, String>,
}

/// A page, or where a redirect led outside.
struct Page {
    url: String,
    text: String,
}

impl Browser<'_> {
    fn cookies(&self) -> String {
        self.cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Sends a request and follows our own redirects.
    fn follow(&mut self, request: &[u8], path: &str) -> Page {
        let (mut request, mut url) = (request.to_vec(), path.to_owned());
        loop {
            let answer = self.connection.call(&request).unwrap();
            for cookie in answer.headers("set-cookie") {
                let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            if answer.status != 303 {
                assert_eq!(answer.status, 200, "{path}: {}", answer.shown());
                return Page {
                    url,
                    text: answer.body.to_owned(),
                };
            }
            let location = answer.header("location").unwrap();
            let ours = location.strip_prefix(self.issuer).unwrap_or(location).to_owned();
            url.clone_from(&ours);
            if !ours.starts_with('/') {
                return Page {
                    url,
                    text: String::new(),
                };
            }
            request = get(&ours, &[("Cookie", &self.cookies())]);
        }
    }

    fn open(&mut self, path: &str) -> Page {
        let request = get(path, &[("Cookie", &self.cookies())]);
        self.follow(&request, path)
    }

    /// The form of a page, filled in and written out.
    fn form(&self, page: &Page, filled: &[(&str, &str)]) -> Vec<u8> {
        // The first form is what the page is for.
        let form = page.text.split("</form>").next().unwrap();
        let hidden: Vec<(String, String)> = form
            .split("<input")
            .skip(1)
            .filter(|tag| tag.contains("type=\"hidden\""))
            .map(|tag| (attribute(tag, "name"), attribute(tag, "value")))
            .collect();
        let mut fields: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (&**name, &**value)).collect();
        fields.extend_from_slice(filled);
        let path = page.url.split('?').next().unwrap();
        post(
            path,
            &[("Cookie", &self.cookies()), ("Origin", self.issuer)],
            &fields,
        )
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let from = tag
        .split(&format!(" {name}=\""))
        .nth(1)
        .unwrap_or_else(|| panic!("no {name} in {tag}"));
    from.split('"').next().unwrap().to_owned()
}

/// Signs somebody in with both factors, on the way to a path; answers the browser's cookies and where it ended.
fn sign_in_as(scene: &Scene, peer: &Peer, username: &str, path: &str) -> (String, Page) {
    let mut browser = Browser {
        connection: peer.connect().unwrap(),
        issuer: &scene.issuer,
        cookies: BTreeMap::new(),
    };
    let login = browser.open(path);
    let filled = browser.form(&login, &[("username", username), ("password", PASSWORD)]);
    let second = browser.follow(&filled, "/login");
    let totp = totp_rs::Builder::new()
        .with_secret(TOTP_SECRET.to_vec())
        .build()
        .unwrap();
    let now = u64::try_from(mdi_auth::clock::Clock::now(&mdi_auth::clock::SystemClock)).unwrap();
    let filled = browser.form(&second, &[("totp", &totp.generate(now).to_string())]);
    let done = browser.follow(&filled, "/login/second-factor");
    (browser.cookies(), done)
}

/// Signs the certifier in at a client; answers the cookies.
pub fn sign_in(scene: &Scene, peer: &Peer) -> String {
    let (cookies, done) = sign_in_as(scene, peer, "certifier", &authorize_path());
    assert!(
        done.url.starts_with(CALLBACK),
        "signed in, but at {}: {}",
        done.url,
        done.text
    );
    cookies
}

/// Signs the administrator in at the console; answers the cookies.
pub fn at_console(scene: &Scene, peer: &Peer) -> String {
    let (cookies, done) = sign_in_as(scene, peer, "admin", "/admin");
    assert!(
        done.text.contains("Administration"),
        "signed in, but at {}: {}",
        done.url,
        done.text
    );
    cookies
}

/// The filled login form, ready to be sent again and again. For `visitor` the password alone is enough.
pub fn login_form(scene: &Scene, peer: &Peer, username: &str) -> Vec<u8> {
    let mut browser = Browser {
        connection: peer.connect().unwrap(),
        issuer: &scene.issuer,
        cookies: BTreeMap::new(),
    };
    let login = browser.open(&authorize_path());
    browser.form(&login, &[("username", username), ("password", PASSWORD)])
}
