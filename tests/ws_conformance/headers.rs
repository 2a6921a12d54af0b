//! Sections 3 and 4, masks, forms of the length, and limits: what a header may say.

use crate::case::{
    End, MESSAGE_BYTES_MAX, PROTOCOL, TOO_BIG, case, chop, closed, fragments, receive, run, send,
};
use crate::raw_ws::{BINARY, CLOSE, ClientFrame, LengthForm, PING, PONG, TEXT};

#[test]
fn section_3_reserved_bits_are_refused() {
    let mut cases = Vec::new();
    for rsv in 1..=7 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let bad = ClientFrame::new(opcode, "").rsv(rsv);
            cases.push(case(
                format!("3 opcode {opcode:#x} with reserved bits {rsv:03b}"),
                vec![send(&[bad])],
                closed(PROTOCOL),
            ));
        }
        let good = ClientFrame::text("Hello, world!");
        let frames = [good.clone(), good.rsv(rsv), ClientFrame::ping("")];
        for size in [usize::MAX, 7, 1] {
            cases.push(case(
                format!("3 good text, then reserved bits {rsv:03b}, in pieces of {size}"),
                vec![chop(&frames, size), receive(TEXT, "Hello, world!")],
                closed(PROTOCOL),
            ));
        }
    }
    run(&cases);
}

#[test]
fn section_4_reserved_opcodes_are_refused() {
    let mut cases = Vec::new();
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for payload in ["", "reserved opcode payload"] {
            let bad = ClientFrame::new(opcode, payload);
            cases.push(case(
                format!("4 opcode {opcode:#x} with {} bytes", payload.len()),
                vec![send(std::slice::from_ref(&bad))],
                closed(PROTOCOL),
            ));
            let frames = [ClientFrame::text("first"), bad, ClientFrame::ping("")];
            for size in [usize::MAX, 1] {
                cases.push(case(
                    format!("4 good text, then opcode {opcode:#x}, in pieces of {size}"),
                    vec![chop(&frames, size), receive(TEXT, "first")],
                    closed(PROTOCOL),
                ));
            }
        }
    }
    run(&cases);
}

#[test]
fn masks_and_forms_of_the_length_are_what_the_rfc_wants() {
    let form = LengthForm::Bits64;
    let mut cases = vec![
        case(
            "a mask of zeros is a mask",
            vec![
                send(&[ClientFrame::text("plain").mask(Some([0; 4]))]),
                receive(TEXT, "plain"),
            ],
            End::Clean,
        ),
        case(
            "1 byte with a length of 16 bits",
            vec![send(
                &[ClientFrame::text("a").length(LengthForm::Bits16(1))],
            )],
            closed(PROTOCOL),
        ),
        case(
            "125 bytes with a length of 16 bits",
            vec![send(&[
                ClientFrame::text([b'a'; 125]).length(LengthForm::Bits16(125))
            ])],
            closed(PROTOCOL),
        ),
        case(
            "1 byte with a length of 64 bits",
            vec![send(&[ClientFrame::text("a").length(form(1))])],
            closed(PROTOCOL),
        ),
        case(
            "65535 bytes with a length of 64 bits",
            vec![send(&[
                ClientFrame::text(vec![b'a'; 65535]).length(form(65535))
            ])],
            closed(PROTOCOL),
        ),
        case(
            "a length with the top bit",
            vec![send(&[ClientFrame::text("a").length(form(1 << 63 | 1))])],
            closed(PROTOCOL),
        ),
    ];
    for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
        cases.push(case(
            format!("opcode {opcode:#x} without a mask"),
            vec![send(&[ClientFrame::new(opcode, "").mask(None)])],
            closed(PROTOCOL),
        ));
        cases.push(case(
            format!("opcode {opcode:#x} without a mask after a good message"),
            vec![
                send(&[
                    ClientFrame::text("good"),
                    ClientFrame::new(opcode, "bad").mask(None),
                ]),
                receive(TEXT, "good"),
            ],
            closed(PROTOCOL),
        ));
    }
    run(&cases);
}

#[test]
fn one_byte_over_the_limit_is_too_big_and_the_header_tells() {
    let limit = MESSAGE_BYTES_MAX as u64;
    let announce = |length| ClientFrame::binary("").length(LengthForm::Bits64(length));
    let half = vec![0; MESSAGE_BYTES_MAX / 2];
    let mut exact = fragments(BINARY, &half, half.len());
    exact[0].fin = false;
    exact.push(ClientFrame::continuation(&half));
    let mut over = exact.clone();
    over[1].fin = false;
    over.push(ClientFrame::continuation("x"));
    run(&[
        case(
            "the limit in two fragments",
            vec![send(&exact), receive(BINARY, [&half[..], &half].concat())],
            End::Clean,
        ),
        case(
            "one byte over, in three fragments",
            vec![send(&over)],
            closed(TOO_BIG),
        ),
        case(
            "one byte over, in a header without a payload",
            vec![send(&[announce(limit + 1)])],
            closed(TOO_BIG),
        ),
        case(
            "the longest length there is",
            vec![send(&[announce(u64::MAX >> 1)])],
            closed(TOO_BIG),
        ),
        case(
            "one byte over, in the header of a continuation",
            vec![send(&[
                ClientFrame::binary("x").more(),
                ClientFrame::continuation("")
                    .length(LengthForm::Bits64(limit))
                    .more(),
            ])],
            closed(TOO_BIG),
        ),
    ]);
}
