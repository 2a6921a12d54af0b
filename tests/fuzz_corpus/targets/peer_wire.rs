//! What comes from peers.

use std::fmt::Debug;

use bytes::Bytes;
use foca::Codec as _;
use prost::Message;
use ringpost::core::membership::{Exchange, ExchangeReply};
use ringpost::core::peer::{Reply, Request};
use ringpost::wire::{GossipCodec, proto};

/// The first byte says what the rest is. Whatever is taken in goes out again as a value that is the
/// same.
pub fn peer_wire(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else {
        return;
    };
    match kind % 6 {
        0 => header(bytes),
        1 => member(bytes),
        2 => {
            if let Some(Ok(asked)) = decode::<proto::ExchangeRequest>(bytes).map(Exchange::try_from)
            {
                let again = proto::ExchangeRequest::from(asked.clone());
                let again = Exchange::try_from(again).expect("what was good is good again");
                assert_eq!((again.from, again.members), (asked.from, asked.members));
            }
        }
        3 => {
            if let Some(Ok(answer)) =
                decode::<proto::ExchangeReply>(bytes).map(ExchangeReply::try_from)
            {
                let again = proto::ExchangeReply::from(answer.clone());
                let again = ExchangeReply::try_from(again).expect("what was good is good again");
                assert_eq!((again.from, again.members), (answer.from, answer.members));
            }
        }
        4 => {
            let batch = decode::<proto::Batch>(bytes).unwrap_or_default();
            for request in batch.requests {
                same_again::<proto::Request, (u64, Request)>(request);
            }
        }
        _ => {
            let batch = decode::<proto::ReplyBatch>(bytes).unwrap_or_default();
            for reply in batch.replies {
                same_again::<proto::Reply, Reply>(reply);
            }
        }
    }
}

/// A message, the bytes of which are one buffer, as those of a connection are.
fn decode<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    M::decode(Bytes::copy_from_slice(bytes)).ok()
}

fn same_again<M, V>(message: M)
where
    M: Message + Default + From<V>,
    V: TryFrom<M, Error: Debug> + Clone + PartialEq + Debug,
{
    let Ok(value) = V::try_from(message) else {
        return;
    };
    let bytes = M::from(value.clone()).encode_to_vec();
    let again = decode::<M>(&bytes).expect("it was written here");
    assert_eq!(
        V::try_from(again).expect("what was good is good again"),
        value
    );
}

fn header(mut bytes: &[u8]) {
    if let Ok(header) = GossipCodec.decode_header(&mut bytes) {
        let mut again = Vec::new();
        GossipCodec
            .encode_header(&header, &mut again)
            .expect("there is room");
        assert_eq!(GossipCodec.decode_header(&*again), Ok(header));
    }
}

fn member(mut bytes: &[u8]) {
    if let Ok(record) = GossipCodec.decode_member(&mut bytes) {
        let mut again = Vec::new();
        GossipCodec
            .encode_member(&record, &mut again)
            .expect("there is room");
        assert_eq!(GossipCodec.decode_member(&*again), Ok(record));
    }
}
