//! The policy: data, grants, consent sentences, claims.

use std::fmt::Write;

use mdi_auth::{
    model::{
        kind::Kind,
        scope::{Scope, ScopeSet},
        security_label::{Confidentiality, Integrity},
    },
    policy::{
        Policy,
        claims::{Identity, Place, Subject},
        grant::{Ask, Asker, Granted, Reason, Refused, Target},
    },
};
use serde_json::json;

const EDRS: &str = "https://edrs.ga.example/fhir";
const CMS: &str = "https://cms.fulton.example/fhir";
const PROCESS_MESSAGE: &str = "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message";

fn policy() -> Policy {
    Policy::built_in().unwrap()
}

fn strings(text: &str) -> Vec<String> {
    text.split_whitespace().map(Into::into).collect()
}

/// A request in words; every field a space-separated list, empty for "not given".
#[derive(Clone, Copy, Default)]
struct Case<'a> {
    dataflow: &'a str,
    /// Roles of a person; `None` for systems.
    roles: Option<&'a str>,
    password_only: bool,
    own_purposes: Option<&'a str>,
    own_clearance: Option<Confidentiality>,
    client_scopes: Option<&'a str>,
    client_purposes: Option<&'a str>,
    client_clearance: Option<Confidentiality>,
    /// `edrs`, `cms`, `other`; none given: the first kind of the dataflow.
    targets: Option<&'a str>,
    target_scopes: Option<&'a str>,
    scope: &'a str,
    named: &'a str,
    purposes: &'a str,
}

/// A request, what comes of it (or the error code), and the rule.
type Row<'a, T> = (Case<'a>, Result<T, &'a str>, &'a str);

fn system<'a>(dataflow: &'a str, scope: &'a str) -> Case<'a> {
    Case {
        dataflow,
        scope,
        ..Case::default()
    }
}

fn person<'a>(dataflow: &'a str, roles: &'a str, scope: &'a str) -> Case<'a> {
    Case {
        dataflow,
        roles: Some(roles),
        scope,
        ..Case::default()
    }
}

impl Case<'_> {
    fn grant(&self) -> Result<Granted, Refused> {
        self.grant_with(&policy())
    }

    fn grant_with(&self, policy: &Policy) -> Result<Granted, Refused> {
        let dataflow = policy.dataflow(self.dataflow).unwrap();
        let set = |text: &str| text.parse::<ScopeSet>().unwrap();
        let (client_scopes, target_scopes) = (self.client_scopes.map(set), self.target_scopes.map(set));
        let target = |kind: &str| match kind {
            "edrs" => Target {
                id: "edrs-ga",
                audience: EDRS,
                kind: Kind::Edrs,
                scopes: target_scopes.as_ref(),
            },
            "cms" => Target {
                id: "cms-fulton",
                audience: CMS,
                kind: Kind::Cms,
                scopes: target_scopes.as_ref(),
            },
            "other" => {
                let audience = "https://other.example/api";
                Target {
                    id: "other",
                    audience,
                    kind: Kind::Other,
                    scopes: target_scopes.as_ref(),
                }
            }
            other => panic!("{other}"),
        };
        let first_kind = dataflow.resource_servers[0].as_str();
        let targets: Vec<Target> = self
            .targets
            .unwrap_or(first_kind)
            .split_whitespace()
            .map(target)
            .collect();
        let (roles, own_purposes) = (strings(self.roles.unwrap_or("")), self.own_purposes.map(strings));
        let asker = match self.roles {
            None => Asker::System,
            Some(_) => Asker::Person {
                roles: &roles,
                lapsed: &[],
                second_factor: !self.password_only,
                purposes: own_purposes.as_deref(),
                clearance: self.own_clearance,
            },
        };
        policy.grant(&Ask {
            asker,
            dataflow,
            client_scopes: client_scopes.as_ref(),
            client_purposes: self.client_purposes.map(strings).as_deref(),
            client_clearance: self.client_clearance,
            targets: &targets,
            requested: (!self.scope.is_empty()).then(|| set(self.scope)).as_ref(),
            named: &strings(self.named),
            purposes: &strings(self.purposes),
        })
    }

    fn scopes(&self) -> String {
        self.grant().unwrap().scopes.to_string()
    }
}

// --- the data --------------------------------------------------------------------------------------------------------

#[test]
fn the_dataflows_are_those_of_the_documentation() {
    let policy = policy();
    let ids: Vec<&str> = policy
        .dataflows()
        .iter()
        .map(|dataflow| dataflow.id.as_str())
        .collect();
    let all = "cms-to-edrs cms-user-to-edrs edrs-user lims-to-cms lims-user-to-cms edrs-cms-review custom";
    assert_eq!(ids, strings(all));
    for dataflow in policy.dataflows().iter().filter(|dataflow| !dataflow.as_written) {
        let seconds = if dataflow.is_for_systems() { 300 } else { 900 };
        assert_eq!(dataflow.access_seconds, seconds, "{}", dataflow.id);
        assert!(dataflow.purpose_required, "{}", dataflow.id);
    }
}

