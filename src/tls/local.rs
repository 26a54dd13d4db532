//! A certificate authority and a server certificate of our own, for installations that have configured none.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use zeroize::Zeroizing;

use super::certificate::{CertificateInfo, RENEW_BEFORE_SECONDS, covers, verify};
use super::error::TlsError;
use super::pem::{chain, load, read};
use crate::config::TlsFiles;

/// The certificate that clients import to trust ours.
pub const CA_FILE: &str = "ca.pem";
/// Its key: whoever has it makes certificates that those clients trust.
pub const CA_KEY_FILE: &str = "ca-key.pem";

const DAY: i64 = 86_400;
const CA_DAYS: i64 = 3_652;
/// Browsers accept no server certificate that lasts longer.
const SERVER_DAYS: i64 = 397;
/// Clients whose clocks are slow accept a new certificate too.
const BACKDATED_SECONDS: i64 = 3_600;

/// Where our own certificate and key are.
pub(super) fn files(dir: &Path) -> TlsFiles {
    TlsFiles {
        certificate: dir.join("server.pem"),
        key: dir.join("server-key.pem"),
    }
}

/// Makes or renews what is missing, ends within 30 days, is damaged, or does not cover the names.
pub(super) fn renew(dir: &Path, host: &str, provider: &CryptoProvider, now: i64) -> Result<(), TlsError> {
    if usable(dir, host, provider, now)? {
        return Ok(());
    }
    make_directory(dir)?;
    // An authority that may not speak for these names, has lost its key or ends too soon makes nothing usable.
    if authority_lasts(dir, provider, now)?
        && unless_damaged(issue(dir, host, now))?.is_some()
        && usable(dir, host, provider, now)?
    {
        tracing::info!(dir = %dir.display(), host, "made a new TLS certificate");
        return Ok(());
    }
    make_authority(dir, host, now)?;
    issue(dir, host, now)?;
    tracing::warn!(ca = %dir.join(CA_FILE).display(), host, "made a new certificate authority: clients must import it");
    if usable(dir, host, provider, now)? {
        Ok(())
    } else {
        Err(making(
            host,
            "clients would not accept what was made: is the host name valid?",
        ))
    }
}

/// Nothing for what is missing or damaged; an error for what cannot be read just now, which may still be good.
fn unless_damaged<T>(result: Result<T, TlsError>) -> Result<Option<T>, TlsError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(TlsError::File { cause, .. }) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(unreadable @ TlsError::File { .. }) => Err(unreadable),
        Err(_) => Ok(None),
    }
}

/// Whether clients that trust our authority will accept the certificate for another 30 days.
fn usable(dir: &Path, host: &str, provider: &CryptoProvider, now: i64) -> Result<bool, TlsError> {
    let (served, authority) = (unless_damaged(load(&files(dir), provider))?, authority(dir)?);
    let mut authorities = RootCertStore::empty();
    let trusted = authority.is_some_and(|authority| authorities.add(authority).is_ok());
    let parsed = served
        .as_ref()
        .and_then(|served| ParsedCertificate::try_from(served.end_entity_cert().ok()?).ok());
    Ok(parsed.is_some_and(|parsed| {
        let vouched = |time| verify(&parsed, &authorities, time, provider).is_ok();
        trusted
            && names(host).iter().all(|name| covers(&parsed, name))
            && vouched(now)
            && vouched(now + RENEW_BEFORE_SECONDS)
    }))
}

fn authority(dir: &Path) -> Result<Option<CertificateDer<'static>>, TlsError> {
    let path = dir.join(CA_FILE);
    let chain = unless_damaged(read(&path).and_then(|pem| chain(&path, &pem)))?;
    Ok(chain.and_then(|chain| chain.into_iter().next()))
}

/// Whether the authority outlasts what it would sign now.
fn authority_lasts(dir: &Path, provider: &CryptoProvider, now: i64) -> Result<bool, TlsError> {
    let authority = authority(dir)?.and_then(|authority| CertificateInfo::read(&authority, provider).ok());
    Ok(authority.is_some_and(|ca| ca.not_before <= now && now + SERVER_DAYS * DAY <= ca.not_after))
}

