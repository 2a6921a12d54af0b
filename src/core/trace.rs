//! Which trace a message belongs to, as the W3C recommendation "Trace Context" has it, level 1.

use std::fmt;

/// A span of a trace, as it is told to whoever comes next: the value of `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Somebody records the trace.
    pub sampled: bool,
}

/// Bytes of a value of version 0.
const LENGTH: usize = "00-".len() + 32 + 1 + 16 + 1 + 2;

impl TraceContext {
    /// Reads a value; `None` if it is none. Of a version that is not known yet only the beginning is
    /// read, as the recommendation wants it.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let version = hex(value.get(..2)?)?;
        let fits = match version {
            0 => value.len() == LENGTH,
            0xff => false,
            _ => value.len() == LENGTH || value.as_bytes().get(LENGTH) == Some(&b'-'),
        };
        let mut parts = value.get(..LENGTH).filter(|_| fits)?.split('-').skip(1);
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let of_length = |part: &str, length| hex(part).filter(|_| part.len() == length);
        let context = Self {
            trace: of_length(trace, 32)?,
            span: u64::try_from(of_length(span, 16)?).ok()?,
            sampled: of_length(flags, 2)? & 1 == 1,
        };
        (context.trace != 0 && context.span != 0).then_some(context)
    }
}

/// Hexadecimal digits, none of them a capital.
fn hex(text: &str) -> Option<u128> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = text.bytes().all(digit);
    u128::from_str_radix(text, 16).ok().filter(|_| digits)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_value_is_read_as_it_was_written() {
        let context = TraceContext::parse(VALUE).unwrap();
        assert_eq!(context.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(context.span, 0xb7ad_6b71_6920_3331);
        assert!(context.sampled);
        assert_eq!(context.to_string(), VALUE);
        let not = VALUE.replace("-01", "-00");
        assert!(!TraceContext::parse(&not).unwrap().sampled);
    }

    #[test]
    fn what_is_no_context_is_not_taken_for_one() {
        for value in [
            "",
            "00",
            &VALUE[..54],
            &format!("{VALUE}-"),
            &VALUE.to_uppercase(),
            &VALUE.replacen("00-", "ff-", 1),
            &VALUE.replacen("00-", "0-0", 1),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-0b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-äf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(value), None, "{value}");
        }
    }

    #[test]
    fn of_a_later_version_the_beginning_is_read() {
        let later = VALUE.replacen("00-", "01-", 1);
        let context = TraceContext::parse(VALUE);
        assert_eq!(TraceContext::parse(&later), context);
        assert_eq!(TraceContext::parse(&format!("{later}-more")), context);
        assert_eq!(TraceContext::parse(&format!("{later}more")), None);
    }

    proptest! {
        #[test]
        fn every_context_reads_back(
            trace in 1..=u128::MAX, span in 1..=u64::MAX, sampled in any::<bool>(),
        ) {
            let context = TraceContext { trace, span, sampled };
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".{0,70}") {
            let _ = TraceContext::parse(&text);
        }
    }
}
