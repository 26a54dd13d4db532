//! An authenticator in software (WebAuthn Level 2 §6), made by other code than the server's, with everything in it that it
//! could lie about.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::Harness;
use super::agent::{Page, ceremony};

/// The user is present; was verified (§6.1).
pub const PRESENT: u8 = 0x01;
pub const VERIFIED: u8 = 0x04;
const HAS_CREDENTIAL: u8 = 0x40;

/// One credential of one authenticator, in one browser.
#[derive(Clone)]
pub struct Authenticator {
    pub pkcs8: Vec<u8>,
    pub id: Vec<u8>,
    pub user_handle: Option<Vec<u8>>,
    pub origin: String,
    pub rp_id: String,
    pub flags: u8,
    /// Of the last use; 0: it does not count.
    pub counter: u32,
    pub step: u32,
    /// Answers this challenge, whatever is asked.
    pub challenge: Option<String>,
}

impl Authenticator {
    pub fn new(harness: &Harness) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self {
            pkcs8: pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            id: mdi_auth::clock::Entropy.bytes::<32>().to_vec(),
            user_handle: None,
            origin: harness.issuer.clone(),
            rp_id: "localhost".to_owned(),
            flags: PRESENT | VERIFIED,
            counter: 0,
            step: 1,
            challenge: None,
        }
    }

    fn pair(&self) -> EcdsaKeyPair {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8).unwrap()
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = self
            .challenge
            .as_deref()
            .unwrap_or_else(|| options["challenge"].as_str().unwrap());
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }

    fn authenticator_data(&mut self, flags: u8) -> Vec<u8> {
        self.counter += self.step;
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// `navigator.credentials.create` with what a page asks for.
    pub fn create(&mut self, page: &Page) -> String {
        let options = ceremony(page, "create");
        self.user_handle = Some(bytes(&options["user"]["id"]));
        let mut data = self.authenticator_data(self.flags | HAS_CREDENTIAL);
        // AAGUID, id, and the key as COSE: kty EC2, alg ES256, crv P-256, x, y.
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        let pair = self.pair();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(x);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(y);
        // {"fmt": "none", "attStmt": {}, "authData": data}
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        object.extend(&data);
        let client_data = self.client_data("webauthn.create", &options);
        let response = json!({ "clientDataJSON": text(&client_data), "attestationObject": text(&object), "transports": ["internal"] });
        json!({ "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "response": response })
            .to_string()
    }

    /// `navigator.credentials.get` with what a page asks for.
    pub fn get(&mut self, page: &Page) -> String {
        let options = ceremony(page, "get");
        let data = self.authenticator_data(self.flags);
        let client_data = self.client_data("webauthn.get", &options);
        let signed = [data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
        let signature = self.pair().sign(&SystemRandom::new(), &signed).unwrap();
        let response = json!({
            "clientDataJSON": text(&client_data),
            "authenticatorData": text(&data),
            "signature": text(signature.as_ref()),
            "userHandle": self.user_handle.as_deref().map(text),
        });
        json!({ "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "response": response })
            .to_string()
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn bytes(text: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap()
}
