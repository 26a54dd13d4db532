//! Clients: registered, changed, disabled, deleted.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::credentials::{PublicKeys, SecretStep};
use super::secrets::{self, Rotated};
use super::{
    Decided, Mistake, Mistakes, Omitted, Registry, Words, difference, display_name, identifier, mistake,
    object, organization, unchanged, uris, version_of,
};
use crate::audit::event::Kind as EventKind;
use crate::model::Organization;
use crate::model::client::{AuthMethod, Client, ClientSettings, Consent, GrantType, is_native};
use crate::model::kind::Kind;
use crate::model::resource_server::ResourceServer;
use crate::model::scope::ScopeSet;
use crate::model::secret::Secret;
use crate::model::security_label::Confidentiality;
use crate::model::signing::Algorithm;
use crate::policy::Askers;
use crate::policy::dataflow::Dataflow;
use crate::store::changes::ChangeKind;
use crate::store::{Stored, Tx, clients, resource_servers};

/// What is wanted of a client. What is left out stays as it is, or takes its default: mostly that of the dataflow.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientForm {
    /// `client_id`.
    pub client_id: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// The dataflow that it takes part in.
    pub dataflow: Option<String>,
    /// How it authenticates.
    pub auth_method: Option<AuthMethod>,
    /// Its secret; without it one is made, if it needs one.
    pub secret: Option<Secret>,
    /// Whether its secret must come the way that `auth_method` says.
    pub auth_method_strict: Option<bool>,
    /// Its public keys, as JSON text or as a table.
    #[schema(schema_with = super::form::text_or_table)]
    pub jwks: Option<Value>,
    /// Where its public keys are fetched.
    pub jwks_uri: Option<String>,
    /// The agency that runs it.
    pub organization: Option<Organization>,
    /// Ids of the resource servers it may use.
    pub resource_servers: Option<Vec<String>>,
    /// Redirect URIs.
    pub redirect_uris: Option<Vec<String>>,
    /// Where a browser may go after sign-out.
    pub post_logout_redirect_uris: Option<Vec<String>>,
    /// Where it is told that a session has ended; an empty text takes it away.
    pub backchannel_logout_uri: Option<String>,
    /// Whether it cannot do without `sid` in what it is told.
    pub backchannel_logout_session_required: Option<bool>,
    /// `grant_type` values; narrows the dataflow's.
    pub grants: Option<Words>,
    /// Scopes; narrows the dataflow's.
    pub scopes: Option<Words>,
    /// Purposes of use; narrows the dataflow's.
    pub purposes: Option<Words>,
    /// Whether a code needs PKCE.
    pub require_pkce: Option<bool>,
    /// Whether requests must be pushed (RFC 9126): not built yet.
    pub require_par: Option<bool>,
    /// Whether people are asked.
    pub consent: Option<Consent>,
    /// Whether each refresh makes a new refresh token.
    pub refresh_rotation: Option<bool>,
    /// Whether what the scopes release about a person stands in the ID token too.
    pub id_token_claims: Option<bool>,
    /// Origins of its browser code.
    pub cors_origins: Option<Vec<String>>,
    /// What its assertions may be signed with.
    pub signing_algs: Option<Vec<Algorithm>>,
    /// The highest confidentiality of its tokens.
    #[schema(value_type = Option<String>, examples("R"))]
    pub confidentiality: Option<Confidentiality>,
    /// Whether it is served.
    pub enabled: Option<bool>,
}

/// The page that registers clients stands where a client of this id would.
const NEW: &str = "new";

/// The resource servers that a client can be joined with.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Those that are registered.
    pub servers: &'a [ResourceServer],
    /// Ids of those whose own mistakes are told elsewhere.
    pub doubtful: &'a [String],
}

/// A client as it will be, checked.
#[derive(Debug, Clone)]
pub struct Draft {
    /// As it will be; its secrets are still the old ones.
    pub client: Client,
    before: Option<Client>,
    secret: SecretStep,
}

impl Draft {
    /// Whether it is new.
    pub fn is_new(&self) -> bool {
        self.before.is_none()
    }

