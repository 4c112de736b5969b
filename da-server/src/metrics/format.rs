//! The formats that `/metrics` can be written in.

use prometheus::proto::MetricFamily;
use prometheus::{Encoder, ProtobufEncoder, TextEncoder};

use super::openmetrics;

/// How an exposition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
    /// Messages of Prometheus' `MetricFamily`, each behind its length.
    Protobuf,
}

impl Format {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// The media type, with the parameters by which scrapers know it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }

    /// Families, as they stand between others and before [`Self::end`].
    ///
    /// # Errors
    /// A collector handed over something that can't be written.
    pub fn encode(self, families: &[MetricFamily]) -> prometheus::Result<Vec<u8>> {
        match self {
            Self::Text => TextEncoder.encode_to_string(families).map(String::into_bytes),
            Self::OpenMetrics => openmetrics::encode(families).map(String::into_bytes),
            Self::Protobuf => {
                let mut bytes = Vec::new();
                ProtobufEncoder.encode(families, &mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// What stands behind the last family.
    pub const fn end(self) -> &'static [u8] {
        match self {
            Self::OpenMetrics => b"# EOF\n",
            Self::Text | Self::Protobuf => b"",
        }
    }
}
