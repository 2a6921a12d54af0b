//! WebSocket frames as a client sees them: its own are masked, those of the server are not.

use fastwebsockets::{OpCode, unmask};

/// Longest payload of a frame from the server that is taken, in bytes.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
/// In place of a length: it follows in 2 bytes, or in 8.
const LENGTH_16: u8 = 0x7e;
const LENGTH_64: u8 = 0x7f;

/// A whole frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: OpCode,
    pub payload: &'a [u8],
    /// Bytes of the frame, its header included.
    pub bytes: usize,
}

/// The frame at the front of `input`; `None` while it is incomplete.
///
/// A node never fragments, so a fragment is an error here, as is a mask.
pub fn first(input: &[u8]) -> Result<Option<Frame<'_>>, &'static str> {
    let &[first, second, ..] = input else {
        return Ok(None);
    };
    if first & RSV != 0 || second & MASKED != 0 {
        return Err("a frame with a reserved bit or a mask");
    }
    let opcode = OpCode::try_from(first & OPCODE).map_err(|_| "a frame with a reserved opcode")?;
    if first & FIN == 0 || opcode == OpCode::Continuation {
        return Err("a fragmented message");
    }
    let (head_bytes, length) = match second {
        LENGTH_16 => match input[2..].first_chunk() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        LENGTH_64 => match input[2..].first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > PAYLOAD_BYTES_MAX {
        return Err("a frame of over 16 MiB");
    }
    let bytes = head_bytes + length;
    Ok(input.get(head_bytes..bytes).map(|payload| Frame {
        opcode,
        payload,
        bytes,
    }))
}

/// Appends a frame whose payload, of exactly `length` bytes, is written by `fill`.
pub fn append(
    output: &mut Vec<u8>,
    opcode: OpCode,
    mask: [u8; 4],
    length: usize,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    output.push(FIN | opcode as u8);
    // The casts lose nothing: each arm says how long it may be.
    #[allow(clippy::cast_possible_truncation)]
    match length {
        0..126 => output.push(MASKED | length as u8),
        126..65536 => {
            output.push(MASKED | LENGTH_16);
            output.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            output.push(MASKED | LENGTH_64);
            output.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(&mask);
    let start = output.len();
    fill(output);
    assert_eq!(
        output.len() - start,
        length,
        "the payload has the length in its header"
    );
    unmask(&mut output[start..], mask);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ringpost::core::frame::{Decoder, Event, FrameLimits, encode};

    use super::*;

    #[test]
    fn what_is_appended_is_what_the_server_decodes() {
        for length in [0, 1, 125, 126, 127, 65535, 65536] {
            let payload = vec![b'x'; length];
            let mut output = Vec::new();
            append(&mut output, OpCode::Text, [1, 2, 3, 4], length, |output| {
                output.extend_from_slice(&payload);
            });
            let limits = FrameLimits {
                message_bytes_max: 65536,
                fragments_max: 1,
            };
            let bytes = output.len();
            let decoded = Decoder::new().decode(&limits, &mut output);
            let event = Event::Text(Bytes::from(payload));
            assert_eq!(decoded, Ok((bytes, Some(event))), "{length}");
        }
    }

    #[test]
    fn what_the_server_encodes_is_read_when_it_is_whole() {
        for length in [0, 125, 126, 65535, 65536] {
            let payload = vec![b'y'; length];
            let mut input = encode::text(&payload).to_vec();
            let bytes = input.len();
            assert_eq!(first(&input[..bytes - 1]), Ok(None), "{length}");
            input.extend_from_slice(b"\x81\x05next");
            let frame = first(&input).unwrap().unwrap();
            assert_eq!(
                (frame.opcode, frame.payload, frame.bytes),
                (OpCode::Text, &payload[..], bytes)
            );
        }
        assert_eq!(first(b""), Ok(None));
        assert_eq!(first(b"\x81"), Ok(None));
        assert_eq!(first(b"\x81\x7e\x01"), Ok(None));
    }

    #[test]
    fn frames_that_no_node_sends_are_refused() {
        for input in [
            &b"\x01\x00"[..],
            b"\x80\x00",
            b"\x81\x80",
            b"\xc1\x00",
            b"\x83\x00",
            b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(first(input).is_err(), "{input:?}");
        }
    }
}
