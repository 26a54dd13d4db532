//! SMART scopes: grammar, intersection, projection.

use std::collections::BTreeMap;

use mdi_auth::model::scope::{MAX_BYTES, MAX_SCOPES, Permissions, Scope, ScopeError, ScopeSet, ScopeStyle};

fn set(text: &str) -> ScopeSet {
    text.parse().unwrap()
}

/// All 31 non-empty sets of letters, in order.
fn letter_sets() -> Vec<String> {
    (1..32u8)
        .map(|bits| {
            "cruds"
                .chars()
                .enumerate()
                .filter(|(place, _)| bits >> place & 1 == 1)
                .map(|(_, c)| c)
                .collect()
        })
        .collect()
}

#[test]
fn scopes_that_parse_come_back_as_they_were_written() {
    #[rustfmt::skip]
    let scopes = [
        ("openid", "OpenID Connect Core 3.1.2.1"),
        ("fhirUser", "SMART App Launch 2.2, identity data"),
        ("__mdi.certify", "SMART App Launch 2.2, scopes: extensions begin with __"),
        ("http://hl7.org/fhir/OperationDefinition/Composition-document", "SMART: extensions may be full URIs"),
        ("launch/patient", "OpenID Connect Core 3.1.2.1: a scope that is not understood is still a scope"),
        ("patient/Observation.r", "SMART v2"),
        ("user/*.cruds", "SMART v2"),
        ("system/Bundle.cr", "SMART v2"),
        ("system/Bundle.read", "SMART v1"),
        ("system/Bundle.write", "SMART v1"),
        ("user/*.*", "SMART v1"),
        (
            "user/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
            "SMART v2: search parameters, verbatim",
        ),
        ("user/Composition.rs?_security=a|N&status=final", "SMART v2: several search parameters"),
        ("!#[]~", "RFC 6749 3.3: %x21 / %x23-5B / %x5D-7E"),
    ];
    for (text, section) in scopes {
        let scope: Scope = text
            .parse()
            .unwrap_or_else(|error| panic!("{section}: {text}: {error}"));
        assert_eq!(scope.to_string(), text, "{section}");
        assert_eq!(serde_json::to_value(&scope).unwrap(), text, "{section}");
    }
}

#[test]
fn every_ordered_set_of_letters_parses_and_every_disorder_is_refused() {
    for letters in letter_sets() {
        let text = format!("system/Patient.{letters}");
        assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        let reversed: String = letters.chars().rev().collect();
        if reversed != letters {
            assert!(
                format!("system/Patient.{reversed}").parse::<Scope>().is_err(),
                "{reversed}"
            );
        }
        assert!(
            format!("system/Patient.{letters}{letters}")
                .parse::<Scope>()
                .is_err(),
            "{letters} twice"
        );
    }
}

#[test]
fn what_has_the_shape_of_a_smart_scope_but_is_none_is_refused_with_the_remedy() {
    #[rustfmt::skip]
    let refusals = [
        ("user/Composition.dus", ".uds instead of .dus"),
        ("user/Composition.rr", ".r instead of .rr"),
        ("user/Composition", "dot"),
        ("user/Composition.", "letters out of cruds"),
        ("user/Composition.x", "letters out of cruds"),
        ("user/Composition.rx", "letters out of cruds"),
        ("user/Composition.Read", "letters out of cruds"),
        ("user/composition.rs", "FHIR resource type"),
        ("user/.rs", "FHIR resource type"),
        ("user/Com-position.rs", "FHIR resource type"),
        ("system/", "dot"),
        ("patient/Patient.rs?", "name=value"),
        ("patient/Patient.rs?category", "name=value"),
        ("patient/Patient.rs?category=", "name=value"),
        ("patient/Patient.rs?a=b&=c", "name=value"),
        ("patient/Patient.read?a=b", "v1 scopes take no constraint"),
    ];
    for (text, remedy) in refusals {
        let error = text.parse::<Scope>().unwrap_err();
        assert!(
            matches!(&error, ScopeError::Smart { scope, .. } if scope == text),
            "{text}: {error:?}"
        );
        let message = error.to_string();
        assert!(
            message.contains(text) && message.contains(remedy),
            "{text}: {message}"
        );
        assert!(
            message
                .chars()
                .all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\'),
            "RFC 6749 5.2, error_description: {message}"
        );
    }
}

#[test]
fn characters_outside_the_scope_token_are_refused() {
    // RFC 6749 §3.3
    for bad in ["a\"b", "a\\b", "a\tb", "a\nb", "caf\u{e9}", "a\u{7f}", "a\u{0}b"] {
        assert!(
            matches!(bad.parse::<ScopeSet>(), Err(ScopeError::Character(_))),
            "{bad:?}"
        );
    }
}

