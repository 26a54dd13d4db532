//! `/admin/users/import`: many people from a file. The file is checked first, then imported all together or not at all,
//! both in the background; what it holds, and the links that were made, stay in memory for a short time, for the session
//! that brought them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;

use crate::admin::about::About;
use crate::admin::access::{AdminRequest, Answered, Frame, Requires};
use crate::admin::form::FieldMistake;
use crate::admin::review::csv_file;
use crate::admin::upload;
use crate::app::App;
use crate::audit::event::Kind;
use crate::error::{Broken, PageError};
use crate::policy::console::Area;
use crate::registry::import::{self, COLUMNS, Column, File, LARGEST, MOST_ROWS, Progress, RowMistake};
use crate::registry::links::Issued;
use crate::registry::{Refused, Registry, link_mails};
use crate::web::browser::{self, PostedForm};
use crate::web::pages::{self, FormAction, Shell};

/// What it takes to bring a file.
pub const REQUIRES: Requires = Requires::change(Area::People).about(About::Own).fresh();
const PATH: &str = "/admin/users/import";
/// How many findings are shown.
const FINDINGS: usize = 200;
/// How many imports are remembered at a time: each holds a file.
const MOST_IMPORTS: usize = 10;
/// How long an import is remembered when nothing goes on in it.
const REMEMBERED: Duration = Duration::from_secs(900);

/// The imports of this process.
#[derive(Default)]
pub struct Imports(Mutex<HashMap<String, Arc<Import>>>);

/// One import.
struct Import {
    id: String,
    /// The session that brought the file: nobody else sees it.
    session: String,
    file: File,
    progress: Arc<Progress>,
    state: Mutex<State>,
}

/// How far it is.
enum State {
    Checking,
    /// The first findings, and how many there are.
    Refused(Vec<RowMistake>, usize),
    Ready,
    Importing,
    Done {
        added: usize,
        mailed: usize,
        links: Vec<Issued>,
    },
    Failed(String),
}

impl Import {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_on(&self) -> bool {
        matches!(*self.state(), State::Checking | State::Importing)
    }

    /// From checked to importing, for one request alone.
    fn begin(&self) -> bool {
        let mut state = self.state();
        let ready = matches!(*state, State::Ready);
        if ready {
            *state = State::Importing;
        }
        ready
    }

    fn is_refused(findings: Vec<RowMistake>) -> State {
        let count = findings.len();
        State::Refused(findings.into_iter().take(FINDINGS).collect(), count)
    }
}

impl Imports {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Import>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a file; an older one of the same session is forgotten. False when there are too many, or one of the
    /// session goes on.
    fn add(&self, import: &Arc<Import>) -> bool {
        let mut all = self.all();
        if all
            .values()
            .any(|other| other.session == import.session && other.goes_on())
        {
            return false;
        }
        all.retain(|_, other| other.session != import.session);
        let room = all.len() < MOST_IMPORTS;
        if room {
            all.insert(import.id.clone(), Arc::clone(import));
        }
        room
    }

    fn find(&self, admin: &AdminRequest, id: &str) -> Result<Arc<Import>, PageError> {
        let found = self.all().get(id).cloned();
        found.filter(|import| import.session == admin.signed_in.session.id).ok_or_else(|| {
            let what = "This import is not known any more, or it belongs to another session. Nothing was lost: look under People who was added.";
            PageError { status: StatusCode::NOT_FOUND, ..PageError::new(what) }
        })
    }

    /// Forgets an import after a while, unless something goes on in it by then. One that another took the place of is
    /// gone at once: what waits here does not hold its file.
    async fn forget_later(&self, import: Arc<Import>) {
        let import = Arc::downgrade(&import);
        tokio::time::sleep(REMEMBERED).await;
        if let Some(import) = import.upgrade().filter(|import| !import.goes_on()) {
            self.all().remove(&import.id);
        }
    }
}

