//! Services whose sockets are watched: `[[endpoint]]`, and the list of them that is built in.

mod doubts;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::hosts;
pub use doubts::doubts;

/// The endpoints every installation knows; `[[endpoint]]` adds to them or replaces them by name.
const CATALOGUE: &str = include_str!("../../../endpoints.toml");

/// `[[endpoint]]`: a service whose sockets are watched, and the label values it is exported under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Value of the `provider` label.
    pub name: String,
    /// Value of the `kind` label.
    pub kind: EndpointKind,
    /// Host names, exact, `*.suffix` (any depth below) or with one `*` elsewhere (a part of one
    /// label), or exact with a port; matched on the TLS SNI, then on the HTTP `Host`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Socket addresses, used when a connection showed no name.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
}

impl EndpointConfig {
    /// Whether it lists that very name or pattern.
    fn lists(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

/// What kind of service an endpoint is: the `kind` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// A language model.
    Llm,
    /// Text to speech.
    Tts,
    /// A database.
    Db,
    /// Anything else.
    Other,
}

impl EndpointKind {
    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Tts => "tts",
            Self::Db => "db",
            Self::Other => "other",
        }
    }
}

/// Why an endpoint list can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// The name would not make a label value an operator could query.
    #[error("endpoint name {0:?}: use 1 to 64 characters out of a-z, 0-9, '.', '_' and '-'")]
    Name(String),
    /// `other` is what unlisted hosts are exported under.
    #[error("endpoint name \"other\" is reserved for hosts that no endpoint lists")]
    Reserved,
    /// Two `[[endpoint]]` sections of one file share a name.
    #[error("endpoint {0:?} is listed twice")]
    Duplicate(String),
    /// Not a host name, with or without a `*`.
    #[error(
        "endpoint {endpoint:?}: host {host:?} is no host name with at most one \"*\", or with a port"
    )]
    Host {
        /// The endpoint's name.
        endpoint: String,
        /// The host as written.
        host: String,
    },
    /// An address, which no client ever shows as the name it asks for.
    #[error(
        "endpoint {endpoint:?}: host {host:?} is an address: list it in addresses, with its port"
    )]
    Address {
        /// The endpoint's name.
        endpoint: String,
        /// The address as written.
        host: String,
    },
    /// An earlier `[[endpoint]]` of the same file lists that host, too, and only one can have it.
    #[error("endpoint {endpoint:?}: host {host:?} is listed by endpoint {by:?} already")]
    Taken {
        /// The endpoint's name.
        endpoint: String,
        /// The host as written.
        host: String,
        /// The earlier endpoint's name.
        by: String,
    },
    /// Nobody can connect there.
    #[error("endpoint {endpoint:?}: address \"{address}\" has port 0, where nobody can connect to")]
    NoPort {
        /// The endpoint's name.
        endpoint: String,
        /// The address.
        address: SocketAddr,
    },
    /// Nothing could ever match it.
    #[error("endpoint {0:?} has neither hosts nor addresses")]
    Empty(String),
}

/// An endpoint of a list that can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{why}")]
pub struct BadEndpoint {
    /// Which, counted from 0.
    pub index: usize,
    /// Why.
    pub why: EndpointError,
}

impl BadEndpoint {
    /// The key of what is wrong: `endpoint.0.hosts`.
    pub fn key(&self) -> String {
        let Self { index, why } = self;
        match why {
            EndpointError::Name(_) | EndpointError::Reserved | EndpointError::Duplicate(_) => {
                format!("endpoint.{index}.name")
            }
            EndpointError::Host { .. }
            | EndpointError::Address { .. }
            | EndpointError::Taken { .. } => format!("endpoint.{index}.hosts"),
            EndpointError::NoPort { .. } => format!("endpoint.{index}.addresses"),
            EndpointError::Empty(_) => format!("endpoint.{index}"),
        }
    }
}

