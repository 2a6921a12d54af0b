//! By what name a node on a loopback address may be asked.
//!
//! Any web site can give its own name to a loopback address, and so make a browser take what is there for
//! the site's own (DNS rebinding). What is asked for by such a name is not answered: neither programs on
//! this machine nor browsers that show the dashboard need one. Where there are keys they are protection
//! enough, and the name may be any.

use std::net::IpAddr;

use hyper::header::HOST;
use hyper::{Request, Version};

use crate::core::api::Fault;
use crate::error::ErrorCode;

/// What tells nothing may be asked for by any name.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Refuses names other than `localhost` and addresses.
///
/// # Errors
/// 403. HTTP/2 without TLS is spoken by no browser, and passes.
pub(super) fn refuse_strange_names<B>(request: &Request<B>) -> Result<(), Fault> {
    if request.version() >= Version::HTTP_2 || OPEN_PATHS.contains(&request.uri().path()) {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_own = match (hosts.next(), hosts.next()) {
        // A program that is older than Host.
        (None, _) => true,
        (Some(host), None) => host.to_str().is_ok_and(is_local),
        (Some(_), Some(_)) => false,
    };
    if is_own {
        return Ok(());
    }
    let message = "on a loopback address and without --api-keys-file a node answers only when it is \
                   asked for as localhost or by address";
    Err(Fault::new(ErrorCode::NotAllowed, message))
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(version: Version, path: &str, hosts: &[&str]) -> bool {
        let mut request = Request::get(path).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        refuse_strange_names(&request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn a_node_on_loopback_is_asked_for_by_address_or_as_localhost() {
        for host in [
            "127.0.0.1:7201",
            "127.0.0.1",
            "[::1]:7201",
            "localhost:7201",
            "LOCALHOST",
            "n1.localhost:7201",
            "10.0.0.7:80",
        ] {
            assert!(asked(Version::HTTP_11, "/", &[host]), "{host}");
        }
        for host in [
            "evil.example:7201",
            "localhost.evil",
            "",
            "127.0.0.1.evil:80",
        ] {
            assert!(!asked(Version::HTTP_11, "/v1/cluster", &[host]), "{host}");
            assert!(asked(Version::HTTP_11, "/healthz", &[host]), "{host}");
            assert!(asked(Version::HTTP_2, "/v1/cluster", &[host]), "{host}");
        }
        assert!(!asked(Version::HTTP_11, "/", &["localhost", "localhost"]));
        assert!(asked(Version::HTTP_10, "/metrics", &[]));
    }
}
