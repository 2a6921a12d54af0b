//! What the documentation says is true: its commands and programs run, its links lead somewhere, and
//! the flags, defaults, codes and metrics that it names exist.
//!
//! What is run: `sh` and `console` blocks, in the order in which they stand in their document, against real
//! nodes whose free ports take the place of 7001, 7101 and so on. A word behind the language says more:
//!
//! - `file=NAME`: the block is a file that the commands behind it use.
//! - `until-output`: the command does not end by itself; it is ended when it has printed what stands below it.
//! - `no-test`: it is not run; [`NOT_RUN_MAX`] of these may be.
//!
//! Rust is compiled by `cargo test --doc`, in the documents that the library names. `text` is only read.
//!
//! Interpreters: `RINGPOST_PYTHON`, `node` with `RINGPOST_JS_TOOLS`, `go`, `RINGPOST_CHROMIUM`.

mod book;
mod browser;
mod commands;
mod door;
mod files;
mod links;
mod matching;
mod place;
mod snippets;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use book::{Block, documents, root};

/// Blocks that are shown and not run, in all documents together.
const NOT_RUN_MAX: usize = 12;

#[test]
fn every_block_is_run_or_says_that_it_is_not() {
    let documents = documents();
    let blocks = documents.iter().flat_map(|document| &document.blocks);
    let not_run: Vec<&Block> = blocks.filter(|block| block.has("no-test")).collect();
    for block in &not_run {
        println!("not run: {}, line {}", block.document, block.line);
    }
    assert!(
        not_run.len() <= NOT_RUN_MAX,
        "{} are not run",
        not_run.len()
    );
    let library = std::fs::read_to_string(root().join("src/lib.rs")).expect("it is there");
    let compiled = |block: &Block| {
        let named = format!(
            "#[cfg(doctest)]\n#[doc = include_str!(\"../{}\")]",
            block.document
        );
        library.contains(&named) && !block.has("ignore") && !block.has("no-test")
    };
    for block in documents.iter().flat_map(|document| &document.blocks) {
        let known = match block.language.as_str() {
            "sh" | "console" | "json" | "text" => true,
            "rust" => compiled(block),
            "python" | "js" | "go" | "html" | "toml" => {
                block.has("no-test") || block.value("file").is_some()
            }
            "" => block.looks_like_a_figure(),
            _ => false,
        };
        assert!(
            known,
            "{}, line {}: what is it?",
            block.document, block.line
        );
    }
}

#[test]
fn json_that_is_shown_whole_is_json() {
    let documents = documents();
    let blocks = documents.iter().flat_map(|document| &document.blocks);
    for block in blocks.filter(|block| block.language == "json" && !block.text.contains('…')) {
        for line in block.text.lines() {
            let read = serde_json::from_str::<serde_json::Value>(line);
            assert!(read.is_ok(), "{}: {line}", block.document);
        }
    }
}
