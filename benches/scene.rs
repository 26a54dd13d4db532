//! The scene: the real server as a process of its own, with SQLite, TLS by its own authority, and those who ask.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::assertion::ClientKey;
use crate::http::{Peer, get};
use crate::process::{Running, TempDir, eventually};

/// All secrets of the scene.
pub const SECRET: &str = "a-secret-of-this-bench-0123456789-abcdef";
pub const PASSWORD: &str = "correct horse battery staple";
pub const CALLBACK: &str = "https://cms.example/cb";
pub const EDRS_BASE: &str = "https://edrs-es256.example/fhir";
/// What the TOTP secret in the apply file encodes (RFC 6238 appendix B).
pub const TOTP_SECRET: &[u8] = b"12345678901234567890";

/// Everything that is needed to start servers and to talk to them.
pub struct Scene {
    pub dir: TempDir,
    pub port: u16,
    pub issuer: String,
    pub es384: ClientKey,
    pub rs384: ClientKey,
}

impl Scene {
    /// Writes the configuration and applies the registrations.
    pub fn set() -> Self {
        let port = free_port();
        let scene = Self {
            dir: TempDir::new(),
            port,
            issuer: format!("https://localhost:{port}"),
            es384: ClientKey::new(Algorithm::ES384, "es384"),
            rs384: ClientKey::new(Algorithm::RS384, "rs384"),
        };
        let (issuer, data) = (&scene.issuer, scene.dir.0.join("data"));
        let config =
            format!("[server]\nissuer = \"{issuer}\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = {data:?}\n");
        std::fs::write(scene.config_file(), config).unwrap();
        let apply = scene.dir.0.join("apply.toml");
        std::fs::write(&apply, scene.registrations()).unwrap();
        let done = scene.command("apply").arg(&apply).output().unwrap();
        assert!(
            done.status.success(),
            "apply: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        scene
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir.0.join("mdi-auth.toml")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdi-auth"));
        command
            .env("MDI_AUTH_LOG", "error")
            .arg("--config")
            .arg(self.config_file())
            .arg(name);
        command
    }

    /// Starts the server; answers how long the first answer took.
    pub fn serve(&self) -> (Running, Duration) {
        let begun = Instant::now();
        let server = Running::start(&mut self.command("serve"));
        let healthy = get("/healthz", &[]);
        eventually("the server answers", || {
            let mut connection = self.peer(self.port)?.connect().ok()?;
            connection
                .call(&healthy)
                .ok()
                .filter(|answer| answer.status == 200)
                .map(drop)
        });
        (server, begun.elapsed())
    }

    /// A server on a port with our certificate; none before there is a certificate.
    pub fn peer(&self, port: u16) -> Option<Peer> {
        let ca_file = self.dir.0.join("data").join(mdi_auth::tls::CA_FILE);
        ca_file.exists().then(|| Peer::new(port, &ca_file))
    }

    fn registrations(&self) -> String {
        let mut text = String::new();
        for (name, kind, settings) in [
            ("es256", "edrs", "signing_alg = \"ES256\""),
            ("rs256", "cms", "signing_alg = \"RS256\""),
            ("opaque", "edrs", "token_format = \"opaque\""),
        ] {
            text += &format!(
                "[[resource_server]]\nid = \"{kind}-{name}\"\nname = \"{kind} {name}\"\nkind = \"{kind}\"\n\
                 audience = \"https://{kind}-{name}.example/fhir\"\nsecret = \"{SECRET}\"\n{settings}\n\n"
            );
        }
        let secret = format!("auth_method = \"client_secret_basic\"\nsecret = \"{SECRET}\"");
        let key = |key: &ClientKey| {
            format!(
                "auth_method = \"private_key_jwt\"\njwks = '{}'",
                json!({ "keys": [key.jwk()] })
            )
        };
        for (id, dataflow, server, settings) in [
            ("secret-es256", "cms-to-edrs", "edrs-es256", secret.clone()),
            ("secret-rs256", "lims-to-cms", "cms-rs256", secret.clone()),
            ("secret-opaque", "cms-to-edrs", "edrs-opaque", secret.clone()),
            ("key-es384", "cms-to-edrs", "edrs-es256", key(&self.es384)),
            ("key-rs384", "cms-to-edrs", "edrs-es256", key(&self.rs384)),
            (
                "people",
                "cms-user-to-edrs",
                "edrs-es256",
                format!("{secret}\nconsent = \"skip\"\nredirect_uris = [\"{CALLBACK}\"]"),
            ),
        ] {
            text += &format!(
                "[[client]]\nclient_id = \"{id}\"\nname = \"{id}\"\ndataflow = \"{dataflow}\"\n\
                 resource_servers = [\"{server}\"]\norganization = {{ name = \"Fulton County ME\", \
                 id = \"urn:oid:2.16.840.1.113883.3.9999.1\" }}\n{settings}\n\n"
            );
        }
        text + &format!(
            "[[user]]\nusername = \"certifier\"\nname = \"Jane Lehz, MD\"\npassword = \"{PASSWORD}\"\n\
             totp_secret = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"\nroles = [\"medical-examiner\"]\n\
             organization = {{ name = \"Fulton County ME\", id = \"urn:oid:2.16.840.1.113883.3.9999.1\" }}\n\
             npi = \"1234567893\"\nfhir_user = \"https://edrs.example/fhir/Practitioner/77\"\n\n\
             [[user]]\nusername = \"visitor\"\nname = \"Vera Visitor\"\npassword = \"{PASSWORD}\"\n\n\
             [[user]]\nusername = \"admin\"\nname = \"Ada Admin\"\npassword = \"{PASSWORD}\"\n\
             totp_secret = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"\nroles = [\"administrator\"]\n"
        )
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
