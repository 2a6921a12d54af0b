//! Positions in a stream: an epoch, and an offset in it.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::id::{Generation, NodeId};

/// A stretch of a stream that one owner wrote. Two owners never write the same epoch, so a position
/// means one thing wherever it is presented.
///
/// As text it is 1 to 33 of `0-9 a-f -`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    number: u64,
    opener: u64,
}

impl Epoch {
    /// The epoch before the first entry of any stream. Its only offset is 0: *nothing yet*.
    pub const ROOT: Self = Self {
        number: 0,
        opener: 0,
    };

    /// The epoch that a node opens under this number, which it uses once for a stream.
    #[must_use]
    pub fn opened(number: u64, node: &NodeId, generation: Generation) -> Self {
        let opener = xxh3_64_with_seed(node.as_str().as_bytes(), generation.0);
        Self { number, opener }
    }

    /// Its number, and the fingerprint of the start that opened it.
    pub(crate) fn parts(self) -> (u64, u64) {
        (self.number, self.opener)
    }

    /// The epoch of these [`Self::parts`].
    pub(crate) fn from_parts(number: u64, opener: u64) -> Self {
        Self { number, opener }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ROOT {
            f.write_str("0")
        } else {
            write!(f, "{:x}-{:016x}", self.number, self.opener)
        }
    }
}

/// The text is not an epoch of ours. Whoever presents it is served as one who knows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an epoch")]
pub struct InvalidEpoch;

impl FromStr for Epoch {
    type Err = InvalidEpoch;

    fn from_str(text: &str) -> Result<Self, InvalidEpoch> {
        if text == "0" {
            return Ok(Self::ROOT);
        }
        let (number, opener) = text.split_once('-').ok_or(InvalidEpoch)?;
        let parsed = |part| u64::from_str_radix(part, 16).map_err(|_| InvalidEpoch);
        let epoch = Self {
            number: parsed(number)?,
            opener: parsed(opener)?,
        };
        // One text for each epoch: no sign, no leading zeros, no capitals.
        let same = epoch != Self::ROOT && epoch.to_string() == text;
        same.then_some(epoch).ok_or(InvalidEpoch)
    }
}

/// A place in a stream: behind the entry of that offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Who numbered it.
    pub epoch: Epoch,
    /// 0 is before the first entry; below 2^53.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_back_as_it_was_written() {
        let node = NodeId::new("n1").unwrap();
        for number in [1, 9, u64::MAX] {
            let epoch = Epoch::opened(number, &node, Generation(7));
            let text = epoch.to_string();
            assert!(text.len() <= 33, "{text}");
            assert_eq!(text.parse(), Ok(epoch));
        }
        assert_eq!("0".parse(), Ok(Epoch::ROOT));
    }

    #[test]
    fn another_start_of_the_node_opens_other_epochs() {
        let (n1, n2) = (NodeId::new("n1").unwrap(), NodeId::new("n2").unwrap());
        let epoch = Epoch::opened(1, &n1, Generation(7));
        assert_ne!(epoch, Epoch::opened(1, &n1, Generation(8)));
        assert_ne!(epoch, Epoch::opened(1, &n2, Generation(7)));
    }

    #[test]
    fn what_is_no_epoch_is_refused() {
        for text in [
            "",
            "1",
            "-",
            "0-0000000000000000",
            "+1-0000000000000002",
            "1-2",
            "01-0000000000000002",
            "1-000000000000000A",
            "1-00000000000000002",
        ] {
            assert_eq!(text.parse::<Epoch>(), Err(InvalidEpoch), "{text}");
        }
    }
}
