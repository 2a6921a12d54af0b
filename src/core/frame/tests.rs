//! The decoder's rules, one test each.

use super::*;
use CloseCode::{InvalidUtf8, Protocol, TooBig};

pub const LIMITS: FrameLimits = FrameLimits {
    message_bytes_max: 1 << 20,
    fragments_max: 64,
};
/// Second byte of a header: masked, the length follows in 2 bytes.
const MASKED_16: u8 = 0xfe;
/// Second byte of a header: masked, the length follows in 8 bytes.
const MASKED_64: u8 = 0xff;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame with the shortest length; `first` is FIN, RSV and opcode as on the wire.
pub fn masked(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..65536 => {
            bytes.push(MASKED_16);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(MASKED_64);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, MASK, payload)
}

/// Decodes pieces one after the other: the events, and the violation that ended them.
pub fn decode_pieces<'a>(
    decoder: &mut Decoder,
    limits: &FrameLimits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<Violation>) {
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        loop {
            match decoder.decode(limits, rest) {
                Err(violation) => return (events, Some(violation)),
                Ok((consumed, event)) => {
                    let ended = event.is_none();
                    events.extend(event);
                    rest = &mut rest[consumed..];
                    if ended {
                        assert!(rest.is_empty(), "without an event everything is consumed");
                        break;
                    }
                }
            }
        }
    }
    (events, None)
}

/// Decodes a stream whole and byte by byte, with the same outcome.
fn decode_with(limits: &FrameLimits, stream: &[u8]) -> Result<Vec<Event>, CloseCode> {
    let whole = decode_pieces(&mut Decoder::new(), limits, [stream]);
    let bytewise = decode_pieces(&mut Decoder::new(), limits, stream.chunks(1));
    assert_eq!(whole, bytewise);
    match whole {
        (_, Some(violation)) => {
            assert!(violation.reason.len() <= CLOSE_REASON_BYTES_MAX);
            Err(violation.code)
        }
        (events, None) => Ok(events),
    }
}

fn decode(frames: &[Vec<u8>]) -> Result<Vec<Event>, CloseCode> {
    decode_with(&LIMITS, &frames.concat())
}

fn text(payload: &str) -> Event {
    Event::Text(Bytes::copy_from_slice(payload.as_bytes()))
}

#[test]
fn a_decoder_is_small_and_owns_nothing_between_messages() {
    assert!(size_of::<Decoder>() <= 120, "{}", size_of::<Decoder>());
    let stream = [frame(0x01, b"ab"), frame(0x89, b"ping"), frame(0x80, b"cd")].concat();
    for size in 1..stream.len() {
        let mut decoder = Decoder::new();
        for (index, piece) in stream.chunks(size).enumerate() {
            assert_eq!(decoder.is_idle(), index == 0);
            decode_pieces(&mut decoder, &LIMITS, [piece]);
        }
        assert!(decoder.is_idle());
        assert_eq!(decoder.heap_bytes(), 0);
    }
}

#[test]
fn whole_frames_become_events_in_their_order() {
    let events = decode(&[
        frame(0x81, "Zoë 🦀".as_bytes()),
        frame(0x82, &[0, 0xff, 0x80]),
        frame(0x89, b"are you there"),
        frame(0x8a, b""),
        frame(0x81, b""),
        frame(0x88, b"\x03\xe8bye"),
    ]);
    assert_eq!(
        events.unwrap(),
        [
            text("Zoë 🦀"),
            Event::Binary(Bytes::from_static(&[0, 0xff, 0x80])),
            Event::Ping(Bytes::from_static(b"are you there")),
            Event::Pong(Bytes::new()),
            text(""),
            Event::Close(Some((1000, "bye".to_owned()))),
        ]
    );
}

#[test]
fn every_form_of_the_length_is_read() {
    for length in [0, 1, 125, 126, 127, 128, 65535, 65536, 70000] {
        let payload: Vec<u8> = (0..=250).cycle().take(length).collect();
        let events = decode(&[frame(0x82, &payload)]).unwrap();
        assert_eq!(events, [Event::Binary(Bytes::from(payload))]);
    }
}