#[test]
fn the_console_roles_are_kept_apart_and_every_role_needs_a_second_factor() {
    let policy = policy();
    let console: Vec<&str> = policy
        .roles()
        .iter()
        .filter(|role| role.console)
        .map(|role| role.code.as_str())
        .collect();
    assert_eq!(
        console,
        ["administrator", "client-manager", "user-manager", "auditor"]
    );
    for role in policy.roles() {
        assert!(
            policy.requires_second_factor(std::slice::from_ref(&role.code)),
            "{}",
            role.code
        );
    }
    assert!(!policy.requires_second_factor(&[]));
}

/// Every scope that a role may hold can be had through a dataflow. The one exception is the audit log of this server,
/// which only a `custom` client reaches.
#[test]
fn every_scope_of_every_role_is_reachable() {
    let policy = policy();
    for role in policy.roles() {
        for scope in role.scopes.iter() {
            let wanted = scope.to_string();
            let reached: Vec<&str> = policy
                .dataflows()
                .iter()
                .filter(|dataflow| !dataflow.is_for_systems() && !dataflow.as_written)
                .filter(|dataflow| {
                    let case = person(&dataflow.id, &role.code, &wanted);
                    case.grant_with(&policy)
                        .is_ok_and(|granted| granted.scopes.to_string() == wanted)
                })
                .map(|dataflow| dataflow.id.as_str())
                .collect();
            assert_eq!(
                reached.is_empty(),
                wanted == "__mdi.audit.read",
                "{wanted} of {}: {reached:?}",
                role.code
            );
        }
    }
    let audit = Case {
        client_scopes: Some("__mdi.audit.read"),
        targets: Some(""),
        ..person("custom", "auditor", "")
    };
    assert_eq!(audit.scopes(), "__mdi.audit.read");
    assert_eq!(
        audit.grant().unwrap().target,
        None,
        "the audit log is this server's own: aud is the issuer"
    );
}

#[test]
fn the_metadata_names_every_scope_that_can_be_granted() {
    // RFC 8414 §2, scopes_supported
    let supported = policy().scopes_supported();
    for scope in [
        "openid",
        "address",
        "user/*.rs",
        "system/Bundle.cr",
        "__mdi.certify",
        "__mdi.audit.read",
        PROCESS_MESSAGE,
    ] {
        assert!(supported.contains(scope), "{scope}");
    }
    assert!(
        !supported.contains("__mdi.introspect"),
        "it is not granted through a dataflow"
    );
}

