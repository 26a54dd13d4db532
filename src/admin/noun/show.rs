//! The page of one: what is registered, its secrets, what its noun tells beside that, its last events, and what can be
//! done.

use super::edit::{usual, values};
use super::field;
use super::managed::{Asking, Managed, found, path_of};
use crate::admin::access::{AdminRequest, Answered};
use crate::admin::card::{Card, Fact};
use crate::admin::detail::Detail;
use crate::admin::events;
use crate::admin::list::Offer;
use crate::admin::table::{Cell, Column, Table, Tag};
use crate::live::valid_secrets;
use crate::model::registered::Registered;
use crate::policy::console::{Area, Right};
use crate::registry::noun::view;

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
    let path = path_of::<S>(&one.id);
    // Who sees only those of one agency sees no others.
    let may_change = admin.may_somewhere(S::AREA, Right::Change);
    let at = |word: &str| format!("{path}/{word}");
    let mut actions: Vec<Offer> = S::actions(admin, one)
        .into_iter()
        .map(|(word, words)| Offer::new(at(word), word, words))
        .collect();
    if may_change {
        let (word, words) = if one.enabled {
            ("disable", "Disable")
        } else {
            ("enable", "Enable")
        };
        let usual = [("edit", "Change"), (word, words), ("delete", "Delete")];
        actions.extend(usual.map(|(word, words)| Offer::new(at(word), word, words)));
    }
    let id_label = if S::NOUN.id == "client_id" {
        "Client ID"
    } else {
        "ID"
    };
    let when = |at| Cell::when(Some(admin.zone.when(at)), "");
    let about = vec![
        Fact::new(id_label, Cell::code(&one.id).copied()),
        Fact::new("Registered", when(one.created_at)),
        Fact::new("Last changed", when(one.updated_at)),
    ];
    let told = field::facts(&sections, &values(&asking, one), &usual(&asking));
    let uses_secret = one.settings.proof().uses_secret() && S::NOUN.secrets.are_theirs();
    let rotate = may_change.then(|| (at("secret"), "rotate", "Make a new secret".to_owned()));
    let secrets = uses_secret.then(|| Card {
        links: rotate.into_iter().collect(),
        ..secrets(admin, one)
    });
    let detail = Detail {
        list: (S::PATH, S::WORDS.many),
        name: one.name.clone(),
        states: vec![Tag {
            text: if one.enabled { "Enabled" } else { "Disabled" },
            off: !one.enabled,
        }],
        once: admin.once(&one.id).map(|once| (once, "Its secret")),
        actions,
        facts: std::iter::once(("About", about)).chain(told).collect(),
        cards: cards.into_iter().chain(secrets).collect(),
        last: events::last_of(admin, S::concerned(&one.id)).await?,
        all: format!("/admin/audit?client={}", one.id),
    };
    Ok(detail.answer(admin, S::AREA))
}

/// The newest first; of those that ended the last few.
fn secrets<S>(admin: &AdminRequest, one: &Registered<S>) -> Card {
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
    let card = Card::new("secrets", "Secrets");
    if shown.is_empty() {
        return Card {
            texts: vec!["It has none.".to_owned()],
            ..card
        };
    }
    Card {
        table: Some(Table {
            id: "secrets",
            columns: ["Secret", "Made", "Last used", "Ends"].map(Column::new).to_vec(),
            rows: shown.iter().take(SHOWN).map(row).collect(),
        }),
        ..card
    }
}