fn names(host: &str) -> Vec<String> {
    let mut names = vec![
        host.to_owned(),
        "localhost".to_owned(),
        IpAddr::from(Ipv4Addr::LOCALHOST).to_string(),
        IpAddr::from(Ipv6Addr::LOCALHOST).to_string(),
    ];
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn make_authority(dir: &Path, host: &str, now: i64) -> Result<(), TlsError> {
    let broken = |cause: rcgen::Error| making(host, cause);
    let mut params = CertificateParams::new(names(host)).map_err(broken)?;
    // Whoever imports this authority trusts it with these names and no others.
    let permitted_subtrees = params
        .subject_alt_names
        .drain(..)
        .filter_map(|name| match name {
            SanType::DnsName(name) => Some(GeneralSubtree::DnsName(name.to_string())),
            SanType::IpAddress(address) => {
                let whole = if address.is_ipv4() { 32 } else { 128 };
                Some(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                    address, whole,
                )))
            }
            _ => None,
        })
        .collect();
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees,
        excluded_subtrees: Vec::new(),
    });
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
    // The moment of its making tells two authorities apart. (A common name has at most 64 characters, a host name more.)
    let made = jiff::Timestamp::from_second(now).map_or_else(|_| now.to_string(), |made| made.to_string());
    params
        .distinguished_name
        .push(DnType::CommonName, format!("MDI Auth local authority, {made}"));
    set_validity(&mut params, now, CA_DAYS);
    let certificate = params.self_signed(&key).map_err(broken)?;
    write_file(
        dir,
        CA_KEY_FILE,
        Zeroizing::new(key.serialize_pem()).as_bytes(),
        0o600,
    )?;
    write_file(dir, CA_FILE, certificate.pem().as_bytes(), 0o644)
}

fn issue(dir: &Path, host: &str, now: i64) -> Result<(), TlsError> {
    let broken = |cause: rcgen::Error| making(host, cause);
    let (ca, ca_key) = (read(&dir.join(CA_FILE))?, read(&dir.join(CA_KEY_FILE))?);
    let ca_key = KeyPair::from_pem(&String::from_utf8_lossy(&ca_key)).map_err(broken)?;
    let issuer = Issuer::from_ca_cert_pem(&String::from_utf8_lossy(&ca), ca_key).map_err(broken)?;
    let mut params = CertificateParams::new(names(host)).map_err(broken)?;
    params.distinguished_name.push(DnType::CommonName, "MDI Auth");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, SERVER_DAYS);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
    let certificate = params.signed_by(&key, &issuer).map_err(broken)?;
    write_file(
        dir,
        "server-key.pem",
        Zeroizing::new(key.serialize_pem()).as_bytes(),
        0o600,
    )?;
    write_file(dir, "server.pem", certificate.pem().as_bytes(), 0o644)
}

fn set_validity(params: &mut CertificateParams, now: i64, days: i64) {
    let epoch = date_time_ymd(1970, 1, 1);
    let at = |seconds: i64| epoch + Duration::from_secs(seconds.try_into().unwrap_or_default());
    params.not_before = at(now - BACKDATED_SECONDS);
    params.not_after = at(now - BACKDATED_SECONDS + days * DAY);
}

fn making(host: &str, cause: impl ToString) -> TlsError {
    TlsError::Making {
        host: host.to_owned(),
        cause: cause.to_string(),
    }
}

/// Makes a directory for this user alone.
fn make_directory(dir: &Path) -> Result<(), TlsError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|cause| TlsError::File {
        verb: "make",
        path: dir.display().to_string(),
        cause,
    })
}

/// Writes a file whole or not at all: a reader sees the old one or the new one.
fn write_file(dir: &Path, name: &str, content: &[u8], mode: u32) -> Result<(), TlsError> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let mut file: File = options.open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    // What a process of the same number left behind when it was killed.
    let _ = fs::remove_file(&temporary);
    write().map_err(|cause| TlsError::File {
        verb: "write",
        path: path.display().to_string(),
        cause,
    })
}
