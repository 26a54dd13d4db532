//! The OpenAPI 3.1 document, made from the operations and the types that they read and answer.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, Type as JsonType};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApiBuilder, RefOr, Required,
    Response, ResponseBuilder, Server,
};

use super::address::BASE;
use super::body::Reads;
use super::idempotency::{HEADER, LONGEST_KEY};
use super::noun;
use super::operation::{LONGEST_ID, Operation, Shape};
use super::operations::groups;
use super::problem::{self, TYPES, Type};
use super::query::{Accepts, LARGEST_PAGE, LONGEST_TEXT, PAGE};
use crate::app::App;
use crate::audit::event::Kind;
use crate::model::api_token::ApiScope;
use crate::policy::console::right;

/// The schemas of registered nouns.
const NOUNS: [&str; 4] = ["Agency", "Client", "IdentityProvider", "ResourceServer"];

/// The name of the security scheme.
const SCHEME: &str = "token";

const ABOUT: &str = "What the console does, for programs. Send a token as `Authorization: Bearer mdi_api_…`; \
    `mdi-auth api-token create` and the console make one. Names are those of the apply file, times are RFC 3339. An \
    object's `ETag` is its version: PUT and PATCH want it in `If-Match`, so that nobody's change is lost unseen. A POST \
    with an `Idempotency-Key` may be sent again within 24 hours: it is done once, and answered each time. Secrets and \
    links stand only in the answer that makes them. Whatever is refused is a problem of RFC 9457.";

/// The document.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(document()).unwrap_or_default();
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for (name, schema) in schemas {
            without_defaults(schema, name.ends_with("Form"));
            if NOUNS.iter().any(|one| noun::form_name(one) == *name) {
                with_null(schema);
            } else if name.ends_with("Form") {
                without_null(schema);
            }
        }
    }
    document
});

/// What is left out of a form may stay as it is, so it has no default; and null says nothing as one. Generators would
/// demand what has one.
fn without_defaults(value: &mut Value, is_form: bool) {
    match value {
        Value::Object(members) => {
            if is_form || members.get("default").is_some_and(Value::is_null) {
                members.remove("default");
            }
            members
                .values_mut()
                .for_each(|member| without_defaults(member, is_form));
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| without_defaults(value, is_form)),
        _ => {}
    }
}

/// `GET /admin/api/openapi.json`: with our own address, which generators take as it is.
pub async fn get(app: web::Data<App>) -> HttpResponse {
    let mut document = DOCUMENT.clone();
    if let Some(server) = document.pointer_mut("/servers/0/url") {
        *server = app.url(BASE).into();
    }
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(document)
}

/// Null takes a member away (RFC 7396).
fn with_null(schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(|members| members.values_mut()) {
        let takes_null = |types: &Value| {
            types
                .as_array()
                .is_some_and(|types| types.contains(&json!("null")))
        };
        let has_choices = property.get("oneOf").and_then(Value::as_array);
        let one_is_null = has_choices.is_some_and(|all| all.contains(&json!({ "type": "null" })));
        if one_is_null || property.get("type").is_some_and(takes_null) {
            continue;
        }
        // Of two ways to say it generators know the shorter one best.
        if let Some(kind @ Value::String(_)) = property.get_mut("type") {
            *kind = json!([kind.take(), "null"]);
            if let Some(Value::Array(words)) = property.get_mut("enum") {
                words.push(Value::Null);
            }
        } else if let Some(Value::Array(choices)) = property.get_mut("oneOf") {
            choices.push(json!({ "type": "null" }));
        } else {
            let same = property.take();
            *property = json!({ "anyOf": [same, { "type": "null" }] });
        }
    }
}

/// Forms take no null: what has no value is left out.
fn without_null(schema: &mut Value) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for property in properties.values_mut() {
        let Value::Object(members) = property else {
            continue;
        };
        if let Some(Value::Array(types)) = members.get_mut("type") {
            types.retain(|one| one != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                members.insert("type".to_owned(), one);
            }
        }
        let mut alone = None;
        if let Some(Value::Array(choices)) = members.get_mut("oneOf") {
            choices.retain(|one| one.get("type") != Some(&json!("null")));
            alone = choices.first().filter(|_| choices.len() == 1).cloned();
        }
        if let Some(alone) = alone {
            *property = alone;
        }
    }
}

