//! `/admin/audit/check`: what is signed of the record, and the check that nothing in the record was changed. It runs in the
//! background, one at a time.

use actix_web::http::StatusCode;
use askama::Template;

use crate::admin::access::{AdminRequest, Answered, Frame, done};
use crate::audit::check::{Ended, State};
use crate::audit::event::{Kind, Outcome};
use crate::clock::local_time::{When, Zone};
use crate::policy::console::Area;
use crate::registry::record_check;
use crate::store::audit::{Log, logs, newest_bundle};
use crate::store::audit_search;
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

const PATH: &str = "/admin/audit/check";

#[derive(Template)]
#[template(path = "../admin/audit_check.html")]
struct CheckPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    logs: Vec<Log>,
    events: i64,
    /// What was signed last, and when.
    signed: Option<(When, String)>,
    running: Option<Running>,
    last: Option<Last>,
    /// When somebody last had it checked, whichever server did it.
    recorded: Option<(When, bool)>,
}

struct Running {
    since: When,
    rows: usize,
}

struct Last {
    at: When,
    events: i64,
    findings: Vec<String>,
    failed: Option<String>,
}

/// `GET /admin/audit/check`
pub async fn get(admin: AdminRequest) -> Answered {
    let app = &admin.app;
    admin.note_look(Kind::AuditRead, PATH.to_owned()).await?;
    let read = app.store.read(|conn| {
        let checked = audit_search::last_of(conn, Kind::AuditChecked)?;
        Ok((logs(conn)?, newest_bundle(conn)?, checked))
    });
    let (logs, signed, recorded) = read.await?;
    let State { running_since, last } = app.check.state();
    let logs: Vec<Log> = logs.into_iter().filter(|log| log.size > 0).collect();
    let page = CheckPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Audit),
        events: logs.iter().map(|log| log.size).sum(),
        logs,
        signed: signed.map(|bundle| (admin.zone.when(bundle.at_ms.div_euclid(1000)), bundle.note)),
        running: running_since.map(|since| Running {
            since: admin.zone.when(since),
            rows: app.check.rows(),
        }),
        last: last.map(|ended| in_words(&ended, &admin.zone)),
        recorded: recorded.map(|row| {
            (
                admin.zone.when(row.at_ms.div_euclid(1000)),
                row.outcome == Outcome::Success.as_str(),
            )
        }),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

fn in_words(ended: &Ended, zone: &Zone) -> Last {
    Last {
        at: zone.when(ended.at),
        events: ended.events(),
        findings: ended.findings(),
        failed: ended.outcome.as_ref().err().cloned(),
    }
}

/// `POST /admin/audit/check`
pub async fn post(admin: AdminRequest, _form: PostedForm) -> Answered {
    let begun = record_check::begin(&admin.app, admin.event(Kind::AuditChecked))?;
    Ok(done(PATH, if begun { "check-begun" } else { "check-runs" }))
}
