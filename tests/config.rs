//! The configuration: defaults, the environment's rule, and one mistake for each rule.

use std::path::Path;

use mdi_auth::config::{Config, Database, Issuer, Lockout, MasterKeySource, Mistake};

use crate::support::TempDir;

fn load(toml: &str, env: &[(&str, &str)]) -> Result<Config, Vec<Mistake>> {
    let dir = TempDir::new();
    let file = dir.path().join("mdi-auth.toml");
    std::fs::write(&file, toml).unwrap();
    Config::load(
        Some(&file),
        env.iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
    )
}

fn mistakes(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    let mistakes = load(toml, env).expect_err(toml);
    mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn without_file_and_environment_the_defaults_hold() {
    let config = Config::load(None, []).unwrap();
    assert_eq!(config.server.issuer.as_str(), "https://localhost:8443");
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(config.server.data_dir, Path::new("mdi-auth-data"));
    assert!(
        matches!(&config.database.url, Database::Sqlite(path) if path == Path::new("mdi-auth-data/mdi-auth.db"))
    );
    assert_eq!(config.database.writers, 1);
    assert_eq!(
        (
            config.tokens.access_seconds,
            config.tokens.system_access_seconds,
            config.tokens.code_seconds
        ),
        (900, 300, 60)
    );
    assert_eq!(config.login.lockout, Lockout::Seconds(900));
    assert!(
        matches!(&config.keys.master_key, MasterKeySource::File(path) if path == Path::new("mdi-auth-data/master.key"))
    );
    assert_eq!(config.policy.time_zone.iana_name(), Some("America/New_York"));
    assert!(!config.outbound.allow_loopback && config.outbound.allow_networks.is_empty());
    assert!(config.mail.is_none());
}

#[test]
fn mail_has_usual_ports_and_its_password_may_stand_in_the_environment() {
    let rest = "host = \"localhost\"\nfrom = \"no-reply@as.example\"";
    for (tls, port) in [
        ("", 587),
        ("tls = \"starttls\"", 587),
        ("tls = \"tls\"", 465),
        ("tls = \"none\"", 25),
    ] {
        let config = load(&format!("[mail]\n{rest}\n{tls}"), &[]).unwrap();
        assert_eq!(config.mail.unwrap().port, port, "{tls}");
    }
    let env = [
        ("MDI_AUTH_MAIL__USERNAME", "u"),
        ("MDI_AUTH_MAIL__PASSWORD", "geheim"),
    ];
    let config = load(&format!("[mail]\n{rest}"), &env).unwrap();
    assert!(!format!("{config:?}").contains("geheim"));
    assert_eq!(
        config.mail.unwrap().credentials.unwrap().password.reveal(),
        "geheim"
    );
}

#[test]
fn everything_default_lives_under_the_data_directory() {
    let moved = load("[server]\ndata_dir = \"/srv/a\"", &[]).unwrap();
    for config in [Config::default_with("/srv/a"), moved] {
        assert_eq!(config.server.data_dir, Path::new("/srv/a"));
        assert!(
            matches!(&config.database.url, Database::Sqlite(path) if path == Path::new("/srv/a/mdi-auth.db"))
        );
        assert!(
            matches!(&config.keys.master_key, MasterKeySource::File(path) if path == Path::new("/srv/a/master.key"))
        );
    }
}

#[test]
fn every_key_is_read_from_the_file() {
    let config = load(
        r#"
        [server]
        issuer = "https://as.example"
        listen = "[::1]:9443"
        tls_certificate = "/etc/tls/chain.pem"
        tls_key = "/etc/tls/key.pem"
        data_dir = "/srv/mdi"
        proxy_listen = "127.0.0.1:8080"
        trusted_proxies = ["127.0.0.1", "10.1.0.0/16"]
        jurisdiction = "US-GA"
        name = "Georgia MDI sign-in"
        logo_file = "/etc/mdi/seal.svg"
        banner = """
For official use only.
What you do is recorded."""
        [database]
        url = "postgres://mdi:geheim@db.example/mdi"
        root_certificate_file = "/etc/db-ca.pem"
        readers = 7
        writers = 3
        [tokens]
        access_seconds = 600
        system_access_seconds = 120
        id_seconds = 60
        refresh_seconds = 3600
        refresh_family_seconds = 86400
        refresh_grace_seconds = 0
        code_seconds = 30
        certify_minutes = 5
        [login]
        policy = "cjis"
        password_length = 20
        password_length_with_second_factor = 10
        password_days = 60
        password_history = 12
        password_blocklist_file = "/etc/mdi/refused.txt"
        failures_in_a_row = 50
        lockout_covers = "password"
        known_browsers = true
        dormant_days = 30
        lockout_threshold = 3
        lockout_window_seconds = 300
        lockout_seconds = "until_admin"
        address_attempts_per_minute = 10
        totp_attempts = 2
        session_idle_seconds = 600
        session_seconds = 7200
        invitation_seconds = 86400
        reset_seconds = 600
        administrator_reset_seconds = 3600
        argon2_memory_kib = 47104
        argon2_iterations = 1
        argon2_parallelism = 2
        hashing_threads = 3
        [keys]
        master_key_file = "/etc/mdi/master"
        rotate_days = 30
        publish_seconds = 3600
        [policy]
        file = "/etc/mdi/policy.toml"
        time_zone = "America/Chicago"
        [outbound]
        extra_ca_file = "/etc/mdi/ca.pem"
        allow_loopback = true
        allow_networks = ["10.0.0.0/8", "fd00::/8"]
        [mail]
        host = "smtp.agency.example"
        port = 2465
        tls = "tls"
        username = "mdi-auth"
        password = "geheim"
        from = "MDI Auth <no-reply@as.example>"
        reply_to = "help@as.example"
        [admin_api]
        requests_per_minute = 60
        "#,
        &[],
    )
    .unwrap();
    insta::assert_debug_snapshot!(config);
}

#[test]
fn secrets_are_not_in_debug() {
    let key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let config = load(
        "[database]\nurl = \"postgres://u:geheim@h/d\"",
        &[("MDI_AUTH_MASTER_KEY", key)],
    )
    .unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("geheim") && !shown.contains("0011"), "{shown}");
    let (Database::Postgres(url), MasterKeySource::Environment(master)) =
        (&config.database.url, &config.keys.master_key)
    else {
        panic!("{shown}")
    };
    assert_eq!((url.reveal(), master.reveal()), ("postgres://u:geheim@h/d", key));
}

