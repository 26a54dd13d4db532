//! Resource servers: registered, changed, disabled, deleted.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::credentials::{PublicKeys, SecretStep};
use super::keys::{self, Spare};
use super::secrets::{self, Rotated};
use super::uris::{self, without_slash};
use super::{
    Decided, Mistake, Mistakes, Omitted, Registry, Words, difference, display_name, identifier, mistake,
    object, unchanged, version_of,
};
use crate::audit::event::Kind as EventKind;
use crate::model::kind::Kind;
use crate::model::resource_server::{Introspect, ResourceServer, ResourceServerSettings, TokenFormat};
use crate::model::scope::{ScopeSet, ScopeStyle};
use crate::model::secret::Secret;
use crate::model::signing::Algorithm;
use crate::store::changes::ChangeKind;
use crate::store::{Stored, Tx, clients, resource_servers};

/// Ids that paths of ours have in the place of one: those of FHIR, and that of the console's form.
const RESERVED: [&str; 5] = ["CodeSystem", "ValueSet", "AuditEvent", "metadata", "new"];

/// What is wanted of a resource server. What is left out stays as it is, or takes its default.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceServerForm {
    /// Its id, and its `client_id` for introspection.
    pub id: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// Its FHIR base.
    pub audience: Option<String>,
    /// The secret for introspection; without it and without keys one is made.
    pub secret: Option<Secret>,
    /// `jwt` or `opaque`.
    pub token_format: Option<TokenFormat>,
    /// `at+jwt` or `JWT`.
    pub token_typ: Option<String>,
    /// The algorithm that signs its tokens.
    pub signing_alg: Option<Algorithm>,
    /// How SMART scopes are spelled.
    pub scope_style: Option<ScopeStyle>,
    /// Spellings of single scopes.
    pub scope_map: Option<BTreeMap<String, String>>,
    /// Whose tokens it may ask about.
    pub introspect: Option<Introspect>,
    /// What sort of system it is.
    pub kind: Option<Kind>,
    /// Its catalogue.
    pub scopes: Option<Words>,
    /// Its public keys, as JSON text or as a table.
    #[schema(schema_with = super::form::text_or_table)]
    pub jwks: Option<Value>,
    /// Where its public keys are fetched.
    pub jwks_uri: Option<String>,
    /// Whether it is served.
    pub enabled: Option<bool>,
}

/// A resource server as it will be, checked.
#[derive(Debug, Clone)]
pub struct Draft {
    /// As it will be; its secrets are still the old ones.
    pub server: ResourceServer,
    before: Option<ResourceServer>,
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
        let mut lines = difference(&before, &view(&self.server));
        lines.extend(self.secret.name().map(|what| format!("secret {what}")));
        lines
    }

    /// The algorithm for which a signing key is needed.
    pub fn signing_alg(&self) -> Option<Algorithm> {
        let settings = &self.server.settings;
        (settings.token_format == TokenFormat::Jwt).then_some(settings.signing_alg)
    }
}

/// The settings of a resource server, as the record and the listings show them.
pub fn view(server: &ResourceServer) -> Map<String, Value> {
    let mut view = object(&server.settings);
    view.insert("name".to_owned(), json!(server.name));
    view.insert("audience".to_owned(), json!(server.audience));
    view.insert("enabled".to_owned(), json!(server.enabled));
    view
}