#[test]
fn control_frames_may_stand_between_fragments() {
    let events = decode(&[
        frame(0x01, "a€".as_bytes()),
        frame(0x89, b"1"),
        frame(0x00, b""),
        frame(0x8a, b"2"),
        frame(0x80, b"b"),
        frame(0x02, b""),
        frame(0x80, b""),
    ]);
    let ping = Event::Ping(Bytes::from_static(b"1"));
    let answer = Event::Pong(Bytes::from_static(b"2"));
    assert_eq!(
        events.unwrap(),
        [ping, answer, text("a€b"), Event::Binary(Bytes::new())]
    );
}

#[test]
fn any_reserved_bit_is_refused_by_the_first_byte() {
    for rsv in [0x40, 0x20, 0x10, 0x70] {
        for opcode in [0x1, 0x2, 0x8, 0x9, 0xa] {
            assert_eq!(decode_with(&LIMITS, &[0x80 | rsv | opcode]), Err(Protocol));
        }
    }
}

#[test]
fn reserved_opcodes_are_refused_by_the_first_byte() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        assert_eq!(decode_with(&LIMITS, &[0x80 | opcode]), Err(Protocol));
        assert_eq!(decode_with(&LIMITS, &[opcode]), Err(Protocol));
    }
}

#[test]
fn a_frame_without_a_mask_is_refused_by_the_second_byte() {
    for first in [0x81, 0x82, 0x88, 0x89, 0x8a, 0x01] {
        for length in [0, 5, 126, 127] {
            assert_eq!(decode_with(&LIMITS, &[first, length]), Err(Protocol));
        }
    }
}

#[test]
fn a_length_that_is_not_in_its_shortest_form_is_refused() {
    for length in [0_u16, 1, 125] {
        let stream = [&[0x82, MASKED_16][..], &length.to_be_bytes()].concat();
        assert_eq!(decode_with(&LIMITS, &stream), Err(Protocol));
    }
    for length in [0_u64, 125, 126, 65535] {
        let stream = [&[0x82, MASKED_64][..], &length.to_be_bytes()].concat();
        assert_eq!(decode_with(&LIMITS, &stream), Err(Protocol));
    }
}

#[test]
fn a_length_with_the_top_bit_breaks_the_protocol_and_one_below_is_too_big() {
    let announce = |length: u64| [&[0x82, MASKED_64][..], &length.to_be_bytes()].concat();
    assert_eq!(decode_with(&LIMITS, &announce(1 << 63)), Err(Protocol));
    assert_eq!(decode_with(&LIMITS, &announce(u64::MAX)), Err(Protocol));
    assert_eq!(decode_with(&LIMITS, &announce((1 << 63) - 1)), Err(TooBig));
    let boundless = FrameLimits {
        message_bytes_max: usize::MAX,
        fragments_max: usize::MAX,
    };
    assert_eq!(
        decode_with(&boundless, &announce((1 << 63) - 1)),
        Ok(vec![])
    );
}

#[test]
fn a_control_frame_over_125_bytes_is_refused_by_the_second_byte() {
    for first in [0x88, 0x89, 0x8a] {
        assert_eq!(decode_with(&LIMITS, &[first, MASKED_16]), Err(Protocol));
        assert_eq!(decode_with(&LIMITS, &[first, MASKED_64]), Err(Protocol));
    }
    assert!(decode(&[frame(0x89, &[0; 125])]).is_ok());
}

#[test]
fn a_fragmented_control_frame_is_refused_by_the_first_byte() {
    for first in [0x08, 0x09, 0x0a] {
        assert_eq!(decode_with(&LIMITS, &[first]), Err(Protocol));
    }
}

#[test]
fn a_new_message_inside_an_unfinished_one_is_refused() {
    for first in [0x01, 0x02, 0x81, 0x82] {
        assert_eq!(decode(&[frame(0x01, b"a"), vec![first]]), Err(Protocol));
        assert_eq!(
            decode(&[frame(0x02, b""), frame(0x89, b""), vec![first]]),
            Err(Protocol)
        );
    }
}

#[test]
fn a_continuation_of_nothing_is_refused() {
    for first in [0x00, 0x80] {
        assert_eq!(decode(&[vec![first]]), Err(Protocol));
        assert_eq!(decode(&[frame(0x81, b"done"), vec![first]]), Err(Protocol));
        assert_eq!(
            decode(&[frame(0x01, b"a"), frame(0x80, b"b"), frame(first, b"c")]),
            Err(Protocol)
        );
    }
}

