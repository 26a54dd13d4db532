//! The rules of clients: what the dataflow leaves open, and how they prove who they are.

use serde_json::{Map, Value};

use super::limits::Limit;
use super::noun::{Ending, Judging, Noun, Registrable, Secrets};
use super::said::{Merge, Said};
use super::{Registry, object, public_keys, uris};
use crate::audit::event::Kind as EventKind;
use crate::model::agency::Organization;
use crate::model::client::{AuthMethod, ClientSettings, Consent, GrantType, is_native};
use crate::model::kind::Kind;
use crate::model::names::look_alike;
use crate::model::registered::Registered;
use crate::model::resource_server::ResourceServer;
use crate::model::scope::Scope;
use crate::model::words::Usually;
use crate::policy::console::{Area, Reach};
use crate::policy::dataflow::Dataflow;
use crate::policy::{Askers, Policy};
use crate::store::changes::ChangeKind;
use crate::store::{Stored, Tx, vendor_links};

/// What a dataflow brings: what was allowed under another one says nothing about it.
const OF_DATAFLOW: [&str; 4] = ["grants", "scopes", "purposes", "resource_servers"];

type Judged<'a> = Judging<'a, ClientSettings>;

impl Registrable for ClientSettings {
    const NOUN: Noun = Noun {
        name: "client",
        many: "clients",
        table: "client",
        id: "client_id",
        area: Area::Clients,
        event: EventKind::ClientChanged,
        change: ChangeKind::Client,
        reserved: &["new"],
        limits: &[
            ("jwks", Limit::KEYS),
            ("jwks_uri", Limit::URI),
            ("redirect_uris", Limit::URI),
            ("post_logout_redirect_uris", Limit::URI),
            ("backchannel_logout_uri", Limit::URI),
            ("scopes", Limit::SCOPES),
        ],
        secrets: Secrets::Theirs,
    };

    // What an agency looks after itself: how its system is reached and proves itself, never what it may do.
    const OWN: &'static [&'static str] = &[
        "name",
        "contacts",
        "enabled",
        "jwks",
        "jwks_uri",
        "redirect_uris",
        "post_logout_redirect_uris",
        "backchannel_logout_uri",
    ];

    fn inherited(before: &Self, said: &Said) -> Map<String, Value> {
        let mut inherited = object(before);
        if said
            .text("dataflow")
            .is_some_and(|dataflow| dataflow != before.dataflow)
        {
            inherited.retain(|member, _| !OF_DATAFLOW.contains(&member.as_str()));
        }
        inherited
    }

    fn check(&mut self, judging: &mut Judged<'_>) {
        // Those of the same apply file too: the two would share their secrets.
        let around = judging.around;
        let servers = around.servers.iter().map(|server| &server.id);
        if servers.chain(&around.doubtful).any(|id| id == judging.id) {
            judging.mistakes.add(
                "client_id",
                format!(
                    "{:?} is the id of a resource server; the two share one namespace",
                    judging.id
                ),
            );
        }
        let policy = &judging.registry.app.policy;
        let dataflow = policy.dataflow(&self.dataflow);
        if dataflow.is_none() {
            let known = policy.dataflows().iter().map(|dataflow| dataflow.id.as_str());
            let known = known.collect::<Vec<_>>().join(", ");
            judging.mistakes.add(
                "dataflow",
                if self.dataflow.is_empty() {
                    format!("it is missing; the policy has {known}")
                } else {
                    format!("the policy has no dataflow {:?}; it has {known}", self.dataflow)
                },
            );
        }
        judging.mail_addresses("contacts", &self.contacts);
        self.check_authentication(judging);
        let Some(dataflow) = dataflow else { return };
        self.check_grants(judging, dataflow);
        self.check_look(judging);
        self.check_public(judging);
        self.check_addresses(judging);
        self.check_resource_servers(judging, dataflow);
        self.check_scopes(judging, dataflow);
        self.check_reachable(judging, dataflow);
        self.check_purposes(judging, dataflow);
    }

    fn whose(registered: &Registered<Self>) -> Option<&str> {
        registered.settings.agency.as_deref()
    }

    /// Another agency runs it: whoever the old one showed it to sees it no more.
    fn is_another(&self, before: &Self) -> bool {
        before.agency.is_some() && self.agency != before.agency
    }

    fn end(_: &Registry, tx: &mut Tx<'_>, id: &str, ending: Ending) -> Stored<Vec<(&'static str, String)>> {
        if ending == Ending::Replaced {
            vendor_links::delete(tx.conn(), id)?;
        }
        Ok(Vec::new())
    }

    fn belongs(&mut self) -> Option<(&mut Option<String>, &mut Option<Organization>)> {
        Some((&mut self.agency, &mut self.organization))
    }

    fn proof(&self) -> AuthMethod {
        self.auth_method
    }

    fn for_administrators(&self, policy: &Policy) -> Option<(&'static str, &'static str)> {
        let of_people = |scope: &Scope| {
            let name = scope.to_string();
            let named = policy.named_scope(&name);
            let for_people =
                named.is_some_and(|named| named.askers == Askers::People) && !scope.is_identity();
            name.starts_with("user/") || name.starts_with("patient/") || for_people
        };
        let as_written = policy
            .dataflow(&self.dataflow)
            .is_none_or(|dataflow| dataflow.as_written);
        if self.consent == Consent::Skip {
            Some((
                "consent",
                "an application that people are not asked about acts in their name: only an administrator decides about it",
            ))
        } else if as_written
            && self
                .scopes
                .as_ref()
                .is_some_and(|scopes| scopes.iter().any(of_people))
        {
            Some((
                "scopes",
                "scopes for people beyond the dataflows of the policy: only an administrator decides about them",
            ))
        } else {
            None
        }
    }
}

