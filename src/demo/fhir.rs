//! The stubs of an EDRS and an MDI CMS: resource servers that ask the authorization server about each token
//! (RFC 7662), look at its scopes, and answer with one invented case (FHIR R4, MDI implementation guide).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CACHE_CONTROL, LOCATION, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde_json::{Value, json};

use super::parties::{CMS, DOCUMENT, EDRS, PROCESS_MESSAGE, Parties};
use super::site::Site;
use crate::model::scope::ScopeSet;
use crate::model::secret::Secret;
use crate::oauth::bearer;

/// The code system of the MDI implementation guide.
pub const MDI_CODES: &str = "http://hl7.org/fhir/us/mdi/CodeSystem/cs-mdi-codes";
/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 64 * 1024;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// The death registration system.
    Edrs,
    /// The case management system.
    Cms,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Edrs => "Demo EDRS",
            Self::Cms => "Demo MDI CMS",
        }
    }

    fn base(self, parties: &Parties) -> String {
        match self {
            Self::Edrs => parties.edrs_base(),
            Self::Cms => parties.cms_base(),
        }
    }

    /// With which it authenticates to the authorization server.
    fn login(self, parties: &Parties) -> (&'static str, &Secret) {
        match self {
            Self::Edrs => (EDRS, &parties.secrets.edrs),
            Self::Cms => (CMS, &parties.secrets.cms),
        }
    }

    /// What the authorization server says about a token (RFC 7662 §2.2).
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn introspect(self, site: &Site, token: &Secret) -> Result<Value, String> {
        let form = [("token", token.reveal()), ("token_type_hint", "access_token")];
        site.post("/oauth2/introspect", self.login(&site.parties), &form)
            .await
    }
}

/// Registers the URLs below both bases.
pub fn configure(config: &mut web::ServiceConfig) {
    let not_found = || web::to(async || Refused::not_found().error_response());
    config.service(
        web::scope("/edrs/fhir")
            .route(
                "/metadata",
                web::get().to(async |site: web::Data<Site>| metadata(System::Edrs, &site)),
            )
            .route(
                SMART,
                web::get().to(async |site: web::Data<Site>| smart(System::Edrs, &site)),
            )
            .route("/Composition", web::get().to(search))
            .route("/Composition/$document", web::get().to(get_document))
            .route("/Composition/$document", web::post().to(post_document))
            .default_service(not_found()),
    );
    config.service(
        web::scope("/cms/fhir")
            .route(
                "/metadata",
                web::get().to(async |site: web::Data<Site>| metadata(System::Cms, &site)),
            )
            .route(
                SMART,
                web::get().to(async |site: web::Data<Site>| smart(System::Cms, &site)),
            )
            .route("/$process-message", web::post().to(process_message))
            .default_service(not_found()),
    );
}

const SMART: &str = "/.well-known/smart-configuration";

/// The SMART document is the authorization server's.
fn smart(system: System, site: &web::Data<Site>) -> HttpResponse {
    let (id, _) = system.login(&site.parties);
    HttpResponse::Found()
        .insert_header((
            LOCATION,
            format!("{}/fhir/{id}/smart-configuration", site.parties.issuer()),
        ))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .finish()
}

/// What the stub can do and where its tokens come from, readable without one (FHIR R4 §6.1.0.2).
fn metadata(system: System, site: &web::Data<Site>) -> HttpResponse {
    let issuer = site.parties.issuer();
    let endpoint = |name: &str| json!({ "url": name, "valueUri": format!("{issuer}/oauth2/{name}") });
    let mut rest = json!({
        "mode": "server",
        "security": {
            "service": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                "code": "SMART-on-FHIR",
            }] }],
            "extension": [{
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [endpoint("authorize"), endpoint("token"), endpoint("introspect"), endpoint("revoke")],
            }],
        },
    });
    let can = match system {
        System::Edrs => (
            "resource",
            json!([{
                "type": "Composition",
                "interaction": [{ "code": "search-type" }],
                "operation": [{ "name": "document", "definition": DOCUMENT }],
            }]),
        ),
        System::Cms => (
            "operation",
            json!([{ "name": "process-message", "definition": PROCESS_MESSAGE }]),
        ),
    };
    if let Some(rest) = rest.as_object_mut() {
        rest.insert(can.0.to_owned(), can.1);
    }
    let mut answer = fhir(
        StatusCode::OK,
        &json!({
            "resourceType": "CapabilityStatement",
            "status": "active",
            "experimental": true,
            "date": "2026-01-01",
            "kind": "instance",
            "implementation": { "description": system.name(), "url": system.base(&site.parties) },
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "rest": [rest],
        }),
    );
    answer.headers_mut().insert(
        ACCESS_CONTROL_ALLOW_ORIGIN,
        actix_web::http::header::HeaderValue::from_static("*"),
    );
    answer
}

