//! The form of a resource server: for a new one, and for one that is changed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use serde_json::{Map, Value};

use super::{KINDS, kind_in_words, path};
use crate::admin::access::{AdminRequest, Frame};
use crate::admin::edit_conflict::Changed;
use crate::admin::form::{self, Choice, FieldMistake, Typed};
use crate::admin::jwks_check::{self, Findings};
use crate::model::kind::Kind;
use crate::model::resource_server::{Introspect, ResourceServer, TokenFormat};
use crate::model::scope::ScopeStyle;
use crate::policy::console::Area;
use crate::registry::noun;
use crate::registry::said::{Merge, Said};
use crate::web::pages::{self, FormAction, Shell};

/// The fields, by the names of the apply file where it has them.
pub const FIELDS: [&str; 16] = [
    "kind",
    "name",
    "id",
    "audience",
    "token_format",
    "token_typ",
    "signing_alg",
    "scope_style",
    "introspect",
    "scopes",
    "scope_map",
    "proof",
    "jwks",
    "jwks_uri",
    "version",
    "shown",
];

/// The button that tries the JWKS URL instead of saving.
pub const TRY: &str = "try";

#[derive(Template)]
#[template(path = "../admin/resource_server_form.html")]
struct FormPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    /// The server that is changed; none: a new one.
    id: Option<&'a str>,
    action: String,
    back: String,
    kind: &'static str,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    findings: Option<Findings>,
    meanwhile: Option<Vec<Changed>>,
    kinds: Vec<Choice>,
    formats: Vec<Choice>,
    typs: Vec<Choice>,
    algorithms: Vec<Choice>,
    styles: Vec<Choice>,
    introspects: Vec<Choice>,
    proofs: Vec<Choice>,
}

/// What is shown again with a form.
#[derive(Default)]
pub struct Shown {
    /// What was typed.
    pub typed: Typed,
    /// What is wrong with it.
    pub wrong: Vec<FieldMistake>,
    /// What a try of the JWKS URL has found.
    pub findings: Option<Findings>,
    /// What somebody else has changed since the form was shown.
    pub meanwhile: Option<Vec<Changed>>,
}

