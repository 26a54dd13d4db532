//! Hostile input for whatever reads what strangers send or what others have written: a corpus for each target
//! (`tests/fuzz/corpus`), and inputs that proptest makes of it by cutting, doubling, mixing and damaging. Whatever comes,
//! nothing panics, and what is accepted means what it says. `FUZZ_INPUTS` says how many are made for each target. What
//! fails is written into the corpus of its target, so that it is tried first from then on.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::RunQueryDsl;
use jsonwebtoken::Algorithm;
use mdi_auth::audit::verify;
use mdi_auth::config::OutboundConfig;
use mdi_auth::issuance::ClientContext;
use mdi_auth::keys::{ClientKeys, unverified_claims, verify_assertion};
use mdi_auth::live::LiveClient;
use mdi_auth::model::identity_provider::IdentityProvider;
use mdi_auth::model::scope::{ScopeSet, ScopeStyle};
use mdi_auth::model::secret::Secret;
use mdi_auth::model::signing;
use mdi_auth::oauth::authorization_decision::{Facts, decide};
use mdi_auth::oauth::authorization_request;
use mdi_auth::outbound::Outbound;
use mdi_auth::outbound::identity_provider::{IdentityProviders, Returned};
use mdi_auth::policy::Policy;
use mdi_auth::registry::{apply, import, spreadsheet};
use mdi_auth::store::Conn;
use mdi_auth::web::parameters::Parameters;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::authorization_decision::{client, rules, server};
use crate::harness::agency::{Agency, Script};
use crate::harness::assertion::ClientKey;
use crate::support::installation::Installation;

/// What is done to an input. Places are shares of its length.
#[derive(Debug, Clone)]
enum Edit {
    /// Another byte.
    Byte(f64, u8),
    /// Something taken out.
    Cut(f64, usize),
    /// Something said twice.
    Double(f64, usize),
    /// A piece of another input of the corpus.
    Mix(f64, prop::sample::Index, f64, usize),
    /// A word that means something.
    Word(f64, prop::sample::Index),
}

/// Words that mean something to one grammar or another.
const WORDS: [&str; 38] = [
    "\0",
    "\u{202e}",
    "\u{feff}",
    "\r\n",
    "\n",
    "%00",
    "%0a",
    "%ff",
    "&",
    "=",
    "?",
    "*",
    " ",
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "9223372036854775807",
    "1e400",
    "openid",
    "system/",
    "user/*.cruds",
    "patient/",
    ".rs",
    "scope=",
    "claims=",
    "{\"id_token\":{\"acr\":null}}",
    "eyJhbGciOiJub25lIn0",
    "=cmd|' /C calc'!A0",
    "é",
];

fn edit() -> impl Strategy<Value = Edit> {
    let place = || 0.0..1.0_f64;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        (place(), 1..64_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (place(), 1..256_usize).prop_map(|(at, length)| Edit::Double(at, length)),
        (place(), any::<prop::sample::Index>(), place(), 1..512_usize)
            .prop_map(|(at, other, from, length)| Edit::Mix(at, other, from, length)),
        (place(), any::<prop::sample::Index>()).prop_map(|(at, word)| Edit::Word(at, word)),
    ]
}

fn place(length: usize, share: f64) -> usize {
    ((length as f64 * share) as usize).min(length)
}

fn edited(corpus: &[Vec<u8>], seed: prop::sample::Index, edits: &[Edit]) -> Vec<u8> {
    let mut input = seed.get(corpus).clone();
    for edit in edits {
        match edit {
            Edit::Byte(at, byte) => {
                let at = place(input.len(), *at);
                if let Some(old) = input.get_mut(at) {
                    *old = *byte;
                }
            }
            Edit::Cut(at, length) => {
                let from = place(input.len(), *at);
                let to = (from + length).min(input.len());
                input.drain(from..to);
            }
            Edit::Double(at, length) => {
                let from = place(input.len(), *at);
                let piece = input[from..(from + length).min(input.len())].to_vec();
                input.splice(from..from, piece);
            }
            Edit::Mix(at, other, from, length) => {
                let other = other.get(corpus);
                let from = place(other.len(), *from);
                let piece = other[from..(from + length).min(other.len())].to_vec();
                let at = place(input.len(), *at);
                input.splice(at..at, piece);
            }
            Edit::Word(at, word) => {
                let at = place(input.len(), *at);
                input.splice(at..at, word.get(&WORDS).bytes());
            }
        }
    }
    input
}

