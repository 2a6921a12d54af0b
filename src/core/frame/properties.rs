//! What holds for any client, however its bytes are cut.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::tests::{LIMITS, decode_pieces, masked};
use super::*;

/// What a client does: a message in fragments, with pings between them.
#[derive(Debug, Clone)]
struct Sent {
    message: Event,
    cuts: Vec<Index>,
    pings: Vec<(Index, Vec<u8>)>,
    mask: [u8; 4],
}

impl Sent {
    fn payload(&self) -> &[u8] {
        match &self.message {
            Event::Text(bytes) | Event::Binary(bytes) | Event::Pong(bytes) => bytes,
            other => unreachable!("{other:?} is not generated"),
        }
    }

    /// Appends the frames to `stream` and what is to come out of them to `events`.
    fn write(&self, stream: &mut Vec<u8>, events: &mut Vec<Event>) {
        let payload = self.payload();
        let opcode = match self.message {
            Event::Text(_) => 0x1,
            Event::Binary(_) => 0x2,
            _ => {
                stream.extend(masked(0x8a, self.mask, payload));
                events.push(self.message.clone());
                return;
            }
        };
        let mut ends: Vec<usize> = self
            .cuts
            .iter()
            .map(|cut| cut.index(payload.len() + 1))
            .collect();
        ends.push(payload.len());
        ends.sort_unstable();
        let mut start = 0;
        for (number, &end) in ends.iter().enumerate() {
            for (place, ping) in &self.pings {
                if place.index(ends.len()) == number {
                    stream.extend(masked(0x89, self.mask, ping));
                    events.push(Event::Ping(Bytes::copy_from_slice(ping)));
                }
            }
            let fin = if number + 1 == ends.len() { 0x80 } else { 0 };
            let opcode = if number == 0 { opcode } else { 0 };
            stream.extend(masked(fin | opcode, self.mask, &payload[start..end]));
            start = end;
        }
        events.push(self.message.clone());
    }
}

fn message() -> impl Strategy<Value = Event> {
    prop_oneof![
        "\\PC{0,200}".prop_map(|text| Event::Text(Bytes::from(text))),
        vec(any::<char>(), 0..100)
            .prop_map(|chars| Event::Text(Bytes::from(chars.into_iter().collect::<String>()))),
        vec(any::<u8>(), 0..400).prop_map(|bytes| Event::Binary(Bytes::from(bytes))),
        (0..70_000_usize, any::<u8>())
            .prop_map(|(length, byte)| Event::Binary(Bytes::from(vec![byte; length]))),
        vec(any::<u8>(), 0..=125).prop_map(|bytes| Event::Pong(Bytes::from(bytes))),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let pings = vec((any::<Index>(), vec(any::<u8>(), 0..=125)), 0..3);
    (
        message(),
        vec(any::<Index>(), 0..6),
        pings,
        any::<[u8; 4]>(),
    )
        .prop_map(|(message, cuts, pings, mask)| Sent {
            message,
            cuts,
            pings,
            mask,
        })
}

/// Cuts a stream at the given places.
fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let piece = &stream[start..end];
            start = end;
            piece
        })
        .collect()
}

/// Bytes that look like frames more often than noise does.
fn near_frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        Just(0x81_u8),
        Just(0x82),
        Just(0x01),
        Just(0x00),
        Just(0x80),
        Just(0x88),
        Just(0x89),
        any::<u8>()
    ];
    let frame = (
        first,
        any::<[u8; 4]>(),
        vec(any::<u8>(), 0..140),
        any::<Index>(),
        0..12_u8,
    )
        .prop_map(|(first, mask, payload, place, damage)| {
            let mut bytes = masked(first, mask, &payload);
            if damage == 0 {
                let place = place.index(bytes.len());
                bytes[place] ^= 0x55;
            }
            bytes
        });
    vec(frame, 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut(
        sent in vec(sent(), 0..6),
        cuts in vec(any::<Index>(), 0..40),
        closing in proptest::option::of((3000..5000_u16, "\\PC{0,30}")),
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for sent in &sent {
            sent.write(&mut stream, &mut expected);
        }
        if let Some((code, reason)) = closing {
            let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
            stream.extend(masked(0x88, [9, 8, 7, 6], &payload));
            expected.push(Event::Close(Some((code, reason))));
        }
        let mut decoder = Decoder::new();
        let (events, violation) =
            decode_pieces(&mut decoder, &LIMITS, pieces(&stream, &cuts));
        prop_assert_eq!(violation, None);
        prop_assert_eq!(events, expected);
        prop_assert!(decoder.is_idle());
    }

    #[test]
    fn whatever_arrives_has_one_outcome_however_it_is_cut(
        stream in prop_oneof![vec(any::<u8>(), 0..300), near_frames()],
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let limits = FrameLimits { message_bytes_max: 250, fragments_max: 3 };
        let whole = decode_pieces(&mut Decoder::new(), &limits, [&stream[..]]);
        let cut = decode_pieces(&mut Decoder::new(), &limits, pieces(&stream, &cuts));
        let bytewise = decode_pieces(&mut Decoder::new(), &limits, stream.chunks(1));
        prop_assert_eq!(&whole, &cut);
        prop_assert_eq!(&whole, &bytewise);
        for event in &whole.0 {
            match event {
                Event::Text(bytes) => {
                    prop_assert!(std::str::from_utf8(bytes).is_ok());
                    prop_assert!(bytes.len() <= limits.message_bytes_max);
                }
                Event::Binary(bytes) => prop_assert!(bytes.len() <= limits.message_bytes_max),
                Event::Ping(bytes) | Event::Pong(bytes) => {
                    prop_assert!(bytes.len() <= CONTROL_BYTES_MAX);
                }
                Event::Close(_) => {}
            }
        }
    }
}
