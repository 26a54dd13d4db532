//! `GET /admin/api/docs`: the OpenAPI document for people, rendered here, so that it needs neither a script nor the
//! internet; and what each type of problem means.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use serde_json::Value;

use super::address::{BASE, OPENAPI};
use super::openapi::DOCUMENT;
use super::problem::{About, TYPES};
use crate::app::App;
use crate::web::browser;
use crate::web::pages::{self, FormAction, Shell};

#[derive(Template)]
#[template(path = "../admin/api_docs.html")]
struct DocsPage<'a> {
    shell: Shell<'a>,
    base: &'static str,
    openapi: &'static str,
    about: &'a str,
    groups: Vec<Group<'a>>,
    schemas: Vec<Named<'a>>,
    problems: &'static [About],
}

struct Group<'a> {
    name: &'a str,
    says: &'a str,
    operations: Vec<Operation<'a>>,
}

struct Operation<'a> {
    method: String,
    path: &'a str,
    id: &'a str,
    summary: &'a str,
    note: &'a str,
    scopes: Vec<&'a str>,
    parameters: Vec<Parameter<'a>>,
    body: Option<Body<'a>>,
    answers: Vec<Answer<'a>>,
}

struct Parameter<'a> {
    name: &'a str,
    place: &'a str,
    required: bool,
    kind: Kind,
    says: &'a str,
}

struct Body<'a> {
    media_types: Vec<&'a str>,
    kind: Kind,
    example: String,
}

struct Answer<'a> {
    status: &'a str,
    says: &'a str,
    kind: Option<Kind>,
}

struct Named<'a> {
    name: &'a str,
    says: &'a str,
    kind: Kind,
    members: Vec<Parameter<'a>>,
}

/// What a value is, in words; `link` is the schema that says more.
#[derive(Default)]
struct Kind {
    words: String,
    link: Option<String>,
}

/// `GET /admin/api/docs`
pub async fn get(app: web::Data<App>) -> HttpResponse {
    let document: &Value = &DOCUMENT;
    let page = DocsPage {
        shell: browser::shell(&app),
        base: BASE,
        openapi: OPENAPI,
        about: text(document, "/info/description"),
        groups: groups(document),
        schemas: schemas(document),
        problems: &TYPES,
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

/// The parts of a text, and whether each stands between backticks: for the template.
pub fn prose(text: &str) -> Vec<(bool, &str)> {
    text.split('`')
        .enumerate()
        .map(|(place, part)| (place % 2 == 1, part))
        .collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let found = value.get(name).and_then(Value::as_object);
    found
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

fn groups(document: &Value) -> Vec<Group<'_>> {
    let group = |tag| {
        let name = text(tag, "/name");
        Group {
            name,
            says: text(tag, "/description"),
            operations: operations(document, name),
        }
    };
    list(document, "tags").iter().map(group).collect()
}

fn operations<'a>(document: &'a Value, group: &str) -> Vec<Operation<'a>> {
    let mut found = Vec::new();
    for (path, item) in members(document, "paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(operation) = item.get(method) else {
                continue;
            };
            if list(operation, "tags").iter().any(|tag| tag == group) {
                found.push(described(method, path, operation));
            }
        }
    }
    found
}

fn described<'a>(method: &str, path: &'a str, operation: &'a Value) -> Operation<'a> {
    let security = list(operation, "security").first();
    let scopes = security.map(|security| list(security, "token").iter().filter_map(Value::as_str).collect());
    Operation {
        method: method.to_uppercase(),
        path,
        id: text(operation, "/operationId"),
        summary: text(operation, "/summary"),
        note: text(operation, "/description"),
        scopes: scopes.unwrap_or_default(),
        parameters: list(operation, "parameters").iter().map(parameter).collect(),
        body: operation.get("requestBody").and_then(body),
        answers: members(operation, "responses")
            .map(|(status, answer)| answered(status, answer))
            .collect(),
    }
}

