//! Frames to clients, header and payload in one piece of memory.
//!
//! They carry no mask and no state, so one frame can be queued for any number of sessions by cloning
//! its [`Bytes`]. Messages are never fragmented. [`masked`] makes a client's frame of each.

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload, unmask};

use super::{CLOSE_REASON_BYTES_MAX, CONTROL_BYTES_MAX};

/// A text message. That it is UTF-8 is the caller's word.
pub fn text(payload: &[u8]) -> Bytes {
    frame(OpCode::Text, &[payload])
}

/// A text message whose payload is the pieces one after the other, each copied once. That they are
/// UTF-8 together is the caller's word.
pub fn text_parts(parts: &[&[u8]]) -> Bytes {
    frame(OpCode::Text, parts)
}

/// A binary message.
pub fn binary(payload: &[u8]) -> Bytes {
    frame(OpCode::Binary, &[payload])
}

/// A binary message of `length` bytes, which `fill` appends.
///
/// # Panics
/// When it appends more or less.
pub fn binary_with(length: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    frame_with(OpCode::Binary, length, fill)
}

/// A ping.
///
/// # Panics
/// When the payload is over [`CONTROL_BYTES_MAX`].
pub fn ping(payload: &[u8]) -> Bytes {
    control(OpCode::Ping, &[payload])
}

/// A pong. The payload of a decoded ping always fits.
///
/// # Panics
/// When the payload is over [`CONTROL_BYTES_MAX`].
pub fn pong(payload: &[u8]) -> Bytes {
    control(OpCode::Pong, &[payload])
}

/// A close. The reason is cut at the last character that ends within [`CLOSE_REASON_BYTES_MAX`];
/// without a code there cannot be a reason, and it is left out.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    match code {
        Some(code) => control(
            OpCode::Close,
            &[&code.to_be_bytes(), cut_reason(reason).as_bytes()],
        ),
        None => control(OpCode::Close, &[]),
    }
}

/// The frame as a client has to send it: masked with this key, which must be a new one for each
/// frame and not to be foreseen (RFC 6455, 5.3).
pub fn masked(frame: &[u8], key: [u8; 4]) -> Bytes {
    let head_bytes = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let (head, payload) = frame.split_at(head_bytes);
    let mut bytes = Vec::with_capacity(frame.len() + key.len());
    bytes.extend_from_slice(head);
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&key);
    bytes.extend_from_slice(payload);
    unmask(&mut bytes[head_bytes + key.len()..], key);
    Bytes::from(bytes)
}

fn cut_reason(reason: &str) -> &str {
    let mut end = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

fn control(opcode: OpCode, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    assert!(
        length <= CONTROL_BYTES_MAX,
        "a control frame takes 125 bytes, not {length}"
    );
    frame(opcode, parts)
}

fn frame(opcode: OpCode, parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum();
    frame_with(opcode, length, |bytes| {
        for part in parts {
            bytes.extend_from_slice(part);
        }
    })
}

fn frame_with(opcode: OpCode, length: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let head_bytes = match length {
        0..126 => 2,
        126..65536 => 4,
        _ => 10,
    };
    // The header depends on the payload's length only, so the payload is put in place first and
    // the header is written in front of it.
    let mut bytes = Vec::with_capacity(head_bytes + length);
    bytes.resize(head_bytes, 0);
    fill(&mut bytes);
    assert_eq!(
        bytes.len(),
        head_bytes + length,
        "the payload has the length that was told"
    );
    let (head, payload) = bytes.split_at_mut(head_bytes);
    let written = Frame::new(true, opcode, None, Payload::Borrowed(payload)).fmt_head(head);
    assert_eq!(
        written, head_bytes,
        "the header has the size that was left for it"
    );
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CloseCode;

    #[test]
    fn frames_are_final_unmasked_and_have_the_shortest_length() {
        assert_eq!(text(b"hi")[..], *b"\x81\x02hi");
        assert_eq!(binary(b"")[..], *b"\x82\x00");
        assert_eq!(binary_with(2, |out| out.extend(b"hi")), binary(b"hi"));
        assert_eq!(ping(b"p")[..], *b"\x89\x01p");
        assert_eq!(pong(&[7; 125])[..2], *b"\x8a\x7d");
        for (length, head) in [
            (125, &b"\x82\x7d"[..]),
            (126, b"\x82\x7e\x00\x7e"),
            (65535, b"\x82\x7e\xff\xff"),
            (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let bytes = binary(&vec![5; length]);
            assert_eq!(bytes[..head.len()], *head, "{length}");
            assert_eq!(bytes.len(), head.len() + length);
            assert!(bytes[head.len()..].iter().all(|&byte| byte == 5));
        }
    }

    #[test]
    fn text_from_pieces_equals_text_from_their_concatenation() {
        let long = [b'x'; 200];
        assert_eq!(text_parts(&[b"{\"body\":", &long, b"", b"}"]), {
            let whole = [b"{\"body\":", &long[..], b"}"].concat();
            text(&whole)
        });
        assert_eq!(text_parts(&[]), text(b""));
    }

    #[test]
    fn a_close_carries_its_code_in_network_order_and_its_reason() {
        assert_eq!(close(None, "lost without a code")[..], *b"\x88\x00");
        assert_eq!(
            close(Some(CloseCode::Normal.number()), "bye")[..],
            *b"\x88\x05\x03\xe8bye"
        );
        assert_eq!(
            close(Some(CloseCode::Redirect.number()), "")[..],
            *b"\x88\x02\x10\xd3"
        );
    }

    #[test]
    fn a_long_close_reason_is_cut_between_characters() {
        assert_eq!(close(Some(1000), &"a".repeat(300)).len(), 2 + 125);
        assert_eq!(
            close(Some(1000), &"a".repeat(123))[4..],
            *"a".repeat(123).as_bytes()
        );
        let euros = close(Some(1000), &format!("a{}", "€".repeat(60)));
        assert_eq!(euros[4..], *format!("a{}", "€".repeat(40)).as_bytes());
        let crabs = close(Some(1000), &"🦀".repeat(31));
        assert_eq!(crabs[4..], *"🦀".repeat(30).as_bytes());
    }
}
