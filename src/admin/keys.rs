//! `/admin/keys`: the signing keys, where each stands in its life, and a new one when it is wanted now.

use actix_web::http::StatusCode;
use askama::Template;

use super::access::{AdminRequest, Answered, Frame, away, done};
use super::form::{self, Choice, FieldMistake, Typed};
use super::table::{Cell, Column, Table};
use crate::clock::local_time::When;
use crate::model::signing::{Algorithm, StoredKey};
use crate::policy::console::Area;
use crate::registry::keys::{self, State};
use crate::registry::{Refused, Registry};
use crate::store::keys as stored;
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

const FIELDS: [&str; 2] = ["alg", "how"];
/// In place of an algorithm: all of them.
const ALL: &str = "all";

/// Where the bars of the picture begin, how wide all of them are, and how high a row is.
const LEFT: i64 = 150;
const WIDTH: i64 = 550;
const ROW: i64 = 36;

#[derive(Template)]
#[template(path = "../admin/keys.html")]
struct KeysPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    keys: Table,
    picture: Picture,
    next: Vec<(&'static str, When)>,
    rotate_days: i64,
}

/// The lives of the keys as bars.
struct Picture {
    height: i64,
    bars: Vec<Bar>,
    labels: Vec<(i64, String)>,
    today: i64,
    bottom: i64,
}

struct Bar {
    class: &'static str,
    x: i64,
    y: i64,
    width: i64,
}

/// `GET /admin/keys`
pub async fn get(admin: AdminRequest) -> Answered {
    let app = &admin.app;
    let (all, now, registry) = (app.store.read(stored::all).await?, app.now(), admin.registry());
    let next = next(&registry, &all);
    let page = KeysPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Keys),
        may_change: admin.changes(Area::Keys),
        keys: Table {
            id: "keys",
            columns: [
                "Key ID (kid)",
                "Algorithm",
                "State",
                "Made",
                "Signs from",
                "Retires",
                "Removed",
            ]
            .map(Column::new)
            .to_vec(),
            rows: all.iter().map(|key| row(&admin, key, now)).collect(),
        },
        picture: Picture::of(&all, now, next.iter().map(|(_, at)| *at).max().unwrap_or(now)),
        next: next
            .into_iter()
            .map(|(algorithm, at)| (algorithm.as_str(), admin.zone.when(at.max(now))))
            .collect(),
        rotate_days: app.config.keys.rotate_days,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// When each algorithm gets its next key by itself.
fn next(registry: &Registry, all: &[StoredKey]) -> Vec<(Algorithm, i64)> {
    let next = |algorithm| Some((algorithm, keys::next_rotation(registry, all, algorithm)?));
    Algorithm::SIGNING.into_iter().filter_map(next).collect()
}

fn row(admin: &AdminRequest, key: &StoredKey, now: i64) -> Vec<Cell> {
    let state = match State::of(key, now) {
        State::Published => "Published: others fetch it, it does not sign yet",
        State::Signing if key.retires_at.is_some() => "Signs, until its successor does",
        State::Signing => "Signs",
        State::Retired => "Retired: published while its tokens may be alive",
    };
    let when = |at: Option<i64>, none| Cell::when(at.map(|at| admin.zone.when(at)), none);
    vec![
        Cell::code(&key.kid),
        Cell::text(key.algorithm.as_str()),
        Cell::text(state),
        when(Some(key.created_at), ""),
        when(Some(key.signs_from), ""),
        when(key.retires_at, "When it has a successor"),
        when(key.purge_at, "After that"),
    ]
}

