//! Certificates and private keys, read from PEM files.

use std::path::Path;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::error::TlsError;
use crate::config::TlsFiles;

/// Reads a chain and its key and checks that they belong together.
pub(super) fn load(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
    let chain = chain(&files.certificate, &certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|cause| TlsError::Content {
        path: files.key.display().to_string(),
        wanted: "a PEM private key without a passphrase",
        cause: cause.to_string(),
    })?;
    let others: Vec<_> = chain.iter().skip(1).cloned().collect();
    CertifiedKey::from_der(chain, key.clone_key(), provider).map_err(|cause| {
        let belongs = |other| CertifiedKey::from_der(vec![other], key.clone_key(), provider).is_ok();
        let (certificate, key_file) = (
            files.certificate.display().to_string(),
            files.key.display().to_string(),
        );
        if others.into_iter().any(belongs) {
            TlsError::Order { certificate }
        } else {
            TlsError::Mismatch {
                certificate,
                key: key_file,
                cause,
            }
        }
    })
}

pub(super) fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |cause| TlsError::Content {
        path: path.display().to_string(),
        wanted: "a PEM certificate chain",
        cause,
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(content("no BEGIN CERTIFICATE".to_owned())),
        Ok(chain) => Ok(chain),
        Err(cause) => Err(content(cause.to_string())),
    }
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    match std::fs::read(path) {
        Ok(mut content) => {
            // Windows editors put a byte order mark before what they save.
            if content.starts_with(b"\xEF\xBB\xBF") {
                content.drain(..3);
            }
            Ok(Zeroizing::new(content))
        }
        Err(cause) => Err(TlsError::File {
            verb: "read",
            path: path.display().to_string(),
            cause,
        }),
    }
}
