//! The commands, through the built program.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::smtp::{self, MailServer};
use crate::support::{TempDir, eventually_blocking};

struct Program {
    dir: TempDir,
}

impl Program {
    fn new() -> Self {
        let dir = TempDir::new();
        let data = dir.path().join("data");
        let config = format!(
            "[server]\ndata_dir = {:?}\n[login]\nargon2_memory_kib = 7168\nargon2_iterations = 5\n",
            data.display().to_string()
        );
        std::fs::write(dir.path().join("mdi-auth.toml"), config).unwrap();
        Self { dir }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mdi-auth"))
            .args(arguments)
            .arg("--config")
            .arg(self.dir.path().join("mdi-auth.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            (output.status.code(), err.as_str()),
            (Some(0), ""),
            "{arguments:?}\n{out}"
        );
        out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(arguments)).unwrap()
    }

    fn bad(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(
            (output.status.code(), text(&output.stdout).as_str()),
            (Some(code), ""),
            "{arguments:?}"
        );
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn registration_from_the_command_line() {
    let program = Program::new();
    let checked = program.good(&["check"]);
    assert!(
        checked.contains("serve will create it") && checked.ends_with("the server would run well\n"),
        "{checked}"
    );
    assert!(!program.dir.path().join("data").exists(), "check changes nothing");
    let server = [
        "resource-server",
        "register",
        "--id",
        "cms",
        "--name",
        "CMS",
        "--kind",
        "cms",
    ];
    let server = program.good(
        &[
            &server[..],
            &["--audience", "https://cms.example/fhir", "--signing-alg", "EdDSA"],
        ]
        .concat(),
    );
    assert!(server.contains("client_secret  "), "{server}");
    let lims = [
        "client",
        "register",
        "--dataflow",
        "lims-to-cms",
        "--name",
        "LIMS",
        "--client-id",
        "lims",
        "--json",
    ];
    let told = [
        "--backchannel-logout-uri",
        "https://lims.example/logout",
        "--backchannel-logout-session-required",
    ];
    let lims = [&lims[..], &told].concat();
    let client = program.json(&lims);
    let secret = client["client_secret"].as_str().unwrap();
    assert_eq!(secret.len(), 43);
    assert!(program.bad(&lims, 1).contains("registered already"));
    assert!(
        !program
            .good(&["client", "show", "lims", "--json"])
            .contains(secret),
        "a secret is shown once"
    );
    let shown = program.json(&["client", "show", "lims", "--json"]);
    assert_eq!(shown["backchannel_logout_uri"], "https://lims.example/logout");
    assert_eq!(shown["backchannel_logout_session_required"], true);
    let rotated = program.json(&[
        "client",
        "rotate-secret",
        "lims",
        "--overlap-seconds",
        "0",
        "--json",
    ]);
    assert_ne!(rotated["client_secret"], client["client_secret"]);
    let link = program.json(&["client", "vendor-link", "lims", "--days", "7", "--json"]);
    assert!(
        link["url"]
            .as_str()
            .unwrap()
            .starts_with("https://localhost:8443/vendor/"),
        "{link}"
    );
    assert!(
        program
            .bad(&["client", "vendor-link", "lims", "--days", "366"], 1)
            .contains("from 1 to 365")
    );
    assert!(
        program
            .good(&["client", "end-vendor-link", "lims"])
            .contains("ended the vendor's link of lims")
    );
    assert!(
        program
            .good(&["client", "end-vendor-link", "lims"])
            .contains("there is no vendor's link of lims")
    );
    program.good(&["client", "disable", "lims"]);
    assert_eq!(program.json(&["client", "list", "--json"])[0]["enabled"], false);
    program.good(&["client", "enable", "lims"]);
    assert!(
        program
            .bad(&["resource-server", "delete", "cms"], 1)
            .contains("is used by lims")
    );
    program.good(&["client", "delete", "lims"]);
    program.good(&["resource-server", "delete", "cms"]);
    let keys = program.json(&["key", "list", "--json"]);
    assert_eq!(keys.as_array().unwrap().len(), 3);
    assert!(
        program
            .good(&["key", "rotate", "--alg", "EdDSA"])
            .starts_with("EdDSA ")
    );
    assert!(
        program
            .good(&["audit", "verify"])
            .contains("the record is sound: 13 events")
    );
    assert!(program.good(&["check"]).contains("signing keys: "));
}

#[test]
fn people_from_the_command_line() {
    let program = Program::new();
    let add = [
        "user",
        "add",
        "--username",
        "jlehz",
        "--name",
        "Jane Lehz, MD",
        "--role",
        "coroner",
        "--totp",
        "--password-stdin",
    ];
    let output = program.run_with(&add, "kfw7zpq2\n");
    let out = text(&output.stdout);
    assert!(
        out.starts_with("added jlehz (usr_") && out.contains("otpauth://totp/MDI%20Auth:jlehz?secret="),
        "{out}{}",
        text(&output.stderr)
    );
    let bob = program.good(&["user", "add", "--username", "bob", "--name", "Bob"]);
    assert!(
        bob.contains("invitation of bob (shown once") && bob.contains("https://localhost:8443/invitation/"),
        "{bob}"
    );
    let set = program.run_with(&["user", "set-password", "bob", "--password-stdin"], "too short");
    assert_eq!(set.status.code(), Some(1));
    assert!(text(&set.stderr).contains("at least 15"));
    assert!(
        program
            .run_with(
                &["user", "set-password", "bob", "--password-stdin"],
                "long enough for everybody\n"
            )
            .status
            .success()
    );
    assert_eq!(
        program.good(&["user", "set-roles", "bob", "auditor", "coroner"]),
        "bob has the roles: coroner, auditor\n"
    );
    assert_eq!(
        program.good(&["user", "unlock", "bob"]),
        "bob had no failed sign-ins\n"
    );
    program.good(&["user", "disable", "bob"]);
    let users = program.json(&["user", "list", "--json"]);
    let names: Vec<_> = users
        .as_array()
        .unwrap()
        .iter()
        .map(|user| {
            (
                user["username"].as_str().unwrap(),
                user["enabled"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(names, [("bob", false), ("jlehz", true)]);
    program.good(&["user", "reset-second-factor", "jlehz"]);
    assert_eq!(
        program.json(&["user", "show", "jlehz", "--json"])["has_totp"],
        false
    );
}

/// The link at the end of a line.
fn link(line: &str) -> &str {
    line.trim_end().rsplit(' ').next().unwrap()
}

#[test]
fn links_from_the_command_line() {
    let program = Program::new();
    let server = MailServer::start("starttls");
    let config = program.dir.path().join("mdi-auth.toml");
    let without_mail = std::fs::read_to_string(&config).unwrap();
    let email = ["--email", "bob@fulton.example", "--email-verified"];
    program.good(&[&["user", "add", "--username", "bob", "--name", "Bob"][..], &email].concat());
    program.good(&["user", "add", "--username", "eve", "--name", "Eve"]);
    let (first, second) = (
        program.good(&["user", "invite", "bob"]),
        program.good(&["user", "invite", "bob"]),
    );
    assert!(
        first.starts_with("invitation of bob (shown once; works once, until "),
        "{first}"
    );
    assert!(link(&first).starts_with("https://localhost:8443/invitation/") && link(&first) != link(&second));
    assert!(
        program
            .bad(&["user", "invite", "bob", "--mail"], 1)
            .contains("[mail] is not configured")
    );
    assert!(
        program
            .bad(&["user", "reset-link", "nobody"], 1)
            .contains("nobody has the username")
    );
    let mail = format!(
        "[mail]\nhost = \"localhost\"\nport = {}\nusername = {:?}\npassword = {:?}\nfrom = \"no-reply@as.example\"\n\
         [outbound]\nextra_ca_file = {:?}\n",
        server.port,
        smtp::USER,
        smtp::PASSWORD,
        server.ca.display().to_string()
    );
    std::fs::write(&config, format!("{without_mail}{mail}")).unwrap();
    assert!(program.good(&["check"]).contains(&format!(
        "ok       mail: localhost:{} takes our mail",
        server.port
    )));
    assert!(
        program
            .bad(&["user", "invite", "eve", "--mail"], 1)
            .contains("eve has no e-mail address")
    );
    let sent = program.good(&["user", "invite", "bob", "--mail"]);
    assert!(
        sent.starts_with("sent a link to bob@fulton.example") && !sent.contains("https://"),
        "{sent}"
    );
    let got = eventually_blocking("message", || server.messages(), |got| !got.is_empty());
    assert!(
        got.len() == 1
            && got[0]["text"]
                .as_str()
                .unwrap()
                .contains("https://localhost:8443/invitation/"),
        "{got:?}"
    );
    let set = ["user", "set-password", "bob", "--password-stdin"];
    assert!(
        program
            .run_with(&set, "long enough for everybody\n")
            .status
            .success()
    );
    assert!(
        program
            .bad(&["user", "invite", "bob"], 1)
            .contains("user reset-link bob")
    );
    let reset = program.good(&["user", "reset-link", "bob"]);
    assert!(
        link(&reset).starts_with("https://localhost:8443/new-password/"),
        "{reset}"
    );
    program.good(&["user", "disable", "bob"]);
    assert!(
        program
            .bad(&["user", "reset-link", "bob"], 1)
            .contains("user enable bob")
    );
    // The record tells of each, and never the link.
    let file = program.dir.path().join("apply.toml");
    std::fs::write(&file, "[[user]]\nusername = \"ann\"\nname = \"Ann\"\n").unwrap();
    let path = file.to_str().unwrap();
    let dry = program.good(&["apply", path, "--dry-run"]);
    assert!(dry.contains("+ user ann") && !dry.contains("https://"), "{dry}");
    assert!(
        program
            .good(&["apply", path])
            .contains("invitation of ann (shown once")
    );
    let again = program.good(&["apply", path]);
    assert!(
        again.contains("user ann has no password yet; `mdi-auth user invite ann`")
            && !again.contains("https://")
    );
    std::fs::write(
        &config,
        format!("{without_mail}{}", mail.replace("päss", "falsch")),
    )
    .unwrap();
    let told = program.run(&["check"]);
    assert_eq!(told.status.code(), Some(1));
    let told = text(&told.stdout);
    assert!(
        told.contains("PROBLEM  mail: localhost:") && told.contains("535") && !told.contains("falsch"),
        "{told}"
    );
}

#[test]
fn a_file_from_the_command_line() {
    let program = Program::new();
    let file = program.dir.path().join("apply.toml");
    let path = file.to_str().unwrap();
    std::fs::write(
        &file,
        "[[resource_server]]\nid = \"cms\"\nname = \"CMS\"\naudience = \"https://cms.example/fhir\"\n",
    )
    .unwrap();
    assert!(
        program
            .good(&["apply", path, "--dry-run"])
            .ends_with("dry run: nothing was changed\n")
    );
    assert_eq!(
        program
            .json(&["resource-server", "list", "--json"])
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let done = program.good(&["apply", path]);
    assert!(
        done.contains("+ resource_server cms") && done.contains("(shown once): "),
        "{done}"
    );
    assert_eq!(
        program.good(&["apply", path]),
        "= resource_server cms\nnothing changes\n"
    );
    std::fs::write(&file, "[[client]]\nclient_id = \"usr_x\"\n").unwrap();
    let told = program.bad(&["apply", path], 1);
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn a_master_key_is_made_for_a_new_database_alone() {
    let program = Program::new();
    program.good(&["key", "list"]);
    let file = program.dir.path().join("data/master.key");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for command in [&["key", "list"][..], &["user", "list"], &["audit", "verify"]] {
        let refused = program.bad(command, 1);
        for told in ["no master key file at", "master.key", "put the file back"] {
            assert!(refused.contains(told), "{command:?}: {refused}");
        }
        assert!(!file.exists(), "{command:?}: nothing takes its place");
    }
    std::fs::write(&file, kept).unwrap();
    program.good(&["key", "list"]);
}

#[test]
fn mistakes_and_misuse() {
    let program = Program::new();
    assert!(program.bad(&["client", "frobnicate"], 2).contains("frobnicate"));
    assert!(
        program
            .bad(&["user", "set-password", "bob"], 2)
            .contains("--password-stdin")
    );
    assert!(
        program
            .bad(&["key", "rotate", "--alg", "HS256"], 2)
            .contains("ES256")
    );
    assert!(program.bad(&["client", "show", "nobody"], 1).contains("nobody"));
    let config = program.dir.path().join("mdi-auth.toml");
    std::fs::write(
        config,
        "[server]\nissuer = \"http://as.example\"\ncolour = \"red\"\n",
    )
    .unwrap();
    let told = program.bad(&["check"], 1);
    assert!(
        told.contains("[server] issuer") && told.contains("[server] colour"),
        "{told}"
    );
}

#[cfg(unix)]
#[test]
fn check_names_what_is_wrong() {
    use std::os::unix::fs::PermissionsExt;
    let program = Program::new();
    program.good(&["key", "list"]);
    let data = program.dir.path().join("data");
    std::fs::set_permissions(data.join("master.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let found = text(&program.run(&["check"]).stdout);
    assert!(found.contains("PROBLEM  master key: others may read"), "{found}");
    let refused = program.bad(&["serve"], 1);
    assert!(
        refused.contains("chmod 600") && refused.contains("master.key"),
        "{refused}"
    );
    std::fs::remove_file(data.join("master.key")).unwrap();
    let output = program.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("restore it from its backup"),
        "{}",
        text(&output.stdout)
    );
    assert!(!data.join("master.key").exists(), "check makes no key");
    let config = program.dir.path().join("mdi-auth.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        written.replace("[server]", "[server]\nlogo_file = \"/nowhere/seal.svg\""),
    )
    .unwrap();
    let found = text(&program.run(&["check"]).stdout);
    assert!(
        found.contains("PROBLEM  logo: /nowhere/seal.svg ([server] logo_file)"),
        "{found}"
    );
}

#[test]
fn check_names_the_profile_and_what_is_weaker() {
    let program = Program::new();
    assert!(
        program
            .good(&["check"])
            .contains("ok       sign-in: profile nist-63b-4")
    );
    let config = program.dir.path().join("mdi-auth.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        format!("{written}policy = \"cjis\"\nlockout_threshold = 9\n"),
    )
    .unwrap();
    for arguments in [&["check"][..], &["serve"], &["user", "list"]] {
        let refused = program.bad(arguments, 1);
        assert!(
            refused.contains("[server] banner: found nothing") && refused.contains("AC-8"),
            "{refused}"
        );
    }
    let file = program.dir.path().join("refused.txt");
    let more =
        format!("{written}policy = \"cjis\"\nlockout_threshold = 9\npassword_blocklist_file = {file:?}\n");
    std::fs::write(
        &config,
        more.replace("[server]", "[server]\nbanner = \"For official use.\""),
    )
    .unwrap();
    let output = program.run(&["check"]);
    let found = text(&output.stdout);
    assert!(
        found.contains(
            "note     sign-in: [login] lockout_threshold = 9 is weaker than the profile cjis, which has 5"
        ),
        "{found}"
    );
    assert!(
        found.contains("PROBLEM  sign-in: cannot read") && output.status.code() == Some(1),
        "{found}"
    );
    std::fs::write(&file, "one\ntwo\n").unwrap();
    let found = program.good(&["check"]);
    assert!(
        found.contains("refuses 2 passwords") && found.contains("profile cjis"),
        "{found}"
    );
}

#[test]
fn a_record_that_is_not_there_is_not_sound() {
    let program = Program::new();
    let refused = program.bad(&["audit", "verify"], 1);
    assert!(
        refused.contains("no database") && refused.contains("--config"),
        "{refused}"
    );
    assert!(
        !program.dir.path().join("data").exists(),
        "verifying makes nothing"
    );
}

#[test]
fn identity_providers_from_the_command_line() {
    let program = Program::new();
    let file = program.dir.path().join("apply.toml");
    let table = "[[identity_provider]]\nid = \"fulton\"\nname = \"Fulton County\"\nissuer = \"https://idp.invalid\"\n\
                 client_id = \"mdi-auth\"\nsecret = \"s3cr3t\"\ntrusted_amr = \"mfa\"\n\
                 [[user]]\nusername = \"ann\"\nname = \"Ann Analyst\"\n";
    std::fs::write(&file, table).unwrap();
    let applied = program.good(&["apply", file.to_str().unwrap()]);
    assert!(
        applied.contains("+ identity_provider fulton (https://idp.invalid)"),
        "{applied}"
    );
    assert!(
        program
            .good(&["identity-provider", "list"])
            .contains("fulton  https://idp.invalid  linked    enabled")
    );
    let shown = program.json(&["identity-provider", "show", "fulton", "--json"]);
    assert_eq!(
        (&shown["has_secret"], &shown["links"]),
        (&Value::Bool(true), &Value::from(0))
    );
    assert_eq!(
        shown["redirect_uri"],
        "https://localhost:8443/login/upstream/fulton/callback"
    );

    // What was registered by hand is as it would be by a file, and a change leaves the rest.
    let dekalb = [
        "identity-provider",
        "register",
        "--name",
        "DeKalb County",
        "--issuer",
        "https://login.dekalb.invalid",
        "--client-id",
        "mdi",
        "--auth-method",
        "none",
        "--role",
        r#"{ "claim": "groups", "value": "ME", "role": "medical-examiner" }"#,
    ];
    assert!(program.good(&dekalb).contains("dekalb-county"));
    let changed = [
        "--organization-name",
        "DeKalb ME",
        "--accounts",
        "invited",
        "--json",
    ];
    let view = program.json(&[&["identity-provider", "change", "dekalb-county"], &changed[..]].concat());
    assert_eq!(
        (&view["agency"], &view["accounts"], &view["roles"][0]["value"]),
        (&json!("dekalb-me"), &json!("invited"), &json!("ME"))
    );
    let cleared = program.json(&[
        "identity-provider",
        "change",
        "dekalb-county",
        "--clear",
        "roles",
        "--json",
    ]);
    assert_eq!(cleared["roles"], json!([]));
    let refused = [
        (
            &["identity-provider", "change", "dekalb-county"][..],
            "nothing is said about dekalb-county",
        ),
        (
            &["identity-provider", "change", "dekalb-county", "--id", "x"],
            "an id does not change",
        ),
        (
            &["identity-provider", "change", "nobody", "--name", "N"],
            "no identity provider has the id \"nobody\"",
        ),
        (
            &[
                "identity-provider",
                "change",
                "dekalb-county",
                "--clear",
                "colour",
            ],
            "colour: unknown",
        ),
        (
            &["identity-provider", "change", "dekalb-county", "--role", "ME"],
            "write a JSON object",
        ),
        (
            &["identity-provider", "rotate-secret", "dekalb-county"],
            "our secret at dekalb-county is made there",
        ),
    ];
    for (arguments, told) in refused {
        let output = program.run(arguments);
        let refused = text(&output.stderr);
        assert!(
            !output.status.success() && refused.contains(told),
            "{arguments:?}: {refused}"
        );
    }
    assert!(!shown.to_string().contains("s3cr3t"));
    let link = [
        "identity-provider",
        "link",
        "fulton",
        "--username",
        "ann",
        "--subject",
        "00u-1",
    ];
    assert!(
        program
            .good(&link)
            .contains("ann may sign in with fulton as \"00u-1\"")
    );
    assert!(program.bad(&link, 1).contains("linked with an account already"));
    assert!(
        program
            .bad(
                &[
                    "identity-provider",
                    "link",
                    "fulton",
                    "--username",
                    "bob",
                    "--subject",
                    "x"
                ],
                1
            )
            .contains("nobody")
    );
    assert_eq!(
        program.json(&["identity-provider", "show", "fulton", "--json"])["links"],
        1
    );
    let unlink = ["identity-provider", "unlink", "fulton", "--subject", "00u-1"];
    program.good(&unlink);
    assert!(program.bad(&unlink, 1).contains("no account is linked"));
    assert_eq!(
        program.good(&["identity-provider", "disable", "fulton"]),
        "disabled fulton\n"
    );
    assert_eq!(
        program.good(&["identity-provider", "enable", "fulton"]),
        "enabled fulton\n"
    );
    // Nobody is there.
    let tested = program.run(&["identity-provider", "test", "fulton"]);
    assert_eq!(tested.status.code(), Some(1));
    assert!(
        text(&tested.stdout).starts_with("PROBLEM  discovery: cannot resolve idp.invalid"),
        "{}",
        text(&tested.stdout)
    );
    program.good(&link);
    assert_eq!(
        program.good(&["identity-provider", "delete", "fulton"]),
        "deleted fulton\n"
    );
    assert!(
        program
            .bad(&["identity-provider", "show", "fulton"], 1)
            .contains("no identity provider has the id")
    );
    assert!(program.good(&["audit", "verify"]).contains("event"));
}

#[test]
fn tokens_of_the_admin_api_are_made_listed_and_revoked() {
    let program = Program::new();
    let token = program.good(&["api-token", "create", "--scope", "clients", "--name", "Terraform"]);
    assert!(
        token.starts_with("mdi_api_") && token.trim_end().len() == 51 && token.ends_with('\n'),
        "alone: {token}"
    );
    let listed = program.json(&["api-token", "list", "--json"]);
    assert_eq!(
        (&listed[0]["scope"], &listed[0]["name"]),
        (&Value::from("clients"), &Value::from("Terraform"))
    );
    assert!(!listed.to_string().contains(token.trim_end()));
    let id = listed[0]["id"].as_str().unwrap();
    assert!(program.good(&["api-token", "revoke", id]).contains("revoked"));
    assert!(program.good(&["api-token", "list"]).contains("revoked"));
    assert!(
        program
            .bad(&["api-token", "revoke", "nothing"], 1)
            .contains("no API token has the id")
    );
    let refused = program.bad(&["api-token", "create", "--scope", "registration"], 2);
    assert!(
        refused.contains("clients cannot register themselves here yet"),
        "{refused}"
    );
}

#[test]
fn the_registration_is_exported_and_applied_elsewhere() {
    let (program, other) = (Program::new(), Program::new());
    let file = program.dir.path().join("apply.toml");
    let text = "[[resource_server]]\nid = \"cms\"\nname = \"CMS\"\naudience = \"https://cms.example/fhir\"\n\
                [[user]]\nusername = \"ann\"\nname = \"Ann\"\nenabled = false\n";
    std::fs::write(&file, text).unwrap();
    program.good(&["apply", file.to_str().unwrap()]);
    let shown = program.good(&["export"]);
    let exported = program.dir.path().join("export.toml");
    let path = exported.to_str().unwrap();
    assert_eq!(program.good(&["export", path]), "");
    assert_eq!(std::fs::read_to_string(&exported).unwrap(), shown);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&exported).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    assert!(
        program.bad(&["export", path], 1).contains("cannot make"),
        "what is there is not written over"
    );
    assert!(!program.good(&["export", "--without-users"]).contains("ann"));
    other.good(&["apply", path]);
    assert_eq!(other.good(&["export"]), shown);
}

#[test]
fn people_are_imported_from_a_file_all_or_nobody() {
    let program = Program::new();
    let path = program.dir.path().join("people.csv");
    let path = path.to_str().unwrap();
    let template = program.good(&["user", "import", "--columns"]);
    std::fs::write(path, template.trim_end().replace("\r\n", "\n")).unwrap();
    assert!(
        program
            .good(&["user", "import", path, "--dry-run"])
            .contains("1 people can be added")
    );
    assert_eq!(program.json(&["user", "list", "--json"]), serde_json::json!([]));
    let done = program.json(&["user", "import", path, "--json"]);
    assert_eq!((&done["people"], &done["dry_run"]), (&1.into(), &false.into()));
    assert!(
        done["invitations"][0]["invitation"]
            .as_str()
            .unwrap()
            .contains("/invitation/")
    );
    // Again: she exists, and the one who is new is not added either.
    std::fs::write(path, format!("{}\nnew,Nina New\n", template.trim_end())).unwrap();
    let told = program.bad(&["user", "import", path], 1);
    assert!(
        told.contains("line 2: username: found \"jroe\"; somebody has this username already"),
        "{told}"
    );
    assert!(told.contains("nobody was added"), "{told}");
    assert_eq!(
        program
            .json(&["user", "list", "--json"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    program.bad(&["user", "import"], 2);
}
