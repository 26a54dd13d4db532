//! Most sections of the configuration: their keys, types, defaults and limits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::issuer::Issuer;
use super::reader::{MASTER_KEY_VARIABLE, Section, from_str};
use crate::model::secret::{Secret, key_bytes};

const DAY: i64 = 86_400;
/// The longest banner, in characters.
const LONGEST_BANNER: usize = 5000;

/// `[server]`.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Who we are (`iss`).
    pub issuer: Issuer,
    /// Where HTTPS is served.
    pub listen: SocketAddr,
    /// The certificate to serve; none: our own, made in the data directory.
    pub tls: Option<TlsFiles>,
    /// Keys, own certificate authority, default database.
    pub data_dir: PathBuf,
    /// Where plain HTTP is served for a reverse proxy on this machine.
    pub proxy_listen: Option<SocketAddr>,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
    pub trusted_proxies: Vec<IpNet>,
    /// The `jurisdiction` claim of this installation.
    pub jurisdiction: Option<String>,
    /// The system use notification that people acknowledge before they sign in (NIST SP 800-53 AC-8); lines are kept.
    pub banner: Option<String>,
    /// What people know this service by.
    pub name: String,
    /// The logo in the header of the pages, SVG or PNG; none: the mark of this product.
    pub logo_file: Option<PathBuf>,
}

/// A certificate chain and its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate first, then intermediates.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl ServerConfig {
    pub(super) fn read(section: &mut Section, data_dir: &Path) -> Self {
        let address = from_str::<SocketAddr>;
        let issuer = section.parsed("issuer", Issuer::parse);
        let listen = section.parsed(
            "listen",
            address("an address and a port, such as \"127.0.0.1:8443\""),
        );
        let certificate = section.path("tls_certificate");
        let key = section.path("tls_key");
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (Some(_), None) => {
                section.clash(
                    "tls_key",
                    "nothing beside tls_certificate",
                    "the PEM file of its private key",
                );
                None
            }
            (None, Some(_)) => {
                section.clash(
                    "tls_certificate",
                    "nothing beside tls_key",
                    "the PEM file of its certificate chain",
                );
                None
            }
            (None, None) => None,
        };
        let data_dir = section.path("data_dir").unwrap_or_else(|| data_dir.to_owned());
        let loopback =
            "a loopback address and a port, such as \"127.0.0.1:8080\": plain HTTP never leaves the machine";
        let proxy_listen = section.parsed("proxy_listen", |text| {
            address(loopback)(text).and_then(|found| {
                if found.ip().is_loopback() {
                    Ok(found)
                } else {
                    Err(loopback.to_owned())
                }
            })
        });
        let trusted_proxies = section.list("trusted_proxies", NETWORKS, network);
        if proxy_listen.is_some() && trusted_proxies.is_empty() {
            section.clash(
                "trusted_proxies",
                "nothing beside proxy_listen",
                format!("the proxy's address: a list of {NETWORKS}"),
            );
        }
        let banner = section.parsed("banner", |text| {
            let text = text.trim();
            let printable = |c: char| c == '\n' || !c.is_control();
            let fits = (1..=LONGEST_BANNER).contains(&text.chars().count()) && text.chars().all(printable);
            if fits {
                Ok(text.to_owned())
            } else {
                Err(format!(
                    "1 to {LONGEST_BANNER} printable characters: the system use notice that your agency prescribes"
                ))
            }
        });
        let printable = |example: &'static str| {
            move |text: &str| {
                let fits = !text.trim().is_empty() && text.len() <= 100 && !text.contains(char::is_control);
                if fits {
                    Ok(text.to_owned())
                } else {
                    Err(format!("1 to 100 printable characters, such as {example:?}"))
                }
            }
        };
        let jurisdiction = section.parsed("jurisdiction", printable("US-GA"));
        let name = section.parsed("name", printable("Georgia MDI sign-in"));
        let logo_file = section.path("logo_file");
        Self {
            issuer: issuer.unwrap_or_default(),
            listen: listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 8443).into()),
            tls,
            data_dir,
            proxy_listen,
            trusted_proxies,
            jurisdiction,
            banner,
            name: name.unwrap_or_else(|| "MDI Auth".to_owned()),
            logo_file,
        }
    }
}

const NETWORKS: &str = "addresses or networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"]";

