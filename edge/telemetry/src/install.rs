//! Where logs and traces go.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{Args, ValueEnum};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::span::SPANS;

/// For one batch of spans to reach the collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is in hand at the end may take this long.
const LAST_EXPORT: Duration = Duration::from_secs(5);

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What every server of ours can be told on its command line.
#[derive(Clone, Debug, Args)]
pub struct TelemetryArgs {
    /// Send traces to this OTLP collector over gRPC, such as http://127.0.0.1:4317. Off unless asked for.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// How lines of the log are written.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

impl TelemetryArgs {
    /// [`install`] as the command line says.
    ///
    /// # Errors
    /// As there.
    pub fn install(&self, service: &'static str, version: &str) -> Result<Telemetry, StartError> {
        let traces = self.otlp_endpoint.as_ref().map(|endpoint| TraceOptions {
            endpoint: endpoint.clone(),
            service,
            version: version.to_owned(),
        });
        install(self.log_format, traces.as_ref())
    }
}

/// Where traces go, and who sends them.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// An OTLP collector over gRPC, such as `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// `service.name`, unless OTEL_SERVICE_NAME names another.
    pub service: &'static str,
    /// `service.version`.
    pub version: String,
}

/// Traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No address of a collector that this program can speak to.
    #[error(
        "the collector {endpoint:?} is no address of OTLP over gRPC without TLS: write it like http://127.0.0.1:4317, and let a \
         collector on this machine send traces further"
    )]
    Endpoint {
        /// As it was given.
        endpoint: String,
    },
    /// The exporter says no.
    #[error("traces cannot be sent to {endpoint}: {what}")]
    Exporter {
        /// As it was given.
        endpoint: String,
        /// Its words.
        what: String,
    },
}

/// Keep it while the program runs; [`Telemetry::flush`] at its end.
#[derive(Debug)]
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sends what is in hand. A collector that does not answer holds nobody up for long.
    pub async fn flush(self) {
        let Some(provider) = self.0 else { return };
        // It blocks its thread, and the exporter needs the runtime's.
        let flushing = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_EXPORT));
        if let Ok(Err(error)) = flushing.await {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// Starts logs on standard error, as RUST_LOG says or at level info, and traces if `traces` names a collector. Within
/// a tokio runtime, once per process.
///
/// How many traces are kept, and more about the service, is told by OpenTelemetry's own variables:
/// OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_RESOURCE_ATTRIBUTES.
///
/// # Errors
/// The collector's address is none. A collector that is not there is no error: spans are dropped, and the log says so.
pub fn install(format: LogFormat, traces: Option<&TraceOptions>) -> Result<Telemetry, StartError> {
    let provider = traces.map(provider).transpose()?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(provider.as_ref().map(spans_to))
        .with(lines.with_filter(filter))
        .init();
    Ok(Telemetry(provider))
}

fn provider(options: &TraceOptions) -> Result<SdkTracerProvider, StartError> {
    let endpoint = options.endpoint.clone();
    let is_known = endpoint
        .parse::<http::Uri>()
        .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    if !is_known {
        return Err(StartError::Endpoint { endpoint });
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build();
    let exporter = exporter.map_err(|error| StartError::Exporter {
        endpoint,
        what: error.to_string(),
    })?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(options.service);
    }
    let resource = resource
        .with_attribute(KeyValue::new("service.version", options.version.clone()))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

/// The layer that turns spans, and the events within them, into what `provider` exports.
pub fn spans_to<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    // Not the exporter's own: what it sends would be spans again.
    let wanted = Targets::new()
        .with_default(LevelFilter::OFF)
        .with_target(SPANS, Level::DEBUG)
        .with_target("deadline", Level::DEBUG);
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("tminus"))
        .with_threads(false)
        .with_location(false)
        .with_tracked_inactivity(false)
        .with_filter(wanted)
}
