//! docs/library.md shows the example that is compiled as the documentation of `ringpost::handler`.

#[test]
fn the_example_that_is_shown_is_the_one_that_is_compiled() {
    let source = include_str!("../../src/handler/mod.rs");
    let example: String = (source.lines())
        .skip_while(|line| *line != "//! ```no_run")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| {
            line.trim_start_matches("//!")
                .strip_prefix(' ')
                .unwrap_or("")
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(example.contains("Node::start_with"), "{example}");
    let shown = format!("```rust no_run\n{example}```");
    assert!(
        include_str!("../../docs/library.md").contains(&shown),
        "{shown}"
    );
}