#[derive(Deserialize)]
struct Catalogue {
    endpoint: Vec<EndpointConfig>,
}

/// The built-in catalogue with `own` laid over it: an entry of the same name is replaced.
///
/// # Errors
/// The first entry of `own` that can't be used, and why.
pub fn with_catalogue(own: &[EndpointConfig]) -> Result<Vec<EndpointConfig>, BadEndpoint> {
    for (index, endpoint) in own.iter().enumerate() {
        let bad = |why| BadEndpoint { index, why };
        validate(endpoint).map_err(bad)?;
        if own[..index].iter().any(|earlier| earlier.name == endpoint.name) {
            return Err(bad(EndpointError::Duplicate(endpoint.name.clone())));
        }
        not_taken(endpoint, &own[..index]).map_err(bad)?;
    }
    let mut all = catalogue();
    all.retain(|known| own.iter().all(|endpoint| endpoint.name != known.name));
    all.extend_from_slice(own);
    Ok(all)
}

fn catalogue() -> Vec<EndpointConfig> {
    // The file is part of the binary; the test below is what keeps this from ever being empty.
    toml::from_str::<Catalogue>(CATALOGUE).map_or_else(|_| Vec::new(), |file| file.endpoint)
}

fn validate(endpoint: &EndpointConfig) -> Result<(), EndpointError> {
    let name = &endpoint.name;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(EndpointError::Name(name.clone()));
    }
    if name == "other" {
        return Err(EndpointError::Reserved);
    }
    for host in &endpoint.hosts {
        let (endpoint, host) = (name.clone(), host.clone());
        if hosts::is_address(&host) {
            return Err(EndpointError::Address { endpoint, host });
        }
        if !hosts::is_valid(&host) {
            return Err(EndpointError::Host { endpoint, host });
        }
    }
    if let Some(address) = endpoint.addresses.iter().find(|address| address.port() == 0) {
        return Err(EndpointError::NoPort { endpoint: name.clone(), address: *address });
    }
    if endpoint.hosts.is_empty() && endpoint.addresses.is_empty() {
        return Err(EndpointError::Empty(name.clone()));
    }
    Ok(())
}

