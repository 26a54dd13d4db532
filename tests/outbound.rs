//! Outbound requests: what is fetched, and everything that is refused.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use mdi_auth::config::{Config, OutboundConfig};
use mdi_auth::outbound::{Allowed, FetchError, Fetched, Outbound};
use mdi_auth::tls::Tls;
use url::Url;

use crate::support::{PATIENCE, TempDir};

/// A peer on this machine, with a certificate of its own authority.
struct Peer {
    port: u16,
    ca: PathBuf,
    handle: ServerHandle,
    _dir: TempDir,
}

impl Peer {
    fn start() -> Self {
        let dir = TempDir::new();
        let tls = Tls::open(
            &Config::default_with(dir.path()).server,
            jiff::Timestamp::now().as_second(),
        )
        .unwrap();
        let server = HttpServer::new(|| App::new().default_service(web::to(answer)))
            .workers(1)
            .disable_signals()
            .bind_rustls_0_23("127.0.0.1:0", tls.server_config().unwrap())
            .unwrap();
        let port = server.addrs()[0].port();
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            port,
            ca: tls.ca_file().unwrap(),
            handle,
            _dir: dir,
        }
    }

    fn outbound(&self) -> Outbound {
        let config = OutboundConfig {
            extra_ca_file: Some(self.ca.clone()),
            allow_loopback: true,
            ..Default::default()
        };
        Outbound::new(&config).unwrap()
    }

    fn url(&self, path: &str) -> Url {
        format!("https://localhost:{}{path}", self.port).parse().unwrap()
    }

    async fn get(&self, path: &str) -> Result<Fetched, FetchError> {
        self.outbound().get_json(&self.url(path), 1000, PATIENCE).await
    }
}

async fn answer(request: HttpRequest) -> HttpResponse {
    let cache = request
        .uri()
        .query()
        .map(|query| query.replace('+', " ").replace("%22", "\""));
    match request.path() {
        "/cached" => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, cache.unwrap()))
            .body("{}"),
        "/redirect" => HttpResponse::Found().insert_header((LOCATION, "/")).finish(),
        "/missing" => HttpResponse::NotFound().body("{}"),
        "/empty" => HttpResponse::NoContent().finish(),
        "/full" => HttpResponse::Ok().body("x".repeat(1000)),
        "/too-long" => HttpResponse::Ok().body("x".repeat(1001)),
        // Without an end and without a length.
        "/endless" => HttpResponse::Ok().body(Endless),
        "/never" => std::future::pending().await,
        _ => HttpResponse::Ok().body("{}"),
    }
}

/// Sends for ever.
struct Endless;

impl actix_web::body::MessageBody for Endless {
    type Error = std::convert::Infallible;

    fn size(&self) -> actix_web::body::BodySize {
        actix_web::body::BodySize::Stream
    }

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<web::Bytes, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(web::Bytes::from_static(&[b'x'; 512]))))
    }
}

#[actix_web::test]
async fn a_document_is_fetched_within_its_limits() {
    let peer = Peer::start();
    assert_eq!(
        peer.get("/").await.unwrap(),
        Fetched {
            body: b"{}".to_vec(),
            max_age: None
        }
    );
    assert_eq!(peer.get("/full").await.unwrap().body.len(), 1000);
    peer.handle.stop(false).await;
}

/// RFC 9111 §5.2.2
#[actix_web::test]
async fn the_peer_says_how_long_to_keep() {
    let peer = Peer::start();
    let rows = [
        ("max-age=60", Some(60)),
        ("public,+Max-Age=60", Some(60)),
        ("max-age=\"60\"", Some(60)),
        ("max-age=60,+no-store", Some(0)),
        ("no-cache", Some(0)),
        ("max-age=soon", Some(0)),
        ("max-age=-1", Some(0)),
        ("public", None),
    ];
    for (header, wanted) in rows {
        let fetched = peer
            .get(&format!("/cached?{header}").replace('"', "%22"))
            .await
            .unwrap();
        assert_eq!(fetched.max_age, wanted.map(Duration::from_secs), "{header}");
    }
    peer.handle.stop(false).await;
}

