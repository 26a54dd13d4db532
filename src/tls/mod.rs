//! TLS of our listener: the certificate from files or of our own making, replaced while the server runs.

mod certificate;
mod error;
mod local;
mod pem;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs::default_provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use self::pem::load;
use crate::config;

pub use certificate::CertificateInfo;
pub use error::TlsError;
pub use local::{CA_FILE, CA_KEY_FILE};

/// How often the files are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The certificate that new connections get, and where it comes from.
#[derive(Debug)]
pub struct Tls {
    host: String,
    files: config::TlsFiles,
    /// Set when the certificate is of our own making: the directory.
    own: Option<PathBuf>,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// What the watch complained of last, so that it does so once.
    complaint: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The certificate and the key that are served: those that `config` names, or our own in the data directory.
pub fn files(config: &config::ServerConfig) -> config::TlsFiles {
    config
        .tls
        .clone()
        .unwrap_or_else(|| local::files(&config.data_dir))
}

/// What the certificate says of itself that `config` names, or that is in the data directory; makes and changes nothing.
///
/// # Errors
/// When the files cannot be used, or do not fit together. Our own are missing before the first start.
pub fn inspect(config: &config::ServerConfig) -> Result<CertificateInfo, TlsError> {
    let provider = default_provider();
    let key = load(&files(config), &provider)?;
    Ok(CertificateInfo::read(key.end_entity_cert()?, &provider)?)
}

impl Tls {
    /// Opens the configured certificate, or our own, which is made or renewed if need be. `now` is in Unix seconds.
    ///
    /// # Errors
    /// When a file cannot be used, or no certificate can be made.
    pub fn open(config: &config::ServerConfig, now: i64) -> Result<Self, TlsError> {
        let host = config.issuer.host().to_owned();
        let own = config.tls.is_none().then(|| config.data_dir.clone());
        let files = config
            .tls
            .clone()
            .unwrap_or_else(|| local::files(&config.data_dir));
        let provider = Arc::new(default_provider());
        if let Some(dir) = &own {
            local::renew(dir, &host, &provider, now)?;
        }
        let key = load(&files, &provider)?;
        let tls = Self {
            host,
            files,
            own,
            provider,
            current: Arc::new(Current(ArcSwap::from_pointee(key))),
            complaint: Mutex::default(),
        };
        tls.warn(now);
        Ok(tls)
    }

    /// The settings for the listener: TLS 1.2 and 1.3, HTTP/1.1. They follow every later change of certificate.
    ///
    /// # Errors
    /// When rustls refuses the settings.
    pub fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The certificate of the authority that clients must import, when the certificate is of our own making.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.own.as_ref().map(|dir| dir.join(CA_FILE))
    }

    /// What the served certificate says of itself.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn certificate(&self) -> Result<CertificateInfo, TlsError> {
        let current = self.current.0.load();
        let certificate = current.end_entity_cert()?;
        Ok(CertificateInfo::read(certificate, &self.provider)?)
    }

    /// Reads the files again now; renews our own certificate if need be. True: new connections get another certificate.
    ///
    /// # Errors
    /// When the files cannot be used. The old certificate stays.
    pub fn reload(&self, now: i64) -> Result<bool, TlsError> {
        if let Some(dir) = &self.own {
            local::renew(dir, &self.host, &self.provider, now)?;
        }
        let key = load(&self.files, &self.provider)?;
        let changed = key.cert != self.current.0.load().cert;
        if changed {
            self.current.0.store(Arc::new(key));
            self.warn(now);
        }
        Ok(changed)
    }

    /// Looks at the files every few seconds, for ever, and takes up what has changed. `clock` tells Unix seconds.
    pub async fn watch(self: Arc<Self>, clock: impl Fn() -> i64) {
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            let (tls, now) = (self.clone(), clock());
            // Reading files and making keys would hold up the connections of this thread.
            if let Err(cause) = tokio::task::spawn_blocking(move || tls.look_again(now)).await {
                tracing::error!(%cause, "the watch over the TLS certificate failed");
            }
        }
    }

    fn look_again(&self, now: i64) {
        let result = self.reload(now);
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *complaint, result.as_ref().err().map(ToString::to_string));
        match result {
            Ok(true) => {
                tracing::info!(certificate = %self.files.certificate.display(), "serving a new TLS certificate")
            }
            Err(cause) if *complaint != before => {
                tracing::error!(%cause, "keeping the TLS certificate that we have")
            }
            _ => {}
        }
    }

    fn warn(&self, now: i64) {
        match self.certificate() {
            Ok(certificate) => {
                for problem in certificate.problems(&self.host, now) {
                    tracing::warn!(certificate = %self.files.certificate.display(), "{problem}");
                }
            }
            Err(cause) => tracing::warn!(%cause, "cannot read the TLS certificate"),
        }
    }
}
