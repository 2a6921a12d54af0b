//! Bodies of messages: JSON texts that are passed on byte for byte.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::protocol::check_body;

/// One JSON value, as text. A `&str` or a `String` becomes a JSON string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Body(Box<str>);

/// Why something is no body: it cannot be written as JSON, or is nested too deep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidBody(String);

impl Body {
    /// A value, written as JSON.
    ///
    /// # Errors
    /// [`InvalidBody`] when it cannot be, or is nested more than 126 deep.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, InvalidBody> {
        let text = serde_json::to_string(value).map_err(|error| InvalidBody(error.to_string()))?;
        Self::from_json_text(&text)
    }

    /// A text that is JSON already.
    ///
    /// # Errors
    /// [`InvalidBody`] when it is not, or nested more than 126 deep.
    pub fn from_json_text(text: &str) -> Result<Self, InvalidBody> {
        check_body(text)
            .map(|text| Self(text.trim_ascii().into()))
            .map_err(InvalidBody)
    }

    /// The body of a request that was read, and so checked.
    pub(crate) fn checked(text: &str) -> Self {
        Self(text.into())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The string, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        serde_json::from_str(&self.0).ok()
    }

    /// The value.
    ///
    /// # Errors
    /// [`serde_json::Error`] when it is another one than `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        // Written out, a string is JSON.
        Self(serde_json::Value::from(text).to_string().into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(&*text)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_json_string_and_json_text_stays_as_it_is() {
        assert_eq!(Body::from("a \"b\"\n").as_str(), r#""a \"b\"\n""#);
        assert_eq!(Body::from("x").text().as_deref(), Some("x"));
        let object = Body::from_json_text(r#" {"a": 1.0} "#).unwrap();
        assert_eq!(object.as_str(), r#"{"a": 1.0}"#);
        assert_eq!(object.text(), None);
        let list = Body::json(&[1, 2]).unwrap();
        assert_eq!(list.parse::<Vec<u8>>().unwrap(), [1, 2]);
    }

    #[test]
    fn what_is_no_json_or_nested_too_deep_is_no_body() {
        assert!(Body::from_json_text("{").is_err());
        assert!(Body::from_json_text("1 2").is_err());
        let nested = |levels: usize| [vec!["["; levels], vec!["]"; levels]].concat().concat();
        assert!(Body::from_json_text(&nested(126)).is_ok());
        assert!(Body::from_json_text(&nested(127)).is_err());
    }
}
