//! What the record commits to: a leaf is SHA-256(0x00 ‖ canonical JSON), as in RFC 6962 §2.1 with RFC 8785. The JSON names
//! neither its place nor what stands before it, so that it can be made before the transaction that writes it.

use aws_lc_rs::digest::{Context, SHA256};

use super::event::Event;

/// The canonical JSON of an event (RFC 8785): its members are written in the order of their names, it has no number but
/// integers, and serde_json writes strings as the RFC wants them. A test compares with a library that sorts.
///
/// # Errors
/// Never for our events; the signature follows the library's.
pub fn canonical(event: &Event) -> Result<String, serde_json::Error> {
    serde_json::to_string(&event.members())
}

/// The leaf of a canonical text.
pub fn leaf(canonical: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(canonical);
    let mut leaf = [0; 32];
    leaf.copy_from_slice(context.finish().as_ref());
    leaf
}
