//! The apply file: merges, is idempotent, tells every mistake, all or nothing.

use mdi_auth::model::client::ClientSettings;
use mdi_auth::model::secret::SecretHash;
use mdi_auth::registry::apply::{ApplyError, Outcome, apply};
use mdi_auth::registry::noun;

use crate::support::installation::Installation;

const FILE: &str = r#"
[[resource_server]]
id = "cms-fulton"
name = "Fulton County MDI CMS"
audience = "https://cms.fulton.example/fhir"
token_format = "jwt"
token_typ = "at+jwt"
signing_alg = "PS256"
scope_style = "v2"
introspect = "own"
kind = "cms"

[[client]]
client_id = "lims-uf-tox"
name = "UF Forensic Toxicology LIMS"
dataflow = "lims-to-cms"
auth_method = "private_key_jwt"
jwks_uri = "https://lims.uf.example/jwks.json"
organization = { name = "UF Pathology Labs", id = "urn:oid:2.16.840.1.113883.3.9999.2" }
resource_servers = ["cms-fulton"]

[[client]]
client_id = "bench"
name = "Bench"
dataflow = "lims-user-to-cms"
secret = "a secret that somebody has chosen"
redirect_uris = ["https://bench.example/callback"]

[[user]]
username = "jlehz"
name = "Jane Lehz, MD"
password = "correct horse battery"
totp_secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
roles = ["forensic-toxicologist"]
organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
npi = "1234567893"
fhir_user = "https://edrs.ga.example/fhir/Practitioner/77"
license_expires = 2027-01-31
claims = { given_name = "Jane", address = { country = "US" } }
"#;

fn run(installation: &Installation, text: &str) -> Outcome {
    apply(&installation.registry(), text, false).unwrap()
}

fn told(installation: &Installation, text: &str) -> Vec<String> {
    match apply(&installation.registry(), text, false) {
        Err(ApplyError::Mistakes(mistakes)) => mistakes,
        other => panic!("mistakes were expected, not {other:?}"),
    }
}

#[test]
fn a_second_run_changes_nothing() {
    let installation = Installation::new();
    let before = installation.record().len();
    let dry = apply(&installation.registry(), FILE, true).unwrap();
    assert_eq!(installation.record().len(), before, "a dry run writes nothing");
    assert!(installation.app.live.client("bench").is_none());
    let first = run(&installation, FILE);
    assert_eq!(
        first.lines,
        [
            "+ resource_server cms-fulton (cms at https://cms.fulton.example/fhir)",
            "+ agency uf-pathology-labs (UF Pathology Labs)",
            "+ client lims-uf-tox (Toxicology LIMS → cms-fulton)",
            "+ client bench (Toxicology LIMS → cms-fulton)",
            "+ agency fulton-county-me (Fulton County ME)",
            "+ user jlehz (forensic-toxicologist)",
        ]
    );
    assert_eq!(dry.lines, first.lines);
    let owners: Vec<&str> = first.secrets.iter().map(|(owner, _)| owner.as_str()).collect();
    assert_eq!(
        owners,
        ["resource_server cms-fulton"],
        "only what was made is shown"
    );
    let known = installation.record().len();
    // One event each for six objects and the PS256 key.
    assert_eq!(known, before + 7);
    let second = run(&installation, FILE);
    assert_eq!(
        second.lines,
        [
            "= resource_server cms-fulton",
            "= client lims-uf-tox",
            "= client bench",
            "= user jlehz"
        ]
    );
    assert!(!second.changes && second.secrets.is_empty());
    assert_eq!(installation.record().len(), known);
}

#[test]
fn a_change_is_told_and_the_rest_stays() {
    let installation = Installation::new();
    run(&installation, FILE);
    let registry = installation.registry();
    registry
        .blocking(|registry, tx| noun::set_enabled::<ClientSettings>(registry, tx, "bench", false))
        .unwrap();
    let changed = run(
        &installation,
        r#"
        [[resource_server]]
        id = "cms-fulton"
        signing_alg = "RS256"
        [[client]]
        client_id = "bench"
        scopes = "openid user/Specimen.rs"
        [[user]]
        username = "JLEHZ"
        password = "not looked at any more"
        roles = ["lab-analyst"]
        "#,
    );
    assert_eq!(
        changed.lines,
        [
            "~ resource_server cms-fulton: signing_alg PS256 → RS256",
            "~ client bench: scopes none → openid user/Specimen.rs",
            "~ user jlehz: roles forensic-toxicologist → lab-analyst",
        ]
    );
    let bench = installation.app.live.client("bench").unwrap();
    assert!(!bench.client.enabled, "what the file does not say stays");
    assert_eq!(
        bench.client.settings.redirect_uris,
        ["https://bench.example/callback"]
    );
    let person = installation
        .app
        .store
        .read_blocking(|conn| mdi_auth::store::people::find_by_username(conn, "jlehz"))
        .unwrap()
        .unwrap();
    assert_eq!(
        (person.generation, person.settings.npi.as_deref()),
        (1, Some("1234567893"))
    );
    let kinds: Vec<String> = installation
        .record()
        .into_iter()
        .rev()
        .take(3)
        .map(|row| row.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "person.roles_changed",
            "client.changed",
            "resource_server.changed"
        ]
    );
}