#[test]
fn the_environment_wins_and_takes_the_wanted_type() {
    let config = load(
        "[server]\nissuer = \"https://file.example\"\n[tokens]\nid_seconds = 60",
        &[
            ("MDI_AUTH_SERVER__ISSUER", "https://env.example"),
            ("MDI_AUTH_TOKENS__ACCESS_SECONDS", "120"),
            ("MDI_AUTH_LOGIN__LOCKOUT_SECONDS", "60"),
            ("MDI_AUTH_OUTBOUND__ALLOW_LOOPBACK", "true"),
            ("MDI_AUTH_OUTBOUND__ALLOW_NETWORKS", "10.0.0.0/8, 192.168.1.1"),
            ("MDI_AUTH_CONFIG", "of the command line, not ours"),
            ("MDI_AUTHORITY__X", "somebody else's"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.issuer.as_str(), "https://env.example");
    assert_eq!(
        (config.tokens.access_seconds, config.tokens.id_seconds),
        (120, 60)
    );
    assert_eq!(config.login.lockout, Lockout::Seconds(60));
    assert!(config.outbound.allow_loopback);
    let networks: Vec<_> = config
        .outbound
        .allow_networks
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.168.1.1/32"]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let lines = mistakes(
        "[server]\nissuer = \"http://as.example\"\nport = 1\n[tokens]\nacces_seconds = 5\ncode_seconds = \"soon\"\n[tocken]\nx = 1",
        &[
            ("MDI_AUTH_LOGIN__TOTP", "3"),
            ("MDI_AUTH_LOGN__TOTP_ATTEMPTS", "3"),
        ],
    );
    let places: Vec<_> = lines
        .iter()
        .map(|line| line.split(": found").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "[server] issuer",
            "[server] port",
            "[tokens] code_seconds",
            "[tokens] acces_seconds",
            "MDI_AUTH_LOGIN__TOTP",
            "MDI_AUTH_LOGN__TOTP_ATTEMPTS",
            "[tocken]",
        ],
        "{lines:#?}"
    );
}

