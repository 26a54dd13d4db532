//! The form of a noun: for a new one, and for one that is changed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::field::{self, Field, Kind, Section};
use super::managed::{Asking, Managed, Offered, Words, found, path_of};
use crate::admin::access::{AdminRequest, Answered, Frame, away, done};
use crate::admin::edit_conflict::{self, Changed};
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::jwks_check::{self, Findings};
use crate::admin::shown_once::Once;
use crate::error::PageError;
use crate::model::registered::Registered;
use crate::model::secret::Secret;
use crate::policy::console::{Area, Right};
use crate::registry::noun::{self, view};
use crate::registry::said::{Merge, Said};
use crate::registry::{self, Refused, VERSION};
use crate::store::registered;
use crate::web::browser::PostedForm;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

/// When the form was shown, in milliseconds since the epoch.
const SHOWN: &str = "shown";
/// The button that tries an address instead of saving, with the member that has it.
const TRY: &str = "try";
/// Our secret there, if the noun has one.
const SECRET: &str = "secret";
/// How many ids are tried that are made from a name.
const TRIES: u32 = 50;

#[derive(Template)]
#[template(path = "../admin/noun_choose.html")]
struct ChoosePage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    words: Words,
    path: &'static str,
    chosen: &'static str,
    offered: Vec<Offered>,
}

#[derive(Template)]
#[template(path = "../admin/noun_form.html")]
struct FormPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    words: Words,
    list: &'static str,
    /// Where the form is posted.
    action: String,
    /// Where it leads without being sent.
    back: String,
    /// Id and name of what is changed; none: a new one.
    before: Option<(&'a str, &'a str)>,
    title: String,
    lead: String,
    abilities: Vec<String>,
    /// Member and value of what was chosen before the form.
    chosen: Option<(&'static str, &'a str)>,
    sections: Vec<Section>,
    more: Vec<Field>,
    /// How many of them differ from what is usual.
    changed_more: usize,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    findings: Option<Findings>,
    meanwhile: Option<Vec<Changed>>,
}

/// What is shown again with a form.
#[derive(Default)]
struct Again {
    typed: Typed,
    wrong: Vec<FieldMistake>,
    findings: Option<Findings>,
    meanwhile: Option<Vec<Changed>>,
}

/// The fields of a form, and those that every noun has.
fn sections<S: Managed>(asking: &Asking<'_, S>) -> Vec<Section> {
    let mut sections = S::sections(asking);
    if asking.before.is_some() {
        for section in &mut sections {
            section.fields.retain(|field| !field.only_new);
        }
    }
    sections
}

/// What a new one has.
pub(super) fn usual<S: Managed>(asking: &Asking<'_, S>) -> Typed {
    let settings = serde_json::to_value(S::default()).unwrap_or_default();
    let empty = serde_json::Map::new();
    let members = settings.as_object().unwrap_or(&empty);
    let asking = Asking {
        before: None,
        agencies: asking.agencies.clone(),
        ..*asking
    };
    S::typed(&asking, field::typed(&S::sections(&asking), members))
}

/// What is registered, as it would be typed.
pub(super) fn values<S: Managed>(asking: &Asking<'_, S>, one: &Registered<S>) -> Typed {
    let mut members = view(one);
    members.insert(S::NOUN.id.to_owned(), one.id.clone().into());
    S::typed(asking, field::typed(&S::sections(asking), &members))
}

/// `GET`: the form of a new one; first what it is, where that decides what is asked.
pub async fn new<S: Managed>(admin: AdminRequest) -> Answered {
    let query = admin.query();
    let chosen = query.get(S::CHOSEN);
    let offered = S::options(&admin.app);
    if !offered.is_empty() && offered.iter().all(|offered| offered.value != chosen) {
        let page = ChoosePage {
            shell: admin.shell(),
            frame: admin.frame(S::AREA),
            words: S::WORDS,
            path: S::PATH,
            chosen: S::CHOSEN,
            offered,
        };
        return Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly));
    }
    let asking = Asking::<S> {
        app: &admin.app,
        chosen,
        before: None,
        agencies: admin.reach(Area::Agencies, Right::Read),
    };
    let typed = usual(&asking);
    Ok(show(
        &admin,
        &asking,
        Again {
            typed,
            ..Again::default()
        },
    ))
}

