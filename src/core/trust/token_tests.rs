use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, encode};
use proptest::prelude::*;
use rcgen::{KeyPair, SignatureAlgorithm};
use serde_json::json;

use super::*;

const NOW: u64 = 1_700_000_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Somebody who signs tokens.
struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    public_pem: String,
    /// Of `EdDSA` only.
    public_raw: Vec<u8>,
}

impl Issuer {
    fn new(algorithm: Algorithm, how: &'static SignatureAlgorithm) -> Self {
        let pair = KeyPair::generate_for(how).unwrap();
        let private = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(private.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(private.as_bytes()),
            _ => EncodingKey::from_ec_pem(private.as_bytes()),
        };
        Self {
            algorithm,
            key: key.unwrap(),
            public_pem: pair.public_key_pem(),
            public_raw: pair.public_key_raw().to_vec(),
        }
    }

    fn with_secret() -> Self {
        Self {
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(SECRET),
            public_pem: String::new(),
            public_raw: Vec::new(),
        }
    }

    fn all() -> Vec<Self> {
        vec![
            Self::with_secret(),
            Self::new(Algorithm::RS256, &rcgen::PKCS_RSA_SHA256),
            Self::new(Algorithm::ES256, &rcgen::PKCS_ECDSA_P256_SHA256),
            Self::new(Algorithm::EdDSA, &rcgen::PKCS_ED25519),
        ]
    }

    fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = kid.map(str::to_owned);
        encode(&header, claims, &self.key).unwrap()
    }

    fn keyring(&self) -> Keyring {
        let mut keyring = Keyring::default();
        if self.algorithm == Algorithm::HS256 {
            keyring.add_secret(SECRET).unwrap();
        } else {
            keyring.add_file(self.public_pem.as_bytes()).unwrap();
        }
        keyring
    }

    fn jwk(&self, kid: &str) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.public_raw);
            return json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x});
        }
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(kid);
        jwk
    }
}

fn verify(keyring: &Keyring, token: &str) -> Result<Principal, TokenError> {
    keyring.verify(token, &TokenPolicy::default(), NOW)
}

