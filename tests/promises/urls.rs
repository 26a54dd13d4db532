//! Every address with its methods: who may, what a form without our CSRF token gets, and the headers of the answer.

use std::collections::BTreeMap;
use std::path::Path;

use mdi_auth::admin::api;
use mdi_auth::admin::pages::pages;
use mdi_auth::model::api_token::ApiScope;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, ORIGIN};

use super::{Rich, normal};
use crate::admin_api;
use crate::console::at_console;
use crate::harness::agent::{Agent, attribute};
use crate::harness::{Answer, Harness, PASSWORD};

/// Those who ask: nobody, a person without and with a role of her own, and those of the console.
const WHO: [&str; 7] = ["", "norole", "jlehz", "clients", "users", "auditor", "admin"];
/// Pages that end sessions; they come last.
const ENDING: [&str; 3] = [
    "/account/sign-out",
    "/account/sessions/end-others",
    "/account/sessions/end-all",
];
/// What every answer says.
const COMMON: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];
/// What differs from answer to answer, and matters.
const TOLD: [&str; 5] = [
    "content-security-policy",
    "cache-control",
    "content-type",
    "content-disposition",
    "access-control-allow-origin",
];

/// Address and methods as they are registered: the pages have lists, and elsewhere the sources say them in one way only.
pub fn registered() -> Vec<(String, Vec<Method>)> {
    fn walk(path: &Path, found: &mut Vec<(String, Vec<Method>)>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for call in text
                .split("only(")
                .skip(1)
                .filter(|call| call.trim_start().starts_with('"'))
            {
                let mut quoted = call.split('"').skip(1);
                let (url, methods) = (quoted.next().unwrap(), quoted.nth(1).unwrap());
                let methods = methods.split(", ").filter(|method| *method != "HEAD");
                found.push((
                    url.to_owned(),
                    methods.map(|method| method.parse().unwrap()).collect(),
                ));
            }
        }
    }
    let mut found = vec![
        ("/static/{file}".to_owned(), vec![Method::GET]),
        (api::OPENAPI.to_owned(), vec![Method::GET]),
        (api::DOCS.to_owned(), vec![Method::GET]),
    ];
    let console = pages().into_iter().map(|page| {
        let methods = page.methods();
        let methods = methods.iter().map(|method| method.as_str().parse().unwrap());
        (page.path.clone(), methods.collect())
    });
    found.extend(console);
    let people = mdi_auth::server::pages::pages().into_iter().map(|page| {
        let methods = page.methods();
        let methods = methods.iter().map(|method| method.as_str().parse().unwrap());
        (page.path.to_owned(), methods.collect())
    });
    found.extend(people);
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 100, "{found:?}");
    found.sort_by_key(|(url, _)| (ENDING.contains(&url.as_str()), url.clone()));
    found
}

/// Somebody's browser.
struct Visitor {
    cookies: String,
    csrf: String,
}

impl Visitor {
    async fn new(harness: &Harness, username: &str) -> Self {
        let mut agent = Agent::new(harness);
        let page = agent.get(&harness.url("/account")).await;
        let page = if username.is_empty() {
            page
        } else {
            agent.sign_in(page, username, PASSWORD).await
        };
        // A hidden field of the form to sign in, the value of the button to sign out.
        let tag = page
            .answer()
            .text
            .split('<')
            .find(|tag| tag.contains(" name=\"csrf\""));
        let csrf = tag.and_then(|tag| attribute(tag, "value"));
        Self {
            cookies: agent.cookie_header(),
            csrf: csrf.unwrap_or_else(|| panic!("{username}: {page:?}")),
        }
    }

    async fn everybody(harness: &Harness) -> Vec<Self> {
        let mut all = Vec::new();
        for username in WHO {
            all.push(Self::new(harness, username).await);
        }
        harness.clock.advance(60);
        all
    }

    /// What the form at an address is sent with: where the console asks how old the sign-in is, it is another one for each.
    async fn form_token(&self, harness: &Harness, path: &str) -> String {
        if !path.starts_with("/admin/") || path.contains("/nobody") {
            return self.csrf.clone();
        }
        let page = harness.http.get(harness.url(path)).header(COOKIE, &self.cookies);
        let text = page.send().await.unwrap().text().await.unwrap();
        let tag = text
            .split("<input")
            .skip(1)
            .find(|tag| tag.contains(" name=\"csrf\""));
        tag.and_then(|tag| attribute(tag, "value"))
            .unwrap_or_else(|| self.csrf.clone())
    }

    async fn ask(&self, harness: &Harness, method: &Method, path: &str, csrf: bool) -> Answer {
        let mut request = harness
            .http
            .request(method.clone(), harness.url(path))
            .header(COOKIE, &self.cookies);
        if *method != Method::GET {
            request = request.header(ORIGIN, &harness.issuer);
            let token = self.form_token(harness, path).await;
            let form: &[(&str, &str)] = if csrf { &[("csrf", &token)] } else { &[] };
            request = request.form(form);
        }
        Answer::read(request.send().await.unwrap()).await
    }
}

