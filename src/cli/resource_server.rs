//! `mdi-auth resource-server`: the FHIR servers that accept our tokens.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Overlap, print_enabled, print_rotated};
use super::input::{given, read_file, read_secret, word};
use super::outcome::{CommandRefused, Done};
use super::output::{print, print_json, print_object, print_table};
use super::start::Start;
use crate::model::kind::Kind;
use crate::model::resource_server::{Introspect, ResourceServer, TokenFormat};
use crate::model::scope::ScopeStyle;
use crate::model::signing::Algorithm;
use crate::registry::resource_servers::{self, ResourceServerForm};
use crate::registry::secrets::view as view_secrets;
use crate::registry::{Registry, keys};
use crate::store::resource_servers as stored;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a resource server
    Register(Box<Register>),
    /// List all resource servers
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a resource server
    Show {
        /// Its id
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new secret for introspection and show it once
    RotateSecret {
        /// Its id
        id: String,
        #[command(flatten)]
        overlap: Overlap,
    },
    /// Issue no more tokens for it, and answer it nothing
    Disable {
        /// Its id
        id: String,
    },
    /// Serve a disabled resource server again
    Enable {
        /// Its id
        id: String,
    },
    /// Delete a resource server that no client uses
    Delete {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Register {
    /// Its id, and its client_id for introspection
    #[arg(long)]
    id: String,
    /// Its name for people
    #[arg(long)]
    name: String,
    /// Its FHIR base: what aud says and requests name
    #[arg(long, value_name = "URL")]
    audience: String,
    /// edrs, cms or other
    #[arg(long, value_parser = word::<Kind>)]
    kind: Option<Kind>,
    /// jwt or opaque
    #[arg(long, value_parser = word::<TokenFormat>)]
    token_format: Option<TokenFormat>,
    /// at+jwt, or JWT for servers that refuse at+jwt
    #[arg(long)]
    token_typ: Option<String>,
    /// ES256, RS256, PS256, ES384 or EdDSA
    #[arg(long, value_parser = word::<Algorithm>, value_name = "ALG")]
    signing_alg: Option<Algorithm>,
    /// v2 or v1: how SMART scopes are spelled in its tokens
    #[arg(long, value_parser = word::<ScopeStyle>)]
    scope_style: Option<ScopeStyle>,
    /// own or any: whose tokens it may ask about
    #[arg(long, value_parser = word::<Introspect>)]
    introspect: Option<Introspect>,
    /// Scopes that it offers; may repeat; without it, those of its kind
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// A file with its public keys (JWKS)
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Where its public keys are fetched
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// Read its secret from stdin instead of making one
    #[arg(long)]
    secret_stdin: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(start: &Start, command: Command) -> Done {
    let registry = start.registry()?;
    match command {
        Command::Register(arguments) => register(&registry, *arguments),
        Command::List { json } => list(&registry, json),
        Command::Show { id, json } => show(&registry, id, json),
        Command::RotateSecret { id, overlap } => {
            let (owner, seconds) = (id.clone(), overlap.overlap_seconds);
            let rotated = registry.blocking(move |registry, tx| {
                resource_servers::rotate_secret(registry, tx, &owner, seconds)
            })?;
            print_rotated(&id, &rotated, overlap.json)
        }
        Command::Disable { id } => set_enabled(&registry, &id, false),
        Command::Enable { id } => set_enabled(&registry, &id, true),
        Command::Delete { id } => {
            let shown = id.clone();
            registry.blocking(move |registry, tx| resource_servers::delete(registry, tx, &id))?;
            print(format_args!("deleted {shown}"))
        }
    }
}

fn register(registry: &Registry, arguments: Register) -> Done {
    let form = ResourceServerForm {
        id: Some(arguments.id),
        name: Some(arguments.name),
        audience: Some(arguments.audience),
        secret: if arguments.secret_stdin {
            Some(read_secret()?)
        } else {
            None
        },
        token_format: arguments.token_format,
        token_typ: arguments.token_typ,
        signing_alg: arguments.signing_alg,
        scope_style: arguments.scope_style,
        introspect: arguments.introspect,
        kind: arguments.kind,
        scopes: given(arguments.scope).map(Into::into),
        jwks: arguments
            .jwks
            .map(|file| read_file(&file))
            .transpose()?
            .map(Value::String),
        jwks_uri: arguments.jwks_uri,
        ..ResourceServerForm::default()
    };
    let wanted = form
        .signing_alg
        .filter(|algorithm| Algorithm::SIGNING.contains(algorithm))
        .unwrap_or(Algorithm::ES256);
    let spare = keys::spare(registry, &[wanted])?;
    let (server, secret) =
        registry.blocking(move |registry, tx| resource_servers::register(registry, tx, &form, &spare))?;
    let mut shown = Map::new();
    shown.insert("id".to_owned(), json!(server.id));
    shown.insert("audience".to_owned(), json!(server.audience));
    shown.insert("client_id".to_owned(), json!(server.id));
    if let Some(secret) = &secret {
        shown.insert("client_secret".to_owned(), json!(secret.reveal()));
    }
    if arguments.json {
        return print_json(&Value::Object(shown));
    }
    print_object(&shown)?;
    if secret.is_some() {
        print("the secret is shown this once; the database keeps its hash only")
    } else {
        Ok(())
    }
}

fn view(server: &ResourceServer) -> Map<String, Value> {
    let mut view = resource_servers::view(server);
    view.insert("id".to_owned(), json!(server.id));
    view.insert("created_at".to_owned(), json!(server.created_at));
    view.insert("updated_at".to_owned(), json!(server.updated_at));
    view.insert("secrets".to_owned(), view_secrets(&server.secrets));
    view
}

fn list(registry: &Registry, json: bool) -> Done {
    let all = registry.app().store.read_blocking(stored::all)?;
    if json {
        return print_json(&all.iter().map(|server| Value::Object(view(server))).collect());
    }
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|server| {
            let state = if server.enabled { "enabled" } else { "disabled" };
            let (kind, alg) = (
                server.settings.kind.to_string(),
                server.settings.signing_alg.as_str().to_owned(),
            );
            vec![
                server.id,
                kind,
                server.audience,
                alg,
                state.to_owned(),
                server.name,
            ]
        })
        .collect();
    print_table(&["ID", "KIND", "AUDIENCE", "SIGNED WITH", "STATE", "NAME"], &rows)
}

fn show(registry: &Registry, id: String, json: bool) -> Done {
    let shown = id.clone();
    let server = registry
        .app()
        .store
        .read_blocking(move |conn| stored::find(conn, &id))?;
    let server = server.ok_or_else(|| CommandRefused(format!("no resource server has the id {shown:?}")))?;
    if json {
        print_json(&Value::Object(view(&server)))
    } else {
        print_object(&view(&server))
    }
}

fn set_enabled(registry: &Registry, id: &str, enabled: bool) -> Done {
    let owner = id.to_owned();
    let changed = registry
        .blocking(move |registry, tx| resource_servers::set_enabled(registry, tx, &owner, enabled))?;
    print_enabled(id, enabled, changed)
}
