//! Positions as somebody presents them, who may have them from anywhere.

use super::position::Position;

/// Longest epoch that is looked at, in bytes. Ours are shorter.
const EPOCH_BYTES_MAX: usize = 64;
/// Offsets stay below this, so that every JSON reader keeps them exactly.
pub const OFFSET_END: u64 = 1 << 53;

/// From where a session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// It gave no position.
    #[default]
    Fresh,
    /// Behind this position, which a log may know or not.
    At(Position),
    /// It wants what comes from now on.
    Now,
    /// It gave a position whose epoch is none of ours, so no log knows it.
    Unknown,
}

impl Resume {
    /// What is meant by an epoch that [`is_epoch`] and an offset below [`OFFSET_END`].
    #[must_use]
    pub fn given(epoch: &str, offset: u64) -> Self {
        match epoch.parse() {
            Ok(epoch) => Self::At(Position { epoch, offset }),
            Err(_) => Self::Unknown,
        }
    }

    /// The position, if it can mean anything.
    #[must_use]
    pub fn position(self) -> Option<Position> {
        match self {
            Self::At(position) => Some(position),
            Self::Fresh | Self::Now | Self::Unknown => None,
        }
    }
}

/// Whether a text may stand for an epoch, ours or not: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[must_use]
pub fn is_epoch(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=EPOCH_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::stream::Epoch;
    use crate::id::{Generation, NodeId};

    #[test]
    fn an_epoch_of_somebody_else_is_a_position_that_nobody_knows() {
        for text in ["e", "1", "_-", "01-0000000000000002", "0-0000000000000000"] {
            assert!(is_epoch(text), "{text}");
            assert_eq!(Resume::given(text, 1), Resume::Unknown, "{text}");
            assert_eq!(Resume::given(text, 1).position(), None, "{text}");
        }
        let start = Position {
            epoch: Epoch::ROOT,
            offset: 0,
        };
        assert_eq!(Resume::given("0", 0), Resume::At(start));
        assert_eq!(Resume::default().position(), None);
    }

    #[test]
    fn what_no_epoch_looks_like_is_told_apart() {
        let (longest, too_long) = ("e".repeat(64), "e".repeat(65));
        assert!(is_epoch(&longest));
        for text in ["", "a.b", "a b", "é", "a\n", &too_long] {
            assert!(!is_epoch(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_position_that_a_node_gave_out_is_understood(
            number in 1_u64.., generation in any::<u64>(), offset in 0..OFFSET_END,
        ) {
            let node = NodeId::new("n1").unwrap();
            let epoch = Epoch::opened(number, &node, Generation(generation));
            let text = epoch.to_string();
            prop_assert!(is_epoch(&text));
            let position = Position { epoch, offset };
            prop_assert_eq!(Resume::given(&text, offset).position(), Some(position));
        }
    }
}
