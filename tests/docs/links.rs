//! Links to files and headings of the repository.

use std::path::{Component, Path, PathBuf};

use super::book::{Document, documents, read, root};

/// More documents that have links.
const OTHERS: [&str; 4] = [
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "clients/js/README.md",
];

/// All targets of `[…](…)` outside of code.
fn targets(document: &Document) -> Vec<String> {
    let mut inside = false;
    let prose = document.text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    let mut found = Vec::new();
    for line in prose {
        // What stands between two backticks is no link.
        let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let ends = text.match_indices("](");
        found.extend(ends.filter_map(|(at, _)| Some(text[at + 2..].split_once(')')?.0.to_owned())));
    }
    found
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut broken = Vec::new();
    let others = OTHERS.iter().map(|name| read(name));
    for document in documents().into_iter().chain(others) {
        for target in targets(&document) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = Path::new(&document.name).parent().expect("it is a file");
            let path = match file {
                "" => PathBuf::from(&document.name),
                file => plain(&folder.join(file)),
            };
            let there = root().join(&path).exists();
            let anchored =
                || anchor.is_empty() || read(&path.to_string_lossy()).anchors.contains(anchor);
            if !there || !anchored() {
                broken.push(format!("{}: {target}", document.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_index_and_the_readme_name_every_document() {
    let documents = documents();
    let index = read("docs/README.md");
    let readme = read("README.md");
    for document in documents
        .iter()
        .filter(|d| d.name.starts_with("docs/") && d.name != "docs/README.md")
    {
        let name = document.name.trim_start_matches("docs/");
        assert!(
            index.text.contains(&format!("({name}")),
            "docs/README.md: {name}"
        );
        assert!(
            readme.text.contains(&format!("({}", document.name)),
            "README.md: {name}"
        );
    }
}
