//! Spans as OpenTelemetry has them, in batches, to a collector.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};

use crate::config::ConfigError;
use crate::dispatch::{Span, SpanSink, Step};
use crate::id::NodeId;

/// What a collector may take for one batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The queue of spans; when it is full more are dropped.
#[derive(Debug)]
pub(super) struct Exporter {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Exporter {
    /// Called within the runtime, which carries the connection.
    pub fn start(endpoint: &str, node: &NodeId) -> Result<Self, ConfigError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| ConfigError {
                key: "otel-endpoint",
                value: endpoint.to_owned(),
                reason: error.to_string(),
            })?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let resource = Resource::builder()
            .with_service_name("ringpost")
            .with_attributes([
                KeyValue::new("service.instance.id", node.as_str().to_owned()),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        processor.set_resource(&resource);
        let scope = InstrumentationScope::builder("ringpost")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Ok(Self { processor, scope })
    }

    /// Sends what is left.
    pub fn end(&self, timeout: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(timeout) {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

impl SpanSink for Exporter {
    fn ended(&self, span: Span) {
        let context = SpanContext::new(
            TraceId::from(span.context.trace),
            SpanId::from(span.context.span),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        );
        self.processor.on_end(SpanData {
            span_context: context,
            parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: false,
            span_kind: match span.what {
                Step::Send => SpanKind::Producer,
                Step::Append | Step::Deliver => SpanKind::Consumer,
            },
            name: Cow::Borrowed(span.what.name()),
            start_time: span.start,
            end_time: span.end,
            attributes: vec![
                KeyValue::new("messaging.system", "ringpost"),
                KeyValue::new("messaging.message.id", span.message.into_string()),
            ],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.failed.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        });
    }
}
