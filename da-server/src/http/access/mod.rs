//! Who may read metrics and calls.

mod pending_logins;
mod secret_hash;
mod users;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ApiError;
use crate::secret_file::read_secret;
use pending_logins::TooManyLogins;
use secret_hash::{SecretHash, SecretHasher};
use users::Users;

pub(super) use users::HashedPassword;

const SETTING: &str = "metrics.bearer_token_file";

/// Authentication by a token or as one of some users. Clones share everything.
#[derive(Clone)]
pub(super) struct Access(Arc<AuthConfig>);

struct AuthConfig {
    token: Option<Token>,
    users: Option<Users>,
}

/// What `Authorization: Bearer` must carry.
struct Token {
    hasher: SecretHasher,
    hash: SecretHash,
}

impl Access {
    /// Access with the token in `token_file`, or as one of these users; `None` where none is needed.
    ///
    /// # Errors
    /// The file can't be read, or is empty: an empty token must not be accepted.
    pub(super) fn new(
        token_file: Option<&Path>,
        users: std::collections::BTreeMap<String, HashedPassword>,
    ) -> anyhow::Result<Option<Self>> {
        let token = token_file.map(Token::read).transpose()?;
        let accepted = AuthConfig { token, users: Users::new(users) };
        let is_asked = accepted.token.is_some() || accepted.users.is_some();
        Ok(is_asked.then(|| Self(Arc::new(accepted))))
    }

    async fn check(&self, from: IpAddr, headers: &HeaderMap) -> Result<(), ApiError> {
        let admitted = match credentials(headers) {
            Some(Credentials::Token(sent)) => self.0.token.as_ref().is_some_and(|t| t.is(sent)),
            Some(Credentials::User { name, password }) => match &self.0.users {
                Some(users) => users
                    .admits(from, &name, &password)
                    .await
                    .map_err(|TooManyLogins| ApiError::too_many_passwords())?,
                None => false,
            },
            None => false,
        };
        if admitted { Ok(()) } else { Err(self.unauthorized()) }
    }

    fn unauthorized(&self) -> ApiError {
        const BASIC: &str = "Basic realm=\"da-server\", charset=\"UTF-8\"";
        let (challenges, message) = match (&self.0.token, &self.0.users) {
            (_, None) => ("Bearer".to_owned(), "Send the metrics token as Authorization: Bearer."),
            (None, Some(_)) => {
                (BASIC.to_owned(), "Send a user and password as Authorization: Basic.")
            }
            (Some(_), Some(_)) => (
                format!("Bearer, {BASIC}"),
                "Send the metrics token as Authorization: Bearer, or a user and password as Basic.",
            ),
        };
        ApiError::unauthorized(HeaderValue::try_from(challenges).ok(), message)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(hidden)")
    }
}

impl Token {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text =
            read_secret(path, SETTING).with_context(|| format!("can't read {SETTING} {shown}"))?;
        let token = text.trim();
        ensure!(!token.is_empty(), "{SETTING} {shown} is empty");
        Ok(Self::new(token))
    }

    fn new(token: &str) -> Self {
        let hasher = SecretHasher::new();
        let hash = hasher.of(&[token.as_bytes()]);
        Self { hasher, hash }
    }

    fn is(&self, sent: &[u8]) -> bool {
        self.hasher.of(&[sent]) == self.hash
    }
}

/// `routes`, for authenticated clients only, unless `access` is `None`.
pub(super) fn protect(routes: Router, access: Option<Access>) -> Router {
    match access {
        None => routes,
        Some(access) => routes.route_layer(from_fn_with_state(access, admit)),
    }
}

async fn admit(
    State(access): State<Access>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match access.check(from.ip(), request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// The credentials in a request.
#[derive(PartialEq)]
enum Credentials<'a> {
    Token(&'a [u8]),
    User { name: String, password: Vec<u8> },
}

/// RFC 6750 §2.1 and RFC 7617 §2; `None` for any other scheme, and for what these don't allow.
fn credentials(headers: &HeaderMap) -> Option<Credentials<'_>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ')?;
    // RFC 9110 §11.4: one space or more.
    let (scheme, sent) = (&value[..space], value[space..].trim_ascii_start());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(Credentials::Token(sent));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = STANDARD.decode(sent.trim_ascii()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(pair[..colon].to_vec()).ok()?;
    Some(Credentials::User { name, password: pair[colon + 1..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("header"))])
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::new("s3cret");
        let is_it = |value: &str| match credentials(&headers(value)) {
            Some(Credentials::Token(sent)) => token.is(sent),
            _ => false,
        };
        assert!(is_it("Bearer s3cret") && is_it("bearer s3cret") && is_it("Bearer  s3cret"));
        for wrong in
            ["Bearer s3cre", "Bearer s3crets", "Bearer ", "Bearer", "Basic s3cret", "s3cret", ""]
        {
            assert!(!is_it(wrong), "{wrong:?}");
        }
        assert!(credentials(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_user_ends_at_the_first_colon_and_a_password_may_hold_anything() {
        let user = |text: &[u8]| match credentials(&headers(&format!(
            "Basic {}",
            STANDARD.encode(text)
        ))) {
            Some(Credentials::User { name, password }) => Some((name, password)),
            _ => None,
        };
        assert_eq!(user(b"a:b:c"), Some(("a".to_owned(), b"b:c".to_vec())));
        assert_eq!(user(b":"), Some((String::new(), Vec::new())));
        assert_eq!(user(b"a:\xff"), Some(("a".to_owned(), vec![0xff])));
        assert_eq!(user(b"no colon"), None);
        assert_eq!(user(b"\xff:b"), None);
        assert!(credentials(&headers("Basic ####")).is_none());
        assert!(credentials(&headers("Digest a")).is_none());
    }
}