fn document() -> utoipa::openapi::OpenApi {
    let mut named = BTreeMap::new();
    let mut paths = PathsBuilder::new();
    let mut tags = Vec::new();
    let problem = Shape::of::<problem::Body<'_>>();
    named.extend(problem.named);
    for group in groups() {
        tags.push(
            TagBuilder::new()
                .name(group.name)
                .description(Some(group.says))
                .build(),
        );
        for operation in group.operations {
            let shapes = operation
                .body
                .iter()
                .map(|(shape, _)| shape)
                .chain(&operation.answer);
            named.extend(shapes.flat_map(|shape| shape.named.clone()));
            let item = PathItem::new(method(&operation.method), described(&operation, group.name));
            paths = paths.path(operation.path.as_str(), item);
        }
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("mdi_api_…")
        .description(Some(
            "A token of this API: `mdi-auth api-token create`, or the console.",
        ));
    let license = LicenseBuilder::new()
        .name(env!("CARGO_PKG_LICENSE"))
        .identifier(Some(env!("CARGO_PKG_LICENSE")));
    let info = InfoBuilder::new()
        .title("MDI Auth admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()));
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new(BASE)]))
        .security(Some([SecurityRequirement::new(SCHEME, Vec::<String>::new())]))
        .paths(paths)
        .components(Some(
            ComponentsBuilder::new()
                .schemas_from_iter(named)
                .security_scheme(SCHEME, SecurityScheme::Http(bearer.build()))
                .build(),
        ))
        .tags(Some(tags))
        .build()
}

fn method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// The scopes whose tokens may do it.
fn scopes(operation: &Operation) -> Vec<&'static str> {
    let may = |scope: &ApiScope| right(&[scope.role().to_owned()], operation.area) >= operation.right;
    ApiScope::ALL
        .into_iter()
        .filter(may)
        .map(ApiScope::as_str)
        .collect()
}

fn described(operation: &Operation, group: &str) -> utoipa::openapi::path::Operation {
    let mut described = OperationBuilder::new()
        .tag(group)
        .operation_id(Some(operation.id.as_str()))
        .summary(Some(operation.summary.as_str()))
        .security(SecurityRequirement::new(SCHEME, scopes(operation)));
    if !operation.note.is_empty() {
        described = described.description(Some(operation.note.as_str()));
    }
    for parameter in parameters(operation) {
        described = described.parameter(parameter);
    }
    if let Some((shape, example)) = &operation.body {
        let mut body =
            RequestBodyBuilder::new().required(Some(required(operation.reads != Reads::MaybeJson)));
        // One of them: generators make a method for each.
        for media_type in operation.reads.media_types().iter().take(1) {
            let content = ContentBuilder::new()
                .schema(Some(shape.schema.clone()))
                .example(Some(example.clone()));
            body = body.content(*media_type, content.build());
        }
        described = described.request_body(Some(body.build()));
    }
    described = described.response(operation.status.to_string(), done(operation));
    if operation.versioned && operation.method == Method::GET {
        let unchanged =
            ResponseBuilder::new().description("It is still the version that `If-None-Match` names.");
        described = described.response("304", unchanged.header("ETag", etag()).build());
    }
    let mut problems: BTreeMap<u16, Vec<Type>> = BTreeMap::new();
    for about in TYPES.iter().filter(|about| may_answer(operation, about.kind)) {
        problems.entry(about.status).or_default().push(about.kind);
    }
    for (status, kinds) in problems {
        described = described.response(status.to_string(), refused(&kinds));
    }
    described.build()
}

fn required(required: bool) -> Required {
    if required { Required::True } else { Required::False }
}

fn done(operation: &Operation) -> Response {
    let text = match operation.status {
        201 => "It is made.",
        204 => "It is done.",
        _ => "What was asked for.",
    };
    let mut response = ResponseBuilder::new().description(text);
    if let Some(shape) = &operation.answer {
        let content = ContentBuilder::new().schema(Some(shape.schema.clone()));
        response = response.content("application/json", content.build());
    }
    if operation.versioned && operation.status != 204 {
        response = response.header("ETag", etag());
    }
    if operation.named_by_caller {
        response = response.header("Location", header("Where it is."));
    }
    if operation.repeatable() {
        let what = "`true` where the request was done before under the same key, and this is its answer.";
        response = response.header("Idempotency-Replayed", header(what));
    }
    limits(response).build()
}

