//! Tokens of users: JSON Web Tokens (RFC 7519), signed by HS256, RS256, ES256 or `EdDSA`.
//!
//! The library checks the signature alone. Times, audience and issuer are looked at here, since the
//! library reads the clock by itself.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::{Claims, Principal};
use crate::id::{InvalidId, UserId};

/// Shortest secret of HS256, in bytes: RFC 7518, section 3.2.
pub const SECRET_BYTES_MIN: usize = 32;
/// Longest token, in bytes. A guess: request heads are bounded, messages less so.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// A point of P-256, uncompressed, in bytes: SEC 1, section 2.3.3.
const P256_POINT_BYTES: usize = 65;

/// Keys that sign tokens.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    /// The `kid` that tokens name it by; `None`: it is tried for all tokens.
    id: Option<String>,
    algorithm: Algorithm,
    verifies: DecodingKey,
}

/// What a token must say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenPolicy {
    /// One of these in `aud`; empty: whatever.
    pub audiences: Vec<String>,
    /// One of these in `iss`; empty: whatever.
    pub issuers: Vec<String>,
    /// By how much clocks may be off, in milliseconds.
    pub leeway_ms: u64,
}

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no signed token at all, or asks for something that is not understood.
    #[error("this is not a token")]
    Malformed,
    /// It is signed in a way, or by a key, that is not known here.
    #[error("the token is signed by a key that is not known here")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is for somebody else.
    #[error("the token is not for this service (aud)")]
    Audience,
    /// It is from somebody else.
    #[error("the token is not from an issuer that counts here (iss)")]
    Issuer,
    /// `sub` is missing, or no user id.
    #[error("the token names no user (sub): {0}")]
    User(String),
}

/// Why a file has no keys. Nothing of the file is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// It is neither PEM nor JWKS.
    #[error("it is neither PEM (a public key) nor a JWKS, which is JSON")]
    Form,
    /// A PEM block is no public key for RS256, ES256 or `EdDSA`.
    #[error("it is no public key for RS256, ES256 (P-256) or EdDSA (Ed25519)")]
    Pem,
    /// A JWKS has no key that could be used.
    #[error("it has no key for RS256, ES256, EdDSA or HS256")]
    NoKey,
    /// A secret is too short.
    #[error("a secret must have at least {SECRET_BYTES_MIN} bytes, such as 64 random hex digits")]
    Short,
}

impl Keyring {
    /// Adds a secret (HS256).
    ///
    /// # Errors
    /// It is too short.
    pub fn add_secret(&mut self, secret: &[u8]) -> Result<(), BadKeys> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(BadKeys::Short);
        }
        self.keys.push(Key {
            id: None,
            algorithm: Algorithm::HS256,
            verifies: DecodingKey::from_secret(secret),
        });
        Ok(())
    }

    /// Adds what is in a file of keys: PEM blocks, or a JWKS (RFC 7517).
    ///
    /// # Errors
    /// Nothing is in it that could be used. What was added before stays.
    pub fn add_file(&mut self, file: &[u8]) -> Result<(), BadKeys> {
        let text = std::str::from_utf8(file).map_err(|_| BadKeys::Form)?;
        let new = match text.trim_start().as_bytes() {
            [b'{', ..] => jwks(text)?,
            _ => pem(text)?,
        };
        self.keys.extend(new);
        Ok(())
    }

    /// Whose token this is, `now` in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`TokenError`]: it is not believed.
    pub fn verify(
        &self,
        token: &str,
        policy: &TokenPolicy,
        now: u64,
    ) -> Result<Principal, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
            // An algorithm that the library does not know, `none` among them.
            ErrorKind::Json(_) => TokenError::UnknownKey,
            _ => TokenError::Malformed,
        })?;
        // There is no extension that we would understand: RFC 7515, section 4.1.11.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let claims = self.claims(token, &header)?;
        policy.judge(claims, now)
    }

    fn claims(&self, token: &str, header: &Header) -> Result<Claims, TokenError> {
        let mut error = TokenError::UnknownKey;
        for key in self.keys.iter().filter(|key| key.may_sign(header)) {
            match jsonwebtoken::decode::<Claims>(
                token,
                &key.verifies,
                &signature_alone(key.algorithm),
            ) {
                Ok(token) => return Ok(token.claims),
                Err(failed) => {
                    error = match failed.kind() {
                        ErrorKind::InvalidSignature => TokenError::Signature,
                        _ => TokenError::Malformed,
                    }
                }
            }
        }
        Err(error)
    }
}

