//! Reads a policy file: raw TOML, then typed, with all mistakes in one list.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use serde::Deserialize;

use crate::model::{
    agency::OTHER,
    kind::Kind,
    scope::{Level, Scope, ScopeSet},
};

use super::{
    AgencyKind, Askers, NamedScope, Policy,
    data::{Release, ResourceWords, Words},
    dataflow::Dataflow,
    role::{Coding, Role, SystemRole},
    vocabulary::Vocabulary,
};

const GRANTS: [&str; 4] = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
];

/// SMART App Launch 2.2 and IHE IUA: an access token lives an hour at most.
const LONGEST_ACCESS_SECONDS: u32 = 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    #[serde(default)]
    omit_code_systems: Vec<String>,
    role: Vec<RawRole>,
    #[serde(default)]
    console_role: Vec<RawRole>,
    #[serde(default)]
    agency_kind: Vec<RawAgencyKind>,
    system_role: RawSystemRole,
    dataflow: Vec<RawDataflow>,
    scope: Vec<RawScope>,
    verbs: BTreeMap<char, String>,
    resource: Vec<ResourceWords>,
    claims: BTreeMap<String, Release>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    code: String,
    label: String,
    #[serde(default)]
    codings: Vec<RawCoding>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    purposes: Vec<String>,
    clearance: Option<String>,
    second_factor: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAgencyKind {
    code: String,
    label: String,
    roles: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSystemRole {
    code: String,
    label: String,
    #[serde(default)]
    codings: Vec<RawCoding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCoding {
    system: String,
    code: String,
    display: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDataflow {
    id: String,
    label: String,
    client: String,
    resource_servers: Vec<Kind>,
    #[serde(default)]
    grants: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    purposes: Vec<String>,
    #[serde(default)]
    purpose_required: bool,
    access_seconds: u32,
    #[serde(default)]
    as_written: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScope {
    name: String,
    sentence: String,
    #[serde(rename = "for")]
    askers: Askers,
    #[serde(default)]
    roles: Vec<String>,
    audience: Option<RawAudience>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawAudience {
    Issuer,
}

pub(super) fn policy(text: &str) -> Result<Policy, Vec<String>> {
    let raw: RawPolicy = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut reader = Reader {
        vocabulary: Vocabulary::built_in()?,
        omitted: raw.omit_code_systems,
        mistakes: Vec::new(),
    };
    let scopes = reader.named_scopes(raw.scope);
    let mut roles = reader.roles(raw.role, &scopes, false);
    roles.extend(reader.roles(raw.console_role, &scopes, true));
    let agency_kinds = reader.agency_kinds(raw.agency_kind, &roles);
    let system_role = reader.system_role(raw.system_role);
    let dataflows: Vec<Dataflow> = raw
        .dataflow
        .into_iter()
        .map(|dataflow| reader.dataflow(dataflow, &scopes))
        .collect();
    let words = reader.words(raw.verbs, raw.resource);
    reader.claims(&raw.claims);
    let codes = roles
        .iter()
        .map(|role| role.code.as_str())
        .chain([system_role.code.as_str()]);
    reader.unique("role", codes);
    reader.unique("dataflow", dataflows.iter().map(|dataflow| dataflow.id.as_str()));
    for scope in &scopes {
        for code in scope
            .roles
            .iter()
            .filter(|code| !roles.iter().any(|role| role.code == **code))
        {
            reader.mistake(
                format!("scope {}", scope.name),
                format!("the role {code} does not exist"),
            );
        }
    }
    if !reader.mistakes.is_empty() {
        return Err(reader.mistakes);
    }
    let catalogues = Kind::ALL
        .into_iter()
        .map(|kind| (kind, catalogue(&dataflows, kind)))
        .collect();
    let vocabulary = reader.vocabulary;
    Ok(Policy {
        roles,
        agency_kinds,
        system_role,
        dataflows,
        scopes,
        words,
        claims: raw.claims,
        catalogues,
        vocabulary,
    })
}

/// What the dataflows that go to this kind of resource server use there.
fn catalogue(dataflows: &[Dataflow], kind: Kind) -> ScopeSet {
    let used = dataflows
        .iter()
        .filter(|dataflow| dataflow.serves(kind))
        .flat_map(|dataflow| dataflow.scopes.iter());
    used.filter(|scope| !scope.is_identity()).cloned().collect()
}

struct Reader {
    vocabulary: Vocabulary,
    omitted: Vec<String>,
    mistakes: Vec<String>,
}

impl Reader {
    fn mistake(&mut self, place: impl Display, what: impl Display) {
        self.mistakes.push(format!("{place}: {what}"));
    }

    fn unique<'a>(&mut self, what: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen: Vec<&str> = Vec::new();
        for name in names {
            if seen.contains(&name) {
                self.mistake(format!("{what} {name}"), "is there twice; each may be there once");
            }
            seen.push(name);
        }
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, place: &str, text: &str) -> Option<T> {
        text.parse()
            .map_err(|error: T::Err| self.mistake(place, error))
            .ok()
    }

    fn scopes(&mut self, place: &str, texts: &[String]) -> ScopeSet {
        let scopes: Vec<Scope> = texts.iter().filter_map(|text| self.parsed(place, text)).collect();
        scopes.into_iter().collect()
    }

    fn purposes(&mut self, place: &str, codes: Vec<String>) -> Vec<String> {
        for code in &codes {
            if !self.vocabulary.is_purpose_of_use(code) {
                self.mistake(
                    place,
                    format!("the purpose {code} is not a PurposeOfUse code of v3-ActReason"),
                );
            }
        }
        codes
    }

    fn codings(&mut self, place: &str, raw: Vec<RawCoding>) -> Vec<Coding> {
        let mut codings = Vec::new();
        for RawCoding {
            system,
            code,
            display,
        } in raw
        {
            let known = self.vocabulary.display(&system, &code).map(str::to_owned);
            match display.or(known) {
                _ if self.omitted.contains(&system) => {}
                Some(display) => codings.push(Coding {
                    system,
                    code,
                    display,
                }),
                None => self.mistake(
                    place,
                    format!("{system} has no known code {code}; correct it or add its display"),
                ),
            }
        }
        codings
    }

    fn named_scopes(&mut self, raw: Vec<RawScope>) -> Vec<NamedScope> {
        self.unique("scope", raw.iter().map(|scope| scope.name.as_str()));
        let mut scopes = Vec::with_capacity(raw.len());
        for scope in raw {
            let place = format!("scope {}", scope.name);
            if let Some(Scope::Smart(_)) = self.parsed(&place, &scope.name) {
                self.mistake(
                    &place,
                    "SMART scopes belong into the roles; here stand only names and URIs",
                );
            }
            scopes.push(NamedScope {
                name: scope.name,
                sentence: scope.sentence,
                askers: scope.askers,
                roles: scope.roles,
                of_issuer: matches!(scope.audience, Some(RawAudience::Issuer)),
            });
        }
        scopes
    }

    fn roles(&mut self, raw: Vec<RawRole>, named: &[NamedScope], console: bool) -> Vec<Role> {
        raw.into_iter()
            .map(|role| self.role(role, named, console))
            .collect()
    }

    fn role(&mut self, raw: RawRole, named: &[NamedScope], console: bool) -> Role {
        let place = format!("role {}", raw.code);
        let smart = self.scopes(&place, &raw.scopes);
        for scope in smart.iter() {
            match scope {
                Scope::Smart(smart) if smart.level() != Level::System => {}
                Scope::Smart(_) => {
                    self.mistake(&place, format!("{scope} is for systems; roles hold user/ scopes"))
                }
                Scope::Named(name) => {
                    self.mistake(
                        &place,
                        format!("give {name} a [[scope]] entry and name this role in its roles"),
                    );
                }
            }
        }
        let held = named.iter().filter(|scope| scope.roles.contains(&raw.code));
        let held: ScopeSet = held.map(|scope| Scope::Named(scope.name.clone())).collect();
        Role {
            scopes: smart.join(&held),
            codings: self.codings(&place, raw.codings),
            purposes: self.purposes(&place, raw.purposes),
            clearance: raw.clearance.and_then(|code| self.parsed(&place, &code)),
            code: raw.code,
            label: raw.label,
            second_factor: raw.second_factor,
            console,
        }
    }

    /// The kinds of agencies; one for whatever is none of them is always there.
    fn agency_kinds(&mut self, raw: Vec<RawAgencyKind>, roles: &[Role]) -> Vec<AgencyKind> {
        let mut kinds = Vec::new();
        for RawAgencyKind {
            code,
            label,
            roles: listed,
        } in raw
        {
            let is_work = |code: &String| roles.iter().any(|role| role.code == *code && !role.console);
            for wrong in listed.iter().flatten().filter(|code| !is_work(code)) {
                self.mistake(
                    format!("agency_kind {code}"),
                    format!("{wrong} is not a role, or is one of the console"),
                );
            }
            kinds.push(AgencyKind {
                code,
                label,
                roles: listed,
            });
        }
        if !kinds.iter().any(|kind: &AgencyKind| kind.code == OTHER) {
            kinds.push(AgencyKind {
                code: OTHER.to_owned(),
                label: "Something else".to_owned(),
                roles: None,
            });
        }
        self.unique("agency_kind", kinds.iter().map(|kind| kind.code.as_str()));
        kinds
    }

    fn system_role(&mut self, raw: RawSystemRole) -> SystemRole {
        let codings = self.codings("system_role", raw.codings);
        SystemRole {
            code: raw.code,
            label: raw.label,
            codings,
        }
    }

    fn dataflow(&mut self, raw: RawDataflow, named: &[NamedScope]) -> Dataflow {
        let place = format!("dataflow {}", raw.id);
        let dataflow = Dataflow {
            scopes: self.scopes(&place, &raw.scopes),
            purposes: self.purposes(&place, raw.purposes),
            id: raw.id,
            label: raw.label,
            client: raw.client,
            resource_servers: raw.resource_servers,
            grants: raw.grants,
            purpose_required: raw.purpose_required,
            access_seconds: raw.access_seconds,
            as_written: raw.as_written,
        };
        for grant in dataflow
            .grants
            .iter()
            .filter(|grant| !GRANTS.contains(&grant.as_str()))
        {
            self.mistake(
                &place,
                format!(
                    "the grant {grant} does not exist; there are {}",
                    GRANTS.join(", ")
                ),
            );
        }
        if dataflow.is_for_systems() && dataflow.grants.len() > 1 {
            self.mistake(
                &place,
                "client_credentials stands alone: a dataflow is for systems or for people",
            );
        }
        if !(1..=LONGEST_ACCESS_SECONDS).contains(&dataflow.access_seconds) {
            self.mistake(
                &place,
                format!("access_seconds is not between 1 and {LONGEST_ACCESS_SECONDS}"),
            );
        }
        if dataflow.resource_servers.is_empty() {
            self.mistake(
                &place,
                "resource_servers is empty; name a kind of resource server",
            );
        }
        match dataflow.as_written {
            true => self.brings_nothing(&place, &dataflow),
            false => self.brings_enough(&place, &dataflow, named),
        }
        dataflow
    }

    fn brings_nothing(&mut self, place: &str, dataflow: &Dataflow) {
        if !(dataflow.grants.is_empty() && dataflow.scopes.is_empty() && dataflow.purposes.is_empty()) {
            self.mistake(
                place,
                "as_written takes grants, scopes and purposes from the client, so it has none itself",
            );
        }
    }

    fn brings_enough(&mut self, place: &str, dataflow: &Dataflow, named: &[NamedScope]) {
        if dataflow.grants.is_empty() {
            self.mistake(place, "grants is empty; name grant_type values");
        }
        if dataflow.scopes.is_empty() {
            self.mistake(place, "scopes is empty; name the ceiling");
        }
        if dataflow.purpose_required && dataflow.purposes.is_empty() {
            self.mistake(
                place,
                "a purpose is required but purposes is empty, so nothing could ever be granted",
            );
        }
        for scope in dataflow.scopes.iter() {
            let askers = match scope {
                Scope::Smart(smart) if smart.level() == Level::System => Askers::Systems,
                Scope::Smart(_) => Askers::People,
                Scope::Named(name) => match named.iter().find(|named| named.name == *name) {
                    Some(named) => named.askers,
                    None => {
                        self.mistake(place, format!("{name} has no [[scope]] entry that explains it"));
                        continue;
                    }
                },
            };
            let (wanted, whom) = match dataflow.is_for_systems() {
                true => (Askers::Systems, "systems, by client_credentials"),
                false => (Askers::People, "people who sign in"),
            };
            if askers != wanted && askers != Askers::Both {
                self.mistake(
                    place,
                    format!("{scope} can never be granted here: the dataflow is for {whom}"),
                );
            }
        }
    }

    fn words(&mut self, verbs: BTreeMap<char, String>, resources: Vec<ResourceWords>) -> Words {
        self.unique("resource", resources.iter().map(|words| words.name.as_str()));
        for letter in "cruds".chars().filter(|letter| !verbs.contains_key(letter)) {
            self.mistake("verbs", format!("the letter {letter} has no verb"));
        }
        Words {
            verbs,
            resources: resources
                .into_iter()
                .map(|words| (words.name.clone(), words))
                .collect(),
        }
    }

    fn claims(&mut self, claims: &BTreeMap<String, Release>) {
        for scope in claims
            .keys()
            .filter(|name| !Scope::Named((*name).clone()).is_identity())
        {
            self.mistake(
                format!("claims.{scope}"),
                "claims are released by profile, email, address or phone",
            );
        }
        self.unique(
            "claim",
            claims
                .values()
                .flat_map(|release| &release.userinfo)
                .map(String::as_str),
        );
    }
}