    /// What changes, one line a setting; nothing if all is as it was.
    pub fn differences(&self) -> Vec<String> {
        let before = self.before.as_ref().map(view).unwrap_or_default();
        let mut lines = difference(&before, &view(&self.client));
        lines.extend(self.secret.name().map(|what| format!("secret {what}")));
        lines
    }
}

/// The settings of a client, as the record and the listings show them.
pub fn view(client: &Client) -> Map<String, Value> {
    let mut view = object(&client.settings);
    view.insert("name".to_owned(), json!(client.name));
    view.insert("dataflow".to_owned(), json!(client.dataflow));
    view.insert("enabled".to_owned(), json!(client.enabled));
    view
}

/// Checks a form against the policy and what is registered: `before` is the client of this id.
///
/// # Errors
/// Every mistake.
pub fn draft(
    registry: &Registry,
    form: &ClientForm,
    manner: Omitted,
    before: Option<&Client>,
    around: Around<'_>,
) -> Result<Draft, Vec<Mistake>> {
    let mut check = Check {
        registry,
        form,
        before,
        old: manner.kept(before.map(|client| &client.settings)),
        around,
        mistakes: Mistakes::default(),
    };
    let now = registry.app.now();
    let id = check.id();
    let name = display_name(form.name.as_deref(), before.map(|client| client.name.as_str()));
    let name = check.mistakes.take("name", name).unwrap_or_default();
    let dataflow = check.dataflow();
    let (auth_method, keys) = check.authentication();
    let settings = dataflow.map(|dataflow| check.settings(dataflow, auth_method, keys));
    let existing = before.map(|client| client.secrets.as_slice()).unwrap_or_default();
    let secret = SecretStep::decide(
        form.secret.as_ref(),
        auth_method.uses_secret(),
        existing,
        now,
        &mut check.mistakes,
    );
    let enabled = form
        .enabled
        .unwrap_or_else(|| before.is_none_or(|client| client.enabled));
    let mistakes = check.mistakes;
    // Without a dataflow there are mistakes, and no draft.
    let (Some(dataflow), Some(settings)) = (dataflow, settings) else {
        return Err(mistakes.0);
    };
    let client = Client {
        id,
        name,
        dataflow: dataflow.id.clone(),
        settings,
        enabled,
        generation: next_generation(before, enabled, now),
        created_at: before.map_or(now, |client| client.created_at),
        updated_at: now,
        secrets: existing.to_vec(),
    };
    mistakes.into_result(Draft {
        client,
        before: before.cloned(),
        secret,
    })
}

/// Disabling raises the generation. It begins with the second of registration, so that a client that is registered
/// anew under an old id does not revive the tokens of the old one.
fn next_generation(before: Option<&Client>, enabled: bool, now: i64) -> i64 {
    before.map_or(now, |client| {
        client.generation + i64::from(client.enabled && !enabled)
    })
}

/// A form on its way through the rules.
struct Check<'a> {
    registry: &'a Registry,
    form: &'a ClientForm,
    before: Option<&'a Client>,
    old: Option<&'a ClientSettings>,
    around: Around<'a>,
    mistakes: Mistakes,
}

impl<'a> Check<'a> {
    fn id(&mut self) -> String {
        let id = self.form.client_id.clone().unwrap_or_default();
        if id == NEW {
            self.mistakes.add(
                "client_id",
                format!("{id:?} is a path of the console; choose another"),
            );
        }
        if self.mistakes.take("client_id", identifier(&id)).is_some()
            && self.around.servers.iter().any(|server| server.id == id)
        {
            self.mistakes.add(
                "client_id",
                format!("{id:?} is the id of a resource server; the two share one namespace"),
            );
        }
        id
    }