fn network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// `[database]`.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// Which database.
    pub url: Database,
    /// The authority that PostgreSQL's certificate must come from; none: those of the operating system.
    pub root_certificate_file: Option<PathBuf>,
    /// Connections that read.
    pub readers: u32,
    /// Connections that write. SQLite has one.
    pub writers: u32,
}

/// A database of either kind.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// The whole URL, password included.
    Postgres(Secret),
}

/// Where it is, without the password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => {
                write!(
                    f,
                    "sqlite:{}",
                    std::path::absolute(path)
                        .unwrap_or_else(|_| path.clone())
                        .display()
                )
            }
            Self::Postgres(url) => {
                let behind_scheme = url.reveal().split_once("://").map_or("", |(_, rest)| rest);
                let place = behind_scheme
                    .rsplit('@')
                    .next()
                    .and_then(|place| place.split('?').next());
                write!(f, "postgres://{}", place.unwrap_or_default())
            }
        }
    }
}

impl Database {
    /// Reads `sqlite:PATH` or `postgres://…`.
    ///
    /// # Errors
    /// What is wanted instead; never the text itself, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return match path {
                "" | ":memory:" => Err("a path behind \"sqlite:\"".to_owned()),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        let understood = text.starts_with("postgres://") || text.starts_with("postgresql://");
        match text.parse::<tokio_postgres::Config>() {
            Ok(parsed) if understood && !parsed.get_hosts().is_empty() => {
                Ok(Self::Postgres(Secret::new(text)))
            }
            _ => Err("\"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST/DATABASE\"".to_owned()),
        }
    }
}

impl DatabaseConfig {
    pub(super) fn read(section: &mut Section, data_dir: &Path) -> Self {
        let url = section.take("url").and_then(|setting| {
            let parsed = setting
                .text()
                .ok_or_else(|| "text in quotes".to_owned())
                .and_then(Database::parse);
            let shown = setting
                .text()
                .map_or_else(|| "something else than text".to_owned(), without_password);
            parsed
                .map_err(|wanted| section.mistake(setting.at, shown, wanted))
                .ok()
        });
        let url = url.unwrap_or_else(|| Database::Sqlite(data_dir.join("mdi-auth.db")));
        let (writers, most) = match url {
            Database::Sqlite(_) => (1, 1),
            Database::Postgres(_) => (4, 64),
        };
        let root_certificate_file = section.path("root_certificate_file");
        if root_certificate_file.is_some() && matches!(url, Database::Sqlite(_)) {
            section.clash(
                "root_certificate_file",
                "a file beside a SQLite database",
                "url = \"postgres://…\", or no such file",
            );
        }
        Self {
            root_certificate_file,
            readers: section.count("readers", 4, 1..=64),
            writers: section.count("writers", writers, 1..=most),
            url,
        }
    }
}

/// A database URL as a mistake may show it: of one that is wrong nobody can say where its password stands.
fn without_password(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, _)) if scheme.len() <= 12 => format!("\"{scheme}://…\""),
        _ if text.starts_with("sqlite:") => format!("{text:?}"),
        _ => "something else".to_owned(),
    }
}

/// `[tokens]`: lifetimes in seconds, if not said otherwise.
#[derive(Debug, Clone)]
pub struct TokensConfig {
    /// Access tokens of people.
    pub access_seconds: i64,
    /// Access tokens of systems.
    pub system_access_seconds: i64,
    /// ID tokens.
    pub id_seconds: i64,
    /// Refresh tokens, from their last use.
    pub refresh_seconds: i64,
    /// All refresh tokens of a grant, from when the person allowed it; none: what the sign-in profile says.
    pub refresh_family_seconds: Option<i64>,
    /// How long a refresh token that was used still brings its successor; 0: its second use ends the family.
    pub refresh_grace_seconds: i64,
    /// Authorization codes.
    pub code_seconds: i64,
    /// Minutes after signing in during which a person may certify.
    pub certify_minutes: i64,
}

