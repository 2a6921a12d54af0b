//! The documents: their fenced blocks and their headings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A document, as it stands in the repository.
pub struct Document {
    /// From the top of the repository, such as `docs/start.md`.
    pub name: String,
    pub text: String,
    pub blocks: Vec<Block>,
    /// What may stand behind the `#` of a link to it.
    pub anchors: BTreeSet<String>,
}

/// A fenced block.
#[derive(Debug, Clone)]
pub struct Block {
    pub document: String,
    /// Of its first fence, from 1.
    pub line: usize,
    pub language: String,
    words: Vec<String>,
    pub text: String,
}

impl Block {
    /// Whether that word stands behind the language.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|w| w == word)
    }

    /// The value of a word of the form `name=value`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut words = self.words.iter().filter_map(|word| word.split_once('='));
        words.find_map(|(n, value)| (n == name).then_some(value))
    }

    /// Whether it is a drawing, an output or a list of messages: nothing that could be run.
    pub fn looks_like_a_figure(&self) -> bool {
        let starts = ["ringpost ", "curl ", "cargo ", "$ "];
        !self
            .text
            .lines()
            .any(|line| starts.iter().any(|start| line.starts_with(start)))
    }
}

/// Of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `README.md` and all of `docs/`.
pub fn documents() -> Vec<Document> {
    let mut names = vec![PathBuf::from("README.md")];
    let entries = fs::read_dir(root().join("docs")).expect("there is docs/");
    let docs =
        entries.map(|entry| Path::new("docs").join(entry.expect("it can be read").file_name()));
    names.extend(docs.filter(|name| name.extension().is_some_and(|end| end == "md")));
    names.sort();
    names
        .iter()
        .map(|name| read(&name.to_string_lossy()))
        .collect()
}

/// One document.
pub fn read(name: &str) -> Document {
    let text = fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (mut blocks, mut anchors) = (Vec::new(), BTreeSet::new());
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(block), Some("")) => {
                blocks.push(block.clone());
                open = None;
            }
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(info)) => open = Some(opened(name, index + 1, info)),
            (None, None) if line.starts_with('#') => {
                anchor(&mut anchors, line.trim_start_matches('#').trim());
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{name}: a fence is not closed");
    let name = name.to_owned();
    Document {
        name,
        text,
        blocks,
        anchors,
    }
}

fn opened(document: &str, line: usize, info: &str) -> Block {
    let mut words = info.split_whitespace().map(ToOwned::to_owned);
    Block {
        document: document.to_owned(),
        line,
        language: words.next().unwrap_or_default(),
        words: words.collect(),
        text: String::new(),
    }
}

/// As GitHub makes them: lower case, blanks as `-`, other marks left out, a number behind a repeat.
fn anchor(anchors: &mut BTreeSet<String>, heading: &str) {
    let kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let slug: String = (heading.to_lowercase().chars())
        .filter_map(|c| {
            if c == ' ' {
                Some('-')
            } else {
                kept(c).then_some(c)
            }
        })
        .collect();
    let again = (1..).map(|number| format!("{slug}-{number}"));
    let free = std::iter::once(slug.clone())
        .chain(again)
        .find(|name| !anchors.contains(name));
    anchors.extend(free);
}
