//! A client that costs little: HTTP/1.1 with keep-alive over a blocking rustls stream, requests written out beforehand,
//! answers parsed no further than needed.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket, Type};
use url::form_urlencoded;

/// A server on this machine that is called `localhost`.
#[derive(Clone)]
pub struct Peer {
    address: SocketAddr,
    from: Ipv4Addr,
    tls: Arc<ClientConfig>,
}

impl Peer {
    /// `ca_file` is the authority that signed its certificate.
    pub fn new(port: u16, ca_file: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca_file).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            from: Ipv4Addr::LOCALHOST,
            tls: Arc::new(tls),
        }
    }

    /// The same, asked from another address of this machine.
    pub fn from(&self, from: Ipv4Addr) -> Self {
        Self { from, ..self.clone() }
    }

    pub fn connect(&self) -> Result<Connection> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((self.from, 0)).into())?;
        socket.connect(&self.address.into())?;
        let tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(&self.tls), name).map_err(Error::other)?;
        Ok(Connection {
            stream: StreamOwned::new(session, tcp),
            buffer: Vec::with_capacity(16 * 1024),
        })
    }
}

/// One connection, kept alive.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

/// An answer, until the next one.
pub struct Answer<'a> {
    pub status: u16,
    head: &'a str,
    pub body: &'a str,
}

impl<'a> Answer<'a> {
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.head.lines().skip(1).filter_map(move |line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// A member of the JSON that is text without escapes, as tokens are.
    pub fn json_text(&self, name: &str) -> Option<&'a str> {
        let start = self.body.find(&format!("\"{name}\":\""))? + name.len() + 4;
        self.body[start..].split('"').next()
    }

    /// For messages: status and what was said.
    pub fn shown(&self) -> String {
        format!(
            "{} {}",
            self.status,
            self.body.chars().take(300).collect::<String>()
        )
    }
}

impl Connection {
    /// Sends a request that is written out, and reads its answer.
    pub fn call(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request)?;
        self.stream.flush()?;
        self.buffer.clear();
        let body = loop {
            self.read_more()?;
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let answer = Answer {
            status: 0,
            head: text(&self.buffer[..body])?,
            body: "",
        };
        let length: usize = answer
            .header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or_default();
        while self.buffer.len() < body + length {
            self.read_more()?;
        }
        let head = text(&self.buffer[..body])?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_default();
        Ok(Answer {
            status,
            head,
            body: text(&self.buffer[body..body + length])?,
        })
    }

    fn read_more(&mut self) -> Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|cause| Error::new(ErrorKind::InvalidData, cause))
}

/// A GET, written out.
pub fn get(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", lines(headers)).into_bytes()
}

/// A POST of a form, written out.
pub fn post(path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Vec<u8> {
    let body = encoded(form);
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n{}\r\n{body}",
        body.len(),
        lines(headers)
    )
    .into_bytes()
}

fn lines(headers: &[(&str, &str)]) -> String {
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// Pairs as a query or a form has them.
pub fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// The value of an `Authorization` header.
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{id}:{secret}").as_bytes()))
}
