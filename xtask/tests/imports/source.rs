//! What the text of a module says of other modules: its paths, its imports, its children, what it defines.
//!
//! It is read as tokens, so that paths inside macros count like all others.

use std::iter::Peekable;
use std::slice::Iter;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// Words before the name of an item.
const DEFINING: &[&str] =
    &["const", "enum", "fn", "macro_rules", "static", "struct", "trait", "type", "union"];

/// A path as it is written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
    pub line: usize,
}

/// What `use` brings into a module.
#[derive(Debug)]
pub struct Import {
    pub path: Path,
    /// Its name here; `*` for all that is there.
    pub name: String,
}

/// `mod name;` or `mod name { … }`.
#[derive(Debug)]
pub struct Child {
    pub name: String,
    /// What `#[path]` says.
    pub path: Option<String>,
    /// What is in the braces.
    pub inline: Option<TokenStream>,
}

/// All of it. What is compiled for the module's own tests alone is left out.
#[derive(Debug, Default)]
pub struct Source {
    pub children: Vec<Child>,
    pub imports: Vec<Import>,
    pub paths: Vec<Path>,
    pub defined: Vec<String>,
}

type Tokens<'a> = Peekable<Iter<'a, TokenTree>>;

impl Source {
    /// What these tokens say.
    pub fn read(tokens: TokenStream) -> Self {
        let mut source = Self::default();
        source.walk(tokens);
        source
    }

    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut tokens = tokens.iter().peekable();
        let mut attributes = Vec::new();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    let attribute = tokens.next_if(|next| matches!(next, TokenTree::Group(_)));
                    attributes.extend(attribute.map(ToString::to_string));
                    continue;
                }
                _ if attributes.iter().any(|text| text == "[cfg (test)]") => {
                    skip_item(token, &mut tokens)
                }
                TokenTree::Ident(word) if word == "mod" => self.child(&attributes, &mut tokens),
                TokenTree::Ident(word) if word == "use" => self.import(&[], &mut tokens),
                TokenTree::Ident(word) if word == "pub" => {
                    // What is in `pub(in path)` says nothing of what is used.
                    tokens.next_if(|next| matches!(next, TokenTree::Group(_)));
                    continue;
                }
                TokenTree::Ident(word) => self.word(word, &mut tokens),
                // The name after it is a method or a field.
                TokenTree::Punct(mark) if mark.as_char() == '.' => {
                    tokens.next_if(|next| matches!(next, TokenTree::Ident(_)));
                }
                TokenTree::Group(group) => self.walk(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            attributes.clear();
        }
    }

    fn child(&mut self, attributes: &[String], tokens: &mut Tokens) {
        let (Some(TokenTree::Ident(name)), Some(end)) = (tokens.next(), tokens.next()) else {
            return;
        };
        let path = attributes.iter().find_map(|text| {
            text.strip_prefix("[path = \"")?.strip_suffix("\"]").map(ToOwned::to_owned)
        });
        let inline = match end {
            TokenTree::Group(group) => Some(group.stream()),
            _ => None,
        };
        self.children.push(Child { name: name.to_string(), path, inline });
    }

    /// A word that begins a path, or comes before a name that is defined.
    fn word(&mut self, word: &Ident, tokens: &mut Tokens) {
        let line = word.span().start().line;
        let mut segments = vec![word.to_string()];
        while is_separator(tokens) {
            match tokens.peek() {
                Some(TokenTree::Ident(next)) => segments.push(next.to_string()),
                _ => break,
            }
            tokens.next();
        }
        if segments.len() > 1 {
            self.paths.push(Path { segments, line });
        } else if DEFINING.contains(&segments[0].as_str()) {
            if word == "macro_rules" {
                tokens.next();
            }
            if let Some(TokenTree::Ident(name)) = tokens.peek() {
                self.defined.push(name.to_string());
            }
        }
    }

    /// One branch of a tree of imports, up to the comma or semicolon that ends it.
    fn import(&mut self, prefix: &[String], tokens: &mut Tokens) {
        let mut segments = prefix.to_vec();
        let mut line = 0;
        let mut name = None;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    name = tokens.next().map(ToString::to_string);
                }
                TokenTree::Ident(word) => {
                    line = word.span().start().line;
                    if word != "self" || segments.is_empty() {
                        segments.push(word.to_string());
                    }
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => {}
                TokenTree::Punct(mark) if mark.as_char() == '*' => {
                    line = mark.span().start().line;
                    name = Some("*".to_owned());
                }
                TokenTree::Group(group) => return self.imports(&segments, group, tokens),
                _ => break,
            }
        }
        if let Some(name) = name.or_else(|| segments.last().cloned()) {
            self.imports.push(Import { path: Path { segments, line }, name });
        }
    }

    fn imports(&mut self, prefix: &[String], group: &Group, after: &mut Tokens) {
        let branches: Vec<TokenTree> = group.stream().into_iter().collect();
        let mut branches = branches.iter().peekable();
        while branches.peek().is_some() {
            self.import(prefix, &mut branches);
        }
        after.next();
    }
}

/// Whether `::` comes next, which is taken.
fn is_separator(tokens: &mut Tokens) -> bool {
    let mut is_colon = || {
        tokens
            .next_if(|next| matches!(next, TokenTree::Punct(mark) if mark.as_char() == ':'))
            .is_some()
    };
    // A single colon comes before a type.
    is_colon() && is_colon()
}

/// Up to the semicolon or the braces that end an item.
fn skip_item(first: &TokenTree, tokens: &mut Tokens) {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Punct(mark) => mark.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    if !is_end(first) {
        tokens.find(|token| is_end(token));
    }
}
