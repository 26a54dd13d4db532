//! What the server runs with, as short fingerprints: so that the record shows when a certificate, the policy, the profile
//! or a setting was another one.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use crate::config::Config;
use crate::tls;

/// How much of a digest is shown, in bytes.
const SHOWN: usize = 8;

fn fingerprint(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    HEXLOWER.encode(digest.as_ref().get(..SHOWN).unwrap_or_default())
}

/// Those of a configuration and the files that it names, by name. Secrets are not part of them.
pub fn of(config: &Config) -> BTreeMap<&'static str, String> {
    let of_file = |path: &std::path::Path| {
        std::fs::read(path).map_or_else(|_| "unreadable".to_owned(), |bytes| fingerprint(&bytes))
    };
    BTreeMap::from([
        ("certificate", of_file(&tls::files(&config.server).certificate)),
        (
            "policy",
            config
                .policy
                .file
                .as_deref()
                .map_or_else(|| "built in".to_owned(), of_file),
        ),
        ("profile", config.login.policy.clone()),
        ("settings", fingerprint(format!("{config:?}").as_bytes())),
    ])
}