#[test]
fn a_set_is_ordered_without_duplicates_and_limited() {
    assert_eq!(
        set("  openid   user/Patient.rs openid ").to_string(),
        "openid user/Patient.rs"
    );
    assert_eq!(set("").len(), 0);
    let hundred: Vec<String> = (0..MAX_SCOPES).map(|n| format!("s{n}")).collect();
    assert_eq!(set(&hundred.join(" ")).len(), MAX_SCOPES);
    assert_eq!(
        format!("{} more", hundred.join(" ")).parse::<ScopeSet>(),
        Err(ScopeError::TooMany(MAX_SCOPES + 1))
    );
    assert!("a".repeat(MAX_BYTES).parse::<ScopeSet>().is_ok());
    assert_eq!(
        "a".repeat(MAX_BYTES + 1).parse::<ScopeSet>(),
        Err(ScopeError::TooLong(MAX_BYTES + 1))
    );
    let read: ScopeSet = serde_json::from_str("\"openid user/Patient.read\"").unwrap();
    assert_eq!(
        serde_json::to_string(&read).unwrap(),
        "\"openid user/Patient.read\""
    );
    assert!(serde_json::from_str::<ScopeSet>("\"user/Patient.sr\"").is_err());
    assert!(read.contains("user/Patient.read") && !read.contains("user/Patient.rs"));
}

#[test]
fn identity_scopes_are_these_seven() {
    for name in [
        "openid",
        "profile",
        "email",
        "address",
        "phone",
        "fhirUser",
        "offline_access",
    ] {
        assert!(name.parse::<Scope>().unwrap().is_identity(), "{name}");
    }
    for name in ["launch", "__mdi.certify", "user/Patient.rs", "openId"] {
        assert!(!name.parse::<Scope>().unwrap().is_identity(), "{name}");
    }
}

#[test]
fn intersection_letter_by_letter() {
    #[rustfmt::skip]
    let rows = [
        // requested, ceiling, left, rule
        ("user/Patient.cruds", "user/Patient.rs", "user/Patient.rs", "letters in common"),
        ("user/Patient.c", "user/Patient.rs", "", "no letter in common"),
        ("user/Patient.rs", "system/Patient.rs", "", "levels differ"),
        ("user/Patient.rs", "user/Location.rs", "", "types differ"),
        ("user/*.rs", "user/Patient.rs", "user/Patient.rs", "* yields to the type"),
        ("user/Patient.rs", "user/*.cruds", "user/Patient.rs", "* allows every type"),
        ("user/*.rs", "user/Patient.r user/Location.s", "user/Patient.r user/Location.s", "* becomes pieces"),
        ("user/Patient.cruds", "user/Patient.rs user/Patient.c", "user/Patient.crs", "pieces of one type are joined"),
        ("user/Composition.crus", "user/*.rs user/Composition.u", "user/Composition.rus", "* and type are joined"),
        ("user/*.cruds", "user/*.rs user/Patient.r", "user/*.rs", "what * covers is not said twice"),
        ("user/Patient.rs?a=1", "user/Patient.rs", "user/Patient.rs?a=1", "the constrained one"),
        ("user/Patient.rs", "user/Patient.rs?a=1", "user/Patient.rs?a=1", "the constrained one"),
        ("user/Patient.rs?a=1", "user/Patient.r?a=1", "user/Patient.r?a=1", "equal constraints"),
        ("user/Patient.rs?a=1", "user/Patient.rs?a=2", "", "two different constraints: nothing"),
        ("user/*.rs?a=1", "user/Patient.cruds", "user/Patient.rs?a=1", "* with a constraint"),
        ("user/Patient.rs", "user/Patient.r user/Patient.s?a=1", "user/Patient.r user/Patient.s?a=1", "kept apart"),
        ("user/Patient.read", "user/Patient.rs", "user/Patient.read", "whole: as requested, v1 kept"),
        ("user/Patient.rs", "user/Patient.read", "user/Patient.rs", "whole: as requested, not as the ceiling"),
        ("user/Patient.*", "user/Patient.read", "user/Patient.rs", "narrowed: v2 spelling"),
        ("user/Patient.*", "user/Patient.rs user/Patient.cud", "user/Patient.*", "whole in two parts"),
        ("openid __x http://a/b", "http://a/b openid", "openid http://a/b", "names are whole or not"),
    ];
    for (requested, ceiling, left, rule) in rows {
        assert_eq!(
            set(requested).meet(&set(ceiling)).to_string(),
            left,
            "{requested} under {ceiling}: {rule}"
        );
        assert_eq!(
            set(ceiling).covers(&set(requested)),
            left == requested,
            "{ceiling} covers {requested}: {rule}"
        );
    }
}

