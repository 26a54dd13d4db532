//! The rules of resource servers.

use super::limits::Limit;
use super::noun::{Judging, Noun, Registrable, Secrets};
use super::public_keys;
use super::uris::{self, same_place};
use crate::audit::event::Kind as EventKind;
use crate::model::agency::Organization;
use crate::model::client::{AuthMethod, ClientSettings};
use crate::model::registered::Registered;
use crate::model::resource_server::{
    Introspect, ResourceServer, ResourceServerSettings, TokenFormat, TokenType,
};
use crate::model::signing::Algorithm;
use crate::policy::Policy;
use crate::policy::console::Area;
use crate::store::changes::ChangeKind;
use crate::store::{Conn, Stored, registered};

impl Registrable for ResourceServerSettings {
    const NOUN: Noun = Noun {
        name: "resource server",
        many: "resource servers",
        table: "resource_server",
        id: "id",
        area: Area::ResourceServers,
        event: EventKind::ResourceServerChanged,
        change: ChangeKind::ResourceServer,
        reserved: &["CodeSystem", "ValueSet", "AuditEvent", "metadata", "new"],
        limits: &[
            ("audience", Limit::URI),
            ("jwks", Limit::KEYS),
            ("jwks_uri", Limit::URI),
            ("scopes", Limit::SCOPES),
            ("scope_map", Limit::SCOPES),
        ],
        secrets: Secrets::Theirs,
    };

    fn check(&mut self, judging: &mut Judging<'_, Self>) {
        self.check_audience(judging);
        // Whoever gives a secret wants it in the place of keys.
        if judging.said.secret().is_some() && !public_keys::are_said(judging.said) {
            (self.jwks, self.jwks_uri) = (None, None);
        }
        public_keys::check(&mut self.jwks, &mut self.jwks_uri, judging);
        judging.mail_addresses("contacts", &self.contacts);
        if self.token_format == TokenFormat::Opaque {
            if self.token_typ != TokenType::default() && judging.said.says("token_typ") {
                judging.mistakes.add(
                    "token_typ",
                    "opaque tokens have no typ; leave it out, or set token_format = \"jwt\"",
                );
            }
            self.token_typ = TokenType::default();
        }
        if !Algorithm::SIGNING.contains(&self.signing_alg) {
            let known = Algorithm::SIGNING.map(Algorithm::as_str).join(", ");
            judging.mistakes.add(
                "signing_alg",
                format!(
                    "{} does not sign here; use one of {known}",
                    self.signing_alg.as_str()
                ),
            );
        }
        // RFC 6749 §3.3: the characters of a scope.
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
        };
        for (scope, spelling) in &self.scope_map {
            if scope.is_empty() || !plain(scope) || !plain(spelling) {
                judging.mistakes.add(
                    "scope_map",
                    format!(
                        "{scope:?} = {spelling:?} must be a scope and the spelling that is wanted for it"
                    ),
                );
            }
        }
    }

    fn whose(registered: &Registered<Self>) -> Option<&str> {
        registered.settings.agency.as_deref()
    }

    fn belongs(&mut self) -> Option<(&mut Option<String>, &mut Option<Organization>)> {
        Some((&mut self.agency, &mut self.organization))
    }

    fn proof(&self) -> AuthMethod {
        if self.has_keys() {
            AuthMethod::PrivateKeyJwt
        } else {
            AuthMethod::ClientSecretBasic
        }
    }

    fn for_administrators(&self, _: &Policy) -> Option<(&'static str, &'static str)> {
        (self.introspect == Introspect::Any).then_some((
            "introspect",
            "a server that may ask about all tokens can read what everybody may do: only an administrator decides about it",
        ))
    }

    fn namesake(conn: &mut Conn, id: &str) -> Stored<Option<&'static str>> {
        Ok(registered::find::<ClientSettings>(conn, id)?.map(|_| ClientSettings::NOUN.name))
    }

    fn signs_with(&self) -> Option<Algorithm> {
        (self.token_format == TokenFormat::Jwt).then_some(self.signing_alg)
    }

    fn users(conn: &mut Conn, id: &str) -> Stored<Vec<String>> {
        let mut clients = registered::all::<ClientSettings>(conn)?;
        clients.retain(|client| client.settings.resource_servers.iter().any(|used| used == id));
        Ok(clients.into_iter().map(|client| client.id).collect())
    }
}

impl ResourceServerSettings {
    fn check_audience(&self, judging: &mut Judging<'_, Self>) {
        let audience = &self.audience;
        if audience.is_empty() {
            judging
                .mistakes
                .add("audience", "it is missing: the FHIR base of the server");
            return;
        }
        let others = &judging.around.servers;
        let checked = uris::audience(audience)
            .and_then(|()| unique(judging.registry.app.issuer(), judging.id, audience, others));
        judging.mistakes.take("audience", checked);
    }
}

fn unique(issuer: &str, id: &str, audience: &str, others: &[ResourceServer]) -> Result<(), String> {
    let same = |other: &str| same_place(other, audience);
    if same(issuer) {
        return Err(format!("{audience:?} is this authorization server itself"));
    }
    match others
        .iter()
        .find(|other| other.id != id && same(&other.settings.audience))
    {
        Some(other) => Err(format!("{audience:?} is already the audience of {}", other.id)),
        None => Ok(()),
    }
}
