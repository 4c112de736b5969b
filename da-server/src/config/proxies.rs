//! Proxies that the environment names and that can't be used.

use anyhow::ensure;
use hyper_util::client::proxy::matcher::Matcher;

use super::Config;

impl Config {
    /// Whether a way to the providers is there, as far as the environment has a say in it.
    ///
    /// # Errors
    /// It names a SOCKS proxy for one of them.
    pub fn check_proxies(&self) -> anyhow::Result<()> {
        // As the client has it: whoever says where hosts are has no use for proxies.
        if !self.http_client.resolve.is_empty() {
            return Ok(());
        }
        self.refuse_socks(&Matcher::from_env())
    }

    fn refuse_socks(&self, proxies: &Matcher) -> anyhow::Result<()> {
        for (_, url) in self.base_urls() {
            let Ok(uri) = url.parse() else { continue };
            let Some(proxy) = proxies.intercept(&uri) else { continue };
            let scheme = proxy.uri().scheme_str().unwrap_or_default();
            ensure!(
                !scheme.starts_with("socks"),
                "the environment names a proxy of the kind {scheme} for {url}: SOCKS is not spoken here. Set \
                 HTTPS_PROXY or HTTP_PROXY to one that is asked by HTTP CONNECT (http://host:port), or add \
                 the host to NO_PROXY"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socks_is_refused_where_it_would_be_used() {
        let config = Config::default();
        for scheme in ["socks4", "socks4a", "socks5", "socks5h"] {
            let proxies = Matcher::builder().all(format!("{scheme}://127.0.0.1:1080")).build();
            let message = config.refuse_socks(&proxies).expect_err(scheme).to_string();
            assert!(message.contains(scheme) && message.contains("api.anthropic.com"), "{message}");
            assert!(message.contains("HTTPS_PROXY"), "{message}");
        }
    }

    #[test]
    fn what_is_not_used_is_no_fault() {
        let config = Config::default();
        let socks = "socks5h://127.0.0.1:1080";
        let elsewhere = Matcher::builder().all(socks).no("anthropic.com,elevenlabs.io").build();
        let overruled = Matcher::builder().all(socks).https("http://127.0.0.1:3128").build();
        for proxies in [elsewhere, overruled, Matcher::builder().build()] {
            config.refuse_socks(&proxies).expect("is no fault");
        }
    }
}