/// One row a rule: the file, then what its one mistake must say.
#[test]
fn each_rule_refuses() {
    let rows: &[(&str, &[&str])] = &[
        ("issuer = \"https://a\"", &["issuer", "outside of a section"]),
        (
            "[server]\nlisten = \"localhost\"",
            &["[server] listen", "\"localhost\"", "127.0.0.1:8443"],
        ),
        (
            "[server]\nlisten = 8443",
            &["[server] listen", "found 8443", "text in quotes"],
        ),
        (
            "[server]\ntls_certificate = \"a.pem\"",
            &["[server] tls_key", "beside tls_certificate"],
        ),
        (
            "[server]\ntls_key = \"a.pem\"",
            &["[server] tls_certificate", "beside tls_key"],
        ),
        ("[server]\ndata_dir = \"\"", &["[server] data_dir", "a path"]),
        (
            "[server]\nproxy_listen = \"127.0.0.1:80\"",
            &["[server] trusted_proxies", "beside proxy_listen"],
        ),
        (
            "[server]\nproxy_listen = \"0.0.0.0:80\"\ntrusted_proxies = [\"10.0.0.1\"]",
            &["[server] proxy_listen", "0.0.0.0:80", "loopback"],
        ),
        (
            "[server]\ntrusted_proxies = \"10.0.0.1\"",
            &["[server] trusted_proxies", "a list of addresses"],
        ),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.1/33\"]",
            &["[server] trusted_proxies", "10.0.0.1/33"],
        ),
        (
            "[server]\njurisdiction = \"\"",
            &["[server] jurisdiction", "printable"],
        ),
        ("[server]\nname = \" \"", &["[server] name", "printable"]),
        ("[server]\nlogo_file = \"\"", &["[server] logo_file", "a path"]),
        (
            "[database]\nurl = \"mysql://h/d\"",
            &["[database] url", "mysql://…", "postgres://"],
        ),
        ("[database]\nurl = \"sqlite:\"", &["[database] url", "a path"]),
        (
            "[database]\nurl = \"host=h password=geheim\"",
            &["[database] url", "something else"],
        ),
        ("[database]\nurl = \"postgres:///d\"", &["[database] url", "HOST"]),
        ("[database]\nurl = 5", &["[database] url", "text in quotes"]),
        ("[database]\nwriters = 2", &["[database] writers", "from 1 to 1"]),
        ("[database]\nreaders = 0", &["[database] readers", "from 1 to 64"]),
        (
            "[database]\nroot_certificate_file = \"ca.pem\"",
            &["[database] root_certificate_file", "SQLite"],
        ),
        (
            "[tokens]\naccess_seconds = 0",
            &["[tokens] access_seconds", "from 1 to 86400"],
        ),
        (
            "[tokens]\naccess_seconds = 1.5",
            &["[tokens] access_seconds", "1.5", "an integer"],
        ),
        (
            "[tokens]\ncode_seconds = 61",
            &["[tokens] code_seconds", "from 1 to 60"],
        ),
        (
            "[tokens]\nrefresh_grace_seconds = 61",
            &["[tokens] refresh_grace_seconds", "from 0 to 60"],
        ),
        (
            "[tokens]\nrefresh_seconds = 10",
            &["[tokens] refresh_grace_seconds", "less than refresh_seconds (10)"],
        ),
        (
            "[tokens]\ncertify_minutes = 61",
            &["[tokens] certify_minutes", "from 1 to 60"],
        ),
        ("[server]\nbanner = \" \"", &["[server] banner", "printable"]),
        (
            "[login]\npolicy = \"cjis\"",
            &["[server] banner", "found nothing", "AC-8"],
        ),
        (
            "[login]\npolicy = \"strict\"",
            &["[login] policy", "\"strict\"", "\"cjis\" or \"nist-63b-4\""],
        ),
        (
            "[login]\npassword_length = 7",
            &["[login] password_length", "from 8 to 64"],
        ),
        (
            "[login]\npassword_length = 65",
            &["[login] password_length", "from 8 to 64"],
        ),
        (
            "[login]\npassword_length_with_second_factor = 16",
            &[
                "[login] password_length_with_second_factor",
                "at most password_length (15)",
            ],
        ),
        (
            "[login]\npassword_days = -1",
            &["[login] password_days", "from 0"],
        ),
        (
            "[login]\npassword_history = 25",
            &["[login] password_history", "from 0 to 24"],
        ),
        (
            "[login]\npassword_blocklist_file = \"\"",
            &["[login] password_blocklist_file", "a path"],
        ),
        (
            "[login]\nfailures_in_a_row = 101",
            &["[login] failures_in_a_row", "from 1 to 100"],
        ),
        (
            "[login]\nfailures_in_a_row = 4",
            &["[login] failures_in_a_row", "at least lockout_threshold (5)"],
        ),
        (
            "[login]\nlockout_covers = \"passkeys\"",
            &[
                "[login] lockout_covers",
                "\"passkeys\"",
                "\"password\" or \"account\"",
            ],
        ),
        (
            "[login]\nknown_browsers = 1",
            &["[login] known_browsers", "true or false"],
        ),
        (
            "[login]\ndormant_days = \"never\"",
            &["[login] dormant_days", "from 0"],
        ),
        (
            "[login]\nlockout_threshold = 101",
            &["[login] lockout_threshold", "from 1 to 100"],
        ),
        (
            "[login]\nlockout_seconds = \"forever\"",
            &["[login] lockout_seconds", "\"forever\"", "until_admin"],
        ),
        (
            "[login]\nlockout_seconds = 0",
            &["[login] lockout_seconds", "from 1"],
        ),
        (
            "[login]\ninvitation_seconds = 59",
            &["[login] invitation_seconds", "from 60 to 2592000"],
        ),
        (
            "[login]\nreset_seconds = 86401",
            &["[login] reset_seconds", "from 60 to 86400"],
        ),
        (
            "[login]\nadministrator_reset_seconds = 0",
            &["[login] administrator_reset_seconds", "from 60 to 604800"],
        ),
        (
            "[login]\nsession_idle_seconds = 50000",
            &["[login] session_idle_seconds", "at most session_seconds (43200)"],
        ),
        (
            "[login]\nargon2_memory_kib = 1024",
            &["[login] argon2_memory_kib", "from 7168"],
        ),
        (
            "[login]\nargon2_iterations = 1",
            &["[login] argon2_iterations", "argon2_memory_kib = 19456", "35840"],
        ),
        (
            "[keys]\nrotate_days = 0",
            &["[keys] rotate_days", "from 1 to 366"],
        ),
        (
            "[keys]\nrotate_days = 1",
            &["[keys] publish_seconds", "less than rotate_days"],
        ),
        (
            "[policy]\ntime_zone = \"America/Atlanta\"",
            &["[policy] time_zone", "\"America/Atlanta\"", "America/New_York"],
        ),
        (
            "[policy]\ntime_zone = 5",
            &["[policy] time_zone", "found 5", "the name of a time zone"],
        ),
        (
            "[outbound]\nallow_loopback = \"yes\"",
            &["[outbound] allow_loopback", "true or false"],
        ),
        (
            "[outbound]\nallow_networks = [10]",
            &["[outbound] allow_networks", "[10]"],
        ),
        (
            "[audit]\nkeep = 1",
            &["[audit]", "an unknown section", "outbound"],
        ),
        (
            "[server.tls]\nkey = \"x\"",
            &["[server] tls", "an unknown key", "tls_certificate"],
        ),
        (
            "[server]\nissuer = \"https://a.example\"\n=",
            &["mdi-auth.toml", "line 3", "wanted TOML"],
        ),
        (
            "[server]\nissuer = \"https://a.example\"\nissuer = \"https://b.example\"",
            &["mdi-auth.toml", "duplicate key", "line 3"],
        ),
    ];
    refuse_each(rows);
}