    fn dataflow(&mut self) -> Option<&'a Dataflow> {
        let policy = &self.registry.app.policy;
        let named = self
            .form
            .dataflow
            .as_deref()
            .or(self.before.map(|client| client.dataflow.as_str()));
        let found = named.and_then(|id| policy.dataflow(id));
        if found.is_none() {
            let known: Vec<&str> = policy
                .dataflows()
                .iter()
                .map(|dataflow| dataflow.id.as_str())
                .collect();
            let known = known.join(", ");
            self.mistakes.add(
                "dataflow",
                match named {
                    Some(named) => format!("the policy has no dataflow {named:?}; it has {known}"),
                    None => format!("it is missing; the policy has {known}"),
                },
            );
        }
        found
    }

    fn authentication(&mut self) -> (AuthMethod, PublicKeys) {
        let form = self.form;
        let gives_keys = form.jwks.is_some() || form.jwks_uri.is_some();
        let method = form
            .auth_method
            .or(gives_keys.then_some(AuthMethod::PrivateKeyJwt))
            .or(self.old.map(|old| old.auth_method))
            .unwrap_or(AuthMethod::ClientSecretBasic);
        let given = PublicKeys::read(
            self.registry,
            form.jwks.as_ref(),
            form.jwks_uri.as_deref(),
            &mut self.mistakes,
        );
        if method != AuthMethod::PrivateKeyJwt {
            if given.is_some() {
                let key = if form.jwks.is_some() { "jwks" } else { "jwks_uri" };
                self.mistakes.add(
                    key,
                    format!(
                        "auth_method {} uses no keys; set private_key_jwt, or leave the keys out",
                        method.as_str()
                    ),
                );
            }
            return (method, PublicKeys::default());
        }
        let inherited = || {
            self.old.map(|old| PublicKeys {
                jwks: old.jwks.clone(),
                jwks_uri: old.jwks_uri.clone(),
            })
        };
        let keys = given.or_else(inherited).unwrap_or_default();
        if keys.is_empty() && !gives_keys {
            self.mistakes.add(
                "jwks_uri",
                "private_key_jwt needs the client's public keys: give jwks_uri or jwks",
            );
        }
        (method, keys)
    }

    fn settings(&mut self, dataflow: &Dataflow, auth_method: AuthMethod, keys: PublicKeys) -> ClientSettings {
        let (form, public) = (self.form, auth_method == AuthMethod::None);
        // Another dataflow brings its own defaults: what the old one allowed says nothing about it.
        let kept = self
            .old
            .filter(|_| self.before.is_some_and(|client| client.dataflow == dataflow.id));
        let grants = self.grants(dataflow, kept);
        let redirect_uris = self.redirect_uris("redirect_uris", public);
        self.check_public(public, &grants);
        if grants.contains(&GrantType::AuthorizationCode) && redirect_uris.is_empty() {
            self.mistakes
                .add("redirect_uris", "authorization_code needs at least one");
        }
        if form.require_par == Some(true) {
            self.mistakes.add(
                "require_par",
                "pushed authorization requests (RFC 9126) are not available yet; leave it out",
            );
        }
        let backchannel_logout_uri = self.backchannel_logout_uri();
        let consent = self.consent(&redirect_uris);
        ClientSettings {
            organization: organization(
                form.organization.as_ref(),
                self.old.and_then(|old| old.organization.as_ref()),
                &mut self.mistakes,
            ),
            auth_method,
            auth_method_strict: auth_method.uses_secret()
                && form
                    .auth_method_strict
                    .or(self.old.map(|old| old.auth_method_strict))
                    .unwrap_or(false),
            jwks: keys.jwks,
            jwks_uri: keys.jwks_uri,
            signing_algs: self.signing_algs(auth_method),
            resource_servers: self.resource_servers(dataflow, kept),
            redirect_uris,
            post_logout_redirect_uris: self.redirect_uris("post_logout_redirect_uris", public),
            backchannel_logout_session_required: self
                .logout_session_required(backchannel_logout_uri.is_some()),
            backchannel_logout_uri,
            scopes: self.scopes(dataflow, kept),
            purposes: self.purposes(dataflow, kept),
            grants,
            require_pkce: public
                || form
                    .require_pkce
                    .or(self.old.map(|old| old.require_pkce))
                    .unwrap_or(true),
            consent,
            refresh_rotation: public
                || form
                    .refresh_rotation
                    .or(self.old.map(|old| old.refresh_rotation))
                    .unwrap_or(true),
            id_token_claims: form
                .id_token_claims
                .or(self.old.map(|old| old.id_token_claims))
                .unwrap_or(false),
            cors_origins: self.cors_origins(),
            confidentiality: form
                .confidentiality
                .or(self.old.and_then(|old| old.confidentiality)),
        }
    }

    fn consent(&mut self, redirect_uris: &[String]) -> Consent {
        let consent = self
            .form
            .consent
            .or(self.old.map(|old| old.consent))
            .unwrap_or_default();
        let native = redirect_uris.iter().find(|uri| is_native(uri));
        if let (Consent::Skip, Some(uri)) = (consent, native) {
            self.mistakes.add(
                "consent",
                format!(
                    "skip is not for {uri:?}: any program on the person's machine can ask as this one does, so people are always asked (RFC 8252 section 8.6)"
                ),
            );
        }
        consent
    }

    fn signing_algs(&mut self, auth_method: AuthMethod) -> Vec<Algorithm> {
        if auth_method == AuthMethod::PrivateKeyJwt {
            let old = || self.old.map(|old| old.signing_algs.clone());
            return self.form.signing_algs.clone().or_else(old).unwrap_or_default();
        }
        if self
            .form
            .signing_algs
            .as_ref()
            .is_some_and(|given| !given.is_empty())
        {
            self.mistakes.add(
                "signing_algs",
                format!("auth_method {} signs nothing", auth_method.as_str()),
            );
        }
        Vec::new()
    }

    /// Public clients (RFC 6749 §2.1, RFC 9700 §2.1.1 and §2.2.2).
    fn check_public(&mut self, public: bool, grants: &[GrantType]) {
        if !public {
            return;
        }
        if grants.contains(&GrantType::ClientCredentials) {
            self.mistakes.add(
                "auth_method",
                "none proves nothing, so client_credentials is not for public clients (RFC 6749 section 4.4)",
            );
        } else if !grants.contains(&GrantType::AuthorizationCode) {
            self.mistakes.add(
                "auth_method",
                "none is only for clients that use authorization_code",
            );
        }
        if self.form.require_pkce == Some(false) {
            self.mistakes.add(
                "require_pkce",
                "public clients always need PKCE (RFC 9700 section 2.1.1)",
            );
        }
        if self.form.refresh_rotation == Some(false) {
            self.mistakes.add(
                "refresh_rotation",
                "the refresh tokens of public clients always rotate (RFC 9700 section 2.2.2)",
            );
        }
    }

    fn grants(&mut self, dataflow: &Dataflow, kept: Option<&ClientSettings>) -> Vec<GrantType> {
        let Some(words) = &self.form.grants else {
            if let Some(kept) = kept {
                return kept.grants.clone();
            }
            if dataflow.as_written {
                self.mistakes.add(
                    "grants",
                    format!(
                        "the dataflow {} brings none: list authorization_code, refresh_token or client_credentials",
                        dataflow.id
                    ),
                );
            }
            return dataflow
                .grants
                .iter()
                .filter_map(|grant| GrantType::parse(grant))
                .collect();
        };
        let mut grants = Vec::new();
        for word in words.words() {
            match GrantType::parse(&word) {
                None => self.mistakes.add(
                    "grants",
                    format!("{word:?} is not one of authorization_code, refresh_token, client_credentials"),
                ),
                Some(_) if !dataflow.as_written && !dataflow.grants.contains(&word) => {
                    self.mistakes.add(
                        "grants",
                        format!(
                            "{word} is beyond the dataflow {}, which has {}",
                            dataflow.id,
                            dataflow.grants.join(" ")
                        ),
                    );
                }
                Some(grant) => grants.push(grant),
            }
        }
        if words.words().is_empty() {
            self.mistakes.add("grants", "the list is empty");
        }
        if grants.contains(&GrantType::RefreshToken) && !grants.contains(&GrantType::AuthorizationCode) {
            self.mistakes.add(
                "grants",
                "refresh_token comes from authorization_code, which is not listed",
            );
        }
        grants
    }

    fn scopes(&mut self, dataflow: &Dataflow, kept: Option<&ClientSettings>) -> Option<ScopeSet> {
        let Some(words) = &self.form.scopes else {
            let kept = kept.and_then(|kept| kept.scopes.clone());
            if dataflow.as_written && kept.is_none() {
                self.mistakes.add(
                    "scopes",
                    format!("the dataflow {} brings none: list them", dataflow.id),
                );
            }
            return kept;
        };
        let parsed = words
            .words()
            .join(" ")
            .parse::<ScopeSet>()
            .map_err(|cause| cause.to_string());
        let scopes = self.mistakes.take("scopes", parsed)?;
        if scopes.is_empty() {
            self.mistakes.add(
                "scopes",
                "the list is empty; leave the key out for all that the dataflow allows",
            );
        }
        let policy = &self.registry.app.policy;
        for scope in scopes.iter() {
            let name = scope.to_string();
            if policy
                .named_scope(&name)
                .is_some_and(|named| named.askers == Askers::None)
            {
                self.mistakes
                    .add("scopes", format!("{name} is never granted to a client"));
            } else if !dataflow.as_written && !scope.within(&dataflow.scopes).contains(scope) {
                self.mistakes.add(
                    "scopes",
                    format!(
                        "{name} is beyond the dataflow {}, which has {}",
                        dataflow.id, dataflow.scopes
                    ),
                );
            }
        }
        Some(scopes)
    }

    fn purposes(&mut self, dataflow: &Dataflow, kept: Option<&ClientSettings>) -> Option<Vec<String>> {
        let Some(purposes) = self
            .registry
            .purposes(self.form.purposes.as_ref(), &mut self.mistakes)
        else {
            return kept.and_then(|kept| kept.purposes.clone());
        };
        if purposes.is_empty() && dataflow.purpose_required {
            self.mistakes.add(
                "purposes",
                format!(
                    "the dataflow {} needs at least one of {}",
                    dataflow.id,
                    dataflow.purposes.join(" ")
                ),
            );
        }
        for code in purposes
            .iter()
            .filter(|code| !dataflow.as_written && !dataflow.purposes.contains(code))
        {
            if self.registry.app.policy.vocabulary().is_purpose_of_use(code) {
                self.mistakes.add(
                    "purposes",
                    format!(
                        "{code} is beyond the dataflow {}, which has {}",
                        dataflow.id,
                        dataflow.purposes.join(" ")
                    ),
                );
            }
        }
        Some(purposes)
    }

    fn resource_servers(&mut self, dataflow: &Dataflow, kept: Option<&ClientSettings>) -> Vec<String> {
        // As in the grant: nothing is known of a server of kind other, so an administrator may join it with anything.
        let fits = |server: &ResourceServer| {
            server.settings.kind == Kind::Other || dataflow.serves(server.settings.kind)
        };
        let Some(given) = self
            .form
            .resource_servers
            .as_ref()
            .or(kept.map(|kept| &kept.resource_servers))
        else {
            return self.only_resource_server(dataflow);
        };
        for id in given.iter().filter(|id| !self.around.doubtful.contains(id)) {
            match self.around.servers.iter().find(|server| server.id == *id) {
                None => self.mistakes.add(
                    "resource_servers",
                    format!("no resource server has the id {id:?}"),
                ),
                Some(server) if !fits(server) => {
                    let kinds: Vec<&str> = dataflow
                        .resource_servers
                        .iter()
                        .map(|kind| kind.as_str())
                        .collect();
                    let text = format!(
                        "{id} is of the kind {}; the dataflow {} goes to {}",
                        server.settings.kind,
                        dataflow.id,
                        kinds.join(", ")
                    );
                    self.mistakes.add("resource_servers", text);
                }
                Some(_) => {}
            }
        }
        let mut unique = Vec::new();
        for id in given {
            if !unique.contains(id) {
                unique.push(id.clone());
            }
        }
        unique
    }

    /// Where none is named, the only one that the dataflow can mean.
    fn only_resource_server(&mut self, dataflow: &Dataflow) -> Vec<String> {
        if dataflow.as_written {
            return Vec::new();
        }
        let fitting: Vec<&str> = self
            .around
            .servers
            .iter()
            .filter(|server| dataflow.serves(server.settings.kind))
            .map(|server| server.id.as_str())
            .collect();
        match fitting.as_slice() {
            [only] => return vec![(*only).to_owned()],
            [] if !self.around.doubtful.is_empty() => {}
            [] => {
                let kinds: Vec<&str> = dataflow
                    .resource_servers
                    .iter()
                    .map(|kind| kind.as_str())
                    .collect();
                let text = format!(
                    "none is named, and none of the kind {} is registered: register it first",
                    kinds.join(" or ")
                );
                self.mistakes.add("resource_servers", text);
            }
            several => self.mistakes.add(
                "resource_servers",
                format!("name those that it may use: {}", several.join(", ")),
            ),
        }
        Vec::new()
    }

    fn redirect_uris(&mut self, key: &'static str, public: bool) -> Vec<String> {
        let (given, old) = match key {
            "redirect_uris" => (&self.form.redirect_uris, self.old.map(|old| &old.redirect_uris)),
            _ => (
                &self.form.post_logout_redirect_uris,
                self.old.map(|old| &old.post_logout_redirect_uris),
            ),
        };
        let uris = given.as_ref().or(old).cloned().unwrap_or_default();
        for uri in &uris {
            self.mistakes.take(key, uris::redirect(uri, public));
        }
        uris
    }

    fn backchannel_logout_uri(&mut self) -> Option<String> {
        const KEY: &str = "backchannel_logout_uri";
        let Some(given) = &self.form.backchannel_logout_uri else {
            return self.old.and_then(|old| old.backchannel_logout_uri.clone());
        };
        (!given.is_empty())
            .then(|| self.mistakes.take(KEY, uris::told_by_us(self.registry, given)))
            .flatten()
    }

    fn logout_session_required(&mut self, has_uri: bool) -> bool {
        let given = self.form.backchannel_logout_session_required;
        if given == Some(true) && !has_uri {
            self.mistakes.add(
                "backchannel_logout_session_required",
                "it says something only beside backchannel_logout_uri",
            );
        }
        has_uri
            && given
                .or(self.old.map(|old| old.backchannel_logout_session_required))
                .unwrap_or(false)
    }

    fn cors_origins(&mut self) -> Vec<String> {
        let origins = self
            .form
            .cors_origins
            .clone()
            .or_else(|| self.old.map(|old| old.cors_origins.clone()))
            .unwrap_or_default();
        for origin in &origins {
            self.mistakes.take("cors_origins", uris::origin(origin));
        }
        origins
    }
}

