//! Configuration files that are shown.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::book::documents;
use super::support::node::BINARY;

#[test]
fn every_toml_file_is_a_good_configuration() {
    let mut checked = 0;
    for document in documents() {
        for block in document
            .blocks
            .iter()
            .filter(|block| block.language == "toml")
        {
            let Some(name) = block.value("file") else {
                continue;
            };
            let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("docs-{}-{name}", std::process::id()));
            fs::write(&path, &block.text).expect("it can be written");
            let mut command = Command::new(BINARY);
            command.args(["serve", "--check", "--config"]).arg(&path);
            let output = command.output().expect("the program starts");
            let _ = fs::remove_file(&path);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}", document.name);
            checked += 1;
        }
    }
    assert!(checked > 0, "none is shown any more");
}
