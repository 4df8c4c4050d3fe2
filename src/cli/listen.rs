//! `postrider listen`: a receiver for developers. Prints each delivery and whether its signature holds,
//! and answers as it was told to.

mod show;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;

use self::show::{Delivery, Signature};
use super::{Done, Failure, print, say};
use crate::rt::clock;
use crate::send::verify::{Key, is_fresh};

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Bytes of a delivery that are read. The engine sends at most 64 MiB, by default 256 KiB.
const BODY_LEN_MAX: usize = 64 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct ListenArgs {
    /// Port on 127.0.0.1; 0 takes any that is free
    #[arg(long, value_name = "P", default_value_t = 9000)]
    port: u16,
    /// Secret (whsec_…) or public key (whpk_…) of the subscription; without it signatures are not checked
    #[arg(long, value_name = "SECRET", value_parser = key)]
    secret: Option<Key>,
    /// Status to answer with
    #[arg(long, value_name = "CODE", default_value_t = 204, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// Wait before each answer
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = super::duration)]
    delay: Duration,
}

fn key(text: &str) -> Result<Key, String> {
    Key::parse(text).ok_or_else(|| "it begins with whsec_ or whpk_ and goes on in base64".to_owned())
}

struct Receiver {
    key: Option<Key>,
    status: StatusCode,
    delay: Duration,
    received: AtomicU64,
}

pub(super) fn run(args: &ListenArgs) -> Done {
    let receiver = Arc::new(Receiver {
        key: args.secret.clone(),
        status: StatusCode::from_u16(args.status).unwrap_or(StatusCode::NO_CONTENT),
        delay: args.delay,
        received: AtomicU64::new(0),
    });
    let (mut ended, on_signal) = signals()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| Failure::new(format!("cannot listen on {address}: {error}")))?;
        print(&format!("listening on http://{} (Ctrl-C ends)\n", listener.local_addr()?))?;
        let mut signal = UnixStream::from_std(on_signal)?;
        tokio::select! {
            () = accept(listener, &receiver) => {}
            _ = signal.read_u8() => {}
        }
        ended.release();
        Ok::<(), Failure>(())
    })?;
    print(&format!("received {}\n", receiver.received.load(Ordering::Relaxed)))?;
    Ok(ExitCode::SUCCESS)
}

/// The registered handlers; once released, a second Ctrl-C ends the process the hard way.
struct Signals(Vec<signal_hook::SigId>);

impl Signals {
    fn release(&mut self) {
        for id in self.0.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// A stream that gets a byte when the process is asked to end.
fn signals() -> std::io::Result<(Signals, StdUnixStream)> {
    let (read, write) = StdUnixStream::pair()?;
    read.set_nonblocking(true)?;
    let mut ids = Vec::new();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        ids.push(signal_hook::low_level::pipe::register(signal, write.try_clone()?)?);
    }
    Ok((Signals(ids), read))
}

async fn accept(listener: TcpListener, receiver: &Arc<Receiver>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let receiver = Arc::clone(receiver);
                tokio::spawn(async move {
                    serve(stream, receiver).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: connections that end give some back.
                say(&format!("postrider: cannot accept: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, receiver: Arc<Receiver>) {
    let service = service_fn(move |request| {
        let receiver = Arc::clone(&receiver);
        async move { Ok::<_, Infallible>(receiver.answer(request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new());
    // A connection that breaks is the sender's affair; what came over it was printed.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

impl Receiver {
    async fn answer(&self, request: Request<Incoming>) -> Response<Empty<Bytes>> {
        let status = if request.method() == Method::POST {
            self.receive(request).await
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        let mut response = Response::new(Empty::new());
        *response.status_mut() = status;
        response
    }

    async fn receive(&self, request: Request<Incoming>) -> StatusCode {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_LEN_MAX).collect().await else {
            say("postrider: a delivery broke off, or was too large");
            return StatusCode::PAYLOAD_TOO_LARGE;
        };
        let body = body.to_bytes();
        self.received.fetch_add(1, Ordering::Relaxed);
        let delivery = Delivery {
            at: clock::wall(),
            path: head.uri.path_and_query().map_or("/", |path| path.as_str()),
            id: header(&head.headers, "webhook-id"),
            attempt: header(&head.headers, "postrider-attempt"),
            body: &body,
            signature: self.check(&head.headers, &body),
        };
        if print(&delivery.to_string()).is_err() {
            say("postrider: cannot print");
        }
        tokio::time::sleep(self.delay).await;
        self.status
    }

    fn check(&self, headers: &HeaderMap, body: &[u8]) -> Signature {
        let Some(key) = &self.key else { return Signature::NotChecked };
        let [id, timestamp, signature] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| header(headers, name));
        if signature.is_empty() {
            Signature::Missing
        } else if !key.verify(id, timestamp, body, signature) {
            Signature::Wrong
        } else if !is_fresh(timestamp, clock::wall()) {
            Signature::Stale
        } else {
            Signature::Holds
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
