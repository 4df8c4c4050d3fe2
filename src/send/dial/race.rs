//! Several addresses of one host, tried staggered (RFC 8305 §5, "Happy Eyeballs"): the next one starts
//! when the one before has failed or has taken a while, and the first that accepts is taken. The others
//! are closed.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use monoio::net::TcpStream;
use monoio::net::tcp::stream_poll::TcpStreamPoll;

use super::alarm::Alarms;
use crate::model::Mono;

/// How long one address has before the next is tried as well (RFC 8305 §8).
pub(super) const STAGGER: Duration = Duration::from_millis(250);

/// An address that did not accept.
#[derive(Debug)]
struct Failed {
    address: IpAddr,
    error: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The kind says it in words; the system's own text has a number besides, for rarer cases.
        match self.error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut => write!(f, "{}: {}", self.address, self.error.kind()),
            _ => write!(f, "{}: {}", self.address, self.error),
        }
    }
}

/// What the race brought.
pub(super) struct Won {
    pub(super) stream: TcpStreamPoll,
    pub(super) address: IpAddr,
    /// It was the first address that was tried.
    pub(super) is_first: bool,
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStreamPoll>>>>;
/// Its place in the order, its address, and itself.
type Running = (usize, IpAddr, Connecting);

/// Connects to the first of `addresses` that accepts; `note` is told how it stands.
///
/// # Errors
/// Each address with what it failed by.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    alarms: &Alarms,
    clock: fn() -> Mono,
    mut note: impl FnMut(String),
) -> Result<Won, String> {
    let mut queue = addresses.iter().copied().enumerate();
    let mut running: Vec<Running> = Vec::new();
    let mut failed = Vec::new();
    let mut next_at = clock();
    // On a worker with nothing else to do the timer rings, on a busy one the alarm.
    let mut timer: Option<Pin<Box<monoio::time::Sleep>>> = None;
    let mut alarm = None;
    poll_fn(|cx| {
        loop {
            let mut at = 0;
            while let Some((number, address, connecting)) = running.get_mut(at) {
                match connecting.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => {
                        return Poll::Ready(Ok(Won { stream, address: *address, is_first: *number == 0 }));
                    }
                    Poll::Ready(Err(error)) => {
                        failed.push(Failed { address: *address, error });
                        next_at = Mono(0);
                        drop(running.remove(at));
                        note(text(&failed, &running));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let now = clock();
            if (now >= next_at || running.is_empty())
                && let Some((number, address)) = queue.next()
            {
                running.push((number, address.ip(), Box::pin(open(address))));
                note(text(&failed, &running));
                next_at = now + STAGGER;
                (timer, alarm) = (None, None);
                if queue.len() > 0 {
                    timer = Some(Box::pin(monoio::time::sleep(STAGGER)));
                    alarm = Some(alarms.set(next_at, cx.waker().clone()));
                }
                continue;
            }
            if running.is_empty() {
                return Poll::Ready(Err(text(&failed, &running)));
            }
            if let Some(timer) = &mut timer
                && timer.as_mut().poll(cx).is_ready()
            {
                // It may ring a moment too early.
                timer.set(monoio::time::sleep(Duration::from_millis(1)));
                continue;
            }
            return Poll::Pending;
        }
    })
    .await
}

/// How each address that was tried is doing.
fn text(failed: &[Failed], running: &[Running]) -> String {
    let failed = failed.iter().map(Failed::to_string);
    let running = running.iter().map(|(_, address, _)| format!("{address}: no answer"));
    failed.chain(running).collect::<Vec<_>>().join(", ")
}

async fn open(address: SocketAddr) -> io::Result<TcpStreamPoll> {
    let stream = TcpStream::connect_addr(address).await?;
    stream.set_nodelay(true)?;
    stream.try_into_poll_io().map_err(|(error, _)| error)
}
