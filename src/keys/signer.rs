//! Key pairs, parsed once and kept: jsonwebtoken parses the private key at every signature, which doubles the cost of one.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use zeroize::Zeroizing;

use crate::model::signing::Algorithm;

/// What can go wrong with a key of ours.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key cannot be made, read, or used.
    #[error("signing key: {0}")]
    Unusable(String),
    /// There is no key for the algorithm that signs just now.
    #[error("no key signs with {0} just now")]
    NoKey(&'static str),
}

impl KeyError {
    pub(super) fn unusable(cause: impl std::fmt::Display) -> Self {
        Self::Unusable(cause.to_string())
    }
}

/// A private key, ready to sign.
pub enum KeyPair {
    /// P-256 or P-384.
    Ecdsa(EcdsaKeyPair),
    /// RSA with its padding.
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair(…)")
    }
}

fn curve(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        _ => None,
    }
}

impl KeyPair {
    /// Parses a private key.
    ///
    /// # Errors
    /// When the bytes are not a key for the algorithm, or we do not sign with it.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyError> {
        if let Some(curve) = curve(algorithm) {
            return EcdsaKeyPair::from_pkcs8(curve, pkcs8)
                .map(Self::Ecdsa)
                .map_err(KeyError::unusable);
        }
        let rsa = || RsaKeyPair::from_pkcs8(pkcs8).map_err(KeyError::unusable);
        match algorithm {
            Algorithm::RS256 => Ok(Self::Rsa(rsa()?, &RSA_PKCS1_SHA256)),
            Algorithm::PS256 => Ok(Self::Rsa(rsa()?, &RSA_PSS_SHA256)),
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(pkcs8)
                .map(Self::Ed25519)
                .map_err(KeyError::unusable),
            other => Err(KeyError::Unusable(format!(
                "we do not sign with {}",
                other.as_str()
            ))),
        }
    }

    /// Signs.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair) => Ok(pair
                .sign(&random, message)
                .map_err(KeyError::unusable)?
                .as_ref()
                .to_vec()),
            Self::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*padding, &random, message, &mut signature)
                    .map_err(KeyError::unusable)?;
                Ok(signature)
            }
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// Makes a key: its PKCS#8 and its public JWK.
pub(super) fn generate(algorithm: Algorithm) -> Result<(Zeroizing<Vec<u8>>, Jwk), KeyError> {
    let (pkcs8, encoding) = if let Some(curve) = curve(algorithm) {
        let pair = EcdsaKeyPair::generate(curve).map_err(KeyError::unusable)?;
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1().map_err(KeyError::unusable)?.as_ref().to_vec());
        let encoding = EncodingKey::from_ec_der(&pkcs8);
        (pkcs8, encoding)
    } else if algorithm == Algorithm::EdDSA {
        let pair = Ed25519KeyPair::generate().map_err(KeyError::unusable)?;
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1().map_err(KeyError::unusable)?.as_ref().to_vec());
        let encoding = EncodingKey::from_ed_der(&pkcs8);
        (pkcs8, encoding)
    } else {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(KeyError::unusable)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(KeyError::unusable)?;
        let pkcs8 = Zeroizing::new(der.as_ref().to_vec());
        // jsonwebtoken wants PKCS#1; the rsa crate converts, and is used for nothing else.
        let key = RsaPrivateKey::from_pkcs8_der(&pkcs8).map_err(KeyError::unusable)?;
        let encoding = EncodingKey::from_rsa_der(key.to_pkcs1_der().map_err(KeyError::unusable)?.as_bytes());
        (pkcs8, encoding)
    };
    let jwk = Jwk::from_encoding_key(&encoding, jose(algorithm)).map_err(KeyError::unusable)?;
    Ok((pkcs8, jwk))
}

pub(super) fn jose(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}
