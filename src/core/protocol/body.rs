//! Bodies: JSON that is passed on byte for byte, and only looked at for how deep it is.

use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects in a body.
///
/// Reading a body here costs no stack at any depth. The bound protects its readers: `serde_json`
/// reads 127 levels, and the message around a body is one of them.
pub const BODY_DEPTH_MAX: usize = 126;

/// Checks a body that did not come in an object: one JSON value, at most [`BODY_DEPTH_MAX`] deep.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_body(body: &str) -> Result<&str, String> {
    let value: &RawValue =
        serde_json::from_str(body).map_err(|_| "the body is not JSON".to_owned())?;
    within_depth(value.get())
}

pub(super) fn within_depth(body: &str) -> Result<&str, String> {
    if depth(body) > BODY_DEPTH_MAX {
        return Err(format!(
            "the body is nested deeper than {BODY_DEPTH_MAX} levels"
        ));
    }
    Ok(body)
}

/// Levels of arrays and objects in a text that is known to be a JSON value.
fn depth(json: &str) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => level += 1,
            b']' | b'}' => level -= 1,
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_quotes_inside_strings_are_no_levels() {
        assert_eq!(depth(r#""[[[""#), 0);
        assert_eq!(depth(r#"["\"[","\\",["\\\"["]]"#), 2);
        assert_eq!(depth("1"), 0);
        assert_eq!(depth(r#"{"{":[]}"#), 2);
    }
}
