//! `/admin/settings/apply`: a file is shown what it would change first, and applied then.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;

use crate::admin::access::{AdminRequest, Answered, Frame, Requires, away};
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::upload::{self, Uploaded};
use crate::clock::local_time::When;
use crate::model::secret::SecretHash;
use crate::policy::console::Area;
use crate::registry::Refused;
use crate::registry::apply::{self, ApplyError, Outcome};
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

/// What it takes to apply a file.
pub const REQUIRES: Requires = Requires::change(Area::Configuration).fresh();
/// The largest file that is read, in bytes.
const LARGEST: usize = 1024 * 1024;
/// How many mistakes are listed.
const MOST_MISTAKES: usize = 200;

#[derive(Template)]
#[template(path = "../admin/settings_apply.html")]
struct ApplyPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    /// What the file would change; none before it was looked at.
    plan: Option<Outcome>,
    /// Names the plan that was shown.
    seen: String,
}

#[derive(Template)]
#[template(path = "../admin/settings_applied.html")]
struct AppliedPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    outcome: Outcome,
    links: Vec<Link>,
}

/// An invitation.
struct Link {
    username: String,
    url: String,
    ends: When,
}

/// `GET /admin/settings/apply`
pub async fn get(admin: AdminRequest) -> Answered {
    Ok(show(&admin, Typed::default(), Vec::new(), None))
}

fn show(admin: &AdminRequest, typed: Typed, wrong: Vec<FieldMistake>, plan: Option<Outcome>) -> HttpResponse {
    let status = FieldMistake::status(&wrong);
    let page = ApplyPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Configuration),
        seen: plan
            .as_ref()
            .map(|plan| named(plan, typed.get("text")))
            .unwrap_or_default(),
        typed,
        wrong,
        plan,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// Names a plan, so that what is applied is what was shown.
fn named(plan: &Outcome, text: &str) -> String {
    SecretHash::of(&format!("{}\n\n{}", plan.lines.join("\n"), text.trim()))
        .as_str()
        .to_owned()
}

/// `POST /admin/settings/apply`
pub async fn post(admin: AdminRequest, body: web::Payload) -> Answered {
    let uploaded = upload::read(&admin, REQUIRES, body, &["text", "file"], LARGEST).await?;
    let text = match text_of(&uploaded) {
        Ok(text) => text,
        Err(wrong) => return Ok(show(&admin, Typed::default(), vec![wrong], None)),
    };
    let typed = Typed::default().with("text", &text);
    let plan = match run(&admin, &text, true).await? {
        Ok(plan) => plan,
        Err(wrong) => return Ok(show(&admin, typed, wrong, None)),
    };
    let wants = uploaded.form.field("do")? == "apply";
    if !(wants && plan.changes && uploaded.form.field("seen")? == named(&plan, &text)) {
        return Ok(show(&admin, typed, Vec::new(), Some(plan)));
    }
    match run(&admin, &text, false).await? {
        Ok(outcome) => Ok(applied(&admin, outcome)),
        Err(wrong) => Ok(show(&admin, typed, wrong, None)),
    }
}

/// The file if there is one, else what was pasted. A browser sends lines of a text area with CR LF.
fn text_of(uploaded: &Uploaded) -> Result<String, FieldMistake> {
    if uploaded.too_long {
        return Err(FieldMistake::field(
            "file",
            format!("the file is larger than {} KB", LARGEST / 1024),
        ));
    }
    let file = uploaded.long("file");
    let (field, bytes) = if file.is_empty() {
        ("text", uploaded.long("text"))
    } else {
        ("file", file)
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|_| FieldMistake::field(field, "the file is not text in UTF-8; save it so and try again"))?;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    if text.trim().is_empty() {
        return Err(FieldMistake::field("file", "choose a file, or paste its text"));
    }
    Ok(text)
}

/// Applies a text, or only says what it would change.
async fn run(
    admin: &AdminRequest,
    text: &str,
    dry_run: bool,
) -> Result<Result<Outcome, Vec<FieldMistake>>, PageRefused> {
    let (registry, text) = (admin.registry(), text.to_owned());
    let lines = match away(move || apply::apply(&registry, &text, dry_run)).await? {
        Ok(outcome) => return Ok(Ok(outcome)),
        Err(ApplyError::Mistakes(lines)) => lines,
        Err(ApplyError::Refused(Refused::Mistakes(mistakes))) => {
            mistakes.iter().map(ToString::to_string).collect()
        }
        Err(ApplyError::Refused(Refused::Broken(broken))) => return Err(broken.into()),
    };
    let whole = |text: &String| FieldMistake {
        field: "text".to_owned(),
        text: text.clone(),
        whole_form: true,
    };
    Ok(Err(lines.iter().take(MOST_MISTAKES).map(whole).collect()))
}

/// What was done. There may be more secrets and links than a cookie carries to another page, so this answer to the POST
/// is the page that shows them, once: it is not stored, and the form sent again finds nothing left to change.
fn applied(admin: &AdminRequest, mut outcome: Outcome) -> HttpResponse {
    let link = |issued: crate::registry::links::Issued| Link {
        username: issued.person.username.clone(),
        url: issued.url.reveal().to_owned(),
        ends: admin.zone.when(issued.expires_at),
    };
    let links = std::mem::take(&mut outcome.invitations)
        .into_iter()
        .map(link)
        .collect();
    let page = AppliedPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Configuration),
        outcome,
        links,
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}