#[test]
fn a_close_has_no_payload_or_at_least_a_code() {
    assert_eq!(decode(&[frame(0x88, b"")]), Ok(vec![Event::Close(None)]));
    assert_eq!(decode(&[frame(0x88, b"\x03")]), Err(Protocol));
    let longest = [&b"\x03\xe8"[..], &[b'r'; 123]].concat();
    let event = Event::Close(Some((1000, "r".repeat(123))));
    assert_eq!(decode(&[frame(0x88, &longest)]), Ok(vec![event]));
}

#[test]
fn only_close_codes_that_may_be_sent_are_taken() {
    for code in 0..=u16::MAX {
        let valid = (1000..=1003).contains(&code)
            || (1007..=1014).contains(&code)
            || (3000..=4999).contains(&code);
        let mut stream = frame(0x88, &code.to_be_bytes());
        let outcome = Decoder::new().decode(&LIMITS, &mut stream);
        if valid {
            assert_eq!(
                outcome,
                Ok((8, Some(Event::Close(Some((code, String::new()))))))
            );
        } else {
            assert_eq!(
                outcome.map_err(|violation| violation.code),
                Err(Protocol),
                "{code}"
            );
        }
    }
}

#[test]
fn a_close_reason_that_is_not_utf8_is_1007() {
    assert_eq!(decode(&[frame(0x88, b"\x03\xe8\xff")]), Err(InvalidUtf8));
    assert_eq!(
        decode(&[frame(0x88, b"\x03\xe8ab\xe2\x82")]),
        Err(InvalidUtf8)
    );
}

#[test]
fn text_is_refused_at_the_first_byte_that_cannot_be_utf8() {
    // Each stands for: after this prefix no continuation is valid. One byte less is still open.
    for prefix in [
        &b"\x80"[..],
        b"\xc0",
        b"\xc1",
        b"\xf5",
        b"\xff",
        b"\xc3\x28",
        b"\xe0\x9f",
        b"\xe2\x28",
        b"\xe2\x82\x28",
        b"\xed\xa0",
        b"\xf0\x8f",
        b"\xf4\x90",
        b"\xf0\x9f\x28",
        b"\xf0\x9f\xa6\x28",
        b"ok so far \xce\xba\xe1\xbd\xb9\xf4\x90",
    ] {
        let (open, last) = prefix.split_at(prefix.len() - 1);
        for fin in [0x80, 0] {
            let mut stream = frame(fin | 0x01, &[prefix, b"and much more"].concat());
            stream.truncate(6 + open.len());
            assert_eq!(decode_with(&LIMITS, &stream), Ok(vec![]), "{prefix:x?}");
            stream.push(last[0] ^ MASK[open.len() % 4]);
            assert_eq!(
                decode_with(&LIMITS, &stream),
                Err(InvalidUtf8),
                "{prefix:x?}"
            );
        }
        let fragments = [frame(0x01, open), frame(0x89, b"\xff"), frame(0x00, last)];
        assert_eq!(decode(&fragments), Err(InvalidUtf8), "{prefix:x?}");
    }
}

#[test]
fn a_character_may_be_cut_by_fragments_but_not_by_the_end_of_the_message() {
    let crab = "🦀".as_bytes();
    for cut in 1..4 {
        let (front, back) = crab.split_at(cut);
        let whole = decode(&[frame(0x01, front), frame(0x00, b""), frame(0x80, back)]);
        assert_eq!(whole, Ok(vec![text("🦀")]));
        assert_eq!(decode(&[frame(0x81, front)]), Err(InvalidUtf8));
        assert_eq!(
            decode(&[frame(0x01, front), frame(0x80, b"")]),
            Err(InvalidUtf8)
        );
        assert_eq!(
            decode(&[frame(0x01, front), frame(0x80, b"a")]),
            Err(InvalidUtf8)
        );
    }
}

#[test]
fn binary_messages_and_pings_need_not_be_utf8() {
    let events = decode(&[
        frame(0x02, b"\xff"),
        frame(0x89, b"\xfe"),
        frame(0x80, b"\xfd"),
    ]);
    let ping = Event::Ping(Bytes::from_static(b"\xfe"));
    assert_eq!(
        events.unwrap(),
        [ping, Event::Binary(Bytes::from_static(b"\xff\xfd"))]
    );
}

