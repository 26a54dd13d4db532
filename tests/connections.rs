//! Connections: one address holds so many and no more, whoever reads nothing is given up, and a head that is too long is
//! told and ends its connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::program::Program;
use crate::harness::{Db, Harness, LIMS, client};
use crate::support::eventually;

type Wire = StreamOwned<ClientConnection, TcpStream>;

/// A connection with TLS, from an address of this machine.
pub fn connect(config: &Arc<ClientConfig>, port: u16, from: [u8; 4]) -> std::io::Result<Wire> {
    let socket = socket_from(from)?;
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    socket.connect(&to.into())?;
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut wire = StreamOwned::new(connection, stream);
    wire.flush()?;
    Ok(wire)
}

fn socket_from(from: [u8; 4]) -> std::io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from((from, 0)).into())?;
    Ok(socket)
}

pub fn trusting(ca: &std::path::Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Asks for something small, and reads the status; none: the connection is over.
pub fn status(wire: &mut Wire, path: &str) -> Option<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wire.write_all(request.as_bytes()).ok()?;
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match wire.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")
            .map(str::to_owned)
    });
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    wire.read_exact(&mut body).ok()?;
    head.split(' ').nth(1)?.parse().ok()
}

/// A connection that was served, and idles.
fn idle(config: &Arc<ClientConfig>, port: u16, from: [u8; 4]) -> Option<Wire> {
    let made = connect(config, port, from).ok();
    made.and_then(|mut wire| (status(&mut wire, "/healthz") == Some(200)).then_some(wire))
}

/// Under a limit of 1024 descriptors a thousand idle connections keep nobody else out, and the descriptors that the
/// server needs for itself are left.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_of_one_address_hinder_no_other() {
    let program = Program::new(Db::Sqlite);
    let personas = program.dir.path().join("personas.toml");
    std::fs::write(&personas, crate::harness::PERSONAS).unwrap();
    program.run(&["apply", personas.to_str().unwrap()]);
    let mut command = program.command(&["sh", "-c", "ulimit -n 1024; exec \"$0\" \"$@\""]);
    command.arg("serve").stderr(Stdio::null());
    let mut server = program.start(command);
    let http = program.http().await;
    let tls = trusting(&program.dir.path().join("data/ca.pem"));
    let port = program.port();
    let (mut held, ended) = tokio::task::spawn_blocking(move || {
        let mut held = Vec::new();
        let mut ended = 0;
        for _ in 0..1000 {
            match idle(&tls, port, [127, 0, 0, 9]) {
                Some(wire) => held.push(wire),
                None => ended += 1,
            }
        }
        (held, ended)
    })
    .await
    .unwrap();
    assert!(held.len() >= 256, "an office has one address: {}", held.len());
    // By number: connections that wait for a place get one as soon as idle ones have grown too old.
    assert!(
        ended > 0 && held.len() <= 512,
        "an address holds not all that there are: {}",
        held.len()
    );
    // Somebody else is served, on new connections too, database and log as well.
    for _ in 0..20 {
        let other = client(&program.dir.path().join("data/ca.pem"));
        let request = other
            .post(program.url("/oauth2/token"))
            .basic_auth(LIMS.0, Some(LIMS.1));
        let answer = request
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    // Those that are held go on; when one ends there is room for another.
    assert_eq!(status(held.last_mut().unwrap(), "/healthz"), Some(200));
    // Nor do many addresses together hold the descriptors that the server needs for itself.
    let tls = trusting(&program.dir.path().join("data/ca.pem"));
    let of_others = tokio::task::spawn_blocking(move || {
        let from = |last| std::iter::from_fn(|| idle(&tls, port, [127, 0, 0, last])).collect::<Vec<_>>();
        [from(10), from(11)]
    });
    let of_others = of_others.await.unwrap();
    let all = held.len() + of_others.iter().map(Vec::len).sum::<usize>();
    assert!(all <= 1024 - 128, "{all}");
    drop((held, of_others));
    let tls = trusting(&program.dir.path().join("data/ca.pem"));
    let again = async || {
        let (tls, port) = (Arc::clone(&tls), program.port());
        tokio::task::spawn_blocking(move || {
            connect(&tls, port, [127, 0, 0, 9])
                .ok()
                .and_then(|mut wire| status(&mut wire, "/healthz"))
        })
        .await
        .unwrap()
    };
    eventually("a connection from the same address", again, |status| {
        *status == Some(200)
    })
    .await;
    drop(http);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Whoever asks and asks, and reads nothing, is given up: TCP_USER_TIMEOUT is 30 seconds.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_given_up() {
    let harness = Harness::start(Db::Sqlite);
    let (ca, port) = (harness.ca_file.clone(), harness.port());
    let ended = tokio::task::spawn_blocking(move || {
        let mut wire = connect(&trusting(&ca), port, [127, 0, 0, 1]).unwrap();
        wire.sock.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let request = b"GET /admin/api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(64);
        // Until the other end takes nothing any more, then until it has ended the connection: each try takes a second.
        let mut in_vain = 0;
        while in_vain < 140 {
            match wire.write_all(&request) {
                Ok(()) => {}
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => in_vain += 1,
                Err(_) => return true,
            }
        }
        false
    });
    assert!(ended.await.unwrap(), "it is still open");
}

/// RFC 6585 §5, RFC 9112 §9.6: told, with the end of the connection; the next one works.
#[tokio::test]
async fn a_head_that_is_too_long_ends_its_connection() {
    let harness = Harness::start(Db::Sqlite);
    // A connection that is kept.
    assert_eq!(harness.get("/healthz").await.status, 200);
    for length in [33_000, 60_000] {
        let request = harness
            .http
            .get(harness.url("/healthz"))
            .header("X-Long", "x".repeat(length));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 431, "{length}");
        assert_eq!(answer.headers()["connection"], "close", "{length}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("32768 bytes in total"), "{text}");
        assert_eq!(
            harness.get("/healthz").await.status,
            200,
            "the next connection works"
        );
    }
    let request = harness
        .http
        .get(harness.url("/healthz"))
        .header("X-Long", "x".repeat(30_000));
    assert_eq!(request.send().await.unwrap().status(), 200);
}
