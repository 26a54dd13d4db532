//! Public keys by which clients and resource servers prove who they are: inline, or where they are fetched.

use url::Url;

use super::Registry;
use super::noun::Judging;
use super::said::Said;
use crate::keys::ClientKeys;

/// Whether keys are said, inline or where they are fetched.
pub(super) fn are_said(said: &Said) -> bool {
    said.says("jwks") || said.says("jwks_uri")
}

/// Checks keys that are said; those that are said take the place of what was registered, inline or fetched.
pub(super) fn check<S>(
    jwks: &mut Option<String>,
    jwks_uri: &mut Option<String>,
    judging: &mut Judging<'_, S>,
) {
    match (judging.said.says("jwks"), judging.said.says("jwks_uri")) {
        (false, false) => {}
        (true, true) => judging
            .mistakes
            .add("jwks_uri", "it stands beside jwks; give one of the two"),
        (true, false) => {
            *jwks_uri = None;
            let checked = jwks.as_deref().map_or(Ok(()), check_inline);
            judging.mistakes.take("jwks", checked);
        }
        (false, true) => {
            *jwks = None;
            let checked = jwks_uri
                .as_deref()
                .map_or(Ok(()), |uri| check_fetched(judging.registry, uri));
            judging.mistakes.take("jwks_uri", checked);
        }
    }
}

fn check_inline(jwks: &str) -> Result<(), String> {
    let keys = ClientKeys::parse(jwks).map_err(|problem| problem.to_string())?;
    match keys.duplicate_kid() {
        Some(kid) => Err(format!(
            "several keys have the kid {kid:?}, so none of them can be chosen"
        )),
        None => Ok(()),
    }
}

fn check_fetched(registry: &Registry, uri: &str) -> Result<(), String> {
    let url = Url::parse(uri).map_err(|cause| format!("{uri:?} is not a URL: {cause}"))?;
    registry.check_reachable(&url)
}
