//! The keys of backends.

use sha2::{Digest as _, Sha256};

/// Fewest characters of a key.
const KEY_CHARS_MIN: usize = 16;

/// Keys that are accepted, as their hashes.
pub(crate) struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// The keys in a file, one a line, without white space around them; empty lines do not count.
    ///
    /// # Errors
    /// There is none, or one cannot be used. The sentence quotes nothing of the file.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(file).map_err(|_| "it is not UTF-8 text".to_owned())?;
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let key = line.trim();
            if key.is_empty() {
                continue;
            }
            if key.len() < KEY_CHARS_MIN {
                return Err(format!(
                    "line {number} has fewer than {KEY_CHARS_MIN} characters; `openssl rand -hex 32` makes a good key"
                ));
            }
            if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!(
                    "line {number} has characters that cannot stand in a header: only visible ASCII does"
                ));
            }
            keys.push(Sha256::digest(key).into());
        }
        if keys.is_empty() {
            return Err(
                "there is no key in it; `openssl rand -hex 32` makes a good one".to_owned(),
            );
        }
        Ok(Self(keys))
    }

    /// Whether an `Authorization` is one of the keys as a bearer. Hashes are compared, and all of them: how long it
    /// takes tells nothing of a key.
    pub fn admit(&self, authorization: &[u8]) -> bool {
        const SCHEME: &[u8] = b"bearer ";
        let Some((scheme, key)) = authorization.split_at_checked(SCHEME.len()) else {
            return false;
        };
        let hash: [u8; 32] = Sha256::digest(key.trim_ascii()).into();
        let known = self.0.iter().filter(|one| **one == hash).count();
        scheme.eq_ignore_ascii_case(SCHEME) && known > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_key_and_nothing_else_is() {
        let keys = ApiKeys::parse(b"\n first-key-0123456789 \r\nsecond-key-0123456789\n").unwrap();
        for good in [
            "Bearer first-key-0123456789",
            "bearer second-key-0123456789",
            "BEARER  second-key-0123456789 ",
        ] {
            assert!(keys.admit(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "first-key-0123456789",
            "Basic  first-key-0123456789",
            "Bearer first-key-012345678",
            "Bearer first-key-01234567890",
            "Bearer FIRST-KEY-0123456789",
            "Bearer first-key-0123456789 second-key-0123456789",
        ] {
            assert!(!keys.admit(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn files_without_a_good_key_are_refused_and_not_quoted() {
        let refused = |file: &[u8], words: &str| {
            let reason = ApiKeys::parse(file).err().expect("it is refused");
            assert!(reason.contains(words), "{reason}");
            assert!(!reason.contains("secret"), "{reason}");
        };
        refused(b" \n", "no key");
        refused(b"long-enough-0123456789\nsecret-15-chars", "line 2");
        refused("secret-with-an-\u{e9}-0123456".as_bytes(), "visible ASCII");
        refused(b"secret-with-a gap-012345", "visible ASCII");
        refused(b"\xff", "UTF-8");
    }
}
