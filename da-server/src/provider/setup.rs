//! Why a client could not be built from its configuration.

use std::{io, path::PathBuf};

/// A provider client that cannot be built. Every message says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderSetupError {
    /// A hosted provider is selected and no key was given.
    #[error("no API key for {protocol}: set {variable}, or api_key_file in its section")]
    MissingKey {
        /// The protocol of the section.
        protocol: &'static str,
        /// Environment variable that would be read.
        variable: &'static str,
    },
    /// The key has bytes that no HTTP header can carry.
    #[error("the API key for {protocol} has characters that cannot be sent; check for line breaks")]
    UnusableKey {
        /// The protocol of the section.
        protocol: &'static str,
    },
    /// A file named by the configuration could not be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    File {
        /// The file as configured.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The CA file holds no usable certificate.
    #[error("{path} holds no usable PEM certificate: {reason}")]
    Certificate {
        /// The file as configured.
        path: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// A base URL that cannot be used.
    #[error(
        "base_url {url:?} of {protocol} is unusable: {reason}; write http(s)://host[:port][/path]"
    )]
    BaseUrl {
        /// The protocol of the section.
        protocol: &'static str,
        /// The URL as configured.
        url: String,
        /// What was wrong with it.
        reason: String,
    },
    /// A base URL with a password in it, which is therefore not repeated.
    #[error(
        "base_url of {protocol} has an @: leave out user and password, the key has its own \
         setting; an @ in a path is written %40"
    )]
    UserInfo {
        /// The protocol of the section.
        protocol: &'static str,
    },
    /// An audio format that no client knows.
    #[error(
        "output_format {format:?} is unknown; write codec_rate or codec_rate_kbps, as in mp3_44100_128 or pcm_16000"
    )]
    OutputFormat {
        /// The format as configured.
        format: String,
    },
    /// An audio format that this provider does not give.
    #[error("output_format {format:?} can't be had from {provider}: {has}")]
    UnavailableFormat {
        /// Label value of the provider.
        provider: &'static str,
        /// The format as configured.
        format: String,
        /// What there is instead.
        has: &'static str,
    },
    /// A version that no HTTP header can carry.
    #[error("version {version:?} cannot be sent; write it as in 2026-10-21")]
    UnusableVersion {
        /// The version as configured.
        version: String,
    },
    /// Settings of one protocol beside another.
    #[error("auth and version are settings of protocol = \"anthropic\"; leave them out")]
    OnlyAnthropic,
    /// A list of fallbacks that can't be used.
    #[error("{0}")]
    Fallback(String),
    /// The TLS or HTTP library refused its settings.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
}
