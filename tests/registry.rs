//! What administrators do: every rule refused by name, every change recorded with before and after.

use mdi_auth::app::App;
use mdi_auth::keys::PUBLISHED_AFTER_RETIREMENT_SECONDS;
use mdi_auth::model::client::{AuthMethod, Client, ClientSettings, GrantType};
use mdi_auth::model::person::Person;
use mdi_auth::model::resource_server::{ResourceServer, ResourceServerSettings};
use mdi_auth::model::secret::Secret;
use mdi_auth::model::signing::{Algorithm, StoredKey};
use mdi_auth::registry::belonging::Known;
use mdi_auth::registry::keys::{self, State};
use mdi_auth::registry::noun;
use mdi_auth::registry::people::{self, PersonForm};
use mdi_auth::registry::said::{Merge, Said};
use mdi_auth::registry::{Omitted, Refused, Registry, apply};
use mdi_auth::secrets::master_key::{MasterKey, Purpose};
use mdi_auth::session::lockout::{login_subject, totp_subject};
use mdi_auth::store::logins::{self, Failures};
use mdi_auth::store::passkeys::{self, StoredPasskey};
use mdi_auth::store::{people as stored, recovery_codes};
use serde::de::DeserializeOwned;
use toml::Table;

use crate::harness::{Harness, blocking, in_flight};
use crate::on_both;
use crate::support::eventually_blocking;
use crate::support::installation::{Installation, START, mistakes};

const DAY: i64 = 86_400;

/// A public P-256 key, twice under one kid if need be.
fn jwk(kid: &str) -> String {
    format!(
        r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}"#
    )
}

/// `base` with the keys of `changes` in place of its own; a key that is set to "-" is taken out.
fn form<F: DeserializeOwned>(base: &str, changes: &str) -> F {
    let mut table: Table = base.parse().unwrap();
    for (key, value) in changes
        .parse::<Table>()
        .unwrap_or_else(|cause| panic!("{changes}: {cause}"))
    {
        if value.as_str() == Some("-") {
            table.remove(&key);
        } else {
            table.insert(key, value);
        }
    }
    F::deserialize(toml::Value::Table(table)).unwrap_or_else(|cause| panic!("{changes}: {cause}"))
}

fn said(base: &str, changes: &str) -> Said {
    Said::new(form(base, changes), Merge::Members)
}

fn add_server(registry: &Registry, changes: &str) -> Result<(ResourceServer, Option<Secret>), Refused> {
    let said = noun::prepared::<ResourceServerSettings>(registry, said(SERVER, changes))?;
    registry.blocking(move |registry, tx| noun::register(registry, tx, &said))
}

fn add_client(registry: &Registry, base: &str, changes: &str) -> Result<(Client, Option<Secret>), Refused> {
    let said = said(base, changes);
    registry.blocking(move |registry, tx| noun::register(registry, tx, &said))
}

fn add_person(registry: &Registry, changes: &str) -> Result<Person, Refused> {
    let form: PersonForm = form(PERSON, changes);
    let hash = form
        .password
        .clone()
        .map(|password| people::hash(registry, password))
        .transpose()?;
    registry.blocking(move |registry, tx| people::add(registry, tx, &form, hash.as_deref()))
}

const SERVER: &str = r#"
    id = "cms-fulton"
    name = "Fulton County MDI CMS"
    audience = "https://cms.fulton.example/fhir"
    kind = "cms"
"#;

const LIMS: &str = r#"
    client_id = "lims"
    name = "Toxicology LIMS"
    dataflow = "lims-to-cms"
    resource_servers = ["cms-fulton"]
"#;

const APP: &str = r#"
    client_id = "bench"
    name = "Bench application"
    dataflow = "lims-user-to-cms"
    auth_method = "none"
    redirect_uris = ["https://bench.example/callback"]
    resource_servers = ["cms-fulton"]
"#;

const PERSON: &str = r#"
    username = "jlehz"
    name = "Jane Lehz, MD"
    roles = ["medical-examiner"]
"#;

/// Refuses each row by the key and a part of the text that it names, and writes nothing.
fn refuses(installation: &Installation, rows: &[(&str, &str, &str)], add: impl Fn(&str) -> Vec<String>) {
    let known = installation.record().len();
    for (changes, key, text) in rows {
        let told = add(changes);
        let named = told
            .iter()
            .any(|mistake| mistake.starts_with(&format!("{key}: ")) && mistake.contains(text));
        assert!(named, "{changes}\n  wanted {key}: …{text}…\n  told {told:#?}");
    }
    assert_eq!(
        installation.record().len(),
        known,
        "a refusal was recorded as a change"
    );
}

