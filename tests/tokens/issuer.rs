//! Somebody who signs tokens, and a file of keys for the nodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value, json};

static FILES: AtomicUsize = AtomicUsize::new(0);

/// A pair of keys of Ed25519.
pub struct Issuer {
    kid: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl Issuer {
    pub fn new(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a pair of keys");
        Self {
            kid: kid.to_owned(),
            key: EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).expect("a key"),
            public: pair.public_key_raw().to_vec(),
        }
    }

    /// A token for that user that is good for so many seconds.
    pub fn token(&self, user: &str, seconds: i64) -> String {
        self.sign(&json!({"sub": user, "exp": now() + seconds}))
    }

    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        encode(&header, claims, &self.key).expect("it can be signed")
    }

    /// The public key, as it stands in a set.
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(&self.public);
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": x})
    }
}

/// Seconds since the Unix epoch.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("it is after 1970").as_secs()).expect("not that late")
}

/// A JWKS file that is gone when the test ends.
pub struct KeyFile(PathBuf);

impl KeyFile {
    pub fn of(issuers: &[&Issuer]) -> Self {
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringpost-keys-{}-{number}.json", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(issuers);
        file
    }

    /// Replaces the file as a whole, as deployments do.
    pub fn write(&self, issuers: &[&Issuer]) {
        let keys: Vec<_> = issuers.iter().map(|issuer| issuer.jwk()).collect();
        self.write_text(&json!({ "keys": keys }).to_string());
    }

    pub fn write_text(&self, text: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).expect("it can be written");
        fs::rename(&new, &self.0).expect("it can be renamed");
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn name(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
