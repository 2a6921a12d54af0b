//! Sections 1, 2, 9 and 10: messages of all sizes, and pings.

use crate::case::{End, PROTOCOL, case, chop, closed, fragments, receive, run, send};
use crate::raw_ws::{BINARY, ClientFrame, PONG, TEXT};

#[test]
fn section_1_messages_of_all_sizes_are_echoed_in_their_kind() {
    let mut cases = Vec::new();
    for (kind, opcode, byte) in [("text", TEXT, b'*'), ("binary", BINARY, 0xfe)] {
        for length in [0, 125, 126, 127, 128, 65535, 65536] {
            let payload = vec![byte; length];
            let message = [ClientFrame::new(opcode, &payload)];
            cases.push(case(
                format!("1 {kind} of {length} bytes"),
                vec![send(&message), receive(opcode, &payload)],
                End::Clean,
            ));
            for size in [1, 997] {
                if length > 128 && size == 1 {
                    continue;
                }
                cases.push(case(
                    format!("1 {kind} of {length} bytes in pieces of {size}"),
                    vec![chop(&message, size), receive(opcode, &payload)],
                    End::Clean,
                ));
            }
        }
    }
    run(&cases);
}

#[test]
fn section_2_pings_are_answered_and_pongs_are_not() {
    let mut cases = Vec::new();
    let payloads: [(&str, Vec<u8>); 4] = [
        ("no payload", vec![]),
        ("text", b"Hello, world!".to_vec()),
        (
            "binary",
            vec![0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff],
        ),
        ("125 bytes", vec![0xfe; 125]),
    ];
    for (name, payload) in &payloads {
        let ping = [ClientFrame::ping(payload)];
        cases.push(case(
            format!("2 ping with {name}"),
            vec![send(&ping), receive(PONG, payload)],
            End::Clean,
        ));
        cases.push(case(
            format!("2 ping with {name} in single bytes"),
            vec![chop(&ping, 1), receive(PONG, payload)],
            End::Clean,
        ));
        let unasked = [ClientFrame::pong(payload), ClientFrame::ping("after")];
        cases.push(case(
            format!("2 unasked pong with {name}, then a ping"),
            vec![send(&unasked), receive(PONG, "after")],
            End::Clean,
        ));
    }
    cases.push(case(
        "2 ping of 126 bytes",
        vec![send(&[ClientFrame::ping([0xfe; 126])])],
        closed(PROTOCOL),
    ));
    let ten: Vec<_> = (0..10)
        .map(|number| ClientFrame::ping(format!("payload-{number}")))
        .collect();
    for size in [usize::MAX, 1] {
        let mut steps = vec![chop(&ten, size)];
        steps.extend(ten.iter().map(|ping| receive(PONG, &ping.payload)));
        cases.push(case(
            format!("2 ten pings in pieces of {size}"),
            steps,
            End::Clean,
        ));
    }
    run(&cases);
}

#[test]
fn section_9_large_messages_are_echoed_whole_fragmented_and_chopped() {
    let mut cases = Vec::new();
    for (kind, opcode, byte) in [("text", TEXT, b'*'), ("binary", BINARY, 0xfe)] {
        for kib in [64, 256, 1024, 4096] {
            let payload = vec![byte; kib << 10];
            cases.push(case(
                format!("9 {kind} of {kib} KiB"),
                vec![
                    send(&[ClientFrame::new(opcode, &payload)]),
                    receive(opcode, &payload),
                ],
                End::Clean,
            ));
        }
        let payload = vec![byte; 4 << 20];
        for size in [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10] {
            cases.push(case(
                format!("9 {kind} of 4 MiB in fragments of {size}"),
                vec![
                    send(&fragments(opcode, &payload, size)),
                    receive(opcode, &payload),
                ],
                End::Clean,
            ));
        }
        let payload = vec![byte; 1 << 20];
        for size in [64, 128, 256, 512, 1024, 2048] {
            cases.push(case(
                format!("9 {kind} of 1 MiB in pieces of {size}"),
                vec![
                    chop(&[ClientFrame::new(opcode, &payload)], size),
                    receive(opcode, &payload),
                ],
                End::Clean,
            ));
        }
        for length in [0, 16, 64, 256, 1024, 4096] {
            let payload = vec![byte; length];
            let steps = (0..1000).map(|number| match number % 2 {
                0 => send(&[ClientFrame::new(opcode, &payload)]),
                _ => receive(opcode, &payload),
            });
            cases.push(case(
                format!("9 500 round trips of {kind} of {length} bytes"),
                steps.collect(),
                End::Clean,
            ));
        }
    }
    run(&cases);
}

#[test]
fn section_10_a_message_fragmented_by_a_network_stack_is_echoed() {
    let payload = vec![b'*'; 65536];
    run(&[case(
        "10 text of 64 KiB in fragments of 1300",
        vec![
            send(&fragments(TEXT, &payload, 1300)),
            receive(TEXT, &payload),
        ],
        End::Clean,
    )]);
}
