//! Streams, to and from their wire form: positions, messages, entries, whole logs.

use std::time::Duration;

use bytes::Bytes;

use super::check::{at_most, bounded, each, entry_offset, kept, offset, required};
use super::{WireError, proto};
use crate::config::InboxConfig;
use crate::core::stream::{
    Epoch, Message, MessageKey, Position, Snapshot, SnapshotBranch, SnapshotEntry, SnapshotSeen,
};

/// Most earlier epochs in a snapshot. Logs forget theirs long before.
const BRANCHES_MAX: usize = 1024;
/// Most origins of an entry. It gets one in each merge that it lives to see.
const ORIGINS_MAX: usize = 4096;

impl From<Epoch> for proto::Epoch {
    fn from(epoch: Epoch) -> Self {
        let (number, opener) = epoch.parts();
        Self { number, opener }
    }
}

// Clients name epochs as well, and may invent some: there is nothing to refuse.
impl From<proto::Epoch> for Epoch {
    fn from(epoch: proto::Epoch) -> Self {
        Self::from_parts(epoch.number, epoch.opener)
    }
}

fn epoch(epoch: Option<proto::Epoch>) -> Result<Epoch, WireError> {
    epoch
        .map(Into::into)
        .ok_or(WireError("an epoch is missing"))
}

impl From<Position> for proto::Position {
    fn from(position: Position) -> Self {
        Self {
            epoch: Some(position.epoch.into()),
            offset: position.offset,
        }
    }
}

impl TryFrom<proto::Position> for Position {
    type Error = WireError;

    fn try_from(position: proto::Position) -> Result<Self, WireError> {
        Ok(Self {
            epoch: epoch(position.epoch)?,
            offset: offset(position.offset)?,
        })
    }
}

pub(super) fn position(position: Option<proto::Position>) -> Result<Position, WireError> {
    required(position, "a position is missing")
}

impl From<Message> for proto::Message {
    fn from(message: Message) -> Self {
        let [from, id, body] = message.slices();
        Self {
            from,
            id,
            body,
            ts_ms: message.ts_ms,
            notify: message.notify,
        }
    }
}

impl TryFrom<proto::Message> for Message {
    type Error = WireError;

    fn try_from(message: proto::Message) -> Result<Self, WireError> {
        kept(&message)
    }
}

/// Whole milliseconds; the rest is cut off.
fn age_ms(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

impl From<SnapshotEntry> for proto::Entry {
    fn from(entry: SnapshotEntry) -> Self {
        Self {
            offset: entry.offset,
            age_ms: age_ms(entry.age),
            acked: entry.acked,
            message: Some(entry.message.into()),
            origins: entry.origins.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::Entry> for SnapshotEntry {
    type Error = WireError;

    fn try_from(entry: proto::Entry) -> Result<Self, WireError> {
        Ok(Self {
            offset: entry_offset(entry.offset)?,
            age: Duration::from_millis(entry.age_ms),
            acked: entry.acked,
            origins: each(at_most(ORIGINS_MAX, entry.origins)?)?,
            message: required(entry.message, "an entry without a message")?,
        })
    }
}

/// Entries in their order.
pub(super) fn entries(list: Vec<proto::Entry>) -> Result<Vec<SnapshotEntry>, WireError> {
    let entries: Vec<SnapshotEntry> = each(bounded(list)?)?;
    if entries.is_sorted_by(|one, next| one.offset < next.offset) {
        Ok(entries)
    } else {
        Err(WireError("entries out of order"))
    }
}

impl From<SnapshotBranch> for proto::Branch {
    fn from(branch: SnapshotBranch) -> Self {
        Self {
            epoch: Some(branch.epoch.into()),
            shared: branch.shared,
            merged: branch.merged.map(Into::into),
        }
    }
}

impl TryFrom<proto::Branch> for SnapshotBranch {
    type Error = WireError;

    fn try_from(branch: proto::Branch) -> Result<Self, WireError> {
        Ok(Self {
            epoch: epoch(branch.epoch)?,
            shared: offset(branch.shared)?,
            merged: branch.merged.map(TryInto::try_into).transpose()?,
        })
    }
}

pub(super) fn key_to_wire(key: MessageKey) -> Bytes {
    Bytes::copy_from_slice(&key.to_bytes())
}

pub(super) fn key_from_wire(bytes: &[u8]) -> Result<MessageKey, WireError> {
    let bytes = bytes.try_into();
    let bytes = bytes.map_err(|_| WireError("a message key that has not 16 bytes"))?;
    Ok(MessageKey::from_bytes(bytes))
}

/// Rows of a snapshot's seen messages at most: after a split those of both sides.
const SEEN_MAX: usize = 2 * InboxConfig::DEDUPE_IDS_MAX;

/// Reads the columns of a snapshot's seen messages.
fn seen(keys: &[u8], offsets: Vec<u64>, ages_ms: &[u64]) -> Result<Vec<SnapshotSeen>, WireError> {
    let offsets = at_most(SEEN_MAX, offsets)?;
    let rows = keys.chunks(MessageKey::BYTES);
    if rows.len() != offsets.len() || rows.len() != ages_ms.len() {
        return Err(WireError("columns of different lengths"));
    }
    (rows.zip(offsets).zip(ages_ms))
        .map(|((key, of_entry), &age_ms)| {
            Ok(SnapshotSeen {
                key: key_from_wire(key)?,
                offset: offset(of_entry)?,
                age: Duration::from_millis(age_ms),
            })
        })
        .collect()
}

impl From<Snapshot> for proto::Snapshot {
    fn from(snapshot: Snapshot) -> Self {
        let seen = &snapshot.seen;
        let keys: Vec<u8> = seen.iter().flat_map(|seen| seen.key.to_bytes()).collect();
        Self {
            epoch: Some(snapshot.epoch.into()),
            next: snapshot.next,
            acked: snapshot.acked,
            floor: snapshot.floor,
            seen_keys: keys.into(),
            seen_offsets: seen.iter().map(|seen| seen.offset).collect(),
            seen_ages_ms: seen.iter().map(|seen| age_ms(seen.age)).collect(),
            branches: snapshot.branches.into_iter().map(Into::into).collect(),
            entries: snapshot.entries.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::Snapshot> for Snapshot {
    type Error = WireError;

    fn try_from(snapshot: proto::Snapshot) -> Result<Self, WireError> {
        let next = entry_offset(snapshot.next)?;
        let entries = entries(snapshot.entries)?;
        let behind = entries.last().is_some_and(|last| last.offset >= next);
        if behind || snapshot.acked >= next || !(1..=next).contains(&snapshot.floor) {
            return Err(WireError("a stream that ends before what is in it"));
        }
        Ok(Self {
            epoch: epoch(snapshot.epoch)?,
            branches: each(at_most(BRANCHES_MAX, snapshot.branches)?)?,
            entries,
            next,
            acked: snapshot.acked,
            floor: snapshot.floor,
            seen: seen(
                &snapshot.seen_keys,
                snapshot.seen_offsets,
                &snapshot.seen_ages_ms,
            )?,
        })
    }
}

pub(super) fn snapshot(snapshot: Option<proto::Snapshot>) -> Result<Snapshot, WireError> {
    required(snapshot, "a stream is missing")
}