impl ClientSettings {
    fn check_authentication(&mut self, judging: &mut Judged<'_>) {
        let said = judging.said;
        if public_keys::are_said(said) && !said.says("auth_method") {
            self.auth_method = AuthMethod::PrivateKeyJwt;
        }
        let method = self.auth_method;
        self.auth_method_strict &= method.uses_secret();
        if method == AuthMethod::PrivateKeyJwt {
            public_keys::check(&mut self.jwks, &mut self.jwks_uri, judging);
            if self.jwks.is_none() && self.jwks_uri.is_none() && !public_keys::are_said(said) {
                judging.mistakes.add(
                    "jwks_uri",
                    "private_key_jwt needs the client's public keys: give jwks_uri or jwks",
                );
            }
            return;
        }
        if public_keys::are_said(said) {
            let key = if said.says("jwks") { "jwks" } else { "jwks_uri" };
            judging.mistakes.add(
                key,
                format!(
                    "auth_method {} uses no keys; set private_key_jwt, or leave the keys out",
                    method.as_str()
                ),
            );
        }
        if said.says("signing_algs") && !self.signing_algs.is_empty() {
            judging.mistakes.add(
                "signing_algs",
                format!("auth_method {} signs nothing", method.as_str()),
            );
        }
        (self.jwks, self.jwks_uri) = (None, None);
        self.signing_algs.clear();
    }

    fn check_grants(&mut self, judging: &mut Judged<'_>, dataflow: &Dataflow) {
        let mistakes = &mut judging.mistakes;
        if judging.said.says("grants") {
            for grant in &self.grants {
                if !dataflow.as_written && !dataflow.grants.iter().any(|allowed| allowed == grant.as_str()) {
                    mistakes.add(
                        "grants",
                        beyond(grant.as_str(), dataflow, &dataflow.grants.join(" ")),
                    );
                }
            }
            if self.grants.is_empty() {
                mistakes.add("grants", "the list is empty");
            }
        } else if self.grants.is_empty() && dataflow.as_written {
            mistakes.add(
                "grants",
                format!(
                    "the dataflow {} brings none: list authorization_code, refresh_token or client_credentials",
                    dataflow.id
                ),
            );
        } else if self.grants.is_empty() {
            let grants = dataflow.grants.iter();
            self.grants = grants.filter_map(|grant| GrantType::parse(grant)).collect();
        }
        if self.grants.contains(&GrantType::RefreshToken)
            && !self.grants.contains(&GrantType::AuthorizationCode)
        {
            mistakes.add(
                "grants",
                "refresh_token comes from authorization_code, which is not listed",
            );
        }
    }

    /// Public clients (RFC 6749 §2.1, RFC 9700 §2.1.1 and §2.2.2).
    fn check_public(&mut self, judging: &mut Judged<'_>) {
        if self.auth_method != AuthMethod::None {
            return;
        }
        let (said, mistakes) = (judging.said, &mut judging.mistakes);
        if self.grants.contains(&GrantType::ClientCredentials) {
            mistakes.add(
                "auth_method",
                "none proves nothing, so client_credentials is not for public clients (RFC 6749 section 4.4)",
            );
        } else if !self.grants.contains(&GrantType::AuthorizationCode) {
            mistakes.add(
                "auth_method",
                "none is only for clients that use authorization_code",
            );
        }
        if said.says_that("require_pkce", false) {
            mistakes.add(
                "require_pkce",
                "public clients always need PKCE (RFC 9700 section 2.1.1)",
            );
        }
        if said.says_that("refresh_rotation", false) {
            mistakes.add(
                "refresh_rotation",
                "the refresh tokens of public clients always rotate (RFC 9700 section 2.2.2)",
            );
        }
        (self.require_pkce, self.refresh_rotation) = (Usually(true), Usually(true));
    }