fn corpus_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target)
}

/// Runs the corpus of a target, then inputs made of it: `usual` many, or as many as `FUZZ_INPUTS` says. `check` answers
/// whether an input was accepted: some of the corpus must be, and some not, or the target tries nothing.
fn run(target: &str, usual: u32, check: impl Fn(&[u8]) -> bool) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus_of(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has a corpus");
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let (mut accepted, mut refused) = (0, 0);
    for (file, input) in files.iter().zip(&corpus) {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(input))) {
            Ok(true) => accepted += 1,
            Ok(false) => refused += 1,
            Err(_) => panic!("{}", file.display()),
        }
    }
    assert!(
        accepted > 0 && refused > 0,
        "{target}: {accepted} accepted, {refused} refused"
    );
    let cases = std::env::var("FUZZ_INPUTS").map_or(usual, |count| count.parse().unwrap());
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (any::<prop::sample::Index>(), prop::collection::vec(edit(), 0..12));
    let outcome = runner.run(&strategy, |(seed, edits)| {
        let input = edited(&corpus, seed, &edits);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&input)))
            .map(drop)
            .map_err(|_| TestCaseError::fail(hex(&input)))
    });
    if let Err(failure) = outcome {
        if let proptest::test_runner::TestError::Fail(reason, _) = &failure {
            let found = data_encoding::HEXLOWER
                .decode(reason.message().as_bytes())
                .unwrap();
            std::fs::write(corpus_of(target).join(format!("found-{}", found.len())), found).unwrap();
        }
        panic!("{target}: {failure}");
    }
}

fn hex(input: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(input)
}

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

#[test]
fn scopes_mean_what_they_say() {
    run("scope", 2000, |input| {
        let Ok(set) = text(input).parse::<ScopeSet>() else {
            return false;
        };
        let again: ScopeSet = set.to_string().parse().unwrap();
        assert_eq!(again, set, "what is written is read back");
        assert!(set.covers(&set) && set.covers(&set.meet(&set)) && set.meet(&set).covers(&set));
        let single = set.without_doubles();
        assert!(set.covers(&single) && single.covers(&set), "{set} and {single}");
        for scope in set.iter() {
            assert!(!scope.within(&set).is_empty(), "{scope} is within {set}");
            assert!(set.without(&scope.to_string()).len() < set.len());
        }
        for style in [ScopeStyle::V1, ScopeStyle::V2] {
            // What older servers are told never says more.
            let told = set.project(style, &std::collections::BTreeMap::new());
            assert!(told.len() <= set.to_string().len() * 2 + 64);
        }
        true
    });
}

#[test]
fn authorization_requests_are_read_or_refused() {
    let policy = Policy::built_in().unwrap();
    let live = Arc::new(LiveClient {
        agency: None,
        client: client("cms-user-to-edrs", &["edrs-ga"]),
        keys: None,
    });
    run("authorization_request", 2000, |input| {
        let Ok(parameters) = Parameters::parse(input) else {
            return false;
        };
        let request = match authorization_request::parse(&policy, &live, &parameters, |_| None) {
            Ok(request) => request,
            Err(error) => {
                assert!(!error.description.is_empty());
                assert!(
                    !error.description.chars().any(char::is_control),
                    "{:?}",
                    error.description
                );
                return false;
            }
        };
        // Whatever was accepted is bound: by PKCE, for this client must use it.
        assert_eq!(request.code_challenge.as_ref().map(String::len), Some(43));
        assert!(request.max_age.is_none_or(|age| age >= 0));
        let rules = rules(&policy);
        let servers = vec![server("edrs-ga", "https://edrs.ga.example/fhir")];
        let context = ClientContext::new(Arc::clone(&live), servers);
        let named = context.may_name(&rules, &request.claims).unwrap();
        assert!(
            named
                .userinfo
                .iter()
                .all(|name| policy.scope_of_claim(name).is_some())
        );
        // Nobody is signed in: nobody gets a code.
        let decided = decide(&request, &Facts::of_nobody(context, false), &rules, 1_795_226_400);
        let issues = matches!(
            decided,
            Ok(mdi_auth::oauth::authorization_decision::Decision::Issue(_))
        );
        assert!(!issues);
        true
    });
}

