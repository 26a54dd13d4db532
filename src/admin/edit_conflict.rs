//! What somebody else changed since a form was shown: whoever saves too late is told who, when and what.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::app::App;
use crate::audit::event::Kind;
use crate::clock::local_time::{When, Zone};
use crate::error::Broken;
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
    zone: &Zone,
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
    Ok(rows.iter().map(|row| told(row, &names, zone)).collect())
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

fn told(row: &AuditRow, names: &HashMap<String, String>, zone: &Zone) -> Changed {
    let body = body(row);
    let object = |name: &str| -> Map<String, Value> {
        body.detail
            .get(name)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    };
    let who = match body.actor_kind.as_str() {
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
        fields: differences(&object("before"), &object("after")),
    }
}
