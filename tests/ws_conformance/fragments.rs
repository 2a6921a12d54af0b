//! Section 5: fragments and what may stand between them.

use crate::case::{Case, End, PROTOCOL, case, chop, closed, receive, run};
use crate::raw_ws::{BINARY, ClientFrame, PONG, TEXT};

fn first() -> ClientFrame {
    ClientFrame::text("fragment1").more()
}

fn middle() -> ClientFrame {
    ClientFrame::continuation("fragment2").more()
}

fn last() -> ClientFrame {
    ClientFrame::continuation("fragment3")
}

fn ping() -> ClientFrame {
    ClientFrame::ping("ping")
}

fn whole() -> ClientFrame {
    ClientFrame::text("whole")
}

/// A case of section 5 for each way of cutting the bytes: frames, the opcodes and payloads of what
/// comes back, and the code if they are a violation.
fn fragmented(
    name: &str,
    frames: &[ClientFrame],
    answers: &[(u8, &str)],
    violation: Option<u16>,
) -> [Case; 3] {
    [usize::MAX, 5, 1].map(|size| {
        let mut steps = vec![chop(frames, size)];
        steps.extend(
            answers
                .iter()
                .map(|(opcode, payload)| receive(*opcode, payload)),
        );
        case(
            format!("5 {name}, in pieces of {size}"),
            steps,
            violation.map_or(End::Clean, closed),
        )
    })
}

#[test]
fn section_5_fragments_are_joined_with_control_frames_between_them() {
    let good = |name, frames: &[ClientFrame], answers: &[(u8, &str)]| {
        fragmented(name, frames, answers, None)
    };
    let pong = (PONG, "ping");
    let two = (TEXT, "fragment1fragment3");
    let empty = || ClientFrame::continuation("").more();
    run(&[
        good("two fragments", &[first(), last()], &[two]),
        good("a ping between", &[first(), ping(), last()], &[pong, two]),
        good(
            "a pong between",
            &[first(), ClientFrame::pong("pong"), last()],
            &[two],
        ),
        good(
            "five fragments with two pings between",
            &[
                first(),
                middle(),
                ping(),
                middle(),
                middle(),
                ping(),
                last(),
            ],
            &[
                pong,
                pong,
                (TEXT, "fragment1fragment2fragment2fragment2fragment3"),
            ],
        ),
        good(
            "two messages in a row",
            &[first(), last(), first(), ping(), last(), whole()],
            &[two, pong, two, (TEXT, "whole")],
        ),
        good(
            "empty fragments",
            &[
                ClientFrame::text("").more(),
                empty(),
                ClientFrame::continuation(""),
            ],
            &[(TEXT, "")],
        ),
        good(
            "all in the middle fragment",
            &[
                ClientFrame::binary("").more(),
                middle(),
                ClientFrame::continuation(""),
            ],
            &[(BINARY, "fragment2")],
        ),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>());
}

#[test]
fn section_5_fragments_out_of_order_are_refused() {
    let bad = |name, frames: &[ClientFrame], answers: &[(u8, &str)]| {
        fragmented(name, frames, answers, Some(PROTOCOL))
    };
    let two = (TEXT, "fragment1fragment3");
    run(&[
        bad("ping in two fragments", &[ping().more(), last()], &[]),
        bad(
            "pong in two fragments",
            &[ClientFrame::pong("").more(), last()],
            &[],
        ),
        bad("final continuation of nothing", &[last(), whole()], &[]),
        bad("continuation of nothing", &[middle(), whole()], &[]),
        bad(
            "continuation after a whole message",
            &[whole(), last()],
            &[(TEXT, "whole")],
        ),
        bad(
            "continuation after a fragmented message",
            &[first(), last(), middle(), whole()],
            &[two],
        ),
        bad("text inside a fragmented text", &[first(), whole()], &[]),
        bad(
            "fragmented text inside another",
            &[first(), first(), last()],
            &[],
        ),
        bad(
            "binary inside a fragmented text",
            &[first(), ClientFrame::binary("binary"), last()],
            &[],
        ),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>());
}
