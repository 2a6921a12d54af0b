//! The signature of a request, in the form that Stripe and many after it use.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The name of the header field.
pub const HEADER: &str = "ringpost-signature";

/// The value of the header field: the time in seconds since the Unix epoch, and the HMAC-SHA256 over
/// that time, a dot and the body. The time is signed so that an old request cannot be sent again.
#[must_use]
pub fn header(secret: &[u8], unix_seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(unix_seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut text = format!("t={unix_seconds},v1=");
    for byte in mac.finalize().into_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_the_same_bytes() {
        // printf '1732350000.{"events":[]}' | openssl dgst -sha256 -hmac whsec
        assert_eq!(
            header(b"whsec", 1_732_350_000, br#"{"events":[]}"#),
            "t=1732350000,v1=115c3fd2a1943e0566d12beb8e4af15a888d2a0a8b1b909621fea89081f2a680"
        );
    }
}