/// Checks a form against what is registered: `before` is the server of this id, `others` are all servers, and
/// `client_exists` says whether a client has the id.
///
/// # Errors
/// Every mistake.
pub fn draft(
    registry: &Registry,
    form: &ResourceServerForm,
    manner: Omitted,
    before: Option<&ResourceServer>,
    others: &[ResourceServer],
    client_exists: bool,
) -> Result<Draft, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let now = registry.app.now();
    let id = form.id.clone().unwrap_or_default();
    check_id(&id, client_exists, &mut mistakes);
    let name = mistakes.take(
        "name",
        display_name(form.name.as_deref(), before.map(|server| server.name.as_str())),
    );
    let audience = form
        .audience
        .clone()
        .or_else(|| before.map(|server| server.audience.clone()));
    let audience = mistakes.take(
        "audience",
        audience.ok_or_else(|| "it is missing: the FHIR base of the server".to_owned()),
    );
    if let Some(audience) = &audience {
        let checked = uris::audience(audience).and_then(|()| unique(registry, &id, audience, others));
        mistakes.take("audience", checked);
    }
    let existing = before.map(|server| server.secrets.as_slice()).unwrap_or_default();
    let old = manner.kept(before.map(|server| &server.settings));
    let (keys, by_secret) = public_keys(registry, form, old, &mut mistakes);
    let secret = SecretStep::decide(form.secret.as_ref(), by_secret, existing, now, &mut mistakes);
    let settings = settings(form, old, keys, &mut mistakes);
    let enabled = form
        .enabled
        .unwrap_or_else(|| before.is_none_or(|server| server.enabled));
    let server = ResourceServer {
        id,
        name: name.unwrap_or_default(),
        audience: audience.unwrap_or_default(),
        settings,
        enabled,
        generation: next_generation(before, enabled, now),
        created_at: before.map_or(now, |server| server.created_at),
        updated_at: now,
        secrets: existing.to_vec(),
    };
    mistakes.into_result(Draft {
        server,
        before: before.cloned(),
        secret,
    })
}

/// Its keys, and whether it proves itself by secret instead: what the form gives takes the place of the other.
fn public_keys(
    registry: &Registry,
    form: &ResourceServerForm,
    old: Option<&ResourceServerSettings>,
    mistakes: &mut Mistakes,
) -> (PublicKeys, bool) {
    if let Some(keys) = PublicKeys::read(registry, form.jwks.as_ref(), form.jwks_uri.as_deref(), mistakes) {
        return (keys, false);
    }
    let keys = old
        .filter(|_| form.secret.is_none())
        .map_or_else(PublicKeys::default, |old| PublicKeys {
            jwks: old.jwks.clone(),
            jwks_uri: old.jwks_uri.clone(),
        });
    let by_secret = keys.is_empty();
    (keys, by_secret)
}

fn check_id(id: &str, client_exists: bool, mistakes: &mut Mistakes) {
    if mistakes.take("id", identifier(id)).is_none() {
        return;
    }
    if RESERVED.contains(&id) {
        mistakes.add("id", format!("{id:?} is a path of this server; choose another"));
    }
    if client_exists {
        mistakes.add(
            "id",
            format!("{id:?} is the id of a client; the two share one namespace"),
        );
    }
}

fn unique(registry: &Registry, id: &str, audience: &str, others: &[ResourceServer]) -> Result<(), String> {
    let same = |other: &str| without_slash(other) == without_slash(audience);
    if same(registry.app.issuer()) {
        return Err(format!("{audience:?} is this authorization server itself"));
    }
    match others
        .iter()
        .find(|other| other.id != id && same(&other.audience))
    {
        Some(other) => Err(format!("{audience:?} is already the audience of {}", other.id)),
        None => Ok(()),
    }
}

/// Disabling raises the generation. It begins with the second of registration, so that whoever is registered anew
/// under an old id does not revive the tokens of the old one.
fn next_generation(before: Option<&ResourceServer>, enabled: bool, now: i64) -> i64 {
    before.map_or(now, |server| {
        server.generation + i64::from(server.enabled && !enabled)
    })
}

