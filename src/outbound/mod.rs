//! The only place that makes requests of its own: for the keys of clients (`jwks_uri`), to identity providers, and what
//! the systems of a demo ask each other. Whoever registers a client chooses the URL, so the target is guarded (OWASP: server-side request
//! forgery).
//!
//! A host is resolved once, every address is judged, and the connection goes to those addresses; there are no
//! redirects, no proxies, no plain HTTP, and each connection is a new one.

mod address;
pub mod identity_provider;
pub mod mail;

use std::error::Error;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, redirect};
use url::{Host, Url, form_urlencoded};

use crate::config::OutboundConfig;
use crate::model::secret::Secret;

pub use address::{AddressRefused, Allowed};

/// Why nothing was fetched, for the engineer who chose the URL or who runs this server.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is not one that we follow.
    #[error("will not fetch {url}: {reason}")]
    Url {
        /// The URL without user and password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The host is, or resolves to, an address that is not public.
    #[error("will not connect to {host}: {refused}")]
    Refused {
        /// The host of the URL.
        host: String,
        /// Which address, and what would allow it.
        refused: AddressRefused,
    },
    /// The name has no address.
    #[error("cannot resolve {host}: {cause}")]
    Unresolved {
        /// The host of the URL.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// No connection, no TLS, no HTTP.
    #[error("cannot fetch from {host}: {cause}")]
    Connection {
        /// The host of the URL.
        host: String,
        /// What failed, from the outside in.
        cause: String,
    },
    /// The answer is not 200.
    #[error("{host} answered {status}; 200 is wanted{}", if status.is_redirection() { " (redirects are not followed: name the final URL)" } else { "" })]
    Status {
        /// The host of the URL.
        host: String,
        /// The status.
        status: StatusCode,
    },
    /// The answer is too long.
    #[error("{host} sent more than {limit} bytes")]
    TooLarge {
        /// The host of the URL.
        host: String,
        /// How many bytes would have been read.
        limit: usize,
    },
    /// The answer took too long.
    #[error("{host} did not answer within {} ms", limit.as_millis())]
    TimedOut {
        /// The host of the URL.
        host: String,
        /// How long we waited.
        limit: Duration,
    },
}

impl FetchError {
    /// Whether the same request may succeed in a moment, with nothing changed by anybody.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unresolved { .. } | Self::Connection { .. } | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => status.is_server_error(),
            _ => false,
        }
    }
}

/// Why outbound requests cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// `[outbound] extra_ca_file` cannot be used.
    #[error("[outbound] extra_ca_file = {path:?} does not hold PEM certificates: {cause}")]
    ExtraCa {
        /// Which file.
        path: String,
        /// What the system or the parser said.
        cause: String,
    },
    /// The client cannot be built: no authorities on this system, say.
    #[error("cannot set up outbound requests: {0}")]
    Client(String),
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The body.
    pub body: Vec<u8>,
    /// How long it may be kept (RFC 9111 §5.2.2); none: the peer does not say.
    pub max_age: Option<Duration>,
}

/// What a request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many bytes of the answer are read.
    pub max_bytes: usize,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// An answer that is neither a redirect nor a failure of the peer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status, below 300 or from 400 to 499.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Fetches from elsewhere.
#[derive(Debug, Clone)]
pub struct Outbound {
    client: Client,
    allowed: Arc<Allowed>,
}

