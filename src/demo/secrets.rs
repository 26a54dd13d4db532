//! The secrets of a demo: drawn at its first start and kept in a file, so that each start prints the same lines. The
//! file marks its directory as a demo's, which keeps a demo away from real data.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use data_encoding::BASE32_NOPAD;
use serde::Deserialize;

use crate::app::{StartError, make_private_directory};
use crate::clock::Entropy;
use crate::model::secret::Secret;

/// The file of a demo's directory that marks it.
pub const SECRETS_FILE: &str = "demo.toml";

/// All secrets of a demo.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// With which the EDRS introspects.
    pub edrs: Secret,
    /// With which the MDI CMS introspects.
    pub cms: Secret,
    /// Of the case system as a system.
    pub case_system: Secret,
    /// Of the case system when people sign in.
    pub case_system_people: Secret,
    /// Of the laboratory system.
    pub lims: Secret,
    /// The medical examiner's password.
    pub examiner_password: Secret,
    /// The medical examiner's TOTP secret, in base32.
    pub examiner_totp: Secret,
    /// The data clerk's password.
    pub clerk_password: Secret,
    /// The data clerk's TOTP secret, in base32.
    pub clerk_totp: Secret,
    /// The administrator's password.
    pub administrator_password: Secret,
    /// The administrator's TOTP secret, in base32.
    pub administrator_totp: Secret,
}

impl Secrets {
    /// Those of the demo in a directory; none if the directory is empty or does not exist.
    ///
    /// # Errors
    /// When the directory holds something else than a demo.
    pub fn find(dir: &Path) -> Result<Option<Self>, StartError> {
        let shown = dir.display();
        let mut entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(StartError(format!("cannot read the directory {shown}: {cause}"))),
        };
        if entries.next().is_none() {
            return Ok(None);
        }
        let file = dir.join(SECRETS_FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                return Err(StartError(format!(
                    "{shown} is not empty and not a demo's (it has no {SECRETS_FILE}): name a new directory with --data"
                )));
            }
            Err(cause) => return Err(StartError(format!("cannot read {}: {cause}", file.display()))),
        };
        // The parser would quote the line, and with it a secret.
        toml::from_str(&text).map(Some).map_err(|_| {
            StartError(format!(
                "{} is not the file of a demo of this version: name a new directory with --data, or delete {shown} if it is a demo's",
                file.display()
            ))
        })
    }

    /// Draws new ones and makes the directory for them.
    ///
    /// # Errors
    /// When the directory or the file cannot be written.
    pub fn make(dir: &Path, entropy: Entropy) -> Result<Self, StartError> {
        make_private_directory(dir)?;
        let file = dir.join(SECRETS_FILE);
        let text = draw(entropy);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&file)
            .and_then(|mut open| open.write_all(text.as_bytes()));
        written.map_err(|cause| StartError(format!("cannot write {}: {cause}", file.display())))?;
        toml::from_str(&text).map_err(|cause| StartError(format!("{SECRETS_FILE}: {}", cause.message())))
    }
}

fn draw(entropy: Entropy) -> String {
    let mut text =
        "# The secrets of a demo of MDI Auth. This file marks its directory as a demo's: nothing in it is real.\n"
            .to_owned();
    let mut line = |name: &str, secret: String| text.push_str(&format!("{name} = \"{secret}\"\n"));
    for name in ["edrs", "cms", "case_system", "case_system_people", "lims"] {
        line(name, entropy.secret());
    }
    for person in ["examiner", "clerk", "administrator"] {
        line(&format!("{person}_password"), password(entropy));
        line(
            &format!("{person}_totp"),
            BASE32_NOPAD.encode(&entropy.bytes::<20>()),
        );
    }
    text
}

/// 80 random bits in four groups that can be typed.
fn password(entropy: Entropy) -> String {
    let text = BASE32_NOPAD.encode(&entropy.bytes::<10>()).to_lowercase();
    let groups: Vec<String> = text
        .as_bytes()
        .chunks(4)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    groups.join("-")
}