fn parameter(parameter: &Value) -> Parameter<'_> {
    Parameter {
        name: text(parameter, "/name"),
        place: text(parameter, "/in"),
        required: parameter.get("required") == Some(&Value::Bool(true)),
        kind: parameter.get("schema").map(kind).unwrap_or_default(),
        says: text(parameter, "/description"),
    }
}

fn body(body: &Value) -> Option<Body<'_>> {
    let (_, content) = members(body, "content").next()?;
    let example = content.get("example").unwrap_or(&Value::Null);
    Some(Body {
        media_types: members(body, "content")
            .map(|(media_type, _)| media_type)
            .collect(),
        kind: content.get("schema").map(kind).unwrap_or_default(),
        example: example
            .as_str()
            .map_or_else(|| format!("{example:#}"), str::to_owned),
    })
}

fn answered<'a>(status: &'a str, answer: &'a Value) -> Answer<'a> {
    let schema = members(answer, "content")
        .next()
        .and_then(|(_, content)| content.get("schema"));
    Answer {
        status,
        says: text(answer, "/description"),
        kind: schema.map(kind),
    }
}

fn kind(schema: &Value) -> Kind {
    if let Some(name) = text(schema, "/$ref")
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
    {
        return Kind {
            words: name.to_owned(),
            link: Some(name.to_owned()),
        };
    }
    if let Some(items) = schema.get("items") {
        let Kind { words, link } = kind(items);
        return Kind {
            words: format!("list of {words}"),
            link,
        };
    }
    if let Some(items) = schema.pointer("/properties/items/items") {
        let Kind { words, link } = kind(items);
        return Kind {
            words: format!("page of {words}"),
            link,
        };
    }
    let choices = list(schema, "oneOf");
    if !choices.is_empty() {
        let kinds: Vec<Kind> = choices
            .iter()
            .map(kind)
            .filter(|kind| kind.words != "null")
            .collect();
        let words: Vec<&str> = kinds.iter().map(|kind| kind.words.as_str()).collect();
        return Kind {
            words: words.join(" or "),
            link: kinds.iter().find_map(|kind| kind.link.clone()),
        };
    }
    let named = list(schema, "enum").iter().filter_map(Value::as_str);
    let words: Vec<&str> = named.collect();
    if !words.is_empty() {
        return Kind {
            words: words.join(", "),
            link: None,
        };
    }
    let types = schema.get("type");
    let types = types.map_or(&[][..], |types| {
        types
            .as_array()
            .map_or(std::slice::from_ref(types), Vec::as_slice)
    });
    let types: Vec<&str> = types
        .iter()
        .filter_map(Value::as_str)
        .filter(|name| *name != "null")
        .collect();
    let format = text(schema, "/format");
    let words = types.join(" or ");
    Kind {
        words: if format.is_empty() {
            words
        } else {
            format!("{words} ({format})")
        },
        link: None,
    }
}

fn schemas(document: &Value) -> Vec<Named<'_>> {
    let components = document.get("components").unwrap_or(&Value::Null);
    members(components, "schemas")
        .map(|(name, schema)| schema_of(name, schema))
        .collect()
}

fn schema_of<'a>(name: &'a str, schema: &'a Value) -> Named<'a> {
    let mut found = Vec::new();
    // What is flattened into it stands in `allOf`.
    for part in std::iter::once(schema).chain(list(schema, "allOf")) {
        if part.get("$ref").is_some() {
            let says = "All its members.";
            found.push(Parameter {
                name: "…",
                place: "",
                required: true,
                kind: kind(part),
                says,
            });
        }
        for (name, member) in members(part, "properties") {
            let required = list(part, "required").iter().any(|required| required == name);
            let choices = list(member, "oneOf")
                .iter()
                .map(|choice| text(choice, "/description"));
            let says = std::iter::once(text(member, "/description"))
                .chain(choices)
                .find(|says| !says.is_empty());
            let says = says.unwrap_or_default();
            found.push(Parameter {
                name,
                place: "",
                required,
                kind: kind(member),
                says,
            });
        }
    }
    Named {
        name,
        says: text(schema, "/description"),
        kind: kind(schema),
        members: found,
    }
}
