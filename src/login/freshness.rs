//! How old a sign-in may be for what the person signs in for, and how soon after its first factor the second must come.

use crate::app::App;
use crate::issuance::{CERTIFY, ClientContext, Rules};
use crate::model::session::Session;
use crate::web::browser::{Destination, Pending};
use crate::web::parameters::Parameters;

/// How soon after the first factor the second must come where the sign-in has to be fresh, in seconds.
const TOGETHER_SECONDS: i64 = 120;

/// What is asked of the age of a sign-in.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// `max_age`, in seconds.
    max_age: Option<i64>,
    /// In how many seconds it must not have grown old, where it has to be made for the occasion.
    fresh: Option<i64>,
}

impl Wanted {
    fn of(app: &App, pending: &Pending) -> Self {
        match &pending.destination {
            Destination::Page(_) => Self {
                max_age: None,
                fresh: pending.fresh,
            },
            Destination::Application(parameters) => Self {
                max_age: one(parameters, "max_age").parse().ok(),
                fresh: if asks_to_log_in(parameters) {
                    Some(0)
                } else {
                    certifies(app, parameters).then(|| Rules::of(app).certify_seconds)
                },
            },
        }
    }
}

/// A parameter, empty where it is missing. One that is sent twice is refused where the request is read.
fn one<'a>(parameters: &'a Parameters, name: &str) -> &'a str {
    parameters.one(name).ok().flatten().unwrap_or_default()
}

fn asks_to_log_in(parameters: &Parameters) -> bool {
    one(parameters, "prompt")
        .split_ascii_whitespace()
        .any(|prompt| matches!(prompt, "login" | "select_account"))
}

/// Whether a request asks to certify: by name, or by asking for all that its client may have.
fn certifies(app: &App, parameters: &Parameters) -> bool {
    if let Some(scope) = parameters.one("scope").ok().flatten() {
        return scope.split_ascii_whitespace().any(|scope| scope == CERTIFY);
    }
    let Some(client) = app.live.client(one(parameters, "client_id")) else {
        return false;
    };
    let context = ClientContext::of(&app.live, &client);
    let dataflow = context.dataflow(&Rules::of(app));
    dataflow.is_ok_and(|dataflow| {
        dataflow
            .ceiling(client.client.settings.scopes.as_ref())
            .contains(CERTIFY)
    })
}

/// How old the sign-in may be at most for what the person signs in for, in seconds; none if nothing is asked.
pub fn wanted_age(app: &App, pending: &Pending) -> Option<i64> {
    let Wanted { max_age, fresh } = Wanted::of(app, pending);
    max_age.into_iter().chain(fresh).min()
}

/// Whether the second factor comes too late after the first: then that is asked for again, before any code is issued.
/// Where only `max_age` is asked for, it may come as late as that allows.
pub fn is_too_late(app: &App, pending: &Pending, session: &Session) -> bool {
    let Wanted { max_age, fresh } = Wanted::of(app, pending);
    let limit = match (fresh, max_age) {
        (Some(_), _) => TOGETHER_SECONDS,
        (None, Some(max_age)) => max_age.max(TOGETHER_SECONDS),
        (None, None) => return false,
    };
    app.now() - session.auth_time > limit
}
