//! Tamper evidence: a leaf is SHA-256(0x00 ‖ canonical JSON), as in RFC 6962 §2.1 with RFC 8785, so that Merkle
//! checkpoints can be laid over it. The JSON names chain, number and the leaf before.

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;

use super::event::Bound;

/// The leaf before the first.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The canonical JSON of an event (RFC 8785): [`Bound`] has its members in order and no number but integers, and
/// serde_json writes strings as the RFC wants them. A test compares with a library that sorts.
///
/// # Errors
/// Never for our events; the signature follows the library's.
pub fn canonical(event: &Bound<'_>) -> Result<String, serde_json::Error> {
    serde_json::to_string(event)
}

/// The leaf of a canonical text, in hexadecimal.
pub fn leaf(canonical: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(canonical.as_bytes());
    HEXLOWER.encode(context.finish().as_ref())
}