#[test]
fn keys_and_assertions_are_verified_or_refused() {
    // A key whose assertion is good, and what is made of the two.
    let key = ClientKey::new(Algorithm::ES256, "k1");
    let jwks = serde_json::json!({ "keys": [key.jwk()] }).to_string();
    let good = key.sign(&crate::harness::assertion::claims(
        "lab",
        "https://as.example",
        1_795_226_400,
    ));
    let all = [
        signing::Algorithm::ES256,
        signing::Algorithm::ES384,
        signing::Algorithm::RS256,
        signing::Algorithm::EdDSA,
    ];
    let keys = ClientKeys::parse(&jwks).unwrap();
    let signature = good.rsplit('.').next().unwrap().to_owned();
    run("client_assertion", 1500, |input| {
        let input = text(input);
        let (some_jwks, assertion) = input.split_once('\n').unwrap_or((&input, ""));
        let assertion = assertion.replace("GOOD", &good);
        let _ = unverified_claims(&assertion);
        if let Ok(theirs) = ClientKeys::parse_fetched(&some_jwks.replace("JWKS", &jwks)) {
            let _ = verify_assertion(&theirs, &all, None, &assertion);
        }
        let _ = ClientKeys::parse(some_jwks);
        // Under the real key nothing is accepted but what it signed.
        let claims = verify_assertion(&keys, &all, None, &assertion);
        if let Ok(claims) = &claims {
            assert!(assertion.trim().ends_with(&signature), "{assertion}");
            assert_eq!(claims.iss, "lab");
        }
        claims.is_ok()
    });
}

#[test]
fn forms_are_read_or_refused() {
    run("form", 3000, |input| {
        let Ok(parameters) = Parameters::parse(input) else {
            return false;
        };
        let _ = (
            parameters.targets(),
            parameters.scope(),
            parameters.purposes(),
            parameters.repeated(),
        );
        for name in [
            "scope",
            "resource",
            "client_id",
            "grant_type",
            "code",
            "token",
            "",
        ] {
            let all: Vec<&str> = parameters.all(name).collect();
            match parameters.one(name) {
                Ok(None) => assert!(all.is_empty()),
                Ok(Some(value)) => assert_eq!(all, [value]),
                // It stands there twice, be it without a value.
                Err(_) => {}
            }
        }
        assert!(parameters.size() <= 3 * input.len() + 2);
        true
    });
}

#[test]
fn apply_files_are_read_or_refused() {
    let installation = Installation::new();
    let registry = installation.registry();
    let before = installation.record().len();
    run("apply", 100, |input| {
        match apply::prepare(&registry, &text(input), true) {
            Ok(_) => true,
            Err(refused) => {
                assert!(!refused.to_string().is_empty());
                false
            }
        }
    });
    assert_eq!(
        installation.record().len(),
        before,
        "what is only looked at is not recorded"
    );
}

#[test]
fn spreadsheets_are_read_or_refused() {
    run("csv", 2000, |input| {
        let file = import::File::read(input);
        assert!(file.len() < 20_000);
        let Ok((columns, rows)) = spreadsheet::read(input, 1000) else {
            return false;
        };
        // What is written is no formula, whatever was read.
        let cells = std::iter::once(columns.iter().map(String::as_str).collect::<Vec<_>>());
        let written = spreadsheet::write(
            cells.chain(
                rows.iter()
                    .map(|row| row.cells.iter().map(String::as_str).collect()),
            ),
        );
        let mut reader = csv_cells(&written);
        assert!(
            reader.all(|cell| !spreadsheet::is_formula(&cell)),
            "{}",
            text(&written)
        );
        true
    });
}

