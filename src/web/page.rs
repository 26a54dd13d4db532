//! What a page for people is: where it is, who may be there, and what it reads. A handler gets what only the check before
//! it makes, so that none runs for somebody who may not be there. The list is made where the server is; the console has its
//! own, with rights.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::cookie::Cookie;
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};

use super::browser::{self, Notice, Pending, PostedForm};
use super::guard::{self, PageRefused, SignedIn};
use super::methods::only;
use super::refusals;
use crate::app::App;

/// Where somebody comes back to who had to sign in for an address that is no page.
const HOME: &str = "/account";

/// An answer, or why there is none.
pub type Answered = Result<HttpResponse, PageRefused>;
type Answering = Pin<Box<dyn Future<Output = Answered>>>;
type Handler = Rc<dyn Fn(Arc<App>, HttpRequest, web::Payload) -> Answering>;

/// Who may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Somebody who is signed in; how old the sign-in may be, in seconds, where that counts.
    SignedIn(Option<i64>),
    /// A browser in the middle of a sign-in, whose request it carries, sealed.
    Pending,
    /// Whoever was given a link.
    Link,
    /// A browser that another site sends, as the protocol says.
    CrossSite,
    /// Anybody.
    Stranger,
}

/// A request that anybody may make.
#[derive(Debug)]
pub struct Visit {
    /// The application.
    pub app: Arc<App>,
    /// What was asked.
    pub request: HttpRequest,
}

/// A part of the address that its pattern names, as it stands there.
pub fn part<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.match_info().get(name).unwrap_or_default()
}

/// A step of a sign-in that is on its way.
#[expect(
    clippy::manual_non_exhaustive,
    reason = "the crate's own rooms must not make one either"
)]
#[derive(Debug)]
pub struct Step {
    /// The application.
    pub app: Arc<App>,
    /// What was asked.
    pub request: HttpRequest,
    /// The sign-in.
    pub pending: Pending,
    /// The cookie that tells the browser to which the sign-in is sealed.
    pub browser: String,
    /// Only the check makes one.
    _checked: (),
}

impl Step {
    /// To a path of ours, with the sign-in as it is now.
    pub fn on_to(&self, path: &str) -> HttpResponse {
        self.on_to_with(path, &[])
    }

    /// The same, with cookies.
    pub fn on_to_with(&self, path: &str, cookies: &[Cookie<'_>]) -> HttpResponse {
        browser::see_other(&browser::page_url(path, &self.sealed()), cookies)
    }

    /// The same, where the page there says why this went no further.
    pub fn back_to(mut self, path: &str, notice: Notice) -> HttpResponse {
        self.pending.notice = Some(notice);
        refusals::refusing(self.on_to(path))
    }

    /// To what the person signs in for: see [`Pending::onward`].
    pub fn onward(&self, cookies: &[Cookie<'_>]) -> HttpResponse {
        browser::see_other(&self.pending.onward(&self.app, &self.browser), cookies)
    }

    /// The sign-in as a page carries it.
    pub fn sealed(&self) -> String {
        self.pending.seal(&self.app, Some(&self.browser))
    }
}

/// A request of somebody who is signed in.
#[expect(
    clippy::manual_non_exhaustive,
    reason = "the crate's own rooms must not make one either"
)]
pub struct Own {
    /// The application.
    pub app: Arc<App>,
    /// What was asked.
    pub request: HttpRequest,
    /// Who it is.
    pub signed_in: SignedIn,
    /// Only the check makes one.
    _checked: (),
}

/// A request that another site made a browser send.
#[derive(Debug)]
pub struct CrossSite {
    /// The application.
    pub app: Arc<App>,
    /// What was asked.
    pub request: HttpRequest,
}

/// A request before it was looked at.
pub struct Asked {
    access: Access,
    app: Arc<App>,
    request: HttpRequest,
    /// Whether the address can be looked at.
    is_page: bool,
}

/// What a handler gets of somebody who looks, made by the check before it.
pub trait Looks: Sized + 'static {
    /// Lets somebody look.
    fn looks(asked: Asked) -> impl Future<Output = Result<Self, PageRefused>>;
}

/// The same of somebody who sends a form.
pub trait Sends: Looks {
    /// Lets somebody send a form, which is read and came from a page of ours.
    fn sends(
        asked: Asked,
        body: web::Payload,
    ) -> impl Future<Output = Result<(Self, PostedForm), PageRefused>>;
}

impl Looks for CrossSite {
    async fn looks(asked: Asked) -> Result<Self, PageRefused> {
        let Asked { app, request, .. } = asked;
        Ok(Self { app, request })
    }
}

impl Looks for Visit {
    async fn looks(asked: Asked) -> Result<Self, PageRefused> {
        let Asked { app, request, .. } = asked;
        Ok(Self { app, request })
    }
}

impl Sends for Visit {
    async fn sends(asked: Asked, body: web::Payload) -> Result<(Self, PostedForm), PageRefused> {
        let form = PostedForm::read(&asked.app, &asked.request, body).await?;
        Ok((Self::looks(asked).await?, form))
    }
}

impl Looks for Step {
    async fn looks(asked: Asked) -> Result<Self, PageRefused> {
        let Asked { app, request, .. } = asked;
        let (pending, browser) = browser::carried(&app, &request)?;
        Ok(Self {
            app,
            request,
            pending,
            browser,
            _checked: (),
        })
    }
}

impl Sends for Step {
    async fn sends(asked: Asked, body: web::Payload) -> Result<(Self, PostedForm), PageRefused> {
        let Asked { app, request, .. } = asked;
        let form = PostedForm::read(&app, &request, body).await?;
        let step = Self {
            pending: form.pending(&app)?,
            browser: form.browser.clone(),
            app,
            request,
            _checked: (),
        };
        Ok((step, form))
    }
}

