//! The strict, incremental decoder of frames from the other side.

use bytes::Bytes;
use fastwebsockets::{OpCode, unmask};

use super::{Event, FrameLimits, Violation, close_code_is_valid};

/// First byte of a header: last fragment of its message.
const FIN: u8 = 0x80;
/// First byte: the bits for extensions, of which there are none here.
const RSV: u8 = 0x70;
/// First byte: what the frame is.
const OPCODE: u8 = 0x0f;
/// Second byte: the payload is masked.
const MASKED: u8 = 0x80;
/// Second byte: the length, or one of the two values below.
const LENGTH: u8 = 0x7f;
/// The length follows in 2 bytes.
const LENGTH_16: u8 = 126;
/// The length follows in 8 bytes.
const LENGTH_64: u8 = 127;
/// Bytes of the masking key, at the end of the header.
const MASK_BYTES: usize = 4;
/// Longest header: two bytes, a 64-bit length, the masking key.
const HEAD_BYTES_MAX: usize = 2 + 8 + MASK_BYTES;

/// Most bytes that are reserved because a header announces them. Beyond it a buffer grows with what
/// has arrived, so that a header alone costs the server nothing. A guess: a page of memory.
const ANNOUNCED_BYTES_MAX: usize = 4096;

/// A strict decoder of what one client, or a server, sends, whatever pieces it arrives in.
///
/// It refuses everything RFC 6455 lets a server, or a client, refuse, as soon as the byte that is wrong is there.
/// Each byte is consumed once and its effect kept, so a caller may stop between any two calls.
/// Between messages it owns no heap memory.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The header that is being received; empty while a payload is.
    head: Head,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
    /// The data message that has begun and not ended. Control frames may come in between.
    message: Option<Message>,
    /// What has arrived of a control frame's payload, when it did not come in one piece.
    control: Vec<u8>,
}

/// The beginning of a header.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    filled: u8,
    sender: Sender,
}

/// Whose frames these are: a client masks all of its own, a server none (RFC 6455, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sender {
    #[default]
    Client,
    Server,
}

/// A frame whose header is complete and has been found good.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Bytes of payload still to come.
    remaining: usize,
    /// The masking key, rotated so that it begins with the key byte of the next payload byte.
    mask: [u8; MASK_BYTES],
    opcode: OpCode,
    fin: bool,
}

/// An unfinished data message.
#[derive(Debug)]
struct Message {
    /// The payload so far, unmasked.
    bytes: Vec<u8>,
    /// How much of it is known to be UTF-8; unused when binary. The rest, 3 bytes at most between
    /// two calls, is the beginning of a character.
    checked: usize,
    /// Frames so far, the current one included.
    fragments: usize,
    text: bool,
}

impl Decoder {
    /// A decoder of a client's frames, at the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder of a server's frames, at the beginning of a connection.
    #[must_use]
    pub fn of_server() -> Self {
        let mut decoder = Self::default();
        decoder.head.sender = Sender::Server;
        decoder
    }

