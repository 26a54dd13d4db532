//! Who takes part in a demo: two resource servers, three clients, three people; their URLs, and the apply file that
//! registers them.

use super::secrets::Secrets;
use crate::model::secret::Secret;

/// The resource server that plays the death registration system.
pub const EDRS: &str = "demo-edrs";
/// The resource server that plays the case management system.
pub const CMS: &str = "demo-cms";
/// The case system as a system.
pub const CASE_SYSTEM: &str = "demo-case-system";
/// The case system when people sign in.
pub const CASE_SYSTEM_PEOPLE: &str = "demo-case-system-people";
/// The laboratory system.
pub const LIMS: &str = "demo-lims";

/// The operation that looks a case up, which is also its scope.
pub const DOCUMENT: &str = "http://hl7.org/fhir/OperationDefinition/Composition-document";
/// The operation that takes a message, which is also its scope.
pub const PROCESS_MESSAGE: &str = "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message";

/// Everybody, with their secrets.
#[derive(Debug)]
pub struct Parties {
    /// Where the authorization server listens; the systems around it listen on the next port.
    pub port: u16,
    /// The secrets.
    pub secrets: Secrets,
}

/// Somebody who signs in.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// What she types.
    pub username: &'static str,
    /// Her name, which says that she is invented.
    pub name: &'static str,
    /// Her role in words.
    pub role: &'static str,
    /// Her password.
    pub password: &'a Secret,
    /// Her TOTP secret, in base32.
    pub totp: &'a Secret,
}

impl Parties {
    /// The issuer.
    pub fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The port of the systems around the authorization server.
    pub fn site_port(&self) -> u16 {
        self.port.saturating_add(1)
    }

    /// A URL of the systems around the authorization server.
    pub fn site(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.site_port())
    }

    /// The FHIR base of the EDRS.
    pub fn edrs_base(&self) -> String {
        self.site("/edrs/fhir")
    }

    /// The FHIR base of the MDI CMS.
    pub fn cms_base(&self) -> String {
        self.site("/cms/fhir")
    }

    /// Where the case system takes codes.
    pub fn redirect_uri(&self) -> String {
        self.site("/cms/cb")
    }

    /// The people.
    pub fn people(&self) -> [Person<'_>; 3] {
        [
            Person {
                username: "demo-examiner",
                name: "Dana Lehz, MD (Demo)",
                role: "medical examiner",
                password: &self.secrets.examiner_password,
                totp: &self.secrets.examiner_totp,
            },
            Person {
                username: "demo-clerk",
                name: "Sam Reyes (Demo)",
                role: "data clerk",
                password: &self.secrets.clerk_password,
                totp: &self.secrets.clerk_totp,
            },
            Person {
                username: "demo-admin",
                name: "Alex Kim (Demo)",
                role: "administrator, for the console",
                password: &self.secrets.administrator_password,
                totp: &self.secrets.administrator_totp,
            },
        ]
    }

    /// The apply file that registers everybody. All values are of our making and need no escapes.
    pub fn apply_file(&self) -> String {
        AGENCIES.to_owned() + &self.servers() + &self.clients() + &self.users()
    }

    fn servers(&self) -> String {
        format!(
            r#"
[[resource_server]]
id = "{EDRS}"
name = "Demo EDRS"
kind = "edrs"
audience = "{edrs}"
agency = "demo-vital-records"
secret = "{edrs_secret}"

[[resource_server]]
id = "{CMS}"
name = "Demo MDI CMS"
kind = "cms"
audience = "{cms}"
agency = "demo-me-office"
secret = "{cms_secret}"
"#,
            edrs = self.edrs_base(),
            edrs_secret = self.secrets.edrs.reveal(),
            cms = self.cms_base(),
            cms_secret = self.secrets.cms.reveal(),
        )
    }

    fn clients(&self) -> String {
        format!(
            r#"
[[client]]
client_id = "{CASE_SYSTEM}"
name = "Demo case system (as a system)"
dataflow = "cms-to-edrs"
secret = "{case_system}"
agency = "demo-me-office"
resource_servers = ["{EDRS}"]

[[client]]
client_id = "{CASE_SYSTEM_PEOPLE}"
name = "Demo case system"
dataflow = "cms-user-to-edrs"
secret = "{people}"
agency = "demo-me-office"
resource_servers = ["{EDRS}"]
redirect_uris = ["{redirect_uri}"]

[[client]]
client_id = "{LIMS}"
name = "Demo toxicology LIMS"
dataflow = "lims-to-cms"
secret = "{lims}"
agency = "demo-laboratory"
resource_servers = ["{CMS}"]
"#,
            case_system = self.secrets.case_system.reveal(),
            people = self.secrets.case_system_people.reveal(),
            redirect_uri = self.redirect_uri(),
            lims = self.secrets.lims.reveal(),
        )
    }

    fn users(&self) -> String {
        let [examiner, clerk, administrator] = self.people();
        format!(
            r#"
[[user]]
username = "{}"
name = "{}"
password = "{}"
totp_secret = "{}"
roles = ["medical-examiner"]
agency = "demo-me-office"
npi = "1234567893"
fhir_user = "{edrs}/Practitioner/demo-examiner"

[[user]]
username = "{}"
name = "{}"
password = "{}"
totp_secret = "{}"
roles = ["data-clerk"]
agency = "demo-me-office"
fhir_user = "{edrs}/Practitioner/demo-clerk"

[[user]]
username = "{}"
name = "{}"
password = "{}"
totp_secret = "{}"
roles = ["administrator"]
agency = "demo-me-office"
"#,
            examiner.username,
            examiner.name,
            examiner.password.reveal(),
            examiner.totp.reveal(),
            clerk.username,
            clerk.name,
            clerk.password.reveal(),
            clerk.totp.reveal(),
            administrator.username,
            administrator.name,
            administrator.password.reveal(),
            administrator.totp.reveal(),
            edrs = self.edrs_base(),
        )
    }
}

/// Those to whom systems and people belong.
const AGENCIES: &str = r#"
[[agency]]
id = "demo-me-office"
name = "Demo County Medical Examiner"
kind = "medical-examiner-office"
identifier = "urn:oid:2.16.840.1.113883.3.9999.1"

[[agency]]
id = "demo-laboratory"
name = "Demo Toxicology Laboratory"
kind = "laboratory"
identifier = "urn:oid:2.16.840.1.113883.3.9999.2"

[[agency]]
id = "demo-vital-records"
name = "Demo State Vital Records"
kind = "vital-records-office"
identifier = "urn:oid:2.16.840.1.113883.3.9999.3"
"#;