async fn search(site: web::Data<Site>, request: HttpRequest) -> Result<HttpResponse, Refused> {
    admit(
        &site,
        System::Edrs,
        &request,
        &["system/Composition.s", "user/Composition.s"],
    )
    .await?;
    let base = site.parties.edrs_base();
    Ok(fhir(
        StatusCode::OK,
        &search_set(&base, "Composition/demo-case-1", composition()),
    ))
}

/// What opens `$document`: the operation's own scope, or reading the cases that it collects.
const MAY_LOOK_UP: [&str; 3] = [DOCUMENT, "system/Composition.r", "user/Composition.r"];

async fn get_document(site: web::Data<Site>, request: HttpRequest) -> Result<HttpResponse, Refused> {
    admit(&site, System::Edrs, &request, &MAY_LOOK_UP).await?;
    Ok(document(&site))
}

async fn post_document(
    site: web::Data<Site>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Refused> {
    admit(&site, System::Edrs, &request, &MAY_LOOK_UP).await?;
    let parameters = read(body).await?;
    if parameters.get("resourceType") != Some(&json!("Parameters")) {
        return Err(Refused::invalid("the body must be a FHIR Parameters resource"));
    }
    Ok(document(&site))
}

async fn process_message(
    site: web::Data<Site>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Refused> {
    let may_send = [PROCESS_MESSAGE, "system/MessageHeader.c", "user/MessageHeader.c"];
    admit(&site, System::Cms, &request, &may_send).await?;
    let message = read(body).await?;
    let header = message.pointer("/entry/0/resource");
    let is_message = message.get("type") == Some(&json!("message"))
        && header.and_then(|header| header.get("resourceType")) == Some(&json!("MessageHeader"));
    let Some(header) = header.filter(|_| is_message) else {
        return Err(Refused::invalid(
            "the body must be a Bundle of type message whose first entry is a MessageHeader",
        ));
    };
    Ok(fhir(
        StatusCode::OK,
        &json!({
            "resourceType": "Bundle",
            "meta": test_data(),
            "type": "message",
            "entry": [{ "resource": {
                "resourceType": "MessageHeader",
                "id": "demo-response-1",
                "eventCoding": header.get("eventCoding"),
                "source": { "name": System::Cms.name(), "endpoint": format!("{}/$process-message", site.parties.cms_base()) },
                "response": { "identifier": header.get("id"), "code": "ok" },
            } }],
        }),
    ))
}

/// Lets a request in whose token is active here and has one of the scopes.
async fn admit(site: &Site, system: System, request: &HttpRequest, scopes: &[&str]) -> Result<(), Refused> {
    let Some(token) = bearer::in_header(request) else {
        let why = if request.headers().contains_key(AUTHORIZATION) {
            "the Authorization header holds no bearer token"
        } else {
            "an access token is needed"
        };
        return Err(Refused::unauthorized(system, None, why));
    };
    let answer = system
        .introspect(site, &Secret::new(token))
        .await
        .map_err(|cause| {
            tracing::error!(%cause, "cannot introspect");
            Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "transient",
                "the authorization server does not answer",
            )
        })?;
    if answer.get("active") != Some(&Value::Bool(true)) {
        let why = "the access token is not active here: unknown, expired, revoked, or for another server";
        return Err(Refused::unauthorized(system, Some("invalid_token"), why));
    }
    let granted = answer.get("scope").and_then(Value::as_str).unwrap_or_default();
    let granted: ScopeSet = granted.parse().unwrap_or_default();
    let opens = |scope: &&str| {
        scope
            .parse::<ScopeSet>()
            .is_ok_and(|needed| granted.covers(&needed))
    };
    if scopes.iter().any(opens) {
        Ok(())
    } else {
        Err(Refused::forbidden(system, scopes))
    }
}

async fn read(body: web::Payload) -> Result<Value, Refused> {
    match body.to_bytes_limited(LARGEST_BODY).await {
        Ok(Ok(bytes)) => serde_json::from_slice(&bytes)
            .map_err(|cause| Refused::invalid(&format!("the body is not JSON: {cause}"))),
        Ok(Err(_)) => Err(Refused::invalid("the body could not be read")),
        Err(_) => {
            let why = format!("the body is larger than {LARGEST_BODY} bytes");
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", &why))
        }
    }
}

/// Why a stub does not do what it was asked: an OperationOutcome, with a challenge where a token is at fault.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    /// `http://hl7.org/fhir/issue-type`
    code: &'static str,
    diagnostics: String,
    challenge: Option<String>,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, diagnostics: &str) -> Self {
        Self {
            status,
            code,
            diagnostics: diagnostics.to_owned(),
            challenge: None,
        }
    }

    fn invalid(diagnostics: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", diagnostics)
    }

    fn not_found() -> Self {
        let what = "this stub does not know that; its metadata lists what it knows";
        Self::new(StatusCode::NOT_FOUND, "not-found", what)
    }

    /// RFC 6750 §3: who brings no token is told no error.
    fn unauthorized(system: System, error: Option<&str>, diagnostics: &str) -> Self {
        let mut challenge = format!("Bearer realm=\"{}\"", system.name());
        if let Some(error) = error {
            challenge.push_str(&format!(
                ", error=\"{error}\", error_description=\"{diagnostics}\""
            ));
        }
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::UNAUTHORIZED, "login", diagnostics)
        }
    }

    /// RFC 6750 §3.1 `insufficient_scope`
    fn forbidden(system: System, scopes: &[&str]) -> Self {
        let diagnostics = format!("the access token has none of the scopes {}", scopes.join(" "));
        let wanted = scopes.first().copied().unwrap_or_default();
        let challenge = format!(
            "Bearer realm=\"{}\", error=\"insufficient_scope\", scope=\"{wanted}\"",
            system.name()
        );
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::FORBIDDEN, "forbidden", &diagnostics)
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostics)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = fhir(
            self.status,
            &json!({
                "resourceType": "OperationOutcome",
                "issue": [{ "severity": "error", "code": self.code, "diagnostics": self.diagnostics }],
            }),
        );
        let challenge = self.challenge.as_deref().and_then(|text| text.parse().ok());
        if let Some(challenge) = challenge {
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

fn fhir(status: StatusCode, resource: &Value) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("application/fhir+json")
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(resource.to_string())
}