/// The status, and where a redirect leads, without its query.
fn status(answer: &Answer) -> String {
    match answer.header("location").split('?').next().unwrap() {
        "" => answer.status.to_string(),
        to => format!("{}→{to}", answer.status),
    }
}

/// The headers that differ, in one line.
fn told(headers: &HeaderMap) -> String {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    for (name, expected) in COMMON {
        assert_eq!(value(name).as_deref(), Some(expected), "{name}");
    }
    let told = TOLD
        .iter()
        .filter_map(|name| value(name).map(|value| format!("{name}: {value}")));
    let set = headers.get_all("set-cookie").iter().map(|cookie| {
        let text = cookie.to_str().unwrap();
        let (name, rest) = (
            text.split('=').next().unwrap(),
            text.split(';').skip(1).collect::<Vec<_>>().join(";"),
        );
        format!("set-cookie: {name}=…;{rest}")
    });
    told.chain(set).collect::<Vec<_>>().join(" | ")
}

#[tokio::test]
async fn who_may_what_where() {
    let rich = Rich::start().await;
    let harness = &rich.harness;
    let mut visitors = Visitor::everybody(harness).await;
    let mut headers: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for (url, methods) in registered() {
        for method in &methods {
            // A form is sent to what does not exist, so that nothing changes for the rows that follow.
            let path = match *method {
                Method::GET => rich.fill(&url),
                _ => rich.fill(&url.replace("{id}", "nobody")),
            };
            let ending = ENDING.contains(&url.as_str()) && *method == Method::POST;
            let mut statuses = Vec::new();
            let mut last = None;
            for visitor in &visitors {
                let answer = visitor.ask(harness, method, &path, true).await;
                statuses.push(status(&answer));
                last = Some(answer);
            }
            if ending {
                visitors = Visitor::everybody(harness).await;
            }
            let bare = match *method {
                Method::GET => "-".to_owned(),
                _ => status(&visitors.last().unwrap().ask(harness, method, &path, false).await),
            };
            let number = headers.len() + 1;
            let number = *headers.entry(told(&last.unwrap().headers)).or_insert(number);
            lines.push(format!(
                "{method} {url}\n    {} | without CSRF {bare} | headers {number}",
                statuses.join(" ")
            ));
        }
        // Whatever is not listed is refused, with what is.
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            if !methods.contains(&method) && url != "/static/{file}" {
                let answer = visitors[0].ask(harness, &method, &rich.fill(&url), false).await;
                let allow: Vec<&str> = answer
                    .header("allow")
                    .split(", ")
                    .filter(|name| *name != "HEAD")
                    .collect();
                let known: Vec<&str> = methods.iter().map(Method::as_str).collect();
                assert_eq!((answer.status, allow), (405, known), "{method} {url}");
                told(&answer.headers);
            }
        }
    }
    let mut legend: Vec<(usize, String)> = headers.into_iter().map(|(line, number)| (number, line)).collect();
    legend.sort();
    let legend: Vec<String> = legend
        .into_iter()
        .map(|(number, line)| format!("{number}: {line}"))
        .collect();
    let who = WHO
        .map(|who| if who.is_empty() { "stranger" } else { who })
        .join(" ");
    let text = format!(
        "{who} | a form without the token | headers of the last\n\n{}\n\n{}",
        lines.join("\n"),
        legend.join("\n")
    );
    insta::assert_snapshot!(normal(harness, &text));
}

#[tokio::test]
async fn which_token_may_what_at_the_admin_api() {
    let rich = Rich::start().await;
    let harness = &rich.harness;
    let admin = at_console(harness, "admin").await.cookie_header();
    let tokens: Vec<String> = ApiScope::ALL
        .iter()
        .map(|scope| format!("Bearer {}", admin_api::token(harness, scope.as_str())))
        .collect();
    let mut lines = Vec::new();
    for operation in api::groups().into_iter().flat_map(|group| group.operations) {
        let method: Method = operation.method.as_str().parse().unwrap();
        let path = format!(
            "{}{}",
            api::BASE,
            operation
                .path
                .replace("{id}", "nothing")
                .replace("{chain}/{seq}", "0/1")
        );
        let ask = |name: reqwest::header::HeaderName, value: &str| {
            let mut request = harness
                .http
                .request(method.clone(), harness.url(&path))
                .header(name, value);
            if method != Method::GET {
                request = request.header(CONTENT_TYPE, "application/json").body("{}");
            }
            request.send()
        };
        let mut statuses = vec![status(&Answer::read(ask(COOKIE, &admin).await.unwrap()).await)];
        for token in &tokens {
            statuses.push(status(
                &Answer::read(ask(AUTHORIZATION, token).await.unwrap()).await,
            ));
        }
        lines.push(format!("{method} {} {}", operation.path, statuses.join(" ")));
    }
    lines.sort();
    let scopes = ApiScope::ALL.map(ApiScope::as_str).join(" ");
    insta::assert_snapshot!(format!(
        "administrator's-session {scopes}\n\n{}",
        lines.join("\n")
    ));
}
