//! Whether an output is what a document shows of it.

/// Whether all lines that are shown are there, in their order; others may stand between them. `…` in a
/// line stands for anything, and runs of blanks are one blank.
pub fn shows(output: &str, shown: &str) -> bool {
    let mut lines = output.lines();
    shown
        .lines()
        .map(squeezed)
        .filter(|line| !line.is_empty())
        .all(|line| lines.any(|there| fits(&squeezed(there), &line)))
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fits(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn an_output_fits_what_is_shown_of_it_and_nothing_else() {
    let output = "started\nreceipt   \"m1\" accepted\nend";
    for shown in [
        "started\nend\n",
        "receipt … accepted",
        "receipt \"…\" acc…\n\n",
        "…\nend",
    ] {
        assert!(shows(output, shown), "{shown}");
    }
    for shown in [
        "end\nstarted",
        "receipt",
        "receipt … failed",
        "started…\nstarted",
    ] {
        assert!(!shows(output, shown), "{shown}");
    }
}
