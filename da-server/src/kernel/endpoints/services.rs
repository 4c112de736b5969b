//! What the server itself calls: it is watched without being listed.

use std::net::{IpAddr, SocketAddr};

use super::catalogue::{BadEndpoint, EndpointConfig, EndpointKind, with_catalogue};
use super::target::Target;
use super::{Attribution, Endpoints};
use crate::kernel::config::Unlisted;

/// Something that the server itself calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    kind: EndpointKind,
    target: Target,
    /// Its host, and its port if that is not the scheme's.
    name: String,
    known_at: Option<IpAddr>,
}

impl Service {
    /// At `host`, a name or an address, and `port`. Whose scheme means another port has it in its name.
    /// None where `host` is neither.
    pub fn new(kind: EndpointKind, host: &str, port: u16, scheme_port: u16) -> Option<Self> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let target = match bare.unwrap_or(host).parse::<IpAddr>() {
            Ok(address) => Target::at(address, port),
            Err(_) => Target::read(&format!("{host}:{port}"), port)?,
        };
        let name = match (&target, port == scheme_port) {
            (Target::Host(name, _), true) => name.clone(),
            (Target::Host(name, _), false) => format!("{name}:{port}"),
            (Target::Address(address), true) => address.ip().to_string(),
            (Target::Address(address), false) => address.to_string(),
        };
        Some(Self { kind, target, name, known_at: None })
    }

    /// The same, connected to at that address, whatever the DNS says, and there at another port where
    /// its URL has none.
    pub fn at(self, address: SocketAddr) -> Self {
        let target = match self.target {
            Target::Host(name, _) => Target::Host(name, address.port()),
            other => other,
        };
        Self { known_at: Some(address.ip()), target, ..self }
    }

    /// Its host, if that is a name, and its port.
    pub fn host(&self) -> Option<(&str, u16)> {
        match &self.target {
            Target::Host(name, port) => Some((name, *port)),
            Target::Address(_) => None,
        }
    }

    /// What kind of service it is.
    pub fn kind(&self) -> EndpointKind {
        self.kind
    }

    /// Its host and the address of that, as far as it is known: a connect that fails shows no name.
    pub fn resolved(&self) -> Option<(String, SocketAddr)> {
        let (name, port) = self.host()?;
        Some((name.to_owned(), SocketAddr::new(self.known_at?, port)))
    }

    /// By its host and port: two servers of one host are two endpoints.
    fn endpoint(&self) -> EndpointConfig {
        let (mut hosts, mut addresses) = (Vec::new(), Vec::new());
        match &self.target {
            Target::Host(name, port) => hosts.push(format!("{name}:{port}")),
            Target::Address(address) => addresses.push(*address),
        }
        EndpointConfig { name: self.name.clone(), kind: self.kind, hosts, addresses }
    }
}

/// [`with_catalogue`], and an endpoint for each of `services` that none of these knows.
///
/// # Errors
/// The first entry of `own` that can't be used, and why.
pub fn with_services(
    own: &[EndpointConfig],
    services: &[Service],
) -> Result<Vec<EndpointConfig>, BadEndpoint> {
    let mut all = with_catalogue(own)?;
    for service in services {
        let known = Endpoints::new(&all, Unlisted::Drop);
        if known.attribute_proxied(None, Some(&service.target)) == Attribution::Unlisted {
            all.push(service.endpoint());
        }
    }
    Ok(all)
}

/// What services are called: by the value of the label `provider` that their connections get.
pub struct Names(Endpoints);

impl Names {
    /// With [`with_services`] in force.
    ///
    /// # Errors
    /// The first entry of `own` that can't be used, and why.
    pub fn new(own: &[EndpointConfig], services: &[Service]) -> Result<Self, BadEndpoint> {
        Ok(Self(Endpoints::new(&with_services(own, services)?, Unlisted::Drop)))
    }

