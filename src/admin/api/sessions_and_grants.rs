//! `/sessions` and `/grants`: where people are signed in, and what they allowed clients.

use serde::Serialize;
use utoipa::ToSchema;

use super::operation::{About, Answered, Call, Group, Operation, Shape, settled};
use super::problem::Problem;
use super::query::{Accepts, CURSOR, LIMIT, Parameter, number, page, parameter};
use super::reply::{Reply, time};
use crate::app::App;
use crate::model::grant::Grant;
use crate::model::session::Session;
use crate::policy::console::Area;
use crate::registry::{Registry, sessions};
use crate::session::Limits;
use crate::store::{Tx, lists};

/// A session: one person signed in with one browser.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionView {
    /// Its id; clients know it as `sid`.
    id: String,
    /// Who is signed in.
    user_id: String,
    /// When the person signed in.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last used, to the minute.
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// The assurance level that was reached.
    acr: String,
    /// How the person proved who she is (RFC 8176).
    amr: Vec<String>,
    /// Whether the second factor is still to come.
    second_factor_due: bool,
    /// The identity provider that the person signed in with, if it was not our own page.
    identity_provider: Option<String>,
    /// The address that the person signed in from.
    address: String,
    /// What the browser calls itself.
    user_agent: String,
}

/// What a person allowed a client, once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
struct GrantView {
    /// Its id.
    id: String,
    /// The client.
    client_id: String,
    /// Who allowed it.
    user_id: String,
    /// What was granted.
    scope: String,
    /// The resource server whose scopes are among them.
    resource_server: Option<String>,
    /// Purposes of use.
    purposes: Vec<String>,
    /// The session in which it was made.
    session_id: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// Whether it still counts: client and person were not disabled or changed since.
    active: bool,
}

const SESSIONS: [Parameter; 3] = [
    LIMIT,
    CURSOR,
    parameter("user", Accepts::Text, "Only those of this person, by id."),
];
const GRANTS: [Parameter; 4] = [
    LIMIT,
    CURSOR,
    parameter("user", Accepts::Text, "Only those of this person, by id."),
    parameter("client", Accepts::Text, "Only those to this client."),
];

/// Sessions.
pub(super) fn sessions_group() -> Group {
    let operations = vec![
        Operation::get("/sessions", "listSessions", list_sessions)
            .about(About::Own)
            .says("List sessions that are open", "The newest first.")
            .queries(&SESSIONS)
            .answers_page(Shape::of::<SessionView>()),
        Operation::delete("/sessions/{id}", "endSession", end_session)
            .about(About::Session)
            .says(
                "End a session",
                "What was allowed in it ends too, but for what was to stay connected. Its clients are told.",
            ),
    ];
    Group::new(
        "Sessions",
        "Where people are signed in.",
        Area::Sessions,
        operations,
    )
}

/// Grants.
pub(super) fn grants_group() -> Group {
    let operations = vec![
        Operation::get("/grants", "listGrants", list_grants)
            .about(About::Own)
            .says("List grants that were not revoked", "The newest first.")
            .queries(&GRANTS)
            .answers_page(Shape::of::<GrantView>()),
        Operation::delete("/grants/{id}", "revokeGrant", revoke_grant)
            .about(About::Grant)
            .says(
                "Revoke a grant",
                "All its tokens end at once, and the client must ask the person again.",
            ),
    ];
    Group::new("Grants", "What people allowed clients.", Area::Grants, operations)
}

/// Where a page behind a time and an id begins.
fn after(call: &Call) -> Result<Option<(i64, String)>, Problem> {
    let Some([at, id]) = call.query.after::<2>()? else {
        return Ok(None);
    };
    Ok(Some((number(&at)?, id)))
}

async fn list_sessions(call: Call) -> Answered {
    let (after, limit, now) = (after(&call)?, call.query.limit(), call.app.now());
    let (begun_after, used_after) = Limits::of(&call.app).since(now);
    let accepts = lists::Sessions {
        person: call.query.owned("user"),
        homes: call.reach.agencies().cloned(),
        begun_after,
        used_after,
    };
    let rows = call
        .read(move |conn| {
            let after = after.as_ref().map(|(at, id)| (*at, id.as_str()));
            lists::sessions(conn, &accepts, after, limit + 1)
        })
        .await?;
    let key = |session: &Session| vec![session.created_at.to_string(), session.id.clone()];
    Ok(Reply::ok(&page(rows, limit, key, session_view)))
}

fn session_view(session: Session) -> SessionView {
    SessionView {
        id: session.id,
        user_id: session.person_id,
        created_at: time(session.created_at),
        last_seen_at: time(session.last_seen_at),
        acr: session.acr,
        amr: session.amr,
        second_factor_due: session.second_factor_due,
        identity_provider: session.identity_provider,
        address: session.address,
        user_agent: session.user_agent,
    }
}

async fn end_session(call: Call) -> Answered {
    let id = call.id.clone();
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        Ok(match settled!(sessions::end(registry, tx, &id)?) {
            Some(_) => Ok(Reply::done()),
            None => Err(Problem::not_found("open session", &id)),
        })
    };
    call.change(job).await
}

async fn list_grants(call: Call) -> Answered {
    let (after, limit) = (after(&call)?, call.query.limit());
    let accepts = lists::Grants {
        person: call.query.owned("user"),
        homes: call.reach.agencies().cloned(),
        client: call.query.owned("client"),
        kept_after: call.app.now(),
    };
    let rows = call
        .read(move |conn| {
            let after = after.as_ref().map(|(at, id)| (*at, id.as_str()));
            lists::grants(conn, &accepts, after, limit + 1)
        })
        .await?;
    let key = |grant: &Grant| vec![grant.created_at.to_string(), grant.id.clone()];
    Ok(Reply::ok(&page(rows, limit, key, |grant| {
        grant_view(&call.app, grant)
    })))
}

fn grant_view(app: &App, grant: Grant) -> GrantView {
    let directory = &app.live;
    GrantView {
        active: directory.person_holds(&grant.person_id, grant.person_generation)
            && directory.client_holds(&grant.client_id, grant.client_generation),
        id: grant.id,
        client_id: grant.client_id,
        user_id: grant.person_id,
        scope: grant.facts.scope.to_string(),
        resource_server: grant.facts.target,
        purposes: grant.facts.purposes,
        session_id: grant.facts.session,
        created_at: time(grant.created_at),
    }
}

async fn revoke_grant(call: Call) -> Answered {
    let id = call.id.clone();
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        Ok(match settled!(sessions::revoke_grant(registry, tx, &id)?) {
            Some(_) => Ok(Reply::done()),
            None => Err(Problem::not_found("grant that holds", &id)),
        })
    };
    call.change(job).await
}