fn not_taken(endpoint: &EndpointConfig, earlier: &[EndpointConfig]) -> Result<(), EndpointError> {
    for host in &endpoint.hosts {
        if let Some(by) = earlier.iter().find(|other| other.lists(host)) {
            let (endpoint, host) = (endpoint.name.clone(), host.clone());
            return Err(EndpointError::Taken { endpoint, host, by: by.name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Attribution, Endpoints};
    use super::*;
    use crate::kernel::config::Unlisted;
    use crate::kernel::endpoints::learned::Place;

    fn endpoint(name: &str, hosts: &[&str]) -> EndpointConfig {
        EndpointConfig {
            name: name.to_owned(),
            kind: EndpointKind::Llm,
            hosts: hosts.iter().map(ToString::to_string).collect(),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn every_entry_of_the_catalogue_is_valid_and_named_once() {
        let all = catalogue();
        assert!(all.len() > 5);
        assert_eq!(with_catalogue(&all).expect("valid"), all);
    }

    #[test]
    fn the_catalogue_is_documented_as_it_is() {
        let documentation = include_str!("../../../../docs/CONFIGURATION.md");
        for EndpointConfig { name, kind, hosts, .. } in catalogue() {
            let hosts: Vec<_> = hosts.iter().map(|host| format!("`{host}`")).collect();
            let row = format!("| `{name}` | {} | {} |", kind.as_str(), hosts.join(", "));
            assert!(documentation.lines().any(|line| line == row), "not in the table: {row}");
        }
    }

    #[test]
    fn the_catalogue_knows_hosts_as_their_providers_write_them() {
        let endpoints = Endpoints::new(&catalogue(), Unlisted::Drop);
        let place = Place { network: 1, address: "192.0.2.1:443".parse().expect("address") };
        for (host, name) in [
            ("api.anthropic.com", "anthropic"),
            ("eu.api.openai.com", "openai"),
            ("mine.openai.azure.com", "azure.ai.openai"),
            ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
            ("aiplatform.eu.rep.googleapis.com", "gcp.vertex_ai"),
            ("bedrock-runtime.eu-central-1.amazonaws.com", "aws.bedrock"),
            ("us-south.ml.cloud.ibm.com", "ibm.watsonx.ai"),
            ("api.eu.residency.elevenlabs.io", "elevenlabs"),
            ("westeurope.tts.speech.microsoft.com", "azure.speech"),
            ("eu-texttospeech.googleapis.com", "gcp.text_to_speech"),
            ("polly.us-east-1.amazonaws.com", "aws.polly"),
        ] {
            let Attribution::To(id) = endpoints.attribute(Some(host), place) else {
                panic!("{host} is unlisted")
            };
            assert_eq!(endpoints.labels(id).name, name, "{host}");
        }
        for foreign in ["s3.eu-central-1.amazonaws.com", "storage.googleapis.com"] {
            assert_eq!(endpoints.attribute(Some(foreign), place), Attribution::Unlisted);
        }
    }

    #[test]
    fn an_own_entry_replaces_the_one_of_the_same_name() {
        let own = endpoint("anthropic", &["llm.internal"]);
        let all = with_catalogue(std::slice::from_ref(&own)).expect("valid");
        assert_eq!(all.len(), catalogue().len());
        assert_eq!(all.iter().find(|e| e.name == "anthropic"), Some(&own));
    }

    #[test]
    fn names_and_hosts_that_would_mislead_are_refused() {
        for name in ["", "other", "Big", "a b", "x{}", &"x".repeat(65)] {
            assert!(with_catalogue(&[endpoint(name, &["a.example"])]).is_err(), "{name}");
        }
        for host in ["", "*.", "a b", "https://a.example", "*.a.*.example"] {
            assert!(with_catalogue(&[endpoint("x", &[host])]).is_err(), "{host}");
        }
        let why = EndpointError::Empty("x".into());
        assert_eq!(with_catalogue(&[endpoint("x", &[])]), Err(BadEndpoint { index: 0, why }));
        let twice = [endpoint("x", &["a.example"]), endpoint("x", &["b.example"])];
        let why = EndpointError::Duplicate("x".into());
        assert_eq!(with_catalogue(&twice), Err(BadEndpoint { index: 1, why }));
    }

    #[test]
    fn what_only_one_of_two_endpoints_could_have_is_refused() {
        let mut all = [endpoint("x", &["a.example"]), endpoint("y", &["b.example", "A.example"])];
        let (endpoint, by) = ("y".to_owned(), "x".to_owned());
        let why = EndpointError::Taken { endpoint, host: "A.example".to_owned(), by };
        assert_eq!(with_catalogue(&all), Err(BadEndpoint { index: 1, why }));
        all[1].hosts[1] = "*.a.example".to_owned();
        assert!(with_catalogue(&all).is_ok(), "the more specific one has it");
    }

    #[test]
    fn an_address_among_the_hosts_is_refused() {
        for host in ["10.0.0.5", "10.0.0.5:8000", "[::1]:8000", "::1"] {
            let bad = with_catalogue(&[endpoint("x", &[host])]).expect_err(host);
            assert_eq!(bad.key(), "endpoint.0.hosts");
            assert!(bad.to_string().contains("list it in addresses"), "{bad}");
        }
    }

    #[test]
    fn an_address_where_nobody_can_connect_is_refused() {
        let mut one = endpoint("x", &[]);
        one.addresses = vec!["127.0.0.1:0".parse().expect("address")];
        let bad = with_catalogue(&[one]).expect_err("refused");
        assert_eq!(bad.key(), "endpoint.0.addresses");
        assert!(bad.to_string().contains("\"127.0.0.1:0\" has port 0"), "{bad}");
    }
}