fn settings(
    form: &ResourceServerForm,
    before: Option<&ResourceServerSettings>,
    keys: PublicKeys,
    mistakes: &mut Mistakes,
) -> ResourceServerSettings {
    let token_format = form
        .token_format
        .or(before.map(|old| old.token_format))
        .unwrap_or_default();
    let token_typ = form
        .token_typ
        .clone()
        .or_else(|| before.map(|old| old.token_typ.clone()))
        .unwrap_or_else(|| "at+jwt".to_owned());
    if form.token_typ.is_some() && token_format == TokenFormat::Opaque {
        mistakes.add(
            "token_typ",
            "opaque tokens have no typ; leave it out, or set token_format = \"jwt\"",
        );
    } else if !["at+jwt", "JWT"].contains(&token_typ.as_str()) {
        mistakes.add(
            "token_typ",
            format!("{token_typ:?} must be \"at+jwt\" (RFC 9068), or \"JWT\" for servers that refuse at+jwt"),
        );
    }
    let signing_alg = form
        .signing_alg
        .or(before.map(|old| old.signing_alg))
        .unwrap_or(Algorithm::ES256);
    if !Algorithm::SIGNING.contains(&signing_alg) {
        let known = Algorithm::SIGNING.map(Algorithm::as_str).join(", ");
        mistakes.add(
            "signing_alg",
            format!("{} does not sign here; use one of {known}", signing_alg.as_str()),
        );
    }
    ResourceServerSettings {
        kind: form.kind.or(before.map(|old| old.kind)).unwrap_or(Kind::Other),
        token_format,
        token_typ,
        signing_alg,
        scope_style: form
            .scope_style
            .or(before.map(|old| old.scope_style))
            .unwrap_or_default(),
        scope_map: scope_map(form, before, mistakes),
        introspect: form
            .introspect
            .or(before.map(|old| old.introspect))
            .unwrap_or_default(),
        scopes: scopes(form, before, mistakes),
        jwks: keys.jwks,
        jwks_uri: keys.jwks_uri,
    }
}

fn scopes(
    form: &ResourceServerForm,
    before: Option<&ResourceServerSettings>,
    mistakes: &mut Mistakes,
) -> Option<ScopeSet> {
    let Some(words) = &form.scopes else {
        return before.and_then(|old| old.scopes.clone());
    };
    let parsed = words.words().join(" ").parse::<ScopeSet>();
    mistakes.take("scopes", parsed.map_err(|cause| cause.to_string()))
}

fn scope_map(
    form: &ResourceServerForm,
    before: Option<&ResourceServerSettings>,
    mistakes: &mut Mistakes,
) -> BTreeMap<String, String> {
    let Some(map) = &form.scope_map else {
        return before.map(|old| old.scope_map.clone()).unwrap_or_default();
    };
    // RFC 6749 §3.3: the characters of a scope.
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
    };
    for (scope, spelling) in map {
        if scope.is_empty() || !plain(scope) || !plain(spelling) {
            mistakes.add(
                "scope_map",
                format!("{scope:?} = {spelling:?} must be a scope and the spelling that is wanted for it"),
            );
        }
    }
    map.clone()
}

/// Writes a draft. `spare` holds signing keys that may be missing. Answers a secret that was made.
pub fn write(registry: &Registry, tx: &mut Tx<'_>, draft: &Draft, spare: &Spare) -> Stored<Option<Secret>> {
    let Draft {
        server,
        before,
        secret,
    } = draft;
    if let Some(algorithm) = draft.signing_alg() {
        keys::ensure(registry, tx, algorithm, spare)?;
    }
    resource_servers::put(tx.conn(), server)?;
    let made = secrets::take(registry, tx, &server.id, &server.secrets, secret)?;
    let action = match before {
        None => "registered",
        Some(before) if before.enabled && !server.enabled => "disabled",
        Some(before) if !before.enabled && server.enabled => "enabled",
        Some(_) => "changed",
    };
    let mut event = registry
        .event(EventKind::ResourceServerChanged, action)
        .client(&server.id);
    if let Some(before) = before {
        event = event.with("before", Value::Object(view(before)).to_string());
    }
    if let Some(what) = secret.name() {
        event = event.with("secret", what);
    }
    tx.audit(event.with("after", Value::Object(view(server)).to_string()));
    registry.tell(tx, ChangeKind::ResourceServer, &server.id);
    Ok(made)
}

fn found(tx: &mut Tx<'_>, id: &str) -> Decided<ResourceServer> {
    Ok(match resource_servers::find(tx.conn(), id)? {
        Some(server) => Ok(server),
        None => mistake("id", format!("no resource server has the id {id:?}")),
    })
}