    /// Whether the last byte consumed was the last of a message or of a control frame outside one:
    /// nothing is half received and nothing is kept.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.head.filled == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Bytes of heap memory the decoder owns.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.control.capacity() + self.message.as_ref().map_or(0, |m| m.bytes.capacity())
    }

    /// Consumes from the front of `input`, where it unmasks payloads in place, up to the end of the
    /// first event or of `input`. Returns the number of bytes consumed and the event.
    ///
    /// To be called again with the rest until all is consumed. After [`Event::Close`] the rest is
    /// to be thrown away.
    ///
    /// # Errors
    /// [`Violation`] at the first byte that cannot be part of a good stream. How much of `input`
    /// was consumed and unmasked is then undefined, and the decoder is not to be used again.
    pub fn decode(
        &mut self,
        limits: &FrameLimits,
        input: &mut [u8],
    ) -> Result<(usize, Option<Event>), Violation> {
        let mut consumed = 0;
        loop {
            if self.frame.is_none() {
                consumed += self.read_head(limits, &input[consumed..])?;
            }
            let Some(mut frame) = self.frame.take() else {
                return Ok((consumed, None));
            };
            let available = &mut input[consumed..];
            let taken = frame.remaining.min(available.len());
            let chunk = &mut available[..taken];
            unmask(chunk, frame.mask);
            consumed += taken;
            frame.remaining -= taken;
            frame.mask.rotate_left(taken % MASK_BYTES);

            let event = if is_control(frame.opcode) {
                self.control_payload(frame, chunk)?
            } else {
                self.data_payload(frame, chunk, limits)?
            };
            if frame.remaining > 0 {
                self.frame = Some(frame);
                return Ok((consumed, None));
            }
            if event.is_some() {
                return Ok((consumed, event));
            }
        }
    }

    /// Consumes header bytes; when the header is complete, `self.frame` is set.
    fn read_head(&mut self, limits: &FrameLimits, input: &[u8]) -> Result<usize, Violation> {
        for (index, &byte) in input.iter().enumerate() {
            self.head.push(byte);
            self.check_head(limits)?;
            if self.head.is_complete() {
                self.begin_frame()?;
                return Ok(index + 1);
            }
        }
        Ok(input.len())
    }

    /// Checks what the newest byte of the header makes checkable.
    fn check_head(&self, limits: &FrameLimits) -> Result<(), Violation> {
        let filled = self.head.filled();
        if filled == 1 {
            return self.check_first_byte();
        }
        if filled == 2 {
            self.head.check_second_byte()?;
        }
        if filled == self.head.length_end() && !is_control(self.head.opcode()?) {
            self.check_room(limits)?;
        }
        Ok(())
    }

    fn check_first_byte(&self) -> Result<(), Violation> {
        if self.head.bytes[0] & RSV != 0 {
            return Err(Violation::protocol("reserved bit set without an extension"));
        }
        match self.head.opcode()? {
            OpCode::Continuation if self.message.is_none() => Err(Violation::protocol(
                "continuation without a message to continue",
            )),
            OpCode::Text | OpCode::Binary if self.message.is_some() => {
                Err(Violation::protocol("new message inside an unfinished one"))
            }
            opcode if is_control(opcode) && !self.head.fin() => {
                Err(Violation::protocol("fragmented control frame"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the frame fits into the message, as soon as its length is known.
    fn check_room(&self, limits: &FrameLimits) -> Result<(), Violation> {
        let length = self.head.length()?;
        let (bytes, fragments) = match &self.message {
            Some(message) => (message.bytes.len(), message.fragments),
            None => (0, 0),
        };
        if length > limits.message_bytes_max.saturating_sub(bytes) {
            return Err(Violation::too_big("message too large"));
        }
        if fragments >= limits.fragments_max {
            return Err(Violation::too_big("message of too many fragments"));
        }
        Ok(())
    }

    /// Turns the complete header into the current frame.
    fn begin_frame(&mut self) -> Result<(), Violation> {
        let opcode = self.head.opcode()?;
        if !is_control(opcode) {
            let message = self.message.get_or_insert_with(|| Message {
                bytes: Vec::new(),
                checked: 0,
                fragments: 0,
                text: opcode == OpCode::Text,
            });
            message.fragments += 1;
        }
        self.frame = Some(Frame {
            remaining: self.head.length()?,
            mask: self.head.mask(),
            opcode,
            fin: self.head.fin(),
        });
        self.head.filled = 0;
        Ok(())
    }

    /// Takes unmasked bytes of a control frame.
    fn control_payload(&mut self, frame: Frame, chunk: &[u8]) -> Result<Option<Event>, Violation> {
        if frame.remaining > 0 {
            if !chunk.is_empty() {
                self.control.reserve_exact(chunk.len() + frame.remaining);
                self.control.extend_from_slice(chunk);
            }
            return Ok(None);
        }
        let payload = if self.control.is_empty() {
            Bytes::copy_from_slice(chunk)
        } else {
            self.control.extend_from_slice(chunk);
            Bytes::from(std::mem::take(&mut self.control))
        };
        match frame.opcode {
            OpCode::Ping => Ok(Some(Event::Ping(payload))),
            OpCode::Pong => Ok(Some(Event::Pong(payload))),
            _ => close_event(&payload).map(Some),
        }
    }

    /// Takes unmasked bytes of a data frame.
    fn data_payload(
        &mut self,
        frame: Frame,
        chunk: &[u8],
        limits: &FrameLimits,
    ) -> Result<Option<Event>, Violation> {
        let message = self
            .message
            .as_mut()
            .expect("a data frame is part of a message");
        let ends = frame.fin && frame.remaining == 0;
        if !ends {
            message.reserve(frame, chunk.len(), limits);
            message.append(chunk)?;
            return Ok(None);
        }
        let bytes = if message.bytes.is_empty() {
            // The common case: the whole message lies in the input, and is copied once.
            if message.text && std::str::from_utf8(chunk).is_err() {
                return Err(not_utf8());
            }
            Bytes::copy_from_slice(chunk)
        } else {
            message.reserve(frame, chunk.len(), limits);
            message.append(chunk)?;
            if message.text && message.checked < message.bytes.len() {
                return Err(not_utf8());
            }
            // A message may be kept for long: give back what was reserved in excess.
            Bytes::from(std::mem::take(&mut message.bytes).into_boxed_slice())
        };
        let text = message.text;
        self.message = None;
        Ok(Some(if text {
            Event::Text(bytes)
        } else {
            Event::Binary(bytes)
        }))
    }
}

impl Head {
    fn push(&mut self, byte: u8) {
        self.bytes[self.filled()] = byte;
        self.filled += 1;
    }

    fn filled(&self) -> usize {
        usize::from(self.filled)
    }

    fn fin(&self) -> bool {
        self.bytes[0] & FIN != 0
    }

    fn opcode(&self) -> Result<OpCode, Violation> {
        OpCode::try_from(self.bytes[0] & OPCODE).map_err(|_| Violation::protocol("reserved opcode"))
    }

    fn short_length(&self) -> u8 {
        self.bytes[1] & LENGTH
    }

    /// Where the length ends and the masking key begins. Needs two bytes.
    fn length_end(&self) -> usize {
        match self.short_length() {
            LENGTH_16 => 2 + 2,
            LENGTH_64 => 2 + 8,
            _ => 2,
        }
    }

    fn mask_bytes(&self) -> usize {
        match self.sender {
            Sender::Client => MASK_BYTES,
            Sender::Server => 0,
        }
    }

    fn is_complete(&self) -> bool {
        self.filled() >= 2 && self.filled() == self.length_end() + self.mask_bytes()
    }

    fn check_second_byte(&self) -> Result<(), Violation> {
        match (self.sender, self.bytes[1] & MASKED != 0) {
            (Sender::Client, false) => {
                return Err(Violation::protocol("frame of a client without a mask"));
            }
            (Sender::Server, true) => {
                return Err(Violation::protocol("frame of a server with a mask"));
            }
            (Sender::Client, true) | (Sender::Server, false) => {}
        }
        let opcode = self.opcode()?;
        if is_control(opcode) && self.short_length() >= LENGTH_16 {
            return Err(Violation::protocol("control frame over 125 bytes"));
        }
        if opcode == OpCode::Close && self.short_length() == 1 {
            return Err(Violation::protocol("close with half a code"));
        }
        Ok(())
    }

    /// The payload's length. Needs all bytes up to [`Self::length_end`].
    fn length(&self) -> Result<usize, Violation> {
        let bytes = &self.bytes;
        let (length, least) = match self.short_length() {
            LENGTH_16 => (u64::from(u16::from_be_bytes([bytes[2], bytes[3]])), 126),
            LENGTH_64 => {
                let mut number = [0; 8];
                number.copy_from_slice(&bytes[2..10]);
                (u64::from_be_bytes(number), 1 << 16)
            }
            short => (u64::from(short), 0),
        };
        if length < least {
            return Err(Violation::protocol("length not in its shortest form"));
        }
        if length >> 63 != 0 {
            return Err(Violation::protocol("length with the top bit set"));
        }
        usize::try_from(length).map_err(|_| Violation::too_big("message too large"))
    }

    /// The masking key; zeros, which change nothing, where there is none.
    fn mask(&self) -> [u8; MASK_BYTES] {
        let mut mask = [0; MASK_BYTES];
        let (start, length) = (self.length_end(), self.mask_bytes());
        mask[..length].copy_from_slice(&self.bytes[start..start + length]);
        mask
    }
}

impl Message {
    /// Makes room for `arrived` bytes, and for more by what is announced (a little) or by what is
    /// already there (doubling), but never more than the message may need.
    fn reserve(&mut self, frame: Frame, arrived: usize, limits: &FrameLimits) {
        let length = self.bytes.len();
        if self.bytes.capacity() - length >= arrived {
            return;
        }
        let announced = arrived + frame.remaining;
        let possible = if frame.fin {
            announced
        } else {
            limits.message_bytes_max.saturating_sub(length)
        };
        let wanted = announced.min(ANNOUNCED_BYTES_MAX).max(length).min(possible);
        self.bytes.reserve_exact(wanted.max(arrived));
    }

    /// Adds unmasked bytes. Text is checked at once, not when the message ends: a character may be
    /// incomplete, but not wrong.
    fn append(&mut self, chunk: &[u8]) -> Result<(), Violation> {
        self.bytes.extend_from_slice(chunk);
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(valid) => self.checked += valid.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(not_utf8()),
        }
        Ok(())
    }
}

fn is_control(opcode: OpCode) -> bool {
    matches!(opcode, OpCode::Close | OpCode::Ping | OpCode::Pong)
}

fn not_utf8() -> Violation {
    Violation::invalid_utf8("text is not UTF-8")
}

/// Checks the payload of a close; one byte was refused with the header.
fn close_event(payload: &[u8]) -> Result<Event, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return Ok(Event::Close(None));
    };
    let code = u16::from_be_bytes(*code);
    if !close_code_is_valid(code) {
        return Err(Violation::protocol("close code that may not be sent"));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Event::Close(Some((code, reason.to_owned())))),
        Err(_) => Err(Violation::invalid_utf8("close reason is not UTF-8")),
    }
}
