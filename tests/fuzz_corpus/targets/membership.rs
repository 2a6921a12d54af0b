//! A membership that hears anything from its peers.

use std::time::Duration;

use bytes::Bytes;
use foca::Codec as _;
use prost::Message as _;
use ringpost::config::GossipConfig;
use ringpost::core::membership::{
    Exchange, ExchangeReply, Identity, IdentityParts, Input, Membership, Output, Target,
};
use ringpost::id::{Generation, NodeId};
use ringpost::wire::{GossipCodec, proto};

/// Bytes of the shortest record: an id of one letter, a generation and a weight.
const RECORD_BYTES_MIN: usize = 7;

/// Steps: one byte for what happens, two for the length of what follows, big-endian, and that.
///
/// Others can decode whatever it says, it never loses itself, and what it knows is bounded by what it
/// was told.
pub fn membership(data: &[u8]) {
    let identity = identity("n1");
    let config = GossipConfig::default();
    let mut membership = Membership::new(identity, "ringpost", 1, config, GossipCodec, 1);
    let (mut now, mut told) = (Duration::ZERO, 0);
    let mut rest = data;
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (bytes, next) = after.split_at(length);
        rest = next;
        told += length;
        step(&mut membership, &mut now, *kind, bytes);
        carry_out(&mut membership);
        let view = membership.view();
        assert!(view.me().is_some());
        assert!(view.members.len() <= 1 + told / RECORD_BYTES_MIN);
        assert_eq!(membership.identity().id.as_str(), "n1");
    }
}

fn step(membership: &mut Membership<GossipCodec>, now: &mut Duration, kind: u8, bytes: &[u8]) {
    match kind % 8 {
        0..=2 => membership.handle(*now, Input::Packet(Bytes::copy_from_slice(bytes))),
        3 => {
            let asked = proto::ExchangeRequest::decode(bytes).ok();
            if let Some(Ok(asked)) = asked.map(Exchange::try_from) {
                let answer = membership.exchange_asked(*now, asked);
                let answer = ExchangeReply::try_from(proto::ExchangeReply::from(answer));
                answer.expect("others can decode it");
            }
        }
        4 => {
            let answer = proto::ExchangeReply::decode(bytes).ok();
            if let Some(Ok(answer)) = answer.map(ExchangeReply::try_from) {
                let target = Target::Seed(0);
                membership.handle(*now, Input::ExchangeAnswered { target, answer });
            }
        }
        5 | 6 => {
            if let Some(at) = membership.next_deadline() {
                *now = at.max(*now);
                membership.on_timeout(*now);
            }
        }
        _ if kind > 250 => membership.handle(*now, Input::Leave),
        _ => membership.handle(*now, Input::SetDraining),
    }
}

fn carry_out(membership: &mut Membership<GossipCodec>) {
    while let Some(output) = membership.poll_output() {
        match output {
            Output::Send { packet, .. } => {
                let mut rest = &*packet;
                GossipCodec
                    .decode_header(&mut rest)
                    .expect("others can decode it");
            }
            Output::Exchange { exchange, .. } => {
                let exchange = Exchange::try_from(proto::ExchangeRequest::from(exchange));
                exchange.expect("others can decode it");
            }
            Output::ViewChanged(_) | Output::Replaced { .. } => {}
        }
    }
}

fn identity(id: &str) -> Identity {
    Identity::new(IdentityParts {
        id: NodeId::new(id).expect("a good id"),
        generation: Generation(1_732_350_000_123),
        revision: 0,
        peer: "127.0.0.1:7101".into(),
        url: "ws://127.0.0.1:7001".into(),
        weight: 1,
        draining: false,
    })
}
