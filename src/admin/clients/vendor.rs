//! `/vendor`: the hand-off sheet and the connection check for whoever has the vendor's link, without an account. The
//! address with the secret answers with a cookie and a redirect, so that the secret stands neither on a printed page nor
//! in what somebody copies from the browser.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::check::{FIELD, pasted};
use super::findings::{Reader, Report};
use super::hand_off::{self, Sheet};
use crate::admin::form::{FieldMistake, Typed};
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::error::{Broken, PageError};
use crate::model::client::Client;
use crate::model::secret::SecretHash;
use crate::registry::vendor_links::{self, LinkRefused};
use crate::session::client_address;
use crate::web::browser::{self, CookieKind, PostedForm};
use crate::web::guard::PageRefused;
use crate::web::page::{Answered, Visit, part};
use crate::web::pages::links::NoticePage;
use crate::web::pages::{self, FormAction, Shell};

/// How many checks a link has in a minute: each may ask the client's key server.
const CHECKS_A_MINUTE: u32 = 30;

#[derive(Template)]
#[template(path = "../admin/vendor_sheet.html")]
struct SheetPage<'a> {
    shell: Shell<'a>,
    checks: bool,
    client: &'a Client,
    sheet: Sheet,
}

#[derive(Template)]
#[template(path = "../admin/vendor_check.html")]
struct CheckPage<'a> {
    shell: Shell<'a>,
    checks: bool,
    client: &'a Client,
    csrf: String,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    report: Option<Report>,
}

/// A request with a link that holds.
struct ByLink {
    client: Client,
    hash: SecretHash,
}

/// `GET /vendor/{secret}`
pub async fn open(visit: Visit) -> Answered {
    let (app, request, secret) = (&visit.app, &visit.request, part(&visit.request, "secret"));
    let by = by(app, request, &SecretHash::of(secret)).await?;
    opened(app, request, &by).await?;
    let (_, mut cookies) = browser::browser_cookie(app, request);
    cookies.push(browser::set_cookie(app, CookieKind::Vendor, secret));
    Ok(browser::see_other("/vendor", &cookies))
}

