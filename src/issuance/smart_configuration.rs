//! The documents about this server that FHIR servers publish: written here, served by `oauth`, and handed out by the
//! console. They list what works and nothing else.

use serde_json::{Map, Value, json};

use crate::app::App;
use crate::model::client::{AuthMethod, GrantType};
use crate::model::resource_server::ResourceServer;
use crate::model::signing::Algorithm;

/// What SMART App Launch 2.2 calls what we can do.
const CAPABILITIES: [&str; 10] = [
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "permission-user",
    "permission-v1",
    "permission-v2",
    "permission-offline",
];

/// The algorithms of assertions that we accept.
pub fn algorithms() -> Vec<&'static str> {
    Algorithm::ACCEPTED
        .iter()
        .map(|algorithm| algorithm.as_str())
        .collect()
}

/// What all documents for machines begin with (RFC 8414 §2).
pub fn endpoints(app: &App) -> Map<String, Value> {
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("issuer", json!(app.issuer()));
    put("authorization_endpoint", json!(app.url("/oauth2/authorize")));
    put("token_endpoint", json!(app.url("/oauth2/token")));
    put("introspection_endpoint", json!(app.url("/oauth2/introspect")));
    put("revocation_endpoint", json!(app.url("/oauth2/revoke")));
    put("userinfo_endpoint", json!(app.url("/oauth2/userinfo")));
    put("jwks_uri", json!(app.url("/oauth2/jwks")));
    put("response_types_supported", json!(["code"]));
    put("response_modes_supported", json!(["query", "form_post"]));
    put(
        "grant_types_supported",
        json!(
            [
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::ClientCredentials
            ]
            .map(GrantType::as_str)
        ),
    );
    put("code_challenge_methods_supported", json!(["S256"]));
    put(
        "token_endpoint_auth_methods_supported",
        json!(
            [
                AuthMethod::ClientSecretBasic,
                AuthMethod::ClientSecretPost,
                AuthMethod::PrivateKeyJwt,
                AuthMethod::None
            ]
            .map(AuthMethod::as_str)
        ),
    );
    put(
        "token_endpoint_auth_signing_alg_values_supported",
        json!(algorithms()),
    );
    document
}

/// The SMART configuration of a resource server (SMART App Launch 2.2 `.well-known/smart-configuration`).
pub fn smart(app: &App, server: &ResourceServer) -> Value {
    let settings = &server.settings;
    let offered = settings
        .scopes
        .clone()
        .unwrap_or_else(|| app.policy.catalogue(settings.kind).clone());
    let identity = app.policy.scopes_supported();
    let identity = identity
        .iter()
        .filter(|scope| scope.is_identity())
        .map(ToString::to_string);
    let scopes: Vec<String> = identity
        .chain(
            offered
                .iter()
                .filter(|scope| !scope.is_identity())
                .map(ToString::to_string),
        )
        .collect();
    let mut smart = endpoints(app);
    smart.insert("scopes_supported".to_owned(), json!(scopes));
    smart.insert("capabilities".to_owned(), json!(CAPABILITIES));
    Value::Object(smart)
}

/// The part of a FHIR server's CapabilityStatement that says how it is protected (`rest.security`).
pub fn capability_statement(app: &App) -> Value {
    let uri = |name: &str, path: &str| json!({ "url": name, "valueUri": app.url(path) });
    let oauth_uris = json!({
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [
            uri("authorize", "/oauth2/authorize"),
            uri("token", "/oauth2/token"),
            uri("introspect", "/oauth2/introspect"),
            uri("revoke", "/oauth2/revoke"),
        ],
    });
    let capability = |code: &&str| {
        json!({
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/capabilities",
            "valueCode": code,
        })
    };
    let extensions: Vec<Value> = std::iter::once(oauth_uris)
        .chain(CAPABILITIES.iter().map(capability))
        .collect();
    let service = json!({
        "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
            "code": "SMART-on-FHIR",
            "display": "SMART-on-FHIR",
        }],
        "text": "OAuth 2 with SMART App Launch",
    });
    let security = json!({ "extension": extensions, "cors": true, "service": [service] });
    json!({ "rest": [{ "mode": "server", "security": security }] })
}
