//! What somebody else changed since a form was shown: whoever saves too late is told who, when and what.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::app::App;
use crate::audit::event::Kind;
use crate::clock::local_time::{When, Zone};
use crate::error::Broken;
use crate::policy::console::Reach;
use crate::registry::{Difference, differences};
use crate::store::audit::{self, AuditRow, Concerned};
use crate::store::people;

/// How many changes are told.
const TOLD: i64 = 10;
/// How long ago a form may have been shown, in milliseconds: what changed before is not looked for.
const LOOKED_BACK_MS: i64 = 7 * 86_400_000;

/// A change that was made meanwhile.
#[derive(Debug, Clone)]
pub struct Changed {
    /// Who made it.
    pub who: String,
    /// When.
    pub at: When,
    /// What was done: `changed`, `disabled`, ….
    pub action: String,
    /// Which fields, before and after.
    pub fields: Vec<Difference>,
}

/// What was changed since a form was shown (milliseconds since the epoch), the newest first.
pub async fn since(
    app: &App,
    subject: &Concerned,
    shown_ms: i64,
    (zone, reach): (&Zone, &Reach),
) -> Result<Vec<Changed>, Broken> {
    const PERSON: [Kind; 2] = [Kind::PersonChanged, Kind::RolesChanged];
    const CLIENT: [Kind; 3] = [
        Kind::ClientChanged,
        Kind::ResourceServerChanged,
        Kind::SecretChanged,
    ];
    const PROVIDER: [Kind; 1] = [Kind::IdentityProviderChanged];
    const AGENCY: [Kind; 1] = [Kind::AgencyChanged];
    let since_ms = shown_ms.max(app.clock.now_millis() - LOOKED_BACK_MS);
    let subject = subject.clone();
    let (rows, names) = app
        .store
        .read(move |conn| {
            let kinds: &[Kind] = match &subject {
                Concerned::Person(_) => &PERSON,
                Concerned::Client(_) => &CLIENT,
                Concerned::Provider(_) => &PROVIDER,
                Concerned::Agency(_) => &AGENCY,
            };
            let mut rows = audit::last_of(conn, &subject, kinds, since_ms, TOLD)?;
            let named = match &subject {
                Concerned::Provider(id) => Some(("provider", id)),
                Concerned::Agency(id) => Some(("agency", id)),
                Concerned::Person(_) | Concerned::Client(_) => None,
            };
            if let Some((member, id)) = named {
                rows.retain(|row| body(row).detail.get(member) == Some(id));
            }
            let actors: Vec<String> = rows.iter().map(|row| body(row).actor).collect();
            let names = people::names(conn, &actors)?;
            Ok((rows, names))
        })
        .await?;
    let names: HashMap<String, String> = names.into_iter().map(|(id, name, _)| (id, name)).collect();
    let seen = rows.iter().filter(|row| is_own(row, reach));
    let told = seen.map(|row| told(row, &names, zone, reach));
    // Of what is another agency's affair alone nothing is left to tell.
    Ok(told
        .filter(|changed| reach.agencies().is_none() || !changed.fields.is_empty())
        .collect())
}

/// What an event says, as far as it is told.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Body {
    actor: String,
    actor_kind: String,
    detail: HashMap<String, String>,
}

fn body(row: &AuditRow) -> Body {
    serde_json::from_str(&row.body).unwrap_or_default()
}

/// One of the two objects of a change, without what is other agencies' affair.
fn object(body: &Body, name: &str, reach: &Reach) -> Map<String, Value> {
    let text = body.detail.get(name);
    let mut object: Map<String, Value> = text
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if let Some(Value::Array(memberships)) = object.get_mut("memberships") {
        memberships.retain(|membership| reach.holds_for(membership.get("agency").and_then(Value::as_str)));
    }
    object
}

/// Whether a change is of the time when it belonged to an agency that whoever looks knows of.
fn is_own(row: &AuditRow, reach: &Reach) -> bool {
    let body = body(row);
    let own = |name: &str| {
        let object = object(&body, name, reach);
        object.is_empty() || reach.holds_for(object.get("agency").and_then(Value::as_str))
    };
    own("before") && own("after")
}

fn told(row: &AuditRow, names: &HashMap<String, String>, zone: &Zone, reach: &Reach) -> Changed {
    let body = body(row);
    let (before, after) = (object(&body, "before", reach), object(&body, "after", reach));
    // Whoever looks after everybody is not for others to know.
    let who = match body.actor_kind.as_str() {
        _ if reach.agencies().is_some() => "Somebody else".to_owned(),
        "person" => names.get(&body.actor).cloned().unwrap_or(body.actor),
        "operator" => format!("{} at the command line", body.actor),
        "api_token" => format!("a program with the token {}", body.actor),
        "client" => format!("the system {}", body.actor),
        _ => "the server by itself".to_owned(),
    };
    Changed {
        who,
        at: zone.when(row.at_ms.div_euclid(1000)),
        action: body
            .detail
            .get("action")
            .map(|action| action.replace('_', " "))
            .unwrap_or_default(),
        fields: differences(&before, &after),
    }
}