#[test]
fn exactly_the_limit_passes_and_one_more_is_refused_by_the_header() {
    let limits = FrameLimits {
        message_bytes_max: 300,
        fragments_max: 8,
    };
    let exact = frame(0x82, &[1; 300]);
    assert_eq!(decode_with(&limits, &exact).unwrap().len(), 1);
    let over = frame(0x82, &[1; 301]);
    assert_eq!(
        decode_with(&limits, &over[..4]),
        Err(TooBig),
        "the length is enough"
    );

    let fragments = [frame(0x02, &[1; 200]), frame(0x80, &[1; 100])].concat();
    assert_eq!(decode_with(&limits, &fragments).unwrap().len(), 1);
    let fragments = [&frame(0x02, &[1; 200])[..], &frame(0x80, &[1; 101])[..2]].concat();
    assert_eq!(decode_with(&limits, &fragments), Err(TooBig));

    let tiny = FrameLimits {
        message_bytes_max: 0,
        fragments_max: 1,
    };
    let stream = [frame(0x81, b""), frame(0x89, &[0; 125])].concat();
    assert_eq!(
        decode_with(&tiny, &stream).unwrap().len(),
        2,
        "control frames do not count"
    );
    assert_eq!(decode_with(&tiny, &frame(0x81, b"a")), Err(TooBig));
}

#[test]
fn the_number_of_fragments_is_limited_even_when_they_are_empty() {
    let limits = FrameLimits {
        message_bytes_max: 300,
        fragments_max: 3,
    };
    let exact = [frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")].concat();
    assert_eq!(decode_with(&limits, &exact.repeat(5)).unwrap().len(), 5);
    let over = [
        frame(0x01, b""),
        frame(0x00, b""),
        frame(0x00, b""),
        frame(0x80, b""),
    ]
    .concat();
    assert_eq!(decode_with(&limits, &over), Err(TooBig));
}

#[test]
fn a_header_alone_reserves_next_to_nothing() {
    let limits = FrameLimits {
        message_bytes_max: 1 << 30,
        fragments_max: 8,
    };
    for first in [0x82, 0x02] {
        let mut header = vec![first, MASKED_64];
        header.extend((1_u64 << 30).to_be_bytes());
        header.extend(MASK);
        let mut decoder = Decoder::new();
        decode_pieces(&mut decoder, &limits, [&header[..]]);
        decode_pieces(&mut decoder, &limits, [&b"x"[..]]);
        assert!(decoder.heap_bytes() <= 16 * 1024);
        decode_pieces(&mut decoder, &limits, [&vec![0; 100_000][..]]);
        decode_pieces(&mut decoder, &limits, [&vec![0; 100_000][..]]);
        assert!(decoder.heap_bytes() <= 400_002);
    }
}

#[test]
fn tiny_fragments_reserve_no_more_than_twice_what_arrived() {
    let mut decoder = Decoder::new();
    decode_pieces(&mut decoder, &LIMITS, [&frame(0x01, b"a")[..]]);
    for count in 2..=64 {
        decode_pieces(&mut decoder, &LIMITS, [&frame(0x00, b"a")[..]]);
        assert!(decoder.heap_bytes() <= 2 * count);
    }
}

#[test]
fn frames_of_a_server_are_decoded_without_a_mask_in_any_pieces() {
    let stream = [
        encode::text("grüße".as_bytes()),
        encode::ping(b"p"),
        encode::binary(&vec![7; 70_000]),
        encode::text(b""),
        encode::close(Some(4307), "there"),
    ]
    .concat();
    let expected = vec![
        Event::Text(Bytes::from("grüße")),
        Event::Ping(Bytes::from("p")),
        Event::Binary(Bytes::from(vec![7; 70_000])),
        Event::Text(Bytes::new()),
        Event::Close(Some((4307, "there".to_owned()))),
    ];
    for piece in [1, 3, stream.len()] {
        let pieces = stream.chunks(piece);
        let decoded = decode_pieces(&mut Decoder::of_server(), &LIMITS, pieces);
        assert_eq!(decoded, (expected.clone(), None));
    }
}

#[test]
fn a_server_that_masks_breaks_the_protocol() {
    let frame = frame(0x81, b"hi");
    let (events, violation) = decode_pieces(&mut Decoder::of_server(), &LIMITS, [&frame[..]]);
    assert_eq!(events, []);
    assert_eq!(violation.map(|violation| violation.code), Some(Protocol));
}

#[test]
fn a_frame_that_is_masked_afterwards_is_a_frame_of_a_client() {
    for length in [0, 2, 126, 70_000] {
        let payload = vec![5; length];
        let masked = encode::masked(&encode::binary(&payload), MASK);
        assert_eq!(masked[..], frame(0x82, &payload)[..]);
    }
}
