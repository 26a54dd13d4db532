//! The keys of clients that publish them at a `jwks_uri`: fetched, kept for as long as the client allows, and fetched
//! again for an unknown `kid`, but not more often than every [`COOL_DOWN_SECONDS`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use url::Url;

use crate::keys::ClientKeys;
use crate::outbound::Outbound;

/// The largest JWKS that is read, in bytes.
const LARGEST: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long after a fetch the next one may be made, in seconds.
pub const COOL_DOWN_SECONDS: i64 = 30;
/// How long keys are kept when the client does not say, and at the most, in seconds.
const LONGEST_SECONDS: i64 = 3600;

/// Why there are no keys.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoKeys {
    /// The address does not answer just now.
    #[error("{0}")]
    Unreachable(String),
    /// It may not be asked, or what it answers is of no use.
    #[error("{0}")]
    Unusable(String),
}

/// Keys that were fetched, and until when they may be kept.
struct Kept {
    keys: Arc<ClientKeys>,
    until: i64,
}

#[derive(Default)]
struct Entry {
    kept: ArcSwapOption<Kept>,
    /// Held while a fetch is made: one at a time.
    fetch: tokio::sync::Mutex<LastFetch>,
}

#[derive(Default)]
struct LastFetch {
    /// When it was made, however it ended; none before the first.
    at: Option<i64>,
    problem: Option<NoKeys>,
}

impl Entry {
    /// The kept keys, if they may be used and hold what is missing.
    fn usable(&self, missing: Option<&str>, now: i64) -> Option<Arc<ClientKeys>> {
        let kept = self.kept.load_full()?;
        let serves = now < kept.until && missing.is_none_or(|kid| kept.keys.kids().contains(&kid));
        serves.then(|| Arc::clone(&kept.keys))
    }
}

/// Fetched keys by URL.
pub struct JwksCache {
    outbound: Outbound,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

impl std::fmt::Debug for JwksCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JwksCache")
    }
}

impl JwksCache {
    /// An empty cache that fetches through the guard for outbound requests.
    pub fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            entries: Mutex::default(),
        }
    }

    /// The guard itself, for checks at registration.
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// The keys at a URL. `missing` names a `kid` that the cached keys lack: they are fetched again unless they just were.
    ///
    /// # Errors
    /// Why there are none, for the log and for the client's engineer once the client is known.
    pub async fn keys(&self, uri: &str, missing: Option<&str>, now: i64) -> Result<Arc<ClientKeys>, NoKeys> {
        let entry = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(entries.entry(uri.to_owned()).or_default())
        };
        // Whoever finds its key never waits for somebody else's unknown one.
        if let Some(keys) = entry.usable(missing, now) {
            return Ok(keys);
        }
        let mut last = entry.fetch.lock().await;
        if let Some(keys) = entry.usable(missing, now) {
            return Ok(keys);
        }
        if last.at.is_some_and(|at| now < at + COOL_DOWN_SECONDS) {
            let kept = entry.usable(None, now);
            let problem = || {
                last.problem.clone().unwrap_or_else(|| {
                    NoKeys::Unusable(format!("fetched less than {COOL_DOWN_SECONDS} s ago"))
                })
            };
            return kept.ok_or_else(problem);
        }
        last.at = Some(now);
        // Once more, for a host that was down for a moment.
        let fetched = match self.fetch(uri).await {
            Err(NoKeys::Unreachable(_)) => self.fetch(uri).await,
            fetched => fetched,
        };
        match fetched {
            Ok((keys, max_age)) => {
                let keys = Arc::new(keys);
                // Even what may not be kept serves until it may be fetched again.
                let until = now + max_age.max(COOL_DOWN_SECONDS);
                entry.kept.store(Some(Arc::new(Kept {
                    keys: Arc::clone(&keys),
                    until,
                })));
                last.problem = None;
                Ok(keys)
            }
            Err(problem) => {
                last.problem = Some(problem.clone());
                Err(problem)
            }
        }
    }

    async fn fetch(&self, uri: &str) -> Result<(ClientKeys, i64), NoKeys> {
        let unusable = |cause: String| NoKeys::Unusable(cause);
        let url = Url::parse(uri).map_err(|cause| unusable(format!("jwks_uri {uri}: {cause}")))?;
        let fetched = self
            .outbound
            .get_json(&url, LARGEST, TIMEOUT)
            .await
            .map_err(|cause| match cause.may_pass() {
                true => NoKeys::Unreachable(cause.to_string()),
                false => NoKeys::Unusable(cause.to_string()),
            })?;
        let text =
            String::from_utf8(fetched.body).map_err(|_| unusable("the JWKS is not UTF-8".to_owned()))?;
        let keys = ClientKeys::parse_fetched(&text).map_err(|problem| unusable(problem.to_string()))?;
        let allowed = fetched
            .max_age
            .and_then(|age| i64::try_from(age.as_secs()).ok())
            .unwrap_or(LONGEST_SECONDS);
        Ok((keys, allowed.min(LONGEST_SECONDS)))
    }
}
