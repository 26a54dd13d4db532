//! The link by which the vendor of a client sees its hand-off sheet and checks its connection, as often as she likes.

/// A link as the database keeps it: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorLink {
    /// The client. It has one link at a time.
    pub client_id: String,
    /// SHA-256 of the secret.
    pub hash: String,
    /// When it was made, in seconds since the epoch.
    pub created_at: i64,
    /// When it ends, in seconds since the epoch.
    pub expires_at: i64,
}