#[test]
fn resource_servers_are_refused_by_name() {
    let installation = Installation::new();
    let registry = installation.registry();
    add_server(
        &registry,
        r#"id = "first"
        audience = "https://first.example/fhir/""#,
    )
    .unwrap();
    let base = "https://edrs.example/fhir";
    add_server(
        &registry,
        &format!("id = \"edrs\"\nkind = \"edrs\"\naudience = \"{base}\""),
    )
    .unwrap();
    add_client(
        &registry,
        LIMS,
        "client_id = \"taken\"\nresource_servers = [\"first\"]",
    )
    .unwrap();
    let weak = "x".repeat(40);
    let duplicate = format!("jwks = '{{\"keys\":[{},{}]}}'", jwk("a"), jwk("a"));
    let private = r#"jwks = '{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"c"}]}'"#;
    let rows: Vec<(&str, &str, &str)> = vec![
        (r#"id = "-""#, "id", "1 to 64"),
        (r#"id = "a b""#, "id", "1 to 64"),
        (r#"id = "usr_1""#, "id", "kept for people"),
        (r#"id = "CodeSystem""#, "id", "path of this server"),
        (r#"id = "metadata""#, "id", "path of this server"),
        (r#"id = "first""#, "id", "registered already"),
        // One namespace: both authenticate by client_id.
        (r#"id = "taken""#, "id", "is the id of a client"),
        (r#"name = " ""#, "name", "printable"),
        (r#"name = "-""#, "name", "missing"),
        (r#"audience = "-""#, "audience", "missing"),
        (r#"audience = "cms""#, "audience", "not an absolute URI"),
        (r#"audience = "http://cms.example/fhir""#, "audience", "https"),
        // RFC 8707 §2
        (
            r##"audience = "https://cms.example/fhir#a""##,
            "audience",
            "fragment",
        ),
        (
            r#"audience = "https://me:pw@cms.example/fhir""#,
            "audience",
            "user or a password",
        ),
        (
            r#"audience = "https://first.example/fhir""#,
            "audience",
            "already the audience of first",
        ),
        (
            r#"audience = "https://FIRST.example:443/fhir""#,
            "audience",
            "already the audience of first",
        ),
        (
            r#"audience = "https://edrs.example/fhir/""#,
            "audience",
            "already the audience of edrs",
        ),
        (
            r#"audience = "https://localhost:8443/""#,
            "audience",
            "this authorization server",
        ),
        (r#"id = "FIRST""#, "id", "letter case alone"),
        (r#"token_typ = "jwt""#, "token_typ", "at+jwt"),
        (
            "token_format = \"opaque\"\ntoken_typ = \"JWT\"",
            "token_typ",
            "opaque tokens have no typ",
        ),
        (r#"signing_alg = "RS512""#, "signing_alg", "does not sign here"),
        (r#"scopes = ["system/Bundle.dus"]"#, "scopes", "SMART"),
        (
            r#"scope_map = { "user/Patient.r" = "a b" }"#,
            "scope_map",
            "spelling",
        ),
        (r#"secret = "too short""#, "secret", "at least 32"),
        (
            "secret = \"0123456789abcdef0123456789abcdef\"\njwks_uri = \"https://a.example/jwks\"",
            "secret",
            "of no use beside keys",
        ),
        (r#"jwks_uri = "http://keys.example/jwks""#, "jwks_uri", "https://"),
        (
            r#"jwks_uri = "https://10.0.0.1/jwks""#,
            "jwks_uri",
            "not a public address",
        ),
        (r#"jwks = "{}""#, "jwks", "keys"),
        (private, "jwks", "private part"),
        (&duplicate, "jwks", "several keys have the kid"),
    ];
    refuses(&installation, &rows, |changes| {
        mistakes(add_server(&registry, changes))
    });
    let repeated = format!("secret = \"{weak}\"");
    refuses(
        &installation,
        &[(&repeated, "secret", "one character repeated")],
        |changes| mistakes(add_server(&registry, changes)),
    );
}

#[test]
fn clients_are_refused_by_name() {
    let installation = Installation::new();
    let registry = installation.registry();
    add_server(&registry, "").unwrap();
    add_server(
        &registry,
        "id = \"edrs\"\nkind = \"edrs\"\naudience = \"https://edrs.example/fhir\"",
    )
    .unwrap();
    add_client(&registry, LIMS, "client_id = \"taken\"").unwrap();
    let both = format!(
        "jwks = '{{\"keys\":[{}]}}'\njwks_uri = \"https://lims.example/jwks\"",
        jwk("a")
    );
    let rows: Vec<(&str, &str, &str)> = vec![
        (r#"client_id = "-""#, "client_id", "1 to 64"),
        (r#"client_id = "usr_abc""#, "client_id", "kept for people"),
        (r#"client_id = "taken""#, "client_id", "registered already"),
        (
            r#"client_id = "edrs""#,
            "client_id",
            "is the id of a resource server",
        ),
        (r#"dataflow = "lims-to-edrs""#, "dataflow", "lims-to-cms"),
        (r#"dataflow = "-""#, "dataflow", "missing"),
        (r#"grants = ["password"]"#, "grants", "not one of"),
        (
            r#"grants = ["authorization_code"]"#,
            "grants",
            "beyond the dataflow lims-to-cms",
        ),
        ("grants = []", "grants", "empty"),
        (
            r#"scopes = ["system/Patient.r"]"#,
            "scopes",
            "system/Patient.r is beyond",
        ),
        (
            r#"scopes = ["system/Bundle.cr"]"#,
            "scopes",
            "system/Bundle.cr is beyond",
        ),
        ("scopes = []", "scopes", "empty"),
        (r#"purposes = ["PUBHLTH"]"#, "purposes", "PUBHLTH is beyond"),
        (
            r#"purposes = ["TREATMENTS"]"#,
            "purposes",
            "not a PurposeOfUse code",
        ),
        (r#"purposes = ["HTEST"]"#, "purposes", "not a demo"),
        ("purposes = []", "purposes", "at least one"),
        (
            r#"resource_servers = ["edrs"]"#,
            "resource_servers",
            "of the kind edrs; the dataflow lims-to-cms goes to cms",
        ),
        (
            r#"resource_servers = ["none"]"#,
            "resource_servers",
            "no resource server",
        ),
        // RFC 6749 §4.4: client_credentials is for confidential clients.
        (
            r#"auth_method = "none""#,
            "auth_method",
            "client_credentials is not for public clients",
        ),
        (
            r#"auth_method = "private_key_jwt""#,
            "jwks_uri",
            "needs the client's public keys",
        ),
        (&both, "jwks_uri", "one of the two"),
        (
            "auth_method = \"client_secret_post\"\njwks_uri = \"https://lims.example/jwks\"",
            "jwks_uri",
            "uses no keys",
        ),
        (
            r#"jwks_uri = "https://[::1]/jwks""#,
            "jwks_uri",
            "not a public address",
        ),
        // RFC 7515 §2
        (
            r#"jwks = '{"keys":[{"kty":"RSA","n":"AQAB=","e":"AQAB"}]}'"#,
            "jwks",
            "not base64url without padding",
        ),
        (
            r#"jwks = '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}'"#,
            "jwks",
            "symmetric",
        ),
        (
            r#"secret = "0123456789abcdef0123456789abcde""#,
            "secret",
            "31 characters",
        ),
        (
            r#"secret = "0123456789abcdef0123456789abcdef""#,
            "secret",
            "too easy to guess",
        ),
        (
            r#"secret = "                                ""#,
            "secret",
            "one character repeated",
        ),
        (
            "jwks_uri = \"https://lims.example/jwks\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
            "secret",
            "of no use",
        ),
        (r#"signing_algs = ["ES256"]"#, "signing_algs", "signs nothing"),
        ("require_par = true", "require_par", "unknown"),
        (
            r#"cors_origins = ["http://app.example"]"#,
            "cors_origins",
            "https origin",
        ),
        (
            r#"cors_origins = ["https://app.example/"]"#,
            "cors_origins",
            "https origin",
        ),
        (r#"cors_origins = ["*"]"#, "cors_origins", "https origin"),
        (
            r#"organization = { name = "Lab", id = "2.16.840" }"#,
            "organization",
            "URI",
        ),
        // custom brings nothing by itself.
        (r#"dataflow = "custom""#, "grants", "brings none"),
        (r#"dataflow = "custom""#, "scopes", "brings none"),
        (
            "dataflow = \"custom\"\ngrants = [\"refresh_token\"]\nscopes = [\"openid\"]",
            "grants",
            "comes from authorization_code",
        ),
        (
            "dataflow = \"custom\"\ngrants = [\"client_credentials\"]\nscopes = [\"__mdi.introspect\"]",
            "scopes",
            "never granted",
        ),
    ];
    refuses(&installation, &rows, |changes| {
        mistakes(add_client(&registry, LIMS, changes))
    });
}

#[test]
fn clients_of_people_are_refused_by_name() {
    let installation = Installation::new();
    let registry = installation.registry();
    add_server(&registry, "").unwrap();
    let rows: Vec<(&str, &str, &str)> = vec![
        ("redirect_uris = []", "redirect_uris", "at least one"),
        ("require_pkce = false", "require_pkce", "always"),
        ("refresh_rotation = false", "refresh_rotation", "always"),
        // RFC 8252 §8.6
        (
            "consent = \"skip\"\nredirect_uris = [\"https://bench.example/cb\", \"http://127.0.0.1/cb\"]",
            "consent",
            "always asked",
        ),
        (
            "consent = \"skip\"\nredirect_uris = [\"com.example.bench:/cb\"]",
            "consent",
            "always asked",
        ),
        (r#"redirect_uris = ["callback"]"#, "redirect_uris", "absolute"),
        // RFC 6749 §3.1.2
        (
            r##"redirect_uris = ["https://a.example/#x"]"##,
            "redirect_uris",
            "fragment",
        ),
        (
            r#"redirect_uris = ["https://*.a.example/"]"#,
            "redirect_uris",
            "compared exactly",
        ),
        (
            r#"redirect_uris = ["https://a.example/*"]"#,
            "redirect_uris",
            "compared exactly",
        ),
        (
            r#"redirect_uris = ["https://me@a.example/"]"#,
            "redirect_uris",
            "user",
        ),
        (
            r#"redirect_uris = ["https:a.example"]"#,
            "redirect_uris",
            "https://",
        ),
        (
            r#"redirect_uris = ["https://a.example/b c"]"#,
            "redirect_uris",
            "percent-encoded",
        ),
        (
            r#"redirect_uris = ["http://a.example/"]"#,
            "redirect_uris",
            "https://",
        ),
        // RFC 8252 §8.3
        (
            r#"redirect_uris = ["http://localhost:3000/cb"]"#,
            "redirect_uris",
            "write http://127.0.0.1 instead",
        ),
        (
            r#"redirect_uris = ["http://127.0.0.2/cb"]"#,
            "redirect_uris",
            "127.0.0.1",
        ),
        (
            r#"redirect_uris = ["http://127.1/cb"]"#,
            "redirect_uris",
            "127.0.0.1",
        ),
        (
            r#"redirect_uris = ["javascript:alert(1)"]"#,
            "redirect_uris",
            "https://",
        ),
        (
            r#"redirect_uris = ["data:text/html,x"]"#,
            "redirect_uris",
            "https://",
        ),
        // RFC 8252 §7.1
        (
            "auth_method = \"client_secret_basic\"\nredirect_uris = [\"com.example.app:/cb\"]",
            "redirect_uris",
            "only public clients",
        ),
        (
            r#"post_logout_redirect_uris = ["http://a.example/"]"#,
            "post_logout_redirect_uris",
            "https://",
        ),
        // OpenID Connect Back-Channel Logout §2.2, and what we do not connect to
        (
            r#"backchannel_logout_uri = "http://a.example/""#,
            "backchannel_logout_uri",
            "https://",
        ),
        (
            r##"backchannel_logout_uri = "https://a.example/#x""##,
            "backchannel_logout_uri",
            "fragment",
        ),
        (
            r#"backchannel_logout_uri = "https://me@a.example/""#,
            "backchannel_logout_uri",
            "user",
        ),
        (
            r#"backchannel_logout_uri = "a.example""#,
            "backchannel_logout_uri",
            "absolute",
        ),
        (
            r#"backchannel_logout_uri = "https://127.0.0.1/""#,
            "backchannel_logout_uri",
            "allow_loopback",
        ),
        (
            r#"backchannel_logout_uri = "https://169.254.169.254/""#,
            "backchannel_logout_uri",
            "allow_networks",
        ),
        (
            "backchannel_logout_session_required = true",
            "backchannel_logout_session_required",
            "backchannel_logout_uri",
        ),
    ];
    refuses(&installation, &rows, |changes| {
        mistakes(add_client(&registry, APP, changes))
    });
    // Every mistake at once.
    let told = mistakes(add_client(
        &registry,
        APP,
        "name = \" \"\nredirect_uris = [\"ftp://a\", \"data:b\"]",
    ));
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[test]
fn a_person_to_be_written_shows_no_secret() {
    let installation = Installation::new();
    let totp = "totp_secret = \"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP\"";
    let form: PersonForm = form(PERSON, &format!("username = \"ann\"\n{totp}"));
    let draft = people::draft(
        &installation.registry(),
        &form,
        Omitted::Keeps,
        None,
        &Known::default(),
    )
    .unwrap();
    assert_eq!(format!("{draft:?}"), "Draft { username: \"ann\", .. }");
}

#[test]
fn people_are_refused_by_name() {
    let installation = Installation::new();
    let registry = installation.registry();
    add_person(&registry, "username = \"Taken\"").unwrap();
    let long = format!("password = \"{}\"", "x".repeat(1025));
    let rows: Vec<(&str, &str, &str)> = vec![
        (r#"username = "-""#, "username", "1 to 128"),
        (r#"username = " jane""#, "username", "blanks at its ends"),
        (r#"username = "tAKEN""#, "username", "exists already"),
        (r#"roles = ["doctor"]"#, "roles", "no role doctor"),
        (r#"npi = "123456789""#, "npi", "ten digits"),
        (r#"npi = "1234567890""#, "npi", "check digit"),
        (r#"fhir_user = "Device/1""#, "fhir_user", "Practitioner"),
        (
            r#"fhir_user = "https://edrs.example/fhir/Practitioner""#,
            "fhir_user",
            "Practitioner",
        ),
        (
            r#"fhir_user = "ftp://edrs.example/Practitioner/1""#,
            "fhir_user",
            "Practitioner",
        ),
        (r#"email = "jane""#, "email", "e-mail address"),
        (r#"email = "jane@a@b""#, "email", "e-mail address"),
        (r#"purposes = ["HTEST"]"#, "purposes", "not a demo"),
        (
            r#"license_expires = "2027-02-30""#,
            "license_expires",
            "YYYY-MM-DD",
        ),
        (r#"license_expires = "20270228""#, "license_expires", "YYYY-MM-DD"),
        // OpenID Connect Core §5.1
        (r#"claims = { sub = "x" }"#, "claims", "sub"),
        (r#"claims = { name = "x" }"#, "claims", "stands outside"),
        (
            r#"claims = { preferred_username = "x" }"#,
            "claims",
            "it is the username",
        ),
        (r#"claims = { updated_at = 5 }"#, "claims", "notes itself"),
        (
            r#"claims = { shoe_size = "44" }"#,
            "claims",
            "not a standard claim",
        ),
        (
            r#"claims = { given_name = 1 }"#,
            "claims",
            "given_name must be a text",
        ),
        (
            r#"claims = { phone_number_verified = "yes" }"#,
            "claims",
            "true or false",
        ),
        (
            r#"claims = { address = "Main Street" }"#,
            "claims",
            "address must be a table",
        ),
        (
            r#"claims = { address = { street = "Main Street" } }"#,
            "claims",
            "address must be a table",
        ),
        // NIST SP 800-63B-4 §3.1.1.2
        (r#"password = "fourteen chars""#, "password", "at least 15"),
        (
            "password = \"seven77\"\ntotp_secret = \"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP\"",
            "password",
            "at least 8",
        ),
        (
            "username = \"jane.lehz@ga.example\"\npassword = \"Jane.Lehz@ga.example\"",
            "password",
            "is the username",
        ),
        (&long, "password", "at most 1024"),
        // RFC 4226 §4
        (
            r#"totp_secret = "JBSWY3DPEHPK3PXP""#,
            "totp_secret",
            "at least 16",
        ),
        (r#"totp_secret = "not base32!""#, "totp_secret", "base32"),
    ];
    refuses(&installation, &rows, |changes| {
        mistakes(add_person(&registry, changes))
    });
}

#[test]
fn what_is_allowed_is_registered() {
    let installation = Installation::new();
    let registry = installation.registry();
    add_server(&registry, r#"audience = "http://127.0.0.1:9000/fhir""#).unwrap();
    add_server(
        &registry,
        "id = \"other\"\nkind = \"other\"\naudience = \"https://other.example\"",
    )
    .unwrap();
    for (place, uri) in [
        "https://a.example/cb?x=1",
        "http://127.0.0.1/cb",
        "http://127.0.0.1:3000/cb",
        "http://[::1]:3000/cb",
        "com.example.app:/cb",
    ]
    .iter()
    .enumerate()
    {
        add_client(
            &registry,
            APP,
            &format!(
                "client_id = \"app{place}\"\nname = \"Application {place}\"\nredirect_uris = [\"{uri}\"]"
            ),
        )
        .unwrap_or_else(|cause| panic!("{uri}: {cause}"));
    }
    let app = installation.app.live.client("app0").unwrap();
    assert!(app.client.settings.require_pkce.0 && app.client.settings.refresh_rotation.0);
    assert_eq!(
        app.client.settings.grants,
        [GrantType::AuthorizationCode, GrantType::RefreshToken]
    );
    // Nothing is known of a server of kind other, so any dataflow may go there.
    add_client(
        &registry,
        LIMS,
        "resource_servers = [\"other\"]\nscopes = \"system/Bundle.c\"\npurposes = [\"HDECD\"]",
    )
    .unwrap();
    // The only server of the dataflow's kind goes without saying.
    let (client, secret) =
        add_client(&registry, LIMS, "client_id = \"plain\"\nresource_servers = \"-\"").unwrap();
    assert_eq!(client.settings.resource_servers, ["cms-fulton"]);
    assert_eq!(client.settings.auth_method, AuthMethod::ClientSecretBasic);
    assert_eq!(secret.unwrap().reveal().len(), 43);
    // As some editors save it, with a byte order mark.
    let keys = format!(
        "client_id = \"keys\"\njwks = '\u{feff}{{\"keys\":[{}]}}'",
        jwk("a")
    );
    let (client, secret) = add_client(&registry, LIMS, &keys).unwrap();
    assert_eq!(
        (client.settings.auth_method, secret.is_none()),
        (AuthMethod::PrivateKeyJwt, true)
    );
    let person = add_person(
        &registry,
        r#"
        password = "correct horse battery"
        totp_secret = "jbsw y3dp ehpk 3pxp jbsw y3dp ehpk 3pxp"
        npi = "1234567893"
        fhir_user = "Practitioner/77"
        license_expires = "2027-01-31"
        claims = { email = "jane@ga.example", email_verified = true, address = { country = "US" } }
    "#,
    )
    .unwrap();
    assert_eq!(person.settings.email.as_deref(), Some("jane@ga.example"));
    assert!(person.settings.email_verified && !person.settings.claims.contains_key("email"));
    let stored = installation
        .app
        .store
        .read_blocking(|conn| mdi_auth::store::people::find_by_username(conn, "JLEHZ"))
        .unwrap()
        .unwrap();
    let totp = installation
        .app
        .master
        .open(Purpose::TotpSecret, &stored.id, &stored.totp_secret.unwrap())
        .unwrap();
    assert_eq!(totp.as_slice(), b"Hello!\xde\xad\xbe\xefHello!\xde\xad\xbe\xef");
    assert!(stored.password.unwrap().starts_with("$argon2id$"));
}

#[test]
fn a_resource_server_brings_the_key_it_needs() {
    let installation = Installation::new();
    let registry = installation.registry();
    for alg in ["PS256", "EdDSA", "ES384"] {
        let known = installation.record().len();
        add_server(
            &registry,
            &format!("id = \"{alg}\"\naudience = \"https://{alg}.example\"\nsigning_alg = \"{alg}\""),
        )
        .unwrap();
        let kinds: Vec<String> = installation
            .events_after(known)
            .into_iter()
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(kinds, ["key.changed", "resource_server.changed"], "{alg}");
        let algorithm = Algorithm::parse(alg).unwrap();
        let signs = keys::list(&registry)
            .unwrap()
            .into_iter()
            .filter(|key| key.algorithm == algorithm)
            .map(|key| State::of(&key, START));
        assert_eq!(signs.collect::<Vec<_>>(), [State::Signing], "{alg}");
        // This process knows the key before the answer.
        assert!(installation.app.live.keyring().jwks().contains(alg), "{alg}");
    }
    let known = installation.record().len();
    add_server(
        &registry,
        "id = \"again\"\naudience = \"https://again.example\"\nsigning_alg = \"PS256\"",
    )
    .unwrap();
    assert_eq!(installation.record().len(), known + 1, "the key exists already");
}

#[test]
fn disabling_raises_the_generation_and_is_recorded() {
    let installation = Installation::new();
    let registry = installation.registry();
    let beside = installation.beside();
    add_server(&registry, "").unwrap();
    let (client, _) = add_client(&registry, LIMS, "").unwrap();
    let known = installation.record().len();
    let set = |enabled| {
        registry
            .blocking(move |registry, tx| noun::set_enabled::<ClientSettings>(registry, tx, "lims", enabled))
            .unwrap()
    };
    assert!(set(false) && !set(false));
    let disabled = installation.app.live.client("lims").unwrap();
    assert_eq!(
        (disabled.client.enabled, disabled.client.generation),
        (false, client.generation + 1)
    );
    assert!(set(true));
    let enabled = installation.app.live.client("lims").unwrap();
    assert_eq!(
        (enabled.client.enabled, enabled.client.generation),
        (true, client.generation + 1),
        "enabling revives nothing"
    );
    assert!(
        registry
            .blocking(|registry, tx| noun::set_enabled::<ResourceServerSettings>(
                registry,
                tx,
                "cms-fulton",
                false
            ))
            .unwrap()
    );
    let events = installation.events_after(known);
    let actions: Vec<&str> = events
        .iter()
        .map(|(_, detail)| detail["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["disabled", "enabled", "disabled"]);
    let (_, detail) = &events[0];
    assert!(detail["before"].as_str().unwrap().contains("\"enabled\":true"));
    assert!(detail["after"].as_str().unwrap().contains("\"enabled\":false"));
    // Another process on the same database learns of it.
    let look = || {
        beside
            .live
            .resource_server("cms-fulton")
            .map(|live| live.server.enabled)
    };
    eventually_blocking("news at the other process", look, |enabled| {
        *enabled == Some(false)
    });
    beside.stop();
}

#[test]
fn deleting_leaves_no_hole() {
    let installation = Installation::new();
    let registry = installation.registry();
    add_server(&registry, "").unwrap();
    let (first, _) = add_client(&registry, LIMS, "").unwrap();
    let delete_server = || {
        registry.blocking(|registry, tx| noun::delete::<ResourceServerSettings>(registry, tx, "cms-fulton"))
    };
    assert!(mistakes(delete_server())[0].contains("is used by lims"));
    registry
        .blocking(|registry, tx| noun::delete::<ClientSettings>(registry, tx, "lims"))
        .unwrap();
    assert!(installation.app.live.client("lims").is_none());
    assert!(
        mistakes(registry.blocking(|registry, tx| noun::delete::<ClientSettings>(registry, tx, "lims")))[0]
            .contains("no client")
    );
    // A new client under the old id does not revive the tokens of the old one.
    installation.clock.forward(1);
    let (second, _) = add_client(&registry, LIMS, "").unwrap();
    assert_ne!(first.generation, second.generation);
    registry
        .blocking(|registry, tx| noun::delete::<ClientSettings>(registry, tx, "lims"))
        .unwrap();
    delete_server().unwrap();
}

#[test]
fn a_secret_is_rotated_with_an_overlap() {
    let installation = Installation::new();
    let registry = installation.registry();
    add_server(&registry, "").unwrap();
    let (_, first) = add_client(&registry, LIMS, "").unwrap();
    let rotate = |overlap| {
        registry.blocking(move |registry, tx| {
            noun::rotate_secret::<ClientSettings>(registry, tx, "lims", overlap)
        })
    };
    let valid = || {
        let live = installation.app.live.client("lims").unwrap();
        let now = installation.app.now();
        mdi_auth::live::valid_secrets(&live.client.secrets, now)
            .map(|secret| secret.hash.clone())
            .collect::<Vec<_>>()
    };
    let first = first.unwrap().hash();
    // Listed in the order of their making, by the second.
    installation.clock.forward(1);
    let second = rotate(7 * DAY).unwrap();
    assert_eq!(second.old_ends_at, Some(START + 1 + 7 * DAY));
    assert_eq!(valid(), [first.clone(), second.secret.hash()]);
    assert!(mistakes(rotate(7 * DAY))[0].contains("two valid secrets until 2026-01-08"));
    assert!(mistakes(rotate(-1))[0].contains("from 0"));
    installation.clock.forward(7 * DAY - 1);
    assert!(valid().contains(&first));
    installation.clock.forward(1);
    assert_eq!(valid(), [second.secret.hash()]);
    let third = rotate(DAY).unwrap();
    assert_eq!(valid().len(), 2);
    // In an emergency all others end at once.
    let known = installation.record().len();
    let fourth = rotate(0).unwrap();
    assert_eq!(valid(), [fourth.secret.hash()]);
    let (kind, detail) = &installation.events_after(known)[0];
    assert_eq!(
        (kind.as_str(), detail["action"].as_str()),
        ("secret.changed", Some("secret_added"))
    );
    let recorded = detail.to_string();
    for secret in [&second.secret, &third.secret, &fourth.secret] {
        assert!(
            !recorded.contains(secret.reveal()) && !recorded.contains(secret.hash().as_str()),
            "a secret stands in the record"
        );
    }
    let keys = format!("client_id = \"keys\"\njwks = '{{\"keys\":[{}]}}'", jwk("a"));
    add_client(&registry, LIMS, &keys).unwrap();
    let refused =
        registry.blocking(|registry, tx| noun::rotate_secret::<ClientSettings>(registry, tx, "keys", 0));
    assert!(mistakes(refused)[0].contains("private_key_jwt"));
    registry
        .blocking(|registry, tx| noun::rotate_secret::<ResourceServerSettings>(registry, tx, "cms-fulton", 0))
        .unwrap();
}

#[test]
fn roles_password_and_second_factor_end_what_a_person_granted() {
    let installation = Installation::new();
    let registry = installation.registry();
    let person = add_person(&registry, "password = \"correct horse battery\"").unwrap();
    let holds = |generation| installation.app.live.person_holds(&person.id, generation);
    assert!(holds(0));
    let known = installation.record().len();
    let set_roles = |roles: &[&str]| {
        let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
        registry.blocking(move |registry, tx| people::set_roles(registry, tx, "jlehz", &roles))
    };
    assert!(mistakes(set_roles(&["king"]))[0].contains("no role king"));
    set_roles(&["medical-examiner"]).unwrap();
    assert_eq!(installation.record().len(), known, "nothing changed");
    set_roles(&["auditor", "coroner"]).unwrap();
    assert!(!holds(0) && holds(1));
    let password = Secret::new("another long password");
    let hash = people::hash(&registry, password.clone()).unwrap();
    registry
        .blocking(move |registry, tx| people::set_password(registry, tx, "jlehz", &password, &hash))
        .unwrap();
    assert!(
        mistakes(registry.blocking(move |registry, tx| people::set_password(
            registry,
            tx,
            "jlehz",
            &Secret::new("twelve chars"),
            ""
        )))[0]
            .contains("at least 15")
    );
    assert!(holds(2));
    let totp = people::new_totp_secret(&registry);
    registry
        .blocking(move |registry, tx| people::reset_second_factor(registry, tx, "jlehz", Some(&totp)))
        .unwrap();
    assert!(holds(3));
    registry
        .blocking(|registry, tx| people::set_enabled(registry, tx, "jlehz", false))
        .unwrap();
    assert!(!holds(3) && !holds(4));
    registry
        .blocking(|registry, tx| people::set_enabled(registry, tx, "jlehz", true))
        .unwrap();
    assert!(!holds(3) && holds(4));
    let kinds: Vec<String> = installation
        .events_after(known)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "person.roles_changed",
            "person.changed",
            "person.changed",
            "person.changed",
            "person.changed"
        ]
    );
    let record: String = installation.record().into_iter().map(|row| row.body).collect();
    assert!(
        !record.contains("argon2") && !record.contains("another long"),
        "a password stands in the record"
    );
}

#[test]
fn a_locked_person_is_unlocked() {
    let installation = Installation::new();
    let registry = installation.registry();
    add_person(&registry, "").unwrap();
    let subject = login_subject(&installation.app, "JLehz");
    let row = Failures {
        subject: subject.clone(),
        failures: 5,
        locked_until: i64::MAX,
        purge_at: i64::MAX,
        ..Failures::default()
    };
    installation
        .app
        .store
        .write_blocking(move |tx| logins::put(tx.conn(), &row))
        .unwrap();
    let unlock = || {
        registry
            .blocking(|registry, tx| people::unlock(registry, tx, "jlehz"))
            .unwrap()
    };
    assert!(unlock() && !unlock());
    assert!(
        installation
            .app
            .store
            .read_blocking(move |conn| logins::find(conn, &subject))
            .unwrap()
            .is_none()
    );
    assert_eq!(installation.record().last().unwrap().kind, "login.unlocked");
}

#[test]
fn signing_keys_are_published_before_they_sign() {
    let installation = Installation::new();
    let registry = installation.registry();
    let publish = installation.app.config.keys.publish_seconds;
    let states = || {
        let now = installation.app.now();
        let of = |key: &StoredKey| (key.algorithm.as_str(), State::of(key, now).as_str());
        keys::list(&registry)
            .unwrap()
            .iter()
            .filter(|key| key.algorithm == Algorithm::ES256)
            .map(of)
            .collect::<Vec<_>>()
    };
    installation.clock.forward(90 * DAY);
    let new = keys::rotate(&registry, Some(Algorithm::ES256), false).unwrap();
    assert_eq!(new.len(), 1);
    assert_eq!(states(), [("ES256", "signing"), ("ES256", "published")]);
    assert!(
        installation.app.live.keyring().jwks().contains(&new[0].kid),
        "published at once"
    );
    installation.clock.forward(publish);
    assert_eq!(states(), [("ES256", "retired"), ("ES256", "signing")]);
    let old = keys::list(&registry)
        .unwrap()
        .into_iter()
        .find(|key| key.algorithm == Algorithm::ES256)
        .unwrap();
    assert_eq!(old.retires_at, Some(new[0].signs_from));
    assert_eq!(
        old.purge_at,
        Some(new[0].signs_from + PUBLISHED_AFTER_RETIREMENT_SECONDS)
    );
    keys::rotate(&registry, Some(Algorithm::ES256), false).unwrap();
    keys::rotate(&registry, Some(Algorithm::ES256), true).unwrap();
    assert_eq!(
        states().iter().filter(|(_, state)| *state == "signing").count(),
        1,
        "{:?}",
        states()
    );
    assert_eq!(keys::rotate(&registry, None, false).unwrap().len(), 2);
    assert!(
        mistakes(keys::rotate(&registry, Some(Algorithm::RS512), false))[0].contains("does not sign here")
    );
}

#[test]
fn everything_is_wrapped_under_another_master_key() {
    let installation = Installation::new();
    let registry = installation.registry();
    let person = add_person(&registry, r#"totp_secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP""#).unwrap();
    let (app, new_code) = (installation.app.clone(), "hash".to_owned());
    let subjects = |app: &App| [login_subject(app, "jlehz"), totp_subject(app, &person.id)];
    let (before, id) = (subjects(&app), person.id.clone());
    let locked = |subject: &str| Failures {
        subject: subject.to_owned(),
        consecutive: 7,
        locked_until: i64::MAX / 2,
        ..Failures::default()
    };
    let rows: Vec<Failures> = before
        .iter()
        .map(|subject| locked(subject))
        .chain([locked("a stranger's")])
        .collect();
    let written = installation.app.store.write_blocking(move |tx| {
        recovery_codes::replace(tx.conn(), &id, std::slice::from_ref(&new_code), START)?;
        rows.iter().try_for_each(|row| logins::put(tx.conn(), row))
    });
    written.unwrap();
    let own = installation.dir.path().join("master.key");
    assert!(mistakes(keys::rewrap(&registry, &own))[0].contains("in use"));
    let file = installation.dir.path().join("new.key");
    let done = keys::rewrap(&registry, &file).unwrap();
    assert_eq!(
        (done.keys, done.totp_secrets, done.recovery_codes_removed),
        (2, 1, 1)
    );
    assert!(
        installation
            .record()
            .last()
            .unwrap()
            .body
            .contains(r#""recovery_codes_removed":"1""#)
    );
    let new = MasterKey::from_file(&file, installation.app.entropy).unwrap();
    assert_eq!(done.fingerprint, new.fingerprint());
    let stored = installation
        .app
        .store
        .read_blocking(mdi_auth::store::people::totp_secrets)
        .unwrap();
    assert!(new.open(Purpose::TotpSecret, &person.id, &stored[0].1).is_ok());
    assert!(
        installation
            .app
            .master
            .open(Purpose::TotpSecret, &person.id, &stored[0].1)
            .is_err()
    );
    std::fs::rename(&file, &own).unwrap();
    let beside = installation.beside();
    assert_eq!(
        beside.live.keyring().jwks(),
        installation.app.live.keyring().jwks()
    );
    // Locks hold under the new key; what only the old one could name is gone.
    let kept = |subject: String| {
        beside
            .store
            .read_blocking(move |conn| logins::find(conn, &subject))
            .unwrap()
    };
    for subject in subjects(&beside) {
        assert_eq!(kept(subject.clone()), Some(locked(&subject)));
    }
    assert!(
        before
            .into_iter()
            .chain(["a stranger's".to_owned()])
            .all(|subject| kept(subject).is_none())
    );
    let id = person.id.clone();
    assert_eq!(
        beside
            .store
            .read_blocking(move |conn| recovery_codes::left(conn, &id))
            .unwrap()
            .0,
        0
    );
    beside.stop();
}

/// What an administrator does, in a write of its own.
type Administered = fn(&Registry);

on_both! {
    async fn what_a_person_writes_meanwhile_is_not_lost(db) {
        let harness = Harness::start(db);
        let find = || {
            let store = harness.app.store.clone();
            blocking(move || store.read_blocking(|conn| stored::find_by_username(conn, "norole"))).unwrap().unwrap()
        };
        let rows: [(&str, Administered); 3] = [
            ("roles", |registry| {
                registry.blocking(|registry, tx| people::set_roles(registry, tx, "norole", &["auditor".to_owned()])).unwrap();
            }),
            ("disabled", |registry| {
                registry.blocking(|registry, tx| people::set_enabled(registry, tx, "norole", false)).unwrap();
            }),
            ("apply", |registry| {
                apply::apply(registry, "[[user]]\nusername = \"norole\"\nname = \"Another Name\"", false).unwrap();
            }),
        ];
        for (what, administer) in rows {
            let before = find();
            let (id, generation) = (before.id, before.generation);
            let own = in_flight(&harness, move |tx| {
                assert!(stored::put_totp(tx.conn(), &id, generation, Some(what), 0).unwrap());
            });
            let registry = harness.registry();
            blocking(move || administer(&registry));
            own.join().unwrap();
            let after = find();
            assert_eq!(after.totp_secret.as_deref(), Some(what), "the app is left");
            assert!(after.name != before.name || after.generation != generation, "{what} was done");
        }
        // A passkey that is being added does not outlive the reset.
        let id = find().id;
        let added = in_flight(&harness, move |tx| {
            let person = stored::lock(tx.conn(), &id).unwrap().unwrap();
            let passkey = StoredPasskey {
                id: "key".to_owned(), person_id: person.id, name: "Key".to_owned(),
                credential: "{}".to_owned(), created_at: 0, last_used_at: None,
            };
            assert!(passkeys::add(tx.conn(), &passkey).unwrap());
        });
        let (registry, store) = (harness.registry(), harness.app.store.clone());
        blocking(move || registry.blocking(|registry, tx| people::reset_second_factor(registry, tx, "norole", None)).unwrap());
        added.join().unwrap();
        let id = find().id;
        assert!(blocking(move || store.read_blocking(move |conn| passkeys::of_person(conn, &id))).unwrap().is_empty());
    }
}
