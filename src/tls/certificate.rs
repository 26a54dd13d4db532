//! What a certificate says of itself, read through rustls.

use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

/// How long before its end a certificate of our own is renewed, and one of somebody else's is warned of, in seconds.
pub(super) const RENEW_BEFORE_SECONDS: i64 = 30 * 86_400;

/// What a server's certificate says of itself.
#[derive(Debug, Clone)]
pub struct CertificateInfo {
    /// Host names and addresses (subjectAltName), as they stand there.
    pub names: Vec<String>,
    /// The first second of its validity, in Unix seconds.
    pub not_before: i64,
    /// The last second of its validity, in Unix seconds.
    pub not_after: i64,
    certificate: CertificateDer<'static>,
}

impl CertificateInfo {
    pub(super) fn read(certificate: &CertificateDer<'_>, provider: &CryptoProvider) -> Result<Self, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        // rustls gives no access to the fields, but its refusals name them: so ask about the beginning and the end of
        // time, and about a name that nobody may have (RFC 6761 §6.4).
        let refusal = |now| verify(&parsed, &RootCertStore::empty(), now, provider);
        let not_before = match refusal(i64::MIN) {
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                not_before
            }
            // Valid since the epoch or longer.
            _ => UnixTime::since_unix_epoch(Duration::ZERO),
        };
        let not_after = match refusal(i64::MAX) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => not_after,
            other => return Err(unreadable(other)),
        };
        let nobody = ServerName::try_from("name.invalid").map_err(|_| Error::UnsupportedNameType)?;
        let names = match verify_server_name(&parsed, &nobody) {
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented, ..
            })) => presented,
            other => return Err(unreadable(other)),
        };
        Ok(Self {
            names: names.iter().map(|name| plain(name)).collect(),
            not_before: seconds(not_before),
            not_after: seconds(not_after),
            certificate: certificate.clone().into_owned(),
        })
    }

    /// Whether a client that connects to this host name or address would accept the name.
    pub fn covers(&self, host: &str) -> bool {
        ParsedCertificate::try_from(&self.certificate).is_ok_and(|parsed| covers(&parsed, host))
    }

    /// What clients will object to, now (in Unix seconds) or soon: one sentence each.
    pub fn problems(&self, host: &str, now: i64) -> Vec<String> {
        let mut problems = Vec::new();
        let day = |seconds: i64| {
            jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |day| day.to_string())
        };
        if now < self.not_before {
            problems.push(format!(
                "the TLS certificate is valid only from {}",
                day(self.not_before)
            ));
        }
        if now > self.not_after {
            problems.push(format!(
                "the TLS certificate ended at {}: put a new one in its place",
                day(self.not_after)
            ));
        } else if now > self.not_after - RENEW_BEFORE_SECONDS {
            problems.push(format!(
                "the TLS certificate ends at {}: put a new one in its place",
                day(self.not_after)
            ));
        }
        if !self.covers(host) {
            let names = self.names.join(", ");
            problems.push(format!(
                "the TLS certificate is for {names}, not for \"{host}\", the host of [server] issuer"
            ));
        }
        problems
    }
}

pub(super) fn covers(certificate: &ParsedCertificate<'_>, host: &str) -> bool {
    ServerName::try_from(host).is_ok_and(|name| verify_server_name(certificate, &name).is_ok())
}

/// rustls prints `DnsName("localhost")` and `IpAddress(127.0.0.1)`.
fn plain(name: &str) -> String {
    let inside = name
        .split_once('(')
        .map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    inside.trim_matches('"').to_owned()
}

/// Whether the authorities vouch for the certificate at a time; names aside.
pub(super) fn verify(
    certificate: &ParsedCertificate<'_>,
    authorities: &RootCertStore,
    now: i64,
    provider: &CryptoProvider,
) -> Result<(), Error> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap_or_default()));
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(certificate, authorities, &[], now, algorithms)
}

fn seconds(time: UnixTime) -> i64 {
    time.as_secs().try_into().unwrap_or(i64::MAX)
}

fn unreadable(result: Result<(), Error>) -> Error {
    result
        .err()
        .unwrap_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}
