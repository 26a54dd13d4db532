//! A browser without a window: cookies, hidden fields, redirects, no script. What a person does at the pages.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE, USER_AGENT};
use url::Url;

use super::{Answer, Harness};

/// One browser.
pub struct Agent<'a> {
    harness: &'a Harness,
    pub cookies: BTreeMap<String, String>,
    /// What the browser calls itself.
    pub name: &'static str,
    /// Every redirect that was followed or met.
    pub hops: Vec<String>,
}

/// Where the browser came to rest.
#[derive(Debug)]
pub enum Page {
    /// A page of the server: where, and what it says.
    Ours { url: String, answer: Answer },
    /// A redirect to somebody else, not followed.
    Elsewhere(Url),
}

impl Page {
    pub fn answer(&self) -> &Answer {
        match self {
            Self::Ours { answer, .. } => answer,
            Self::Elsewhere(url) => panic!("the browser was sent to {url}"),
        }
    }

    pub fn elsewhere(&self) -> &Url {
        match self {
            Self::Elsewhere(url) => url,
            Self::Ours { url, answer } => panic!("still at {url}: {}", answer.text),
        }
    }

    /// A parameter of the redirect to the client.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.elsewhere()
            .query_pairs()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The path of the form that the page asks to be sent, or the path of the page.
    pub fn at(&self) -> &str {
        match self {
            Self::Ours { url, .. } => url.split('?').next().unwrap(),
            Self::Elsewhere(_) => "elsewhere",
        }
    }
}

impl<'a> Agent<'a> {
    pub fn new(harness: &'a Harness) -> Self {
        Self {
            harness,
            cookies: BTreeMap::new(),
            name: "",
            hops: Vec::new(),
        }
    }

    pub async fn get(&mut self, url: &str) -> Page {
        self.follow(self.harness.http.get(url)).await
    }

