//! Identity providers as we speak with them (OpenID Connect Core §3.1): discovery and keys, kept for a while; the request
//! that takes a person there; the code exchanged and the ID token verified. The only user of openidconnect.
//!
//! A provider that does not answer is left alone for [`COOL_DOWN_SECONDS`], and nobody waits for it meanwhile.

mod examine;
mod protocol;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use crate::model::identity_provider::{Identity, IdentityProvider};
use crate::outbound::Outbound;
use crate::secrets::fair_queue::FairTurns;

pub use examine::Finding;
pub use protocol::{Journey, Returned, UpstreamError};

/// How long after a fetch of discovery and keys, or after a failure, the next one may be made, in seconds.
pub const COOL_DOWN_SECONDS: i64 = 30;
/// How many codes are exchanged with one provider at a time. Strangers may send any number.
const EXCHANGES: usize = 16;
/// How many more wait for their turn.
const WAITING: usize = 256;
/// How long discovery and keys are kept, in seconds.
const KEPT_SECONDS: i64 = 600;

/// Discovery and keys of one provider, and until when they may be kept.
struct Known {
    metadata: protocol::Metadata,
    until: i64,
}

struct Entry {
    kept: ArcSwapOption<Known>,
    /// When the provider last failed to answer; 0: it did not.
    failed_at: AtomicI64,
    /// Held while a fetch is made: one at a time.
    fetch: tokio::sync::Mutex<LastFetch>,
    exchanges: Arc<FairTurns>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            kept: ArcSwapOption::empty(),
            failed_at: AtomicI64::new(0),
            fetch: tokio::sync::Mutex::default(),
            exchanges: FairTurns::new(EXCHANGES, WAITING),
        }
    }
}

#[derive(Default)]
struct LastFetch {
    at: Option<i64>,
    problem: Option<String>,
}

impl Entry {
    fn usable(&self, now: i64) -> Option<Arc<Known>> {
        self.kept.load_full().filter(|kept| now < kept.until)
    }

    fn is_silent(&self, now: i64) -> bool {
        match self.failed_at.load(Ordering::Relaxed) {
            0 => false,
            at => now < at + COOL_DOWN_SECONDS,
        }
    }
}

/// The identity providers that were spoken with lately, by issuer.
pub struct IdentityProviders {
    outbound: Outbound,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

impl fmt::Debug for IdentityProviders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityProviders")
    }
}

