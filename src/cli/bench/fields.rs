//! The fields of a JSON object, found without building anything.
//!
//! Made for what a node sends, which is good JSON: what is not an object has no fields, and what
//! breaks off ends the iteration.

/// The fields of the outermost object, in order, as raw JSON: names without their quotes, values
/// with theirs.
pub struct Fields<'a> {
    /// What comes after the last field that was given.
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of this object.
    pub fn of(json: &'a [u8]) -> Self {
        let rest = json.trim_ascii_start().strip_prefix(b"{");
        Self {
            rest: rest.unwrap_or_default(),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii_start();
        let rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let name_bytes = string_bytes(rest)?;
        let (name, rest) = rest.split_at(name_bytes);
        let rest = rest.trim_ascii_start().strip_prefix(b":")?;
        let rest = rest.trim_ascii_start();
        let (value, rest) = rest.split_at(value_bytes(rest)?);
        self.rest = rest;
        Some((&name[1..name.len() - 1], value.trim_ascii_end()))
    }
}

/// The text of a raw string without escapes; `None` for anything else.
pub fn text(raw: &[u8]) -> Option<&str> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return None;
    }
    std::str::from_utf8(inner).ok()
}

/// A raw number without sign, point and exponent.
pub fn number(raw: &[u8]) -> Option<u64> {
    if raw.is_empty() {
        return None;
    }
    raw.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Length of the string at the front, quotes included.
fn string_bytes(json: &[u8]) -> Option<usize> {
    let inner = json.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        at += inner[at..]
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\'))?;
        if inner[at] == b'"' {
            return Some(at + 2);
        }
        at += 2;
        if at > inner.len() {
            return None;
        }
    }
}

/// Length of the value at the front, up to the comma or bracket after it.
fn value_bytes(json: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at += string_bytes(&json[at..])?;
                continue;
            }
            b',' if depth == 0 => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return Some(at),
            },
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_found_whatever_their_values_hold() {
        let json = br#" {"a":"x\"}{","b" : {"c":[1,"]",{}]} ,"d":-1.5e3,"e":null} "#;
        let fields: Vec<_> = Fields::of(json).collect();
        assert_eq!(
            fields,
            [
                (&b"a"[..], &br#""x\"}{""#[..]),
                (b"b", br#"{"c":[1,"]",{}]}"#),
                (b"d", b"-1.5e3"),
                (b"e", b"null"),
            ]
        );
        for json in [&b"{}"[..], b"[1]", b"", b"{\"a", b"{\"a\\", b"{\"a\":1"] {
            assert_eq!(Fields::of(json).count(), 0, "{json:?}");
        }
    }

    #[test]
    fn texts_and_numbers_are_plain_or_not_there() {
        assert_eq!(text(br#""abc""#), Some("abc"));
        assert_eq!(text(br#""a\n""#), None);
        assert_eq!(text(b"1"), None);
        assert_eq!(number(b"9007199254740991"), Some((1 << 53) - 1));
        for raw in [&b""[..], b"-1", b"1.5", b"1e3", b"99999999999999999999"] {
            assert_eq!(number(raw), None);
        }
    }

    proptest! {
        #[test]
        fn the_fields_are_those_that_a_parser_finds(
            names in prop::collection::btree_set("[a-z]{1,3}", 0..5), text: String, number: u32
        ) {
            let mut object = serde_json::Map::new();
            for (index, name) in names.into_iter().enumerate() {
                let value = match index % 3 {
                    0 => serde_json::json!({"inner": [text, number]}),
                    1 => serde_json::json!(text),
                    _ => serde_json::json!(number),
                };
                object.insert(name, value);
            }
            let json = serde_json::to_vec(&object).unwrap();
            let found: serde_json::Map<_, _> = Fields::of(&json)
                .map(|(name, value)| {
                    let name = String::from_utf8(name.to_vec()).unwrap();
                    (name, serde_json::from_slice(value).unwrap())
                })
                .collect();
            prop_assert_eq!(found, object);
        }

        #[test]
        fn no_bytes_are_too_odd(json in prop::collection::vec(
            prop::sample::select(br#"{}[]",:\ a1"#.to_vec()), 0..40)
        ) {
            prop_assert!(Fields::of(&json).count() <= json.len());
        }
    }
}