impl TokensConfig {
    pub(super) fn read(section: &mut Section) -> Self {
        let read = Self {
            access_seconds: section.integer("access_seconds", 900, 1..=DAY),
            system_access_seconds: section.integer("system_access_seconds", 300, 1..=DAY),
            id_seconds: section.integer("id_seconds", 300, 1..=DAY),
            refresh_seconds: section.integer("refresh_seconds", 30 * DAY, 1..=366 * DAY),
            refresh_family_seconds: section.optional_integer("refresh_family_seconds", 1..=366 * DAY),
            refresh_grace_seconds: section.integer("refresh_grace_seconds", 10, 0..=60),
            code_seconds: section.integer("code_seconds", 60, 1..=60),
            certify_minutes: section.integer("certify_minutes", 15, 1..=60),
        };
        if read.refresh_grace_seconds >= read.refresh_seconds {
            section.clash(
                "refresh_grace_seconds",
                read.refresh_grace_seconds.to_string(),
                format!("less than refresh_seconds ({})", read.refresh_seconds),
            );
        }
        read
    }
}

/// `[keys]`.
#[derive(Debug, Clone)]
pub struct KeysConfig {
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// A signing key is replaced after so many days.
    pub rotate_days: i64,
    /// How long a new key is published before it signs, in seconds.
    pub publish_seconds: i64,
}

/// Where the master key comes from.
#[derive(Debug, Clone)]
pub enum MasterKeySource {
    /// A file, made at the first start.
    File(PathBuf),
    /// The text of `MDI_AUTH_MASTER_KEY`, in which [`key_bytes`] finds a key.
    Environment(Secret),
}

impl KeysConfig {
    pub(super) fn read(section: &mut Section, data_dir: &Path) -> Self {
        let file = section.path("master_key_file");
        let given = section.take_master_key();
        if let Some(text) = &given {
            let at = MASTER_KEY_VARIABLE.to_owned();
            if key_bytes(text.reveal()).is_none() {
                section.mistake(at, "something else", "32 bytes in base64 or hexadecimal");
            } else if file.is_some() {
                section.mistake(at, "a key beside [keys] master_key_file", "one of the two");
            }
        }
        let read = Self {
            master_key: match (given, file) {
                (Some(text), _) => MasterKeySource::Environment(text),
                (None, Some(file)) => MasterKeySource::File(file),
                (None, None) => MasterKeySource::File(data_dir.join("master.key")),
            },
            rotate_days: section.integer("rotate_days", 90, 1..=366),
            publish_seconds: section.integer("publish_seconds", DAY, 0..=30 * DAY),
        };
        if read.publish_seconds >= read.rotate_days * DAY {
            section.clash(
                "publish_seconds",
                read.publish_seconds.to_string(),
                format!(
                    "less than rotate_days ({} days are {} seconds)",
                    read.rotate_days,
                    read.rotate_days * DAY
                ),
            );
        }
        read
    }
}

/// `[policy]`.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// The policy; none: the built-in one for medicolegal death investigation.
    pub file: Option<PathBuf>,
    /// What "on the day" means, for licenses that expire.
    pub time_zone: TimeZone,
}

impl PolicyConfig {
    pub(super) fn read(section: &mut Section) -> Self {
        let file = section.path("file");
        let setting = section.take("time_zone");
        let name = match &setting {
            None => Some("America/New_York"),
            Some(setting) => setting.text(),
        };
        let time_zone = name
            .ok_or("the name of a time zone, such as \"America/New_York\"".to_owned())
            .and_then(|name| {
                TimeZone::get(name).map_err(|cause| {
                    format!("a time zone of this system's tzdata, such as \"America/New_York\" ({cause})")
                })
            });
        let time_zone = time_zone.unwrap_or_else(|wanted| {
            match &setting {
                Some(setting) => section.wrong(setting, wanted),
                None => section.clash("time_zone", "the default \"America/New_York\"", wanted),
            }
            TimeZone::UTC
        });
        Self { file, time_zone }
    }
}

/// `[outbound]`: what the server itself may fetch from beside the public internet.
#[derive(Debug, Clone, Default)]
pub struct OutboundConfig {
    /// Certificate authorities to trust beside those of the operating system, as PEM.
    pub extra_ca_file: Option<PathBuf>,
    /// Whether this machine may be fetched from.
    pub allow_loopback: bool,
    /// Networks of our own that may be fetched from.
    pub allow_networks: Vec<IpNet>,
}

impl OutboundConfig {
    pub(super) fn read(section: &mut Section) -> Self {
        Self {
            extra_ca_file: section.path("extra_ca_file"),
            allow_loopback: section.switch("allow_loopback"),
            allow_networks: section.list("allow_networks", NETWORKS, network),
        }
    }
}