#[derive(Template)]
#[template(path = "../admin/import.html")]
struct UploadPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    columns: &'a [Column],
    most: usize,
    wrong: Vec<FieldMistake>,
}

#[derive(Template)]
#[template(path = "../admin/import_progress.html")]
struct ProgressPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    id: &'a str,
    /// The CSRF token of the form that downloads the links: it is sent to another address than the page's.
    links_csrf: String,
    people: usize,
    with_address: usize,
    done: usize,
    mails: bool,
    state: Shown,
}

/// The state, as the page shows it.
enum Shown {
    Checking,
    Refused(Vec<RowMistake>, usize),
    Ready,
    Importing,
    Done {
        added: usize,
        mailed: usize,
        links: usize,
    },
    Failed(String),
}

/// The imports of this process.
fn imports(admin: &AdminRequest) -> Result<web::Data<Imports>, PageError> {
    let imports = admin.request.app_data::<web::Data<Imports>>();
    imports.cloned().ok_or_else(PageError::not_found)
}

/// `GET /admin/users/import`
pub async fn get(admin: AdminRequest) -> Answered {
    Ok(ask(&admin, StatusCode::OK, Vec::new()))
}

fn ask(admin: &AdminRequest, status: StatusCode, wrong: Vec<FieldMistake>) -> HttpResponse {
    let (shell, frame) = (admin.shell(), admin.frame(Area::People));
    let page = UploadPage {
        shell,
        frame,
        columns: &COLUMNS,
        most: MOST_ROWS,
        wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `GET /admin/users/import/template`
pub async fn template(_admin: AdminRequest) -> Answered {
    Ok(csv_file("people.csv", import::template()))
}

/// `POST /admin/users/import`: takes a file and begins to check it.
pub async fn upload(admin: AdminRequest, body: web::Payload) -> Answered {
    let imports = imports(&admin)?;
    let uploaded = upload::read(&admin, REQUIRES, body, &["file"], LARGEST).await?;
    let refuse = |text: &str| {
        Ok(ask(
            &admin,
            StatusCode::UNPROCESSABLE_ENTITY,
            vec![FieldMistake::field("file", text)],
        ))
    };
    if uploaded.too_long {
        return refuse("The file is larger than 4 MB: split the file, and import one part after the other");
    }
    let bytes = uploaded.long("file").to_vec();
    if bytes.is_empty() {
        return refuse("Choose a file, or the file is empty");
    }
    let file = web::block(move || File::read(&bytes))
        .await
        .map_err(Broken::defect)?;
    let import = Arc::new(Import {
        id: admin.app.entropy.id("imp"),
        session: admin.signed_in.session.id.clone(),
        file,
        progress: Arc::default(),
        state: Mutex::new(State::Checking),
    });
    if !imports.add(&import) {
        return refuse("Another import goes on. Wait until it has finished, then try again");
    }
    let path = format!("{PATH}/{}", import.id);
    actix_web::rt::spawn(check(imports, import, admin.registry()));
    Ok(browser::see_other(&path, &[]))
}

/// Checks a file in the background.
async fn check(imports: web::Data<Imports>, import: Arc<Import>, registry: Registry) {
    let job = Arc::clone(&import);
    let checked = web::block(move || import::check(&registry, &job.file, &job.progress)).await;
    *import.state() = match checked {
        Ok(Ok(findings)) if findings.is_empty() => State::Ready,
        Ok(Ok(findings)) => Import::is_refused(findings),
        Ok(Err(refused)) => failed(&refused.to_string()),
        Err(cause) => failed(&cause.to_string()),
    };
    imports.forget_later(import).await;
}

fn failed(cause: &str) -> State {
    let reference = crate::error::reference();
    tracing::error!(%reference, %cause, "an import failed");
    State::Failed(reference)
}

/// `GET /admin/users/import/{import}`
pub async fn show(admin: AdminRequest) -> Answered {
    let import = imports(&admin)?.find(&admin, admin.part("import"))?;
    Ok(progress(&admin, &import))
}

fn progress(admin: &AdminRequest, import: &Import) -> HttpResponse {
    let state = match &*import.state() {
        State::Checking => Shown::Checking,
        State::Refused(findings, count) => Shown::Refused(findings.clone(), *count),
        State::Ready => Shown::Ready,
        State::Importing => Shown::Importing,
        State::Done { added, mailed, links } => Shown::Done {
            added: *added,
            mailed: *mailed,
            links: links.len(),
        },
        State::Failed(reference) => Shown::Failed(reference.clone()),
    };
    let page = ProgressPage {
        shell: admin.shell(),
        frame: admin.frame(Area::People),
        id: &import.id,
        links_csrf: admin.form_token(&format!("{PATH}/{}/links", import.id)),
        people: import.file.len(),
        with_address: import.file.with_address(),
        done: import.progress.done(),
        mails: admin.app.mailer.is_some(),
        state,
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

/// `POST /admin/users/import/{import}`: imports a file that was checked.
pub async fn start(admin: AdminRequest, form: PostedForm) -> Answered {
    let (imports, id) = (imports(&admin)?, admin.part("import"));
    let by_mail = form.field("mail")? == "yes";
    let import = imports.find(&admin, id)?;
    if import.begin() {
        actix_web::rt::spawn(run(imports, Arc::clone(&import), admin.registry(), by_mail));
    }
    Ok(browser::see_other(&format!("{PATH}/{id}"), &[]))
}

/// Imports a file in the background, and mails the invitations where that is wanted.
async fn run(imports: web::Data<Imports>, import: Arc<Import>, registry: Registry, by_mail: bool) {
    let (job, worker) = (Arc::clone(&import), registry.clone());
    let imported = web::block(move || import::import(&worker, &job.file, &job.progress)).await;
    let ended = match imported {
        Ok(Ok(Ok(issued))) => {
            let added = issued.len();
            let links = if by_mail {
                mail(registry.app(), issued).await
            } else {
                issued
            };
            State::Done {
                added,
                mailed: added - links.len(),
                links,
            }
        }
        Ok(Ok(Err(findings))) => Import::is_refused(findings),
        Ok(Err(Refused::Mistakes(mistakes))) => failed(
            &mistakes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        ),
        Ok(Err(Refused::Broken(broken))) => failed(&broken.to_string()),
        Err(cause) => failed(&cause.to_string()),
    };
    *import.state() = ended;
    imports.forget_later(import).await;
}

/// Mails invitations. Answers those that cannot be mailed.
async fn mail(app: &App, issued: Vec<Issued>) -> Vec<Issued> {
    let Some(mailer) = &app.mailer else { return issued };
    let mut left = Vec::new();
    for one in issued {
        match link_mails::link(app, &one) {
            Some(mail) => mailer.post_in_turn(mail).await,
            None => left.push(one),
        }
    }
    left
}

/// `GET /admin/users/import/{import}/links`: whoever had to sign in on the way goes back to the import.
pub async fn back(admin: AdminRequest) -> Answered {
    Ok(browser::see_other(
        &format!("{PATH}/{}", admin.part("import")),
        &[],
    ))
}

/// `POST /admin/users/import/{import}/links`: the links of the invitations as a file, once.
pub async fn links(admin: AdminRequest, _form: PostedForm) -> Answered {
    let id = admin.part("import");
    let import = imports(&admin)?.find(&admin, id)?;
    let taken = match &mut *import.state() {
        State::Done { links, .. } => std::mem::take(links),
        _ => Vec::new(),
    };
    if taken.is_empty() {
        return Ok(browser::see_other(&format!("{PATH}/{id}"), &[]));
    }
    let event = admin
        .event(Kind::Exported)
        .with("what", "invitation links")
        .with("people", taken.len().to_string());
    let written = admin.app.store.write(move |tx| {
        tx.audit(event.clone());
        Ok(())
    });
    written.await?;
    Ok(csv_file("invitations.csv", import::links_file(&taken)))
}
