//! What can be wrong with a certificate, and what to mend.

use std::io;

/// What can be wrong with a certificate. Each text says what to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot {verb} {path}: {cause}")]
    File {
        /// "read" or "write".
        verb: &'static str,
        /// Which file.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path} does not hold {wanted}: {cause}")]
    Content {
        /// Which file.
        path: String,
        /// "a PEM certificate chain", "a PEM private key".
        wanted: &'static str,
        /// What the parser said.
        cause: String,
    },
    /// The private key is of another certificate, or of a kind that TLS does not know.
    #[error("the key in {key} does not fit the certificate in {certificate}: {cause}")]
    Mismatch {
        /// The certificate file.
        certificate: String,
        /// The key file.
        key: String,
        /// What rustls said.
        cause: rustls::Error,
    },
    /// The private key is of a certificate further down the chain.
    #[error(
        "the certificates in {certificate} are in the wrong order: the first must be the server's own, then whoever signed it (RFC 8446 section 4.4.2)"
    )]
    Order {
        /// The certificate file.
        certificate: String,
    },
    /// Our own certificate could not be made.
    #[error("cannot make a certificate for {host}: {cause}")]
    Making {
        /// The issuer's host.
        host: String,
        /// What the library said.
        cause: String,
    },
    /// rustls refuses our settings.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}