impl Picture {
    /// From the first key to the last thing that is going to happen.
    fn of(all: &[StoredKey], now: i64, next: i64) -> Self {
        let from = all.iter().map(|key| key.created_at).min().unwrap_or(now).min(now);
        let ends = all
            .iter()
            .filter_map(|key| key.purge_at.or(key.retires_at))
            .max()
            .unwrap_or(now);
        let to = ends.max(next).max(now + 1);
        let x = |at: i64| LEFT + (at.clamp(from, to) - from) * WIDTH / (to - from);
        let (mut bars, mut labels, mut y) = (Vec::new(), Vec::new(), 0);
        for key in all {
            let retires = key.retires_at.unwrap_or(to);
            let phases = [
                ("published", key.created_at, key.signs_from.min(retires)),
                ("signs", key.signs_from, retires),
                ("retired", retires, key.purge_at.unwrap_or(retires)),
            ];
            let drawn = phases.into_iter().filter(|(_, begins, ends)| begins < ends);
            bars.extend(drawn.map(|(class, begins, ends)| Bar {
                class,
                x: x(begins),
                y: y + 8,
                width: (x(ends) - x(begins)).max(2),
            }));
            let kid: String = key.kid.chars().take(8).collect();
            labels.push((y + 24, format!("{} {kid}", key.algorithm.as_str())));
            y += ROW;
        }
        Self {
            height: y + 32,
            bars,
            labels,
            today: x(now),
            bottom: y,
        }
    }
}

#[derive(Template)]
#[template(path = "../admin/keys_new.html")]
struct NewPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    algorithms: Vec<Choice>,
    hows: Vec<Choice>,
    /// When a key that is made now begins to sign.
    signs_from: When,
}

/// `GET /admin/keys/new`
pub async fn new_get(admin: AdminRequest) -> Answered {
    let typed = Typed::default().with("alg", ALL).with("how", "orderly");
    show(&admin, typed, Vec::new()).await
}

async fn show(admin: &AdminRequest, typed: Typed, wrong: Vec<FieldMistake>) -> Answered {
    let all = admin.app.store.read(stored::all).await?;
    let existing = Algorithm::SIGNING
        .into_iter()
        .filter(|alg| all.iter().any(|key| key.algorithm == *alg));
    let mut algorithms = vec![(ALL, "All algorithms that are in use", "")];
    algorithms.extend(existing.map(|algorithm| (algorithm.as_str(), algorithm.as_str(), "")));
    let status = FieldMistake::status(&wrong);
    let page = NewPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Keys),
        typed,
        wrong,
        algorithms: form::choices(&algorithms),
        hows: form::choices(&[
            (
                "orderly",
                "In order",
                "Everybody has time to fetch the new key. Nothing is interrupted.",
            ),
            (
                "at-once",
                "At once: somebody else knows the old key",
                "Tokens that the old key signed count no more. Clients must get new ones, and servers that keep our keys must fetch them now.",
            ),
        ]),
        signs_from: admin
            .zone
            .when(admin.app.now() + admin.app.config.keys.publish_seconds),
    };
    Ok(pages::respond(&page, status, FormAction::SelfOnly))
}

/// `POST /admin/keys/new`
pub async fn new_post(admin: AdminRequest, form: PostedForm) -> Answered {
    let typed = Typed::of(&form, &FIELDS);
    let mut wrong = Vec::new();
    let only: Option<Algorithm> = if typed.get("alg") == ALL {
        None
    } else {
        chosen_algorithm(&typed, &mut wrong)
    };
    if typed.get("alg").is_empty() {
        wrong.push(FieldMistake::field("alg", "choose which keys"));
    }
    let at_once = typed.get("how") == "at-once";
    if !at_once && typed.get("how") != "orderly" {
        wrong.push(FieldMistake::field("how", "choose how"));
    }
    if !wrong.is_empty() {
        return show(&admin, typed, wrong).await;
    }
    let registry = admin.registry();
    match away(move || keys::rotate(&registry, only, at_once)).await? {
        Ok(_) => Ok(done("/admin/keys", "keys-made")),
        Err(Refused::Mistakes(mistakes)) => show(&admin, typed, FieldMistake::of(&mistakes, &FIELDS)).await,
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

fn chosen_algorithm(typed: &Typed, wrong: &mut Vec<FieldMistake>) -> Option<Algorithm> {
    let chosen = typed.some("alg")?;
    let algorithm = Algorithm::parse(&chosen);
    if algorithm.is_none() {
        wrong.push(FieldMistake::field("alg", "choose one of those that are listed"));
    }
    algorithm
}
