//! The samples of the hand-off sheet, made for one client: to be pasted into a shell or a program of the vendor's. None
//! holds a secret: it stands in the environment of whoever runs them.

use askama::Template;
use url::form_urlencoded;

use crate::app::App;
use crate::model::client::{AuthMethod, Client, GrantType};
use crate::policy::dataflow::Dataflow;
use crate::tls::CA_FILE;

/// One sample.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Which language or tool.
    pub title: &'static str,
    /// The text.
    pub text: String,
}

/// What the samples say of a client.
#[derive(Debug, Clone)]
struct Facts {
    issuer: String,
    token_endpoint: String,
    authorization_endpoint: String,
    client_id: String,
    scope: String,
    scopes: Vec<String>,
    audience: Option<String>,
    redirect_uri: String,
    redirect_path: String,
    authorize_url: String,
    own_ca: bool,
    ca_option: String,
    in_form: bool,
    by_key: bool,
    public: bool,
}

macro_rules! sample {
    ($name:ident, $path:literal) => {
        #[derive(Template)]
        #[template(path = $path, escape = "none")]
        struct $name<'a> {
            facts: &'a Facts,
        }
    };
}
sample!(SecretShell, "../admin/samples/secret.sh.txt");
sample!(SecretCSharp, "../admin/samples/secret.cs.txt");
sample!(SecretJava, "../admin/samples/secret.java.txt");
sample!(SecretPython, "../admin/samples/secret.py.txt");
sample!(KeyShell, "../admin/samples/key.sh.txt");
sample!(KeyCSharp, "../admin/samples/key.cs.txt");
sample!(KeyJava, "../admin/samples/key.java.txt");
sample!(KeyPython, "../admin/samples/key.py.txt");
sample!(PeopleShell, "../admin/samples/people.sh.txt");
sample!(PeopleCSharp, "../admin/samples/people.cs.txt");
sample!(PeopleJava, "../admin/samples/people.java.txt");
sample!(PeopleJavaCode, "../admin/samples/people_code.java.txt");
sample!(PeoplePython, "../admin/samples/people.py.txt");

/// What the templates of the samples make of texts that somebody has registered.
mod filters {
    use std::fmt::Display;

    use askama::Values;

    /// Inside single quotes of a shell, behind a prefix.
    #[askama::filter_fn]
    pub(super) fn sh(text: impl Display, _: &dyn Values, prefix: &str) -> askama::Result<String> {
        Ok(format!("{prefix}{text}").replace('\'', "'\\''"))
    }

    /// Inside double quotes of C#, Java, Python and YAML.
    #[askama::filter_fn]
    pub(super) fn quoted(text: impl Display, _: &dyn Values) -> askama::Result<String> {
        Ok(text.to_string().replace('\\', "\\\\").replace('"', "\\\""))
    }
}

impl Facts {
    fn of(app: &App, client: &Client, flow: &Dataflow) -> Self {
        let settings = &client.settings;
        let scopes = flow.ceiling(settings.scopes.as_ref()).without_doubles();
        let audience = match settings.resource_servers.as_slice() {
            [] => None,
            [first, ..] => app
                .live
                .resource_server(first)
                .map(|live| live.server.settings.audience.clone()),
        };
        let redirect_uri = settings.redirect_uris.first().cloned().unwrap_or_default();
        let redirect_path = url::Url::parse(&redirect_uri)
            .map_or_else(|_| "/callback".to_owned(), |url| url.path().to_owned());
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", &redirect_uri)
            .append_pair("scope", &scopes.to_string())
            .append_pair("state", "STATE")
            .append_pair("nonce", "NONCE")
            .append_pair("code_challenge", "CODE_CHALLENGE")
            .append_pair("code_challenge_method", "S256");
        if let Some(audience) = &audience {
            query.append_pair("aud", audience);
        }
        let own_ca = app.config.server.tls.is_none();
        Self {
            issuer: app.issuer().to_owned(),
            token_endpoint: app.url("/oauth2/token"),
            authorization_endpoint: app.url("/oauth2/authorize"),
            client_id: client.id.clone(),
            scope: scopes.to_string(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            audience,
            redirect_uri,
            redirect_path,
            authorize_url: format!("{}?{}", app.url("/oauth2/authorize"), query.finish()),
            own_ca,
            ca_option: if own_ca {
                format!(" --cacert {CA_FILE}")
            } else {
                String::new()
            },
            in_form: settings.auth_method == AuthMethod::ClientSecretPost,
            by_key: settings.auth_method == AuthMethod::PrivateKeyJwt,
            public: client.is_public(),
        }
    }
}

/// The samples for a client: of the way in which it gets tokens.
pub fn of(app: &App, client: &Client, flow: &Dataflow) -> Vec<Sample> {
    let facts = &Facts::of(app, client, flow);
    let by_itself = client.may_use(GrantType::ClientCredentials);
    let rendered: Vec<(&str, askama::Result<String>)> = match (by_itself, facts.by_key) {
        (true, false) => vec![
            ("curl", SecretShell { facts }.render()),
            ("C#", SecretCSharp { facts }.render()),
            ("Java", SecretJava { facts }.render()),
            ("Python", SecretPython { facts }.render()),
        ],
        (true, true) => vec![
            ("curl", KeyShell { facts }.render()),
            ("C#", KeyCSharp { facts }.render()),
            ("Java", KeyJava { facts }.render()),
            ("Python", KeyPython { facts }.render()),
        ],
        (false, _) => vec![
            ("curl", PeopleShell { facts }.render()),
            ("C#", PeopleCSharp { facts }.render()),
            ("Java (Spring Boot), settings", PeopleJava { facts }.render()),
            ("Java (Spring Boot), program", PeopleJavaCode { facts }.render()),
            ("Python", PeoplePython { facts }.render()),
        ],
    };
    rendered
        .into_iter()
        .filter_map(|(title, text)| {
            Some(Sample {
                title,
                text: text.ok()?,
            })
        })
        .collect()
}
