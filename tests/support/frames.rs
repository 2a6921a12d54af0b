//! WebSocket frames as in RFC 6455, section 5.2, as a client sends and a server answers them.

/// A frame's kind.
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Any four bytes do: the mask keeps proxies from misreading, not tests.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// One masked frame, its length in the shortest form.
pub fn encode(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | low_byte(length)),
        length @ 126..0x1_0000 => {
            bytes.push(0xfe);
            bytes.extend([low_byte(length >> 8), low_byte(length)]);
        }
        length => {
            bytes.push(0xff);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    bytes
}

/// Takes the first frame off the front, once it is there as a whole.
///
/// # Panics
/// When it is a frame that a server may not send: masked, reserved bits, a wrong length.
pub fn decode(bytes: &mut Vec<u8>) -> Option<Frame> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(
        first & 0x70,
        0,
        "reserved bits in a server's frame: {first:#x}"
    );
    assert_eq!(second & 0x80, 0, "a server's frame is masked");
    let (header, length) = match second {
        126 => {
            let length = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
            assert!(length >= 126, "length not in its shortest form: {length}");
            (4, usize::from(length))
        }
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            assert!(
                length >= 0x1_0000,
                "length not in its shortest form: {length}"
            );
            (10, usize::try_from(length).expect("it fits into memory"))
        }
        short => (2, usize::from(short)),
    };
    if bytes.len() < header + length {
        return None;
    }
    let payload = bytes[header..header + length].to_vec();
    bytes.drain(..header + length);
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    assert!(
        opcode < 8 || (fin && length < 126),
        "a control frame in pieces or too long"
    );
    Some(Frame {
        fin,
        opcode,
        payload,
    })
}

fn low_byte(number: usize) -> u8 {
    u8::try_from(number & 0xff).expect("masked to a byte")
}