#[test]
fn a_new_secret_replaces_the_old_one_and_an_old_one_never_comes_back() {
    let installation = Installation::new();
    run(&installation, FILE);
    let with = |secret: &str| FILE.replace("a secret that somebody has chosen", secret);
    let second = "another secret that somebody chose";
    assert_eq!(
        run(&installation, &with(second)).lines[2],
        "~ client bench: secret set"
    );
    let now = installation.app.now();
    let live = installation.app.live.client("bench").unwrap();
    let valid: Vec<_> = mdi_auth::live::valid_secrets(&live.client.secrets, now)
        .map(|secret| &secret.hash)
        .collect();
    assert_eq!(valid, [&SecretHash::of(second)]);
    assert_eq!(
        told(&installation, FILE),
        [
            "client 2 (bench): secret: this secret has ended and must not come back; choose another, or leave the key out"
        ]
    );
    // Keys in place of the secret end it.
    let keys = with(second).replace(
        &format!("secret = \"{second}\""),
        "jwks_uri = \"https://bench.example/jwks\"",
    );
    let line = &run(&installation, &keys).lines[2];
    assert!(
        line.contains("auth_method client_secret_basic → private_key_jwt") && line.ends_with("secret ended"),
        "{line}"
    );
}

#[test]
fn every_mistake_is_told_and_nothing_is_written() {
    let installation = Installation::new();
    let before = installation.record().len();
    let mistakes = told(
        &installation,
        r#"
        clients = 1
        [[resource_server]]
        id = "good"
        name = "Good"
        audience = "https://good.example"
        kind = "cms"
        [[resource_server]]
        id = "bad"
        name = "Bad"
        audience = "https://good.example/"
        kind = "lab"
        colour = "red"
        [[client]]
        client_id = "lims"
        name = "LIMS"
        dataflow = "lims-to-cms"
        resource_servers = ["good", "bad", "ugly"]
        scopes = ["system/Patient.r"]
        auth_method = "basic"
        secret = 1234567890
        [[client]]
        client_id = "lims"
        name = "LIMS"
        dataflow = "lims-to-cms"
        resource_servers = ["good", "bad", "ugly"]
        [[user]]
        name = "Nobody"
        "#,
    );
    let wanted = [
        "clients: unknown",
        "resource_server 2 (bad): kind: \"lab\" is not one of edrs, cms, other",
        "resource_server 2 (bad): colour: unknown",
        "client 1 (lims): auth_method: \"basic\" is not one of",
        "client 2 (lims): client_id: it stands in the file twice",
        "client 2 (lims): resource_servers: no resource server has the id \"ugly\"",
        "user 1: username: \"\" must have",
    ];
    for wanted in wanted {
        assert!(
            mistakes.iter().any(|mistake| mistake.starts_with(wanted)),
            "{wanted}\n{mistakes:#?}"
        );
    }
    // What is wrong with a server is told there, not again for each client.
    assert!(
        !mistakes.iter().any(|mistake| mistake.contains("\"bad\"")),
        "{mistakes:#?}"
    );
    assert_eq!(installation.record().len(), before);
    assert!(
        installation.app.live.resource_server("good").is_none(),
        "all or nothing"
    );
}

#[test]
fn of_many_mistakes_two_hundred_are_told() {
    let installation = Installation::new();
    let file = "[[client]]\ncolour = \"red\"\n".repeat(1000);
    let mistakes = told(&installation, &file);
    assert_eq!(mistakes.len(), 201);
    assert!(mistakes[0].starts_with("client 1"), "{mistakes:#?}");
    let rest: usize = mistakes[200]
        .strip_prefix("and ")
        .and_then(|rest| rest.strip_suffix(" more mistakes"))
        .and_then(|count| count.parse().ok())
        .unwrap();
    assert!(rest >= 800, "{rest}");
}

#[test]
fn mistakes_show_no_secret() {
    let installation = Installation::new();
    for (file, wanted) in [
        (
            "[[user]]\nusername = \"a\"\nname = \"A\"\npassword = 987654321",
            "user 1 (a): password: it must be text in quotes",
        ),
        (
            "[[user]]\nusername = \"a\"\nname = \"A\"\npassword = \"987654321\"",
            "user 1 (a): password: it has 9 characters",
        ),
        ("[[user]]\nusername = \"a\"\npassword = \"987654321", "line 3: "),
    ] {
        let told = told(&installation, file);
        assert!(
            told.iter().any(|mistake| mistake.starts_with(wanted)),
            "{told:#?}"
        );
        assert!(
            !told.iter().any(|mistake| mistake.contains("987654321")),
            "{told:#?}"
        );
    }
}
