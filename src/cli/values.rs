//! The values of settings, as text: on the command line, in the environment, in a TOML file.
//!
//! Every type reads the same text from all three. A TOML number or boolean counts as its text.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use ringpost::client::RootCertificates;
use ringpost::config::{AtSessionLimit, RedirectLocation};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A length of time: `500ms`, `30s`, `1.5s`, `5m`, `1h`, or a bare number of seconds; in whole
/// milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "it must be a duration in whole milliseconds, such as 500ms, 30s or \
                              5m, or a number of seconds";
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let seconds = match unit.trim_start() {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(WANTED.to_owned()),
        };
        let number: f64 = number.parse().map_err(|_| WANTED.to_owned())?;
        let span = Duration::try_from_secs_f64(number * seconds).map_err(|_| WANTED.to_owned())?;
        if span.subsec_nanos() % 1_000_000 != 0 {
            return Err(WANTED.to_owned());
        }
        Ok(Self(span))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(span) = self;
        let seconds = span.as_secs();
        match (seconds, span.subsec_nanos()) {
            (0, 0) => f.write_str("0s"),
            (_, 0) if seconds.is_multiple_of(3600) => write!(f, "{}h", seconds / 3600),
            (_, 0) if seconds.is_multiple_of(60) => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{span:?}"),
        }
    }
}

/// Root certificates, by the name of their file.
pub fn root_certificates(path: &str) -> Result<RootCertificates, String> {
    let pem = std::fs::read(path).map_err(|error| format!("it cannot be read ({error})"))?;
    RootCertificates::from_pem(&pem).map_err(|error| error.to_string())
}

/// Any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

/// A number of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| "it must be a whole number, 0 or more".to_owned())
    }
}

/// A part of all, 0 to 1, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(pub u32);

impl Ratio {
    const ALL: f64 = 1_000_000.0;

    /// The part as a number.
    pub fn value(self) -> f64 {
        f64::from(self.0) / Self::ALL
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
        let part: f64 = part.ok_or("it must be a number from 0 to 1, such as 0.01")?;
        // It is in these bounds.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(Self((part * Self::ALL).round() as u32))
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Self(true)),
            "false" | "0" => Ok(Self(false)),
            _ => Err("it must be true or false".to_owned()),
        }
    }
}

/// An address of this machine to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "it must be IP:PORT, such as 127.0.0.1:7001 or [::1]:0";
        text.parse().map(Self).map_err(|_| WANTED.to_owned())
    }
}

/// Texts with commas in between; an array in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List(pub Vec<String>);

impl FromStr for List {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        Ok(Self(parts.map(str::to_owned).collect()))
    }
}

/// The value of `--redirect-location`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location(pub RedirectLocation);

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "scheme-relative" => Ok(Self(RedirectLocation::SchemeRelative)),
            "absolute" => Ok(Self(RedirectLocation::Absolute)),
            _ => Err("it must be scheme-relative or absolute".to_owned()),
        }
    }
}

/// The value of `--at-session-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimit(pub AtSessionLimit);

impl FromStr for SessionLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "refuse-newest" => Ok(Self(AtSessionLimit::RefuseNewest)),
            "replace-oldest" => Ok(Self(AtSessionLimit::ReplaceOldest)),
            _ => Err("it must be refuse-newest or replace-oldest".to_owned()),
        }
    }
}

/// The value of `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("it must be text or json".to_owned()),
        }
    }
}

/// Reads a scalar as its text.
struct Scalar<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<T, E> {
        self.visit_str(if yes { "true" } else { "false" })
    }
}

macro_rules! scalars {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Scalar(PhantomData))
            }
        }
    )*};
}
scalars!(
    Ratio,
    Span,
    Text,
    Count,
    Switch,
    Address,
    Location,
    SessionLimit,
    LogFormat
);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings, or a string with commas")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<List, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<List, A::Error> {
                let mut list = Vec::new();
                while let Some(part) = parts.next_element()? {
                    list.push(part);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_any(Parts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1.5s", 1500),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2", 2000),
            ("0.25", 250),
            ("0", 0),
            ("10 s", 10_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "5 minutes",
            "1e9",
            "inf",
            "0.5ms",
            "1..2s",
            "99999999999999999999h",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(
            number in 0_u64..100_000, unit in prop::sample::select(vec![1, 1000, 60_000, 3_600_000]),
        ) {
            let span = Span(Duration::from_millis(number * unit));
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
    }

    #[test]
    fn durations_are_printed_in_the_largest_unit_that_is_whole() {
        for (ms, text) in [
            (0, "0s"),
            (1500, "1.5s"),
            (90_000, "90s"),
            (600_000, "10m"),
            (86_400_000, "24h"),
            (86_400_250, "86400.25s"),
        ] {
            assert_eq!(Span(Duration::from_millis(ms)).to_string(), text);
        }
    }

    #[test]
    fn lists_are_parted_by_commas_and_switches_are_true_or_false() {
        assert_eq!(
            " a:1, b:2,".parse(),
            Ok(List(vec!["a:1".into(), "b:2".into()]))
        );
        assert_eq!("".parse(), Ok(List(Vec::new())));
        assert_eq!("TRUE".parse(), Ok(Switch(true)));
        assert_eq!("0".parse(), Ok(Switch(false)));
        assert!("yes please".parse::<Switch>().is_err());
    }
}