/// The same for `[mail]`.
#[test]
fn each_rule_of_mail_refuses() {
    let rows: &[(&str, &[&str])] = &[
        (
            "[mail]\nhost = \"smtp.example\"",
            &["[mail] from", "beside the other keys", "no-reply@as.example"],
        ),
        (
            "[mail]\nfrom = \"a@as.example\"",
            &["[mail] host", "beside the other keys"],
        ),
        (
            "[mail]\nhost = \"smtp://h\"\nfrom = \"a@as.example\"",
            &["[mail] host", "smtp://h", "the name of the mail server"],
        ),
        (
            "[mail]\nhost = \"h\"\nfrom = \"nobody\"",
            &["[mail] from", "nobody", "an address"],
        ),
        (
            "[mail]\nhost = \"h\"\nfrom = \"a@as.example\"\ntls = \"ssl\"",
            &["[mail] tls", "ssl", "starttls"],
        ),
        (
            "[mail]\nhost = \"10.0.0.1\"\nfrom = \"a@as.example\"\ntls = \"none\"",
            &["[mail] tls", "10.0.0.1", "in the clear"],
        ),
        (
            "[mail]\nhost = \"h\"\nfrom = \"a@as.example\"\nport = 0",
            &["[mail] port", "from 1 to 65535"],
        ),
        (
            "[mail]\nhost = \"h\"\nfrom = \"a@as.example\"\nusername = \"u\"",
            &["[mail] password", "MDI_AUTH_MAIL__PASSWORD"],
        ),
        (
            "[mail]\nhost = \"h\"\nfrom = \"a@as.example\"\npassword = \"geheim\"",
            &["[mail] username", "beside password"],
        ),
        (
            "[mail]\nhost = \"h\"\nfrom = \"a@as.example\"\nusername = \"u\"\npassword = [\"geheim\"]",
            &["[mail] password", "in quotes"],
        ),
    ];
    refuse_each(rows);
}

