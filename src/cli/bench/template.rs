//! What a load test sends: messages of a fixed size, written straight into frames.

use fastwebsockets::OpCode;

use super::frames;

/// The least `--size`: room for the longest numbers.
pub const BODY_BYTES_MIN: usize = 48;

/// To whom the sends of a load test go. The names need no escapes in JSON.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// Users whose names are this and a number.
    Users(&'a str),
    /// Rooms whose names are this and a number.
    Rooms(&'a str),
    Everyone,
}

/// The sends of one sender: what is the same in all of them, made once.
#[derive(Debug)]
pub struct Template {
    /// Up to the number in the id.
    head: Vec<u8>,
    /// From the id to the number in the target's name, if it has a name.
    to: Vec<u8>,
    named: bool,
    /// From the target to the body's number.
    body: Vec<u8>,
    /// Letters for the body, enough for the shortest numbers.
    padding: Vec<u8>,
    /// Bytes of every body.
    size: usize,
}

impl Template {
    /// Sends with bodies of `size` bytes.
    pub fn new(run: u64, sender: usize, targets: Targets<'_>, qos: u8, size: usize) -> Self {
        let (to, end) = match targets {
            Targets::Users(names) => (format!(r#"{{"user":"{names}"#), "\"}"),
            Targets::Rooms(names) => (format!(r#"{{"room":"{names}"#), "\"}"),
            Targets::Everyone => (r#""everyone""#.to_owned(), ""),
        };
        Self {
            head: format!(r#"{{"type":"send","id":"{run:016x}-{sender}-"#).into_bytes(),
            to: format!(r#"","to":{to}"#).into_bytes(),
            named: !matches!(targets, Targets::Everyone),
            body: format!(r#"{end},"qos":{qos},"body":{{"n":"#).into_bytes(),
            padding: vec![b'x'; size],
            size,
        }
    }

    /// Appends one send as a frame.
    pub fn append(
        &self,
        output: &mut Vec<u8>,
        mask: [u8; 4],
        number: u64,
        target: usize,
        time_us: u64,
    ) {
        const TIME: &[u8] = br#","t":"#;
        const PADDING: &[u8] = br#","p":""#;
        const BODY_END: &[u8] = br#""}"#;
        let target = self.named.then_some(target as u64);
        let number_bytes = digits(number);
        let unpadded = br#"{"n":"#.len()
            + number_bytes
            + TIME.len()
            + digits(time_us)
            + PADDING.len()
            + BODY_END.len();
        let padding = &self.padding[..self.size.saturating_sub(unpadded)];
        let length = self.head.len()
            + number_bytes
            + self.to.len()
            + target.map_or(0, digits)
            + self.body.len()
            - br#"{"n":"#.len()
            + unpadded
            + padding.len()
            + 1;
        frames::append(output, OpCode::Text, mask, length, |output| {
            output.extend_from_slice(&self.head);
            push_number(output, number);
            output.extend_from_slice(&self.to);
            if let Some(target) = target {
                push_number(output, target);
            }
            output.extend_from_slice(&self.body);
            push_number(output, number);
            output.extend_from_slice(TIME);
            push_number(output, time_us);
            output.extend_from_slice(PADDING);
            output.extend_from_slice(padding);
            output.extend_from_slice(BODY_END);
            output.push(b'}');
        });
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn push_number(output: &mut Vec<u8>, mut number: u64) {
    let start = output.len();
    let end = start + digits(number);
    output.resize(end, b'0');
    for place in output[start..end].iter_mut().rev() {
        *place += (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cli::bench::messages::Name;

    /// The payload of a frame that was made with a mask of zeros.
    fn payload(frame: &[u8]) -> &[u8] {
        match frame[1] & 0x7f {
            126 => &frame[8..],
            127 => &frame[14..],
            _ => &frame[6..],
        }
    }

    proptest! {
        #[test]
        fn a_send_is_json_with_a_body_of_the_size_asked_for(
            sender in 0_usize..100_000, number in 0_u64..10_000_000_000, receiver: u32,
            time_us in 0_u64..10_000_000_000_000, size in BODY_BYTES_MIN..70_000, kind in 0..3
        ) {
            let (targets, to) = match kind {
                0 => (Targets::Users("b-1-r"), json!({"user": format!("b-1-r{receiver}")})),
                1 => (Targets::Rooms("b-1-room"), json!({"room": format!("b-1-room{receiver}")})),
                _ => (Targets::Everyone, json!("everyone")),
            };
            let template = Template::new(0xab, sender, targets, 1, size);
            let mut output = Vec::new();
            template.append(&mut output, [0; 4], number, receiver as usize, time_us);
            let text = std::str::from_utf8(payload(&output)).unwrap();
            let send: serde_json::Value = serde_json::from_str(text).unwrap();
            prop_assert_eq!(&send["type"], "send");
            prop_assert_eq!(&send["qos"], 1);
            prop_assert_eq!(&send["to"], &to);
            let name = Name::from_id(send["id"].as_str().unwrap());
            prop_assert_eq!(name, Some(Name { run: 0xab, sender, number }));
            let body = &text[text.find("\"body\":").unwrap() + 7..text.len() - 1];
            prop_assert_eq!(body.len(), size);
            prop_assert_eq!(&send["body"]["n"], number);
            prop_assert_eq!(&send["body"]["t"], time_us);
        }
    }
}
