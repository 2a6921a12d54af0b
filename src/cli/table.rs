//! Aligned columns for people.

use std::fmt::Write as _;

use super::output::printable;

/// Rows with as many cells each as there are headings, two spaces between the columns.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_owned);
    let lines = || std::iter::once(&headings).chain(rows);
    let mut widths = [0; N];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines() {
        let mut padded = String::new();
        for (width, cell) in widths.iter().zip(line) {
            // Writing to a String cannot fail.
            let _ = write!(padded, "{:width$}  ", printable(cell));
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["Zoë".to_owned(), "1".to_owned()],
            ["b\n".to_owned(), "22".to_owned()],
        ];
        assert_eq!(
            table(["user", "n"], &rows),
            "user  n\nZoë   1\nb\u{fffd}    22\n"
        );
    }
}