impl Looks for Own {
    async fn looks(asked: Asked) -> Result<Self, PageRefused> {
        let Asked { app, request, .. } = asked;
        let fresh = match asked.access {
            Access::SignedIn(fresh) => fresh,
            _ => None,
        };
        let address = request.uri().path_and_query();
        let address = address.filter(|_| asked.is_page);
        let back = address.map_or(HOME, |address| address.as_str());
        let signed_in = guard::signed_in(&app, &request, back, fresh).await?;
        Ok(Self {
            app,
            request,
            signed_in,
            _checked: (),
        })
    }
}

impl Sends for Own {
    async fn sends(asked: Asked, body: web::Payload) -> Result<(Self, PostedForm), PageRefused> {
        let own = Self::looks(asked).await?;
        let form = PostedForm::read(&own.app, &own.request, body).await?;
        Ok((own, form))
    }
}

/// A page.
#[derive(Clone)]
pub struct Page {
    /// Its address.
    pub path: &'static str,
    /// Its methods.
    pub rows: Vec<Row>,
}

/// A method of a page.
#[derive(Clone)]
pub struct Row {
    /// Which.
    pub method: Method,
    /// Who may use it.
    pub access: Access,
    handler: Handler,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl Page {
    /// Its methods.
    pub fn methods(&self) -> Vec<Method> {
        self.rows.iter().map(|row| row.method.clone()).collect()
    }

    /// Makes its address known.
    pub fn register(self, config: &mut web::ServiceConfig) {
        let methods = self.methods();
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let mut resource = only(self.path, names.join(", "));
        for Row { method, handler, .. } in self.rows {
            let handler = move |app: web::Data<App>, request: HttpRequest, body: web::Payload| {
                let handler = Rc::clone(&handler);
                async move {
                    let app = app.into_inner();
                    let answered = handler(Arc::clone(&app), request, body).await;
                    answered.unwrap_or_else(|refused| refused.answer(&app))
                }
            };
            resource = resource.route(web::method(method).to(handler));
        }
        config.service(resource);
    }
}

/// A page that is being described: `V` is what its handlers get.
pub struct Describing<V> {
    page: Page,
    access: Access,
    gets: PhantomData<V>,
}

impl<V> From<Describing<V>> for Page {
    fn from(described: Describing<V>) -> Self {
        described.page
    }
}

fn describe<V>(path: &'static str, access: Access) -> Describing<V> {
    Describing {
        page: Page {
            path,
            rows: Vec::new(),
        },
        access,
        gets: PhantomData,
    }
}

/// A page of somebody who is signed in.
pub fn signed_in(path: &'static str) -> Describing<Own> {
    describe(path, Access::SignedIn(None))
}

/// A step of a sign-in.
pub fn pending(path: &'static str) -> Describing<Step> {
    describe(path, Access::Pending)
}

/// A page that a link leads to; the handler looks at the link.
pub fn link(path: &'static str) -> Describing<Visit> {
    describe(path, Access::Link)
}

/// Where another site sends a browser; the handler looks at what it says.
pub fn cross_site(path: &'static str) -> Describing<CrossSite> {
    describe(path, Access::CrossSite)
}

/// A page for anybody.
pub fn stranger(path: &'static str) -> Describing<Visit> {
    describe(path, Access::Stranger)
}

impl<V> Describing<V> {
    fn handles(
        mut self,
        method: Method,
        handler: impl Fn(Arc<App>, HttpRequest, web::Payload) -> Answering + 'static,
    ) -> Self {
        self.page.rows.push(Row {
            method,
            access: self.access,
            handler: Rc::new(handler),
        });
        self
    }
}

impl<V: Looks> Describing<V> {
    /// Who looks at it.
    pub fn get<F: Future<Output = Answered> + 'static>(self, handler: impl Fn(V) -> F + 'static) -> Self {
        let (access, handler) = (self.access, Rc::new(handler));
        self.handles(Method::GET, move |app, request, _| {
            let handler = Rc::clone(&handler);
            let asked = Asked {
                access,
                app,
                request,
                is_page: true,
            };
            Box::pin(async move { handler(V::looks(asked).await?).await })
        })
    }
}

impl<V: Sends> Describing<V> {
    /// Who sends its form.
    pub fn form<F: Future<Output = Answered> + 'static>(
        self,
        handler: impl Fn(V, PostedForm) -> F + 'static,
    ) -> Self {
        let (access, handler) = (self.access, Rc::new(handler));
        let is_page = self.page.methods().contains(&Method::GET);
        self.handles(Method::POST, move |app, request, body| {
            let handler = Rc::clone(&handler);
            let asked = Asked {
                access,
                app,
                request,
                is_page,
            };
            Box::pin(async move {
                let (visit, form) = V::sends(asked, body).await?;
                handler(visit, form).await
            })
        })
    }
}

impl Describing<Own> {
    /// What follows wants a sign-in of at most so many seconds ago.
    pub fn fresh(self, seconds: i64) -> Self {
        Self {
            access: Access::SignedIn(Some(seconds)),
            ..self
        }
    }
}

impl Describing<CrossSite> {
    /// What another site posts: nobody has looked where it came from.
    pub fn body<F: Future<Output = Answered> + 'static>(
        self,
        handler: impl Fn(CrossSite, web::Payload) -> F + 'static,
    ) -> Self {
        let handler = Rc::new(handler);
        self.handles(Method::POST, move |app, request, body| {
            let handler = Rc::clone(&handler);
            Box::pin(async move { handler(CrossSite { app, request }, body).await })
        })
    }
}
