//! What a page of the console is: where it is, who may see it, how old the sign-in may be, and what it reads. The one
//! list of them ([`super::pages`]) makes the addresses, the navigation and the check before each handler, so that no
//! handler runs for somebody who may not be there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};

use super::access::{AdminRequest, Answered, Parts, Requires, address_of, admit};
use super::kept;
use crate::app::App;
use crate::audit::event::Kind;
use crate::error::PageError;
use crate::web::browser::{self, PostedForm};
use crate::web::guard::PageRefused;
use crate::web::pages::links::NoticePage;
use crate::web::pages::{self, FormAction};

type Answering = Pin<Box<dyn Future<Output = Answered>>>;

/// What a page reads, and who handles it. There is no handler of a POST whose body was not asked where it came from.
#[derive(Clone)]
pub enum Handler {
    /// Nothing.
    Get(Rc<dyn Fn(AdminRequest) -> Answering>),
    /// A form, read and checked.
    Form(Rc<dyn Fn(AdminRequest, PostedForm) -> Answering>),
    /// A form with files, which [`super::upload`] reads and checks.
    Upload(Rc<dyn Fn(AdminRequest, web::Payload) -> Answering>),
}

/// A method of a page.
#[derive(Clone)]
pub struct Row {
    /// What it takes to be let in.
    pub requires: Requires,
    /// Who handles it.
    pub handler: Handler,
}

/// A page.
#[derive(Clone)]
pub struct Page {
    /// Its address.
    pub path: String,
    /// What it is called in the navigation, if it is there.
    pub label: Option<&'static str>,
    /// Who looks at it.
    pub get: Row,
    /// Who sends its form.
    pub post: Option<Row>,
    /// Looking at it leaves something behind (an entry of the record, a request to somebody else), so no other site may
    /// lead a browser there.
    pub is_felt: bool,
    /// Its form can be shown again with what was typed.
    pub keeps: bool,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// A page to look at.
pub fn page<F: Future<Output = Answered> + 'static>(
    path: impl Into<String>,
    requires: Requires,
    handler: impl Fn(AdminRequest) -> F + 'static,
) -> Page {
    Page {
        path: path.into(),
        label: None,
        get: Row {
            requires,
            handler: Handler::Get(Rc::new(move |admin| Box::pin(handler(admin)))),
        },
        post: None,
        is_felt: false,
        keeps: false,
    }
}

impl Page {
    /// Puts it into the navigation.
    pub fn called(self, label: &'static str) -> Self {
        Self {
            label: Some(label),
            ..self
        }
    }

    /// Says that looking at it leaves something behind.
    pub fn felt(self) -> Self {
        Self {
            is_felt: true,
            ..self
        }
    }

    /// Its form, for those who may look at it.
    pub fn form<F: Future<Output = Answered> + 'static>(
        self,
        handler: impl Fn(AdminRequest, PostedForm) -> F + 'static,
    ) -> Self {
        let requires = self.get.requires;
        self.form_of(requires, handler)
    }

    /// Its form, for those who have another right than to look at it.
    pub fn form_of<F: Future<Output = Answered> + 'static>(
        self,
        requires: Requires,
        handler: impl Fn(AdminRequest, PostedForm) -> F + 'static,
    ) -> Self {
        let handler = Handler::Form(Rc::new(move |admin, form| Box::pin(handler(admin, form))));
        Self {
            post: Some(Row { requires, handler }),
            ..self
        }
    }

    /// Says that its form can be shown again with what was typed: the handler looks at [`PostedForm::again`].
    pub fn keeps_what_is_typed(self) -> Self {
        Self { keeps: true, ..self }
    }

    /// Its form with files, for those who may look at it.
    pub fn upload<F: Future<Output = Answered> + 'static>(
        self,
        handler: impl Fn(AdminRequest, web::Payload) -> F + 'static,
    ) -> Self {
        let requires = self.get.requires;
        let handler = Handler::Upload(Rc::new(move |admin, body| Box::pin(handler(admin, body))));
        Self {
            post: Some(Row { requires, handler }),
            ..self
        }
    }

    /// Its methods.
    pub fn methods(&self) -> Vec<Method> {
        let post = self.post.as_ref().map(|_| Method::POST);
        std::iter::once(Method::GET).chain(post).collect()
    }

    /// What it takes to use one of its methods.
    pub fn row(&self, method: &Method) -> Option<&Row> {
        if *method == Method::GET {
            Some(&self.get)
        } else {
            self.post.as_ref().filter(|_| *method == Method::POST)
        }
    }
}

/// Answers a request.
pub async fn run(
    page: &Page,
    parts: &Parts,
    app: &Arc<App>,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let answered = attempt(page, parts, app, request, payload).await;
    answered.unwrap_or_else(|stop| stop.answer(app))
}

async fn attempt(
    page: &Page,
    parts: &Parts,
    app: &Arc<App>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Answered {
    let row = page.row(request.method()).ok_or_else(PageError::not_found)?;
    if page.is_felt && comes_from_elsewhere(request) {
        return Ok(ask_first(app, address_of(request)));
    }
    let admin = match admit(app, request, row.requires, parts).await {
        Err(elsewhere @ PageRefused::Elsewhere(_)) if page.keeps && *request.method() == Method::POST => {
            return kept::after_session(app, request, payload, elsewhere).await;
        }
        admitted => admitted?,
    };
    match &row.handler {
        Handler::Get(handler) => {
            if page.is_felt && row.requires.area.tells_of_people() {
                admin.note_look(Kind::PeopleRead, admin.looked_at()).await?;
            }
            handler(admin).await
        }
        Handler::Upload(handler) => handler(admin, payload).await,
        Handler::Form(handler) => {
            let form = PostedForm::read_up_to(app, request, payload, kept::LARGEST).await?;
            let kept = kept::opened(&admin, &form);
            // Somebody else's, or of another page.
            if kept.is_none() && kept::is_carried(&form) {
                return Err(admin.begin_again(row.requires));
            }
            if kept.is_none() && admin.is_in_time(row.requires, &form) {
                return handler(admin, form).await;
            }
            let was_kept = kept.is_some();
            let again = PostedForm {
                again: true,
                ..kept.unwrap_or(form)
            };
            match (page.keeps, admin.is_young(row.requires)) {
                (true, true) => handler(admin, again).await,
                (true, false) => Ok(kept::ask(&admin, &again, was_kept)),
                (false, _) => Err(admin.begin_again(row.requires)),
            }
        }
    }
}

/// Also who comes back from the sign-in of an agency is asked.
fn ask_first(app: &App, address: &str) -> HttpResponse {
    let page = NoticePage {
        shell: browser::shell(app),
        heading: "Open this page?",
        paragraphs: &[
            "Another site led you here. Opening this page leaves an entry in the record, or asks another server.",
        ],
        link: Some((address, "Open it")),
    };
    pages::respond(&page, StatusCode::FORBIDDEN, FormAction::SelfOnly)
}

/// Whether a browser says that a page that is not ours led here (Fetch Metadata).
fn comes_from_elsewhere(request: &HttpRequest) -> bool {
    let site = request.headers().get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}
