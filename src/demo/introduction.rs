//! What a demo prints: where everything is, and lines to paste into one shell that show each dataflow, with nothing
//! but curl. Comments among them keep to letters, digits and `:,./-`, for an interactive zsh does not know comments.

use std::path::Path;

use serde_json::{Value, json};

use super::fhir::MDI_CODES;
use super::parties::{CASE_SYSTEM, CMS, DOCUMENT, EDRS, LIMS, PROCESS_MESSAGE, Parties};
use crate::model::secret::Secret;

/// The whole text.
pub fn text(parties: &Parties, ca_file: &Path) -> String {
    let curl = format!(
        "--noproxy localhost --cacert {}",
        quoted(&ca_file.display().to_string())
    );
    let issuer = parties.issuer();
    let flows = flows(parties)
        .map(|flow| flow.lines(&curl, &issuer).join("\n"))
        .join("\n\n");
    format!("{}\n{}\n\n{flows}\n", places(parties, ca_file), people(parties))
}

fn places(parties: &Parties, ca_file: &Path) -> String {
    format!(
        "\
MDI Auth demo: every system and person in it is invented. Ctrl-C ends it; the next start prints the same again.

issuer         {issuer}
CA file        {ca} (import it, or let the browser warn)
sign in at     {start}
one-time code  {code}
my access      {account}
console        {console}
EDRS stub      {edrs}
MDI CMS stub   {cms}
",
        issuer = parties.issuer(),
        ca = ca_file.display(),
        start = parties.site("/cms/"),
        code = parties.site("/code"),
        account = format_args!("{}/account", parties.issuer()),
        console = format_args!("{}/admin", parties.issuer()),
        edrs = parties.edrs_base(),
        cms = parties.cms_base(),
    )
}

fn people(parties: &Parties) -> String {
    let rows = parties.people().map(|person| {
        format!(
            "{:<15}{:<21}{}, {}",
            person.username,
            person.password.reveal(),
            person.name,
            person.role
        )
    });
    format!("{:<15}{:<21}who\n{}", "username", "password", rows.join("\n"))
}

/// One dataflow between systems.
struct Flow<'a> {
    title: &'static str,
    client: (&'static str, &'a Secret),
    server: (&'static str, &'a Secret),
    /// What the client asks for.
    scope: String,
    /// What the resource server is called in comments.
    server_name: &'static str,
    audience: String,
    operation: &'static str,
    body: Value,
}

fn flows(parties: &Parties) -> [Flow<'_>; 2] {
    let secrets = &parties.secrets;
    [
        Flow {
            title: "MDI CMS to EDRS",
            client: (CASE_SYSTEM, &secrets.case_system),
            server: (EDRS, &secrets.edrs),
            scope: format!("system/Composition.rs {DOCUMENT}"),
            server_name: "EDRS",
            audience: parties.edrs_base(),
            operation: "/Composition/$document",
            body: json!({
                "resourceType": "Parameters",
                "parameter": [{ "name": "tracking-number", "valueString": "DEMO-2026-0001" }],
            }),
        },
        Flow {
            title: "Toxicology LIMS to MDI CMS",
            client: (LIMS, &secrets.lims),
            server: (CMS, &secrets.cms),
            scope: format!("system/MessageHeader.c system/Bundle.c {PROCESS_MESSAGE}"),
            server_name: "MDI CMS",
            audience: parties.cms_base(),
            operation: "/$process-message",
            body: toxicology_message(),
        },
    ]
}

/// A toxicology report as a laboratory sends it, cut down to what makes it a message.
fn toxicology_message() -> Value {
    json!({
        "resourceType": "Bundle",
        "type": "message",
        "entry": [
            { "resource": {
                "resourceType": "MessageHeader",
                "id": "demo-message-1",
                "eventCoding": { "system": MDI_CODES, "code": "tox-result-report" },
                "source": { "endpoint": "https://lims.demo.example/fhir" },
                "focus": [{ "reference": "DiagnosticReport/demo-tox-1" }],
            } },
            { "resource": {
                "resourceType": "DiagnosticReport",
                "id": "demo-tox-1",
                "status": "final",
                "code": { "text": "Toxicology panel" },
            } },
        ],
    })
}

impl Flow<'_> {
    fn lines(&self, curl: &str, issuer: &str) -> [String; 8] {
        let Self {
            title, server_name, ..
        } = self;
        let url = quoted(&format!("{}{}", self.audience, self.operation));
        let body = format!(
            "-H 'Content-Type: application/fhir+json' -d {}",
            quoted(&self.body.to_string())
        );
        [
            format!("# {title}, 1 of 4: a token by client credentials"),
            // The token is what stands between the quotes after its name: JSON is cut with nothing but the shell.
            format!(
                "R=$(curl -sSf {curl} -u {client} -d grant_type=client_credentials --data-urlencode {resource} --data-urlencode {scope} {issuer}/oauth2/token) && T=${{R#*'\"access_token\":\"'}} && T=${{T%%'\"'*}} && printf '%s\\n' \"$R\"",
                client = login(self.client),
                resource = quoted(&format!("resource={}", self.audience)),
                scope = quoted(&format!("scope={}", self.scope)),
            ),
            format!("# {title}, 2 of 4: the {server_name} asks the authorization server about the token"),
            format!(
                "curl -sSf {curl} -u {} -d \"token=$T\" -w '\\n' {issuer}/oauth2/introspect",
                login(self.server)
            ),
            format!("# {title}, 3 of 4: the {server_name} answers whoever brings the token"),
            format!(
                "curl -sSf {curl} -H \"Authorization: Bearer $T\" {body} -w '\\nHTTP %{{http_code}}\\n' {url}"
            ),
            format!("# {title}, 4 of 4: and refuses whoever brings none"),
            format!("curl -sS {curl} {body} -w '\\nHTTP %{{http_code}}\\n' {url}"),
        ]
    }
}

fn login((id, secret): (&str, &Secret)) -> String {
    quoted(&format!("{id}:{}", secret.reveal()))
}

/// A word of the shell that stands for `text` and nothing else.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
