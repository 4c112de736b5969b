//! Circles that there still are: the imports to be turned round. The list may only get shorter.

/// An import on a circle.
#[derive(Debug)]
pub struct Allowed {
    /// The file of the crate's root.
    pub root: &'static str,
    /// The module whose children both are.
    pub parent: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    /// What has to be moved.
    #[expect(dead_code, reason = "it is for readers, here and in the message")]
    pub because: &'static str,
}

impl Allowed {
    pub fn is_in(&self, root: &str, parent: &str) -> bool {
        (self.root, self.parent) == (root, parent)
    }
}

pub const ALLOWED: &[Allowed] = &[];
