//! The logo of an installation: read at the start, served under a URL that names its content.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

/// The most that a logo may have, in bytes: people on a slow line wait for it.
const LARGEST_LOGO: usize = 200 * 1024;

/// The logo of an installation, read at the start and served like the files of `static/`.
#[derive(Debug, Clone)]
pub struct Logo {
    /// Its path at this server.
    pub url: String,
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl Logo {
    /// Reads an SVG or PNG.
    ///
    /// # Errors
    /// When it cannot be read, is larger than 200 KB, or is something else.
    pub fn read(path: &Path) -> Result<Self, String> {
        let at = |what: String| format!("{} ([server] logo_file): {what}", path.display());
        let content = std::fs::read(path).map_err(|cause| at(cause.to_string()))?;
        if content.len() > LARGEST_LOGO {
            return Err(at(format!(
                "found {} bytes; wanted at most {LARGEST_LOGO}",
                content.len()
            )));
        }
        let is_svg = std::str::from_utf8(&content).is_ok_and(|text| text.contains("<svg"));
        let (extension, content_type) = if content.starts_with(b"\x89PNG\r\n\x1a\n") {
            ("png", "image/png")
        } else if is_svg {
            ("svg", "image/svg+xml")
        } else {
            return Err(at("wanted an SVG or a PNG".to_owned()));
        };
        Ok(Self {
            url: url_of("logo", &content, extension),
            content_type,
            content,
        })
    }
}

/// The path of a file under `/static/`: it names the content, so that browsers may keep it for ever.
pub fn url_of(stem: &str, content: &[u8], extension: &str) -> String {
    let hash = digest(&SHA256, content);
    format!(
        "/static/{stem}.{}.{extension}",
        HEXLOWER.encode(hash.as_ref().get(..8).unwrap_or_default())
    )
}
