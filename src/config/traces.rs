//! Where traces of messages go, and of how many messages there are any.

use super::address;
use super::check::{Checked, refuse};

/// Traces of messages. They need the feature `otel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceConfig {
    /// The collector that takes them, `http://host:port` (OTLP over gRPC); `None`: nothing is traced.
    pub endpoint: Option<String>,
    /// Of a million messages that come without a trace of their own, so many get one. Those with one
    /// are traced as it says.
    pub sampled_ppm: u32,
}

impl TraceConfig {
    /// All messages.
    pub const MILLION: u32 = 1_000_000;
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            // One in a hundred. A guess: enough to see something, and little beside the message.
            sampled_ppm: 10_000,
        }
    }
}

impl TraceConfig {
    pub(super) fn check(&self) -> Checked {
        const KEY: &str = "otel-endpoint";
        if self.sampled_ppm > Self::MILLION {
            let reason = "there are no more than all";
            return refuse("otel-sample-ratio", self.sampled_ppm, reason);
        }
        let Some(endpoint) = &self.endpoint else {
            return Ok(());
        };
        if !cfg!(feature = "otel") {
            let reason = "this program was built without traces; build it with --features otel, or leave \
                          the setting out";
            return refuse(KEY, endpoint, reason);
        }
        let wanted = "it must be http://host:port, such as http://127.0.0.1:4317: a collector on this \
                      machine or network, which may go on with TLS";
        let authority = endpoint.strip_prefix("http://").unwrap_or_default();
        if address::authority_of_client(authority.trim_end_matches('/')).is_err() {
            return refuse(KEY, endpoint, wanted);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(endpoint: &str) -> Option<String> {
        let config = TraceConfig {
            endpoint: Some(endpoint.to_owned()),
            ..TraceConfig::default()
        };
        config.check().err().map(|error| error.reason)
    }

    #[test]
    fn a_collector_is_an_address_without_a_path() {
        let good = refused("http://127.0.0.1:4317");
        if cfg!(feature = "otel") {
            assert_eq!(good, None);
            assert_eq!(refused("http://collector:4317/"), None);
        } else {
            assert!(good.is_some_and(|reason| reason.contains("--features otel")));
        }
        for bad in [
            "",
            "127.0.0.1:4317",
            "https://a:1",
            "http://",
            "http://a:1/x",
        ] {
            assert!(refused(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn without_a_collector_nothing_is_refused() {
        assert!(TraceConfig::default().check().is_ok());
        let config = TraceConfig {
            sampled_ppm: TraceConfig::MILLION + 1,
            ..TraceConfig::default()
        };
        assert!(config.check().is_err());
    }
}