#[test]
fn tokens_of_all_four_kinds_are_believed_for_their_key_alone() {
    let issuers = Issuer::all();
    let claims = json!({"sub": "alice", "role": "admin", "exp": NOW / 1000 + 60});
    for issuer in &issuers {
        let token = issuer.sign(None, &claims);
        let principal = verify(&issuer.keyring(), &token).unwrap();
        assert_eq!(principal.user.as_str(), "alice");
        assert_eq!(principal.expires_at, Some(NOW + 60_000));
        assert_eq!(principal.claims.unwrap()["role"], "admin");
        for other in issuers.iter().filter(|o| o.algorithm != issuer.algorithm) {
            let refused = verify(&other.keyring(), &token);
            assert_eq!(
                refused,
                Err(TokenError::UnknownKey),
                "{:?}",
                issuer.algorithm
            );
        }
        if issuer.algorithm != Algorithm::HS256 {
            let how = match issuer.algorithm {
                Algorithm::RS256 => &rcgen::PKCS_RSA_SHA256,
                Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
                _ => &rcgen::PKCS_ED25519,
            };
            let stranger = Issuer::new(issuer.algorithm, how);
            let refused = verify(&stranger.keyring(), &token);
            assert_eq!(refused, Err(TokenError::Signature));
        }
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let issuer = Issuer::new(Algorithm::RS256, &rcgen::PKCS_RSA_SHA256);
    let forger = EncodingKey::from_secret(issuer.public_pem.as_bytes());
    let claims = json!({"sub": "alice"});
    let made_up = encode(&Header::new(Algorithm::HS256), &claims, &forger).unwrap();
    assert_eq!(
        verify(&issuer.keyring(), &made_up),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn a_token_without_a_signature_is_none() {
    let keyring = Issuer::with_secret().keyring();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = part(&json!({"sub": "alice"}));
    for alg in ["none", "None", "nOnE", ""] {
        let header = part(&json!({"alg": alg, "typ": "JWT"}));
        for token in [format!("{header}.{claims}."), format!("{header}.{claims}")] {
            assert!(verify(&keyring, &token).is_err(), "{alg}");
        }
    }
    let good = Issuer::with_secret().sign(None, &json!({"sub": "alice"}));
    let cut = good.rsplit_once('.').unwrap().0;
    assert!(verify(&keyring, &format!("{cut}.")).is_err());
}

#[test]
fn an_extension_that_is_not_understood_is_refused() {
    let issuer = Issuer::with_secret();
    let mut header = Header::new(Algorithm::HS256);
    header.crit = Some(vec!["b64".to_owned()]);
    let token = encode(&header, &json!({"sub": "alice"}), &issuer.key).unwrap();
    assert_eq!(
        verify(&issuer.keyring(), &token),
        Err(TokenError::Malformed)
    );
}

#[test]
fn times_are_kept_with_the_leeway() {
    let issuer = Issuer::with_secret();
    let policy = TokenPolicy {
        leeway_ms: 5000,
        ..Default::default()
    };
    let judged = |claims: Value| {
        let token = issuer.sign(None, &claims);
        let principal = issuer.keyring().verify(&token, &policy, NOW);
        principal.map(|principal| principal.expires_at)
    };
    let seconds = NOW / 1000;
    let with = |name: &str, time: Value| judged(json!({"sub": "a", name: time}));
    assert_eq!(with("exp", json!(seconds - 4)), Ok(Some(NOW + 1000)));
    assert_eq!(with("exp", json!(seconds - 5)), Err(TokenError::Expired));
    assert_eq!(with("exp", json!(seconds + 5)), Ok(Some(NOW + 5000)));
    assert_eq!(with("exp", json!(1e300)), Ok(Some(u64::MAX)));
    assert_eq!(with("nbf", json!(seconds + 5)), Ok(None));
    assert_eq!(with("nbf", json!(seconds + 6)), Err(TokenError::NotYet));
    // A time that is no time is never taken for none.
    for odd in [json!("1"), json!(null), json!(-1), json!([1])] {
        assert_eq!(
            with("exp", odd.clone()),
            Err(TokenError::Malformed),
            "{odd}"
        );
        assert_eq!(
            with("nbf", odd.clone()),
            Err(TokenError::Malformed),
            "{odd}"
        );
    }
}

#[test]
fn audience_and_issuer_are_asked_for_where_they_are_set() {
    let issuer = Issuer::with_secret();
    let policy = TokenPolicy {
        audiences: vec!["chat".into(), "mail".into()],
        issuers: vec!["https://id".into()],
        leeway_ms: 0,
    };
    let judged = |claims: Value| {
        let token = issuer.sign(None, &claims);
        issuer.keyring().verify(&token, &policy, NOW).map(drop)
    };
    let good = json!({"sub": "a", "aud": ["x", "mail"], "iss": "https://id"});
    assert_eq!(judged(good), Ok(()));
    let with = |aud: Value, iss: Value| judged(json!({"sub": "a", "aud": aud, "iss": iss}));
    assert_eq!(with(json!("chat"), json!("https://id")), Ok(()));
    assert_eq!(
        with(json!("x"), json!("https://id")),
        Err(TokenError::Audience)
    );
    assert_eq!(
        with(json!(null), json!("https://id")),
        Err(TokenError::Audience)
    );
    assert_eq!(
        with(json!("chat"), json!("https://i")),
        Err(TokenError::Issuer)
    );
    assert_eq!(
        with(json!("chat"), json!(["https://id"])),
        Err(TokenError::Issuer)
    );
}

#[test]
fn the_user_must_be_one() {
    let issuer = Issuer::with_secret();
    for sub in [
        json!(null),
        json!(7),
        json!(""),
        json!("a\nb"),
        json!("x".repeat(257)),
    ] {
        let token = issuer.sign(None, &json!({"sub": sub}));
        let refused = verify(&issuer.keyring(), &token);
        assert!(matches!(refused, Err(TokenError::User(_))), "{sub}");
    }
}

#[test]
fn a_jwks_gives_the_key_that_a_token_names() {
    let first = Issuer::new(Algorithm::ES256, &rcgen::PKCS_ECDSA_P256_SHA256);
    let second = Issuer::new(Algorithm::ES256, &rcgen::PKCS_ECDSA_P256_SHA256);
    let third = Issuer::new(Algorithm::EdDSA, &rcgen::PKCS_ED25519);
    let mut set = json!({"keys": [first.jwk("1"), second.jwk("2"), third.jwk("3")]});
    let keys = set["keys"].as_array_mut().unwrap();
    keys.push(json!({"kty": "new-kind", "kid": "4"}));
    keys.push(json!({"kty": "oct", "kid": "5", "k": "c2hvcnQ"}));
    let mut keyring = Keyring::default();
    keyring.add_file(set.to_string().as_bytes()).unwrap();
    assert_eq!(keyring.keys.len(), 3);
    let claims = json!({"sub": "alice"});
    for (issuer, kid) in [(&first, "1"), (&second, "2"), (&third, "3")] {
        assert!(verify(&keyring, &issuer.sign(Some(kid), &claims)).is_ok());
        assert!(verify(&keyring, &issuer.sign(None, &claims)).is_ok());
    }
    let misnamed = verify(&keyring, &first.sign(Some("2"), &claims));
    assert_eq!(misnamed, Err(TokenError::Signature));
    let unknown = verify(&keyring, &first.sign(Some("9"), &claims));
    assert_eq!(unknown, Err(TokenError::UnknownKey));
}

#[test]
fn a_jwk_for_something_else_is_passed_over() {
    let issuer = Issuer::new(Algorithm::ES256, &rcgen::PKCS_ECDSA_P256_SHA256);
    let jwk = issuer.jwk("1");
    let with = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        let mut keyring = Keyring::default();
        keyring.add_file(json!({"keys": [jwk]}).to_string().as_bytes())
    };
    assert_eq!(with("use", json!("sig")), Ok(()));
    assert_eq!(with("key_ops", json!(["verify"])), Ok(()));
    assert_eq!(with("use", json!("enc")), Err(BadKeys::NoKey));
    assert_eq!(with("key_ops", json!(["encrypt"])), Err(BadKeys::NoKey));
    assert_eq!(with("alg", json!("ES384")), Err(BadKeys::NoKey));
}

#[test]
fn several_pem_blocks_are_several_keys() {
    let issuers = Issuer::all().split_off(1);
    let pems: String = issuers.iter().map(|issuer| &*issuer.public_pem).collect();
    let mut keyring = Keyring::default();
    keyring.add_file(pems.as_bytes()).unwrap();
    for issuer in &issuers {
        // A key without a name is tried for every one.
        let token = issuer.sign(Some("any"), &json!({"sub": "alice"}));
        assert!(verify(&keyring, &token).is_ok(), "{:?}", issuer.algorithm);
    }
}

#[test]
fn files_without_a_usable_key_are_refused() {
    let refused = |file: &[u8]| Keyring::default().add_file(file).unwrap_err();
    assert_eq!(refused(b""), BadKeys::Form);
    assert_eq!(refused(b"\xff"), BadKeys::Form);
    assert_eq!(refused(b"{"), BadKeys::Form);
    assert_eq!(refused(b"{\"keys\":[]}"), BadKeys::NoKey);
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert_eq!(refused(p384.public_key_pem().as_bytes()), BadKeys::Pem);
    let private = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert_eq!(refused(private.serialize_pem().as_bytes()), BadKeys::Pem);
    assert_eq!(
        Keyring::default().add_secret(&SECRET[1..]),
        Err(BadKeys::Short)
    );
}

#[test]
fn nothing_of_keys_and_tokens_is_shown() {
    let keyring = Issuer::with_secret().keyring();
    assert_eq!(format!("{keyring:?}"), "Keyring(1 keys)");
    let token = Issuer::with_secret().sign(None, &json!({"sub": "alice"}));
    let (_, signature) = token.rsplit_once('.').unwrap();
    for error in [
        verify(&keyring, &format!("{token}x")).unwrap_err(),
        verify(&keyring, &token.replace('.', "!")).unwrap_err(),
    ] {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(signature), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_text_is_believed(text in any::<String>(), parts in prop::array::uniform3("[A-Za-z0-9_-]{0,40}")) {
        let keyring = Issuer::with_secret().keyring();
        prop_assert!(verify(&keyring, &text).is_err());
        prop_assert!(verify(&keyring, &parts.join(".")).is_err());
    }
}
