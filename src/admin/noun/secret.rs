//! A new secret beside the old one, which ends later or at once.

use actix_web::HttpResponse;
use askama::Template;

use super::managed::{Managed, Words, found, path_of};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::form::{self, Choice, FieldMistake, Typed};
use crate::admin::shown_once::Once;
use crate::model::registered::Registered;
use crate::registry::secrets::DEFAULT_OVERLAP_SECONDS;
use crate::registry::{Refused, noun};
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

const FIELD: &str = "overlap_seconds";

/// How long the old secret goes on, in seconds.
const OVERLAPS: [(&str, &str, &str); 4] = [
    (
        "604800",
        "The old secret works for 7 more days",
        "There is time to change over. Nothing stops.",
    ),
    ("2592000", "The old secret works for 30 more days", ""),
    ("86400", "The old secret works for 1 more day", ""),
    (
        "0",
        "The old secret ends now",
        "Choose this if someone else may know it. The system stops until it has the new one.",
    ),
];

#[derive(Template)]
#[template(path = "../admin/noun_secret.html")]
struct SecretPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    words: Words,
    list: &'static str,
    path: String,
    name: &'a str,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    overlaps: Vec<Choice>,
}

fn show<S: Managed>(
    admin: &AdminRequest,
    one: &Registered<S>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let status = FieldMistake::status(&wrong);
    let page = SecretPage {
        shell: admin.shell(),
        frame: admin.frame(S::AREA),
        words: S::WORDS,
        list: S::PATH,
        path: path_of::<S>(&one.id),
        name: &one.name,
        typed,
        wrong,
        overlaps: form::choices(&OVERLAPS),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `GET`: asks what happens to the old one.
pub async fn get<S: Managed>(admin: AdminRequest) -> Answered {
    let one = found::<S>(&admin).await?;
    let typed = Typed::default().with(FIELD, DEFAULT_OVERLAP_SECONDS.to_string());
    Ok(show(&admin, &one, typed, Vec::new()))
}

/// `POST`: makes it.
pub async fn post<S: Managed>(admin: AdminRequest, form: PostedForm) -> Answered {
    let one = found::<S>(&admin).await?;
    let typed = Typed::of(&form, &[FIELD]);
    let chosen = OVERLAPS.iter().find(|(value, _, _)| *value == typed.get(FIELD));
    let Some(overlap) = chosen.and_then(|(value, _, _)| value.parse::<i64>().ok()) else {
        let wrong = FieldMistake::field(FIELD, "choose how long the old secret works");
        return Ok(show(&admin, &one, typed, vec![wrong]));
    };
    let id = one.id.clone();
    let job = admin.registry();
    let rotated = job.run(move |registry, tx| noun::rotate_secret::<S>(registry, tx, &id, overlap));
    match rotated.await {
        Ok(rotated) => {
            let ends = rotated.old_ends_at.filter(|ends| *ends > admin.app.now());
            let note = ends.map(|ends| {
                let until = admin.zone.when(ends).words;
                format!("The old secret works until {until}. Both work until then.")
            });
            let once = Once {
                subject: one.id.clone(),
                value: rotated.secret.reveal().to_owned(),
                note,
            };
            Ok(admin.show_once(&path_of::<S>(&one.id), "secret-made", &once))
        }
        Err(Refused::Mistakes(mistakes)) => {
            Ok(show(&admin, &one, typed, FieldMistake::of(&mistakes, &[FIELD])))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