impl Outbound {
    /// Sets up by `[outbound]`. Reads the system's authorities, and `extra_ca_file` beside them.
    ///
    /// # Errors
    /// When the file holds no certificates, or there is no authority at all.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that guards outbound requests"
    )]
    pub fn new(config: &OutboundConfig) -> Result<Self, OutboundError> {
        let allowed = Arc::new(Allowed {
            loopback: config.allow_loopback,
            networks: config.allow_networks.clone(),
        });
        let extra = config
            .extra_ca_file
            .as_deref()
            .map(certificates)
            .transpose()?
            .unwrap_or_default();
        let client = Client::builder()
            .user_agent(concat!("mdi-auth/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .no_proxy()
            .referer(false)
            .redirect(redirect::Policy::none())
            // A connection that is kept would outlive the judgement of its address.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(GuardedResolver(allowed.clone())))
            .tls_certs_merge(extra)
            .build()
            .map_err(|cause| OutboundError::Client(chain(&cause)))?;
        Ok(Self { client, allowed })
    }

    /// Gets a JSON document, which is not parsed here: at most `max_bytes`, all within `timeout`.
    ///
    /// # Errors
    /// When the URL or the address is refused, the peer cannot be reached, answers something else than 200, sends too
    /// much or takes too long.
    pub async fn get_json(
        &self,
        url: &Url,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Fetched, FetchError> {
        let host = self.check_url(url)?;
        fetch(self.client.get(url.clone()), &host, max_bytes, timeout).await
    }

    /// [`Outbound::get_json`] with an access token (RFC 6750 §2.1).
    pub async fn get_json_with(
        &self,
        url: &Url,
        token: &Secret,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Fetched, FetchError> {
        let host = self.check_url(url)?;
        let request = self.client.get(url.clone()).bearer_auth(token.reveal());
        fetch(request, &host, max_bytes, timeout).await
    }

    /// Posts a form as the client `id` with its `secret` (RFC 6749 §2.3.1) and takes a JSON document, as
    /// [`Outbound::get_json`] does.
    pub async fn post_form(
        &self,
        url: &Url,
        (id, secret): (&str, &Secret),
        form: &[(&str, &str)],
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Fetched, FetchError> {
        let host = self.check_url(url)?;
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let request = self.client.post(url.clone());
        let request = request.basic_auth(encoded(id), Some(encoded(secret.reveal())));
        fetch(request.form(form), &host, max_bytes, timeout).await
    }

    /// Posts a form to somebody who only has to take note of it: 200, or 204 (OpenID Connect Back-Channel Logout §2.8).
    pub async fn tell(&self, url: &Url, form: &[(&str, &str)], timeout: Duration) -> Result<(), FetchError> {
        let host = self.check_url(url)?;
        let told = async {
            let answer = self.client.post(url.clone()).form(form).send().await;
            let status = answer.map_err(|cause| explain(&host, &cause))?.status();
            match status {
                StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
                status => Err(FetchError::Status {
                    host: host.clone(),
                    status,
                }),
            }
        };
        let timed_out = FetchError::TimedOut {
            host: host.clone(),
            limit: timeout,
        };
        tokio::time::timeout(timeout, told)
            .await
            .unwrap_or(Err(timed_out))
    }

    /// Asks for a page as a browser would: the status of the answer, and where it leads if it is a redirect. Nothing is
    /// followed, and the page is not read.
    ///
    /// # Errors
    /// When the URL or the address is refused, the peer cannot be reached or takes too long.
    pub async fn look(
        &self,
        url: &Url,
        timeout: Duration,
    ) -> Result<(StatusCode, Option<String>), FetchError> {
        let host = self.check_url(url)?;
        let asked = tokio::time::timeout(timeout, self.client.get(url.clone()).send()).await;
        let answer = asked
            .map_err(|_| FetchError::TimedOut {
                host: host.clone(),
                limit: timeout,
            })?
            .map_err(|cause| explain(&host, &cause))?;
        let location = answer.headers().get(reqwest::header::LOCATION);
        let location = location.and_then(|to| to.to_str().ok()).map(str::to_owned);
        Ok((answer.status(), location))
    }

    /// Sends a request that somebody else put together, and takes its answer as it is.
    ///
    /// # Errors
    /// When the URL or the address is refused, the peer cannot be reached, redirects, fails (5xx), sends too much or
    /// takes too long.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        limits: Limits,
    ) -> Result<Reply, FetchError> {
        let host = self.check_url(url)?;
        let request = self
            .client
            .request(method, url.clone())
            .headers(headers)
            .body(body);
        let send = async {
            let answer = request.send().await.map_err(|cause| explain(&host, &cause))?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            if status.is_redirection() || status.is_server_error() {
                return Err(FetchError::Status {
                    host: host.clone(),
                    status,
                });
            }
            Ok(Reply {
                status,
                headers,
                body: read_body(answer, &host, limits.max_bytes).await?,
            })
        };
        let timed_out = FetchError::TimedOut {
            host: host.clone(),
            limit: limits.timeout,
        };
        tokio::time::timeout(limits.timeout, send)
            .await
            .unwrap_or(Err(timed_out))
    }

    /// Checks what can be told without resolving: for the registration of a client. The answer is the host.
    ///
    /// # Errors
    /// When the URL is not https, carries a user or password, or names a refused address.
    pub fn check_url(&self, url: &Url) -> Result<String, FetchError> {
        let refuse = |reason| {
            let mut shown = url.clone();
            let _ = shown.set_username("");
            let _ = shown.set_password(None);
            shown.set_query(None);
            Err(FetchError::Url {
                url: shown.to_string(),
                reason,
            })
        };
        if url.scheme() != "https" {
            return refuse("it must begin with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it must not hold a user or a password");
        }
        let address = match url.host() {
            None => return refuse("it has no host"),
            Some(Host::Domain(name)) => return Ok(name.to_owned()),
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
        };
        let host = address.to_string();
        match self.allowed.judge(address) {
            Ok(()) => Ok(host),
            Err(refused) => Err(FetchError::Refused { host, refused }),
        }
    }
}

/// Resolves a name and judges every address: one that is refused refuses the name.
#[derive(Debug)]
struct GuardedResolver(Arc<Allowed>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let addresses = tokio::task::spawn_blocking(move || resolve(name.as_str())).await??;
            for address in &addresses {
                allowed.judge(address.ip())?;
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoAddress(String);

fn resolve(name: &str) -> Result<Vec<SocketAddr>, NoAddress> {
    // Port 0 stands for the URL's own.
    let addresses: Vec<_> = (name, 0)
        .to_socket_addrs()
        .map_err(|cause| NoAddress(cause.to_string()))?
        .collect();
    if addresses.is_empty() {
        Err(NoAddress("it has no addresses".to_owned()))
    } else {
        Ok(addresses)
    }
}

async fn fetch(
    request: RequestBuilder,
    host: &str,
    max_bytes: usize,
    timeout: Duration,
) -> Result<Fetched, FetchError> {
    let fetch = async {
        let answer = request.header(ACCEPT, "application/json").send().await;
        let answer = answer.map_err(|cause| explain(host, &cause))?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status {
                host: host.to_owned(),
                status: answer.status(),
            });
        }
        let max_age = max_age(answer.headers());
        Ok(Fetched {
            body: read_body(answer, host, max_bytes).await?,
            max_age,
        })
    };
    let timed_out = FetchError::TimedOut {
        host: host.to_owned(),
        limit: timeout,
    };
    tokio::time::timeout(timeout, fetch)
        .await
        .unwrap_or(Err(timed_out))
}

async fn read_body(mut answer: Response, host: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|cause| explain(host, &cause))? {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge {
                host: host.to_owned(),
                limit,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// How long a private cache may keep an answer (RFC 9111 §5.2.2). What cannot be read counts as "do not keep".
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut longest = None;
    for line in headers.get_all(CACHE_CONTROL) {
        for directive in line.to_str().unwrap_or("no-store").split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(Duration::ZERO),
                "max-age" => {
                    longest = Some(Duration::from_secs(
                        value.trim().trim_matches('"').parse().unwrap_or(0),
                    ))
                }
                _ => {}
            }
        }
    }
    longest
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, OutboundError> {
    let broken = |cause: String| OutboundError::ExtraCa {
        path: path.display().to_string(),
        cause,
    };
    let pem = std::fs::read(path).map_err(|cause| broken(cause.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|cause| broken(chain(&cause)))?;
    if certificates.is_empty() {
        Err(broken("no BEGIN CERTIFICATE".to_owned()))
    } else {
        Ok(certificates)
    }
}

/// Finds our own refusal in what reqwest wrapped around it.
fn explain(host: &str, error: &reqwest::Error) -> FetchError {
    let host = host.to_owned();
    for cause in causes(error) {
        if let Some(refused) = cause.downcast_ref::<AddressRefused>() {
            return FetchError::Refused {
                host,
                refused: refused.clone(),
            };
        }
        if let Some(NoAddress(cause)) = cause.downcast_ref() {
            return FetchError::Unresolved {
                host,
                cause: cause.clone(),
            };
        }
    }
    FetchError::Connection {
        host,
        cause: chain(error),
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The causes behind an error, from the outside in; its own text would repeat the whole URL.
fn chain(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = causes(error).skip(1).map(ToString::to_string).collect();
    if texts.is_empty() {
        error.to_string()
    } else {
        texts.join(": ")
    }
}
