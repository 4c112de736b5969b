//! The one name by which both halves call whom a call goes to.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The value of the label `provider`, in the application's families and in the kernel's: the name of
/// the `[[endpoint]]` or of the catalogue's entry that lists the host, or else the host itself, with
/// its port. Clones share it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ProviderName(Arc<str>);

impl ProviderName {
    /// For `#[serde(deserialize_with)]` of a key that nobody may set: there is one place where a
    /// provider gets its name, and `provider` once was what `protocol` is.
    pub(crate) fn refuse<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Self>, D::Error> {
        let given = String::deserialize(value)?;
        Err(de::Error::custom(format!(
            "this is no setting; the wire protocol is chosen by protocol = {given:?}, and a provider \
             is called like the [[endpoint]] that lists its host, or like the host"
        )))
    }
}

impl From<String> for ProviderName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> Self {
        name.to_string()
    }
}

impl From<&str> for ProviderName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Deref for ProviderName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
