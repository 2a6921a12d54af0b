//! Gossip packets and exchanges, to and from their wire form.

use bytes::{Buf, BufMut};
use foca::{Header, Message as Kind, State};
use prost::encoding::decode_varint;

use super::{WireError, proto};
use crate::config::Config;
use crate::core::membership::{Exchange, ExchangeReply, Identity, IdentityParts, Record};
use crate::id::{Generation, NodeId};

/// Longest `host:port` or URL of a member, in bytes.
const ADDRESS_BYTES_MAX: usize = 1024;

/// Writes and reads what foca sends: protobuf messages, each with its length before it.
#[derive(Debug, Clone, Copy, Default)]
pub struct GossipCodec;

/// Why a packet could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It does not fit into what is left of the packet; nothing was written.
    #[error("the packet is full")]
    Full,
    /// It is not protobuf.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    /// What it says cannot be right.
    #[error(transparent)]
    Invalid(#[from] WireError),
}

impl foca::Codec<Identity> for GossipCodec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        write(&header_to_wire(header), buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        header_from_wire(read(buf)?)
    }

    fn encode_member(&mut self, member: &Record, buf: impl BufMut) -> Result<(), CodecError> {
        write(&proto::Member::from(member), buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Record, CodecError> {
        Ok(read::<proto::Member>(buf)?.try_into()?)
    }
}

fn write(message: &impl prost::Message, mut buf: impl BufMut) -> Result<(), CodecError> {
    let len = message.encoded_len();
    // Checked before anything is written: foca wants a clean buffer when something does not fit.
    if buf.remaining_mut() < len + prost::length_delimiter_len(len) {
        return Err(CodecError::Full);
    }
    message
        .encode_length_delimited(&mut buf)
        .map_err(|_| CodecError::Full)
}

fn read<M: prost::Message + Default>(mut buf: impl Buf) -> Result<M, CodecError> {
    let len = decode_varint(&mut buf)?;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len > buf.remaining() {
        return Err(WireError("a packet that is cut off").into());
    }
    Ok(M::decode(buf.take(len))?)
}

fn header_to_wire(header: &Header<Identity>) -> proto::GossipHeader {
    use proto::GossipKind as Wire;
    let (kind, probe_number, about) = match &header.message {
        Kind::Ping(number) => (Wire::Ping, *number, None),
        Kind::Ack(number) => (Wire::Ack, *number, None),
        Kind::PingReq {
            target,
            probe_number,
        } => (Wire::PingReq, *probe_number, Some(target)),
        Kind::IndirectPing {
            origin,
            probe_number,
        } => (Wire::IndirectPing, *probe_number, Some(origin)),
        Kind::IndirectAck {
            target,
            probe_number,
        } => (Wire::IndirectAck, *probe_number, Some(target)),
        Kind::ForwardedAck {
            origin,
            probe_number,
        } => (Wire::ForwardedAck, *probe_number, Some(origin)),
        Kind::Announce => (Wire::Announce, 0, None),
        Kind::Feed => (Wire::Feed, 0, None),
        Kind::Gossip => (Wire::Gossip, 0, None),
        Kind::Broadcast => (Wire::Broadcast, 0, None),
        Kind::TurnUndead => (Wire::TurnUndead, 0, None),
    };
    proto::GossipHeader {
        src: Some((&header.src).into()),
        src_incarnation: u32::from(header.src_incarnation),
        dst: Some((&header.dst).into()),
        kind: kind.into(),
        probe_number: u32::from(probe_number),
        about: about.map(Into::into),
    }
}

fn header_from_wire(header: proto::GossipHeader) -> Result<Header<Identity>, CodecError> {
    use proto::GossipKind as Wire;
    let kind = header.kind();
    let probe_number =
        u8::try_from(header.probe_number).map_err(|_| WireError("a probe number out of bounds"))?;
    let third = header.about;
    let about = || identity(third);
    let message = match kind {
        Wire::Ping => Kind::Ping(probe_number),
        Wire::Ack => Kind::Ack(probe_number),
        Wire::PingReq => Kind::PingReq {
            target: about()?,
            probe_number,
        },
        Wire::IndirectPing => Kind::IndirectPing {
            origin: about()?,
            probe_number,
        },
        Wire::IndirectAck => Kind::IndirectAck {
            target: about()?,
            probe_number,
        },
        Wire::ForwardedAck => Kind::ForwardedAck {
            origin: about()?,
            probe_number,
        },
        Wire::Announce => Kind::Announce,
        Wire::Feed => Kind::Feed,
        Wire::Gossip => Kind::Gossip,
        Wire::Broadcast => Kind::Broadcast,
        Wire::TurnUndead => Kind::TurnUndead,
        Wire::Unspecified => return Err(WireError("a packet of an unknown kind").into()),
    };
    Ok(Header {
        src: identity(header.src)?,
        src_incarnation: incarnation(header.src_incarnation)?,
        dst: identity(header.dst)?,
        message,
    })
}

impl From<&Identity> for proto::Identity {
    fn from(identity: &Identity) -> Self {
        Self {
            id: identity.id.as_str().to_owned(),
            generation: identity.generation.0,
            revision: identity.revision,
            peer: identity.peer.as_ref().to_owned(),
            url: identity.url.as_ref().to_owned(),
            weight: u32::from(identity.weight),
            draining: identity.draining,
        }
    }
}

fn identity(identity: Option<proto::Identity>) -> Result<Identity, WireError> {
    let identity = identity.ok_or(WireError("an identity is missing"))?;
    let weight = u16::try_from(identity.weight)
        .ok()
        .filter(|weight| (1..=Config::WEIGHT_MAX).contains(weight))
        .ok_or(WireError("a weight out of bounds"))?;
    if identity.generation >= Generation::END {
        return Err(WireError("a generation out of bounds"));
    }
    if identity.peer.len() > ADDRESS_BYTES_MAX || identity.url.len() > ADDRESS_BYTES_MAX {
        return Err(WireError("an address that is too long"));
    }
    // Clients are sent to the one, and this node dials the other.
    let plain = |address: &str| address.bytes().all(|byte| byte.is_ascii_graphic());
    if !plain(&identity.peer) || !plain(&identity.url) {
        return Err(WireError("an address that cannot be one"));
    }
    Ok(Identity::new(IdentityParts {
        id: NodeId::new(&identity.id).map_err(|_| WireError("a node id out of bounds"))?,
        generation: Generation(identity.generation),
        revision: identity.revision,
        peer: identity.peer.into(),
        url: identity.url.into(),
        weight,
        draining: identity.draining,
    }))
}

fn incarnation(incarnation: u32) -> Result<foca::Incarnation, WireError> {
    foca::Incarnation::try_from(incarnation).map_err(|_| WireError("an incarnation out of bounds"))
}

impl From<&Record> for proto::Member {
    fn from(record: &Record) -> Self {
        let state = match record.state() {
            State::Alive => proto::MemberState::Alive,
            State::Suspect => proto::MemberState::Suspect,
            State::Down => proto::MemberState::Down,
        };
        Self {
            identity: Some(record.id().into()),
            incarnation: u32::from(record.incarnation()),
            state: state.into(),
        }
    }
}

impl TryFrom<proto::Member> for Record {
    type Error = WireError;

    fn try_from(member: proto::Member) -> Result<Self, WireError> {
        let state = match proto::MemberState::try_from(member.state) {
            Ok(proto::MemberState::Alive) => State::Alive,
            Ok(proto::MemberState::Suspect) => State::Suspect,
            Ok(proto::MemberState::Down) => State::Down,
            Err(_) => return Err(WireError("a member in an unknown state")),
        };
        let incarnation = incarnation(member.incarnation)?;
        Ok(Self::new(identity(member.identity)?, incarnation, state))
    }
}

fn record(member: Option<proto::Member>) -> Result<Record, WireError> {
    member.ok_or(WireError("a member is missing"))?.try_into()
}

/// Those that can be. What is wrong with one says nothing about the others.
fn records(members: Vec<proto::Member>) -> Vec<Record> {
    let records = members.into_iter().map(TryInto::try_into);
    records.filter_map(Result::ok).collect()
}

/// Which node a gossip packet says it comes from.
///
/// # Errors
/// It is no packet.
pub(crate) fn sender(packet: &[u8]) -> Result<NodeId, CodecError> {
    let header = header_from_wire(read(packet)?)?;
    Ok(header.src.id.clone())
}

impl From<Exchange> for proto::ExchangeRequest {
    fn from(exchange: Exchange) -> Self {
        Self {
            // Whoever carries it says who calls.
            caller: None,
            from: Some((&exchange.from).into()),
            digest: exchange.digest,
            members: exchange.members.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::ExchangeRequest> for Exchange {
    type Error = WireError;

    fn try_from(request: proto::ExchangeRequest) -> Result<Self, WireError> {
        Ok(Self {
            from: record(request.from)?,
            digest: request.digest,
            members: records(request.members),
        })
    }
}

impl From<ExchangeReply> for proto::ExchangeReply {
    fn from(reply: ExchangeReply) -> Self {
        Self {
            from: Some((&reply.from).into()),
            digest: reply.digest,
            members: reply.members.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::ExchangeReply> for ExchangeReply {
    type Error = WireError;

    fn try_from(reply: proto::ExchangeReply) -> Result<Self, WireError> {
        Ok(Self {
            from: record(reply.from)?,
            digest: reply.digest,
            members: records(reply.members),
        })
    }
}

#[cfg(test)]
mod tests {
    use foca::Codec;

    use super::*;

    fn node(id: &str) -> Identity {
        Identity::new(IdentityParts {
            id: NodeId::new(id).unwrap(),
            generation: Generation(1_732_350_000_123),
            revision: 7,
            peer: "127.0.0.1:7101".into(),
            url: "ws://127.0.0.1:7001".into(),
            weight: 3,
            draining: true,
        })
    }

    #[test]
    fn every_kind_of_header_comes_back_as_it_went() {
        let (probe_number, n3) = (200, node("n3"));
        let kinds = [
            Kind::Ping(probe_number),
            Kind::Ack(probe_number),
            Kind::PingReq {
                target: n3.clone(),
                probe_number,
            },
            Kind::IndirectPing {
                origin: n3.clone(),
                probe_number,
            },
            Kind::IndirectAck {
                target: n3.clone(),
                probe_number,
            },
            Kind::ForwardedAck {
                origin: n3,
                probe_number,
            },
            Kind::Announce,
            Kind::Feed,
            Kind::Gossip,
            Kind::Broadcast,
            Kind::TurnUndead,
        ];
        for message in kinds {
            let header = Header {
                src: node("n1"),
                src_incarnation: 65_535,
                dst: node("n2"),
                message,
            };
            let mut packet = Vec::new();
            GossipCodec.encode_header(&header, &mut packet).unwrap();
            packet.extend_from_slice(b"rest");
            let mut rest = packet.as_slice();
            assert_eq!(GossipCodec.decode_header(&mut rest).unwrap(), header);
            assert_eq!(rest, b"rest", "exactly one item is read");
        }
    }

    #[test]
    fn a_member_that_does_not_fit_leaves_the_buffer_as_it_was() {
        let member = Record::new(node("n1"), 9, State::Suspect);
        let mut whole = Vec::new();
        GossipCodec.encode_member(&member, &mut whole).unwrap();
        for room in 0..whole.len() {
            let mut buffer = Vec::new().limit(room);
            let refused = GossipCodec.encode_member(&member, &mut buffer);
            assert_eq!(refused, Err(CodecError::Full));
            assert!(buffer.get_ref().is_empty());
        }
        let read = GossipCodec.decode_member(whole.as_slice()).unwrap();
        assert_eq!(read, member);
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let good = proto::Identity::from(&node("n1"));
        let bad = [
            proto::Identity {
                id: "n 1".into(),
                ..good.clone()
            },
            proto::Identity {
                weight: 0,
                ..good.clone()
            },
            proto::Identity {
                weight: 65_537,
                ..good.clone()
            },
            proto::Identity {
                generation: 1 << 53,
                ..good.clone()
            },
            proto::Identity {
                url: "x".repeat(1025),
                ..good.clone()
            },
            proto::Identity {
                url: "ws://n1\r\nSet-Cookie: a=b".into(),
                ..good.clone()
            },
            proto::Identity {
                peer: "n1:7101\u{1b}[2J".into(),
                ..good.clone()
            },
        ];
        for identity_on_wire in bad {
            assert!(
                identity(Some(identity_on_wire.clone())).is_err(),
                "{identity_on_wire:?}"
            );
        }
        assert!(identity(Some(good)).is_ok());
        assert!(GossipCodec.decode_header(&b"\xff\xff\xff\x7f"[..]).is_err());
    }
}