/// Registers a resource server that does not exist yet. Answers it with a secret that was made.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn register(
    registry: &Registry,
    tx: &mut Tx<'_>,
    form: &ResourceServerForm,
    spare: &Spare,
) -> Decided<(ResourceServer, Option<Secret>)> {
    let id = form.id.clone().unwrap_or_default();
    let all = resource_servers::all(tx.conn())?;
    if all.iter().any(|server| server.id == id) {
        return Ok(mistake(
            "id",
            format!("{id:?} is registered already; choose another, or change that one"),
        ));
    }
    let client_exists = clients::find(tx.conn(), &id)?.is_some();
    let draft = good!(draft(registry, form, Omitted::Keeps, None, &all, client_exists));
    let made = write(registry, tx, &draft, spare)?;
    Ok(Ok((draft.server, made)))
}

/// Names the state of a resource server; see [`change`].
pub fn version(server: &ResourceServer) -> String {
    version_of(&view(server), &server.generation.to_string())
}

/// Changes a resource server; `expected` is the [`version`] that whoever changes it has seen. Answers it with a secret
/// that was made.
///
/// # Errors
/// As [`register`]; a mistake with the key [`VERSION`](super::VERSION) when it is another one by now.
pub fn change(
    registry: &Registry,
    tx: &mut Tx<'_>,
    form: &ResourceServerForm,
    manner: Omitted,
    expected: Option<&str>,
    spare: &Spare,
) -> Decided<(ResourceServer, Option<Secret>)> {
    let before = good!(found(tx, form.id.as_deref().unwrap_or_default())?);
    good!(unchanged(expected, &version(&before)));
    let all = resource_servers::all(tx.conn())?;
    let draft = good!(draft(registry, form, manner, Some(&before), &all, false));
    if draft.differences().is_empty() {
        return Ok(Ok((before, None)));
    }
    let made = write(registry, tx, &draft, spare)?;
    Ok(Ok((draft.server, made)))
}

/// Disables or enables. Answers whether that changed anything.
pub fn set_enabled(registry: &Registry, tx: &mut Tx<'_>, id: &str, enabled: bool) -> Decided<bool> {
    let before = good!(found(tx, id)?);
    if before.enabled == enabled {
        return Ok(Ok(false));
    }
    let now = registry.app.now();
    let server = ResourceServer {
        enabled,
        generation: next_generation(Some(&before), enabled, now),
        updated_at: now,
        ..before.clone()
    };
    let draft = Draft {
        server,
        before: Some(before),
        secret: SecretStep::Keep,
    };
    write(registry, tx, &draft, &Spare::default())?;
    Ok(Ok(true))
}

/// Makes a new secret; see [`secrets`].
pub fn rotate_secret(
    registry: &Registry,
    tx: &mut Tx<'_>,
    id: &str,
    overlap_seconds: i64,
) -> Decided<Rotated> {
    let server = good!(found(tx, id)?);
    if server.settings.jwks.is_some() || server.settings.jwks_uri.is_some() {
        return Ok(mistake(
            "id",
            format!("{id} proves itself with keys and has no secret"),
        ));
    }
    let rotated = secrets::rotate(registry, tx, id, &server.secrets, overlap_seconds)?;
    Ok(rotated.map(|(rotated, event)| {
        tx.audit(event.client(id));
        registry.tell(tx, ChangeKind::ResourceServer, id);
        rotated
    }))
}

/// Deletes a resource server that no client uses.
pub fn delete(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<()> {
    let server = good!(found(tx, id)?);
    let all = clients::all(tx.conn())?;
    let users: Vec<&str> = all
        .iter()
        .filter(|client| client.settings.resource_servers.iter().any(|used| used == id))
        .map(|client| client.id.as_str())
        .collect();
    if !users.is_empty() {
        return Ok(mistake(
            "id",
            format!(
                "{id} is used by {}: change or delete these clients first, or disable it",
                users.join(", ")
            ),
        ));
    }
    resource_servers::delete(tx.conn(), id)?;
    let event = registry
        .event(EventKind::ResourceServerChanged, "deleted")
        .client(id);
    tx.audit(event.with("before", Value::Object(view(&server)).to_string()));
    registry.tell(tx, ChangeKind::ResourceServer, id);
    Ok(Ok(()))
}