fn refused(kinds: &[Type]) -> Response {
    let texts: Vec<&str> = kinds.iter().map(|kind| kind.about().title).collect();
    let content = ContentBuilder::new().schema(Some(Shape::of::<problem::Body<'_>>().schema));
    let mut response = ResponseBuilder::new()
        .description(texts.join("; or: "))
        .content(problem::MEDIA_TYPE, content.build());
    for kind in kinds {
        response = match kind {
            Type::Unauthorized | Type::Forbidden => response.header(
                "WWW-Authenticate",
                header("How to authenticate (RFC 6750 section 3)."),
            ),
            Type::Changed => response.header("ETag", etag()),
            Type::TooMany | Type::Unavailable => {
                response.header("Retry-After", header("After how many seconds to come back."))
            }
            _ => response,
        };
    }
    response.build()
}

fn limits(response: ResponseBuilder) -> ResponseBuilder {
    response
        .header(
            "RateLimit-Policy",
            header("How many requests the token may make within how many seconds."),
        )
        .header(
            "RateLimit",
            header("How many are left, and in how many seconds the count begins anew."),
        )
}

fn etag() -> Header {
    header("The version of the object.")
}

fn header(says: &str) -> Header {
    let mut header = Header::new(Object::with_type(JsonType::String));
    header.description = Some(says.to_owned());
    header
}

/// Whether an operation can answer a type of problem.
fn may_answer(operation: &Operation, kind: Type) -> bool {
    match kind {
        Type::Malformed
        | Type::Unauthorized
        | Type::Forbidden
        | Type::Invalid
        | Type::TooMany
        | Type::Failed
        | Type::Unavailable => true,
        Type::NotFound => operation.path.contains("{id}"),
        Type::Method => false,
        Type::Exists => operation.named_by_caller,
        Type::InUse => operation.versioned && operation.method == Method::DELETE,
        Type::Gone => {
            operation.repeatable() && (operation.named_by_caller || operation.path.ends_with("/secrets"))
        }
        Type::Changed => operation.versioned && matches_version(operation),
        Type::TooLarge | Type::MediaType => operation.reads != Reads::Nothing,
        Type::KeyReused => operation.repeatable(),
        Type::PreconditionRequired => operation.needs_version(),
    }
}

/// Whether an operation looks at `If-Match`.
fn matches_version(operation: &Operation) -> bool {
    operation.needs_version() || (operation.versioned && operation.method == Method::DELETE)
}

fn parameters(operation: &Operation) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    if operation.path.contains("{id}") {
        let schema = text()
            .min_length(Some(1))
            .max_length(Some(LONGEST_ID))
            .pattern(Some("^[A-Za-z0-9._-]+$"));
        parameters.push(parameter("id", ParameterIn::Path, true, "Its id.", schema).build());
    }
    for known in operation.query {
        parameters.push(
            parameter(
                known.name,
                ParameterIn::Query,
                known.required,
                known.says,
                schema(known.accepts),
            )
            .build(),
        );
    }
    if matches_version(operation) {
        let says = "The version that you have seen, or `*` for whatever is there.";
        let found = parameter(
            "If-Match",
            ParameterIn::Header,
            operation.needs_version(),
            says,
            text(),
        );
        parameters.push(found.example(Some(json!("*"))).build());
    }
    if operation.versioned && operation.method == Method::GET {
        let says = "The version that you have: if it is still that one, the answer is 304 without a body.";
        parameters.push(parameter("If-None-Match", ParameterIn::Header, false, says, text()).build());
    }
    if operation.repeatable() {
        let says = "A key of your own for this request: sent again with the same key within 24 hours, it is done once.";
        let schema = text()
            .min_length(Some(1))
            .max_length(Some(LONGEST_KEY))
            .pattern(Some("^[!-~]+$"));
        parameters.push(parameter(HEADER, ParameterIn::Header, false, says, schema).build());
    }
    parameters
}

fn parameter(
    name: &str,
    place: ParameterIn,
    accepts: bool,
    says: &str,
    schema: ObjectBuilder,
) -> ParameterBuilder {
    let schema: RefOr<Schema> = Schema::Object(schema.build()).into();
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required(accepts))
        .description(Some(says))
        .schema(Some(schema))
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(JsonType::String)
}

fn schema(accepts: Accepts) -> ObjectBuilder {
    match accepts {
        Accepts::Text => text().max_length(Some(LONGEST_TEXT)),
        Accepts::Cursor => text().pattern(Some("^[A-Za-z0-9_-]+$")),
        Accepts::Flag => ObjectBuilder::new().schema_type(JsonType::Boolean),
        Accepts::Limit => ObjectBuilder::new()
            .schema_type(JsonType::Integer)
            .minimum(Some(1))
            .maximum(Some(LARGEST_PAGE))
            .default(Some(json!(PAGE))),
        Accepts::Number(most) => ObjectBuilder::new()
            .schema_type(JsonType::Integer)
            .minimum(Some(0))
            .maximum(Some(most)),
        Accepts::Time => text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        Accepts::Word(words) => text().enum_values(Some(words.iter().copied())),
        Accepts::Kind => text().enum_values(Some(Kind::ALL.iter().map(|kind| kind.as_str()))),
    }
}
