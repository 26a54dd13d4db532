//! The page of one: what is registered, its secrets, what its noun tells beside that, its last events, and what can be
//! done.

use actix_web::http::StatusCode;
use askama::Template;

use super::edit::{usual, values};
use super::field::{self, Fact};
use super::managed::{Asking, Card, Managed, Words, found, path_of};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::events::{self, Told};
use crate::admin::shown_once::Once;
use crate::admin::table::{Cell, Column, Table};
use crate::clock::local_time::When;
use crate::live::valid_secrets;
use crate::model::registered::Registered;
use crate::policy::console::{Area, Right};
use crate::registry::noun::view;
use crate::web::pages::{self, FormAction, Shell};

#[derive(Template)]
#[template(path = "../admin/noun.html")]
struct OnePage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    words: Words,
    list: &'static str,
    path: String,
    id: &'a str,
    id_label: &'static str,
    name: &'a str,
    enabled: bool,
    may_change: bool,
    once: Option<Once>,
    problems: Vec<Card>,
    /// The most used action, and the others: address, id and words.
    first: Option<(String, &'static str, &'static str)>,
    others: Vec<(String, &'static str, &'static str)>,
    facts: Vec<(&'static str, Vec<Fact>)>,
    cards: Vec<Card>,
    secrets: Option<Table>,
    registered: When,
    changed: When,
    /// Its last events; none: not for this person to see.
    last: Option<Vec<Told>>,
    /// Where all of them are.
    all: String,
}

/// `GET`: one whole.
pub async fn get<S: Managed>(admin: AdminRequest) -> Answered {
    let one = found::<S>(&admin).await?;
    let cards = S::cards(&admin, &one).await?;
    page(&admin, &one, cards).await
}

/// The page, with cards.
///
/// # Errors
/// What the database says.
pub async fn page<S: Managed>(admin: &AdminRequest, one: &Registered<S>, cards: Vec<Card>) -> Answered {
    let chosen = view(one).remove(S::CHOSEN);
    let chosen = chosen
        .as_ref()
        .and_then(|value| value.as_str())
        .unwrap_or_default();
    let asking = Asking {
        app: &admin.app,
        chosen,
        before: Some(one),
        agencies: admin.reach(Area::Agencies, Right::Read),
    };
    let mut sections = S::sections(&asking);
    for section in &mut sections {
        // Both are at the head of the page.
        section
            .fields
            .retain(|field| !["name", S::NOUN.id].contains(&field.key));
    }
    let once = admin.once(&one.id);
    let shows_once = once.is_some();
    let path = path_of::<S>(&one.id);
    // Who sees only those of one agency sees no others.
    let may_change = admin.may_somewhere(S::AREA, Right::Change);
    let (problems, cards) = cards.into_iter().partition(|card| card.problem);
    let mut actions: Vec<_> = S::actions(admin, one)
        .into_iter()
        .map(|(word, words)| (format!("{path}/{word}"), word, words))
        .collect();
    if may_change {
        actions.push((format!("{path}/edit"), "edit", "Change"));
    }
    let uses_secret = one.settings.proof().uses_secret() && S::NOUN.secrets.are_theirs();
    let mut actions = actions.into_iter();
    let first = actions.next();
    let page = OnePage {
        shell: admin.shell(),
        frame: admin.frame(S::AREA),
        words: S::WORDS,
        list: S::PATH,
        id: &one.id,
        id_label: if S::NOUN.id == "client_id" {
            "Client ID"
        } else {
            "ID"
        },
        name: &one.name,
        enabled: one.enabled,
        may_change,
        once,
        problems,
        first,
        others: actions.collect(),
        facts: field::facts(&sections, &values(&asking, one), &usual(&asking)),
        cards,
        secrets: uses_secret.then(|| secrets(admin, one)),
        registered: admin.zone.when(one.created_at),
        changed: admin.zone.when(one.updated_at),
        last: events::last_of(admin, S::concerned(&one.id)).await?,
        all: format!("/admin/audit?client={}", one.id),
        path,
    };
    let answer = pages::respond(&page, StatusCode::OK, FormAction::SelfOnly);
    Ok(if shows_once { admin.shown(answer) } else { answer })
}

/// The newest first; of those that ended the last few.
fn secrets<S>(admin: &AdminRequest, one: &Registered<S>) -> Table {
    const SHOWN: usize = 10;
    let valid: Vec<&str> = valid_secrets(&one.secrets, admin.app.now())
        .map(|secret| secret.id.as_str())
        .collect();
    let mut shown: Vec<_> = one.secrets.iter().collect();
    shown.sort_by_key(|secret| std::cmp::Reverse((secret.created_at, secret.expires_at.is_none())));
    let when = |at: i64| Some(admin.zone.when(at));
    let row = |secret: &&crate::model::registered::StoredSecret| {
        let ended = !valid.contains(&secret.id.as_str());
        vec![
            Cell::code(&secret.id).tagged(ended.then_some("Ended"), true),
            Cell::when(when(secret.created_at), ""),
            Cell::when(secret.last_used_at.and_then(when), "Not yet"),
            Cell::when(secret.expires_at.and_then(when), "When you replace it"),
        ]
    };
    Table {
        id: "secrets",
        columns: ["Secret", "Made", "Last used", "Ends"].map(Column::new).to_vec(),
        rows: shown.iter().take(SHOWN).map(row).collect(),
    }
}
