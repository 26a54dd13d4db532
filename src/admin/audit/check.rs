//! `/admin/audit/check`: the heads of the chains, and the check that nothing in the record was changed. It runs on a
//! thread of its own, one at a time.

use std::sync::Arc;

use actix_web::http::StatusCode;
use askama::Template;

use crate::admin::access::{AdminRequest, Answered, Frame, done};
use crate::app::App;
use crate::audit::check::{Ended, State};
use crate::audit::event::{Event, Kind, Outcome};
use crate::audit::verify::{Chain, verify_telling};
use crate::clock::local_time::{When, Zone};
use crate::error::Broken;
use crate::policy::console::Area;
use crate::store::audit::{Head, heads};
use crate::store::audit_search;
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

const PATH: &str = "/admin/audit/check";

#[derive(Template)]
#[template(path = "../admin/audit_check.html")]
struct CheckPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    heads: Vec<Head>,
    events: i64,
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
    let (heads, recorded) = app
        .store
        .read(|conn| Ok((heads(conn)?, audit_search::last_of(conn, Kind::AuditChecked)?)))
        .await?;
    let State { running_since, last } = app.check.state();
    let heads: Vec<Head> = heads.into_iter().filter(|head| head.seq > 0).collect();
    let page = CheckPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Audit),
        events: heads.iter().map(|head| head.seq).sum(),
        heads,
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
    let chains = ended.outcome.as_ref().map(Vec::as_slice).unwrap_or_default();
    Last {
        at: zone.when(ended.at),
        events: chains.iter().map(|chain| chain.sound).sum(),
        findings: findings(chains),
        failed: ended.outcome.as_ref().err().cloned(),
    }
}

fn findings(chains: &[Chain]) -> Vec<String> {
    let found = chains
        .iter()
        .filter_map(|chain| Some((chain.id, chain.finding.as_ref()?)));
    found
        .map(|(id, finding)| format!("Chain {id}, event {}: {}.", finding.seq, finding.problem))
        .collect()
}

/// `POST /admin/audit/check`
pub async fn post(admin: AdminRequest, _form: PostedForm) -> Answered {
    let app = &admin.app;
    if !app.check.begin(app.now()) {
        return Ok(done(PATH, "check-runs"));
    }
    let (event, job_app) = (admin.event(Kind::AuditChecked), Arc::clone(app));
    let thread = std::thread::Builder::new()
        .name("check".to_owned())
        .spawn(move || run(&job_app, event));
    if let Err(cause) = thread {
        app.check.end(Ended {
            at: app.now(),
            outcome: Err(cause.to_string()),
        });
        return Err(Broken::defect(cause).into());
    }
    Ok(done(PATH, "check-begun"))
}

/// Checks, and records what was found.
fn run(app: &App, event: Event) {
    let outcome = verify_telling(&app.store, |rows| app.check.tell(rows)).map_err(|broken| {
        tracing::error!(%broken, "the record could not be checked");
        "The database did not answer. Try again; the server's log says more.".to_owned()
    });
    if let Ok(chains) = &outcome {
        let found = findings(chains);
        let events: i64 = chains.iter().map(|chain| chain.sound).sum();
        let event = Event {
            at_ms: app.clock.now_millis(),
            ..event
        }
        .with("events", events.to_string())
        .outcome(if found.is_empty() {
            Outcome::Success
        } else {
            Outcome::SeriousFailure
        });
        let event = if found.is_empty() {
            event
        } else {
            event.with("findings", found.join(" "))
        };
        let written = app.store.write_blocking(move |tx| {
            tx.audit(event.clone());
            Ok(())
        });
        if let Err(broken) = written {
            tracing::error!(%broken, "the check of the record could not be recorded");
        }
    }
    app.check.end(Ended {
        at: app.now(),
        outcome,
    });
}
