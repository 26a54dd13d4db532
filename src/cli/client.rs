//! `mdi-auth client`: systems and applications that ask for tokens.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::input::{OrganizationArguments, given, read_file, read_secret, word};
use super::outcome::{CommandRefused, Done};
use super::output::{print, print_json, print_object, print_table, time};
use super::start::Start;
use crate::model::client::{AuthMethod, Client, Consent};
use crate::model::security_label::Confidentiality;
use crate::model::signing::Algorithm;
use crate::registry::clients::{self, ClientForm};
use crate::registry::secrets::{DEFAULT_OVERLAP_SECONDS, Rotated, view as view_secrets};
use crate::registry::vendor_links;
use crate::registry::{Refused, Registry};
use crate::store::clients as stored;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a client
    Register(Box<Register>),
    /// List all clients
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a client
    Show {
        /// Its id
        client_id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new secret and show it once
    RotateSecret {
        /// Its id
        client_id: String,
        #[command(flatten)]
        overlap: Overlap,
    },
    /// Make a link for the vendor, to the hand-off sheet and the connection check, and show it once
    VendorLink {
        /// Its id
        client_id: String,
        /// How many days it works
        #[arg(long, default_value_t = vendor_links::DEFAULT_DAYS)]
        days: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End the vendor's link
    EndVendorLink {
        /// Its id
        client_id: String,
    },
    /// Refuse a client everything, and end its tokens
    Disable {
        /// Its id
        client_id: String,
    },
    /// Serve a disabled client again
    Enable {
        /// Its id
        client_id: String,
    },
    /// Delete a client with its grants and tokens
    Delete {
        /// Its id
        client_id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Overlap {
    /// How long the old secret stays valid; 0 ends it at once
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_OVERLAP_SECONDS)]
    pub overlap_seconds: i64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Register {
    /// The dataflow it takes part in, such as lims-to-cms
    #[arg(long)]
    dataflow: String,
    /// Its name for people
    #[arg(long)]
    name: String,
    /// Its id; one is made without
    #[arg(long)]
    client_id: Option<String>,
    /// A file with its public keys (JWKS)
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Where its public keys are fetched
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// client_secret_basic, client_secret_post, private_key_jwt or none
    #[arg(long, value_parser = word::<AuthMethod>, value_name = "METHOD")]
    auth_method: Option<AuthMethod>,
    /// Read its secret from stdin instead of making one
    #[arg(long)]
    secret_stdin: bool,
    /// A redirect URI; may repeat
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Where a browser may go after sign-out; may repeat
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// Where it is told that a session has ended
    #[arg(long, value_name = "URL")]
    backchannel_logout_uri: Option<String>,
    /// It cannot do without the session id in what it is told
    #[arg(long)]
    backchannel_logout_session_required: bool,
    /// A resource server it may use; may repeat; without it, the only one of the dataflow's kind
    #[arg(long, value_name = "ID")]
    resource_server: Vec<String>,
    /// A grant_type; may repeat; narrows the dataflow
    #[arg(long, value_name = "GRANT_TYPE")]
    grant: Vec<String>,
    /// Scopes; may repeat; narrows the dataflow
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// A purpose of use; may repeat; narrows the dataflow
    #[arg(long, value_name = "CODE")]
    purpose: Vec<String>,
    /// The highest confidentiality of its tokens: U L M N R V
    #[arg(long, value_parser = word::<Confidentiality>, value_name = "CODE")]
    confidentiality: Option<Confidentiality>,
    /// ask or skip: whether people are asked
    #[arg(long, value_parser = word::<Consent>)]
    consent: Option<Consent>,
    /// An origin of its browser code; may repeat
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// What its assertions may be signed with; may repeat
    #[arg(long, value_parser = word::<Algorithm>, value_name = "ALG")]
    signing_alg: Vec<Algorithm>,
    #[command(flatten)]
    organization: OrganizationArguments,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(start: &Start, command: Command) -> Done {
    let registry = start.registry()?;
    match command {
        Command::Register(arguments) => register(&registry, *arguments),
        Command::List { json } => list(&registry, json),
        Command::Show { client_id, json } => show(&registry, client_id, json),
        Command::RotateSecret { client_id, overlap } => {
            let (id, seconds) = (client_id.clone(), overlap.overlap_seconds);
            let rotated =
                registry.blocking(move |registry, tx| clients::rotate_secret(registry, tx, &id, seconds))?;
            print_rotated(&client_id, &rotated, overlap.json)
        }
        Command::VendorLink {
            client_id,
            days,
            json,
        } => {
            let id = client_id.clone();
            let issued =
                registry.blocking(move |registry, tx| vendor_links::issue(registry, tx, &id, days))?;
            if json {
                let link = json!({ "url": issued.url.reveal(), "expires_at": issued.expires_at });
                return print_json(&link);
            }
            print(format_args!("url      {}", issued.url.reveal()))?;
            print(format_args!("expires  {}", time(issued.expires_at)))?;
            print("the link is shown this once; the one before it does not work any more")
        }
        Command::EndVendorLink { client_id } => {
            let id = client_id.clone();
            let ended = registry.blocking(move |registry, tx| vendor_links::end(registry, tx, &id))?;
            let what = if ended {
                "ended the vendor's link of"
            } else {
                "there is no vendor's link of"
            };
            print(format_args!("{what} {client_id}"))
        }
        Command::Disable { client_id } => set_enabled(&registry, client_id, false),
        Command::Enable { client_id } => set_enabled(&registry, client_id, true),
        Command::Delete { client_id } => {
            let id = client_id.clone();
            registry.blocking(move |registry, tx| clients::delete(registry, tx, &id))?;
            print(format_args!("deleted {client_id}"))
        }
    }
}

fn register(registry: &Registry, arguments: Register) -> Done {
    let form = ClientForm {
        client_id: Some(
            arguments
                .client_id
                .unwrap_or_else(|| registry.app().entropy.id("client")),
        ),
        name: Some(arguments.name),
        dataflow: Some(arguments.dataflow),
        auth_method: arguments.auth_method,
        secret: if arguments.secret_stdin {
            Some(read_secret()?)
        } else {
            None
        },
        jwks: arguments
            .jwks
            .map(|file| read_file(&file))
            .transpose()?
            .map(Value::String),
        jwks_uri: arguments.jwks_uri,
        organization: arguments.organization.into_organization(),
        resource_servers: given(arguments.resource_server),
        redirect_uris: given(arguments.redirect_uri),
        post_logout_redirect_uris: given(arguments.post_logout_redirect_uri),
        backchannel_logout_uri: arguments.backchannel_logout_uri,
        backchannel_logout_session_required: arguments.backchannel_logout_session_required.then_some(true),
        grants: given(arguments.grant).map(Into::into),
        scopes: given(arguments.scope).map(Into::into),
        purposes: given(arguments.purpose).map(Into::into),
        consent: arguments.consent,
        cors_origins: given(arguments.cors_origin),
        signing_algs: given(arguments.signing_alg),
        confidentiality: arguments.confidentiality,
        ..ClientForm::default()
    };
    let (client, secret) = registry.blocking(move |registry, tx| clients::register(registry, tx, &form))?;
    let mut shown = Map::new();
    shown.insert("client_id".to_owned(), json!(client.id));
    if let Some(secret) = &secret {
        shown.insert("client_secret".to_owned(), json!(secret.reveal()));
    }
    shown.insert("dataflow".to_owned(), json!(client.dataflow));
    shown.insert(
        "resource_servers".to_owned(),
        json!(client.settings.resource_servers),
    );
    shown.insert(
        "token_endpoint_auth_method".to_owned(),
        json!(client.settings.auth_method),
    );
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

/// Prints a new secret, once.
pub(super) fn print_rotated(id: &str, rotated: &Rotated, json: bool) -> Done {
    if json {
        return print_json(&json!({
            "client_id": id,
            "client_secret": rotated.secret.reveal(),
            "old_secret_expires_at": rotated.old_ends_at,
        }));
    }
    print(format_args!("client_id      {id}"))?;
    print(format_args!("client_secret  {}", rotated.secret.reveal()))?;
    match rotated.old_ends_at {
        Some(ends_at) => print(format_args!(
            "the secret is shown this once; the old one ends at {}",
            time(ends_at)
        )),
        None => print("the secret is shown this once"),
    }
}

fn view(client: &Client) -> Map<String, Value> {
    let mut view = clients::view(client);
    view.insert("client_id".to_owned(), json!(client.id));
    view.insert("created_at".to_owned(), json!(client.created_at));
    view.insert("updated_at".to_owned(), json!(client.updated_at));
    view.insert("secrets".to_owned(), view_secrets(&client.secrets));
    view
}

fn list(registry: &Registry, json: bool) -> Done {
    let all = registry.app().store.read_blocking(stored::all)?;
    if json {
        return print_json(&all.iter().map(|client| Value::Object(view(client))).collect());
    }
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|client| {
            let state = if client.enabled { "enabled" } else { "disabled" };
            let method = client.settings.auth_method.as_str().to_owned();
            vec![
                client.id,
                client.dataflow,
                method,
                client.settings.resource_servers.join(" "),
                state.to_owned(),
                client.name,
            ]
        })
        .collect();
    print_table(
        &[
            "CLIENT_ID",
            "DATAFLOW",
            "AUTHENTICATION",
            "RESOURCE SERVERS",
            "STATE",
            "NAME",
        ],
        &rows,
    )
}

fn show(registry: &Registry, id: String, json: bool) -> Done {
    let shown = id.clone();
    let client = registry
        .app()
        .store
        .read_blocking(move |conn| stored::find(conn, &id))?;
    let client = client.ok_or_else(|| CommandRefused(format!("no client has the id {shown:?}")))?;
    if json {
        print_json(&Value::Object(view(&client)))
    } else {
        print_object(&view(&client))
    }
}

fn set_enabled(registry: &Registry, id: String, enabled: bool) -> Done {
    let shown = id.clone();
    let changed: Result<bool, Refused> =
        registry.blocking(move |registry, tx| clients::set_enabled(registry, tx, &id, enabled));
    print_enabled(&shown, enabled, changed?)
}

/// Says whether something was disabled or enabled.
pub(super) fn print_enabled(id: &str, enabled: bool, changed: bool) -> Done {
    let state = if enabled { "enabled" } else { "disabled" };
    if changed {
        print(format_args!("{state} {id}"))
    } else {
        print(format_args!("{id} was {state} already"))
    }
}
