//! What the systems around the authorization server of a demo share, which play the EDRS, the MDI CMS and the case system
//! that people use. They know the authorization server by its URLs alone.

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::parties::Parties;
use crate::clock::{Entropy, SharedClock};
use crate::model::secret::Secret;
use crate::outbound::{Fetched, Outbound};

/// How long an answer of the authorization server is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is taken, in bytes.
const LARGEST: usize = 64 * 1024;
/// What the systems share.
#[derive(Debug)]
pub struct Site {
    /// Who takes part.
    pub parties: Parties,
    /// How one asks the other.
    pub outbound: Outbound,
    /// The time.
    pub clock: SharedClock,
    /// Random bytes.
    pub entropy: Entropy,
}

impl Site {
    /// Posts a form to the authorization server as a client.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(
        &self,
        path: &str,
        client: (&str, &Secret),
        form: &[(&str, &str)],
    ) -> Result<Value, String> {
        let url = parse(&format!("{}{path}", self.parties.issuer()))?;
        let fetched = self
            .outbound
            .post_form(&url, client, form, LARGEST, TIMEOUT)
            .await;
        document(fetched.map_err(|cause| cause.to_string())?)
    }

    /// Gets a FHIR answer with an access token.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get(&self, url: &str, token: &Secret) -> Result<Value, String> {
        let fetched = self
            .outbound
            .get_json_with(&parse(url)?, token, LARGEST, TIMEOUT)
            .await;
        document(fetched.map_err(|cause| cause.to_string())?)
    }

    /// Waits until both listeners answer: the authorization server that it is ready, the EDRS what it can do.
    ///
    /// # Errors
    /// Which of them does not, and why.
    pub async fn wait(&self) -> Result<(), String> {
        for url in [
            format!("{}/readyz", self.parties.issuer()),
            format!("{}/metadata", self.parties.edrs_base()),
        ] {
            let answer = self.outbound.get_json(&parse(&url)?, LARGEST, TIMEOUT).await;
            answer.map_err(|cause| format!("{url} does not answer: {cause}"))?;
        }
        Ok(())
    }
}

fn parse(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|cause| format!("{url}: {cause}"))
}

fn document(fetched: Fetched) -> Result<Value, String> {
    serde_json::from_slice(&fetched.body).map_err(|cause| format!("the answer is not JSON: {cause}"))
}