/// The cells of a file, as a spreadsheet would show them.
fn csv_cells(bytes: &[u8]) -> impl Iterator<Item = String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let cells: Vec<String> = reader
        .records()
        .filter_map(Result::ok)
        .flat_map(|record| record.iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    cells.into_iter()
}

/// Rows of the record that somebody wrote into the database: the check says what is wrong, and goes on to its end.
#[test]
fn the_record_is_checked_whatever_stands_in_it() {
    let installation = Installation::new();
    let app = Arc::clone(&installation.app);
    let original = installation.record();
    let body = original.last().unwrap().body.clone();
    let id = original.last().unwrap().id;
    run("record", 60, |input| {
        let changed = text(input).replace('\0', "").replace("BODY", &body);
        let update = changed.clone();
        app.store
            .write_blocking(move |tx| {
                let Conn::Sqlite(conn) = tx.conn() else { panic!() };
                diesel::sql_query("UPDATE audit_event SET body = ? WHERE id = ?")
                    .bind::<diesel::sql_types::Text, _>(&update)
                    .bind::<diesel::sql_types::BigInt, _>(id)
                    .execute(conn)?;
                Ok(())
            })
            .unwrap();
        let sound = verify::verify(&app.store, &[]).unwrap().is_sound();
        assert_eq!(sound, changed == body, "{changed}");
        sound
    });
}

/// What an agency's provider says of itself, of its keys, of somebody who has signed in, and at userinfo: an engineer is
/// told what is wrong with it, and nobody is signed in but by what its key has signed.
#[test]
fn answers_of_providers_are_believed_or_refused() {
    let agency = Agency::start();
    let outbound = Outbound::new(&OutboundConfig {
        allow_loopback: true,
        extra_ca_file: Some(agency.ca.clone()),
        ..Default::default()
    })
    .unwrap();
    let provider = IdentityProvider {
        id: "fulton".to_owned(),
        name: "Fulton County".to_owned(),
        settings: serde_json::from_value(serde_json::json!({
            "issuer": agency.issuer, "client_id": "mdi-auth", "auth_method": "client_secret_basic", "scopes": ["openid"],
            "accounts": "linked", "username_claim": null, "organization": null, "roles": [], "manage_roles": false,
            "trusted_acr": [], "trusted_amr": [],
        }))
        .unwrap(),
        sealed: None,
        secrets: Vec::new(),
        enabled: true,
        generation: 0,
        created_at: 0,
        updated_at: 0,
    };
    let now = 1_795_226_400;
    let good = agency.key.sign(&serde_json::json!({
        "iss": agency.issuer, "sub": "u-77", "aud": "mdi-auth", "nonce": "n-1", "iat": now, "exp": now + 300, "auth_time": now,
    }));
    let key = agency.key.jwk().to_string();
    let secret = Secret::new("a secret of ours");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    run("provider", 60, |input| {
        let input = text(input)
            .replace("ISSUER", &agency.issuer)
            .replace("KEY", &key)
            .replace("TOKEN", &good);
        let mut parts = input.split("\n---\n").map(str::to_owned);
        let mut next = || Script::Text(parts.next().unwrap_or_default());
        {
            let mut says = agency.says();
            (says.discovery, says.jwks, says.token, says.userinfo) = (next(), next(), next(), next());
        }
        // Nothing is kept from the input before.
        let providers = IdentityProviders::new(outbound.clone());
        let redirect_uri = "https://as.example/login/upstream/fulton/callback";
        let found = runtime.block_on(providers.examine(&provider, redirect_uri));
        assert!(!found.is_empty());
        let returned = Returned {
            code: "c",
            iss: None,
            redirect_uri,
            nonce: "n-1",
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            secret: Some(&secret),
        };
        let identity =
            runtime.block_on(providers.identity(&provider, returned, Ipv4Addr::LOCALHOST.into(), now));
        if let Ok(identity) = &identity {
            assert_eq!(identity.subject, "u-77", "only what its key has signed");
        }
        identity.is_ok()
    });
}
