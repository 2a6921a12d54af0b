//! Traces of messages on their way to a collector (OTLP over gRPC).

#[cfg(feature = "otel")]
mod otlp;

use std::time::Duration;

use crate::config::{Config, ConfigError};
use crate::dispatch::Tracing;

/// What the last spans have for leaving the node.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where the spans of a node go; nowhere unless that is wanted and built in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traces {
    #[cfg(feature = "otel")]
    exporter: Option<std::sync::Arc<otlp::Exporter>>,
}

impl Traces {
    /// Gets ready to send spans. A collector that is not there is not waited for.
    ///
    /// # Errors
    /// The setting that cannot stay as it is.
    #[cfg(feature = "otel")]
    pub fn start(config: &Config) -> Result<Self, ConfigError> {
        let exporter = match &config.traces.endpoint {
            None => None,
            Some(endpoint) => Some(std::sync::Arc::new(otlp::Exporter::start(
                endpoint, &config.id,
            )?)),
        };
        Ok(Self { exporter })
    }

    /// As above; what would have to be refused was refused with the settings.
    #[cfg(not(feature = "otel"))]
    #[allow(clippy::unnecessary_wraps)]
    pub fn start(_: &Config) -> Result<Self, ConfigError> {
        Ok(Self {})
    }

    /// Which messages are traced.
    #[cfg_attr(
        not(feature = "otel"),
        expect(clippy::unused_self, reason = "without the feature it is empty")
    )]
    pub fn tracing(&self, config: &Config) -> Option<Tracing> {
        #[cfg(feature = "otel")]
        return Some(Tracing {
            sink: self.exporter.clone()?,
            sampled_ppm: config.traces.sampled_ppm,
        });
        #[cfg(not(feature = "otel"))]
        {
            let _ = config;
            None
        }
    }

    /// Sends what is left, and no more.
    #[cfg_attr(
        not(feature = "otel"),
        expect(
            clippy::unused_async,
            reason = "without the feature there is nothing to wait for"
        )
    )]
    pub async fn end(&self) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.exporter.clone() {
            // It waits for a thread of its own.
            let ended = tokio::task::spawn_blocking(move || exporter.end(FAREWELL));
            let _ = tokio::time::timeout(FAREWELL * 2, ended).await;
        }
        #[cfg(not(feature = "otel"))]
        let _ = FAREWELL;
    }
}