    /// Sends the first form of a page: its hidden fields, and what the person filled in.
    pub async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let form = forms(page)
            .into_iter()
            .find(|form| !form.contains("action=\"/account/sign-out\""));
        let action = attribute(&form.expect("a form"), "action").unwrap();
        self.submit_to(page, &action, fields).await
    }

    /// Sends the form of a page that leads to `action`.
    pub async fn submit_to(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.filled_in(page, action, fields);
        self.follow(request).await
    }

    /// The same with the first form that contains `part`.
    pub async fn submit_form(&mut self, page: &Page, part: &str, fields: &[(&str, &str)]) -> Page {
        let form = forms(page).into_iter().find(|form| form.contains(part));
        let form = form.unwrap_or_else(|| panic!("no form with {part}"));
        let action = attribute(&form, "action").unwrap();
        let mut sent: Vec<(String, String)> = hidden_fields(&form);
        sent.extend(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        self.post(&action, &sent).await
    }

    /// Posts a form, whatever the page had.
    pub async fn post(&mut self, path: &str, form: &[(String, String)]) -> Page {
        let request = self
            .harness
            .http
            .post(self.harness.url(path))
            .header(ORIGIN, &self.harness.issuer)
            .form(form);
        self.follow(request).await
    }

    /// Sends the form of a page that takes a file (`multipart/form-data`, RFC 7578): its hidden fields, then the file.
    pub async fn upload(&mut self, page: &Page, action: &str, file: &[u8]) -> Page {
        const MARK: &str = "----mark-of-a-form";
        let to = format!(" action=\"{action}\"");
        let form = forms(page)
            .into_iter()
            .find(|form| form.contains(&to))
            .expect("a form");
        let mut body = Vec::new();
        for (name, value) in hidden_fields(&form) {
            body.extend(
                format!("--{MARK}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                    .bytes(),
            );
        }
        body.extend(
            format!("--{MARK}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"people.csv\"\r\nContent-Type: text/csv\r\n\r\n")
                .bytes(),
        );
        body.extend(file);
        body.extend(format!("\r\n--{MARK}--\r\n").bytes());
        let request = self
            .harness
            .http
            .post(self.harness.url(action))
            .header(ORIGIN, &self.harness.issuer)
            .header("Content-Type", format!("multipart/form-data; boundary={MARK}"))
            .body(body);
        self.follow(request).await
    }

    /// The form of a page that leads to `action`, filled in and not sent yet; without the cookies.
    pub fn filled_in(&self, page: &Page, action: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let to = format!(" action=\"{action}\"");
        let form = forms(page).into_iter().find(|form| form.contains(&to));
        let form = form.unwrap_or_else(|| panic!("no form leads to {action}: {}", page.answer().text));
        // What the person fills in takes the place of what is hidden.
        let mut form: Vec<(String, String)> = hidden_fields(&form);
        form.retain(|(name, _)| fields.iter().all(|(filled, _)| filled != name || name == "scope"));
        form.extend(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        self.harness
            .http
            .post(self.harness.url(action))
            .header(ORIGIN, &self.harness.issuer)
            .form(&form)
    }

    /// The cookies as they are sent.
    pub fn cookie_header(&self) -> String {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        cookies.join("; ")
    }

    async fn follow(&mut self, mut request: reqwest::RequestBuilder) -> Page {
        for _ in 0..12 {
            let named = request
                .header(COOKIE, self.cookie_header())
                .header(USER_AGENT, self.name);
            let response = named.send().await.unwrap();
            let url = response.url().to_string();
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
            if response.status() != 303 {
                let path = url.strip_prefix(&self.harness.issuer).unwrap().to_owned();
                return Page::Ours {
                    url: path,
                    answer: Answer::read(response).await,
                };
            }
            let location = response.headers()[LOCATION].to_str().unwrap().to_owned();
            self.hops.push(location.clone());
            let next = Url::parse(&url).unwrap().join(&location).unwrap();
            if !next.as_str().starts_with(&self.harness.issuer) {
                return Page::Elsewhere(next);
            }
            request = self.harness.http.get(next);
        }
        panic!("too many redirects: {:?}", self.hops);
    }

    /// Signs in with password and, where the page asks for it, the code of now. Ends at consent or at the client.
    pub async fn sign_in(&mut self, page: Page, username: &str, password: &str) -> Page {
        let page = self
            .submit(&page, &[("username", username), ("password", password)])
            .await;
        if page.at() == "/login/second-factor" {
            let code = totp(self.harness.now());
            return self
                .submit_to(&page, "/login/second-factor", &[("totp", &code)])
                .await;
        }
        page
    }

    /// Ticks everything and approves.
    pub async fn approve(&mut self, page: &Page) -> Page {
        let text = &page.answer().text;
        let boxes = inputs(text).filter(|tag| tag.contains("type=\"checkbox\""));
        let boxes: Vec<(String, String)> = boxes
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
            .collect();
        let mut fields: Vec<(&str, &str)> = boxes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        fields.push(("decision", "approve"));
        self.submit(page, &fields).await
    }
}

/// The one-time code of a moment for the personas' secret.
pub fn totp(at: i64) -> String {
    let totp = totp_rs::Builder::new()
        .with_secret(b"12345678901234567890".to_vec())
        .build()
        .unwrap();
    totp.generate(u64::try_from(at).unwrap()).to_string()
}

/// The forms of a page, from tag to tag.
fn forms(page: &Page) -> Vec<String> {
    let parts = page.answer().text.split("<form").skip(1);
    parts
        .map(|rest| format!("<form{}", &rest[..rest.find("</form>").unwrap()]))
        .collect()
}

/// The options of the passkey ceremony of a page: `create` or `get`.
pub fn ceremony(page: &Page, kind: &str) -> serde_json::Value {
    let mark = format!(" data-passkey=\"{kind}\"");
    let form = forms(page).into_iter().find(|form| form.contains(&mark));
    let form = form.unwrap_or_else(|| panic!("no passkey to {kind}: {}", page.answer().text));
    serde_json::from_str(&attribute(&form, "data-options").unwrap()).unwrap()
}

pub fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let end = start + tag[start..].find('"')?;
    Some(unescape(&tag[start..end]))
}

pub fn unescape(text: &str) -> String {
    text.replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
}

fn inputs(text: &str) -> impl Iterator<Item = &str> {
    text.split("<input")
        .skip(1)
        .map(|rest| &rest[..rest.find('>').unwrap()])
}

/// The hidden fields of a page, or of a part of it.
pub fn hidden_fields(text: &str) -> Vec<(String, String)> {
    inputs(text)
        .filter(|tag| tag.contains("type=\"hidden\""))
        .map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap()))
        .collect()
}

/// The values of the checkboxes that can be ticked.
pub fn checkboxes(text: &str) -> Vec<String> {
    inputs(text)
        .filter(|tag| tag.contains("type=\"checkbox\""))
        .filter_map(|tag| attribute(tag, "value"))
        .collect()
}

/// A hidden field of a page.
pub fn hidden(page: &Page, name: &str) -> String {
    let tag = page
        .answer()
        .text
        .split("<input")
        .find(|tag| tag.contains(&format!("name=\"{name}\"")))
        .unwrap();
    tag.split("value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned()
}

/// The cookies of a browser, as it sends them.
pub fn cookies(agent: &Agent<'_>) -> String {
    agent
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("; ")
}
