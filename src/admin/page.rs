//! `GET /`: the dashboard. Its files tell nothing of the cluster, so they need no key; what they show is
//! asked for with one.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

use super::{Body, respond, text};

/// Nothing from elsewhere, nothing inline, and nobody may show it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($name:literal, $kind:expr) => {
        (
            concat!("/dashboard/", $name),
            $kind,
            include_str!(concat!("page/", $name)),
        )
    };
}

const FILES: [(&str, &str, &str); 14] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("page/index.html"),
    ),
    file!("style.css", "text/css; charset=utf-8"),
    file!("favicon.svg", "image/svg+xml"),
    file!("dashboard.js", SCRIPT),
    file!("cluster.js", SCRIPT),
    file!("details.js", SCRIPT),
    file!("feed.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("lookup.js", SCRIPT),
    file!("members.js", SCRIPT),
    file!("ring.js", SCRIPT),
    file!("timeline.js", SCRIPT),
    file!("totals.js", SCRIPT),
];

/// The answer, if the path is one of the page's.
pub(super) fn answer(method: &Method, path: &str) -> Option<Response<Body>> {
    let (_, kind, content) = FILES.into_iter().find(|(at, ..)| *at == path)?;
    let mut response = if matches!(*method, Method::GET | Method::HEAD) {
        respond(StatusCode::OK, kind, Bytes::from_static(content.as_bytes()))
    } else {
        let refused = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "this is a page\n".to_owned(),
        );
        with(refused, ALLOW, "GET, HEAD")
    };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        response = with(response, name, value);
    }
    Some(response)
}

fn with(mut response: Response<Body>, name: HeaderName, value: &'static str) -> Response<Body> {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_only_what_is_there_and_nothing_is_inline() {
        let (_, _, html) = FILES[0];
        for tag in html
            .split('<')
            .filter(|tag| tag.starts_with("script") || tag.starts_with("link"))
        {
            let at = tag.split('"').find(|part| part.starts_with('/'));
            let at = at.unwrap_or_else(|| panic!("nothing is loaded by <{tag}"));
            assert!(FILES.iter().any(|(path, ..)| *path == at), "{at}");
        }
        assert!(!html.contains("style=") && !html.contains("<style") && !html.contains(" on"));
        for (path, kind, script) in FILES.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            assert_eq!(*kind, SCRIPT);
            assert!(!script.contains("innerHTML"), "{path}");
            let imports = script.split("from \"./").skip(1);
            for name in imports.filter_map(|rest| rest.split('"').next()) {
                let wanted = format!("/dashboard/{name}");
                assert!(
                    FILES.iter().any(|(path, ..)| *path == wanted),
                    "{path}: {name}"
                );
            }
        }
    }

    #[test]
    fn the_page_is_read_only() {
        assert_eq!(
            answer(&Method::GET, "/").map(|it| it.status()),
            Some(StatusCode::OK)
        );
        let refused = answer(&Method::POST, "/").map(|it| it.status());
        assert_eq!(refused, Some(StatusCode::METHOD_NOT_ALLOWED));
        assert!(answer(&Method::GET, "/dashboard/nothing.js").is_none());
    }
}
