//! Where proxies of the operator's connect from.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// An address or a network, as `10.0.0.5` or `10.0.0.0/8`, from which proxies of ours connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TrustedProxy(IpNet);

/// What is no address and no network.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address and no network: use \"10.0.0.5\", \"10.0.0.0/8\" or \"fd00::/8\"")]
pub struct NoNetwork(String);

impl TryFrom<String> for TrustedProxy {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, NoNetwork> {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map(Self).map_err(|_| NoNetwork(text))
    }
}

impl TrustedProxy {
    /// Every loopback address: a proxy on the same machine.
    pub(crate) fn on_this_machine() -> Vec<Self> {
        ["127.0.0.0/8", "::1"]
            .into_iter()
            .filter_map(|of| Self::try_from(of.to_owned()).ok())
            .collect()
    }

    /// Whether it may connect from there.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}