impl IdentityProviders {
    /// Knows none yet; speaks through the guard for outbound requests.
    pub fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            entries: Mutex::default(),
        }
    }

    fn entry(&self, issuer: &str) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(entries.entry(issuer.to_owned()).or_default())
    }

    /// Whether a provider did not answer lately.
    pub fn is_silent(&self, provider: &IdentityProvider, now: i64) -> bool {
        self.entry(&provider.settings.issuer).is_silent(now)
    }

    /// Has discovery and keys fetched in the background, unless they are there or the provider is silent.
    pub fn warm(self: &Arc<Self>, provider: &IdentityProvider, now: i64) {
        let entry = self.entry(&provider.settings.issuer);
        if entry.usable(now).is_some() || entry.is_silent(now) || entry.fetch.try_lock().is_err() {
            return;
        }
        let (upstream, issuer) = (Arc::clone(self), provider.settings.issuer.clone());
        tokio::spawn(async move {
            if let Err(cause) = upstream.known(&issuer, false, now).await {
                tracing::warn!(%issuer, %cause, "an identity provider does not answer");
            }
        });
    }

    /// Discovery and keys of an issuer; `anew`: those that are kept do not serve.
    async fn known(&self, issuer: &str, anew: bool, now: i64) -> Result<Arc<Known>, UpstreamError> {
        let entry = self.entry(issuer);
        if let Some(known) = entry.usable(now).filter(|_| !anew) {
            return Ok(known);
        }
        let mut last = entry.fetch.lock().await;
        if last.at.is_some_and(|at| now < at + COOL_DOWN_SECONDS) {
            let problem = || {
                last.problem
                    .clone()
                    .unwrap_or_else(|| "fetched lately".to_owned())
            };
            return entry.usable(now).ok_or_else(|| UpstreamError::Silent(problem()));
        }
        if let Some(known) = entry.usable(now).filter(|_| !anew) {
            return Ok(known);
        }
        last.at = Some(now);
        match protocol::discover(&self.outbound, issuer).await {
            Ok(metadata) => {
                let known = Arc::new(Known {
                    metadata,
                    until: now + KEPT_SECONDS,
                });
                entry.kept.store(Some(Arc::clone(&known)));
                entry.failed_at.store(0, Ordering::Relaxed);
                last.problem = None;
                Ok(known)
            }
            Err(problem) => {
                entry.failed_at.store(now, Ordering::Relaxed);
                last.problem = Some(problem.clone());
                Err(UpstreamError::Silent(problem))
            }
        }
    }

    /// The URL that takes a person to a provider.
    ///
    /// # Errors
    /// When the provider does not answer and nothing is known of it.
    pub async fn authorization_url(
        &self,
        provider: &IdentityProvider,
        journey: Journey<'_>,
        now: i64,
    ) -> Result<String, UpstreamError> {
        let known = self.known(&provider.settings.issuer, false, now).await?;
        protocol::authorization_url(&known.metadata, provider, journey)
    }

    /// Exchanges the code and verifies the ID token, when it is the turn of whoever brings it: somebody of the network
    /// `asking`.
    ///
    /// # Errors
    /// Which check failed, or that the provider does not answer.
    pub async fn identity(
        &self,
        provider: &IdentityProvider,
        returned: Returned<'_>,
        asking: IpAddr,
        now: i64,
    ) -> Result<Identity, UpstreamError> {
        let issuer = &provider.settings.issuer;
        let turns = Arc::clone(&self.entry(issuer).exchanges);
        let _turn = turns
            .turn(asking)
            .await
            .ok_or_else(|| UpstreamError::Silent("too many wait for it".to_owned()))?;
        let known = self.known(issuer, false, now).await?;
        protocol::check_issuer(&known.metadata, issuer, returned.iss)?;
        let exchanged = protocol::exchange(&self.outbound, &known.metadata, provider, returned).await;
        let tokens = exchanged.inspect_err(|error| self.note(issuer, error, now))?;
        let verified = match protocol::verify(&known.metadata, provider, &tokens, returned.nonce, now) {
            // Perhaps the provider has a new key.
            Err(protocol::Unverified::UnknownKey) => {
                let known = self.known(issuer, true, now).await?;
                protocol::verify(&known.metadata, provider, &tokens, returned.nonce, now)
            }
            other => other,
        };
        let identity = verified.map_err(|unverified| UpstreamError::Refused(unverified.to_string()))?;
        let complete = protocol::complete(&self.outbound, &known.metadata, provider, &tokens, identity).await;
        complete.inspect_err(|error| self.note(issuer, error, now))
    }

    fn note(&self, issuer: &str, error: &UpstreamError, now: i64) {
        if matches!(error, UpstreamError::Silent(_)) {
            self.entry(issuer).failed_at.store(now, Ordering::Relaxed);
        }
    }

    /// Looks at a provider as an engineer would who has to connect it: a line for each thing that was found.
    pub async fn examine(&self, provider: &IdentityProvider, redirect_uri: &str) -> Vec<Finding> {
        match protocol::discover(&self.outbound, &provider.settings.issuer).await {
            Ok(metadata) => {
                let mut found = examine::metadata(&metadata, provider, redirect_uri);
                found
                    .push(examine::reauthentication(&self.outbound, &metadata, provider, redirect_uri).await);
                found
            }
            Err(problem) => vec![Finding::problem(format!("discovery: {problem}"))],
        }
    }
}
