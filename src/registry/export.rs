//! The registration as an apply file: agencies, resource servers, clients, identity providers and people, without secrets. Applied
//! to an empty server it makes one whose own export is the same, byte for byte.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::noun::{self, Registrable};
use super::{Refused, Registry, people};
use crate::audit::event::Kind;
use crate::error::Broken;
use crate::model::agency::{Agency, AgencySettings};
use crate::model::client::{Client, ClientSettings};
use crate::model::identity_provider::{IdentityProvider, IdentityProviderSettings};
use crate::model::names::username_key;
use crate::model::person::Person;
use crate::model::registered;
use crate::model::resource_server::{ResourceServer, ResourceServerSettings};
use crate::store::{self, Conn, Stored, people as stored_people, registered as stored};

/// How many people are read at once.
const BATCH: i64 = 1000;

/// What stands at the top of the file.
const HEAD: &str = "\
# The registration of an MDI Auth server, for `mdi-auth apply FILE` or the console. It holds no secrets and no passwords.
# Where it is applied to an empty server:
# - Clients and resource servers that prove themselves by secret get new secrets, which are shown once.
# - People get invitations; they choose passwords and set up their second factors anew. Who was linked with an identity
#   at an agency is linked anew.
# - Roles and dataflows are those of the policy file, which is not part of this file.
";

/// An object of the file: its keys in the order of the alphabet, behind those that name it.
struct Entry {
    names: [(&'static str, Value); 2],
    rest: Map<String, Value>,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.names {
            map.serialize_entry(key, value)?;
        }
        for (key, value) in &self.rest {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct File {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    agency: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_server: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    client: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identity_provider: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    user: Vec<Entry>,
}

/// All that is registered.
struct Registered {
    agencies: Vec<Agency>,
    servers: Vec<ResourceServer>,
    clients: Vec<Client>,
    providers: Vec<IdentityProvider>,
    people: Vec<Person>,
}

/// Writes the registration out, with or without people, and records who took it. Must not run where async tasks run.
pub fn export(registry: &Registry, with_people: bool) -> Result<String, Refused> {
    let read = move |conn: &mut Conn| store::snapshot(conn, |conn| registered(conn, with_people));
    let mut all = registry.app.store.read_blocking(read)?;
    // The databases have orders of their own.
    all.agencies.sort_by(|one, other| one.id.cmp(&other.id));
    all.servers.sort_by(|one, other| one.id.cmp(&other.id));
    all.clients.sort_by(|one, other| one.id.cmp(&other.id));
    all.providers.sort_by(|one, other| one.id.cmp(&other.id));
    all.people
        .sort_by_cached_key(|person| username_key(&person.username));
    let text = write(&all)?;
    let event = registry
        .event(Kind::Exported, "configuration")
        .with("people", all.people.len().to_string());
    registry.app.store.write_blocking(move |tx| {
        tx.audit(event.clone());
        Ok(())
    })?;
    Ok(text)
}

fn registered(conn: &mut Conn, with_people: bool) -> Stored<Registered> {
    Ok(Registered {
        agencies: stored::all::<AgencySettings>(conn)?,
        servers: stored::all::<ResourceServerSettings>(conn)?,
        clients: stored::all::<ClientSettings>(conn)?,
        providers: stored::all::<IdentityProviderSettings>(conn)?,
        people: if with_people { everybody(conn)? } else { Vec::new() },
    })
}

fn everybody(conn: &mut Conn) -> Stored<Vec<Person>> {
    let mut everybody: Vec<Person> = Vec::new();
    loop {
        let after = everybody.last().map_or("", |person| person.username.as_str());
        let more = stored_people::page(conn, after, BATCH)?;
        if more.is_empty() {
            return Ok(everybody);
        }
        everybody.extend(more);
    }
}

fn write(all: &Registered) -> Result<String, Broken> {
    let file = File {
        agency: all.agencies.iter().map(of_noun).collect(),
        resource_server: all.servers.iter().map(of_noun).collect(),
        client: all.clients.iter().map(of_noun).collect(),
        identity_provider: all.providers.iter().map(provider).collect(),
        user: all.people.iter().map(person).collect(),
    };
    let tables = toml::to_string(&file).map_err(Broken::defect)?;
    let with_secret = all
        .providers
        .iter()
        .filter(|provider| provider.settings.auth_method.uses_secret());
    let with_secret: Vec<&str> = with_secret.map(|provider| provider.id.as_str()).collect();
    let reminder = if with_secret.is_empty() {
        String::new()
    } else {
        format!(
            "# - Nobody signs in with these identity providers until you enter our secret there again: {}.\n",
            with_secret.join(", ")
        )
    };
    Ok(format!("{HEAD}{reminder}\n{tables}"))
}

/// The keys that name an object, and the rest of its view without what is empty by default.
fn entry(id_key: &'static str, id: &str, name: &str, mut view: Map<String, Value>) -> Entry {
    for key in [id_key, "name"] {
        view.remove(key);
    }
    view.retain(|_, value| value.as_object().is_none_or(|table| !table.is_empty()));
    Entry {
        names: [(id_key, Value::from(id)), ("name", Value::from(name))],
        rest: view,
    }
}

fn of_noun<S: Registrable>(registered: &registered::Registered<S>) -> Entry {
    entry(
        S::NOUN.id,
        &registered.id,
        &registered.name,
        noun::view(registered),
    )
}

fn provider(provider: &IdentityProvider) -> Entry {
    let mut view = noun::view(provider);
    // A file has no secrets.
    if provider.settings.auth_method.uses_secret() {
        view.insert("secret_later".to_owned(), Value::Bool(true));
    } else {
        view.remove("secret_later");
    }
    entry("id", &provider.id, &provider.name, view)
}

fn person(person: &Person) -> Entry {
    entry("username", &person.username, &person.name, people::view(person))
}
