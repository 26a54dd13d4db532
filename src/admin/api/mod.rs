//! The admin API: everything that the console does, for programs, through the same `registry`. One list of operations
//! makes its addresses, its checks and its OpenAPI document.

pub mod access;
pub mod address;
pub mod body;
pub mod docs;
pub mod idempotency;
pub mod openapi;
pub mod operation;
pub mod operations;
pub mod problem;
pub mod query;
pub mod reply;

mod access_review;
mod agencies;
mod api_tokens;
mod apply;
mod audit;
mod clients;
mod identity_providers;
mod keys;
mod noun;
mod policy;
mod resource_servers;
mod sessions_and_grants;
mod users;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use self::operation::{Operation, run};
use self::problem::{Problem, Type};
use crate::app::App;

pub use self::address::{BASE, DOCS, OPENAPI};
pub use self::operation::Group;
pub use self::operations::groups;

/// The addresses.
pub fn urls(config: &mut web::ServiceConfig) {
    let mut resources: BTreeMap<String, Vec<Rc<Operation>>> = BTreeMap::new();
    for operation in groups().into_iter().flat_map(|group| group.operations) {
        resources
            .entry(operation.path.clone())
            .or_default()
            .push(Rc::new(operation));
    }
    let mut scope = web::scope("/admin/api")
        .service(only_get(OPENAPI).route(web::get().to(openapi::get)))
        .service(only_get(DOCS).route(web::get().to(docs::get)));
    for (path, operations) in resources {
        let methods: Vec<&str> = operations
            .iter()
            .map(|operation| operation.method.as_str())
            .collect();
        let mut resource = resource(&format!("/v1{path}"), methods.join(", "));
        for operation in operations {
            let method = operation.method.clone();
            let handler = move |app: web::Data<App>, request: HttpRequest, payload: web::Payload| {
                let operation = Rc::clone(&operation);
                async move { run(&operation, &app.into_inner(), &request, payload).await }
            };
            resource = resource.route(web::method(method).to(handler));
        }
        scope = scope.service(resource);
    }
    config.service(scope.default_service(web::to(not_found)));
}

fn only_get(path: &str) -> actix_web::Resource {
    resource(path.strip_prefix("/admin/api").unwrap_or(path), "GET".to_owned())
}

/// A resource that says which methods it knows.
fn resource(path: &str, allow: String) -> actix_web::Resource {
    let allow: Arc<str> = allow.into();
    web::resource(path).default_service(web::to(move |app: web::Data<App>| {
        let allow = Arc::clone(&allow);
        async move { Problem::method(&allow).answer(&app) }
    }))
}

async fn not_found(app: web::Data<App>) -> HttpResponse {
    Problem::new(
        Type::NotFound,
        format!("there is no such address; {DOCS} lists them"),
    )
    .answer(&app)
}