    /// The name of one of them.
    pub fn of<'a>(&'a self, service: &'a Service) -> &'a str {
        match self.0.attribute_proxied(None, Some(&service.target)) {
            Attribution::To(endpoint) => &self.0.labels(endpoint).name,
            // An address that several entries list: its connections are nobody's.
            Attribution::Ambiguous | Attribution::Unlisted => &service.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llm(host: &str, port: u16) -> Service {
        Service::new(EndpointKind::Llm, host, port, 443).expect("a service")
    }

    /// The endpoints that are made for these, as `name hosts addresses`.
    fn made(own: &[EndpointConfig], services: &[Service]) -> Vec<String> {
        let known = with_catalogue(own).expect("valid").len();
        let all = with_services(own, services).expect("valid");
        let told = |one: &EndpointConfig| {
            format!("{} {} {:?} {:?}", one.name, one.kind.as_str(), one.hosts, one.addresses)
        };
        all[known..].iter().map(told).collect()
    }

    fn own(hosts: &[&str], addresses: &[&str]) -> [EndpointConfig; 1] {
        [EndpointConfig {
            name: "mine".to_owned(),
            kind: EndpointKind::Llm,
            hosts: hosts.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(|one| one.parse().expect("address")).collect(),
        }]
    }

    #[test]
    fn what_nobody_knows_gets_an_endpoint_by_host_and_port() {
        let services = [
            llm("LLM.internal.", 443),
            llm("localhost", 8000),
            llm("localhost", 8001),
            llm("10.0.0.5", 443),
            llm("[::1]", 8443),
            llm("[::ffff:10.0.0.6]", 80),
            Service::new(EndpointKind::Db, "db.internal", 5432, 5432).expect("a service"),
        ];
        let expected = [
            r#"llm.internal llm ["llm.internal:443"] []"#,
            r#"localhost:8000 llm ["localhost:8000"] []"#,
            r#"localhost:8001 llm ["localhost:8001"] []"#,
            r#"10.0.0.5 llm [] [10.0.0.5:443]"#,
            r#"[::1]:8443 llm [] [[::1]:8443]"#,
            r#"10.0.0.6:80 llm [] [10.0.0.6:80]"#,
            r#"db.internal db ["db.internal:5432"] []"#,
        ];
        assert_eq!(made(&[], &services), expected);
    }

    #[test]
    fn a_service_is_called_like_its_endpoint_and_else_like_its_host() {
        let services = [
            llm("api.anthropic.com", 443),
            llm("localhost", 8000),
            llm("localhost", 8001),
            llm("10.0.0.5", 443),
            llm("10.0.0.6", 443),
        ];
        let own = own(&["localhost:8000"], &["10.0.0.5:443"]);
        let names = Names::new(&own, &services).expect("valid");
        let expected = ["anthropic", "mine", "localhost:8001", "mine", "10.0.0.6"];
        assert_eq!(services.each_ref().map(|service| names.of(service)), expected);
    }

    #[test]
    fn what_somebody_knows_is_theirs() {
        let none: [&str; 0] = [];
        assert_eq!(made(&[], &[llm("api.anthropic.com", 8443)]), none, "the catalogue's");
        let [known, other] = [llm("localhost", 8000), llm("localhost", 8001)];
        let two = [known.clone(), other.clone()];
        assert_eq!(made(&own(&["localhost"], &[]), &two), none);
        let left = made(&own(&["localhost:8000"], &[]), &two);
        assert_eq!(left, [r#"localhost:8001 llm ["localhost:8001"] []"#]);
        let mapped = own(&[], &["[::ffff:10.0.0.5]:80"]);
        assert_eq!(made(&mapped, &[llm("10.0.0.5", 80)]), none);
        let left = made(&mapped, &[llm("10.0.0.5", 81)]);
        assert_eq!(left, ["10.0.0.5:81 llm [] [10.0.0.5:81]"]);
    }

    #[test]
    fn of_two_kinds_at_one_place_the_first_has_it() {
        let voice = Service::new(EndpointKind::Tts, "localhost", 8000, 80).expect("a service");
        assert_eq!(made(&[], &[llm("localhost", 8000), voice]).len(), 1);
    }

    #[test]
    fn a_connect_that_fails_is_known_by_the_address_that_is_configured() {
        let at = "127.0.0.1:9443".parse().expect("address");
        let service = llm("llm.internal", 443).at(at);
        assert_eq!(
            made(&[], std::slice::from_ref(&service)),
            [r#"llm.internal llm ["llm.internal:9443"] []"#]
        );
        assert_eq!(service.resolved(), Some(("llm.internal".to_owned(), at)));
        assert_eq!(llm("10.0.0.5", 443).at(at).resolved(), None);
    }
}
