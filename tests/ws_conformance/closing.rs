//! Section 7: the closing handshake.

use crate::case::{End, INVALID_UTF8, NORMAL, PROTOCOL, case, chop, closed, receive, run, send};
use crate::raw_ws::{CLOSE, ClientFrame, TEXT};

#[test]
fn section_7_closes_are_answered_and_end_the_connection() {
    let close = || ClientFrame::close(NORMAL, "");
    let hello = || ClientFrame::text("Hello World!");
    let large = vec![b'*'; 256 << 10];
    let cases = [
        case(
            "7 message, then close",
            vec![send(&[hello(), close()]), receive(TEXT, "Hello World!")],
            closed(NORMAL),
        ),
        case(
            "7 two closes, one answer",
            vec![send(&[close(), close()])],
            closed(NORMAL),
        ),
        case(
            "7 ping after close is not answered",
            vec![send(&[close(), ClientFrame::ping("late")])],
            closed(NORMAL),
        ),
        case(
            "7 text after close is not echoed",
            vec![send(&[close(), hello()])],
            closed(NORMAL),
        ),
        case(
            "7 violation after close is not looked at",
            vec![send(&[close(), hello().rsv(7)])],
            closed(NORMAL),
        ),
        case(
            "7 close inside a fragmented message",
            vec![send(&[
                hello().more(),
                close(),
                ClientFrame::continuation("late"),
            ])],
            closed(NORMAL),
        ),
        case(
            "7 256 KiB, then close and ping",
            vec![
                send(&[
                    ClientFrame::text(&large),
                    close(),
                    ClientFrame::ping("late"),
                ]),
                receive(TEXT, &large),
            ],
            closed(NORMAL),
        ),
        case(
            "7 close in single bytes",
            vec![chop(&[ClientFrame::close(NORMAL, "so long")], 1)],
            closed(NORMAL),
        ),
        case(
            "7 close without a payload",
            vec![send(&[ClientFrame::new(CLOSE, "")])],
            End::Closed(vec![None, Some(NORMAL)]),
        ),
        case(
            "7 close with one byte",
            vec![send(&[ClientFrame::new(CLOSE, "a")])],
            closed(PROTOCOL),
        ),
        case(
            "7 close with a reason",
            vec![send(&[ClientFrame::close(NORMAL, "Hello World!")])],
            closed(NORMAL),
        ),
        case(
            "7 close with a reason of 123 bytes",
            vec![send(&[ClientFrame::close(NORMAL, [b'*'; 123])])],
            closed(NORMAL),
        ),
        case(
            "7 close with a reason of 124 bytes",
            vec![send(&[ClientFrame::close(NORMAL, [b'*'; 124])])],
            closed(PROTOCOL),
        ),
        case(
            "7 close with a reason that is not UTF-8",
            vec![send(&[ClientFrame::close(
                NORMAL,
                b"\xce\xba\xed\xa0\x80edited",
            )])],
            closed(INVALID_UTF8),
        ),
        case(
            "7 close in two fragments",
            vec![send(&[close().more(), ClientFrame::continuation("")])],
            closed(PROTOCOL),
        ),
    ];
    run(&cases);
}

#[test]
fn section_7_valid_close_codes_are_echoed_and_others_refused() {
    let mut cases = Vec::new();
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ] {
        cases.push(case(
            format!("7 close code {code}"),
            vec![send(&[ClientFrame::close(code, "")])],
            closed(code),
        ));
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        cases.push(case(
            format!("7 invalid close code {code}"),
            vec![send(&[ClientFrame::close(code, "")])],
            closed(PROTOCOL),
        ));
    }
    run(&cases);
}
