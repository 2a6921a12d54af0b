//! The frame decoder.

use ringpost::core::frame::{
    CLOSE_REASON_BYTES_MAX, CONTROL_BYTES_MAX, Decoder, Event, FrameLimits, Violation,
    close_code_is_valid,
};

const LIMITS: FrameLimits = FrameLimits {
    message_bytes_max: 300,
    fragments_max: 5,
};

/// The first byte says whose frames the rest are and in what pieces they come. The pieces change
/// nothing, and no limit is passed.
pub fn frame(data: &[u8]) {
    let Some((&first, stream)) = data.split_first() else {
        return;
    };
    let of_server = first & 1 == 1;
    let whole = decode(of_server, [stream]);
    check(&whole);
    let size = usize::from(first >> 1).clamp(1, 31);
    assert_eq!(decode(of_server, stream.chunks(size)), whole);
    // Pieces of every size from one byte up.
    let mut rest = stream;
    let growing = (1..).map_while(|size: usize| {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(decode(of_server, growing), whole);
}

type Decoded = (Vec<Event>, Result<bool, Violation>);

/// The events, and how it ended: whether nothing is half received, or what was wrong.
fn decode<'a>(of_server: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = if of_server {
        Decoder::of_server()
    } else {
        Decoder::new()
    };
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut *piece;
        while !rest.is_empty() {
            let (consumed, event) = match decoder.decode(&LIMITS, rest) {
                Ok(taken) => taken,
                Err(violation) => return (events, Err(violation)),
            };
            assert!(consumed > 0 || event.is_some(), "it would never end");
            rest = &mut rest[consumed..];
            let closed = matches!(event, Some(Event::Close(_)));
            events.extend(event);
            if closed {
                return (events, Ok(true));
            }
        }
    }
    (events, Ok(decoder.is_idle()))
}

fn check((events, ended): &Decoded) {
    for event in events {
        match event {
            Event::Text(text) => {
                assert!(text.len() <= LIMITS.message_bytes_max);
                assert!(std::str::from_utf8(text).is_ok());
            }
            Event::Binary(bytes) => assert!(bytes.len() <= LIMITS.message_bytes_max),
            Event::Ping(bytes) | Event::Pong(bytes) => assert!(bytes.len() <= CONTROL_BYTES_MAX),
            Event::Close(None) => {}
            Event::Close(Some((code, reason))) => {
                assert!(close_code_is_valid(*code));
                assert!(reason.len() <= CLOSE_REASON_BYTES_MAX);
            }
        }
    }
    if let Err(violation) = ended {
        assert!(violation.reason.len() <= CLOSE_REASON_BYTES_MAX);
    }
}