/// Writes a draft. Answers a secret that was made.
pub fn write(registry: &Registry, tx: &mut Tx<'_>, draft: &Draft) -> Stored<Option<Secret>> {
    let Draft {
        client,
        before,
        secret,
    } = draft;
    clients::put(tx.conn(), client)?;
    let made = secrets::take(registry, tx, &client.id, &client.secrets, secret)?;
    let action = match before {
        None => "registered",
        Some(before) if before.enabled && !client.enabled => "disabled",
        Some(before) if !before.enabled && client.enabled => "enabled",
        Some(_) => "changed",
    };
    let mut event = registry
        .event(EventKind::ClientChanged, action)
        .client(&client.id);
    if let Some(before) = before {
        event = event.with("before", Value::Object(view(before)).to_string());
    }
    if let Some(what) = secret.name() {
        event = event.with("secret", what);
    }
    tx.audit(event.with("after", Value::Object(view(client)).to_string()));
    registry.tell(tx, ChangeKind::Client, &client.id);
    Ok(made)
}

pub(super) fn found(tx: &mut Tx<'_>, id: &str) -> Decided<Client> {
    Ok(match clients::find(tx.conn(), id)? {
        Some(client) => Ok(client),
        None => mistake("client_id", format!("no client has the id {id:?}")),
    })
}

