//! The configuration: one TOML file and the environment, read into types. All mistakes are found in one go.
//!
//! Any key may also stand in the environment: `MDI_AUTH_SERVER__ISSUER` is `[server] issuer` and wins over the file.
//! There, a list is written with commas.

mod admin_api;
mod issuer;
mod lockout;
mod login;
mod mail;
mod profile;
mod reader;
mod sections;

use std::path::{Path, PathBuf};

pub use admin_api::AdminApiConfig;
pub use issuer::Issuer;
pub use lockout::{Lockout, LockoutCovers};
pub use login::LoginConfig;
pub use mail::{Credentials, MailConfig, MailTls};
pub use profile::Profile;
pub use reader::Mistake;
pub use sections::{
    Database, DatabaseConfig, KeysConfig, MasterKeySource, OutboundConfig, PolicyConfig, ServerConfig,
    TlsFiles, TokensConfig,
};

use reader::Reader;

/// Where the data lives when nobody says otherwise.
pub const DEFAULT_DATA_DIR: &str = "mdi-auth-data";

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`: addresses, certificate, data directory.
    pub server: ServerConfig,
    /// `[database]`: which database, how many connections.
    pub database: DatabaseConfig,
    /// `[tokens]`: how long things live.
    pub tokens: TokensConfig,
    /// `[login]`: lock-out, sessions, password hashing.
    pub login: LoginConfig,
    /// `[keys]`: the master key and the rotation of signing keys.
    pub keys: KeysConfig,
    /// `[policy]`: who may hold what, and which time zone "on the day" means.
    pub policy: PolicyConfig,
    /// `[outbound]`: where the server itself may connect to.
    pub outbound: OutboundConfig,
    /// `[mail]`: by whom mail is sent; none: no mail is sent.
    pub mail: Option<MailConfig>,
    /// `[admin_api]`: the limits of the admin API.
    pub admin_api: AdminApiConfig,
}

impl Config {
    /// How long access may be refreshed from when the person allowed it, in seconds.
    pub fn refresh_family_seconds(&self) -> i64 {
        let of_profile = self.login.profile.refresh_family_seconds;
        self.tokens.refresh_family_seconds.unwrap_or(of_profile)
    }

    /// Reads a file (or none: the defaults) and the environment over it. Relative paths are taken as they are,
    /// from the working directory.
    ///
    /// # Errors
    /// Every mistake there is: unknown keys and variables, wrong types, values out of their range, settings that
    /// contradict each other. A file that is not TOML is one mistake.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::default();
        if let Some(file) = file {
            reader.add_file(file);
        }
        reader.add_environment(env);
        let (config, mistakes) = Self::read(reader, Path::new(DEFAULT_DATA_DIR));
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(mistakes)
        }
    }

    /// The defaults, with everything under one directory: for the demo and for tests.
    pub fn default_with(data_dir: impl Into<PathBuf>) -> Self {
        Self::read(Reader::default(), &data_dir.into()).0
    }

    fn read(mut reader: Reader, data_dir: &Path) -> (Self, Vec<Mistake>) {
        let server = reader.section("server", |section| ServerConfig::read(section, data_dir));
        let config = Self {
            database: reader.section("database", |section| {
                DatabaseConfig::read(section, &server.data_dir)
            }),
            tokens: reader.section("tokens", TokensConfig::read),
            login: reader.section("login", LoginConfig::read),
            keys: reader.section("keys", |section| KeysConfig::read(section, &server.data_dir)),
            policy: reader.section("policy", PolicyConfig::read),
            outbound: reader.section("outbound", OutboundConfig::read),
            mail: reader.section("mail", MailConfig::read),
            admin_api: reader.section("admin_api", AdminApiConfig::read),
            server,
        };
        if config.login.profile.banner_required && config.server.banner.is_none() {
            let wanted = format!(
                "the system use notice that people acknowledge before they sign in: [login] policy = \"{}\" asks for one (AC-8)",
                config.login.policy
            );
            reader.mistake("[server] banner".to_owned(), "nothing".to_owned(), &wanted);
        }
        (config, reader.finish())
    }
}
