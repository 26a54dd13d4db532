//! How old a sign-in may be for what the person signs in for, and how soon after its first factor the second must come.

use crate::app::App;
use crate::issuance::{CERTIFY, Rules};
use crate::model::person::Person;
use crate::model::session::TOGETHER_SECONDS;
use crate::session::Loaded;
use crate::web::browser::{Destination, Pending};
use crate::web::parameters::Parameters;

/// What is asked of the age of a sign-in.
struct Wanted {
    /// `max_age`, in seconds.
    max_age: Option<i64>,
    /// In how many seconds it must not have grown old, where it has to be made for the occasion.
    fresh: Option<i64>,
}

impl Wanted {
    /// `person`: who signs in, if that is known.
    fn of(app: &App, pending: &Pending, person: Option<&Person>) -> Self {
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
                    certifies(app, parameters, person).then(|| Rules::of(app).certify_seconds)
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

/// Whether a request asks to certify: by name, or by asking for all that its client may have, and the person may as well.
fn certifies(app: &App, parameters: &Parameters, person: Option<&Person>) -> bool {
    if let Some(scope) = parameters.one("scope").ok().flatten() {
        return scope.split_ascii_whitespace().any(|scope| scope == CERTIFY);
    }
    let may = |person: &Person| {
        app.policy
            .may_hold(&person.settings.all_roles())
            .contains(CERTIFY)
    };
    if !person.is_none_or(may) {
        return false;
    }
    let Some(client) = app.live.client(one(parameters, "client_id")) else {
        return false;
    };
    let client = &client.client;
    let dataflow = app.policy.dataflow(&client.settings.dataflow);
    dataflow.is_some_and(|dataflow| {
        dataflow
            .ceiling(client.settings.scopes.as_ref())
            .contains(CERTIFY)
    })
}

/// How old the sign-in may be at most for what the person signs in for, in seconds; none if nothing is asked.
pub fn wanted_age(app: &App, pending: &Pending) -> Option<i64> {
    let Wanted { max_age, fresh } = Wanted::of(app, pending, None);
    max_age.into_iter().chain(fresh).min()
}

/// Whether the second factor comes too late after the first for what the person signs in for: then that is asked for again,
/// before any code is issued. Where nothing makes the sign-in fresh, what wants that says so by itself.
pub fn is_too_late(app: &App, pending: &Pending, loaded: &Loaded) -> bool {
    let session = &loaded.session;
    let provider = session.identity_provider.as_deref();
    let never = provider
        .and_then(|id| app.live.identity_provider(id))
        .is_some_and(|provider| !provider.asks_anew());
    let Some(fresh) = Wanted::of(app, pending, Some(&loaded.person)).fresh else {
        return false;
    };
    // A sign-in that is fresh for less than that is too late sooner.
    let limit = if fresh > 0 {
        fresh.min(TOGETHER_SECONDS)
    } else {
        TOGETHER_SECONDS
    };
    !never && app.now() - session.created_at > limit
}
