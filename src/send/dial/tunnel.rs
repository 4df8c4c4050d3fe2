//! A tunnel through the proxy, on a connection to it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use monoio::io::poll_io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use monoio::net::tcp::stream_poll::TcpStreamPoll;

use crate::send::proxy::{Head, Proxy, ProxyError};

/// Asks for a tunnel to `target`. When it is open, `stream` leads there, and not a byte of what comes
/// from there was taken: the answer is read byte by byte, which is a few dozen reads for a connection.
pub(super) async fn open(
    stream: &mut TcpStreamPoll,
    proxy: &Proxy,
    target: SocketAddr,
) -> Result<(), ProxyError> {
    let request = proxy.request(target);
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, rest)).await?;
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        rest = rest.get(written..).unwrap_or_default();
    }
    let mut head = Head::default();
    loop {
        let mut byte = [0];
        let mut read = ReadBuf::new(&mut byte);
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut read)).await?;
        let Some(byte) = read.filled().first().copied() else { return Err(ProxyError::Closed) };
        if let Some(end) = head.push(byte) {
            return end;
        }
    }
}
