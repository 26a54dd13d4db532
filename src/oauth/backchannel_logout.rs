//! Tells clients that a session has ended (OpenID Connect Back-Channel Logout 1.0): a signed logout token to each, behind
//! everybody's back, so that nobody who signs out waits for a client. The notices were written down by the transaction
//! that ended the session; whichever server claims one delivers it, and tries again for about an hour.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use url::Url;

use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::error::Broken;
use crate::model::logout_notice::LogoutNotice;
use crate::model::signing::Algorithm;
use crate::store::logout_notices;

/// How many clients are told at a time.
const AT_ONCE: usize = 16;
/// How long a client may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often notices are looked for that nobody told us of: the next tries.
const POLL: Duration = Duration::from_secs(1);
/// How long after each try the next one is made, in seconds: more than [`TIMEOUT`], so that two never overlap. After the
/// last try as many seconds are left for its end.
const NEXT_TRY: [i64; 6] = [10, 30, 120, 600, 3600, 60];
/// How long a logout token holds, in seconds (§2.4: preferably at most two minutes).
const TOKEN_SECONDS: i64 = 120;
/// The type of a logout token (§2.4).
const TYPE: &str = "logout+jwt";
/// The member of `events` that makes a token a logout token (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Delivers notices as long as the server runs.
pub async fn deliver(app: Arc<App>) {
    let mut under_way = JoinSet::new();
    loop {
        match claim(&app, AT_ONCE.saturating_sub(under_way.len())).await {
            Ok(claimed) => {
                for notice in claimed {
                    let app = Arc::clone(&app);
                    under_way.spawn(async move { tell(&app, &notice).await });
                }
            }
            Err(cause) => tracing::warn!(%cause, "notices of ended sessions cannot be read"),
        }
        tokio::select! {
            () = app.live.logout_noticed() => {}
            Some(_) = under_way.join_next() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Claims what is due, each with the number of this attempt.
async fn claim(app: &Arc<App>, free: usize) -> Result<Vec<LogoutNotice>, Broken> {
    let limit = i64::try_from(free).map_err(Broken::defect)?;
    if limit == 0 {
        return Ok(Vec::new());
    }
    let now = app.now();
    let due = app
        .store
        .read(move |conn| logout_notices::due(conn, now, limit))
        .await?;
    if due.is_empty() {
        return Ok(due);
    }
    let written = app.store.write(move |tx| {
        let mut claimed = Vec::new();
        for notice in &due {
            let wait = usize::try_from(notice.attempts)
                .ok()
                .and_then(|made| NEXT_TRY.get(made))
                .or(NEXT_TRY.last());
            if logout_notices::claim(tx.conn(), notice, now + wait.copied().unwrap_or_default())? {
                claimed.push(LogoutNotice {
                    attempts: notice.attempts + 1,
                    ..notice.clone()
                });
            }
        }
        Ok(claimed)
    });
    written.await
}

/// How an attempt ended.
enum Told {
    /// The client took note.
    Yes,
    /// It did not; it may be tried again.
    NotYet(String),
    /// There is nobody to tell any more.
    Nobody(&'static str),
}

async fn tell(app: &Arc<App>, notice: &LogoutNotice) {
    let tries = i64::try_from(NEXT_TRY.len()).unwrap_or_default();
    let told = if notice.attempts > tries {
        // Whoever claimed the last try did not live to see its end.
        Told::NotYet("the last try was broken off".to_owned())
    } else {
        send(app, notice).await
    };
    let failure = match told {
        Told::Yes => None,
        Told::NotYet(cause) if notice.attempts < tries => {
            let LogoutNotice {
                client_id, attempts, ..
            } = notice;
            tracing::warn!(client = %client_id, attempt = attempts, %cause, "a client was not told of a logout, and will be tried again");
            return;
        }
        Told::NotYet(cause) => Some(format!("given up: {cause}")),
        Told::Nobody(why) => Some(why.to_owned()),
    };
    if let Err(cause) = settle(app, notice, failure).await {
        tracing::warn!(%cause, "a notice of an ended session cannot be settled");
    }
}

async fn send(app: &App, notice: &LogoutNotice) -> Told {
    let Some(live) = app.live.client(&notice.client_id).filter(|live| live.is_served()) else {
        return Told::Nobody("the client is deleted or disabled");
    };
    let Some(uri) = &live.client.settings.backchannel_logout_uri else {
        return Told::Nobody("the client has no backchannel_logout_uri any more");
    };
    let url = match Url::parse(uri) {
        Ok(url) => url,
        Err(cause) => return Told::NotYet(format!("backchannel_logout_uri: {cause}")),
    };
    let token = match logout_token(app, notice) {
        Ok(token) => token,
        Err(cause) => return Told::NotYet(cause.to_string()),
    };
    match app
        .jwks
        .outbound()
        .tell(&url, &[("logout_token", &token)], TIMEOUT)
        .await
    {
        Ok(()) => Told::Yes,
        Err(cause) => Told::NotYet(cause.to_string()),
    }
}

/// §2.4: never with a `nonce`, so that it cannot pass for an ID token.
fn logout_token(app: &App, notice: &LogoutNotice) -> Result<String, Broken> {
    let now = app.now();
    let claims = json!({
        "iss": app.issuer(),
        "sub": notice.person_id,
        "aud": notice.client_id,
        "iat": now,
        "exp": now + TOKEN_SECONDS,
        "jti": app.entropy.id("lgt"),
        "events": { EVENT: {} },
        "sid": notice.session_id,
    });
    app.live
        .keyring()
        .sign(Algorithm::RS256, TYPE, &claims, now)
        .map_err(Broken::defect)
}

/// Takes the notice off the list, with its event.
async fn settle(app: &Arc<App>, notice: &LogoutNotice, failure: Option<String>) -> Result<(), Broken> {
    let mut event = app
        .event(Kind::LogoutNotified, Actor::Server)
        .client(&notice.client_id)
        .person(&notice.person_id)
        .with("session", notice.session_id.clone())
        .with("attempts", notice.attempts.to_string());
    if let Some(reason) = failure {
        event = event.outcome(Outcome::MinorFailure).with("reason", reason);
    }
    let id = notice.id.clone();
    let written = app.store.write(move |tx| {
        if logout_notices::delete(tx.conn(), &id)? {
            tx.audit(event.clone());
        }
        Ok(())
    });
    written.await
}