    fn check_addresses(&mut self, judging: &mut Judged<'_>) {
        let public = self.auth_method == AuthMethod::None;
        let (said, mistakes) = (judging.said, &mut judging.mistakes);
        for uri in &self.redirect_uris {
            mistakes.take("redirect_uris", uris::redirect(uri, public));
        }
        for uri in &self.post_logout_redirect_uris {
            mistakes.take("post_logout_redirect_uris", uris::redirect(uri, public));
        }
        for origin in &self.cors_origins {
            mistakes.take("cors_origins", uris::origin(origin));
        }
        if self.grants.contains(&GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            mistakes.add("redirect_uris", "authorization_code needs at least one");
        }
        let native = self.redirect_uris.iter().find(|uri| is_native(uri));
        if let (Consent::Skip, Some(uri)) = (self.consent, native) {
            mistakes.add(
                "consent",
                format!(
                    "skip is not for {uri:?}: any program on the person's machine can ask as this one does, so people are always asked (RFC 8252 section 8.6)"
                ),
            );
        }
        self.backchannel_logout_uri.take_if(|uri| uri.is_empty());
        if let Some(uri) = self
            .backchannel_logout_uri
            .as_ref()
            .filter(|_| said.says("backchannel_logout_uri"))
        {
            mistakes.take("backchannel_logout_uri", uris::told_by_us(judging.registry, uri));
        }
        if self.backchannel_logout_uri.is_none() {
            if said.says_that("backchannel_logout_session_required", true) {
                mistakes.add(
                    "backchannel_logout_session_required",
                    "it says something only beside backchannel_logout_uri",
                );
            }
            self.backchannel_logout_session_required = false;
        }
    }

    fn check_resource_servers(&mut self, judging: &mut Judged<'_>, dataflow: &Dataflow) {
        // Who was registered with none stays so until somebody says otherwise.
        let has_none = judging.said.merge != Merge::Whole
            && judging.before.is_some_and(|before| {
                before.settings.dataflow == self.dataflow && before.settings.resource_servers.is_empty()
            });
        if self.resource_servers.is_empty() && !has_none && !judging.said.says("resource_servers") {
            self.resource_servers = only_resource_server(judging, dataflow);
            return;
        }
        let mut unique = Vec::new();
        for id in std::mem::take(&mut self.resource_servers) {
            if !unique.contains(&id) {
                unique.push(id);
            }
        }
        self.resource_servers = unique;
        let around = judging.around;
        for id in self
            .resource_servers
            .iter()
            .filter(|id| !around.doubtful.contains(id))
        {
            match around.servers.iter().find(|server| server.id == *id) {
                None => judging.mistakes.add(
                    "resource_servers",
                    format!("no resource server has the id {id:?}"),
                ),
                Some(server) if !fits(dataflow, server) => judging.mistakes.add(
                    "resource_servers",
                    format!(
                        "{id} is of the kind {}; the dataflow {} goes to {}",
                        server.settings.kind,
                        dataflow.id,
                        kinds(dataflow, ", ")
                    ),
                ),
                Some(_) => {}
            }
        }
    }

    fn check_scopes(&self, judging: &mut Judged<'_>, dataflow: &Dataflow) {
        let (policy, mistakes) = (&judging.registry.app.policy, &mut judging.mistakes);
        let Some(scopes) = &self.scopes else {
            if dataflow.as_written {
                mistakes.add(
                    "scopes",
                    format!("the dataflow {} brings none: list them", dataflow.id),
                );
            }
            return;
        };
        if !judging.said.says("scopes") {
            return;
        }
        if scopes.is_empty() {
            mistakes.add(
                "scopes",
                "the list is empty; leave the key out for all that the dataflow allows",
            );
        }
        for scope in scopes.iter() {
            let name = scope.to_string();
            if policy
                .named_scope(&name)
                .is_some_and(|named| named.askers == Askers::None)
            {
                mistakes.add("scopes", format!("{name} is never granted to a client"));
            } else if !dataflow.as_written && !scope.within(&dataflow.scopes).contains(scope) {
                mistakes.add("scopes", beyond(&name, dataflow, &dataflow.scopes.to_string()));
            }
        }
    }

