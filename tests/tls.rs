//! The listener's certificate: made, renewed, replaced under load, judged by real handshakes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use mdi_auth::config::{Config, Issuer, ServerConfig, TlsFiles};
use mdi_auth::tls::{Tls, TlsError, inspect};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, StreamOwned};

use crate::support::{TempDir, eventually};

const DAY: i64 = 86_400;

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn server(dir: &Path, issuer: &str) -> ServerConfig {
    let mut config = Config::default_with(dir).server;
    config.issuer = Issuer::parse(issuer).unwrap();
    config
}

/// What a client sees that trusts `ca` alone: the server's certificate.
fn handshake(tls: &Tls, ca: &Path, name: &str) -> Result<CertificateDer<'static>, String> {
    handshake_with(tls, ca, name, rustls::ALL_VERSIONS, &[b"http/1.1"]).map(|(certificate, _)| certificate)
}

fn handshake_with(
    tls: &Tls,
    ca: &Path,
    name: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Result<(CertificateDer<'static>, Option<Vec<u8>>), String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Arc::new(tls.server_config().unwrap());
    let server = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let _ = stream.write_all(b"hello").and_then(|()| stream.flush());
    });
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    let mut read = [0; 5];
    let result = stream.read_exact(&mut read).map_err(|cause| cause.to_string());
    let seen = result.map(|()| {
        let protocol = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
        (
            stream.conn.peer_certificates().unwrap()[0].clone().into_owned(),
            protocol,
        )
    });
    drop(stream);
    server.join().unwrap();
    seen
}

/// A self-signed certificate for `name` in the two files.
fn write_own(files: &TlsFiles, name: &str) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
}

fn own_files(dir: &Path) -> TlsFiles {
    TlsFiles {
        certificate: dir.join("chain.pem"),
        key: dir.join("key.pem"),
    }
}

#[test]
fn our_own_certificate_is_accepted_for_every_name_and_nothing_else() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let tls = Tls::open(&server(&data, "https://as.example"), now()).unwrap();
    let ca = tls.ca_file().unwrap();
    for name in ["as.example", "localhost", "127.0.0.1", "::1"] {
        handshake(&tls, &ca, name).unwrap();
    }
    let refused = handshake(&tls, &ca, "other.example").unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    let info = tls.certificate().unwrap();
    assert_eq!(info.names.len(), 4, "{:?}", info.names);
    assert!(info.covers("as.example") && info.covers("127.0.0.1") && !info.covers("other.example"));
    assert!(info.not_before <= now() && info.not_after - info.not_before == 397 * DAY);
}

#[test]
fn inspecting_makes_nothing() {
    let dir = TempDir::new();
    let config = server(dir.path(), "https://as.example");
    let missing = inspect(&config).unwrap_err();
    assert!(
        matches!(&missing, TlsError::File { verb: "read", path, .. } if path.ends_with("server.pem")),
        "{missing}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let served = Tls::open(&config, now()).unwrap().certificate().unwrap();
    let inspected = inspect(&config).unwrap();
    assert_eq!(
        (inspected.names, inspected.not_after),
        (served.names, served.not_after)
    );
}

#[test]
fn tls_1_2_and_1_3_with_http_1_1_only() {
    let dir = TempDir::new();
    let tls = Tls::open(&server(dir.path(), "https://localhost:8443"), now()).unwrap();
    let ca = tls.ca_file().unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (_, protocol) =
            handshake_with(&tls, &ca, "localhost", &[version], &[b"h2", b"http/1.1"]).unwrap();
        assert_eq!(protocol.as_deref(), Some(b"http/1.1".as_slice()));
        let refused = handshake_with(&tls, &ca, "localhost", &[version], &[b"h2"]);
        assert!(refused.unwrap_err().contains("NoApplicationProtocol"));
    }
}

#[cfg(unix)]
#[test]
fn private_files_are_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let data = dir.path().join("made/here");
    Tls::open(&server(&data, "https://as.example"), now()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("ca-key.pem")), 0o600);
    assert_eq!(mode(&data.join("server-key.pem")), 0o600);
    let names: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 4, "no temporary files: {names:?}");
}

