//! Section 6: text is UTF-8, and what is not is refused early.

use crate::case::{
    Case, End, INVALID_UTF8, Step, case, chop, closed, fragments, receive, run, send,
};
use crate::raw_ws::{BINARY, ClientFrame, PONG, TEXT};

/// UTF-8 at the edges of what it allows.
const VALID_UTF8: [&[u8]; 14] = [
    b"",
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd\xef\xbf\xbf",
    b"\xef\xbb\xbfafter a byte order mark",
    b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
];

/// Not UTF-8: the part before `at` may begin a text, the byte there cannot go on with it. At the
/// end: the text stops inside a character.
const INVALID_UTF8_AT: [(&[u8], usize); 27] = [
    (b"\x80", 0),
    (b"\xbf\x80", 0),
    (b"\xfe", 0),
    (b"\xff", 0),
    (b"\xc0\xaf", 0),
    (b"\xc1\xbf", 0),
    (b"\xf5\x80\x80\x80", 0),
    (b"\xf8\x88\x80\x80\x80", 0),
    (b"\xfc\x84\x80\x80\x80\x80", 0),
    (b"\xc0 ", 0),
    (b"\xc3 ", 1),
    (b"\xe2 ", 1),
    (b"\xf0 ", 1),
    (b"\xe0\x80\xaf", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xf0\x80\x80\xaf", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xf4\x90\x80\x80", 1),
    (b"\xed\xa0\x80", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xed\xa0\x80\xed\xb0\x80", 1),
    (
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        12,
    ),
    (
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
        12,
    ),
    (b"\xce", 1),
    (b"\xce\xba\xe1", 3),
    (b"\xce\xba\xe1\xbd", 4),
    (b"\xf0\x9f\xa6", 3),
];

#[test]
fn section_6_text_is_utf8_or_refused_at_once() {
    let mut cases = Vec::new();
    for text in VALID_UTF8 {
        let name = text.escape_ascii();
        for (way, size) in [("whole", usize::MAX), ("in fragments of one byte", 1)] {
            cases.push(case(
                format!("6 valid \"{name}\" {way}"),
                vec![send(&fragments(TEXT, text, size)), receive(TEXT, text)],
                End::Clean,
            ));
        }
        cases.push(case(
            format!("6 valid \"{name}\" in pieces of one byte"),
            vec![chop(&[ClientFrame::text(text)], 1), receive(TEXT, text)],
            End::Clean,
        ));
    }
    for (text, at) in INVALID_UTF8_AT {
        let name = text.escape_ascii();
        let whole = [ClientFrame::text(text)];
        for (way, step) in [
            ("whole", send(&whole)),
            ("in fragments of one byte", send(&fragments(TEXT, text, 1))),
            ("in pieces of one byte", chop(&whole, 1)),
        ] {
            cases.push(case(
                format!("6 invalid \"{name}\" {way}"),
                vec![step],
                closed(INVALID_UTF8),
            ));
        }
        if at < text.len() {
            cases.extend(fail_fast(text, at));
        }
    }
    cases.push(case(
        "6 binary need not be UTF-8",
        vec![
            send(&[ClientFrame::binary(b"\xff\xc0")]),
            receive(BINARY, b"\xff\xc0"),
        ],
        End::Clean,
    ));
    run(&cases);
}

/// The first wrong byte is enough: the message does not end, and the rest of it never comes.
fn fail_fast(text: &[u8], at: usize) -> Vec<Case> {
    let name = text.escape_ascii();
    let (good, bad) = text.split_at(at);
    let fragments = [
        ClientFrame::text(good).more(),
        ClientFrame::ping("still open"),
        ClientFrame::continuation(&bad[..1]).more(),
    ];
    let frame = ClientFrame::text([text, &[b' '; 50]].concat()).encode();
    let header_bytes = 6;
    let (front, back) = frame[..=header_bytes + at].split_at(header_bytes + at);
    vec![
        case(
            format!("6 \"{name}\" fails within an unfinished message"),
            vec![send(&fragments), receive(PONG, "still open")],
            closed(INVALID_UTF8),
        ),
        case(
            format!("6 \"{name}\" fails within an unfinished frame"),
            vec![Step::Send(front.to_vec()), Step::Send(back.to_vec())],
            closed(INVALID_UTF8),
        ),
    ]
}