/// `POST`: registers it.
pub async fn register<S: Managed>(admin: AdminRequest, form: PostedForm) -> Answered {
    let chosen = form
        .fields
        .one(S::CHOSEN)
        .ok()
        .flatten()
        .unwrap_or_default()
        .to_owned();
    let offered = S::options(&admin.app);
    if !offered.is_empty() && offered.iter().all(|offered| offered.value != chosen) {
        return Err(PageError::not_found().into());
    }
    let asking = Asking::<S> {
        app: &admin.app,
        chosen: &chosen,
        before: None,
        agencies: admin.reach(Area::Agencies, Right::Read),
    };
    let typed = typed_of(&asking, &form);
    if let Some(shown) = only_shown(&admin, &asking, &form, &typed).await? {
        return Ok(shown);
    }
    let id = match typed.some(S::NOUN.id) {
        Some(id) => id,
        None => free_id::<S>(&admin, typed.get("name")).await?,
    };
    let said = match said(&asking, &typed, &form) {
        Ok(said) => said.with(S::NOUN.id, id),
        Err(wrong) => return Ok(again(&admin, &asking, typed, wrong, &form)),
    };
    let said = match prepared::<S>(&admin, said).await? {
        Ok(said) => said,
        Err(mistakes) => return Ok(refused(&admin, &asking, typed, &mistakes, &form)),
    };
    let job = admin.registry();
    let made = job.run(move |registry, tx| noun::register::<S>(registry, tx, &said));
    match made.await {
        Ok((one, secret)) => Ok(saved(&admin, &one, S::WORDS.registered, secret)),
        Err(Refused::Mistakes(mistakes)) => Ok(refused(&admin, &asking, typed, &mistakes, &form)),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

/// `GET`: the form of one that is registered.
pub async fn edit<S: Managed>(admin: AdminRequest) -> Answered {
    let one = found::<S>(&admin).await?;
    let chosen = chosen_of(&one);
    let asking = Asking {
        app: &admin.app,
        chosen: &chosen,
        before: Some(&one),
        agencies: admin.reach(Area::Agencies, Right::Read),
    };
    let typed = seen(values(&asking, &one), &admin, &one);
    Ok(show(
        &admin,
        &asking,
        Again {
            typed,
            ..Again::default()
        },
    ))
}

/// `POST`: changes it.
pub async fn change<S: Managed>(admin: AdminRequest, form: PostedForm) -> Answered {
    let one = found::<S>(&admin).await?;
    let chosen = chosen_of(&one);
    let asking = Asking {
        app: &admin.app,
        chosen: &chosen,
        before: Some(&one),
        agencies: admin.reach(Area::Agencies, Right::Read),
    };
    let typed = typed_of(&asking, &form);
    if let Some(shown) = only_shown(&admin, &asking, &form, &typed).await? {
        return Ok(shown);
    }
    let said = match said(&asking, &typed, &form) {
        Ok(said) => said.with(S::NOUN.id, one.id.clone()).with("enabled", one.enabled),
        Err(wrong) => return Ok(again(&admin, &asking, typed, wrong, &form)),
    };
    let said = match prepared::<S>(&admin, said).await? {
        Ok(said) => said,
        Err(mistakes) => return Ok(refused(&admin, &asking, typed, &mistakes, &form)),
    };
    let expected = typed.get(VERSION).to_owned();
    let job = admin.registry();
    let changed = job.run(move |registry, tx| noun::change::<S>(registry, tx, &said, Some(&expected)));
    match changed.await {
        Ok((now, secret)) => {
            let word = if now == one { "unchanged" } else { "saved" };
            Ok(saved(&admin, &now, word, secret))
        }
        Err(Refused::Mistakes(mistakes)) if mistakes.iter().any(|mistake| mistake.key == VERSION) => {
            // Who was told what somebody else has changed saves over it, knowing that.
            let since = typed
                .get(SHOWN)
                .parse()
                .unwrap_or_else(|_| admin.app.clock.now_millis());
            let reach = admin.reach(S::AREA, Right::Read);
            let whose = S::concerned(&one.id);
            let meanwhile = edit_conflict::since(&admin.app, &whose, since, (&admin.zone, &reach)).await?;
            let now = found::<S>(&admin).await?;
            let asking = Asking {
                before: Some(&now),
                agencies: admin.reach(Area::Agencies, Right::Read),
                ..asking
            };
            let typed = seen(typed.without(VERSION).without(SHOWN), &admin, &now);
            let wrong = field::beside(&sections(&asking), &mistakes);
            let shown = Again {
                wrong: with_secret_again::<S>(wrong, &form),
                typed,
                meanwhile: Some(meanwhile),
                findings: None,
            };
            Ok(show(&admin, &asking, shown))
        }
        Err(Refused::Mistakes(mistakes)) => Ok(refused(&admin, &asking, typed, &mistakes, &form)),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

fn chosen_of<S: Managed>(one: &Registered<S>) -> String {
    let chosen = view(one).remove(S::CHOSEN);
    chosen
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Notes which version a form is filled in of, and since when.
fn seen<S: Managed>(typed: Typed, admin: &AdminRequest, one: &Registered<S>) -> Typed {
    typed
        .with(VERSION, noun::version(one))
        .with(SHOWN, admin.app.clock.now_millis().to_string())
}

fn typed_of<S: Managed>(asking: &Asking<'_, S>, form: &PostedForm) -> Typed {
    let sections = sections(asking);
    let asked = field::all(&sections).filter(|field| !matches!(field.kind, Kind::Secret));
    let mut names: Vec<&str> = asked.map(|field| field.key).collect();
    names.extend([VERSION, SHOWN]);
    Typed::of(form, &names)
}

/// The form again, where nothing is to be saved: an address is tried, or what was typed is only to be seen.
async fn only_shown<S: Managed>(
    admin: &AdminRequest,
    asking: &Asking<'_, S>,
    form: &PostedForm,
    typed: &Typed,
) -> Result<Option<HttpResponse>, PageRefused> {
    let tried = form.field(TRY)?;
    if !form.again && tried.is_empty() {
        return Ok(None);
    }
    let findings = match tried {
        _ if form.again => None,
        name => Some(jwks_check::look(&admin.app, typed.get(name)).await),
    };
    let shown = Again {
        typed: typed.clone(),
        findings,
        ..Again::default()
    };
    Ok(Some(show(admin, asking, shown)))
}

fn said<S: Managed>(
    asking: &Asking<'_, S>,
    typed: &Typed,
    form: &PostedForm,
) -> Result<Said, Vec<FieldMistake>> {
    let members = field::said(&sections(asking), typed)?;
    let members = S::said(asking, typed, members)?;
    let said = Said::new(members, Merge::Whole).with("name", typed.get("name"));
    let said = if S::CHOSEN.is_empty() || said.says(S::CHOSEN) {
        said
    } else {
        said.with(S::CHOSEN, asking.chosen)
    };
    // An empty field keeps the secret that is known.
    let secret = form
        .fields
        .one(SECRET)
        .ok()
        .flatten()
        .filter(|_| S::NOUN.secrets.are_ours());
    Ok(said.with_secret(secret.map(Secret::new)))
}

/// What is said, with a signing key where one is missing: made before the transaction that needs it, for that takes long.
async fn prepared<S: Managed>(
    admin: &AdminRequest,
    said: Said,
) -> Result<Result<Said, Vec<registry::Mistake>>, PageRefused> {
    let registry = admin.registry();
    match away(move || noun::prepared::<S>(&registry, said)).await? {
        Ok(said) => Ok(Ok(said)),
        Err(Refused::Broken(broken)) => Err(broken.into()),
        Err(Refused::Mistakes(mistakes)) => Ok(Err(mistakes)),
    }
}

/// An id made from the name that nothing has yet; that it is free still counts only when it is written.
async fn free_id<S: Managed>(admin: &AdminRequest, name: &str) -> Result<String, PageRefused> {
    let id = registry::id_from(name);
    let found = admin.app.store.read(move |conn| {
        let numbered = (2..TRIES).map(|number| format!("{id}-{number}"));
        for candidate in std::iter::once(id.clone()).chain(numbered) {
            let taken = registered::find::<S>(conn, &candidate)?.is_some()
                || S::namesake(conn, &candidate)?.is_some();
            if !taken {
                return Ok(candidate);
            }
        }
        Ok(id)
    });
    Ok(found.await?)
}

/// To the page of what was saved, which shows its secret if one was made.
fn saved<S: Managed>(
    admin: &AdminRequest,
    one: &Registered<S>,
    word: &str,
    secret: Option<Secret>,
) -> HttpResponse {
    let path = path_of::<S>(&one.id);
    match secret.filter(|_| S::NOUN.secrets.are_theirs()) {
        None => done(&path, word),
        Some(secret) => admin.show_once(
            &path,
            word,
            &Once {
                subject: one.id.clone(),
                value: secret.reveal().to_owned(),
                note: None,
            },
        ),
    }
}

fn refused<S: Managed>(
    admin: &AdminRequest,
    asking: &Asking<'_, S>,
    typed: Typed,
    mistakes: &[registry::Mistake],
    form: &PostedForm,
) -> HttpResponse {
    let mut wrong = field::beside(&sections(asking), mistakes);
    // The id would have been made of the name that is missing: one complaint is enough.
    wrong.retain(|wrong| wrong.field != S::NOUN.id || !typed.get("name").is_empty());
    again(admin, asking, typed, wrong, form)
}

fn again<S: Managed>(
    admin: &AdminRequest,
    asking: &Asking<'_, S>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    form: &PostedForm,
) -> HttpResponse {
    let wrong = with_secret_again::<S>(wrong, form);
    show(
        admin,
        asking,
        Again {
            typed,
            wrong,
            ..Again::default()
        },
    )
}

/// Asks for a secret again that came with a form that is shown once more: an empty field would keep the old one.
fn with_secret_again<S: Managed>(mut wrong: Vec<FieldMistake>, form: &PostedForm) -> Vec<FieldMistake> {
    let told = wrong.iter().any(|wrong| wrong.field == SECRET);
    if form.fields.all(SECRET).next().is_some() && S::NOUN.secrets.are_ours() && !told {
        let what = "enter it again: a secret is not kept in the form";
        wrong.push(FieldMistake::field(SECRET, what));
    }
    wrong
}

fn show<S: Managed>(admin: &AdminRequest, asking: &Asking<'_, S>, shown: Again) -> HttpResponse {
    let status = FieldMistake::status(&shown.wrong);
    let own = asking.before.map(|one| path_of::<S>(&one.id));
    let (title, lead) = S::form_title(asking);
    let usual = usual(asking);
    let mut sections = sections(asking);
    let mut more = Vec::new();
    for section in &mut sections {
        more.extend(section.fields.iter().filter(|field| field.more).cloned());
        section.fields.retain(|field| !field.more);
    }
    sections.retain(|section| !section.fields.is_empty());
    let differs = |field: &&Field| shown.typed.all(field.key) != usual.all(field.key);
    let page = FormPage {
        shell: admin.shell(),
        frame: admin.frame(S::AREA),
        words: S::WORDS,
        list: S::PATH,
        action: match (&own, asking.chosen) {
            (Some(own), _) => format!("{own}/edit"),
            (None, "") => format!("{}/new", S::PATH),
            (None, chosen) => format!("{}/new?{}={chosen}", S::PATH, S::CHOSEN),
        },
        back: own.unwrap_or_else(|| S::PATH.to_owned()),
        before: asking.before.map(|one| (one.id.as_str(), one.name.as_str())),
        title,
        lead,
        abilities: S::abilities(asking),
        chosen: Some((S::CHOSEN, asking.chosen)).filter(|(member, _)| {
            !member.is_empty() && field::all(&sections).all(|field| field.key != *member)
        }),
        changed_more: more.iter().filter(differs).count(),
        sections,
        more,
        typed: shown.typed,
        wrong: shown.wrong,
        findings: shown.findings,
        meanwhile: shown.meanwhile,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}