/// Which of our own certificates are made anew: the server's, the authority's.
#[test]
fn our_own_certificates_are_renewed_when_they_must_be() {
    type Change = fn(&Path);
    type Row = (&'static str, Change, &'static str, i64, (bool, bool));
    let nothing: Change = |_| {};
    let lose_key: Change = |dir| std::fs::remove_file(dir.join("ca-key.pem")).unwrap();
    let rows: &[Row] = &[
        (
            "nothing changed",
            nothing,
            "https://as.example",
            0,
            (false, false),
        ),
        (
            "only the port changed",
            nothing,
            "https://as.example:9443",
            0,
            (false, false),
        ),
        (
            "31 days before its end",
            nothing,
            "https://as.example",
            366 * DAY - 3700,
            (false, false),
        ),
        (
            "30 days before its end",
            nothing,
            "https://as.example",
            367 * DAY,
            (true, false),
        ),
        (
            "after its end",
            nothing,
            "https://as.example",
            500 * DAY,
            (true, false),
        ),
        (
            "the authority would end before it",
            nothing,
            "https://as.example",
            3_300 * DAY,
            (true, true),
        ),
        (
            "a host below the permitted one",
            nothing,
            "https://b.as.example",
            0,
            (true, false),
        ),
        (
            "a host that the authority may not name",
            nothing,
            "https://other.example",
            0,
            (true, true),
        ),
        (
            "an address that it may not name",
            nothing,
            "https://192.0.2.7",
            0,
            (true, true),
        ),
        (
            "only localhost is needed",
            nothing,
            "https://localhost:8443",
            0,
            (false, false),
        ),
        (
            "the server's key is lost",
            |dir| std::fs::remove_file(dir.join("server-key.pem")).unwrap(),
            "https://as.example",
            0,
            (true, false),
        ),
        (
            "the server's certificate is damaged",
            |dir| std::fs::write(dir.join("server.pem"), "?").unwrap(),
            "https://as.example",
            0,
            (true, false),
        ),
        (
            "the authority's key is lost but not needed",
            lose_key,
            "https://as.example",
            0,
            (false, false),
        ),
        (
            "the authority's key is lost and needed",
            lose_key,
            "https://as.example",
            400 * DAY,
            (true, true),
        ),
        (
            "the authority's key is damaged",
            |dir| std::fs::write(dir.join("ca-key.pem"), "?").unwrap(),
            "https://as.example",
            400 * DAY,
            (true, true),
        ),
        (
            "the authority's key is of another one",
            |dir| {
                std::fs::write(
                    dir.join("ca-key.pem"),
                    KeyPair::generate().unwrap().serialize_pem(),
                )
                .unwrap()
            },
            "https://as.example",
            400 * DAY,
            (true, true),
        ),
        (
            "the authority's certificate is lost",
            |dir| std::fs::remove_file(dir.join("ca.pem")).unwrap(),
            "https://as.example",
            0,
            (true, true),
        ),
    ];
    for (what, change, issuer, later, wanted) in rows {
        let dir = TempDir::new();
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        Tls::open(&server(dir.path(), "https://as.example"), now()).unwrap();
        let before = (read("server.pem"), read("ca.pem"));
        change(dir.path());
        let tls = Tls::open(&server(dir.path(), issuer), now() + later).unwrap();
        let after = (read("server.pem"), read("ca.pem"));
        assert_eq!((before.0 != after.0, before.1 != after.1), *wanted, "{what}");
        let host = tls.certificate().unwrap();
        assert!(
            host.problems(Issuer::parse(issuer).unwrap().host(), now() + later)
                .is_empty(),
            "{what}"
        );
    }
}

#[test]
fn a_renewed_certificate_reaches_new_connections_of_a_running_server() {
    let dir = TempDir::new();
    let tls = Tls::open(&server(dir.path(), "https://as.example"), now() - 380 * DAY).unwrap();
    let ca = tls.ca_file().unwrap();
    let before = handshake(&tls, &ca, "as.example").unwrap();
    assert!(!tls.reload(now() - 380 * DAY).unwrap());
    assert!(tls.reload(now()).unwrap());
    assert_ne!(handshake(&tls, &ca, "as.example").unwrap(), before);
}

#[test]
fn what_cannot_be_read_is_not_replaced() {
    let dir = TempDir::new();
    Tls::open(&server(dir.path(), "https://as.example"), now()).unwrap();
    // A directory in the file's place: there, but unreadable (a mode would not stop root).
    std::fs::remove_file(dir.path().join("ca.pem")).unwrap();
    std::fs::create_dir(dir.path().join("ca.pem")).unwrap();
    let refused = Tls::open(&server(dir.path(), "https://as.example"), now()).unwrap_err();
    assert!(
        matches!(refused, TlsError::File { verb: "read", .. }),
        "{refused}"
    );
}

