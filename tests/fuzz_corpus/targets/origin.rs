//! The list of origins, and what is held against it.

use hyper::HeaderMap;
use hyper::header::{HeaderValue, ORIGIN};
use ringpost::core::handshake::{AllowedOrigin, Origin, origin};

/// Three lines: an entry of the list, an `Origin`, a `Host`.
pub fn origin(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (entry, asked, host) = (line(), line(), line());
    if let Ok(parsed) = asked.parse::<Origin>() {
        assert_eq!(parsed.to_string().parse(), Ok(parsed));
    }
    let Ok(value) = HeaderValue::from_str(asked) else {
        return;
    };
    let headers: HeaderMap = [(ORIGIN, value)].into_iter().collect();
    let _ = origin::allowed(&[], Some(host), ["wss://n2.example"], &headers);
    let Ok(listed) = entry.parse::<AllowedOrigin>() else {
        return;
    };
    assert!(!matches!(entry, "*" | "null"));
    if let Ok(echoed) = origin::allowed(&[listed], Some(host), [], &headers) {
        assert_eq!(echoed.as_deref(), Some(asked));
        let (entry, asked) = (entry.to_ascii_lowercase(), asked.to_ascii_lowercase());
        if let Some((scheme, domain)) = entry.split_once("://*.") {
            let (domain, _) = domain.split_once(':').unwrap_or((domain, ""));
            let asked = asked
                .strip_prefix(&format!("{scheme}://"))
                .expect("its scheme");
            let (host, _) = asked.split_once(':').unwrap_or((asked, ""));
            let below = host.strip_suffix(&format!(".{domain}"));
            assert!(
                below.is_some_and(|labels| !labels.is_empty()),
                "{host} for {domain}"
            );
        }
    }
}
