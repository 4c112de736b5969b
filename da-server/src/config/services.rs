//! What the server itself calls: language models, voices, the database.

use reqwest::Url;

use super::{Config, HttpConfig};
use crate::kernel::catalogue::BadEndpoint;
use crate::kernel::{EndpointKind, Names, Service};
use crate::provider::ProviderName;
use crate::provider::fallback::Section;

const POSTGRES_PORT: u16 = 5432;

impl Config {
    /// What the game calls by this configuration, the language model first. URLs that can't be used
    /// are left out; whoever builds the client says what is wrong with them.
    pub fn services(&self) -> Vec<Service> {
        let calls = self.base_urls().into_iter();
        let calls = calls.filter_map(|(kind, url)| service_at(kind, url, &self.http_client));
        let database = self
            .store
            .server()
            .and_then(|(host, port)| Service::new(EndpointKind::Db, &host, port, POSTGRES_PORT));
        calls.chain(database).collect()
    }

    /// Has the game call its providers as the kernel view does.
    ///
    /// # Errors
    /// The first `[[endpoint]]` that can't be used, and why.
    pub(super) fn name_providers(&mut self) -> Result<(), BadEndpoint> {
        let names = Names::new(&self.endpoint, &self.services())?;
        let client = &self.http_client;
        let name = |kind, url: &str| {
            service_at(kind, url, client).map(|service| ProviderName::from(names.of(&service)))
        };
        self.llm.provider = name(EndpointKind::Llm, self.llm.base_url());
        for fallback in &mut self.llm.fallback {
            fallback.provider = name(EndpointKind::Llm, fallback.base_url());
        }
        self.tts.provider = name(EndpointKind::Tts, self.tts.base_url());
        for fallback in &mut self.tts.fallback {
            fallback.provider = name(EndpointKind::Tts, fallback.base_url());
        }
        Ok(())
    }

    /// Where the providers are, in force.
    pub fn base_urls(&self) -> Vec<(EndpointKind, &str)> {
        let llm = self.llm.in_order().map(|one| (EndpointKind::Llm, one.base_url()));
        let tts = self.tts.in_order();
        llm.chain(tts.map(|one| (EndpointKind::Tts, one.base_url()))).collect()
    }
}

/// What is called at a base URL, unless that can't be used.
fn service_at(kind: EndpointKind, url: &str, client: &HttpConfig) -> Option<Service> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    let scheme_port = if url.scheme() == "https" { 443 } else { 80 };
    let service = Service::new(kind, host, url.port().unwrap_or(scheme_port), scheme_port)?;
    Some(resolved(service, &url, client))
}

/// Where `http_client.resolve` has it; the port of a URL wins over the one there, and 0 means the
/// scheme's.
fn resolved(service: Service, url: &Url, client: &HttpConfig) -> Service {
    let Some((name, port)) = service.host() else { return service };
    let Some(address) = client.resolve.get(name).copied() else { return service };
    let keeps = url.port().is_some() || address.port() == 0;
    let port = if keeps { port } else { address.port() };
    service.at((address.ip(), port).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(toml: &str) -> Vec<Service> {
        let url = ("DATABASE_URL".to_owned(), String::new());
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), toml).expect("written");
        Config::load(Some(file.path()), [url]).expect("loads").services()
    }

    fn service(kind: EndpointKind, host: &str, port: u16, scheme_port: u16) -> Service {
        Service::new(kind, host, port, scheme_port).expect("a service")
    }

    #[test]
    fn by_default_they_are_the_hosted_ones() {
        let expected = [
            service(EndpointKind::Llm, "api.anthropic.com", 443, 443),
            service(EndpointKind::Tts, "api.elevenlabs.io", 443, 443),
        ];
        assert_eq!(services(""), expected);
    }

    #[test]
    fn models_voices_their_fallbacks_and_the_database_are_all_there() {
        let url = "postgres://da:very-secret@db.internal/game".to_owned();
        let toml = "[llm]\nbase_url = 'http://localhost:8000/v1'\n[tts]\nbase_url = 'https://[::1]:9/'\n\
             [[llm.fallback]]\nprotocol = 'openai'\nbase_url = 'http://10.0.0.5'\n\
             [[tts.fallback]]\nprotocol = 'openai'\nvoice = 'nova'\nbase_url = 'http://10.0.0.6:81/v1'\n";
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), toml).expect("written");
        let variables = [("DATABASE_URL".to_owned(), url)];
        let config = Config::load(Some(file.path()), variables).expect("loads");
        let expected = [
            service(EndpointKind::Llm, "localhost", 8000, 80),
            service(EndpointKind::Llm, "10.0.0.5", 80, 80),
            service(EndpointKind::Tts, "::1", 9, 443),
            service(EndpointKind::Tts, "10.0.0.6", 81, 80),
            service(EndpointKind::Db, "db.internal", 5432, 5432),
        ];
        assert_eq!(config.services(), expected);
    }

    #[test]
    fn a_provider_is_called_as_the_kernel_view_calls_it() {
        let names = |toml: &str| {
            let file = tempfile::NamedTempFile::new().expect("file");
            std::fs::write(file.path(), toml).expect("written");
            let config = Config::load(Some(file.path()), []).expect("loads");
            let llm = config.llm.in_order().map(|one| one.provider().to_string());
            llm.chain([config.tts.provider().to_string()]).collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["anthropic", "elevenlabs"]);
        assert_eq!(names("[llm]\nprotocol = 'openai'"), ["openai", "elevenlabs"]);
        assert_eq!(names("[llm]\nprotocol = 'google'"), ["gcp.gemini", "elevenlabs"]);
        let two_of_one_protocol = "\
            [llm]\nprotocol = 'openai'\nbase_url = 'http://127.0.0.1:8000/v1'\nmodel = 'm'\n\
            [[llm.fallback]]\nprotocol = 'openai'\nbase_url = 'http://127.0.0.1:8001/v1'\nmodel = 'm'\n\
            [[llm.fallback]]\nprotocol = 'openai'\nbase_url = 'https://openrouter.ai/api/v1'\n\
            [[llm.fallback]]\nprotocol = 'openai'\nbase_url = 'http://llm.internal/v1'\n\
            [tts]\nbase_url = 'http://voice.internal:9000'\n\
            [[endpoint]]\nname = 'ours'\nkind = 'llm'\nhosts = ['llm.internal']\n";
        let expected =
            ["127.0.0.1:8000", "127.0.0.1:8001", "openrouter", "ours", "voice.internal:9000"];
        assert_eq!(names(two_of_one_protocol), expected);
    }

    #[test]
    fn a_database_behind_a_socket_of_this_host_is_no_service() {
        let url = "postgres://da@%2Frun%2Fpostgresql/game".to_owned();
        let config = Config::load(None, [("DATABASE_URL".to_owned(), url)]).expect("loads");
        assert_eq!(config.services().len(), 2);
    }

    #[test]
    fn a_configured_address_is_where_it_is() {
        let resolve = |port: u16, url: &str| {
            let toml = format!(
                "[llm]\nbase_url = '{url}'\n[http_client.resolve]\n\"llm.internal\" = '127.0.0.2:{port}'\n"
            );
            services(&toml)[0].resolved().expect("known").1.to_string()
        };
        assert_eq!(resolve(9443, "https://llm.internal/v1"), "127.0.0.2:9443");
        assert_eq!(resolve(9443, "https://llm.internal:8443/v1"), "127.0.0.2:8443");
        assert_eq!(resolve(0, "https://llm.internal/v1"), "127.0.0.2:443");
    }
}