#[test]
fn intersection_of_all_letter_sets_is_the_intersection_of_their_letters() {
    for a in letter_sets() {
        for b in letter_sets() {
            let common: String = a.chars().filter(|letter| b.contains(*letter)).collect();
            let met = set(&format!("user/Patient.{a}"))
                .meet(&set(&format!("user/Patient.{b}")))
                .to_string();
            let wanted = if common.is_empty() {
                String::new()
            } else {
                format!("user/Patient.{common}")
            };
            assert_eq!(met, wanted, "{a} and {b}");
        }
    }
}

#[test]
fn projection() {
    #[rustfmt::skip]
    let rows = [
        (
            ScopeStyle::V2,
            "user/Patient.write user/Patient.* user/Patient.read",
            "user/Patient.cud user/Patient.cruds user/Patient.rs",
        ),
        (ScopeStyle::V2, "openid user/Patient.rs?a=1 __mdi.certify", "openid user/Patient.rs?a=1 __mdi.certify"),
        (
            ScopeStyle::V1,
            "user/Patient.rs user/Location.cud user/Bundle.cruds",
            "user/Patient.read user/Location.write user/Bundle.*",
        ),
        (ScopeStyle::V1, "user/Patient.crs user/Patient.rs", "user/Patient.read"),
        (ScopeStyle::V1, "user/Patient.crud", "user/Patient.write"),
        (ScopeStyle::V1, "system/Bundle.c system/Bundle.cr system/Patient.r", ""),
        (ScopeStyle::V1, "user/Patient.rs?a=1 user/Patient.cruds?a=1", ""),
        (ScopeStyle::V1, "openid http://x/y user/Patient.read", "openid http://x/y user/Patient.read"),
    ];
    for (style, granted, wanted) in rows {
        assert_eq!(set(granted).project(style, &BTreeMap::new()), wanted, "{granted}");
    }
}

#[test]
fn an_explicit_map_decides_before_the_style() {
    let map = [
        ("system/Bundle.c", "system/Bundle.write"),
        ("user/Patient.rs", "user/Patient.read"),
        ("__mdi.certify", "certify"),
        ("user/Location.rs?a=1", "user/Location.rs"),
        ("offline_access", ""),
    ];
    let map: BTreeMap<String, String> = map.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
    let granted = set("system/Bundle.c user/Patient.read __mdi.certify user/Location.rs?a=1 offline_access");
    for style in [ScopeStyle::V1, ScopeStyle::V2] {
        let wanted = "system/Bundle.write user/Patient.read certify user/Location.rs";
        assert_eq!(granted.project(style, &map), wanted, "{style:?}");
    }
}

#[test]
fn v1_projection_never_widens() {
    for letters in letter_sets() {
        for constraint in ["", "?a=1"] {
            for resource in ["Patient", "*"] {
                let granted = set(&format!("user/{resource}.{letters}{constraint}"));
                let projected = set(&granted.project(ScopeStyle::V1, &BTreeMap::new()));
                assert!(
                    granted.covers(&projected),
                    "{granted} was projected to {projected}"
                );
                let same = projected.covers(&granted);
                let spellable = constraint.is_empty() && ["rs", "cud", "cruds"].contains(&letters.as_str());
                assert_eq!(same, spellable, "{granted} was projected to {projected}");
            }
        }
    }
}

#[test]
fn v1_spellings_mean_their_letters() {
    // SMART App Launch 2.2, "Scopes equivalents": .read = .rs, .write = .cud, .* = .cruds
    for (v1, letters) in [("read", "rs"), ("write", "cud"), ("*", "cruds")] {
        let Ok(Scope::Smart(scope)) = format!("user/Patient.{v1}").parse() else {
            panic!("{v1}")
        };
        assert_eq!(
            scope.permissions(),
            Permissions::from_letters(letters).unwrap(),
            "{v1}"
        );
    }
}

#[test]
fn what_is_said_twice_is_told_once() {
    #[rustfmt::skip]
    let rows = [
        ("user/Composition.crus user/Composition.rs", "user/Composition.crus"),
        ("user/Bundle.c user/Bundle.cr user/Bundle.r openid", "user/Bundle.cr openid"),
        ("user/Patient.read user/Patient.rs", "user/Patient.read"),
        // Nothing is put together: applications and maps of resource servers know the scopes by their spelling.
        ("system/Bundle.c system/Bundle.r", "system/Bundle.c system/Bundle.r"),
        ("user/Patient.read user/Patient.write", "user/Patient.read user/Patient.write"),
        ("user/Patient.rs user/Patient.r?a=1 system/Patient.s", "user/Patient.rs user/Patient.r?a=1 system/Patient.s"),
        ("user/*.rs user/Patient.r", "user/*.rs user/Patient.r"),
    ];
    for (scopes, wanted) in rows {
        assert_eq!(set(scopes).without_doubles().to_string(), wanted, "{scopes}");
    }
}