#[actix_web::test]
async fn answers_that_are_no_document_are_refused() {
    let peer = Peer::start();
    let rows = [
        ("/redirect", "302", "redirects are not followed"),
        ("/missing", "404", "200 is wanted"),
        ("/empty", "204", "200 is wanted"),
        ("/too-long", "localhost", "more than 1000 bytes"),
        ("/endless", "localhost", "more than 1000 bytes"),
    ];
    for (path, one, other) in rows {
        let refused = peer.get(path).await.expect_err(path).to_string();
        assert!(
            refused.contains(one) && refused.contains(other),
            "{path}: {refused}"
        );
    }
    let late = peer
        .outbound()
        .get_json(&peer.url("/never"), 1000, Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(
        matches!(late, FetchError::TimedOut { .. }) && late.to_string().contains("200 ms"),
        "{late}"
    );
    peer.handle.stop(false).await;
}

#[actix_web::test]
async fn loopback_is_refused_by_name_and_by_address_unless_allowed() {
    let peer = Peer::start();
    let closed = Outbound::new(&OutboundConfig {
        extra_ca_file: Some(peer.ca.clone()),
        ..Default::default()
    })
    .unwrap();
    for host in [
        "localhost",
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "0x7f.1",
        "2130706433",
    ] {
        let url: Url = format!("https://{host}:{}/", peer.port).parse().unwrap();
        let refused = closed.get_json(&url, 1000, PATIENCE).await.expect_err(host);
        assert!(matches!(refused, FetchError::Refused { .. }), "{host}: {refused}");
        assert!(
            refused.to_string().contains("[outbound] allow_loopback = true"),
            "{host}: {refused}"
        );
    }
    let network = OutboundConfig {
        extra_ca_file: Some(peer.ca.clone()),
        allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..Default::default()
    };
    Outbound::new(&network)
        .unwrap()
        .get_json(&peer.url("/"), 1000, PATIENCE)
        .await
        .unwrap();
    peer.handle.stop(false).await;
}

#[actix_web::test]
async fn an_unknown_authority_is_refused() {
    let peer = Peer::start();
    let outbound = Outbound::new(&OutboundConfig {
        allow_loopback: true,
        ..Default::default()
    })
    .unwrap();
    let refused = outbound
        .get_json(&peer.url("/"), 1000, PATIENCE)
        .await
        .unwrap_err();
    assert!(matches!(refused, FetchError::Connection { .. }), "{refused}");
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    peer.handle.stop(false).await;
}

#[actix_web::test]
async fn what_cannot_be_reached_is_named() {
    let outbound = Outbound::new(&OutboundConfig {
        allow_loopback: true,
        ..Default::default()
    })
    .unwrap();
    // RFC 6761 §6.4: no such name, ever.
    let url = "https://nobody.invalid/jwks".parse().unwrap();
    let refused = outbound.get_json(&url, 1000, PATIENCE).await.unwrap_err();
    assert!(
        matches!(&refused, FetchError::Unresolved { host, .. } if host == "nobody.invalid"),
        "{refused}"
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("https://127.0.0.1:{port}/").parse().unwrap();
    let refused = outbound.get_json(&url, 1000, PATIENCE).await.unwrap_err();
    assert!(
        refused.to_string().contains("127.0.0.1: ") && refused.to_string().contains("refused"),
        "{refused}"
    );
}

#[test]
fn urls_that_are_not_followed() {
    let outbound = Outbound::new(&OutboundConfig::default()).unwrap();
    let rows = [
        ("http://keys.example/jwks", "https://"),
        ("file:///etc/passwd", "https://"),
        ("data:,x", "https://"),
        ("https://me@keys.example/jwks", "user or a password"),
        ("https://me:geheim@keys.example/jwks?geheim", "user or a password"),
        (
            "https://10.0.0.1/jwks",
            "[outbound] allow_networks = [\"10.0.0.1/32\"]",
        ),
        ("https://[fe80::1]/jwks", "link-local"),
    ];
    for (url, wanted) in rows {
        let refused = outbound
            .check_url(&url.parse().unwrap())
            .expect_err(url)
            .to_string();
        assert!(
            refused.contains(wanted) && !refused.contains("geheim"),
            "{url}: {refused}"
        );
    }
    for (url, host) in [
        ("https://keys.example/jwks", "keys.example"),
        ("https://8.8.8.8:8443/", "8.8.8.8"),
    ] {
        assert_eq!(outbound.check_url(&url.parse().unwrap()).unwrap(), host);
    }
}

#[test]
fn addresses_that_are_not_public_are_refused() {
    let rows = [
        ("0.0.0.0", "this network"),
        ("0.1.2.3", "this network"),
        ("10.255.255.255", "private"),
        ("100.64.0.1", "carriers"),
        ("100.127.255.255", "carriers"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "protocol assignments"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4"),
        ("192.168.0.1", "private"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "IPv4-compatible"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:0:10.0.0.1", "outside of global unicast"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b:1::8.8.8.8", "NAT64"),
        ("100::1", "discard"),
        ("2001::1", "Teredo"),
        ("2001:2::1", "protocol assignments"),
        ("2001:10::1", "protocol assignments"),
        ("2001:db8::1", "documentation"),
        ("2002:0a00:0001::1", "6to4"),
        ("3fff::1", "documentation"),
        ("4000::1", "outside of global unicast"),
        ("5f00::1", "outside of global unicast"),
        ("fc00::1", "unique local"),
        ("fd12::1", "unique local"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ];
    for (text, wanted) in rows {
        let address: IpAddr = text.parse().unwrap();
        let refused = Allowed::default().judge(address).expect_err(text);
        assert!(refused.what.contains(wanted), "{text}: {refused}");
        // The setting that the refusal names does allow it.
        let everything = Allowed {
            loopback: refused.setting.contains("allow_loopback"),
            networks: Vec::new(),
        };
        let allowed = match refused.setting.split('"').nth(1) {
            None => everything,
            Some(network) => Allowed {
                loopback: false,
                networks: vec![network.parse().unwrap()],
            },
        };
        assert_eq!(allowed.judge(address), Ok(()), "{text}: {refused}");
    }
}

#[test]
fn public_addresses_are_allowed() {
    for text in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2600::1",
        "2a00:1450::1",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
    ] {
        assert_eq!(Allowed::default().judge(text.parse().unwrap()), Ok(()), "{text}");
    }
}

#[test]
fn an_allowed_network_allows_no_more() {
    let allowed = Allowed {
        loopback: false,
        networks: vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()],
    };
    for (text, wanted) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("64:ff9b::10.1.2.3", true),
        ("10.2.0.1", false),
        ("fd00:1::5", true),
        ("fd00:2::5", false),
        ("127.0.0.1", false),
    ] {
        assert_eq!(allowed.judge(text.parse().unwrap()).is_ok(), wanted, "{text}");
    }
}

#[test]
fn an_extra_authority_must_be_readable() {
    let dir = TempDir::new();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for path in [empty, dir.path().join("missing.pem")] {
        let refused = Outbound::new(&OutboundConfig {
            extra_ca_file: Some(path.clone()),
            ..Default::default()
        })
        .unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("[outbound] extra_ca_file") && text.contains(path.to_str().unwrap()),
            "{text}"
        );
    }
}