/// Registers a client that does not exist yet. Answers it with a secret that was made.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn register(
    registry: &Registry,
    tx: &mut Tx<'_>,
    form: &ClientForm,
) -> Decided<(Client, Option<Secret>)> {
    let id = form.client_id.clone().unwrap_or_default();
    if clients::find(tx.conn(), &id)?.is_some() {
        return Ok(mistake(
            "client_id",
            format!("{id:?} is registered already; `mdi-auth apply` changes it"),
        ));
    }
    let servers = resource_servers::all(tx.conn())?;
    let draft = good!(draft(
        registry,
        form,
        Omitted::Keeps,
        None,
        Around {
            servers: &servers,
            doubtful: &[]
        }
    ));
    let made = write(registry, tx, &draft)?;
    Ok(Ok((draft.client, made)))
}

/// Names the state of a client; see [`change`].
pub fn version(client: &Client) -> String {
    version_of(&view(client), &client.generation.to_string())
}

/// Changes a client; `expected` is the [`version`] that whoever changes it has seen. Answers it with a secret that was
/// made.
///
/// # Errors
/// As [`register`]; a mistake with the key [`VERSION`](super::VERSION) when it is another one by now.
pub fn change(
    registry: &Registry,
    tx: &mut Tx<'_>,
    form: &ClientForm,
    manner: Omitted,
    expected: Option<&str>,
) -> Decided<(Client, Option<Secret>)> {
    let before = good!(found(tx, form.client_id.as_deref().unwrap_or_default())?);
    good!(unchanged(expected, &version(&before)));
    let servers = resource_servers::all(tx.conn())?;
    let around = Around {
        servers: &servers,
        doubtful: &[],
    };
    let draft = good!(draft(registry, form, manner, Some(&before), around));
    if draft.differences().is_empty() {
        return Ok(Ok((before, None)));
    }
    let made = write(registry, tx, &draft)?;
    Ok(Ok((draft.client, made)))
}