fn refuse_each(rows: &[(&str, &[&str])]) {
    for (toml, parts) in rows {
        let lines = mistakes(toml, &[]);
        assert_eq!(lines.len(), 1, "{toml}: {lines:#?}");
        assert!(
            !lines[0].contains('\n') && !lines[0].contains("geheim"),
            "{toml}: {}",
            lines[0]
        );
        for part in *parts {
            assert!(
                lines[0].contains(part),
                "{toml}: {part:?} is not in {:?}",
                lines[0]
            );
        }
    }
}

#[test]
fn a_database_password_is_not_repeated() {
    for url in [
        "postgres://u:geheim@h:port/d",
        "postgres://u:geheim@h/d?what=1",
        "geheim",
        "postgres//u:geheim@h",
        "u:geheim",
    ] {
        let lines = mistakes("", &[("MDI_AUTH_DATABASE__URL", url)]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("MDI_AUTH_DATABASE__URL: ") && !lines[0].contains("geheim"),
            "{}",
            lines[0]
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let lines = Config::load(Some(Path::new("/nonexistent/mdi-auth.toml")), []).unwrap_err();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].at, "/nonexistent/mdi-auth.toml");
}

#[test]
fn the_master_key_comes_from_one_place_in_a_known_form() {
    let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let base64 = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=";
    for key in [hex, base64] {
        assert!(load("", &[("MDI_AUTH_MASTER_KEY", key)]).is_ok(), "{key}");
        let lines = mistakes("[keys]\nmaster_key_file = \"k\"", &[("MDI_AUTH_MASTER_KEY", key)]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("one of the two") && !lines[0].contains(key),
            "{}",
            lines[0]
        );
    }
    for wrong in ["", "geheim", &hex[..62], &base64[..40]] {
        let lines = mistakes("", &[("MDI_AUTH_MASTER_KEY", wrong)]);
        assert_eq!(
            lines,
            ["MDI_AUTH_MASTER_KEY: found something else; wanted 32 bytes in base64 or hexadecimal"],
            "{wrong}"
        );
    }
}

/// RFC 8414 §2; and compared byte for byte, so there is one way to write it.
#[test]
fn an_issuer_has_one_form() {
    let rows = [
        ("https://as.example", "as.example", 443, false),
        ("https://as.example:8443", "as.example", 8443, false),
        ("https://localhost:8443", "localhost", 8443, true),
        ("https://127.0.0.1", "127.0.0.1", 443, true),
        ("https://[::1]:8443", "::1", 8443, true),
        ("https://[2600::1]", "2600::1", 443, false),
    ];
    for (text, host, port, loopback) in rows {
        let issuer = Issuer::parse(text).unwrap();
        assert_eq!(
            (
                issuer.as_str(),
                issuer.host(),
                issuer.port(),
                issuer.is_loopback()
            ),
            (text, host, port, loopback)
        );
        assert_eq!(issuer.url("/oauth2/token"), format!("{text}/oauth2/token"));
    }
    for wrong in [
        "",
        "as.example",
        "http://as.example",
        "HTTPS://as.example",
        "https://as.example/",
        "https://as.example/tenant",
        "https://as.example?x=1",
        "https://as.example#x",
        "https://As.example",
        "https://as.example:443",
        "https://u@as.example",
        "https://as.example.",
        "https://as.example.:8443",
        "https://",
        " https://as.example",
        "https://bücher.example",
    ] {
        let wanted = Issuer::parse(wrong).expect_err(wrong);
        assert!(wanted.contains("https"), "{wrong}: {wanted}");
    }
    assert!(
        Issuer::parse("https://As.example/")
            .unwrap_err()
            .starts_with("\"https://as.example\"")
    );
}