#[test]
fn all_mistakes_of_a_policy_file_are_reported_at_once() {
    let text = include_str!("../src/policy/mdi.toml");
    #[rustfmt::skip]
    let mistakes = [
        (r#"code = "coroner""#, r#"code = "medical-examiner""#, "role medical-examiner: is there twice"),
        (r#"code = "lab-analyst""#, r#"code = "system-client""#, "role system-client: is there twice"),
        (r#"purposes = ["HDECD", "HLEGAL"]"#, r#"purposes = ["DECEDENT"]"#, "role death-investigator: the purpose DECEDENT"),
        (r#""user/Composition.u"]"#, r#""user/Composition.su"]"#, "role registrar: the scope user/Composition.su"),
        (r#""user/Patient.cru""#, r#""system/Patient.cru""#, "role funeral-director: system/Patient.cru is for systems"),
        (r#""user/Composition.cru""#, r#""__mdi.certify""#, "role data-clerk: give __mdi.certify a [[scope]] entry"),
        (r#"clearance = "M""#, r#"clearance = "X""#, "role funeral-director: `X` is not one of"),
        (r#"code = "176P00000X""#, r#"code = "000""#, "has no known code 000"),
        (r#"id = "edrs-user""#, r#"id = "cms-user-to-edrs""#, "dataflow cms-user-to-edrs: is there twice"),
        (r#"roles = ["auditor"]"#, r#"roles = ["auditer"]"#, "scope __mdi.audit.read: the role auditer does not exist"),
        (
            r#""system/MessageHeader.c", "system/Bundle.c","#,
            r#""user/Bundle.c","#,
            "dataflow lims-to-cms: user/Bundle.c can never be granted here",
        ),
        (
            r#"resource_servers = ["edrs", "cms"]
grants = ["client_credentials"]"#,
            "resource_servers = []\ngrants = []",
            "dataflow edrs-cms-review: grants is empty",
        ),
        ("as_written = true", "as_written = true\ngrants = [\"password\"]", "dataflow custom: the grant password does not exist"),
        ("[claims.phone]", "[claims.fone]", "claims.fone: claims are released by"),
        (r#"d = "delete""#, r#"x = "delete""#, "verbs: the letter d has no verb"),
    ];
    let mut broken = text.to_owned();
    for (right, wrong, _) in mistakes {
        assert!(broken.contains(right), "{right}");
        broken = broken.replacen(right, wrong, 1);
    }
    let found = Policy::from_toml(&broken).unwrap_err();
    for (_, _, wanted) in mistakes {
        assert!(
            found.iter().any(|mistake| mistake.contains(wanted)),
            "{wanted}\nnot in\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn each_mistake_of_a_policy_file_is_reported() {
    let text = include_str!("../src/policy/mdi.toml");
    #[rustfmt::skip]
    let rest = [
        ("purposes = [\"HDECD\"]\npurpose_required = true", "purpose_required = true", "a purpose is required"),
        ("access_seconds = 300", "access_seconds = 3601", "access_seconds is not between 1 and 3600"),
        ("access_seconds = 300", "access_seconds = 300\nlives = 9", "unknown field `lives`"),
        (r#"grants = ["client_credentials"]"#, r#"grants = ["client_credentials", "refresh_token"]"#, "stands alone"),
        (r#""__mdi.certify", "__mdi.review","#, r#""__mdi.sign","#, "__mdi.sign has no [[scope]] entry"),
        (r#"name = "openid""#, r#"name = "user/Patient.rs""#, "SMART scopes belong into the roles"),
        (r#"name = "openid""#, r#"name = "email""#, "scope email: is there twice"),
        (r#"type = "Specimen""#, r#"type = "Patient""#, "resource Patient: is there twice"),
    ];
    for (right, wrong, wanted) in rest {
        assert!(text.contains(right), "{right}");
        let found = Policy::from_toml(&text.replacen(right, wrong, 1)).unwrap_err();
        assert!(
            found.iter().any(|mistake| mistake.contains(wanted)),
            "{wanted}\nnot in\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn a_deployment_without_a_licence_leaves_a_code_system_out() {
    let text = include_str!("../src/policy/mdi.toml").replace(
        "omit_code_systems = []",
        r#"omit_code_systems = ["http://snomed.info/sct"]"#,
    );
    let coroner = Policy::from_toml(&text).unwrap().role("coroner").unwrap().clone();
    let codes: Vec<&str> = coroner
        .codings
        .iter()
        .map(|coding| coding.code.as_str())
        .collect();
    assert_eq!(codes, ["LA"]);
}

#[test]
fn the_vocabulary_knows_its_codes() {
    let policy = policy();
    let vocabulary = policy.vocabulary();
    let act_reason = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
    assert_eq!(vocabulary.display(act_reason, "HDECD"), Some("decedent"));
    assert_eq!(
        vocabulary.display("http://dicom.nema.org/resources/ontology/DCM", "110150"),
        Some("Application")
    );
    assert_eq!(vocabulary.display(act_reason, "DECEDENT"), None);
    assert!(vocabulary.is_purpose_of_use("HDECD") && !vocabulary.is_purpose_of_use("R"));
    assert_eq!(vocabulary.purposes_of_use().len(), 62);
    for level in Confidentiality::ALL {
        assert!(
            vocabulary
                .display(
                    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                    level.code()
                )
                .is_some()
        );
    }
    for level in Integrity::ALL {
        assert!(
            vocabulary
                .display(
                    "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                    level.code()
                )
                .is_some()
        );
    }
}

#[test]
fn confidentiality_is_ordered_and_read_from_code_or_word() {
    assert!(Confidentiality::ALL.is_sorted());
    for level in Confidentiality::ALL {
        assert_eq!(level.code().parse(), Ok(level));
        assert_eq!(level.word().to_lowercase().parse(), Ok(level));
    }
    assert_eq!(
        serde_json::from_str::<Confidentiality>("\"Very restricted\"").unwrap(),
        Confidentiality::VeryRestricted
    );
    assert!(serde_json::from_str::<Integrity>("\"Highest\"").is_err());
    assert_eq!("High".parse(), Ok(Integrity::High));
}

// --- scopes ----------------------------------------------------------------------------------------------------------

#[test]
fn systems_get_what_their_dataflow_has_or_invalid_scope_by_name() {
    #[rustfmt::skip]
    let rows = [
        // scope asked, outcome, rule
        ("system/MessageHeader.c system/Bundle.c", Ok("system/MessageHeader.c system/Bundle.c"), "granted as asked"),
        ("", Ok("system/MessageHeader.c system/Bundle.c http"), "no scope asked: the default (RFC 6749 3.3)"),
        ("system/Bundle.c system/Patient.rs", Err("system/Patient.rs: the client's dataflow"), "a scope it lacks"),
        ("system/Bundle.cr", Err("system/Bundle.cr (only system/Bundle.c): the client's"), "a letter it lacks"),
        ("user/Bundle.c", Err("user/Bundle.c: only people"), "user/ is refused to systems"),
        ("patient/Bundle.c", Err("patient/Bundle.c: only people"), "patient/ is refused to systems"),
        ("openid system/Bundle.c", Err("openid: only people"), "nobody signs in"),
        ("__mdi.certify", Err("__mdi.certify: only people"), "a system certifies nothing"),
        ("__mdi.introspect", Err("__mdi.introspect: no dataflow"), "not through a dataflow"),
        ("nonsense", Err("nonsense: the client's dataflow"), "an unknown name"),
        (
            "user/Bundle.c system/Patient.rs",
            Err("user/Bundle.c: only people who sign in may have it; system/Patient.rs: "),
            "each is named",
        ),
    ];
    for (scope, wanted, rule) in rows {
        match (system("lims-to-cms", scope).grant(), wanted) {
            (Ok(granted), Ok(wanted)) => {
                assert!(
                    granted.scopes.to_string().starts_with(wanted),
                    "{rule}: {granted:?}"
                );
                assert_eq!(granted.narrowed, [], "{rule}");
                assert_eq!(granted.target.as_deref(), Some("cms-fulton"), "{rule}");
            }
            (Err(refused), Err(wanted)) => {
                assert_eq!(refused.oauth_code(), "invalid_scope", "{rule}");
                assert!(refused.to_string().contains(wanted), "{rule}: {refused}");
            }
            (found, wanted) => panic!("{rule}: {found:?} instead of {wanted:?}"),
        }
    }
}

#[test]
fn people_are_narrowed_and_told_why() {
    let certifier = "openid fhirUser user/Composition.crus user/Patient.rs __mdi.certify offline_access";
    #[rustfmt::skip]
    let rows = [
        // dataflow, roles, asked, granted, (scope, left, reason)...
        ("cms-user-to-edrs", "medical-examiner", certifier, certifier, vec![]),
        (
            "cms-user-to-edrs",
            "data-clerk",
            certifier,
            "openid fhirUser user/Composition.cru user/Patient.rs offline_access",
            vec![("user/Composition.crus", "user/Composition.cru", Reason::NotOfRole), ("__mdi.certify", "", Reason::NotOfRole)],
        ),
        (
            "lims-user-to-cms",
            "forensic-toxicologist",
            "openid user/DiagnosticReport.cruds system/Bundle.c address launch/patient",
            "openid user/DiagnosticReport.rs",
            vec![
                ("system/Bundle.c", "", Reason::SystemsOnly),
                ("user/DiagnosticReport.cruds", "user/DiagnosticReport.rs", Reason::NotOfClient),
                ("address", "", Reason::NotOfClient),
                ("launch/patient", "", Reason::NotOfClient),
            ],
        ),
        (
            "cms-user-to-edrs",
            "registrar",
            "user/Composition.write user/Patient.read openid",
            "user/Composition.u user/Patient.read openid",
            vec![
                ("user/Composition.write", "user/Composition.cu", Reason::NotOfClient),
                ("user/Composition.write", "user/Composition.u", Reason::NotOfRole),
            ],
        ),
        (
            "edrs-user",
            "registrar",
            "user/*.cruds",
            "user/Composition.rus user/*.rs",
            vec![
                (
                    "user/*.cruds",
                    "user/Composition.crus user/Patient.crus user/Bundle.cr user/DocumentReference.crs user/MessageHeader.c user/*.rs",
                    Reason::NotOfClient,
                ),
                ("user/*.cruds", "user/Composition.rus user/*.rs", Reason::NotOfRole),
            ],
        ),
        ("edrs-user", "coroner funeral-director", "user/Patient.crus", "user/Patient.crus", vec![]),
        (
            "cms-user-to-edrs",
            "coroner",
            "openid __mdi.introspect",
            "openid",
            vec![("__mdi.introspect", "", Reason::NeverGranted)],
        ),
        (
            "cms-user-to-edrs",
            "coroner",
            "openid http://hl7.org/fhir/OperationDefinition/Composition-document",
            "openid",
            vec![("http://hl7.org/fhir/OperationDefinition/Composition-document", "", Reason::SystemsOnly)],
        ),
    ];
    for (dataflow, roles, asked, wanted, narrowed) in rows {
        let granted = person(dataflow, roles, asked).grant().unwrap();
        let row = format!("{roles} through {dataflow} asks {asked}: {granted:#?}");
        assert_eq!(granted.scopes.to_string(), wanted, "{row}");
        let found: Vec<_> = granted
            .narrowed
            .iter()
            .map(|n| (n.scope.as_str(), n.left.as_str(), n.reason))
            .collect();
        assert_eq!(found, narrowed, "{row}");
    }
}

#[test]
fn a_client_narrows_its_dataflow_and_never_widens_it() {
    let narrowed = Case {
        client_scopes: Some("system/Patient.cruds user/Patient.rs"),
        ..system("cms-to-edrs", "")
    };
    assert_eq!(narrowed.scopes(), "system/Patient.rs");
    let custom = Case {
        client_scopes: Some("system/Immunization.rs admin"),
        ..system("custom", "")
    };
    assert_eq!(
        custom.scopes(),
        "system/Immunization.rs admin",
        "custom: as written"
    );
    let nothing = system("custom", "").grant().unwrap_err();
    assert_eq!(
        nothing.oauth_code(),
        "invalid_scope",
        "custom brings nothing by itself"
    );
    let roles_still_count = Case {
        client_scopes: Some("openid user/Composition.crus address phone __mdi.certify"),
        ..person("custom", "funeral-director", "")
    };
    assert_eq!(
        roles_still_count.scopes(),
        "openid user/Composition.rs address phone"
    );
}

#[test]
fn a_resource_server_offers_its_list_or_what_its_kind_uses() {
    let listed = Case {
        target_scopes: Some("user/Patient.r"),
        ..person("edrs-user", "coroner", "openid user/Patient.rs __mdi.certify")
    };
    let granted = listed.grant().unwrap();
    assert_eq!(granted.scopes.to_string(), "openid user/Patient.r");
    assert!(
        granted
            .narrowed
            .iter()
            .all(|narrowed| narrowed.reason == Reason::NotOffered)
    );
    let policy = policy();
    let edrs = policy.catalogue(Kind::Edrs);
    assert!(edrs.contains("system/Patient.rs") && edrs.contains("__mdi.certify") && !edrs.contains("openid"));
    assert!(!policy.catalogue(Kind::Cms).contains("__mdi.certify"));
    let default = Case {
        target_scopes: Some("system/Bundle.c"),
        ..system("lims-to-cms", "")
    };
    assert_eq!(
        default.scopes(),
        "system/Bundle.c",
        "the default is narrowed without a word"
    );
    let asked = Case {
        target_scopes: Some("system/Bundle.c"),
        ..system("lims-to-cms", "system/MessageHeader.c")
    };
    let refused = asked.grant().unwrap_err();
    assert_eq!(refused.oauth_code(), "invalid_scope");
    assert!(
        refused
            .to_string()
            .contains("the resource server does not offer it"),
        "{refused}"
    );
}

#[test]
fn without_roles_or_second_factor_a_person_is_only_himself() {
    let own = "openid profile email fhirUser offline_access";
    assert_eq!(person("cms-user-to-edrs", "", "").scopes(), own);
    assert_eq!(
        person("cms-user-to-edrs", "no-such-role", "").scopes(),
        own,
        "an unknown role holds nothing"
    );
    let password_only = Case {
        password_only: true,
        ..person("cms-user-to-edrs", "coroner", "openid user/Patient.rs")
    };
    let granted = password_only.grant().unwrap();
    assert_eq!(granted.scopes.to_string(), "openid");
    assert_eq!(granted.target, None);
    assert_eq!(granted.narrowed[0].reason, Reason::SecondFactorMissing);
    assert!(
        granted.roles.is_empty() && granted.clearance.is_none() && granted.purposes.is_empty(),
        "{granted:?}"
    );
    let lacking = Case {
        password_only: true,
        ..person("edrs-user", "data-clerk", "openid __mdi.certify")
    };
    assert_eq!(
        lacking.grant().unwrap().narrowed[0].reason,
        Reason::NotOfRole,
        "a second factor would not help"
    );
    let nothing = person("cms-user-to-edrs", "", "user/Patient.rs")
        .grant()
        .unwrap_err();
    assert_eq!(nothing.oauth_code(), "access_denied");
}

// --- audience --------------------------------------------------------------------------------------------------------

#[test]
fn the_audience_is_the_resource_server_whose_scopes_are_granted() {
    let two = Some("edrs cms");
    let review = Case {
        targets: two,
        ..system("edrs-cms-review", "system/MessageHeader.c")
    };
    let me = person("cms-user-to-edrs", "coroner", "openid user/Patient.rs");
    let own = person("cms-user-to-edrs", "coroner", "openid");
    #[rustfmt::skip]
    let rows: &[Row<Option<&str>>] = &[
        (me, Ok(Some("edrs-ga")), "one resource server, none named"),
        (own, Ok(None), "no scope of it: aud is the issuer"),
        (Case { named: EDRS, ..own }, Ok(None), "named, but none of its scopes asked: aud is the issuer"),
        (Case { named: EDRS, scope: "openid launch/patient", ..own }, Ok(None), "an unknown name asks for nothing there"),
        (Case { named: EDRS, ..me }, Ok(Some("edrs-ga")), "RFC 8707 2"),
        (Case { named: "https://edrs.ga.example/fhir/", ..me }, Ok(Some("edrs-ga")), "one trailing slash is forgiven"),
        (Case { named: "https://edrs.ga.example/fhir//", ..me }, Err("invalid_target"), "one, not two"),
        (Case { named: "https://EDRS.ga.example/fhir", ..me }, Err("invalid_target"), "compared as it is written"),
        (Case { named: CMS, ..me }, Err("invalid_target"), "not one of the client's"),
        (review, Err("invalid_target"), "several, none named"),
        (Case { scope: "", ..review }, Err("invalid_target"), "several, none named, default asked"),
        (Case { named: CMS, ..review }, Ok(Some("cms-fulton")), "several, one named"),
        (
            Case { named: "https://cms.fulton.example/fhir https://cms.fulton.example/fhir/", ..review },
            Ok(Some("cms-fulton")),
            "resource and aud name the same",
        ),
        (
            Case { named: "https://cms.fulton.example/fhir https://edrs.ga.example/fhir", ..review },
            Err("invalid_target"),
            "two in one token",
        ),
        (Case { targets: two, ..own }, Ok(None), "several, none needed"),
        (Case { targets: two, scope: "openid launch/patient", ..own }, Ok(None), "several, none needed"),
        (Case { targets: Some(""), ..me }, Ok(None), "no resource server at all"),
        (Case { targets: Some(""), ..system("lims-to-cms", "") }, Err("invalid_scope"), "a system without one"),
        (Case { named: EDRS, roles: Some(""), ..me }, Err("access_denied"), "named, nothing granted there: people"),
        (Case { named: EDRS, roles: Some(""), scope: "", ..me }, Err("access_denied"), "the default asks for it too"),
        (Case { roles: Some(""), ..me }, Ok(None), "not named: only himself"),
        (Case { targets: Some("cms"), ..system("cms-to-edrs", "") }, Err("invalid_scope"), "the dataflow goes to another kind"),
        (Case { named: CMS, targets: Some("cms"), ..me }, Err("access_denied"), "the dataflow goes to another kind"),
        (Case { targets: Some("other"), ..me }, Ok(Some("other")), "a resource server of no kind sets no limit"),
    ];
    for (case, wanted, rule) in rows {
        match (case.grant(), *wanted) {
            (Ok(granted), Ok(wanted)) => assert_eq!(granted.target.as_deref(), wanted, "{rule}"),
            (Err(refused), Err(wanted)) => {
                assert_eq!(refused.oauth_code(), wanted, "{rule}: {refused}")
            }
            (found, wanted) => panic!("{rule}: {found:?} instead of {wanted:?}"),
        }
    }
    let message = review.grant().unwrap_err().to_string();
    assert!(
        message.contains(EDRS) && message.contains(CMS),
        "the list: {message}"
    );
    let message = Case {
        named: "caf\u{e9}\"",
        ..me
    }
    .grant()
    .unwrap_err()
    .to_string();
    assert!(
        message.contains("caf??") && message.contains(EDRS),
        "RFC 6749 5.2, error_description: {message}"
    );
}

// --- purposes and clearance ------------------------------------------------------------------------------------------

#[test]
fn purposes_are_what_client_role_and_person_have_in_common() {
    let base = Case {
        scope: "user/Patient.rs",
        ..person("cms-user-to-edrs", "coroner", "")
    };
    let lims = system("lims-to-cms", "");
    #[rustfmt::skip]
    let rows: &[Row<&str>] = &[
        (base, Ok("HDECD PUBHLTH HLEGAL"), "dataflow and role"),
        (Case { roles: Some("coroner registrar"), ..base }, Ok("HDECD PUBHLTH HLEGAL RECORDMGT GOV"), "roles add up"),
        (Case { client_purposes: Some("HLEGAL TREAT HDECD"), ..base }, Ok("HLEGAL HDECD"), "a client narrows, never widens"),
        (Case { own_purposes: Some("PUBHLTH"), ..base }, Ok("PUBHLTH"), "the person's own"),
        (Case { purposes: "HLEGAL HLEGAL", ..base }, Ok("HLEGAL"), "asked, each once"),
        (Case { purposes: "HLEGAL TREAT", ..base }, Err("invalid_request"), "one of them not allowed"),
        (Case { purposes: "DECEDENT", ..base }, Err("invalid_request"), "not a code"),
        (Case { own_purposes: Some("TREAT"), ..base }, Err("access_denied"), "nothing in common"),
        (person("lims-user-to-cms", "registrar", "user/Specimen.rs"), Err("access_denied"), "nothing in common"),
        (person("lims-user-to-cms", "registrar", "openid"), Ok(""), "none needed to say who one is"),
        (lims, Ok("HDECD"), "systems: the dataflow's"),
        (Case { purposes: "HDECD", ..lims }, Ok("HDECD"), "systems: asked"),
        (Case { purposes: "PUBHLTH", ..lims }, Err("invalid_request"), "systems: not allowed"),
        (Case { client_purposes: Some("TREAT"), ..lims }, Err("invalid_request"), "systems: nothing in common"),
        (Case { client_scopes: Some("system/Patient.rs"), ..system("custom", "") }, Ok(""), "custom requires none"),
        (
            Case { client_scopes: Some("system/Patient.rs"), client_purposes: Some("TREAT"), ..system("custom", "") },
            Ok("TREAT"),
            "custom: as written",
        ),
    ];
    for (case, wanted, rule) in rows {
        match (case.grant(), *wanted) {
            (Ok(granted), Ok(wanted)) => assert_eq!(granted.purposes.join(" "), wanted, "{rule}"),
            (Err(refused), Err(wanted)) => {
                assert_eq!(refused.oauth_code(), wanted, "{rule}: {refused}")
            }
            (found, wanted) => panic!("{rule}: {found:?} instead of {wanted:?}"),
        }
    }
}

#[test]
fn clearance_is_the_lowest_of_person_client_and_best_role() {
    use Confidentiality::{Low, Moderate, Normal, Restricted, VeryRestricted};
    #[rustfmt::skip]
    let rows = [
        // roles, person, client, clearance
        ("coroner", None, None, Some(Restricted)),
        ("coroner funeral-director", None, None, Some(Restricted)),
        ("funeral-director", None, None, Some(Moderate)),
        ("coroner", Some(Normal), None, Some(Normal)),
        ("data-clerk", Some(VeryRestricted), None, Some(Normal)),
        ("coroner", Some(Normal), Some(Low), Some(Low)),
        ("coroner", None, Some(VeryRestricted), Some(Restricted)),
        ("auditor", Some(Normal), Some(Normal), None),
        ("", Some(Normal), None, None),
    ];
    for (roles, own_clearance, client_clearance, wanted) in rows {
        let case = Case {
            own_clearance,
            client_clearance,
            ..person("edrs-user", roles, "openid")
        };
        assert_eq!(
            case.grant().unwrap().clearance,
            wanted,
            "{roles}, {own_clearance:?}, {client_clearance:?}"
        );
    }
    let lims = Case {
        client_clearance: Some(Normal),
        ..system("lims-to-cms", "")
    };
    assert_eq!(lims.grant().unwrap().clearance, Some(Normal));
    assert_eq!(system("lims-to-cms", "").grant().unwrap().clearance, None);
}

// --- consent ---------------------------------------------------------------------------------------------------------

#[test]
fn the_consent_page_speaks_plainly() {
    #[rustfmt::skip]
    let rows = [
        ("user/DiagnosticReport.rs", "Read and search toxicology reports (DiagnosticReport)"),
        ("user/Composition.crus", "Create, read, change and search death investigation cases (Composition)"),
        ("user/MessageHeader.c", "Send messages (MessageHeader)"),
        ("user/*.read", "Read and search records of every kind"),
        ("user/Basic.d", "Delete Basic records"),
        ("patient/Patient.r", "Read decedents' personal details (Patient) of the decedent in question"),
        (
            "user/Observation.r?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory,imaging",
            "Read findings such as cause, manner and time of death (Observation), only where category is laboratory or imaging",
        ),
        (
            "user/Composition.r?_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|N&status=final",
            "Read death investigation cases (Composition), only where security is Normal and status is final",
        ),
        ("__mdi.certify", "Certify causes and manners of death in your name"),
        ("admin", "Use admin"),
    ];
    let policy = policy();
    for (scope, wanted) in rows {
        let sentences = policy.sentences(&scope.parse().unwrap());
        assert_eq!(
            (sentences[0].scope.as_str(), sentences[0].sentence.as_str()),
            (scope, wanted)
        );
    }
}

// --- claims ----------------------------------------------------------------------------------------------------------

#[test]
fn the_claims_of_a_certifier() {
    let (roles, purposes) = (strings("medical-examiner administrator"), strings("HDECD"));
    let identity = Identity {
        issuer: "https://as.edrs.ga.example",
        subject: Subject::Person { roles: &roles },
        name: Some("Jane Lehz, MD"),
        organization_name: Some("Fulton County ME"),
        organization_id: Some("urn:oid:2.16.840.1.113883.3.9999.1"),
        npi: Some("1234567893"),
        fhir_user: Some("https://edrs.ga.example/fhir/Practitioner/77"),
        purposes: &purposes,
        clearance: Some(Confidentiality::Restricted),
        integrity: Some(Integrity::High),
        jurisdiction: Some("GA"),
    };
    // IHE IUA ITI-71, JWT option; SMART App Launch 2.2, fhirUser
    let wanted = json!({
        "fhirUser": "https://edrs.ga.example/fhir/Practitioner/77",
        "security": {"confidentiality": "Restricted", "integrity": "High"},
        "jurisdiction": "GA",
        "extensions": {
            "ihe_iua": {
                "subject_name": "Jane Lehz, MD",
                "subject_organization": "Fulton County ME",
                "subject_organization_id": "urn:oid:2.16.840.1.113883.3.9999.1",
                "national_provider_identifier": "1234567893",
                "subject_role": [
                    {"system": "https://as.edrs.ga.example/fhir/CodeSystem/mdi-role", "code": "medical-examiner"},
                    {"system": "http://snomed.info/sct", "code": "455381000124109"},
                    {"system": "http://nucc.org/provider-taxonomy", "code": "207ZF0201X"},
                    {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "LA"},
                ],
                "purpose_of_use": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HDECD"}],
            },
            "mdi_security": {"labels": [
                {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"},
                {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "HRELIABLE"},
            ]},
        },
    });
    let policy = policy();
    let claims = policy.identity_claims(&identity, &"openid fhirUser".parse().unwrap());
    assert_eq!(serde_json::Value::Object(claims), wanted);
    let without = policy.identity_claims(&identity, &"openid".parse().unwrap());
    assert!(
        !without.contains_key("fhirUser"),
        "only the scope fhirUser releases it"
    );
}

#[test]
fn what_is_not_known_is_left_out_of_the_claims() {
    let bare = Identity {
        issuer: "https://as.example",
        subject: Subject::Person { roles: &[] },
        name: None,
        organization_name: None,
        organization_id: None,
        npi: None,
        fhir_user: None,
        purposes: &[],
        clearance: None,
        integrity: None,
        jurisdiction: None,
    };
    let policy = policy();
    let scopes = "openid fhirUser".parse().unwrap();
    assert!(policy.identity_claims(&bare, &scopes).is_empty());
    let lims = Identity {
        subject: Subject::System,
        organization_name: Some("UF Pathology Labs"),
        ..bare
    };
    let wanted = json!({"extensions": {"ihe_iua": {
        "subject_organization": "UF Pathology Labs",
        "subject_role": [
            {"system": "https://as.example/fhir/CodeSystem/mdi-role", "code": "system-client"},
            {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110150"},
        ],
    }}});
    assert_eq!(
        serde_json::Value::Object(policy.identity_claims(&lims, &scopes)),
        wanted
    );
}

#[test]
fn standard_claims_are_released_by_their_scopes() {
    // OpenID Connect Core §5.4
    let stored = json!({
        "name": "Jane Lehz", "given_name": "Jane", "email": "j@ga.example", "email_verified": true,
        "address": {"locality": "Atlanta"}, "phone_number": "+14045550100", "shoe_size": 42
    });
    let stored = stored.as_object().unwrap();
    #[rustfmt::skip]
    let rows = [
        ("openid", Place::UserInfo, json!({})),
        ("openid profile", Place::UserInfo, json!({"name": "Jane Lehz", "given_name": "Jane"})),
        ("openid profile", Place::IdToken, json!({"name": "Jane Lehz"})),
        ("openid email", Place::IdToken, json!({"email": "j@ga.example", "email_verified": true})),
        ("openid address", Place::UserInfo, json!({"address": {"locality": "Atlanta"}})),
        ("openid address phone", Place::IdToken, json!({})),
        ("openid phone", Place::UserInfo, json!({"phone_number": "+14045550100"})),
    ];
    let policy = policy();
    for (scopes, place, wanted) in rows {
        let released = policy.standard_claims(&scopes.parse().unwrap(), stored, place);
        assert_eq!(serde_json::Value::Object(released), wanted, "{scopes} {place:?}");
    }
    assert!(policy.standard_claim_names().any(|name| name == "zoneinfo"));
}

// --- the matrix ------------------------------------------------------------------------------------------------------

/// What each role is granted of each scope through each dataflow: a change of policy is a readable difference here.
#[test]
fn matrix() {
    let policy = policy();
    let mut text = String::new();
    for dataflow in policy.dataflows().iter().filter(|dataflow| !dataflow.as_written) {
        writeln!(text, "=== {}", dataflow.id).unwrap();
        for kind in dataflow.resource_servers.iter().map(|kind| kind.as_str()) {
            if dataflow.is_for_systems() {
                let case = Case {
                    targets: Some(kind),
                    ..system(&dataflow.id, "")
                };
                describe(
                    &mut text,
                    &policy,
                    &format!("a system at {kind}"),
                    case,
                    &dataflow.scopes,
                );
                continue;
            }
            for role in policy.roles() {
                let case = Case {
                    targets: Some(kind),
                    ..person(&dataflow.id, &role.code, "")
                };
                describe(
                    &mut text,
                    &policy,
                    &format!("{} at {kind}", role.code),
                    case,
                    &dataflow.scopes,
                );
            }
        }
    }
    insta::assert_snapshot!(text);
}

fn describe(text: &mut String, policy: &Policy, who: &str, case: Case, scopes: &ScopeSet) {
    let all = case.grant_with(policy);
    let purposes = all
        .as_ref()
        .map_or_else(|_| "refused".into(), |granted| granted.purposes.join(" "));
    let clearance = all
        .ok()
        .and_then(|granted| granted.clearance)
        .map_or("-", Confidentiality::code);
    writeln!(text, "{who}: clearance {clearance}, purposes {purposes}").unwrap();
    for scope in scopes.iter().map(Scope::to_string) {
        let granted = Case {
            scope: &scope,
            ..case
        }
        .grant_with(policy);
        let granted = granted.map_or_else(
            |refused| refused.oauth_code().to_owned(),
            |granted| granted.scopes.to_string(),
        );
        let granted = if granted == scope {
            "yes".to_owned()
        } else {
            granted
        };
        writeln!(text, "  {scope}: {granted}").unwrap();
    }
}

#[test]
fn the_process_message_operation_is_for_both_messaging_dataflows() {
    for dataflow in ["lims-to-cms", "edrs-cms-review"] {
        let case = Case {
            targets: Some("cms"),
            ..system(dataflow, PROCESS_MESSAGE)
        };
        assert_eq!(case.scopes(), PROCESS_MESSAGE, "{dataflow}");
    }
}