/// Disables or enables. Answers whether that changed anything.
pub fn set_enabled(registry: &Registry, tx: &mut Tx<'_>, id: &str, enabled: bool) -> Decided<bool> {
    let before = good!(found(tx, id)?);
    if before.enabled == enabled {
        return Ok(Ok(false));
    }
    let now = registry.app.now();
    let client = Client {
        enabled,
        generation: next_generation(Some(&before), enabled, now),
        updated_at: now,
        ..before.clone()
    };
    write(
        registry,
        tx,
        &Draft {
            client,
            before: Some(before),
            secret: SecretStep::Keep,
        },
    )?;
    Ok(Ok(true))
}

/// Makes a new secret; see [`secrets`].
pub fn rotate_secret(
    registry: &Registry,
    tx: &mut Tx<'_>,
    id: &str,
    overlap_seconds: i64,
) -> Decided<Rotated> {
    let client = good!(found(tx, id)?);
    let method = client.settings.auth_method;
    if !method.uses_secret() {
        return Ok(mistake(
            "client_id",
            format!("{id} authenticates by {} and has no secret", method.as_str()),
        ));
    }
    let rotated = secrets::rotate(registry, tx, id, &client.secrets, overlap_seconds)?;
    Ok(rotated.map(|(rotated, event)| {
        tx.audit(event.client(id));
        registry.tell(tx, ChangeKind::Client, id);
        rotated
    }))
}

/// Deletes a client with its grants, tokens and remembered consents.
pub fn delete(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<()> {
    let client = good!(found(tx, id)?);
    clients::delete(tx.conn(), id)?;
    let event = registry.event(EventKind::ClientChanged, "deleted").client(id);
    tx.audit(event.with("before", Value::Object(view(&client)).to_string()));
    registry.tell(tx, ChangeKind::Client, id);
    Ok(Ok(()))
}