impl fmt::Debug for Keyring {
    /// How many keys there are, and nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

impl Key {
    /// A key is for one algorithm: a public key that were taken for a secret would let anybody sign.
    fn may_sign(&self, header: &Header) -> bool {
        let named = match (&self.id, &header.kid) {
            (Some(ours), Some(named)) => ours == named,
            // One of several keys without a name, or a token that names none.
            (None, _) | (_, None) => true,
        };
        named && self.algorithm == header.alg
    }
}

impl TokenPolicy {
    fn judge(&self, claims: Claims, now: u64) -> Result<Principal, TokenError> {
        let exp = time(&claims, "exp")?;
        let latest = exp.map(|exp| exp.saturating_add(self.leeway_ms));
        if latest.is_some_and(|latest| latest <= now) {
            return Err(TokenError::Expired);
        }
        // Who is let in by the leeway has that, and everybody else what the token says.
        let expires_at = exp.filter(|exp| *exp > now).or(latest);
        let starts_at = time(&claims, "nbf")?.unwrap_or_default();
        if starts_at > now.saturating_add(self.leeway_ms) {
            return Err(TokenError::NotYet);
        }
        if !self.audiences.is_empty() && !names_one_of(claims.get("aud"), &self.audiences) {
            return Err(TokenError::Audience);
        }
        let issuer = claims.get("iss").filter(|issuer| issuer.is_string());
        if !self.issuers.is_empty() && !names_one_of(issuer, &self.issuers) {
            return Err(TokenError::Issuer);
        }
        let user = match claims.get("sub") {
            Some(Value::String(user)) => {
                UserId::new(user).map_err(|why: InvalidId| TokenError::User(why.to_string()))?
            }
            _ => return Err(TokenError::User("it must be a string".to_owned())),
        };
        Ok(Principal {
            user,
            expires_at,
            claims: Some(Arc::new(claims)),
        })
    }
}

/// A time in seconds, as milliseconds. One that is no number is refused, not passed over.
fn time(claims: &Claims, name: &str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
    let seconds = seconds.ok_or(TokenError::Malformed)?;
    // Past the year 10^9 it makes no difference: the cast stops at the largest number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let ms = (seconds * 1000.0) as u64;
    Ok(Some(ms))
}

/// Whether a name, or one of a list of names, is among these.
fn names_one_of(value: Option<&Value>, wanted: &[String]) -> bool {
    let is_wanted = |value: &Value| {
        (value.as_str()).is_some_and(|name| wanted.iter().any(|wanted| wanted == name))
    };
    match value {
        Some(Value::Array(names)) => names.iter().any(is_wanted),
        Some(name) => is_wanted(name),
        None => false,
    }
}

fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn pem(text: &str) -> Result<Vec<Key>, BadKeys> {
    const BEGIN: &str = "-----BEGIN ";
    let starts: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    if starts.is_empty() {
        return Err(BadKeys::Form);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let blocks = starts.iter().zip(ends).map(|(&from, to)| &text[from..to]);
    blocks.map(public_key).collect()
}

fn public_key(block: &str) -> Result<Key, BadKeys> {
    let block = block.as_bytes();
    let key = DecodingKey::from_rsa_pem(block)
        .or_else(|_| DecodingKey::from_ec_pem(block))
        .or_else(|_| DecodingKey::from_ed_pem(block));
    let key = key.ok();
    key.and_then(|key| Key::new(None, key)).ok_or(BadKeys::Pem)
}

impl Key {
    fn new(id: Option<String>, key: DecodingKey) -> Option<Self> {
        let algorithm = match key.family() {
            AlgorithmFamily::Hmac => Algorithm::HS256,
            AlgorithmFamily::Rsa => Algorithm::RS256,
            AlgorithmFamily::Ec => Algorithm::ES256,
            AlgorithmFamily::Ed => Algorithm::EdDSA,
        };
        let bytes = key.try_get_as_bytes().map_or(0, <[u8]>::len);
        let good = match algorithm {
            Algorithm::ES256 => bytes == P256_POINT_BYTES,
            Algorithm::HS256 => bytes >= SECRET_BYTES_MIN,
            _ => true,
        };
        good.then_some(Self {
            id,
            algorithm,
            verifies: key,
        })
    }
}

/// The keys of a set that can be used here; others are passed over, as RFC 7517, section 5, wants it.
fn jwks(text: &str) -> Result<Vec<Key>, BadKeys> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_str(text).map_err(|_| BadKeys::Form)?;
    let keys: Vec<Key> = set.keys.into_iter().filter_map(jwk).collect();
    if keys.is_empty() {
        return Err(BadKeys::NoKey);
    }
    Ok(keys)
}

fn jwk(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    let signs = !matches!(&common.public_key_use, Some(other) if *other != PublicKeyUse::Signature);
    let verifies = (common.key_operations.as_ref())
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let key = Key::new(common.key_id.clone(), DecodingKey::from_jwk(&jwk).ok()?)?;
    let algorithm = common.key_algorithm.map(|named| named.to_string());
    let is_for = algorithm.is_none_or(|named| named == format!("{:?}", key.algorithm));
    (signs && verifies && is_for).then_some(key)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