/// Says that a resource is test data (v3-ActReason HTEST).
fn test_data() -> Value {
    json!({ "tag": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST" }] })
}

fn composition() -> Value {
    json!({
        "resourceType": "Composition",
        "id": "demo-case-1",
        "meta": test_data(),
        "extension": [{
            "url": "http://hl7.org/fhir/us/mdi/StructureDefinition/Extension-tracking-number",
            "valueIdentifier": {
                "type": { "coding": [{ "system": MDI_CODES, "code": "mdi-case-number" }] },
                "value": "DEMO-2026-0001",
            },
        }],
        "status": "preliminary",
        "type": { "coding": [{ "system": "http://loinc.org", "code": "86807-5" }] },
        "subject": { "reference": "Patient/demo-decedent-1" },
        "date": "2026-01-02",
        "author": [{ "reference": "Practitioner/demo-examiner" }],
        "title": "Demo case 1",
        "section": [{
            "code": { "coding": [{ "system": MDI_CODES, "code": "cause-manner" }] },
            "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Pending toxicology</div>" },
        }],
    })
}

/// What `Composition/$document` answers: the documents that were found, here the one.
fn document(site: &Site) -> HttpResponse {
    let base = site.parties.edrs_base();
    let decedent = json!({
        "resourceType": "Patient",
        "id": "demo-decedent-1",
        "meta": test_data(),
        "name": [{ "family": "Demo", "given": ["Decedent"] }],
        "gender": "unknown",
    });
    let certifier = json!({
        "resourceType": "Practitioner",
        "id": "demo-examiner",
        "meta": test_data(),
        "name": [{ "text": "Dana Lehz, MD (Demo)" }],
    });
    let entry =
        |path: &str, resource: Value| json!({ "fullUrl": format!("{base}/{path}"), "resource": resource });
    let found = json!({
        "resourceType": "Bundle",
        "id": "demo-document-1",
        "meta": test_data(),
        "identifier": { "system": format!("{base}/Bundle"), "value": "demo-document-1" },
        "type": "document",
        "timestamp": "2026-01-02T12:00:00Z",
        "entry": [
            entry("Composition/demo-case-1", composition()),
            entry("Patient/demo-decedent-1", decedent),
            entry("Practitioner/demo-examiner", certifier),
        ],
    });
    fhir(
        StatusCode::OK,
        &search_set(&base, "Bundle/demo-document-1", found),
    )
}

fn search_set(base: &str, path: &str, found: Value) -> Value {
    json!({
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 1,
        "entry": [{ "fullUrl": format!("{base}/{path}"), "resource": found, "search": { "mode": "match" } }],
    })
}