    /// People who are asked for consent tell clients by their names: no two may look alike (UTS 39 §4).
    fn check_look(&self, judging: &mut Judged<'_>) {
        let known = judging.before.map(|before| before.name.as_str());
        let judged = judging
            .before
            .filter(|before| before.may_use(GrantType::AuthorizationCode));
        let name = judging.said.text("name").or(known).unwrap_or_default();
        let is_judged = judged.is_some_and(|before| before.name == name);
        if !self.grants.contains(&GrantType::AuthorizationCode) || is_judged {
            return;
        }
        let mut others = judging.around.names.iter().filter(|(id, _)| id != judging.id);
        let other = others.find(|(_, other)| look_alike(other, name));
        if let Some((other, _)) = other {
            let all = judging.registry.reach(Area::Clients) == Reach::Everybody;
            let whose = if all {
                format!("the client {other}")
            } else {
                "another client".to_owned()
            };
            judging.mistakes.add(
                "name",
                format!("{name:?} looks like the name of {whose}; people who are asked for consent could not tell them apart"),
            );
        }
    }

    /// What no server offers and is none of ours could never be granted.
    fn check_reachable(&self, judging: &mut Judged<'_>, dataflow: &Dataflow) {
        let policy = &judging.registry.app.policy;
        let mut scopes = self.scopes.iter().flat_map(|scopes| scopes.iter());
        if dataflow.as_written
            && self.resource_servers.is_empty()
            && judging.mistakes.is_empty()
            && let Some(scope) = scopes.find(|scope| policy.opens_resource_server(scope))
        {
            judging.mistakes.add(
                "resource_servers",
                format!("{scope} is a scope of a resource server: name the one that offers it"),
            );
        }
    }

    fn check_purposes(&self, judging: &mut Judged<'_>, dataflow: &Dataflow) {
        let Some(purposes) = self.purposes.as_ref().filter(|_| judging.said.says("purposes")) else {
            return;
        };
        judging.registry.check_purposes(purposes, &mut judging.mistakes);
        if purposes.is_empty() && dataflow.purpose_required {
            judging.mistakes.add(
                "purposes",
                format!(
                    "the dataflow {} needs at least one of {}",
                    dataflow.id,
                    dataflow.purposes.join(" ")
                ),
            );
        }
        let vocabulary = judging.registry.app.policy.vocabulary();
        for code in purposes.iter().filter(|code| {
            !dataflow.as_written && !dataflow.purposes.contains(code) && vocabulary.is_purpose_of_use(code)
        }) {
            judging
                .mistakes
                .add("purposes", beyond(code, dataflow, &dataflow.purposes.join(" ")));
        }
    }
}

fn beyond(word: &str, dataflow: &Dataflow, has: &str) -> String {
    format!("{word} is beyond the dataflow {}, which has {has}", dataflow.id)
}

/// As in the grant: nothing is known of a server of kind other, so an administrator may join it with anything.
fn fits(dataflow: &Dataflow, server: &ResourceServer) -> bool {
    server.settings.kind == Kind::Other || dataflow.serves(server.settings.kind)
}

fn kinds(dataflow: &Dataflow, between: &str) -> String {
    let kinds = dataflow.resource_servers.iter().map(|kind| kind.as_str());
    kinds.collect::<Vec<_>>().join(between)
}

/// Where none is named, the only one that the dataflow can mean.
fn only_resource_server(judging: &mut Judged<'_>, dataflow: &Dataflow) -> Vec<String> {
    if dataflow.as_written {
        return Vec::new();
    }
    let around = judging.around;
    let fitting = around
        .servers
        .iter()
        .filter(|server| dataflow.serves(server.settings.kind));
    let fitting: Vec<&str> = fitting.map(|server| server.id.as_str()).collect();
    match fitting.as_slice() {
        [only] => return vec![(*only).to_owned()],
        [] if !around.doubtful.is_empty() => {}
        [] => judging.mistakes.add(
            "resource_servers",
            format!(
                "none is named, and none of the kind {} is registered: register it first",
                kinds(dataflow, " or ")
            ),
        ),
        several => judging.mistakes.add(
            "resource_servers",
            format!("name those that it may use: {}", several.join(", ")),
        ),
    }
    Vec::new()
}
