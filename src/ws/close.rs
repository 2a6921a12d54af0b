//! Ending connections so that the other side sees why.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::scratch;
use crate::core::frame::{self, Decoder, Event, FrameLimits};
use crate::error::CloseCode;

/// How long after a Close frame the other side may take to answer it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads on, until a Close frame or the end, and throws the rest away: closing a socket with unread
/// bytes would reset it, and the client might never see our Close frame.
pub(super) async fn wait_for_close<S>(
    socket: &mut S,
    decoder: &mut Decoder,
    limits: &FrameLimits,
) -> io::Result<()>
where
    S: AsyncRead + Unpin,
{
    loop {
        let over = poll_fn(|cx| {
            scratch::poll_read(socket, cx, |read| {
                read.is_empty() || has_close(decoder, limits, read)
            })
        });
        match over.await {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Whether a Close frame ends here, or something after which there is no telling.
fn has_close(decoder: &mut Decoder, limits: &FrameLimits, mut input: &mut [u8]) -> bool {
    while !input.is_empty() {
        match decoder.decode(limits, input) {
            Ok((_, Some(Event::Close(_)))) | Err(_) => return true,
            Ok((consumed, _)) => input = &mut input[consumed..],
        }
    }
    false
}

/// Reads on until the end and throws everything away.
pub(super) async fn wait_for_end<S>(socket: &mut S) -> io::Result<()>
where
    S: AsyncRead + Unpin,
{
    while !poll_fn(|cx| scratch::poll_read(socket, cx, |read| read.is_empty())).await? {}
    Ok(())
}

/// Ends a connection that never becomes a session: one reply's frame, one Close frame,
/// and TCP after the client's Close or two seconds.
pub(super) async fn say_goodbye<S>(
    mut socket: S,
    limits: &FrameLimits,
    reply: &[u8],
    code: CloseCode,
    reason: &str,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let close = frame::encode::close(Some(code.number()), reason);
    let frames = [reply, &close].concat();
    let goodbye = async {
        socket.write_all(&frames).await?;
        socket.flush().await?;
        wait_for_close(&mut socket, &mut Decoder::new(), limits).await
    };
    // Past the limit the socket is closed as it is.
    let _ = tokio::time::timeout(TIMEOUT, goodbye).await;
    let _ = tokio::time::timeout(TIMEOUT, socket.shutdown()).await;
}

/// Ends an HTTP connection after its last answer.
pub(super) async fn end_http<S>(mut socket: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let goodbye = async {
        socket.shutdown().await?;
        wait_for_end(&mut socket).await
    };
    // Past the limit the socket is closed as it is.
    let _ = tokio::time::timeout(TIMEOUT, goodbye).await;
}