/// `GET /vendor`
pub async fn sheet(visit: Visit) -> Answered {
    let ByLink { client, .. } = carried(&visit).await?;
    let page = SheetPage {
        shell: browser::shell(&visit.app),
        checks: false,
        client: &client,
        sheet: sheet_of(&visit.app, &client)?,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `GET /vendor/hand-off.txt`
pub async fn text(visit: Visit) -> Answered {
    let ByLink { client, .. } = carried(&visit).await?;
    Ok(hand_off::as_text(&client, sheet_of(&visit.app, &client)?)?)
}

/// `GET /vendor/ca.pem`
pub async fn authority(visit: Visit) -> Answered {
    carried(&visit).await?;
    Ok(hand_off::certificate(&visit.app).await?)
}

/// `GET /vendor/check`
pub async fn check(visit: Visit) -> Answered {
    let ByLink { client, .. } = carried(&visit).await?;
    let app = &visit.app;
    let (browser, cookies) = browser::browser_cookie(app, &visit.request);
    let csrf = browser::csrf_token(app, &browser);
    let mut answer = show(
        app,
        &client,
        csrf,
        StatusCode::OK,
        Typed::default(),
        (Vec::new(), None),
    );
    for cookie in &cookies {
        let _ = answer.add_cookie(cookie);
    }
    Ok(answer)
}

/// `POST /vendor/check`: changes nothing, so it answers at once.
pub async fn post(visit: Visit, form: PostedForm) -> Answered {
    let ByLink { client, hash } = carried(&visit).await?;
    let app = &visit.app;
    let csrf = browser::csrf_token(app, &form.browser);
    let typed = Typed::of(&form, &[FIELD]);
    if form.field("client")? != client.id {
        let wrong = "this page was about another system, and this browser has opened the link of this one since: open the other link again";
        let wrong = vec![FieldMistake::field(FIELD, wrong)];
        return Ok(show(
            app,
            &client,
            csrf,
            StatusCode::UNPROCESSABLE_ENTITY,
            typed,
            (wrong, None),
        ));
    }
    if app
        .failure_counts
        .call(&format!("vendor {}", hash.as_str()), app.now())
        > CHECKS_A_MINUTE
    {
        let wrong = vec![FieldMistake::field(
            FIELD,
            "too many checks in one minute: wait a minute, then check again",
        )];
        let mut answer = show(
            app,
            &client,
            csrf,
            StatusCode::TOO_MANY_REQUESTS,
            typed,
            (wrong, None),
        );
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("60"));
        return Ok(answer);
    }
    let (status, wrong, report) = pasted(app, &client, Reader::Vendor, &typed).await?;
    Ok(show(app, &client, csrf, status, typed, (wrong, report)))
}

fn show(
    app: &App,
    client: &Client,
    csrf: String,
    status: StatusCode,
    typed: Typed,
    (wrong, report): (Vec<FieldMistake>, Option<Report>),
) -> HttpResponse {
    let page = CheckPage {
        shell: browser::shell(app),
        checks: true,
        client,
        csrf,
        typed,
        wrong,
        report,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

fn sheet_of(app: &App, client: &Client) -> Result<Sheet, PageError> {
    Ok(Sheet {
        authority: "/vendor/ca.pem",
        ..hand_off::for_nobody(app, client)?
    })
}

/// Whoever has opened a link in this browser.
async fn carried(visit: &Visit) -> Result<ByLink, PageRefused> {
    let secret = browser::cookie(&visit.app, &visit.request, CookieKind::Vendor);
    let secret = secret.ok_or_else(|| shows_nothing(&visit.app))?;
    by(&visit.app, &visit.request, &SecretHash::of(&secret)).await
}

/// One text for all links that show nothing; the reason is for the record.
fn shows_nothing(app: &App) -> PageRefused {
    let page = NoticePage {
        shell: browser::shell(app),
        heading: "This link cannot be used",
        paragraphs: &[
            "It has expired, or was replaced by a newer one, or its system is switched off just now. Or it was not opened in this browser.",
            "Open the link that you were sent once more. If that does not help, ask the office that sent it for a new one.",
        ],
        link: None,
    };
    let answer = pages::respond(&page, StatusCode::BAD_REQUEST, FormAction::SelfOnly);
    PageRefused::Elsewhere(Box::new(answer))
}

async fn by(app: &App, request: &HttpRequest, hash: &SecretHash) -> Result<ByLink, PageRefused> {
    let (wanted, now) = (hash.as_str().to_owned(), app.now());
    match app
        .store
        .read(move |conn| vendor_links::open(conn, &wanted, now))
        .await?
    {
        Ok(client) => Ok(ByLink {
            client,
            hash: hash.clone(),
        }),
        Err(LinkRefused { reason, client_id }) => {
            refused(app, request, client_id.as_deref(), reason).await?;
            Err(shows_nothing(app))
        }
    }
}

/// Writes that a link was opened: once a minute for each address.
async fn opened(app: &App, request: &HttpRequest, by: &ByLink) -> Result<(), Broken> {
    let (address, subject) = (
        client_address::of(app, request),
        format!("vendor opens {}", by.hash.as_str()),
    );
    if app.failure_counts.attempts(address, &subject, app.now()) > 0 {
        return Ok(());
    }
    app.failure_counts.attempt(address, &subject, app.now());
    write(app, request, Some(&by.client.id), None).await
}

/// Writes why a link shows nothing: the first time in a minute from an address; the others are counted.
async fn refused(
    app: &App,
    request: &HttpRequest,
    client_id: Option<&str>,
    reason: &str,
) -> Result<(), Broken> {
    let subject = format!("vendor link of {}", client_id.unwrap_or("nobody"));
    if app.failure_counts.note(
        client_address::of(app, request),
        Failed::Other(&subject),
        app.now(),
    ) != Noted::First
    {
        return Ok(());
    }
    write(app, request, client_id, Some(reason)).await
}

async fn write(
    app: &App,
    request: &HttpRequest,
    client_id: Option<&str>,
    reason: Option<&str>,
) -> Result<(), Broken> {
    let mut event = app
        .event(Kind::VendorLinkOpened, Actor::Stranger)
        .from(client_address::of(app, request).to_string());
    if let Some(id) = client_id {
        event = event.client(id);
    }
    if let Some(reason) = reason {
        event = event.outcome(Outcome::MinorFailure).with("reason", reason);
    }
    let written = app.store.write(move |tx| {
        tx.audit(event.clone());
        Ok(())
    });
    written.await
}
