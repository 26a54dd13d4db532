//! What we can do, for machines: OpenID Connect Discovery 1.0 §3, RFC 8414 §2, and per resource server the SMART
//! document (SMART App Launch 2.2 `.well-known/smart-configuration`). Always from the configured issuer, never from the
//! Host header; they list what works and nothing else.

use actix_web::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::authorization_request::PROMPTS;
use crate::app::App;
use crate::issuance::INTROSPECT;
use crate::issuance::smart_configuration::{self, algorithms, endpoints};
use crate::model::session::{ACR_AAL1, ACR_AAL2};
use crate::policy::role::role_system;

/// How long a client may keep a document, in seconds.
const KEPT_SECONDS: u32 = 300;

/// The metadata documents, serialised once.
#[derive(Debug)]
pub struct Documents {
    metadata: String,
}

impl Documents {
    /// Writes the documents out.
    pub fn new(app: &App) -> Self {
        let mut document = endpoints(app);
        let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
        let of_policy = app.policy.scopes_supported();
        let scopes: Vec<String> = of_policy
            .iter()
            .map(ToString::to_string)
            .chain([INTROSPECT.to_owned()])
            .collect();
        put("scopes_supported", json!(scopes));
        // RP-Initiated Logout §2.1, Back-Channel Logout §2
        put("end_session_endpoint", json!(app.url("/oauth2/logout")));
        put("backchannel_logout_supported", json!(true));
        put("backchannel_logout_session_supported", json!(true));
        put("subject_types_supported", json!(["public"]));
        put("id_token_signing_alg_values_supported", json!(["RS256"]));
        // IHE ITI-102: the caller's own bearer token is accepted too.
        put(
            "introspection_endpoint_auth_methods_supported",
            json!([
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt",
                "Bearer"
            ]),
        );
        put(
            "introspection_endpoint_auth_signing_alg_values_supported",
            json!(algorithms()),
        );
        put(
            "revocation_endpoint_auth_methods_supported",
            json!([
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt",
                "none"
            ]),
        );
        put(
            "revocation_endpoint_auth_signing_alg_values_supported",
            json!(algorithms()),
        );
        put("authorization_response_iss_parameter_supported", json!(true));
        put("acr_values_supported", json!([ACR_AAL1, ACR_AAL2]));
        put("prompt_values_supported", json!(PROMPTS));
        let own = [
            "sub",
            "iss",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "nonce",
            "acr",
            "amr",
            "at_hash",
            "sid",
            "fhirUser",
            "security",
            "jurisdiction",
            "extensions",
        ];
        let claims: Vec<&str> = own.into_iter().chain(app.policy.standard_claim_names()).collect();
        put("claims_supported", json!(claims));
        put("claims_parameter_supported", json!(true));
        put("request_parameter_supported", json!(false));
        put("request_uri_parameter_supported", json!(false));
        put("ui_locales_supported", json!(["en-US"]));
        Self {
            metadata: Value::Object(document).to_string(),
        }
    }
}

fn document(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, format!("public, max-age={KEPT_SECONDS}")))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(body)
}

/// `GET /.well-known/openid-configuration` and `GET /.well-known/oauth-authorization-server`
pub async fn get(documents: web::Data<Documents>) -> HttpResponse {
    document(documents.metadata.clone())
}

/// `GET /fhir/{resource_server_id}/smart-configuration`: JSON whatever `Accept` says.
pub async fn smart(app: web::Data<App>, id: web::Path<String>) -> HttpResponse {
    let Some(live) = app.live.resource_server(&id).filter(|live| live.is_served()) else {
        return HttpResponse::NotFound()
            .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .json(json!({
                "error": "not_found",
                "error_description": "no resource server has this id",
            }));
    };
    document(smart_configuration::smart(&app, &live.server).to_string())
}

/// `GET /fhir/CodeSystem/mdi-role`: the roles in our tokens, as a FHIR R4 CodeSystem.
pub async fn role_codes(app: web::Data<App>) -> HttpResponse {
    let system_role = app.policy.system_role();
    let mut concepts: Vec<Value> = app
        .policy
        .roles()
        .iter()
        .filter(|role| !role.console)
        .map(|role| json!({ "code": role.code, "display": role.label }))
        .collect();
    concepts.push(json!({ "code": system_role.code, "display": system_role.label }));
    let resource = json!({
        "resourceType": "CodeSystem",
        "id": "mdi-role",
        "url": role_system(app.issuer()),
        "name": "MdiRole",
        "title": "Roles in medicolegal death investigation",
        "status": "active",
        "caseSensitive": true,
        "content": "complete",
        "count": concepts.len(),
        "concept": concepts,
    });
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/fhir+json"))
        .insert_header((CACHE_CONTROL, format!("public, max-age={KEPT_SECONDS}")))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(resource.to_string())
}