/// The form: of the server `id`, or of a new one of a kind.
pub fn page(admin: &AdminRequest, id: Option<&str>, kind: Kind, shown: Shown) -> HttpResponse {
    let status = if shown.wrong.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let own = id.map(path);
    let page = FormPage {
        shell: admin.shell(),
        frame: admin.frame(Area::ResourceServers),
        id,
        action: own.as_ref().map_or_else(
            || format!("/admin/resource-servers/new?kind={kind}"),
            |own| format!("{own}/edit"),
        ),
        back: own.unwrap_or_else(|| "/admin/resource-servers".to_owned()),
        kind: kind_in_words(kind),
        meanwhile: shown.meanwhile,
        typed: shown.typed,
        wrong: shown.wrong,
        findings: shown.findings,
        kinds: kinds(),
        formats: form::choices(&FORMATS),
        typs: form::choices(&TYPS),
        algorithms: form::choices(&ALGORITHMS),
        styles: form::choices(&STYLES),
        introspects: form::choices(&INTROSPECTS),
        proofs: form::choices(&PROOFS),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// The kinds, as buttons.
pub fn kinds() -> Vec<Choice> {
    form::choices(&KINDS.map(|(kind, words, hint)| (kind.as_str(), words, hint)))
}

const FORMATS: [(&str, &str, &str); 2] = [
    (
        "jwt",
        "Signed (JWT)",
        "The server checks tokens itself, with our public keys. Nearly all FHIR servers can.",
    ),
    (
        "opaque",
        "Opaque",
        "The server asks us about each token. Nothing of a person can be read from the token itself.",
    ),
];
const TYPS: [(&str, &str, &str); 2] = [
    ("at+jwt", "at+jwt", "The standard (RFC 9068)."),
    (
        "JWT",
        "JWT",
        "For servers that refuse at+jwt: those on Spring Security, such as BlueJay.",
    ),
];
const ALGORITHMS: [(&str, &str, &str); 5] = [
    ("ES256", "ES256", "Small and quick; the usual choice."),
    ("RS256", "RS256", "For software that knows no other."),
    ("PS256", "PS256", ""),
    ("ES384", "ES384", ""),
    ("EdDSA", "EdDSA", ""),
];
const STYLES: [(&str, &str, &str); 2] = [
    (
        "v2",
        "SMART version 2",
        "As in user/Patient.rs; the usual choice.",
    ),
    (
        "v1",
        "SMART version 1",
        "As in user/Patient.read, for older servers. What version 1 cannot say is left out.",
    ),
];
const INTROSPECTS: [(&str, &str, &str); 2] = [
    ("own", "Its own tokens", "Only those that were issued for it."),
    (
        "any",
        "All tokens",
        "Only for a gateway that stands in front of several servers.",
    ),
];
const PROOFS: [(&str, &str, &str); 3] = [
    (
        "secret",
        "A secret that is made here",
        "Shown once, to be put into the server’s settings.",
    ),
    (
        "jwks_uri",
        "Public keys at an address",
        "The server publishes its keys (JWKS) and may change them by itself.",
    ),
    (
        "jwks",
        "Public keys, pasted here",
        "As JSON (JWKS). You paste them again when they change.",
    ),
];

/// Safe defaults for a new server.
pub fn defaults(kind: Kind) -> Typed {
    let defaults = [
        ("token_format", "jwt"),
        ("token_typ", "at+jwt"),
        ("signing_alg", "ES256"),
        ("scope_style", "v2"),
        ("introspect", "own"),
        ("proof", "secret"),
    ];
    let typed = Typed::default().with("kind", kind.as_str());
    defaults
        .into_iter()
        .fold(typed, |typed, (field, value)| typed.with(field, value))
}

/// What is registered, as it would be typed.
pub fn registered(server: &ResourceServer, now_ms: i64) -> Typed {
    let settings = &server.settings;
    let map: Vec<String> = settings
        .scope_map
        .iter()
        .map(|(scope, spelling)| format!("{scope} = {spelling}"))
        .collect();
    let scopes: Vec<String> = settings
        .scopes
        .iter()
        .flat_map(|scopes| scopes.iter().map(ToString::to_string))
        .collect();
    let proof = match (&settings.jwks, &settings.jwks_uri) {
        (Some(_), _) => "jwks",
        (None, Some(_)) => "jwks_uri",
        (None, None) => "secret",
    };
    let introspect = match settings.introspect {
        Introspect::Own => "own",
        Introspect::Any => "any",
    };
    let format = match settings.token_format {
        TokenFormat::Jwt => "jwt",
        TokenFormat::Opaque => "opaque",
    };
    let style = match settings.scope_style {
        ScopeStyle::V2 => "v2",
        ScopeStyle::V1 => "v1",
    };
    Typed::default()
        .with("kind", settings.kind.as_str())
        .with("name", &server.name)
        .with("audience", &server.settings.audience)
        .with("token_format", format)
        .with("token_typ", &settings.token_typ)
        .with("signing_alg", settings.signing_alg.as_str())
        .with("scope_style", style)
        .with("introspect", introspect)
        .with("scopes", scopes.join("\n"))
        .with("scope_map", map.join("\n"))
        .with("proof", proof)
        .with("jwks", settings.jwks.as_deref().unwrap_or_default())
        .with("jwks_uri", settings.jwks_uri.as_deref().unwrap_or_default())
        .with("version", noun::version(server))
        .with("shown", now_ms.to_string())
}

/// Reads what was typed: a whole form.
///
/// # Errors
/// What is wrong before the registry looks at it.
pub fn read(typed: &Typed, id: String) -> Result<Said, Vec<FieldMistake>> {
    let mut wrong = Vec::new();
    let (jwks, jwks_uri) = keys(typed, &mut wrong);
    let scope_map = scope_map(typed, &mut wrong);
    let opaque = typed.get("token_format") == "opaque";
    let chosen = [
        "token_format",
        "signing_alg",
        "scope_style",
        "introspect",
        "kind",
        "audience",
    ];
    let said = Said::new(Map::new(), Merge::Whole)
        .with("id", id)
        .with("name", typed.get("name"));
    let said = chosen
        .into_iter()
        .fold(said, |said, field| said.with_some(field, typed.some(field)))
        // Opaque tokens have none; what is chosen beside that says nothing.
        .with_some("token_typ", typed.some("token_typ").filter(|_| !opaque))
        .with("scope_map", scope_map)
        .with_some(
            "scopes",
            Some(typed.lines("scopes")).filter(|lines| !lines.is_empty()),
        )
        .with_some("jwks", jwks)
        .with_some("jwks_uri", jwks_uri);
    if wrong.is_empty() { Ok(said) } else { Err(wrong) }
}

/// The keys, if it proves itself by keys. What stands in the field of another way says nothing.
fn keys(typed: &Typed, wrong: &mut Vec<FieldMistake>) -> (Option<String>, Option<String>) {
    let mut wanted = |field: &str, text: &str| {
        let given = typed.some(field);
        if given.is_none() {
            wrong.push(FieldMistake::field(field, text));
        }
        given
    };
    match typed.get("proof") {
        "jwks" => (
            wanted(
                "jwks",
                "paste the public keys, or choose another way to prove itself",
            ),
            None,
        ),
        "jwks_uri" => (
            None,
            wanted(
                "jwks_uri",
                "enter the address, or choose another way to prove itself",
            ),
        ),
        "secret" => (None, None),
        _ => {
            wrong.push(FieldMistake::field("proof", "choose how it proves itself"));
            (None, None)
        }
    }
}

/// A line for each scope: `scope = spelling`. A scope may hold a `=` itself, so blanks belong around ours.
fn scope_map(typed: &Typed, wrong: &mut Vec<FieldMistake>) -> Map<String, Value> {
    let mut map = Map::new();
    for line in typed.lines("scope_map") {
        // An empty spelling leaves the scope out.
        match line
            .split_once(" = ")
            .or_else(|| line.strip_suffix(" =").map(|scope| (scope, "")))
        {
            Some((scope, spelling)) => {
                map.insert(scope.trim().to_owned(), spelling.trim().into());
            }
            None => {
                let text =
                    format!("{line:?} must be a scope, a blank, the character =, a blank, and the spelling");
                wrong.push(FieldMistake::field("scope_map", text));
            }
        }
    }
    map
}

/// Looks at the JWKS URL that was typed, if the form asks for that.
pub async fn tried(admin: &AdminRequest, asked: &str, typed: &Typed) -> Option<Findings> {
    if asked != TRY {
        return None;
    }
    Some(jwks_check::look(&admin.app, typed.get("jwks_uri")).await)
}