#[test]
fn a_new_certificate_is_served_after_reload_and_a_broken_one_is_not() {
    let dir = TempDir::new();
    let files = own_files(dir.path());
    write_own(&files, "one.example");
    let mut config = server(dir.path(), "https://one.example");
    config.tls = Some(files.clone());
    let tls = Tls::open(&config, now()).unwrap();
    assert_eq!(tls.ca_file(), None);
    let first = files.certificate.with_extension("first");
    std::fs::copy(&files.certificate, &first).unwrap();
    handshake(&tls, &first, "one.example").unwrap();
    assert!(!tls.reload(now()).unwrap());

    let good = (
        std::fs::read(&files.certificate).unwrap(),
        std::fs::read(&files.key).unwrap(),
    );
    let other_key = KeyPair::generate().unwrap();
    let other_certificate = CertificateParams::new(vec!["ca.example".to_owned()])
        .unwrap()
        .self_signed(&other_key)
        .unwrap()
        .pem();
    let other_key = other_key.serialize_pem();
    let broken: &[(&str, &[u8], &[u8], &str)] = &[
        ("no certificate", b"", &good.1, "PEM certificate chain"),
        (
            "half a certificate",
            &good.0[..100],
            &good.1,
            "PEM certificate chain",
        ),
        ("no key", &good.0, b"", "PEM private key"),
        (
            "the key of another",
            &good.0,
            other_key.as_bytes(),
            "does not fit",
        ),
        ("files exchanged", &good.1, &good.0, "PEM certificate chain"),
        (
            "the signer first",
            &[other_certificate.as_bytes(), &good.0].concat(),
            &good.1,
            "wrong order",
        ),
    ];
    for (what, certificate, key, text) in broken {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        let refused = tls.reload(now()).expect_err(what).to_string();
        assert!(refused.contains(text), "{what}: {refused}");
        handshake(&tls, &first, "one.example").unwrap();
        let mut same = config.clone();
        same.tls = Some(files.clone());
        assert!(Tls::open(&same, now()).is_err(), "{what}");
    }

    write_own(&files, "one.example");
    let second = files.certificate.with_extension("second");
    std::fs::copy(&files.certificate, &second).unwrap();
    // As some editors save it.
    for file in [&files.certificate, &files.key] {
        let marked = ["\u{feff}".as_bytes(), &std::fs::read(file).unwrap()].concat();
        std::fs::write(file, marked).unwrap();
    }
    assert!(tls.reload(now()).unwrap());
    assert!(handshake(&tls, &first, "one.example").is_err());
    handshake(&tls, &second, "one.example").unwrap();
}

#[tokio::test]
async fn the_watch_takes_up_a_new_certificate_by_itself() {
    let dir = TempDir::new();
    let files = own_files(dir.path());
    write_own(&files, "one.example");
    let mut config = server(dir.path(), "https://one.example");
    config.tls = Some(files.clone());
    let tls = Arc::new(Tls::open(&config, now()).unwrap());
    let before = tls.certificate().unwrap().names;
    let watch = tokio::spawn(tls.clone().watch(now));
    write_own(&files, "two.example");
    let look = async || tls.certificate().unwrap().names;
    eventually("other certificate", look, |names| *names != before).await;
    watch.abort();
    assert!(tls.certificate().unwrap().covers("two.example"));
}

#[test]
fn a_certificate_of_somebody_else_is_described_and_warned_of() {
    let dir = TempDir::new();
    let files = own_files(dir.path());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["as.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2030, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 7, 1);
    std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let mut config = server(dir.path(), "https://as.example");
    config.tls = Some(files);
    let info = Tls::open(&config, now()).unwrap().certificate().unwrap();
    assert_eq!(info.names, ["as.example"]);
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(
        (info.not_before, info.not_after),
        (at("2030-01-01T00:00:00Z"), at("2030-07-01T00:00:00Z"))
    );
    let rows = [
        (
            "2029-12-31T00:00:00Z",
            "as.example",
            Some("valid only from 2030-01-01"),
        ),
        ("2030-02-01T00:00:00Z", "as.example", None),
        ("2030-06-15T00:00:00Z", "as.example", Some("ends at 2030-07-01")),
        ("2030-07-02T00:00:00Z", "as.example", Some("ended at 2030-07-01")),
        ("2030-02-01T00:00:00Z", "b.example", Some("not for \"b.example\"")),
    ];
    for (time, host, wanted) in rows {
        let problems = info.problems(host, at(time));
        assert_eq!(
            problems.len(),
            usize::from(wanted.is_some()),
            "{time} {host}: {problems:?}"
        );
        assert!(
            problems
                .iter()
                .zip(wanted)
                .all(|(problem, wanted)| problem.contains(wanted)),
            "{problems:?}"
        );
    }
}
