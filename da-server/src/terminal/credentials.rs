//! What the server is shown before it speaks of its calls.

use std::path::Path;

use anyhow::Context;
use reqwest::RequestBuilder;

use super::CallsArgs;

/// A token, a user, or nothing.
pub(super) enum Credentials {
    None,
    Token(String),
    User { name: String, password: String },
}

impl Credentials {
    /// As the command line says, and where it says nothing, the environment.
    ///
    /// # Errors
    /// A file can't be read, or there is no password for the user.
    pub(super) fn of(args: &CallsArgs) -> anyhow::Result<Self> {
        let file = |path: &Path, option: &str| {
            let text = std::fs::read_to_string(path);
            text.with_context(|| format!("can't read {option} {}", path.display()))
        };
        if let Some(name) = args.user.clone() {
            let password = match &args.password_file {
                // Its last line ends; anything else may be the password's own.
                Some(path) => {
                    file(path, "--password-file")?.trim_end_matches(['\r', '\n']).to_owned()
                }
                None => std::env::var("METRICS_PASSWORD")
                    .context("--user needs --password-file, or METRICS_PASSWORD")?,
            };
            return Ok(Self::User { name, password });
        }
        let token = match &args.token_file {
            Some(path) => Some(file(path, "--token-file")?),
            None => std::env::var("METRICS_TOKEN").ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        Ok(token.map_or(Self::None, Self::Token))
    }

    pub(super) fn shown_in(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Token(token) => request.bearer_auth(token),
            Self::User { name, password } => request.basic_auth(name, Some(password)),
        }
    }
}
